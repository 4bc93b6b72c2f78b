//! What we want in the cluster: all decisions, no I/O, nothing that can fail.

mod drill;
mod operations;
mod pod;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backuper::job::{Value, Var};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use secrecy::ExposeSecret as _;

use crate::domain::database::Database;
use crate::domain::kept::{self, Kept as _};
use crate::domain::restore::Restore;
use crate::domain::run::Component;
use crate::domain::schedule::Schedule;

use super::keys::{
    COMPONENT, DATABASE, HOST, INSTANCE, MANAGED_BY, MANAGER, PARAMETERS, PLACE, QUEUE, RENDERED,
    REQUEST, RETIRED, SCHEDULE, SPEC, STARTED, VERSION, label,
};
use super::record::{self, Shown, Spec, digest};
use super::settings::Settings;
pub use operations::{
    Asking, Remembered, Suspension, drills_kept, question_job, run_now, suspension,
};
pub(crate) use pod::containers;
use pod::{BACKUP_CONTAINER, never_again, pod, retry_unless_wrong};
pub use secrets::{secret, secret_name, secret_of_question, secret_of_restore};

/// The CronJob of a schedule.
pub fn cron_job(settings: &Settings, spec: &Spec) -> CronJob {
    let Schedule {
        name, plan, labels, ..
    } = &spec.schedule;
    let vars = Shown::of(&settings.workers.backup(&spec.schedule).to_env());
    let about = About {
        component: Component::Backup,
        database: &plan.source,
    };
    // What selects our objects is not a caller's to set, which was refused at the door; and what
    // selects pods, such as a Service, is not a caller's to reach.
    let labelled = |own: BTreeMap<String, String>| {
        let mut all = labels.clone().unwrap_or_default();
        all.extend(own);
        all
    };
    let mut annotations = about.annotations();
    SPEC.set(&mut annotations, &spec.text());
    // Whoever reads nothing else would lose what came later, and make another CronJob of it.
    if spec.version() == 1 {
        PARAMETERS.set(&mut annotations, &record::parameters(spec, &vars));
    }
    VERSION.set(&mut annotations, &settings.version);
    let mut cron_job = CronJob {
        metadata: ObjectMeta {
            name: Some(name.to_string()),
            labels: Some(labelled(about.labels(settings))),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: None,
        status: None,
    };
    let mut labels = about.labels(settings);
    SCHEDULE.set(&mut labels, name.as_str());
    let mut queued = labelled(labels.clone());
    if let Some(queue) = &settings.queue {
        queued.insert(QUEUE.to_owned(), queue.clone());
    }
    let (deadline, again) = tried(settings, &spec.schedule);
    cron_job.spec = Some(CronJobSpec {
        schedule: plan.cron.expression().to_owned(),
        time_zone: Some(plan.cron.zone().to_string()),
        concurrency_policy: Some("Forbid".to_owned()),
        starting_deadline_seconds: Some(seconds(settings.starting_deadline)),
        successful_jobs_history_limit: Some(settings.successful_history),
        failed_jobs_history_limit: Some(settings.failed_history),
        // Left to the cluster, so that a schedule that a person has suspended stays so.
        suspend: None,
        job_template: JobTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(queued),
                annotations: Some(about.annotations()),
                ..ObjectMeta::default()
            }),
            spec: Some(JobSpec {
                active_deadline_seconds: Some(deadline),
                backoff_limit: Some(again),
                pod_failure_policy: Some(retry_unless_wrong()),
                template: pod(
                    settings,
                    Component::Backup,
                    &|variable| spec.secret_of(variable),
                    labels,
                    &vars,
                ),
                ..JobSpec::default()
            }),
        },
    });
    // What is secret of the settings is in the Secret alone, which is to be written anew with it.
    let own = own_digest(&settings.workers.own_secrets());
    let digest = digest(&format!("{cron_job:?}{own}"));
    let annotations = cron_job.metadata.annotations.get_or_insert_default();
    RENDERED.set(annotations, &digest);
    cron_job
}

