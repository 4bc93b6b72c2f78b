//! A restorer's variables, as they are read: the database's name may be told under either of two.

use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use backuper::catalog::{NotARevision, Revision};
use backuper::job::store::StoreSettings;
use backuper::job::{
    BackupSource, DatabaseSettings, EXIT_CODES, LayoutSettings, Maybe, ReportingSettings, flag,
    jobs, lock_wait_timeout, maybe, time,
};
use backuper::postgres::CopyFormat;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};
use jiff::Timestamp;

use super::{CreateRoles, IdentitySettings, Mode, Owners, RestoreJob, keep_old};

/// The job as variables tell it.
#[derive(Debug, Parser)]
#[command(
    name = "restorer",
    version,
    about = "Takes one backup of a PostgreSQL database from S3 and restores it.",
    after_help = EXIT_CODES,
    mut_arg("name", |it| it.required(false).default_value("").value_parser(clap::value_parser!(String)))
)]
struct Given {
    /// The database to restore into; its name also says whose backups are meant.
    #[command(flatten, next_help_heading = "Database")]
    database: DatabaseSettings,

    /// Where backups are kept.
    #[command(flatten, next_help_heading = "Store")]
    store: StoreSettings,

    /// Where dumps in plain SQL lie.
    #[command(flatten, next_help_heading = "Store")]
    layout: LayoutSettings,

    /// Which backup: a number counted from the newest (0 or latest), a folder's name, an object's key, or an RFC 3339 time for the newest at or before it.
    #[arg(help_heading = "Restore", env = "BACKUP_REVISION", default_value = "latest", value_parser = revision)]
    revision: Revision,

    /// HOST:PORT/DBNAME: numbers and times count the backups of this database; empty: those of the database that is restored into.
    #[arg(help_heading = "Restore", env = "BACKUP_SOURCE", default_value = "", value_parser = maybe::<BackupSource>)]
    source: Maybe<BackupSource>,

    /// RFC 3339 time: a number counts only backups that were complete by then; empty: all.
    #[arg(help_heading = "Restore", env = "RESTORE_AS_OF", default_value = "", value_parser = time)]
    as_of: Maybe<Timestamp>,

    /// RFC 3339 time: a restore that has not begun by then does not begin, since it would take what was written meanwhile; empty: no limit.
    #[arg(help_heading = "Restore", env = "RESTORE_BEGIN_BY", default_value = "", value_parser = time)]
    begin_by: Maybe<Timestamp>,

    /// How many streams run side by side; empty: as many as there are cores, 4 at most.
    #[arg(help_heading = "Restore", env = "RESTORE_JOBS", default_value = "", value_parser = jobs)]
    jobs: Maybe<NonZeroU16>,

    /// How long to wait for a lock on an object that is to be replaced (5min, 90s).
    #[arg(help_heading = "Restore", env = "LOCK_WAIT_TIMEOUT", default_value = "5min", value_parser = lock_wait_timeout)]
    lock_wait_timeout: Duration,

    /// auto (or in-place): into a database that is missing or empty, or in the place of what is there; empty: only into one that is missing or has nothing of anybody's in it; swap: into a new database beside the one that is there, whose name it takes when it is complete.
    #[arg(help_heading = "Restore", env = "RESTORE_MODE", default_value = "auto", value_parser = Mode::from_str)]
    mode: Mode,

    /// swap: how long the database that was there is kept (24h, 7days); 0: it is dropped when the new one has its name.
    #[arg(help_heading = "Restore", env = "KEEP_OLD", default_value = "24h", value_parser = keep_old)]
    keep_old: Duration,

    /// The database's name in the place of DB_NAME, with RESTORE_MODE=empty: a restorer that does not know that mode begins nothing, since it has no DB_NAME.
    #[arg(help_heading = "Restore", env = "RESTORE_INTO_EMPTY", default_value = "", value_parser = maybe::<String>)]
    into_empty: Maybe<String>,

