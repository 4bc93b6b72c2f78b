//! What we want in the cluster: all decisions, no I/O, nothing that can fail.

mod pod;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backuper::job::{Value, Var};
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use secrecy::ExposeSecret as _;

use crate::domain::schedule::Cron;
use crate::engine::Component;

use super::record::{Parameters, Shown, digest, request};
use super::settings::Settings;
pub(crate) use pod::containers;
use pod::{BACKUP_CONTAINER, never_again, pod, retry_unless_wrong};

/// The label that says an object is ours.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGER: &str = "postgres-adapter";
/// The label that says whether an object is for backups or for restores.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The label of a Job with the name of its schedule.
pub const SCHEDULE: &str = "postgres-adapter/schedule";
/// The label of a restore with the database it goes to.
pub const DATABASE: &str = "postgres-adapter/database";
/// The annotation of a CronJob that holds its worker's parameters, secrets by name only.
pub const PARAMETERS: &str = "postgres-adapter/parameters";
/// The annotation of a CronJob that tells whether rendering it anew would change it. A CronJob
/// without it was left in the middle of being made.
pub const RENDERED: &str = "postgres-adapter/rendered";
/// The annotation of a CronJob with the Secrets of earlier renderings, which Jobs may still read.
pub const RETIRED: &str = "postgres-adapter/retired-secrets";
/// The annotation of a restore that tells requests apart.
pub const REQUEST: &str = "postgres-adapter/request";
/// The label of a Job that Kueue lets go when its queue allows.
/// <https://kueue.sigs.k8s.io/docs/tasks/run/jobs/>
pub const QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// The annotation of a restore that was let go; without it, it has never run.
pub const STARTED: &str = "postgres-adapter/started";

/// What a backup always has, and what none has more than, unless the administrator says so.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(2 * 3600);
const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// The CronJob of a schedule.
pub fn cron_job(settings: &Settings, name: &str, parameters: &Parameters) -> CronJob {
    let mut labels = labels(Component::Backup);
    let mut cron_job = CronJob {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            annotations: Some(BTreeMap::from([(PARAMETERS.to_owned(), parameters.text())])),
            ..ObjectMeta::default()
        },
        spec: None,
        status: None,
    };
    labels.insert(SCHEDULE.to_owned(), name.to_owned());
    let mut queued = labels.clone();
    if let Some(queue) = &settings.queue {
        queued.insert(QUEUE.to_owned(), queue.clone());
    }
    let deadline = settings.backup_deadline;
    let deadline = deadline.unwrap_or_else(|| backup_deadline(&parameters.schedule));
    cron_job.spec = Some(CronJobSpec {
        schedule: parameters.schedule.clone(),
        time_zone: Some("Etc/UTC".to_owned()),
        concurrency_policy: Some("Forbid".to_owned()),
        starting_deadline_seconds: Some(seconds(settings.starting_deadline)),
        successful_jobs_history_limit: Some(settings.successful_history),
        failed_jobs_history_limit: Some(settings.failed_history),
        // Left to the cluster, so that a schedule that a person has suspended stays so.
        suspend: None,
        job_template: JobTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(queued),
                ..ObjectMeta::default()
            }),
            spec: Some(JobSpec {
                active_deadline_seconds: Some(seconds(deadline)),
                backoff_limit: Some(2),
                pod_failure_policy: Some(retry_unless_wrong()),
                template: pod(
                    settings,
                    Component::Backup,
                    &parameters.secret,
                    labels,
                    &parameters.vars,
                ),
                ..JobSpec::default()
            }),
        },
    });
    let digest = digest(&format!("{cron_job:?}"));
    let annotations = cron_job.metadata.annotations.get_or_insert_default();
    annotations.insert(RENDERED.to_owned(), digest);
    cron_job
}

