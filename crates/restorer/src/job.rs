//! The worker contract: what a restorer is told, and how an engine tells it.

mod given;
pub mod identity;
mod roles;
mod swap_back;
mod task;

use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use backuper::catalog::Revision;
use backuper::job::LayoutSettings;
use backuper::job::store::StoreSettings;
use backuper::job::{BackupSource, DatabaseSettings, Maybe, ReportingSettings, Var, duration};
use backuper::postgres::CopyFormat;
use jiff::Timestamp;

pub use identity::IdentitySettings;
pub use roles::CreateRoles;
pub use swap_back::SwapBackJob;
pub use task::{Task, task};

/// Everything a restorer needs to bring one backup back.
#[derive(Clone, Debug)]
pub struct RestoreJob {
    /// The database to restore into; its name also says whose backups are meant.
    pub database: DatabaseSettings,

    /// Where backups are kept.
    pub store: StoreSettings,

    /// Where dumps in plain SQL lie.
    pub layout: LayoutSettings,

    /// Which backup: a number counted from the newest (0 or latest), a folder's name, an object's key, or an RFC 3339 time for the newest at or before it.
    pub revision: Revision,

    /// HOST:PORT/DBNAME: numbers and times count the backups of this database; empty: those of the database that is restored into.
    pub source: Maybe<BackupSource>,

    /// RFC 3339 time: a number counts only backups that were complete by then; empty: all.
    pub as_of: Maybe<Timestamp>,

    /// RFC 3339 time: a restore that has not begun by then does not begin, since it would take what was written meanwhile; empty: no limit.
    pub begin_by: Maybe<Timestamp>,

    /// How many streams run side by side; empty: as many as there are cores, 4 at most.
    pub jobs: Maybe<NonZeroU16>,

    /// How long to wait for a lock on an object that is to be replaced (5min, 90s).
    pub lock_wait_timeout: Duration,

    /// auto (or in-place): into a database that is missing or empty, or in the place of what is there; empty: only into one that is missing or has nothing of anybody's in it; swap: into a new database beside the one that is there, whose name it takes when it is complete.
    pub mode: Mode,

    /// swap: how long the database that was there is kept (24h, 7days); 0: it is dropped when the new one has its name.
    pub keep_old: Duration,

    /// auto: objects get the owners that the backup names, where the target has those roles; none: everything belongs to the role that restores.
    pub owners: Owners,

    /// none: no role is made; missing: those that the backup needs and the target lacks are made of the backup's globals.
    pub roles: CreateRoles,

    /// true: what cannot be made after the rows (indexes, constraints, triggers …) is named and left out, and the exit code is 3; false: all or nothing.
    pub keep_going: bool,

    /// auto: rows of large tables whose types are known go in COPY's binary format, which costs the server less; binary: those of small ones too; text: all go as the backup has them.
    pub copy_format: CopyFormat,

    /// Whether the backup is restored into a database of its own, compared with what was dumped, and dropped again; then `database` only says whose backups are meant.
    pub drill: bool,

    /// SQL that a drill asks of what it has restored.
    pub drill_sql: Maybe<String>,

    /// The private keys of an encrypted backup.
    pub identity: IdentitySettings,

    /// Where to report, how to log.
    pub reporting: ReportingSettings,
}

/// How long a database is kept that has made room for another one, unless something else is said.
pub const KEEP_OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads how long a database is kept; empty: a day.
///
/// # Errors
/// Where it is no time, when no calendar reaches so far, and where a unit is missing: seconds in the place of days would
/// cost somebody his database.
pub fn keep_old(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    if text.is_empty() {
        return Ok(KEEP_OLD);
    }
    if text != "0" && text.bytes().all(|it| it.is_ascii_digit()) {
        return Err(format!("a unit is needed: {text}h, {text}days"));
    }
    let needed = |_error| "0 or a time with its unit is needed, such as 24h or 7days".to_owned();
    let time = duration(text).map_err(needed)?;
    if time > LONGEST {
        return Err("0 or a time of no more than 100 years is needed".to_owned());
    }
    Ok(time)
}

/// Who owns what is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// The owners that the backup names, where the target has those roles.
    #[default]
    Auto,
    /// The role that restores.
    None,
}

impl FromStr for Owners {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => Err("auto or none is needed"),
        }
    }
}

impl std::fmt::Display for Owners {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::None => "none",
        })
    }
}

/// What may be in the database that is restored into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Whatever is there is replaced.
    #[default]
    Auto,
    /// Nothing: otherwise nothing is restored.
    Empty,
    /// Whatever is there is kept under another name, and a new database takes its place.
    Swap,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "auto" | "in-place" => Ok(Self::Auto),
            "empty" => Ok(Self::Empty),
            "swap" => Ok(Self::Swap),
            _ => Err("auto (or in-place), empty or swap is needed"),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Empty => "empty",
            Self::Swap => "swap",
        })
    }
}

