//! What a backuper is told that deletes one backup and makes none.

use clap::Parser;

use super::parse::{flag, non_empty};
use super::source::BackupSource;
use super::store::StoreSettings;
use super::var::Var;
use super::{EXIT_CODES, LayoutSettings, ReportingSettings};

/// Everything that is needed to delete one backup. It has no login: a backuper of a version that cannot
/// delete refuses to start, and makes no backup instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Deletes one backup of a PostgreSQL database from its store.",
    after_help = EXIT_CODES
)]
pub struct DeleteJob {
    /// HOST:PORT/DBNAME: the database whose backup it is; that of another one is refused.
    #[arg(help_heading = "Database", env = "BACKUP_SOURCE")]
    pub source: BackupSource,

    /// The backup's folder, or the key of a single object, as the task list names it.
    #[arg(help_heading = "Backup", env = "BACKUP_KEY", value_parser = non_empty)]
    pub key: String,

    /// true: also where no other complete backup of the database would be left.
    #[arg(help_heading = "Backup", env = "DELETE_LAST", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub last: bool,

    /// true: says what would be deleted, and deletes nothing.
    #[arg(help_heading = "Backup", env = "DELETE_VALIDATE_ONLY", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub validate_only: bool,

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

impl DeleteJob {
    /// The environment in which a backuper does this job, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            source,
            key,
            last,
            validate_only,
            store,
            layout,
            reporting,
        } = self;
        let mut vars = vec![
            Var::plain("BACKUPER_TASK", "delete"),
            Var::plain("BACKUP_SOURCE", source.to_string()),
            Var::plain("BACKUP_KEY", key),
        ];
        for (name, is_set) in [
            ("DELETE_LAST", last),
            ("DELETE_VALIDATE_ONLY", validate_only),
        ] {
            vars.extend(is_set.then(|| Var::plain(name, "true")));
        }
        vars.extend(store.to_env());
        vars.extend(layout.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}
