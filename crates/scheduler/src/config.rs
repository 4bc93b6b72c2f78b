//! The scheduler's settings: read here from the environment, and nowhere else.

pub mod access;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use access::Access;
use backuper::job::{Maybe, duration, flag, maybe};
use backuper::runtime::failure::Failure;
use clap::{Args, Parser};

use crate::api::probe::Trust;
use crate::api::tls::{Files, read};
use crate::domain::limits::Limits;
use crate::engine::kubernetes::settings::Settings as KubernetesSettings;
use crate::engine::kubernetes::template::Template;
use crate::engine::local::{Clock, Settings as LocalSettings};
use crate::service::Checks;
use crate::service::checks::Disk;
use crate::workers::{WorkerSettings, Workers};

/// What an exit code of the scheduler means; part of `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0    stopped, as SIGTERM or SIGINT asked
  1    failed; trying again may help
  2    the configuration is wrong; trying again will not help

The last line of the log says in one sentence what is wrong and what to do.";

/// All settings of the scheduler.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "scheduler",
    version,
    about = "Schedules backups and starts restores of PostgreSQL databases; serves backup.BackupService over gRPC.",
    after_help = EXIT_CODES
)]
pub struct Config {
    /// Where it listens.
    #[command(flatten, next_help_heading = "Serving")]
    pub serving: Serving,

    /// Who may do what.
    #[command(flatten, next_help_heading = "Access")]
    pub access: Access,

    /// kubernetes or local; empty: kubernetes when SYSTEM_NAMESPACE is set, local otherwise.
    #[arg(help_heading = "Engine", env = "ENGINE", default_value = "", value_parser = maybe::<Choice>)]
    pub engine: Maybe<Choice>,

    /// How long runs may take.
    #[command(flatten, next_help_heading = "Runs")]
    pub limits: RunLimits,

    /// Workers as Jobs.
    #[command(flatten, next_help_heading = "Engine: kubernetes")]
    pub cluster: Cluster,

    /// Workers as child processes.
    #[command(flatten, next_help_heading = "Engine: local")]
    pub machine: Machine,

    /// What workers are told beside a request.
    #[command(flatten, next_help_heading = "Passed on to the workers")]
    pub workers: WorkerSettings,
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Workers are CronJobs and Jobs.
    Kubernetes,
    /// Workers are child processes.
    Local,
}

impl FromStr for Choice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "kubernetes" => Ok(Self::Kubernetes),
            "local" => Ok(Self::Local),
            _ => Err("kubernetes or local is needed"),
        }
    }
}

/// Where the scheduler listens.
#[derive(Clone, Debug, Args)]
pub struct Serving {
    /// IP address that both ports are opened on; empty: 127.0.0.1, and 0.0.0.0 on Kubernetes.
    #[arg(env = "LISTEN_ADDRESS", default_value = "", value_parser = address)]
    pub address: Maybe<IpAddr>,

    /// Port of gRPC: the BackupService, reflection and health.
    #[arg(env = "PORT", default_value = "50051", value_parser = port::<50051>)]
    pub port: u16,

    /// false: the database, the bucket and the revision of a request are not tried before it is answered.
    #[arg(env = "CHECK_REQUESTS", default_value = "true", action = clap::ArgAction::Set, value_parser = checked)]
    pub check_requests: bool,

    /// Port of HTTP: /livez, /readyz and /metrics.
    #[arg(env = "ADMIN_PORT", default_value = "8080", value_parser = port::<8080>)]
    pub admin_port: u16,

    /// PEM file with the gRPC server's certificate; empty: gRPC without TLS.
    #[arg(env = "GRPC_TLS_CERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub tls_cert: Maybe<PathBuf>,

    /// PEM file with the key of GRPC_TLS_CERT.
    #[arg(env = "GRPC_TLS_KEY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub tls_key: Maybe<PathBuf>,

    /// host:port of another scheduler: ask it for its health and its services, and end; empty: serve.
    #[arg(env = "PROBE", default_value = "", value_parser = maybe::<String>)]
    pub probe: Maybe<String>,