impl RestoreJob {
    /// The environment in which a restorer does this job: the whole contract, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
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
            drill,
            drill_sql,
            identity,
            reporting,
        } = self;
        let mut vars = database.to_env();
        if *drill {
            // As below: one that knows no drills would replace what is there.
            vars.retain(|it| it.name != "DB_NAME");
            vars.push(Var::plain("RESTORE_DRILL", &database.name));
        } else if *mode == Mode::Empty {
            // A restorer that does not know the mode would replace what is there. It needs DB_NAME to
            // begin, so the name is told under one that only a newer one reads.
            vars.retain(|it| it.name != "DB_NAME");
            vars.push(Var::plain("RESTORE_INTO_EMPTY", &database.name));
        }
        vars.extend(store.to_env());
        vars.extend(layout.to_env());
        vars.push(Var::plain("BACKUP_REVISION", revision.to_string()));
        let source = source.as_ref().map(ToString::to_string);
        vars.extend(source.map(|it| Var::plain("BACKUP_SOURCE", it)));
        vars.extend(as_of.map(|it| Var::plain("RESTORE_AS_OF", it.to_string())));
        vars.extend(begin_by.map(|it| Var::plain("RESTORE_BEGIN_BY", it.to_string())));
        vars.extend(jobs.map(|it| Var::plain("RESTORE_JOBS", it.to_string())));
        vars.push(Var::plain(
            "LOCK_WAIT_TIMEOUT",
            humantime::format_duration(*lock_wait_timeout).to_string(),
        ));
        // Said only where they are not the defaults, so that older restorers run too.
        if *mode != Mode::default() && !drill {
            vars.push(Var::plain("RESTORE_MODE", mode.to_string()));
        }
        if *mode == Mode::Swap && *keep_old != KEEP_OLD {
            let keep_old = humantime::format_duration(*keep_old).to_string();
            vars.push(Var::plain("KEEP_OLD", keep_old));
        }
        if *owners != Owners::default() {
            vars.push(Var::plain("RESTORE_OWNERS", owners.to_string()));
        }
        if *roles != CreateRoles::default() {
            vars.push(Var::plain("RESTORE_ROLES", roles.to_string()));
        }
        if *keep_going {
            vars.push(Var::plain("RESTORE_KEEP_GOING", "true"));
        }
        if *copy_format != CopyFormat::default() {
            vars.push(Var::plain("RESTORE_COPY_FORMAT", copy_format.to_string()));
        }
        vars.extend(
            drill_sql
                .as_ref()
                .map(|it| Var::plain("RESTORE_DRILL_SQL", it)),
        );
        vars.extend(identity.to_env());
        vars.extend(reporting.to_env());
        vars
    }
}

#[cfg(test)]
mod tests {
    use backuper::job::Value;
    use backuper::runtime::settings::read_from;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn an_environment_gives_the_job_that_wrote_it() {
        let pairs = [
            ("DB_HOST", "db"),
            ("DB_USER", "me"),
            ("DB_PASSWORD", "p w'\\$$=@#%"),
            ("DB_NAME", "a=b"),
            ("S3_ENDPOINT", "http://s3:9000"),
            ("S3_BUCKET_NAME", "backups"),
            ("BACKUP_REVISION", "2026-11-20T21:05:27Z"),
            ("BACKUP_SOURCE", "::1:5432/a/b"),
            ("RESTORE_AS_OF", "2026-11-20T21:05:27Z"),
            ("RESTORE_BEGIN_BY", "2026-11-20T21:20:27Z"),
            ("RESTORE_JOBS", "2"),
            ("RESTORE_MODE", "swap"),
            ("KEEP_OLD", "7days"),
            ("RESTORE_OWNERS", "none"),
            ("RESTORE_ROLES", "missing"),
            ("RESTORE_KEEP_GOING", "true"),
            ("RESTORE_COPY_FORMAT", "text"),
            ("AGE_IDENTITY", "AGE-SECRET-KEY-1…"),
            ("AGE_IDENTITY_FILE", "/keys"),
        ];
        let job: RestoreJob = read_from(pairs).unwrap();
        let vars: Vec<(String, String)> = job
            .to_env()
            .into_iter()
            .map(|var| {
                let value = match var.value {
                    Value::Plain(value) => value,
                    Value::Secret(value) => value.expose_secret().to_owned(),
                };
                (var.name.to_owned(), value)
            })
            .collect();
        let again: RestoreJob = read_from(
            vars.iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
        .unwrap();
        assert_eq!(format!("{job:?}"), format!("{again:?}"));
        assert!(vars.contains(&("KEEP_OLD".to_owned(), "7days".to_owned())));
        assert!(vars.contains(&("DB_PASSWORD".to_owned(), "p w'\\$$=@#%".to_owned())));
    }
    #[test]
    fn a_mode_that_does_not_exist_is_told_those_that_do() {
        for (text, mode) in [
            ("", Mode::Auto),
            ("in-place", Mode::Auto),
            ("swap", Mode::Swap),
        ] {
            assert_eq!(text.parse(), Ok(mode));
        }
        let needed = "swop".parse::<Mode>().unwrap_err();
        for it in [Mode::Auto, Mode::Empty, Mode::Swap] {
            assert!(needed.contains(&it.to_string()), "{needed}");
        }
    }

    #[test]
    fn an_old_database_is_kept_for_a_day_unless_it_is_said() {
        assert_eq!(keep_old(""), Ok(KEEP_OLD));
        assert_eq!(keep_old("0"), Ok(Duration::ZERO));
        assert_eq!(keep_old("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["a day", "-1h", "1000years", "7"] {
            keep_old(wrong).unwrap_err();
        }
    }
}
