//! The worker contract: what a backuper is told, and how an engine tells it.
//!
//! clap reads the environment here and nowhere else; [`BackupJob::to_env`] writes the same
//! variables for the engines. The names are those of the oiler-backup contract.
//!
//! Every setting is an environment variable and none is an argument: an argument can be
//! read by everybody on the machine. An empty variable counts as unset, since that is what
//! a Kubernetes manifest with a blank value makes of it.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser};
use secrecy::{ExposeSecret, SecretString};

use crate::postgres::tools::Directories;
use crate::postgres::{SslMode, Target};
use crate::report::CoreAddress;
use crate::runtime::telemetry::LogFormat;
use crate::storage::settings::StoreSettings;

/// An optional setting. An alias, since clap gives the bare word `Option` a meaning of its
/// own (an absent argument) that cannot express an empty variable.
pub type Maybe<T> = Option<T>;

/// How to print help for programs whose settings are all environment variables.
pub const HELP_TEMPLATE: &str = "{about}\n\nusage: {name}   (settings are environment variables; the only arguments are --help and --version)\n\n{all-args}{after-help}";

/// What an exit code of a worker means; part of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done: what was asked for is complete and verified
  1    failed; trying again may help
  2    the request or the configuration is wrong; trying again will not help
  130  stopped by SIGINT; nothing is left that looks whole
  143  stopped by SIGTERM; nothing is left that looks whole

The last line of the log says in one sentence what is wrong and what to do.";

/// One environment variable of a worker.
#[derive(Clone, Debug)]
pub struct Var {
    /// The variable's name, as in the oiler-backup contract.
    pub name: &'static str,
    /// The variable's value.
    pub value: Value,
}

/// A value that tells an engine where it may be written.
#[derive(Clone, Debug)]
pub enum Value {
    /// May stand in a pod's specification.
    Plain(String),
    /// Belongs into a Kubernetes Secret or a child's environment, never anywhere else.
    Secret(SecretString),
}

impl Var {
    /// A variable that may stand in a pod's specification.
    #[must_use]
    pub fn plain(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: Value::Plain(value.into()),
        }
    }

    /// A variable that is never shown.
    #[must_use]
    pub fn secret(name: &'static str, value: &SecretString) -> Self {
        Self {
            name,
            value: Value::Secret(value.clone()),
        }
    }
}

/// Everything a backuper needs to make one backup.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "backuper",
    version,
    about = "Makes one backup of a PostgreSQL database and puts it into S3.",
    help_template = HELP_TEMPLATE,
    after_help = EXIT_CODES
)]
pub struct BackupJob {
    /// The database to back up.
    #[command(flatten, next_help_heading = "Database")]
    pub database: DatabaseSettings,

    /// Where backups are kept.
    #[command(flatten, next_help_heading = "Store")]
    pub store: StoreSettings,

    /// How many data streams run side by side; empty: as many as there are cores, 4 at most.
    #[arg(env = "BACKUP_JOBS", default_value = "", hide_default_value = true, value_parser = maybe::<NonZeroU16>, help_heading = "Backup")]
    pub jobs: Maybe<NonZeroU16>,

    /// zstd's compression level, 1 to 19.
    #[arg(help_heading = "Backup", env = "COMPRESSION_LEVEL", default_value = "1", value_parser = CompressionLevel::from_str)]
    pub compression_level: CompressionLevel,

    /// How many complete backups of this source to keep; 0 or empty: all of them.
    #[arg(help_heading = "Backup", env = "MAX_BACKUP_COUNT", default_value = "0", value_parser = Retention::from_str)]
    pub max_backup_count: Retention,

    /// How long pg_dump waits for a lock on a table before the backup fails (5min, 90s).
    #[arg(help_heading = "Backup", env = "LOCK_WAIT_TIMEOUT", default_value = "5min", value_parser = duration)]
    pub lock_wait_timeout: Duration,

    /// Where to report, how to log.
    #[command(flatten, next_help_heading = "Reporting")]
    pub reporting: ReportingSettings,
}