    /// PEM file with the authorities of the probed scheduler's certificate; empty: without TLS.
    #[arg(env = "PROBE_CA", default_value = "", value_parser = maybe::<PathBuf>)]
    pub probe_ca: Maybe<PathBuf>,

    /// PEM file with the certificate that the probe shows, of those that GRPC_TLS_CLIENT_CA lets in there; empty: none.
    #[arg(env = "PROBE_CERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub probe_cert: Maybe<PathBuf>,

    /// PEM file with the key of PROBE_CERT.
    #[arg(env = "PROBE_KEY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub probe_key: Maybe<PathBuf>,

    /// PEM file with the authorities whose clients are let in; empty: every client.
    #[arg(env = "GRPC_TLS_CLIENT_CA", default_value = "", value_parser = maybe::<PathBuf>)]
    pub tls_client_ca: Maybe<PathBuf>,
}

impl Serving {
    /// Where what a probe needs for TLS stands; none: it asks without.
    ///
    /// # Errors
    /// A sentence that says which variable is missing.
    pub fn probe_tls(&self) -> Result<Option<Trust>, Failure> {
        let identity = match (&self.probe_cert, &self.probe_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            _ => {
                let sentence = "PROBE_CERT and PROBE_KEY go together; set both or none";
                return Err(Failure::refused(sentence));
            }
        };
        match &self.probe_ca {
            Some(authorities) => Ok(Some(Trust {
                authorities: authorities.clone(),
                identity,
            })),
            None if identity.is_none() => Ok(None),
            None => Err(Failure::refused("PROBE_CERT and PROBE_KEY need PROBE_CA")),
        }
    }

    /// Where TLS's certificate stands; none: gRPC without TLS.
    ///
    /// # Errors
    /// A sentence that names the variable that is missing.
    pub fn tls(&self) -> Result<Option<Files>, Failure> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(Files {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
                anonymous: Arc::default(),
            })),
            (None, None) if self.tls_client_ca.is_none() => Ok(None),
            _ => {
                let sentence = "GRPC_TLS_CERT and GRPC_TLS_KEY go together, and GRPC_TLS_CLIENT_CA needs both; set them or none";
                Err(Failure::refused(sentence))
            }
        }
    }
}

/// How long runs may take, on either engine.
#[derive(Clone, Debug, Args)]
pub struct RunLimits {
    /// How long a backup may take, retries included; empty: three times its schedule's interval, from 2h to 1d.
    #[arg(env = "BACKUP_DEADLINE", default_value = "", value_parser = backup_deadline)]
    pub backup_deadline: Maybe<Duration>,

    /// How long a restore may take.
    #[arg(env = "RESTORE_DEADLINE", default_value = "1d", value_parser = length::<86400>)]
    pub restore_deadline: Duration,
}

