//! The administrator's pod template, merged under what we render: it adds and cannot take away.

use std::path::{Component, Path};

use k8s_openapi::DeepMerge as _;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSpec, PodTemplateSpec, SeccompProfile, SecurityContext, VolumeMount,
};
use serde_yaml_ng::Value;

/// The name that stands for the worker's container, whichever it is.
const ANY_WORKER: &str = "worker";

/// A PodTemplateSpec to merge under ours. Its container `worker` is merged under the worker's,
/// as is one with the worker's own name; other containers run beside it.
#[derive(Clone, Debug, Default)]
pub struct Template(PodTemplateSpec);

impl Template {
    /// Whether what the container `worker` writes below a directory outlasts its pod: a volume is mounted
    /// there that is no emptyDir.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn keeps(&self, directory: &Path, worker: &str) -> Result<(), String> {
        let shown = directory.display();
        if directory.components().any(|it| it == Component::ParentDir) {
            return Err(format!("{shown}: `..` leads somewhere else"));
        }
        let spec = self.0.spec.as_ref();
        let mounts = spec
            .iter()
            .flat_map(|it| &it.containers)
            .filter(|it| it.name == ANY_WORKER || it.name == worker)
            .flat_map(|it| it.volume_mounts.iter().flatten());
        let mount = mounts
            .filter(|it| directory.starts_with(&it.mount_path))
            .max_by_key(|it| Path::new(&it.mount_path).components().count());
        let volumes = spec.iter().flat_map(|it| it.volumes.iter().flatten());
        let volume = mount.and_then(|mount| volumes.into_iter().find(|it| it.name == mount.name));
        match volume {
            Some(volume) if volume.empty_dir.is_none() => Ok(()),
            Some(_) => Err(format!(
                "{shown} is in an emptyDir of the worker's pod, and would go with it"
            )),
            None => Err(format!(
                "{shown} is a directory of the worker's pod, and would go with it; mount a volume there in WORKER_POD_TEMPLATE, or name an S3 server"
            )),
        }
    }

    /// Reads a template from YAML.
    ///
    /// # Errors
    /// A sentence that says where it is wrong.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        let wrong = |error: serde_yaml_ng::Error| format!("not a PodTemplateSpec: {error}");
        let given: Value = serde_yaml_ng::from_str(yaml).map_err(wrong)?;
        let template: PodTemplateSpec = serde_yaml_ng::from_str(yaml).map_err(wrong)?;
        let understood = serde_yaml_ng::to_value(&template).map_err(wrong)?;
        match unknown(&given, &understood) {
            Some(path) => Err(format!("not a PodTemplateSpec: it has no {path}")),
            None => Ok(Self(template)),
        }
    }

    /// The template with `pod` on top. `other_worker` is the name of the container that does not
    /// run in this pod.
    pub(crate) fn under(&self, pod: PodTemplateSpec, other_worker: &str) -> PodTemplateSpec {
        let mut merged = self.0.clone();
        let worker = name_of_worker(&pod);
        let base = merged.spec.get_or_insert_default();
        base.containers.retain(|it| it.name != other_worker);
        for container in &mut base.containers {
            if container.name == ANY_WORKER {
                container.name.clone_from(&worker);
            }
        }
        let mut pod = pod;
        if let Some(base) = base.containers.iter_mut().find(|it| it.name == worker) {
            give_way(base, &mut pod);
        }
        merged.merge_from(pod);
        if let Some(spec) = &mut merged.spec {
            secure(spec, &worker);
        }
        merged
    }
}

