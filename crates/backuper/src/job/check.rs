//! What a backuper is told that looks for what would make a backup or a restore fail.

use std::num::NonZeroU16;

use clap::Parser;

use super::database::ConnectionSettings;
use super::parse::{Maybe, jobs, maybe};
use super::source::BackupSource;
use super::store::StoreSettings;
use super::var::Var;
use super::{EXIT_CODES, LayoutSettings, ReportingSettings};

/// Everything that is needed to check a database, a store or both. The database is not named as a
/// backup's is: a backuper of a version that cannot check refuses to start, and makes no backup instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Looks for what would make a backup or a restore fail, and changes nothing.",
    after_help = EXIT_CODES
)]
pub struct CheckJob {
    /// HOST:PORT/DBNAME: the database that is checked; empty: none is.
    #[arg(help_heading = "Database", env = "BACKUP_SOURCE", default_value = "", value_parser = maybe::<BackupSource>)]
    pub source: Maybe<BackupSource>,

    /// Role to connect as; empty: nothing is checked that takes a login.
    #[arg(help_heading = "Database", env = "CHECK_USER", default_value = "", value_parser = maybe::<String>)]
    pub user: Maybe<String>,

    /// How to log in, and how the connection is protected.
    #[command(flatten, next_help_heading = "Database")]
    pub connection: ConnectionSettings,

    /// The store that is checked; without an endpoint and a bucket none is.
    #[command(flatten, next_help_heading = "Store")]
    pub store: StoreSettings,

    /// Where dumps in plain SQL lie.
    #[command(flatten, next_help_heading = "Store")]
    pub layout: LayoutSettings,

    /// How many data streams a backup would run side by side; empty: as many as there are cores, 4 at most.
    #[arg(help_heading = "Backup", env = "BACKUP_JOBS", default_value = "", value_parser = jobs)]
    pub jobs: Maybe<NonZeroU16>,

    /// How to log.
    #[command(flatten, next_help_heading = "Reporting")]
    pub reporting: ReportingSettings,
}

impl CheckJob {
    /// The environment in which a backuper does this job, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            source,
            user,
            connection,
            store,
            layout,
            jobs,
            reporting,
        } = self;
        let mut vars = vec![Var::plain("BACKUPER_TASK", "check")];
        let source = source.as_ref().map(ToString::to_string);
        vars.extend(source.map(|it| Var::plain("BACKUP_SOURCE", it)));
        vars.extend(user.as_ref().map(|it| Var::plain("CHECK_USER", it)));
        vars.extend(connection.to_env());
        vars.extend(store.to_env());
        vars.extend(layout.to_env());
        vars.extend(jobs.map(|it| Var::plain("BACKUP_JOBS", it.to_string())));
        vars.extend(reporting.to_env());
        vars
    }
}