    /// The database's name in the place of DB_NAME, for a restore drill: its backup is restored into a database that is made for it, compared with what was dumped, and dropped again.
    #[arg(help_heading = "Restore", env = "RESTORE_DRILL", default_value = "", value_parser = maybe::<String>)]
    drill: Maybe<String>,

    /// SQL that a drill runs in what it has restored: it passes where it succeeds and the first column of each statement's last row, if it gives any, is neither false nor null.
    #[arg(help_heading = "Restore", env = "RESTORE_DRILL_SQL", default_value = "", value_parser = maybe::<String>)]
    drill_sql: Maybe<String>,

    /// auto: objects get the owners that the backup names, where the target has those roles; none: everything belongs to the role that restores.
    #[arg(help_heading = "Restore", env = "RESTORE_OWNERS", default_value = "auto", value_parser = Owners::from_str)]
    owners: Owners,

    /// none: no role is made; missing: those that the backup needs and the target lacks are made of the backup's globals.
    #[arg(help_heading = "Restore", env = "RESTORE_ROLES", default_value = "none", value_parser = CreateRoles::from_str)]
    roles: CreateRoles,

    /// true: what cannot be made after the rows (indexes, constraints, triggers …) is named and left out, and the exit code is 3; false: all or nothing.
    #[arg(help_heading = "Restore", env = "RESTORE_KEEP_GOING", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    keep_going: bool,

    /// auto: rows of large tables whose types are known go in COPY's binary format, which costs the server less; binary: those of small ones too; text: all go as the backup has them.
    #[arg(help_heading = "Restore", env = "RESTORE_COPY_FORMAT", default_value = "auto", value_parser = CopyFormat::from_str)]
    copy_format: CopyFormat,

    /// The private keys of an encrypted backup.
    #[command(flatten, next_help_heading = "Encryption")]
    identity: IdentitySettings,

    /// Where to report, how to log.
    #[command(flatten, next_help_heading = "Reporting")]
    reporting: ReportingSettings,
}

fn revision(text: &str) -> Result<Revision, NotARevision> {
    Revision::from_str(text)
}

impl Given {
    /// The job, where exactly one variable has the database's name.
    fn job(self) -> Result<RestoreJob, clap::Error> {
        let Self {
            mut database,
            store,
            layout,
            revision,
            source,
            as_of,
            begin_by,
            jobs,
            lock_wait_timeout,
            mut mode,
            keep_old,
            into_empty,
            drill,
            drill_sql,
            owners,
            roles,
            keep_going,
            copy_format,
            identity,
            reporting,
        } = self;
        if drill.is_none() && drill_sql.is_some() {
            return Err(missing("RESTORE_DRILL"));
        }
        let is_drill = drill.is_some();
        let others = [("RESTORE_INTO_EMPTY", into_empty), ("RESTORE_DRILL", drill)];
        for (variable, name) in others {
            let Some(name) = name else { continue };
            if !database.name.is_empty() {
                return Err(conflict(variable));
            }
            database.name = name;
            mode = Mode::Empty;
        }
        if database.name.is_empty() {
            return Err(missing("DB_NAME"));
        }
        Ok(RestoreJob {
            database,
            store,
            layout,
            revision,
            source,
            as_of,
            begin_by,
            jobs,
            lock_wait_timeout,
            mode,
            keep_old,
            owners,
            roles,
            keep_going,
            copy_format,
            drill: is_drill,
            drill_sql,
            identity,
            reporting,
        })
    }
}

// Both in clap's words, so that the sentences are those of any other setting.

fn missing(variable: &str) -> clap::Error {
    let mut error = clap::Error::new(ErrorKind::MissingRequiredArgument);
    let name = ContextValue::String(variable.to_owned());
    error.insert(ContextKind::InvalidArg, name);
    error
}

/// Two variables that have the database's name.
fn conflict(variable: &str) -> clap::Error {
    let mut error = clap::Error::new(ErrorKind::ArgumentConflict);
    let name = |it: &str| ContextValue::String(it.to_owned());
    error.insert(ContextKind::InvalidArg, name("DB_NAME"));
    error.insert(ContextKind::PriorArg, name(variable));
    error
}