/// The path of something that was given and not understood: the types skip what they do not know.
fn unknown(given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Mapping(given), Value::Mapping(understood)) => {
            given.iter().find_map(|(name, value)| {
                let name_text = name.as_str().unwrap_or_default();
                let inner = match understood.get(name) {
                    Some(understood) => unknown(value, understood)?,
                    None if value.is_null() => return None,
                    None => String::new(),
                };
                Some(format!("{name_text}{}{inner}", dot(&inner)))
            })
        }
        (Value::Sequence(given), Value::Sequence(understood)) => {
            let pairs = given.iter().zip(understood).enumerate();
            pairs.into_iter().find_map(|(index, (given, understood))| {
                let inner = unknown(given, understood)?;
                Some(format!("[{index}]{}{inner}", dot(&inner)))
            })
        }
        _ => None,
    }
}

fn dot(inner: &str) -> &'static str {
    if inner.is_empty() || inner.starts_with('[') {
        ""
    } else {
        "."
    }
}

fn name_of_worker(pod: &PodTemplateSpec) -> String {
    let containers = pod.spec.iter().flat_map(|it| &it.containers);
    containers
        .map(|it| it.name.clone())
        .next()
        .unwrap_or_default()
}

/// Where merging field by field would make a mixture of two things, one of them goes.
fn give_way(base: &mut Container, pod: &mut PodTemplateSpec) {
    let Some(spec) = &mut pod.spec else { return };
    let Some(ours) = spec.containers.first_mut() else {
        return;
    };
    // A value of theirs and a reference of ours would make an invalid variable.
    if let (Some(theirs), Some(ours)) = (&mut base.env, &ours.env) {
        theirs.retain(|it| ours.iter().all(|our| our.name != it.name));
    }
    // Another volume at the same place is the administrator's to choose.
    if let (Some(theirs), Some(ours)) = (&base.volume_mounts, &mut ours.volume_mounts) {
        let (gone, kept) = std::mem::take(ours).into_iter().partition(|it| {
            let place = &it.mount_path;
            theirs.iter().any(|their| their.mount_path == *place)
        });
        *ours = kept;
        let gone: Vec<VolumeMount> = gone;
        let volumes = spec.volumes.get_or_insert_default();
        volumes.retain(|it| gone.iter().all(|mount| mount.name != it.name));
    }
}

/// Puts back what no template may take away.
fn secure(spec: &mut PodSpec, worker: &str) {
    spec.host_network = None;
    spec.host_pid = None;
    spec.host_ipc = None;
    spec.ephemeral_containers = None;
    let inits = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(inits) {
        if container.name == worker {
            container.security_context = Some(locked());
        } else {
            let context = container.security_context.get_or_insert_default();
            context.allow_privilege_escalation = Some(false);
            context.privileged = None;
            context.capabilities = locked().capabilities;
            context.run_as_non_root = Some(true);
            context.seccomp_profile = Some(runtime_default());
        }
    }
}

/// A container that can do nothing but run.
pub(crate) fn locked() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

/// The container runtime's own filter of system calls.
pub(crate) fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S02.
    #[test]
    fn a_directory_is_a_store_where_a_volume_is_mounted_that_outlasts_the_pod() {
        let template = Template::parse(
            "
spec:
  containers:
  - name: worker
    volumeMounts:
    - {name: backups, mountPath: /backups}
    - {name: scratch, mountPath: /backups/scratch}
  - name: other
    volumeMounts: [{name: backups, mountPath: /other}]
  volumes:
  - {name: backups, persistentVolumeClaim: {claimName: backups}}
  - {name: scratch, emptyDir: {}}
",
        )
        .unwrap();
        let keeps = |path: &str| template.keeps(Path::new(path), "backup-job");
        for good in ["/backups", "/backups/shop"] {
            assert_eq!(keeps(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("/backups/scratch/x", "emptyDir"),
            ("/tmp", "mount a volume"),
            ("/other/x", "mount a volume"),
            ("/backupsx", "mount a volume"),
            ("/backups/../tmp", "`..`"),
        ] {
            assert!(keeps(bad).unwrap_err().contains(why), "{bad}");
        }
        let none = Template::default().keeps(Path::new("/backups"), "backup-job");
        assert!(none.is_err());
    }
}
