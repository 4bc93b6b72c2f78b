//! A PostgreSQL beside the worker of a drill: it is there before the worker begins, serves nobody else, and ends with
//! the pod.

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, PodTemplateSpec, Probe,
    SecretKeySelector, SecurityContext, Volume, VolumeMount,
};

use super::super::template::{locked, runtime_default};

/// Its container, by which the chart's policy knows it too.
const CONTAINER: &str = "drill-server";
const DATA: &str = "drill-data";
/// Where the images have their data and their user's home.
const HOME: &str = "/var/lib/postgresql";
/// The user that images of PostgreSQL from Debian have. Any other needs an image whose directories let it.
const USER: i64 = 999;
/// How long it may take to be there, in seconds.
const BEGINS_WITHIN: i32 = 600;

/// Adds the server of this image to a pod; its password is in the Secret of this name.
pub(super) fn beside(
    mut pod: PodTemplateSpec,
    image: &str,
    secret: (String, String),
) -> PodTemplateSpec {
    let Some(spec) = &mut pod.spec else {
        return pod;
    };
    let (name, key) = secret;
    let password = EnvVarSource {
        secret_key_ref: Some(SecretKeySelector {
            name,
            key,
            optional: None,
        }),
        ..EnvVarSource::default()
    };
    let server = Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        // An init container that does not end: the worker begins when it is there, and the Job ends without it.
        // https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
        restart_policy: Some("Always".to_owned()),
        env: Some(vec![
            EnvVar {
                name: "PGDATA".to_owned(),
                value: Some(format!("{HOME}/drill/data")),
                value_from: None,
            },
            EnvVar {
                name: "POSTGRES_PASSWORD".to_owned(),
                value: None,
                value_from: Some(password),
            },
        ]),
        startup_probe: Some(Probe {
            exec: Some(ExecAction {
                command: Some(
                    ["pg_isready", "-h", "127.0.0.1"]
                        .map(str::to_owned)
                        .to_vec(),
                ),
            }),
            period_seconds: Some(1),
            failure_threshold: Some(BEGINS_WITHIN),
            ..Probe::default()
        }),
        security_context: Some(SecurityContext {
            // The image keeps its socket and its locks in directories of its own.
            read_only_root_filesystem: None,
            run_as_user: Some(USER),
            seccomp_profile: Some(runtime_default()),
            ..locked()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: DATA.to_owned(),
            mount_path: format!("{HOME}/drill"),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    };
    spec.init_containers.get_or_insert_default().push(server);
    spec.volumes.get_or_insert_default().push(Volume {
        name: DATA.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    pod
}