/// How long a backup may take where the administrator has not said it. One that hangs keeps those
/// after it from running: of an hourly schedule a whole day of them, were it a day for all. Three
/// intervals are for one that is slow once, two hours for schedules that come more often than a
/// large database can be read, and no backup has more than a day.
fn backup_deadline(schedule: &str) -> Duration {
    let cron: Option<Cron> = schedule.parse().ok();
    let interval = cron.and_then(|it| it.shortest_interval());
    interval.map_or(LONGEST_DEADLINE, |it| {
        let three = it.unsigned_abs().saturating_mul(3);
        three.clamp(SHORTEST_DEADLINE, LONGEST_DEADLINE)
    })
}

/// The CronJob as it is made first: it does not run before its Secret is there. It is created and
/// not applied, so that nobody can suspend one that is complete; and whoever creates a field owns
/// it beside whoever applies it, so it has no field that could be dropped later.
pub fn gated(cron_job: &CronJob) -> CronJob {
    let mut metadata = cron_job.metadata.clone();
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(RENDERED);
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

/// The name of a Secret for the rendering that takes the place of what was found: no other one has
/// it, then or later, so that a Job of an earlier rendering never reads what is meant for another
/// server. Two callers who want the same of the same find the same name.
pub fn secret_name(found: &CronJob, vars: &[Shown]) -> String {
    let (uid, version) = (&found.metadata.uid, &found.metadata.resource_version);
    let digest = digest(&format!("{uid:?}\n{version:?}\n{}", request(vars)));
    let name = found.metadata.name.clone().unwrap_or_default();
    format!("{name}-{}", &digest[..16])
}

/// The Secrets of a CronJob's earlier renderings.
pub fn retired(found: &CronJob) -> BTreeSet<String> {
    let annotations = found.metadata.annotations.as_ref();
    let names = annotations
        .and_then(|it| it.get(RETIRED))
        .map(String::as_str);
    let names = names.unwrap_or_default().split(',');
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
        annotations.insert(RETIRED.to_owned(), names.join(","));
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

/// The Secret of a CronJob or Job, which it goes with.
pub fn secret(component: Component, name: &str, owner: OwnerReference, vars: &[Var]) -> Secret {
    let secret = |var: &Var| match &var.value {
        Value::Plain(_) => None,
        Value::Secret(text) => Some((
            var.name.to_owned(),
            ByteString(text.expose_secret().as_bytes().to_vec()),
        )),
    };
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels(component)),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(vars.iter().filter_map(secret).collect()),
        ..Secret::default()
    }
}

/// The Job of a restore, which waits to be started.
pub fn restore_job(settings: &Settings, name: &str, database: &str, vars: &[Shown]) -> Job {
    let mut labels = labels(Component::Restore);
    labels.insert(DATABASE.to_owned(), database.to_owned());
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            annotations: Some(BTreeMap::from([(REQUEST.to_owned(), request(vars))])),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            suspend: Some(true),
            active_deadline_seconds: Some(seconds(settings.restore_deadline)),
            ttl_seconds_after_finished: Some(
                i32::try_from(settings.restore_ttl.as_secs()).unwrap_or(i32::MAX),
            ),
            backoff_limit: Some(0),
            // A pod that is being evicted still writes: nothing takes its place, then or later.
            pod_replacement_policy: Some("Failed".to_owned()),
            pod_failure_policy: Some(never_again()),
            template: pod(settings, Component::Restore, name, labels, vars),
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
    Job {
        metadata: ObjectMeta {
            uid: Some(uid),
            annotations: Some(BTreeMap::from([(STARTED.to_owned(), "true".to_owned())])),
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

/// A restore's name, which no other one has: 64 of the bits of a new UUID.
pub fn restore_name(unique: &[u8; 16]) -> String {
    // The last bytes of one of version 4 are random but for two bits.
    format!("restore-{}-postgres", hex::encode(&unique[8..]))
}

fn labels(component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (COMPONENT.to_owned(), component.word().to_owned()),
    ])
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
