//! The Kubernetes engine against a real API server and its controllers, with no more rights than
//! `deploy/kubernetes/role.yaml` gives.

mod between;
mod faults;
mod golden;
mod process;
mod promises;
mod queue;
mod races;
mod refresh;
mod restores;
mod runs;
mod schedules;

use backuper::job::Var;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, PostParams};
use kube::{Client, Config, ResourceExt};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Restore, Schedule};
use secrecy::SecretString;

use crate::cluster::Namespace;
use crate::testbed::programs::repository;
use crate::testbed::unique;

const ROLE: &str = "deploy/kubernetes/role.yaml";

fn settings(namespace: &Namespace) -> Settings {
    Settings::new(
        &namespace.name,
        "registry.local/backuper:1",
        "registry.local/restorer:1",
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
    Schedule {
        name: name.to_owned(),
        cron: "30 3 * * *".to_owned(),
        vars: vec![
            Var::plain("DB_HOST", "db.example"),
            Var::plain("DB_NAME", "price $(DB_HOST) in $$"),
            Var::plain("MAX_BACKUP_COUNT", "7"),
            Var::secret("DB_PASSWORD", &SecretString::from(password)),
        ],
    }
}

fn restore(database: &str, revision: &str) -> Restore {
    Restore {
        database: database.to_owned(),
        vars: vec![
            Var::plain("DB_HOST", "db.example"),
            Var::plain("BACKUP_REVISION", revision),
            Var::plain("RESTORE_AS_OF", unique("")),
            Var::secret("DB_PASSWORD", &SecretString::from("a-restore's-password")),
        ],
    }
}

fn is_suspended(cron_job: &CronJob) -> bool {
    cron_job.spec.as_ref().and_then(|it| it.suspend) == Some(true)
}

/// What must hold at any time: all that may run has its Secret, all Secrets have an owner.
async fn nothing_runs_without_its_secret(namespace: &Namespace) {
    let secrets = namespace.secrets().await;
    let has_secret = |name: &str, uid: Option<String>| {
        let owners = secrets.iter().filter(|it| it.name_any() == name);
        owners
            .flat_map(ResourceExt::owner_references)
            .any(|it| Some(&it.uid) == uid.as_ref())
    };
    let mut owners = Vec::new();
    for it in namespace.cron_jobs().await {
        owners.extend(it.uid());
        assert!(
            is_suspended(&it) || has_secret(&it.name_any(), it.uid()),
            "{it:?}"
        );
    }
    for it in namespace.jobs().await {
        owners.extend(it.uid());
        let suspended = it.spec.as_ref().and_then(|it| it.suspend) == Some(true);
        assert!(suspended || has_secret(&it.name_any(), it.uid()), "{it:?}");
    }
    for secret in &secrets {
        let owned = secret
            .owner_references()
            .iter()
            .any(|it| owners.contains(&it.uid));
        assert!(owned, "{:?}", secret.metadata);
    }
}