impl RunLimits {
    /// In the domain's words.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            backup: self.backup_deadline,
            restore: self.restore_deadline,
        }
    }
}

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
    pub fn settings(
        &self,
        limits: Limits,
        workers: Workers,
    ) -> Result<KubernetesSettings, Failure> {
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
        let sound = KubernetesSettings::new(
            &self.namespace,
            &self.backuper_image,
            &self.restorer_image,
            workers,
        );
        Ok(KubernetesSettings {
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

/// Workers on this machine.
#[derive(Clone, Debug, Args)]
pub struct Machine {
    /// Folder of the schedules, the runs and their logs; made when it is missing.
    #[arg(env = "DATA_DIR", default_value = "/var/lib/postgres-adapter", value_parser = data_dir)]
    pub data_dir: PathBuf,

    /// Directory below which requests may name one of their own as a store (file://); empty: none.
    #[arg(env = "FILE_ROOT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub file_root: Maybe<PathBuf>,

    /// How many workers run side by side.
    #[arg(env = "LOCAL_MAX_WORKERS", default_value = "4", value_parser = workers)]
    pub max_workers: NonZeroU16,

    /// The backuper; empty: the one beside the scheduler.
    #[arg(env = "BACKUPER_BINARY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub backuper: Maybe<PathBuf>,

    /// The restorer; empty: the one beside the scheduler.
    #[arg(env = "RESTORER_BINARY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub restorer: Maybe<PathBuf>,
}

impl Machine {
    /// The engine's settings.
    ///
    /// # Errors
    /// When our own place, and so the workers', is unknown.
    pub fn settings(&self, limits: Limits, workers: Workers) -> Result<LocalSettings, Failure> {
        Ok(LocalSettings {
            data_dir: self.data_dir.clone(),
            file_root: self.file_root.clone(),
            max_workers: usize::from(self.max_workers.get()),
            backuper: program(self.backuper.as_deref(), "backuper")?,
            restorer: program(self.restorer.as_deref(), "restorer")?,
            workers,
            limits,
            backoff: [Duration::from_secs(10), Duration::from_secs(60)],
            clock: Clock::System,
        })
    }
}

/// Where a worker's program is: as it was set, or beside our own.
fn program(set: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = set {
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().map_err(|error| {
        Failure::refused(format!(
            "the scheduler's own folder is unknown ({error}); set BACKUPER_BINARY and RESTORER_BINARY"
        ))
    })?;
    Ok(own.with_file_name(name))
}

impl Config {
    /// What workers are told.
    #[must_use]
    pub fn workers(&self) -> Workers {
        Workers {
            settings: self.workers.clone(),
            places: self.access.places(),
        }
    }

    /// The IP address to listen on: in a pod all of them, elsewhere the machine's own.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        let local = self.choice() == Choice::Local;
        let default = if local {
            Ipv4Addr::LOCALHOST
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        self.serving.address.unwrap_or(IpAddr::V4(default))
    }

    /// Whether requests are tried before they are answered.
    #[must_use]
    pub fn checks(&self) -> Checks {
        match (self.serving.check_requests, self.choice()) {
            (false, _) => Checks::Off,
            (true, Choice::Kubernetes) => Checks::On(Disk::Apart),
            (true, Choice::Local) => Checks::On(Disk::Shared),
        }
    }

    /// The engine that is meant.
    #[must_use]
    pub fn choice(&self) -> Choice {
        let namespaced = !self.cluster.namespace.is_empty();
        self.engine.unwrap_or(if namespaced {
            Choice::Kubernetes
        } else {
            Choice::Local
        })
    }
}

fn template(path: &Path) -> Result<Template, Failure> {
    let bytes = read("WORKER_POD_TEMPLATE", path)?;
    Template::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        Failure::refused(format!("WORKER_POD_TEMPLATE: {}: {error}", path.display()))
    })
}

// An empty variable is an unset one, so each parser knows its default.

fn address(text: &str) -> Result<Maybe<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse();
    let address = address.map_err(|_not_an_address| "an IP address is needed".to_owned())?;
    Ok(Some(address))
}

fn port<const DEFAULT: u16>(text: &str) -> Result<u16, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(DEFAULT),
        Ok(0) | Err(_) => Err("a port from 1 to 65535 is needed".to_owned()),
        Ok(port) => Ok(port),
    }
}

fn length<const DEFAULT: u64>(text: &str) -> Result<Duration, String> {
    let length = match text {
        "" => Duration::from_secs(DEFAULT),
        text => duration(text)?,
    };
    if length.as_secs() == 0 {
        return Err("a duration of a second or more is needed, such as 90s, 5min or 1d".to_owned());
    }
    Ok(length)
}

fn backup_deadline(text: &str) -> Result<Maybe<Duration>, String> {
    match text {
        "" => Ok(None),
        text => length::<0>(text).map(Some),
    }
}

fn count<const DEFAULT: i32>(text: &str) -> Result<i32, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(DEFAULT),
        Ok(count @ 0..) => Ok(count),
        Ok(_) | Err(_) => Err("a count of 0 or more is needed".to_owned()),
    }
}

fn checked(text: &str) -> Result<bool, String> {
    flag(if text.is_empty() { "true" } else { text })
}

fn workers(text: &str) -> Result<NonZeroU16, String> {
    let text = if text.is_empty() { "4" } else { text };
    text.parse()
        .map_err(|_not_a_count| "a count of 1 or more is needed".to_owned())
}

fn data_dir(text: &str) -> Result<PathBuf, String> {
    Ok(match text {
        "" => "/var/lib/postgres-adapter".into(),
        text => text.into(),
    })
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
