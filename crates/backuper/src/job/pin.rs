//! What a backuper is told that pins one backup, or unpins it, and makes none.

use clap::Parser;

use super::parse::non_empty;
use super::source::BackupSource;
use super::store::StoreSettings;
use super::var::Var;
use super::{EXIT_CODES, LayoutSettings, ReportingSettings};

/// Everything that is needed to pin one backup or to take its pin away. It has no login: a backuper of a
/// version that knows no pins refuses to start, and makes no backup instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Pins one backup of a PostgreSQL database, so that no retention removes it, or unpins it.",
    after_help = EXIT_CODES
)]
pub struct PinJob {
    /// HOST:PORT/DBNAME: the database whose backup it is; that of another one is refused.
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

impl PinJob {
    /// The environment in which a backuper pins the backup, secrets marked.
    #[must_use]
    pub fn pin_env(&self) -> Vec<Var> {
        self.to_env("pin")
    }

    /// The environment in which a backuper takes the pin away, secrets marked.
    #[must_use]
    pub fn unpin_env(&self) -> Vec<Var> {
        self.to_env("unpin")
    }

    fn to_env(&self, task: &str) -> Vec<Var> {
        let Self {
            source,
            key,
            store,
            layout,
            reporting,
        } = self;
        let mut vars = vec![
            Var::plain("BACKUPER_TASK", task),
            Var::plain("BACKUP_SOURCE", source.to_string()),
            Var::plain("BACKUP_KEY", key),
        ];
        vars.extend(store.to_env());
        vars.extend(layout.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}