/// How many seconds a backup may take with all its tries, and how many more of them there are.
fn tried(settings: &Settings, schedule: &Schedule) -> (i64, i32) {
    let tries = schedule.own().tries;
    let deadline = settings.limits.of_backup(&schedule.plan.cron);
    let again = tries.again.map_or(2, i32::from);
    (seconds(tries.limit().unwrap_or(deadline)), again)
}

fn own_digest(own: &[Var]) -> String {
    let mut text = String::new();
    for var in own {
        if let Value::Secret(secret) = &var.value {
            text.push_str(&format!("{}={:?}\n", var.name, secret.expose_secret()));
        }
    }
    if text.is_empty() { text } else { digest(&text) }
}

/// The CronJob as it is made first: it does not run before its Secret is there. It is created and
/// not applied, so that nobody can suspend one that is complete; and whoever creates a field owns
/// it beside whoever applies it, so it has no field that could be dropped later.
pub fn gated(cron_job: &CronJob) -> CronJob {
    let mut metadata = cron_job.metadata.clone();
    if let Some(annotations) = &mut metadata.annotations {
        // What the version before this one does not apply must not outlive its next apply, and tell
        // something else than it.
        annotations.retain(|key, _| key == PARAMETERS.now);
    }
    if let Some(labels) = &mut metadata.labels {
        // A caller's could not be taken out later.
        let is_ours = |key: &str| {
            key.starts_with("app.kubernetes.io/") || key.starts_with("postgres-adapter")
        };
        labels.retain(|key, _| is_ours(key));
    }
    let spec = cron_job.spec.as_ref();
    let pod = spec.and_then(|it| it.job_template.spec.as_ref()?.template.spec.as_ref());
    let containers = pod.iter().flat_map(|it| &it.containers);
    let bare = |it: &Container| Container {
        name: it.name.clone(),
        image: it.image.clone(),
        ..Container::default()
    };
    let template = PodTemplateSpec {
        metadata: None,
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            containers: containers
                .filter(|it| it.name == BACKUP_CONTAINER)
                .map(bare)
                .collect(),
            ..PodSpec::default()
        }),
    };
    CronJob {
        metadata,
        spec: Some(CronJobSpec {
            schedule: spec.map(|it| it.schedule.clone()).unwrap_or_default(),
            suspend: Some(true),
            job_template: JobTemplateSpec {
                metadata: None,
                spec: Some(JobSpec {
                    template,
                    ..JobSpec::default()
                }),
            },
            ..CronJobSpec::default()
        }),
        status: None,
    }
}

/// The CronJob that follows [`gated`]: it may run.
pub fn released(mut cron_job: CronJob) -> CronJob {
    if let Some(spec) = &mut cron_job.spec {
        spec.suspend = Some(false);
    }
    cron_job
}

/// The rendering that takes the place of what was found, and of nothing else: neither of another
/// object of that name, nor of what others have made of it since.
pub fn replacing(mut cron_job: CronJob, found: &CronJob) -> CronJob {
    cron_job.metadata.uid.clone_from(&found.metadata.uid);
    let version = &found.metadata.resource_version;
    cron_job.metadata.resource_version.clone_from(version);
    cron_job
}

