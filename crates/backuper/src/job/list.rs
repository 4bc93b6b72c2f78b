//! What a backuper is told that lists backups and makes none.

use clap::Parser;

use super::parse::{Maybe, flag, maybe};
use super::source::BackupSource;
use super::store::StoreSettings;
use super::var::Var;
use super::{EXIT_CODES, LayoutSettings, ReportingSettings};

/// Everything that is needed to list backups. It has no login: a backuper of a version
/// that cannot list refuses to start, and makes no backup instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Lists the backups of a PostgreSQL database, or the newest of each, in a store.",
    after_help = EXIT_CODES
)]
pub struct ListJob {
    /// HOST:PORT/DBNAME: the database whose backups are listed; empty: the newest backup of each database in the store.
    #[arg(help_heading = "Database", env = "BACKUP_SOURCE", default_value = "", value_parser = maybe::<BackupSource>)]
    pub source: Maybe<BackupSource>,

    /// true: the DBNAME of BACKUP_SOURCE is a list with patterns, as a backup's DB_NAME has it, and the backups of all that it means are listed.
    #[arg(help_heading = "Database", env = "LIST_SEVERAL", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub several: bool,

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

impl ListJob {
    /// The environment in which a backuper does this job, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            source,
            several,
            store,
            layout,
            reporting,
        } = self;
        let mut vars = vec![Var::plain("BACKUPER_TASK", "list")];
        let source = source.as_ref().map(ToString::to_string);
        vars.extend(source.map(|it| Var::plain("BACKUP_SOURCE", it)));
        if *several {
            vars.push(Var::plain("LIST_SEVERAL", "true"));
        }
        vars.extend(store.to_env());
        vars.extend(layout.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}
