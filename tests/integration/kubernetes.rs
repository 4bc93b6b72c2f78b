//! The Kubernetes engine against a real API server and its controllers, with no more rights than
//! `deploy/kubernetes/role.yaml` gives.

mod accounts;
mod answers;
mod before;
pub(crate) mod between;
mod copies;
mod drills;
mod faults;
mod golden;
mod lease;
pub(crate) mod objects;
mod operations;
mod options;
mod process;
mod promises;
mod put;
mod queue;
mod races;
mod refusals;
mod restores;
mod runs;
mod schedules;
mod secrets;
mod tidy;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{PodSpec, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, PostParams};
use kube::{Client, Config, ResourceExt};
use scheduler::domain::restore::Restore;
use scheduler::domain::schedule::Schedule;
use scheduler::engine::conformance;
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;

use crate::cluster::Namespace;
use crate::testbed::programs::repository;
use crate::testbed::unique;

const ROLE: &str = "deploy/kubernetes/role.yaml";

fn settings(namespace: &Namespace) -> Settings {
    Settings::new(
        &namespace.name,
        "registry.local/backuper:1",
        "registry.local/restorer:1",
        conformance::workers(),
    )
}

/// The scheduler's own user, who may do what the Role says.
async fn limited_client(namespace: &Namespace) -> Client {
    Client::try_from(limited_config(namespace).await).expect("a client")
}

async fn limited_config(namespace: &Namespace) -> Config {
    let text = std::fs::read_to_string(repository().join(ROLE)).expect("the Role");
    let role: Role = serde_yaml_ng::from_str(&text).expect("a Role");
    let name = role.name_any();
    let created = namespace
        .api::<Role>()
        .create(&PostParams::default(), &role)
        .await;
    if let Err(error) = created {
        assert!(error.to_string().contains("already exists"), "{error}");
    }
    let binding = RoleBinding {
        metadata: ObjectMeta {
            name: Some(unique("scheduler-")),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name,
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: "scheduler".to_owned(),
            namespace: Some(namespace.name.clone()),
            api_group: None,
        }]),
    };
    let bindings = namespace.api::<RoleBinding>();
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .expect("the binding is new");
    let mut config = namespace.cluster.config();
    config.auth_info.impersonate = Some(user(namespace));
    config
}

fn user(namespace: &Namespace) -> String {
    format!("system:serviceaccount:{}:scheduler", namespace.name)
}

async fn engine(namespace: &Namespace) -> Kubernetes {
    let config = limited_config(namespace).await;
    Kubernetes::connect(config, settings(namespace)).expect("a client")
}

fn schedule(name: &str, password: &str) -> Schedule {
    let mut schedule = conformance::schedule(name);
    schedule.plan.source = conformance::database("price $(DB_HOST) in $$", password);
    schedule
}

/// Of a call that no other was made with.
fn restore(into: &str, revision: &str) -> Restore {
    let mut restore = conformance::restore(into, revision, 0);
    restore.as_of = Some(Timestamp::now());
    restore
}

fn is_suspended(cron_job: &CronJob) -> bool {
    cron_job.spec.as_ref().and_then(|it| it.suspend) == Some(true)
}

/// The one Secret that a pod reads.
fn secret_in(pod: Option<&PodSpec>) -> Option<String> {
    let env = pod?.containers[0].env.as_ref()?;
    let mut names: Vec<String> = env
        .iter()
        .filter_map(|it| it.value_from.as_ref()?.secret_key_ref.as_ref())
        .map(|it| it.name.clone())
        .collect();
    names.dedup();
    assert!(names.len() <= 1, "{names:?}");
    names.pop()
}

/// The Secret that a schedule's next Job reads.
fn secret_of(cron_job: &CronJob) -> String {
    let spec = cron_job.spec.as_ref().expect("a spec");
    let job = spec.job_template.spec.as_ref().expect("a Job");
    secret_in(job.template.spec.as_ref()).expect("a Secret")
}

/// What must hold at any time: all that may run has its Secret, all Secrets have an owner.
async fn nothing_runs_without_its_secret(namespace: &Namespace) {
    let secrets = namespace.secrets().await;
    let mut owners = Vec::new();
    for it in namespace.cron_jobs().await {
        let of_this_one = |secret: &Secret| {
            let owned = secret.owner_references().iter();
            owned
                .clone()
                .any(|owner| Some(&owner.uid) == it.uid().as_ref())
                && secret.name_any() == secret_of(&it)
        };
        assert!(
            is_suspended(&it) || secrets.iter().any(of_this_one),
            "{it:?}"
        );
        owners.extend(it.uid());
    }
    for it in namespace.jobs().await {
        let spec = it.spec.as_ref().expect("a spec");
        let secret = secret_in(spec.template.spec.as_ref()).expect("a Secret");
        let waits = spec.suspend == Some(true);
        let conditions = it
            .status
            .iter()
            .flat_map(|it| it.conditions.iter().flatten());
        let has_ended = conditions
            .into_iter()
            .any(|it| matches!(it.type_.as_str(), "Complete" | "Failed"));
        let there = secrets.iter().any(|it| it.name_any() == secret);
        assert!(waits || has_ended || there, "{it:?}");
        owners.extend(it.uid());
    }
    for secret in &secrets {
        let owned = secret
            .owner_references()
            .iter()
            .any(|it| owners.contains(&it.uid));
        assert!(owned, "{:?}", secret.metadata);
    }
}
