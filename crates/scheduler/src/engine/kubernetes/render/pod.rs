//! The pods of the workers, and what becomes of a Job whose pod fails.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, PodSecurityContext, PodSpec,
    PodTemplateSpec, SecretKeySelector, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::domain::run::Component;

use super::super::record::Shown;
use super::super::settings::Settings;
use super::super::template::{locked, runtime_default};

/// The only place that a pod can write to.
const SCRATCH: &str = "worker-tmp";
pub(super) const BACKUP_CONTAINER: &str = "backup-job";
const RESTORE_CONTAINER: &str = "backup-restore-job";
/// A worker's exit code for "trying again will not help".
const WRONG_REQUEST: i32 = 2;
/// A worker's exit code for "some databases are backed up, and not all": another try would make backups of
/// those anew.
const PARTLY: i32 = 3;
/// The backup is complete, and its copy is not: another try would make another backup.
const UNCOPIED: i32 = 5;

/// The worker's container, and the one that a template may have for the other worker.
pub(crate) fn containers(component: Component) -> (&'static str, &'static str) {
    match component {
        Component::Backup => (BACKUP_CONTAINER, RESTORE_CONTAINER),
        Component::Restore => (RESTORE_CONTAINER, BACKUP_CONTAINER),
    }
}

/// The pods of a worker; `secret` is which Secret has a variable's value, and under which key.
pub(super) fn pod(
    settings: &Settings,
    component: Component,
    secret: &dyn Fn(&str) -> (String, String),
    labels: BTreeMap<String, String>,
    vars: &[Shown],
) -> PodTemplateSpec {
    let (container, other) = containers(component);
    let image = match component {
        Component::Backup => &settings.backuper_image,
        Component::Restore => &settings.restorer_image,
    };
    let pod = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            containers: vec![Container {
                name: container.to_owned(),
                image: Some(image.clone()),
                image_pull_policy: Some("IfNotPresent".to_owned()),
                env: Some(vars.iter().map(|it| variable(secret, it)).collect()),
                security_context: Some(locked()),
                termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
                volume_mounts: Some(vec![VolumeMount {
                    name: SCRATCH.to_owned(),
                    mount_path: "/tmp".to_owned(),
                    ..VolumeMount::default()
                }]),
                ..Container::default()
            }],
            enable_service_links: Some(false),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: settings.run_as_user,
                seccomp_profile: Some(runtime_default()),
                ..PodSecurityContext::default()
            }),
            service_account_name: settings.service_account.clone(),
            termination_grace_period_seconds: Some(60),
            volumes: Some(vec![Volume {
                name: SCRATCH.to_owned(),
                empty_dir: Some(EmptyDirVolumeSource::default()),
                ..Volume::default()
            }]),
            ..PodSpec::default()
        }),
    };
    settings.template.under(pod, other)
}

fn variable(secret: &dyn Fn(&str) -> (String, String), Shown { name, value }: &Shown) -> EnvVar {
    let reference = || {
        let (secret, key) = secret(name);
        EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret,
                key,
                optional: None,
            }),
            ..EnvVarSource::default()
        }
    };
    EnvVar {
        name: (*name).to_owned(),
        // Kubernetes expands $(NAME) and makes $$ one: doubled, every text arrives as it is.
        // https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
        value: value.as_ref().map(|it| it.replace('$', "$$")),
        value_from: value.is_none().then(reference),
    }
}

/// Backups: what is wrong stays wrong, and what is done is not done again; a pod that lost its node does not count.
pub(super) fn retry_unless_wrong() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(BACKUP_CONTAINER.to_owned()),
                    operator: "In".to_owned(),
                    values: vec![WRONG_REQUEST, PARTLY, UNCOPIED],
                }),
                on_pod_conditions: None,
            },
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_exit_codes: None,
                on_pod_conditions: Some(vec![disrupted()]),
            },
        ],
    }
}

/// Restores: one pod, whatever becomes of it. The rule for other ends is the backoff limit of 0.
pub(super) fn never_again() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_exit_codes: None,
            on_pod_conditions: Some(vec![disrupted()]),
        }],
    }
}

fn disrupted() -> PodFailurePolicyOnPodConditionsPattern {
    PodFailurePolicyOnPodConditionsPattern {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
    }
}
