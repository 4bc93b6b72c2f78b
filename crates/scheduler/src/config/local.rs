//! Workers on this machine.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backuper::job::{Maybe, maybe};
use backuper::runtime::failure::Failure;
use clap::Args;

use crate::domain::limits::Limits;
use crate::engine::local::{Clock, Settings};
use crate::workers::Workers;

/// The socket in DATA_DIR by which commands on this machine reach the scheduler.
pub const SOCKET: &str = "scheduler.sock";

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
    pub fn settings(&self, limits: Limits, workers: Workers) -> Result<Settings, Failure> {
        Ok(Settings {
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

fn workers(text: &str) -> Result<NonZeroU16, String> {
    let text = if text.is_empty() { "4" } else { text };
    text.parse()
        .map_err(|_not_a_count| "a count of 1 or more is needed".to_owned())
}

/// The folder that `DATA_DIR` names, or the default one.
///
/// # Errors
/// None.
pub(crate) fn data_dir(text: &str) -> Result<PathBuf, String> {
    Ok(match text {
        "" => "/var/lib/postgres-adapter".into(),
        text => text.into(),
    })
}
