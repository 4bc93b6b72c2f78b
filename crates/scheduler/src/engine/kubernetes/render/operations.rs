//! What people ask for beside a schedule's times: a run, a rest, a list of its backups.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt as _;
use serde::Serialize;

use super::super::keys::{INSTANTIATED, LISTS};
use super::super::owner;
use super::super::record::{Shown, Spec};
use super::super::settings::Settings;
use super::About;
use super::pod::pod;
use crate::domain::run::Component;

/// How long a list of backups may take, in seconds.
const LISTING: i64 = 45;

/// A run of a CronJob beside its times, as `kubectl create job --from` makes it.
pub fn run_now(cron_job: &CronJob, name: &str) -> Job {
    let template = cron_job.spec.as_ref().map(|it| it.job_template.clone());
    let JobTemplateSpec { metadata, spec } = template.unwrap_or_default();
    let ObjectMeta {
        labels,
        annotations,
        ..
    } = metadata.unwrap_or_default();
    let mut annotations = annotations.unwrap_or_default();
    annotations.insert(INSTANTIATED.to_owned(), "manual".to_owned());
    let uid = cron_job.uid().unwrap_or_default();
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner::<CronJob>(&cron_job.name_any(), &uid)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

/// The Job that lists the backups of a schedule's database. It has none of the labels by which runs are
/// found, since it is none.
pub fn listing_job(settings: &Settings, name: &str, spec: &Spec, owner: OwnerReference) -> Job {
    let Spec { schedule, secret } = spec;
    let about = About {
        component: Component::Backup,
        database: &schedule.plan.source,
    };
    let mut labels = BTreeMap::new();
    LISTS.set(&mut labels, schedule.name.as_str());
    let vars = Shown::of(&settings.workers.list(schedule).to_env());
    let template = pod(
        settings,
        Component::Backup,
        &|_| secret.clone(),
        about.labels(settings),
        &vars,
    );
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            // A Job without any gets those of its pods, which are those of runs.
            labels: Some(labels),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(LISTING),
            backoff_limit: Some(0),
            ttl_seconds_after_finished: Some(60),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The change that lets a CronJob rest, or run again.
#[derive(Clone, Debug, Serialize)]
pub struct Suspension {
    metadata: Meant,
    spec: Suspended,
}

#[derive(Clone, Debug, Serialize)]
struct Meant {
    uid: String,
}

#[derive(Clone, Debug, Serialize)]
struct Suspended {
    suspend: bool,
}

/// With the uid, no other CronJob is suspended that has its name by now.
pub fn suspension(uid: String, suspend: bool) -> Suspension {
    Suspension {
        metadata: Meant { uid },
        spec: Suspended { suspend },
    }
}
