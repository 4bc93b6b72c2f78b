//! What a backuper is told that shows one backup and makes none.

use clap::Parser;

use super::parse::non_empty;
use super::source::BackupSource;
use super::store::StoreSettings;
use super::var::Var;
use super::{EXIT_CODES, LayoutSettings, ReportingSettings};

/// Everything that is needed to show one backup. It has no login: a backuper of a version that cannot
/// show refuses to start, and makes no backup instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Shows one backup of a PostgreSQL database: what it says of itself, and its objects.",
    after_help = EXIT_CODES
)]
pub struct ShowJob {
    /// HOST:PORT/DBNAME: the database whose backup it is.
    #[arg(help_heading = "Database", env = "BACKUP_SOURCE")]
    pub source: BackupSource,

    /// The backup's folder, or the key of a single object, as the task list names it.
    #[arg(help_heading = "Backup", env = "BACKUP_KEY", value_parser = non_empty)]
    pub key: String,

    /// Where backups are kept.
    #[command(flatten, next_help_heading = "Store")]
    pub store: StoreSettings,

    /// Where dumps in plain SQL lie.
    #[command(flatten, next_help_heading = "Store")]
    pub layout: LayoutSettings,

    /// How to log.
    #[command(flatten, next_help_heading = "Reporting")]
    pub reporting: ReportingSettings,
}

impl ShowJob {
    /// The environment in which a backuper does this job, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            source,
            key,
            store,
            layout,
            reporting,
        } = self;
        let mut vars = vec![
            Var::plain("BACKUPER_TASK", "show"),
            Var::plain("BACKUP_SOURCE", source.to_string()),
            Var::plain("BACKUP_KEY", key),
        ];
        vars.extend(store.to_env());
        vars.extend(layout.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}
