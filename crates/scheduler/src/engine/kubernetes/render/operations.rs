//! What people ask for beside a schedule's times: a run, a rest, an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt as _;
use serde::Serialize;

use super::super::keys::{DRILLS, INSTANTIATED, QUESTION};
use super::super::owner;
use super::super::record::Shown;
use super::super::settings::Settings;
use super::pod::pod;
use super::{About, labels_of_worker, seconds};
use crate::domain::run::Component;
use crate::domain::schedule::Schedule;

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

/// What the Job of a question is made of.
#[expect(
    missing_debug_implementations,
    reason = "it borrows a function, and lives for one call"
)]
pub struct Asking<'a> {
    /// What its worker is told.
    pub vars: &'a [Shown],
    /// Which Secret, and which key in it, has a variable.
    pub secret: &'a (dyn Fn(&str) -> (String, String) + Sync),
    /// The schedule that it is about; none: what a caller has given.
    pub schedule: Option<&'a Schedule>,
    /// How long an answer may take.
    pub limit: Duration,
}

/// The Job that answers a question. It has none of the labels by which runs are found, since it is none.
pub fn question_job(
    settings: &Settings,
    name: &str,
    asking: &Asking<'_>,
    owner: Option<OwnerReference>,
) -> Job {
    let Asking {
        vars,
        secret,
        schedule,
        limit,
    } = asking;
    let component = Component::Backup;
    let mut labels = BTreeMap::new();
    let about = schedule.map_or("given", |it| it.name.as_str());
    QUESTION.set(&mut labels, about);
    let of_pod = match schedule {
        Some(schedule) => About {
            component,
            database: &schedule.plan.source,
        }
        .labels(settings),
        None => labels_of_worker(settings, component),
    };
    let template = pod(settings, component, secret, of_pod, vars);
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            // A Job without any gets those of its pods, which are those of runs.
            labels: Some(labels),
            owner_references: owner.map(|it| vec![it]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(seconds(*limit)),
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

/// The change that keeps how far a schedule's drills are.
#[derive(Clone, Debug, Serialize)]
pub struct Remembered {
    metadata: Annotated,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotated {
    uid: Option<String>,
    resource_version: Option<String>,
    /// What is null goes.
    annotations: BTreeMap<&'static str, Option<String>>,
}

/// Of this very CronJob as it was found: what somebody else has kept since is not written over.
pub fn drills_kept(found: &CronJob, text: Option<String>) -> Remembered {
    Remembered {
        metadata: Annotated {
            uid: found.metadata.uid.clone(),
            resource_version: found.metadata.resource_version.clone(),
            annotations: BTreeMap::from([(DRILLS.now, text)]),
        },
    }
}
