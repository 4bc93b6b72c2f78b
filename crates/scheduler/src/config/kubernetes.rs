//! Workers on Kubernetes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backuper::job::{Maybe, maybe};
use backuper::runtime::failure::Failure;
use clap::Args;

use super::runs::length;
use crate::api::tls::read;
use crate::domain::limits::Limits;
use crate::engine::kubernetes::settings::Settings;
use crate::engine::kubernetes::template::Template;
use crate::workers::Workers;

/// Workers on Kubernetes.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// Name of the release that this scheduler belongs to; empty: it is the only one in the namespace.
    #[arg(env = "RELEASE_NAME", default_value = "", value_parser = maybe::<String>)]
    pub release: Maybe<String>,

    /// Namespace that holds all CronJobs, Jobs and Secrets.
    #[arg(
        env = "SYSTEM_NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    pub namespace: String,

    /// Image of the backuper, whole reference.
    #[arg(
        env = "BACKUPER_VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub backuper_image: String,

    /// Image of the restorer, whole reference.
    #[arg(
        env = "RESTORER_VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub restorer_image: String,

    /// Service account of the workers' pods, which get no token of it; empty: the namespace's default.
    #[arg(env = "WORKER_SERVICE_ACCOUNT", default_value = "", value_parser = maybe::<String>)]
    pub service_account: Maybe<String>,

    /// Numeric user of the workers' pods; image: the image's own, which must be numeric and not 0.
    #[arg(env = "WORKER_RUN_AS_USER", default_value = "65532", value_parser = user)]
    pub run_as_user: Maybe<i64>,

    /// Queue of Kueue (a LocalQueue's name) that the workers' Jobs wait in; empty: they start at once.
    #[arg(env = "KUEUE_QUEUE", default_value = "", value_parser = maybe::<String>)]
    pub queue: Maybe<String>,

    /// YAML file with a PodTemplateSpec that is merged under the workers' pods; its container `worker` is theirs.
    #[arg(env = "WORKER_POD_TEMPLATE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub pod_template: Maybe<PathBuf>,

    /// How late a backup may start before it counts as missed.
    #[arg(env = "STARTING_DEADLINE", default_value = "1h", value_parser = length::<3600>)]
    pub starting_deadline: Duration,

    /// How many finished Jobs of a schedule are kept.
    #[arg(env = "SUCCESSFUL_HISTORY_LIMIT", default_value = "3", value_parser = count::<3>)]
    pub successful_history: i32,

    /// How many failed Jobs of a schedule are kept.
    #[arg(env = "FAILED_HISTORY_LIMIT", default_value = "3", value_parser = count::<3>)]
    pub failed_history: i32,

    /// How long a finished restore's Job is kept.
    #[arg(env = "RESTORE_TTL", default_value = "7d", value_parser = length::<604800>)]
    pub restore_ttl: Duration,
}

impl Cluster {
    /// The engine's settings.
    ///
    /// # Errors
    /// A sentence that names the variable that is missing or wrong.
    pub fn settings(&self, limits: Limits, workers: Workers) -> Result<Settings, Failure> {
        for (name, value) in [
            ("SYSTEM_NAMESPACE", &self.namespace),
            ("BACKUPER_VERSION", &self.backuper_image),
            ("RESTORER_VERSION", &self.restorer_image),
        ] {
            if value.is_empty() {
                return Err(Failure::refused(format!(
                    "{name} must be set for the kubernetes engine; see --help for what each setting means"
                )));
            }
        }
        let template = match &self.pod_template {
            Some(path) => template(path)?,
            None => Template::default(),
        };
        let sound = Settings::new(
            &self.namespace,
            &self.backuper_image,
            &self.restorer_image,
            workers,
        );
        Ok(Settings {
            service_account: self.service_account.clone(),
            run_as_user: self.run_as_user,
            queue: self.queue.clone(),
            starting_deadline: self.starting_deadline,
            limits,
            release: self.release.clone(),
            successful_history: self.successful_history,
            failed_history: self.failed_history,
            restore_ttl: self.restore_ttl,
            template,
            ..sound
        })
    }
}

fn template(path: &Path) -> Result<Template, Failure> {
    let bytes = read("WORKER_POD_TEMPLATE", path)?;
    Template::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        Failure::refused(format!("WORKER_POD_TEMPLATE: {}: {error}", path.display()))
    })
}

fn count<const DEFAULT: i32>(text: &str) -> Result<i32, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(DEFAULT),
        Ok(count @ 0..) => Ok(count),
        Ok(_) | Err(_) => Err("a count of 0 or more is needed".to_owned()),
    }
}

fn user(text: &str) -> Result<Maybe<i64>, String> {
    match text {
        "" => Ok(Some(65532)),
        "image" => Ok(None),
        text => match text.parse() {
            Ok(user @ 1..) => Ok(Some(user)),
            Ok(_) | Err(_) => Err("a number above 0, or image, is needed".to_owned()),
        },
    }
}
