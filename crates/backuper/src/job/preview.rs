//! What a backuper is told that says what retention would remove, and removes nothing.

use clap::Parser;

use super::parse::{Maybe, maybe};
use super::schedule::ScheduleName;
use super::source::BackupSource;
use super::store::StoreSettings;
use super::var::Var;
use super::{EXIT_CODES, LayoutSettings, ReportingSettings, RetentionSettings};

/// Everything that is needed to say what retention would remove. It has no login: a backuper of a version
/// that cannot say it refuses to start, and makes no backup instead.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Says which backups of a PostgreSQL database retention would keep and remove, and why; removes none.",
    after_help = EXIT_CODES
)]
pub struct PreviewJob {
    /// HOST:PORT/DBNAME: the database whose backups are judged.
    #[arg(help_heading = "Database", env = "BACKUP_SOURCE")]
    pub source: BackupSource,

    /// The schedule whose backups are judged, where a database has several in one bucket; empty: those of no named schedule.
    #[arg(help_heading = "Backup", env = "BACKUP_SCHEDULE", default_value = "", value_parser = maybe::<ScheduleName>)]
    pub schedule: Maybe<ScheduleName>,

    /// Which backups are kept.
    #[command(flatten, next_help_heading = "Retention")]
    pub retention: RetentionSettings,

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

impl PreviewJob {
    /// The environment in which a backuper does this job, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            source,
            schedule,
            retention,
            store,
            layout,
            reporting,
        } = self;
        let mut vars = vec![
            Var::plain("BACKUPER_TASK", "retention"),
            Var::plain("BACKUP_SOURCE", source.to_string()),
        ];
        let schedule = schedule.as_ref();
        vars.extend(schedule.map(|it| Var::plain("BACKUP_SCHEDULE", it.as_str())));
        vars.extend(retention.to_env());
        vars.extend(store.to_env());
        vars.extend(layout.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}
