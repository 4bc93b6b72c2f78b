//! The worker contract: what a backuper is told, and how an engine tells it.
//!
//! clap reads the environment here and nowhere else; [`BackupJob::to_env`] writes the same
//! variables for the engines. The names are those of the oiler-backup contract.
//!
//! Every setting is an environment variable and none is an argument: an argument can be
//! read by everybody on the machine. An empty variable counts as unset, since that is what
//! a Kubernetes manifest with a blank value makes of it.

pub mod check;
pub mod copy;
pub mod database;
pub mod databases;
pub mod delete;
pub mod encryption;
pub mod filters;
pub mod format;
pub mod globals;
pub mod list;
pub mod parse;
pub mod pin;
pub mod preview;
pub mod reporting;
pub mod retention;
pub mod schedule;
pub mod show;
pub mod source;
pub mod store;
pub mod var;

use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;

use crate::archive::codec::CompressionLevel;
use crate::dump::plan::{Reading, Split};
use crate::postgres::CopyFormat;
use crate::runtime::settings::PROTECTED;
use crate::selection::Databases;
use crate::storage::{Config, Tags};

pub use check::CheckJob;
pub use copy::CopySettings;
pub use database::{ConnectionSettings, DatabaseSettings};
pub use databases::SeveralSettings;
pub use delete::DeleteJob;
pub use encryption::EncryptionSettings;
pub use filters::FilterSettings;
pub use format::{Format, FormatSettings, LayoutSettings};
pub use globals::{GlobalsSettings, Passwords};
pub use list::ListJob;
pub use parse::{Maybe, duration, flag, jobs, lock_wait_timeout, maybe, secret, time};
pub use pin::PinJob;
pub use preview::PreviewJob;
pub use reporting::ReportingSettings;
pub use retention::{CalendarSettings, RetentionSettings};
pub use schedule::ScheduleName;
pub use show::ShowJob;
pub use source::BackupSource;
pub use store::StoreSettings;
pub use var::{Value, Var};

/// What an exit code of a worker means; part of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done: what was asked for is complete and verified
  1    failed; trying again may help
  2    the request or the configuration is wrong; trying again will not help
  3    partly: a backup of several databases, and not of all of them; a restore with RESTORE_KEEP_GOING,
       and not all of it; what is missing is named in the log
  4    not begun: the restore had waited longer than RESTORE_BEGIN_BY allows; nothing was changed
  5    the backup is complete and verified, and its copy in the store of COPY_TO is not
  130  stopped by SIGINT; nothing is left that looks whole
  143  stopped by SIGTERM; nothing is left that looks whole

The last line of the log says in one sentence what is wrong and what to do.";

/// Everything a backuper needs to make one backup.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Makes one backup of a PostgreSQL database and puts it into S3.",
    after_help = EXIT_CODES
)]
pub struct BackupJob {
    /// The database to back up.
    #[command(flatten, next_help_heading = "Database")]
    pub database: DatabaseSettings,

    /// How several databases are backed up.
    #[command(flatten, next_help_heading = "Database")]
    pub several: SeveralSettings,

    /// Where backups are kept.
    #[command(flatten, next_help_heading = "Store")]
    pub store: StoreSettings,

    /// What every object says of the backup: key=value, separated by commas, 10 at most; tags on S3, where they may be set, metadata on gs:// and az://.
    #[arg(env = "OBJECT_TAGS", default_value = "", value_parser = Tags::from_str, help_heading = "Store")]
    pub object_tags: Tags,

    /// Where dumps in plain SQL lie.
    #[command(flatten, next_help_heading = "Store")]
    pub layout: LayoutSettings,

    /// What a backup is made of.
    #[command(flatten, next_help_heading = "Backup")]
    pub format: FormatSettings,

    /// Which part of the database it has.
    #[command(flatten, next_help_heading = "Backup")]
    pub filters: FilterSettings,

    /// How many data streams run side by side; empty: as many as there are cores, 4 at most.
    #[arg(env = "BACKUP_JOBS", default_value = "", value_parser = jobs, help_heading = "Backup")]
    pub jobs: Maybe<NonZeroU16>,

    /// Who reads the rows of tables: auto, copy, pg_dump.
    #[arg(help_heading = "Backup", env = "BACKUP_ROWS", default_value = "auto", value_parser = Reading::from_str)]
    pub rows: Reading,

    /// Whether several sessions read the rows of one table: auto, always, never.
    #[arg(help_heading = "Backup", env = "BACKUP_SPLIT_TABLES", default_value = "auto", value_parser = Split::from_str)]
    pub split: Split,

    /// In which of COPY's formats rows come: auto, binary, text.
    #[arg(help_heading = "Backup", env = "BACKUP_COPY_FORMAT", default_value = "auto", value_parser = CopyFormat::from_str)]
    pub copy_format: CopyFormat,