/// Which database, and how to reach it.
#[derive(Clone, Debug, Args)]
pub struct DatabaseSettings {
    /// Host name or IP address of the PostgreSQL server.
    #[arg(env = "DB_HOST", value_parser = non_empty, hide_env_values = true)]
    pub host: String,

    /// Port of the PostgreSQL server.
    #[arg(env = "DB_PORT", default_value = "5432", value_parser = port, hide_env_values = true)]
    pub port: u16,

    /// Role to connect as.
    #[arg(env = "DB_USER", value_parser = non_empty, hide_env_values = true)]
    pub user: String,

    /// The role's password; empty for trust, peer and certificate authentication.
    #[arg(env = "DB_PASSWORD", default_value = "", hide_default_value = true, value_parser = secret, hide_env_values = true)]
    pub password: Maybe<SecretString>,

    /// Name of the database, exactly as PostgreSQL knows it.
    #[arg(env = "DB_NAME", value_parser = non_empty, hide_env_values = true)]
    pub name: String,

    /// disable, allow, prefer, require, verify-ca or verify-full, as in libpq.
    #[arg(env = "DB_SSLMODE", default_value = "prefer", value_parser = SslMode::from_str, hide_env_values = true)]
    pub sslmode: SslMode,

    /// PEM file with the certificate authorities that sign the server's certificate.
    #[arg(env = "DB_SSLROOTCERT", default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>, hide_env_values = true)]
    pub sslrootcert: Maybe<PathBuf>,

    /// PEM file with the client's certificate, for servers that ask for one.
    #[arg(env = "DB_SSLCERT", default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>, hide_env_values = true)]
    pub sslcert: Maybe<PathBuf>,

    /// PEM file with the key of DB_SSLCERT (mode 0600, as libpq wants it).
    #[arg(env = "DB_SSLKEY", default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>, hide_env_values = true)]
    pub sslkey: Maybe<PathBuf>,

    /// More directories with pg_dump, pg_restore and psql, separated by colons; they are looked at besides /usr/lib/postgresql.
    #[arg(env = "PG_BIN_DIRS", default_value = "", hide_default_value = true, value_parser = Directories::from_str)]
    pub programs: Directories,
}

impl DatabaseSettings {
    /// The same as a [`Target`], whose connections and child environments it gives.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new(self)
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            host,
            port,
            user,
            password,
            name,
            sslmode,
            sslrootcert,
            sslcert,
            sslkey,
            programs,
        } = self;
        let mut vars = vec![
            Var::plain("DB_HOST", host),
            Var::plain("DB_PORT", port.to_string()),
            Var::plain("DB_USER", user),
            Var::plain("DB_NAME", name),
            Var::plain("DB_SSLMODE", sslmode.to_string()),
        ];
        vars.extend(password.as_ref().map(|it| Var::secret("DB_PASSWORD", it)));
        for (name, path) in [
            ("DB_SSLROOTCERT", sslrootcert),
            ("DB_SSLCERT", sslcert),
            ("DB_SSLKEY", sslkey),
        ] {
            vars.extend(
                path.as_ref()
                    .map(|it| Var::plain(name, it.to_string_lossy())),
            );
        }
        vars.extend(programs.to_env());
        vars
    }
}

/// Who is told about the outcome, and how the log looks.
#[derive(Clone, Debug, Args)]
pub struct ReportingSettings {
    /// host:port of the core's BackupMetricsService; empty: nothing is reported to a core.
    #[arg(env = "CORE_ADDR", default_value = "", hide_default_value = true, value_parser = maybe::<CoreAddress>)]
    pub core_addr: Maybe<CoreAddress>,

    /// URL of a Prometheus Pushgateway; empty: nothing is pushed.
    #[arg(env = "PUSHGATEWAY_URL", default_value = "", hide_default_value = true, value_parser = maybe::<crate::report::PushgatewayUrl>, hide_env_values = true)]
    pub pushgateway_url: Maybe<crate::report::PushgatewayUrl>,

