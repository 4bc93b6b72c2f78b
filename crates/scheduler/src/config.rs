//! The scheduler's settings: read here from the environment, and nowhere else.

pub mod access;
pub mod declared;
pub mod kubernetes;
pub mod local;
pub mod operator;
pub mod runs;
pub mod serving;

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use access::Access;
use backuper::job::{Maybe, maybe};
use clap::Parser;
use declared::Declared;
use kubernetes::Cluster;
use local::Machine;
use operator::Operating;
use runs::RunLimits;
use serving::Serving;

use crate::domain::access::Listed;
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

    /// Schedules that the administrator declares.
    #[command(flatten, next_help_heading = "Schedules")]
    pub declared: Declared,

    /// Databases as objects.
    #[command(flatten, next_help_heading = "Operator")]
    pub operating: Operating,

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

impl Config {
    /// What workers are told.
    #[must_use]
    pub fn workers(&self) -> Workers {
        let mut places = self.access.places();
        // Whoever has a Secret of its own needs nothing of ours.
        let default = self
            .workers
            .default
            .store()
            .filter(|it| it.keys.is_ambient());
        let listed = default.map(|it| Listed::Default(it.place));
        places.ambient_buckets.extend(listed);
        let settings = self.workers.clone();
        let settings = match self.choice() {
            Choice::Kubernetes => settings.without_secrets(),
            Choice::Local => settings,
        };
        Workers { settings, places }
    }

    /// Whether what workers are told fits together, as far as no request can mend it.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn check_workers(&self) -> Result<(), String> {
        self.workers.check()?;
        let has_secrets = self.choice() == Choice::Kubernetes;
        self.workers.default.check(&self.workers, has_secrets)
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
