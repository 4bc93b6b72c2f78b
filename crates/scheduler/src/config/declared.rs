//! Schedules that the administrator declares.

use std::path::PathBuf;

use backuper::job::{Maybe, maybe};
use clap::Args;

/// Schedules that the administrator declares.
#[derive(Clone, Debug, Args)]
pub struct Declared {
    /// YAML file with schedules that the scheduler makes and keeps as it says; one that is taken out is removed, and its backups stay. Empty: none.
    #[arg(env = "SCHEDULES_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub schedules_file: Maybe<PathBuf>,
}
