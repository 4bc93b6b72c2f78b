//! What a backuper is told that lists backups and makes none.

use clap::Parser;

use super::source::BackupSource;
use super::store::StoreSettings;
use super::var::Var;
use super::{EXIT_CODES, ReportingSettings};

/// Everything that is needed to list the backups of a database. It has no login: a backuper of a version
/// that cannot list refuses to start, and makes no backup instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Lists the backups of a PostgreSQL database in its store.",
    after_help = EXIT_CODES
)]
pub struct ListJob {
    /// HOST:PORT/DBNAME: the database whose backups are listed.
    #[arg(help_heading = "Database", env = "BACKUP_SOURCE")]
    pub source: BackupSource,

    /// Where backups are kept.
    #[command(flatten, next_help_heading = "Store")]
    pub store: StoreSettings,

    /// How to log.
    #[command(flatten, next_help_heading = "Reporting")]
    pub reporting: ReportingSettings,
}

impl ListJob {
    /// The environment in which a backuper does this job, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            source,
            store,
            reporting,
        } = self;
        let mut vars = vec![
            Var::plain("BACKUPER_TASK", "list"),
            Var::plain("BACKUP_SOURCE", source.to_string()),
        ];
        vars.extend(store.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}