/// The Secrets of a CronJob's earlier renderings.
pub fn retired(found: &CronJob) -> BTreeSet<String> {
    let names = RETIRED
        .of(found.annotations())
        .unwrap_or_default()
        .split(',');
    names
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The CronJob that remembers Secrets of earlier renderings.
pub fn remembering(mut cron_job: CronJob, retired: BTreeSet<String>) -> CronJob {
    if !retired.is_empty() {
        let names: Vec<String> = retired.into_iter().collect();
        let annotations = cron_job.metadata.annotations.get_or_insert_default();
        RETIRED.set(annotations, &names.join(","));
    }
    cron_job
}

/// Whether a Job's pods read a Secret.
pub fn reads(job: &Job, secret: &str) -> bool {
    let pod = job.spec.as_ref().and_then(|it| it.template.spec.as_ref());
    let env = pod
        .iter()
        .flat_map(|it| &it.containers)
        .flat_map(|it| it.env.iter().flatten());
    env.filter_map(|it| it.value_from.as_ref()?.secret_key_ref.as_ref())
        .any(|it| it.name == secret)
}

/// The Job of a restore, which waits to be started; `lender` is the schedule that lends it credentials.
pub fn restore_job(
    settings: &Settings,
    name: &str,
    restore: &Restore,
    lender: Option<&Spec>,
) -> Job {
    let vars = Shown::of(&settings.workers.restore(restore).to_env());
    let about = About {
        component: Component::Restore,
        database: &restore.target,
    };
    let secret = |variable: &str| secret_of_restore(name, restore, lender, variable);
    let labels = about.labels(settings);
    let mut template = pod(settings, Component::Restore, &secret, labels.clone(), &vars);
    if let Some(image) = restore.drill.as_ref().and_then(|it| it.image.as_ref()) {
        template = drill::beside(template, image, secret("DB_PASSWORD"));
    }
    let mut annotations = about.annotations();
    REQUEST.set(&mut annotations, &restore.request());
    SPEC.set(&mut annotations, &kept::write(restore).unwrap_or_default());
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            suspend: Some(true),
            active_deadline_seconds: Some(seconds(settings.limits.restore)),
            ttl_seconds_after_finished: Some(restore.ttl.unwrap_or_else(|| {
                i32::try_from(settings.restore_ttl.as_secs()).unwrap_or(i32::MAX)
            })),
            backoff_limit: Some(0),
            // A pod that is being evicted still writes: nothing takes its place, then or later.
            pod_replacement_policy: Some("Failed".to_owned()),
            pod_failure_policy: Some(never_again()),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The change that lets a Job go, or hands it to the queue. Kueue takes back what it has not let go
/// itself, and a restore that was begun must not begin again: so it stays suspended until then.
/// With the uid, no other Job is let go that has its name by now.
pub fn started(settings: &Settings, uid: String) -> Job {
    let queue = settings.queue.as_ref();
    let mut annotations = BTreeMap::new();
    STARTED.set(&mut annotations, "true");
    Job {
        metadata: ObjectMeta {
            uid: Some(uid),
            annotations: Some(annotations),
            labels: queue.map(|it| BTreeMap::from([(QUEUE.to_owned(), it.clone())])),
            ..ObjectMeta::default()
        },
        spec: queue.is_none().then(|| JobSpec {
            suspend: Some(false),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The name of a Job that answers a question about what a caller has given, once for each call.
pub fn question_name(call: &str) -> String {
    format!("backup-{}-postgres-lst", &digest(call)[..16])
}

/// A restore's name, which no other one has: 64 of the bits of a new UUID.
pub fn restore_name(unique: &[u8; 16]) -> String {
    // The last bytes of one of version 4 are random but for two bits.
    format!("restore-{}-postgres", hex::encode(&unique[8..]))
}

/// What an object is about.
#[derive(Debug)]
pub struct About<'a> {
    /// For backups or for restores.
    pub component: Component,
    /// Which database.
    pub database: &'a Database,
}

impl About<'_> {
    /// What selects it, and what people tell it apart by.
    fn labels(&self, settings: &Settings) -> BTreeMap<String, String> {
        let mut labels = labels_of_worker(settings, self.component);
        let Database { host, name, .. } = self.database;
        PLACE.set(&mut labels, &self.database.place_hash());
        DATABASE.set(&mut labels, &label(name));
        HOST.set(&mut labels, &label(host));
        labels
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::new();
        DATABASE.set(&mut annotations, &self.database.place());
        annotations
    }
}

/// What selects a worker, whichever database it is for.
fn labels_of_worker(settings: &Settings, component: Component) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (COMPONENT.to_owned(), component.word().to_owned()),
    ]);
    if let Some(release) = &settings.release {
        labels.insert(INSTANCE.to_owned(), release.clone());
    }
    labels
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
