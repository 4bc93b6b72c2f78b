//! What a schedule is put with, and what doctor is asked about.

use std::collections::HashMap;
use std::path::PathBuf;

use backuper::runtime::Failure;
use clap::Args;

use super::options::OptionsAsked;
use super::places::{PasswordAsked, database};
use super::stores::{NEEDED, StoreAsked};
use super::verify::ProvingAsked;
use crate::api::proto::v1;

/// A schedule in all it is, or a file of several.
#[derive(Debug, Args)]
pub(in crate::cli) struct PutAsked {
    /// Its name: a DNS label. Without one the schedule of this database, store and times is meant.
    #[arg(conflicts_with = "file")]
    name: Option<String>,
    /// A file of schedules, as SCHEDULES_FILE has it, in place of all that follows.
    #[arg(short, long, conflicts_with_all = ["database", "store", "cron", "OptionsAsked", "RetentionOptions", "FormatOptions", "FilterOptions", "ProvingAsked"])]
    pub(in crate::cli) file: Option<PathBuf>,
    /// What is backed up: USER@HOST:PORT/DBNAME.
    #[arg(long, required_unless_present = "file")]
    database: Option<String>,
    #[command(flatten)]
    password: PasswordAsked,
    #[command(flatten)]
    store: StoreAsked,
    /// When, as cron(5) has it, or @hourly, @daily, @weekly.
    #[arg(long, required_unless_present = "file")]
    cron: Option<String>,
    /// The time zone that --cron is in, such as Europe/Berlin; without it UTC.
    #[arg(long)]
    time_zone: Option<String>,
    /// How many complete backups are kept; 0: all of them.
    #[arg(long, default_value_t = 7)]
    keep: u32,
    /// A label, NAME=VALUE; may be given several times.
    #[arg(long = "label", value_parser = label)]
    labels: Vec<(String, String)>,
    /// HOST:PORT of a core that is told of each run.
    #[arg(long)]
    core: Option<String>,
    #[command(flatten)]
    options: OptionsAsked,
    #[command(flatten, next_help_heading = "Its restore drills")]
    proving: ProvingAsked,
    /// Make nothing, and say what would be.
    #[arg(long)]
    pub(in crate::cli) validate_only: bool,
    /// Do not try the database and the store before.
    #[arg(long)]
    pub(in crate::cli) skip_checks: bool,
}

impl PutAsked {
    /// The one schedule that the arguments say.
    pub(in crate::cli) fn request(&self) -> Result<v1::PutScheduleRequest, Failure> {
        let text = self.database.as_deref().unwrap_or_default();
        let store = self.store.message()?;
        if store.is_none() {
            return Err(Failure::refused(format!("--store is missing: {NEEDED}")));
        }
        let labels: HashMap<_, _> = self.labels.iter().cloned().collect();
        Ok(self.options.added_to(v1::PutScheduleRequest {
            name: self.name.clone().unwrap_or_default(),
            database: Some(database(text, &self.password)?),
            store,
            cron: self.cron.clone().unwrap_or_default(),
            time_zone: self.time_zone.clone().unwrap_or_default(),
            max_backup_count: self.keep,
            labels,
            core_addr: self.core.clone().unwrap_or_default(),
            skip_checks: self.skip_checks,
            validate_only: self.validate_only,
            verify: self.proving.message()?,
            ..v1::PutScheduleRequest::default()
        }))
    }
}

/// A schedule, or a database, a store, or both.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorAsked {
    /// The schedule's name.
    #[arg(conflicts_with_all = ["database", "store"], required_unless_present_any = ["database", "store"])]
    schedule: Option<String>,
    /// A database: USER@HOST:PORT/DBNAME.
    #[arg(long)]
    database: Option<String>,
    #[command(flatten)]
    password: PasswordAsked,
    #[command(flatten)]
    store: StoreAsked,
}

impl DoctorAsked {
    pub(in crate::cli) fn request(&self) -> Result<v1::DiagnoseRequest, Failure> {
        let database = self
            .database
            .as_deref()
            .map(|it| database(it, &self.password));
        Ok(v1::DiagnoseRequest {
            schedule: self.schedule.clone().unwrap_or_default(),
            database: database.transpose()?,
            store: self.store.message()?,
        })
    }
}

/// Whose backups.
#[derive(Debug, Args)]
pub(in crate::cli) struct BackupsAsked {
    /// The schedule's name.
    #[arg(required_unless_present = "store", conflicts_with = "store")]
    schedule: Option<String>,
    #[command(flatten)]
    store: StoreAsked,
    /// With --store: HOST:PORT/DBNAME, the database whose backups are listed; without it the newest of each.
    /// With a schedule of several databases: the one of them; without it all of them.
    #[arg(long)]
    source: Option<String>,
}

impl BackupsAsked {
    pub(in crate::cli) fn request(&self) -> Result<v1::ListBackupsRequest, Failure> {
        Ok(v1::ListBackupsRequest {
            schedule: self.schedule.clone().unwrap_or_default(),
            page_size: 1_000,
            page_token: String::new(),
            store: self.store.message()?,
            source: self.source.clone().unwrap_or_default(),
        })
    }
}

/// Which backup.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(in crate::cli) struct BackupAsked {
    /// The schedule's name.
    #[arg(required_unless_present = "store", conflicts_with = "store")]
    schedule: Option<String>,
    /// The backup's folder or key, as `backups` prints it.
    #[arg(id = "backup_key", value_name = "KEY", required = true)]
    key: Option<String>,
    #[command(flatten)]
    store: StoreAsked,
    /// With --store, or a schedule of several databases: HOST:PORT/DBNAME,
    /// the database whose backup it is.
    #[arg(long)]
    source: Option<String>,
}

impl BackupAsked {
    pub(in crate::cli) fn request(&self) -> Result<v1::GetBackupRequest, Failure> {
        Ok(v1::GetBackupRequest {
            schedule: self.schedule.clone().unwrap_or_default(),
            store: self.store.message()?,
            source: self.source.clone().unwrap_or_default(),
            key: self.key.clone().unwrap_or_default(),
        })
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let pair = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}