    /// zstd's compression level, 1 to 19; of plain SQL gzip's, which ends at 9.
    #[arg(help_heading = "Backup", env = "COMPRESSION_LEVEL", default_value = "1", value_parser = CompressionLevel::from_str)]
    pub compression_level: CompressionLevel,

    /// The schedule whose backups MAX_BACKUP_COUNT counts, where a database has several in one bucket; empty: those of no named schedule.
    #[arg(help_heading = "Backup", env = "BACKUP_SCHEDULE", default_value = "", value_parser = maybe::<ScheduleName>)]
    pub schedule: Maybe<ScheduleName>,

    /// Which backups are kept.
    #[command(flatten, next_help_heading = "Retention")]
    pub retention: RetentionSettings,

    /// How long to wait for a lock on a table before the backup fails (5min, 90s); 0: without a limit.
    #[arg(help_heading = "Backup", env = "LOCK_WAIT_TIMEOUT", default_value = "5min", value_parser = lock_wait_timeout)]
    pub lock_wait_timeout: Duration,

    /// Who can read it.
    #[command(flatten, next_help_heading = "Encryption")]
    pub encryption: EncryptionSettings,

    /// What of the server is a part of it.
    #[command(flatten, next_help_heading = "Globals")]
    pub globals: GlobalsSettings,

    /// Where complete backups are copied to.
    #[command(flatten, next_help_heading = "Copy")]
    pub copy: CopySettings,

    /// Where to report, how to log.
    #[command(flatten, next_help_heading = "Reporting")]
    pub reporting: ReportingSettings,
}