    /// text or json.
    #[arg(env = "LOG_FORMAT", default_value = "text", value_parser = LogFormat::from_str)]
    pub log_format: LogFormat,

    /// File that receives the last sentence, where it exists (a pod's termination message).
    #[arg(
        env = "TERMINATION_MESSAGE_PATH",
        default_value = "/dev/termination-log"
    )]
    pub termination_message_path: PathBuf,
}

impl ReportingSettings {
    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            core_addr,
            pushgateway_url,
            log_format,
            termination_message_path,
        } = self;
        let mut vars = vec![Var::plain("LOG_FORMAT", log_format.to_string())];
        vars.extend(
            core_addr
                .as_ref()
                .map(|it| Var::plain("CORE_ADDR", it.to_string())),
        );
        // It may carry a password, so it is kept like one.
        vars.extend(
            pushgateway_url
                .as_ref()
                .map(|it| Var::secret("PUSHGATEWAY_URL", it.secret())),
        );
        if termination_message_path.as_os_str() != "/dev/termination-log" {
            vars.push(Var::plain(
                "TERMINATION_MESSAGE_PATH",
                termination_message_path.to_string_lossy(),
            ));
        }
        vars
    }
}

impl BackupJob {
    /// The environment in which a backuper does this job: the whole contract, secrets marked.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            database,
            store,
            jobs,
            compression_level,
            max_backup_count,
            lock_wait_timeout,
            reporting,
        } = self;
        let mut vars = database.to_env();
        vars.extend(store.to_env());
        vars.extend(jobs.map(|it| Var::plain("BACKUP_JOBS", it.to_string())));
        vars.push(Var::plain(
            "COMPRESSION_LEVEL",
            compression_level.0.to_string(),
        ));
        vars.push(Var::plain(
            "MAX_BACKUP_COUNT",
            max_backup_count.0.to_string(),
        ));
        vars.push(Var::plain(
            "LOCK_WAIT_TIMEOUT",
            humantime::format_duration(*lock_wait_timeout).to_string(),
        ));
        vars.extend(reporting.to_env());
        vars
    }
}

/// zstd's compression level, 1 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionLevel(i32);

impl CompressionLevel {
    /// The level as zstd takes it.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }
}

impl Default for CompressionLevel {
    fn default() -> Self {
        Self(1)
    }
}

impl FromStr for CompressionLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        match text.parse() {
            Ok(level @ 1..=19) => Ok(Self(level)),
            _ => Err("a whole number from 1 to 19 is needed".to_owned()),
        }
    }
}

/// How many complete backups of one source to keep; 0 keeps all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention(pub u32);

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(0));
        }
        text.parse()
            .map(Self)
            .map_err(|error| format!("a count of 0 or more is needed: {error}"))
    }
}

/// Reads an optional setting: empty is `None`.
///
/// # Errors
/// What `T` says about a text that is not empty.
pub fn maybe<T>(text: &str) -> Result<Maybe<T>, String>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|error: T::Err| error.to_string())
}

/// Reads a secret. It never fails, so that no error text can hold one.
///
/// # Errors
/// None; the signature is clap's.
pub fn secret(text: &str) -> Result<Maybe<SecretString>, std::convert::Infallible> {
    Ok((!text.is_empty()).then(|| SecretString::from(text)))
}

/// Reads a text that must not be empty.
///
/// # Errors
/// When it is.
pub fn non_empty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a duration such as `5min` or `90s`; a bare number is seconds.
///
/// # Errors
/// When it is neither.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a port from 1 to 65535 is needed".to_owned()),
        Ok(port) => Ok(port),
    }
}

/// True when the two secrets are the same; for tests and idempotent comparisons.
#[must_use]
pub fn same_secret(one: &Maybe<SecretString>, other: &Maybe<SecretString>) -> bool {
    one.as_ref().map(ExposeSecret::expose_secret) == other.as_ref().map(ExposeSecret::expose_secret)
}