impl CommandFactory for RestoreJob {
    fn command() -> Command {
        Given::command()
    }

    fn command_for_update() -> Command {
        Given::command_for_update()
    }
}

impl FromArgMatches for RestoreJob {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Given::from_arg_matches(matches)?.job()
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use backuper::runtime::settings::{Instead, read_from};

    use super::*;

    fn read(more: &[(&'static str, &'static str)]) -> Result<RestoreJob, String> {
        let base = [("DB_HOST", "db"), ("DB_USER", "me")];
        read_from([&base, more].concat()).map_err(|instead| match instead {
            Instead::Refuse(sentence) => sentence,
            Instead::Print(text) => panic!("{text}"),
        })
    }

    #[test]
    fn exactly_one_variable_has_the_databases_name() {
        for (more, expected) in [
            (vec![("DB_NAME", "app")], Mode::Auto),
            (
                vec![("DB_NAME", "app"), ("RESTORE_MODE", "empty")],
                Mode::Empty,
            ),
            (
                vec![("DB_NAME", "app"), ("RESTORE_INTO_EMPTY", "")],
                Mode::Auto,
            ),
            (vec![("RESTORE_INTO_EMPTY", "app")], Mode::Empty),
            (
                vec![("RESTORE_INTO_EMPTY", "app"), ("DB_NAME", "")],
                Mode::Empty,
            ),
            // What is told by the name holds, whatever the mode says.
            (
                vec![("RESTORE_INTO_EMPTY", "app"), ("RESTORE_MODE", "auto")],
                Mode::Empty,
            ),
        ] {
            let job = read(&more).unwrap();
            assert_eq!((job.database.name.as_str(), job.mode), ("app", expected));
        }
        for none in [vec![], vec![("DB_NAME", ""), ("RESTORE_INTO_EMPTY", "")]] {
            let sentence = read(&none).unwrap_err();
            assert!(sentence.starts_with("DB_NAME must be set"), "{sentence}");
        }
        for other in ["RESTORE_INTO_EMPTY", "RESTORE_DRILL"] {
            let both = read(&[("DB_NAME", "app"), (other, "app")]).unwrap_err();
            assert_eq!(
                both,
                format!("DB_NAME and {other} are both set, and only one of them may be")
            );
        }
        read(&[("RESTORE_INTO_EMPTY", "app"), ("RESTORE_DRILL", "app")]).unwrap_err();
        let alone = read(&[("DB_NAME", "app"), ("RESTORE_DRILL_SQL", "SELECT 1")]).unwrap_err();
        assert!(alone.starts_with("RESTORE_DRILL must be set"), "{alone}");
    }

    #[test]
    fn a_drill_is_told_by_a_name_that_only_a_restorer_that_knows_drills_reads() {
        let job = read(&[
            ("RESTORE_DRILL", "app"),
            ("RESTORE_DRILL_SQL", "SELECT true"),
        ])
        .unwrap();
        assert!(job.drill && job.database.name == "app");
        let vars = job.to_env();
        let names: Vec<&str> = vars.iter().map(|it| it.name).collect();
        for it in ["DB_NAME", "RESTORE_INTO_EMPTY", "RESTORE_MODE"] {
            assert!(!names.contains(&it), "{names:?}");
        }
        assert!(names.contains(&"RESTORE_DRILL") && names.contains(&"RESTORE_DRILL_SQL"));
    }

    /// What an older restorer cannot do without is missing: it refuses, where it would replace all.
    #[test]
    fn a_restorer_that_does_not_know_the_mode_is_not_told_the_databases_name() {
        for (mode, name) in [("auto", "DB_NAME"), ("empty", "RESTORE_INTO_EMPTY")] {
            let job = read(&[("DB_NAME", "app"), ("RESTORE_MODE", mode)]).unwrap();
            let vars = job.to_env();
            let names: Vec<&str> = vars.iter().map(|it| it.name).collect();
            for it in ["DB_NAME", "RESTORE_INTO_EMPTY"] {
                assert_eq!(names.contains(&it), it == name, "{names:?}");
            }
        }
    }
}