impl BackupJob {
    /// The backups' store, and what the objects of this one say of it: OBJECT_TAGS, and the time with them.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn store(&self) -> Result<Config, String> {
        let mut config = self.store.config()?;
        if !self.object_tags.is_empty() {
            let now = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
            config.tags = self.object_tags.and(&Tags::fitted([("timestamp", now)]));
        }
        Ok(config)
    }

    /// Refuses settings of which one would be passed over, or do harm.
    ///
    /// # Errors
    /// A sentence that names the variables to change.
    pub fn check_part(&self) -> Result<(), String> {
        self.filters.check()?;
        if self.format.sql_clean && self.format.format == Format::SqlGz && !self.filters.is_empty()
        {
            return Err("SQL_CLEAN=true drops what a dump makes anew, with rows and partitions that a part of a database does not bring back: set SQL_CLEAN=false, or leave INCLUDE_SCHEMAS, EXCLUDE_SCHEMAS, INCLUDE_TABLES, EXCLUDE_TABLES and EXCLUDE_TABLE_DATA empty".to_owned());
        }
        Ok(())
    }

    /// Whether a backuper that passes over what it does not know would leave the backup open, unlocked, without
    /// the server's roles or in another form, remove more than the rules let go, or take a part of a database for
    /// all of it, or several for one of that name.
    fn is_protected(&self) -> bool {
        let options = self.store.s3.options();
        let EncryptionSettings {
            encrypt_to,
            encrypt_to_file,
            encrypt_manifest,
        } = &self.encryption;
        encrypt_to.is_some()
            || encrypt_to_file.is_some()
            || *encrypt_manifest
            || options.encryption.is_some()
            || options.customer_key.is_some()
            || options.lock_mode.is_some()
            || self.format.format != Format::Archive
            || self.globals.globals
            || !self.filters.is_empty()
            || self.retention.calendar != CalendarSettings::default()
            || Databases::is_special(&self.database.name)
    }

    /// The environment in which a backuper does this job: the whole contract, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            database,
            several,
            store,
            object_tags,
            layout,
            format,
            filters,
            jobs,
            rows,
            split,
            copy_format,
            compression_level,
            schedule,
            retention,
            lock_wait_timeout,
            encryption,
            globals,
            copy,
            reporting,
        } = self;
        let mut vars = database.to_env();
        vars.extend(several.to_env());
        if self.is_protected() {
            vars.push(Var::plain("BACKUPER_TASK", PROTECTED));
        }
        vars.extend(store.to_env());
        if !object_tags.is_empty() {
            vars.push(Var::plain("OBJECT_TAGS", object_tags.to_string()));
        }
        vars.extend(layout.to_env());
        vars.extend(format.to_env());
        vars.extend(filters.to_env());
        vars.extend(jobs.map(|it| Var::plain("BACKUP_JOBS", it.to_string())));
        if *rows != Reading::default() {
            vars.push(Var::plain("BACKUP_ROWS", rows.to_string()));
        }
        if *split != Split::default() {
            vars.push(Var::plain("BACKUP_SPLIT_TABLES", split.to_string()));
        }
        if *copy_format != CopyFormat::default() {
            vars.push(Var::plain("BACKUP_COPY_FORMAT", copy_format.to_string()));
        }
        vars.push(Var::plain(
            "COMPRESSION_LEVEL",
            compression_level.get().to_string(),
        ));
        vars.extend(retention.to_env());
        vars.extend(
            schedule
                .as_ref()
                .map(|it| Var::plain("BACKUP_SCHEDULE", it.as_str())),
        );
        vars.push(Var::plain(
            "LOCK_WAIT_TIMEOUT",
            humantime::format_duration(*lock_wait_timeout).to_string(),
        ));
        vars.extend(encryption.to_env());
        vars.extend(globals.to_env());
        vars.extend(copy.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::runtime::settings::read_from;

    /// What a job of these variables writes gives the same job.
    fn reads_back<J: Parser + std::fmt::Debug>(pairs: &[(&str, &str)], to_env: fn(&J) -> Vec<Var>) {
        let job: J = read_from(pairs.iter().copied()).unwrap();
        let vars: Vec<(&str, String)> = to_env(&job)
            .into_iter()
            .filter(|it| it.name != "BACKUPER_TASK")
            .map(|it| match it.value {
                Value::Plain(value) => (it.name, value),
                Value::Secret(value) => (it.name, value.expose_secret().to_owned()),
            })
            .collect();
        for pair in pairs {
            assert!(
                vars.iter()
                    .any(|(name, value)| (*name, value.as_str()) == *pair),
                "{pair:?}"
            );
        }
        let again: J = read_from(vars.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        assert_eq!(format!("{job:?}"), format!("{again:?}"));
        assert!(!format!("{job:?}").contains("hunter2"));
    }

    #[test]
    fn an_environment_gives_the_task_that_wrote_it() {
        let store = [
            ("S3_ENDPOINT", "http://s3:9000"),
            ("S3_BUCKET_NAME", "backups"),
            ("S3_ACCESS_KEY", "ak"),
            ("S3_SECRET_KEY", "hunter2"),
            ("LOG_FORMAT", "json"),
            (
                "KEY_TEMPLATE",
                "{{ .ClusterName }}/{{.DatabaseName}}/{{ .RunID }}",
            ),
            ("CLUSTER_NAME", "prod"),
        ];
        let source = [("BACKUP_SOURCE", "::1:5432/a/b")];
        let key = [("BACKUP_KEY", "a%2Fb/2026-11-20-21-05-27-backup-1f3a9c0e")];
        reads_back(&store, ListJob::to_env);
        reads_back(&[&store[..], &source].concat(), ListJob::to_env);
        let several = [("BACKUP_SOURCE", "db:5432/*,!x"), ("LIST_SEVERAL", "true")];
        reads_back(&several, ListJob::to_env);
        reads_back(&[&store[..], &source, &key].concat(), ShowJob::to_env);
        let more = [("DELETE_LAST", "true"), ("DELETE_VALIDATE_ONLY", "true")];
        reads_back(&[&store[..], &source, &key].concat(), DeleteJob::to_env);
        let all = [&store[..], &source, &key, &more].concat();
        reads_back(&all, DeleteJob::to_env);
        let pin = [&store[..], &source, &key].concat();
        reads_back(&pin, PinJob::pin_env);
        reads_back(&pin, PinJob::unpin_env);
        reads_back(&[&store[..], &source].concat(), PreviewJob::to_env);
        let rules = [
            ("BACKUP_SCHEDULE", "nightly"),
            ("MAX_BACKUP_COUNT", "7"),
            ("KEEP_HOURLY", "1"),
            ("KEEP_DAILY", "2"),
            ("KEEP_WEEKLY", "3"),
            ("KEEP_MONTHLY", "4"),
            ("KEEP_YEARLY", "5"),
            ("RETENTION_DAYS", "6"),
            ("KEEP_AT_LEAST", "2"),
            ("RETENTION_TIME_ZONE", "Europe/Berlin"),
            ("RETENTION_OBJECTS", "true"),
        ];
        reads_back(&[&store[..], &source, &rules].concat(), PreviewJob::to_env);
        let login = [
            ("CHECK_USER", "me"),
            ("DB_PASSWORD", "hunter2"),
            ("DB_SSLMODE", "verify-full"),
            ("DB_SSLROOTCERT", "/ca.pem"),
            ("DB_SSLCERT", "/me.pem"),
            ("DB_SSLKEY", "/me.key"),
            ("PG_BIN_DIRS", "/opt/pg/bin"),
            ("BACKUP_JOBS", "3"),
        ];
        reads_back(&[], CheckJob::to_env);
        reads_back(&[&store[..], &source, &login].concat(), CheckJob::to_env);
    }
}
