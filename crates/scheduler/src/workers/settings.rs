//! What the administrator has set for all workers.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use backuper::archive::codec::CompressionLevel;
use backuper::dump::plan::{Reading, Split};
use backuper::job::parse::{Maybe, duration, flag, lock_wait_timeout, maybe, secure};
use backuper::job::store::s3::S3Settings;
use backuper::job::store::{AzureSettings, GoogleSettings};
use backuper::job::{
    CalendarSettings, CopySettings, EncryptionSettings, FormatSettings, GlobalsSettings,
    LayoutSettings, SeveralSettings,
};
use backuper::postgres::tools::Directories;
use backuper::postgres::{Authorities, CopyFormat, SslMode};
use backuper::report::PushgatewayUrl;
use backuper::runtime::logging::LogFormat;
use clap::Args;
use restorer::job::{CreateRoles, KEEP_OLD, Mode, Owners, keep_old};

use super::stores::DefaultStore;
use crate::domain::credential::Reference;
use crate::domain::name;

/// What workers are told beside a request.
#[derive(Clone, Debug, Args)]
pub struct WorkerSettings {
    /// disable, allow, prefer, require, verify-ca or verify-full, as in libpq.
    #[arg(env = "DB_SSLMODE", default_value = "prefer", value_parser = SslMode::from_str)]
    pub sslmode: SslMode,

    /// PEM file, as workers see it, with the authorities that sign the servers' certificates.
    #[arg(env = "DB_SSLROOTCERT", default_value = "", value_parser = maybe::<Authorities>)]
    pub sslrootcert: Maybe<Authorities>,

    /// PEM file, as workers see it, with a client's certificate.
    #[arg(env = "DB_SSLCERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub sslcert: Maybe<PathBuf>,

    /// PEM file, as workers see it, with the key of DB_SSLCERT.
    #[arg(env = "DB_SSLKEY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub sslkey: Maybe<PathBuf>,

    /// More directories, as workers see them, with pg_dump, pg_restore and psql, separated by colons.
    #[arg(env = "PG_BIN_DIRS", default_value = "", value_parser = Directories::from_str)]
    pub programs: Directories,

    /// Region; empty: us-east-1 for an endpoint, AWS's own chain without one.
    #[arg(env = "S3_REGION", default_value = "", value_parser = maybe::<String>)]
    pub region: Maybe<String>,

    /// PEM file, as workers see it, with authorities to trust besides the system's.
    #[arg(env = "S3_CA_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub ca_file: Maybe<PathBuf>,

    /// true: the bucket stands in the path; false: in the host name; empty: true for an endpoint.
    #[arg(env = "S3_FORCE_PATH_STYLE", default_value = "", value_parser = maybe::<bool>)]
    pub force_path_style: Maybe<bool>,

    /// false: do not verify the S3 servers' certificates (dangerous).
    #[arg(env = "SECURE", default_value = "true", action = clap::ArgAction::Set, value_parser = secure)]
    pub secure: bool,

    /// Where dumps in plain SQL lie.
    #[command(flatten)]
    pub layout: LayoutSettings,

    /// What backups are made of.
    #[command(flatten)]
    pub format: FormatSettings,

    /// What objects on S3 are written with.
    #[command(flatten)]
    pub s3: S3Settings,

    /// Where complete backups are copied to.
    #[command(flatten)]
    pub copy: CopySettings,

    /// How several databases of one server are backed up.
    #[command(flatten)]
    pub several: SeveralSettings,

    /// Where the core's calls go that do not say all of it.
    #[command(flatten)]
    pub default: DefaultStore,

    /// Who we are at Google, for listed buckets.
    #[command(flatten)]
    pub google: GoogleSettings,

    /// Who we are at Azure, for listed containers.
    #[command(flatten)]
    pub azure: AzureSettings,

    /// How many data streams of a backup run side by side; empty: the worker's cores, 4 at most.
    #[arg(env = "BACKUP_JOBS", default_value = "", value_parser = maybe::<NonZeroU16>)]
    pub backup_jobs: Maybe<NonZeroU16>,

    /// How many streams of a restore run side by side; empty: the worker's cores, 4 at most.
    #[arg(env = "RESTORE_JOBS", default_value = "", value_parser = maybe::<NonZeroU16>)]
    pub restore_jobs: Maybe<NonZeroU16>,

    /// auto (or in-place): a restore that asks for no other mode replaces the contents in place; empty: it restores only into what is missing or empty; swap: into a new database that takes the place of the one that is there.
    #[arg(env = "RESTORE_MODE", default_value = "auto", value_parser = Mode::from_str)]
    pub restore_mode: Mode,

    /// swap: how long a restore keeps the database that was there (24h, 7days); 0: it is dropped when the new one has its name.
    #[arg(env = "KEEP_OLD", default_value = "24h", value_parser = keep_old)]
    pub keep_old: Duration,

    /// auto: a restore gives objects the owners that the backup names; none: all belong to the role that restores.
    #[arg(env = "RESTORE_OWNERS", default_value = "auto", value_parser = Owners::from_str)]
    pub restore_owners: Owners,

    /// none: a restore makes no role; missing: it makes those that the backup needs and the target lacks, of the backup's globals.
    #[arg(env = "RESTORE_ROLES", default_value = "none", value_parser = CreateRoles::from_str)]
    pub restore_roles: CreateRoles,

    /// true: a restore leaves out what cannot be made after the rows, names it and ends with exit code 3.
    #[arg(env = "RESTORE_KEEP_GOING", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub restore_keep_going: bool,

    /// auto: a restore makes rows of large tables binary on the way; binary: those of small ones too; text: all go as the backup has them.
    #[arg(env = "RESTORE_COPY_FORMAT", default_value = "auto", value_parser = CopyFormat::from_str)]
    pub restore_copy_format: CopyFormat,

    /// How long a restore may wait for its beginning (15min, 1h); 0: as long as it takes.
    #[arg(env = "RESTORE_BEGIN_WITHIN", default_value = "15min", value_parser = begin_within)]
    pub restore_begin_within: Duration,

    /// auto: a backup reads rows of large tables by COPYs of its own; copy: those of small ones too; pg_dump: pg_dump reads all.
    #[arg(env = "BACKUP_ROWS", default_value = "auto", value_parser = Reading::from_str)]
    pub backup_rows: Reading,

    /// auto: several sessions read the rows of a table behind which the others of a backup would idle; always: of each table; never: of none.
    #[arg(env = "BACKUP_SPLIT_TABLES", default_value = "auto", value_parser = Split::from_str)]
    pub backup_split_tables: Split,

    /// auto: rows with bytea that COPYs of a backup's own read come in COPY's binary format; binary: all whose types are known; text: none.
    #[arg(env = "BACKUP_COPY_FORMAT", default_value = "auto", value_parser = CopyFormat::from_str)]
    pub backup_copy_format: CopyFormat,

    /// zstd's compression level, 1 to 19.
    #[arg(env = "COMPRESSION_LEVEL", default_value = "1", value_parser = CompressionLevel::from_str)]
    pub compression_level: CompressionLevel,

    /// Who can read backups.
    #[command(flatten)]
    pub encryption: EncryptionSettings,

    /// What of the server is a part of backups.
    #[command(flatten)]
    pub globals: GlobalsSettings,

    /// File, as restorers see it, with the private keys of encrypted backups, for restores that are given none.
    #[arg(env = "AGE_IDENTITY_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub age_identity_file: Maybe<PathBuf>,

    /// kubernetes: Secret in the workers' namespace, NAME or NAME/KEY (identity), with the private keys of encrypted backups, for restores that are given none.
    #[arg(env = "RESTORE_IDENTITY_SECRET", default_value = "", value_parser = identity_secret)]
    pub identity_secret: Maybe<Reference>,

    /// How long workers wait for a lock on a table (5min, 90s).
    #[arg(env = "LOCK_WAIT_TIMEOUT", default_value = "5min", value_parser = lock_wait_timeout)]
    pub lock_wait_timeout: Duration,

    /// What is kept of every schedule's backups beside those that it counts.
    #[command(flatten)]
    pub calendar: CalendarSettings,

    /// URL of a Prometheus Pushgateway; empty: nothing is pushed.
    #[arg(env = "PUSHGATEWAY_URL", default_value = "", value_parser = maybe::<PushgatewayUrl>)]
    pub pushgateway_url: Maybe<PushgatewayUrl>,

    /// text or json; the scheduler's own log too.
    #[arg(env = "LOG_FORMAT", default_value = "text", value_parser = LogFormat::from_str)]
    pub log_format: LogFormat,
}

impl WorkerSettings {
    /// Whether those fit together that no request can mend.
    ///
    /// # Errors
    /// A sentence that names the variable to set.
    pub fn check(&self) -> Result<(), String> {
        self.s3.options().check(None)?;
        let EncryptionSettings {
            encrypt_to,
            encrypt_to_file,
            ..
        } = &self.encryption;
        let is_encrypted = encrypt_to.is_some() || encrypt_to_file.is_some();
        self.globals.wanted(self.format.format, is_encrypted)?;
        self.copy.config().map(drop)
    }

    /// The defaults, whatever the environment says.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            programs: Directories::default(),
            region: None,
            ca_file: None,
            force_path_style: None,
            secure: true,
            layout: LayoutSettings::default(),
            format: FormatSettings::default(),
            s3: S3Settings::default(),
            copy: CopySettings::default(),
            several: SeveralSettings::default(),
            default: DefaultStore::default(),
            google: GoogleSettings::default(),
            azure: AzureSettings::default(),
            backup_jobs: None,
            restore_jobs: None,
            restore_mode: Mode::Auto,
            keep_old: KEEP_OLD,
            restore_owners: Owners::Auto,
            restore_roles: CreateRoles::None,
            restore_keep_going: false,
            restore_copy_format: CopyFormat::Auto,
            restore_begin_within: Duration::from_secs(15 * 60),
            backup_rows: Reading::Auto,
            backup_split_tables: Split::Auto,
            backup_copy_format: CopyFormat::Auto,
            compression_level: CompressionLevel::default(),
            encryption: EncryptionSettings::default(),
            globals: GlobalsSettings::default(),
            age_identity_file: None,
            identity_secret: None,
            lock_wait_timeout: Duration::from_secs(5 * 60),
            calendar: CalendarSettings::default(),
            pushgateway_url: None,
            log_format: LogFormat::Text,
        }
    }
}

/// Which key of a Secret has private keys, where nothing else is said.
pub const IDENTITY: &str = "identity";

fn identity_secret(text: &str) -> Result<Maybe<Reference>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (secret, key) = text.split_once('/').unwrap_or((text, IDENTITY));
    secret_keys(secret, [key].into_iter()).map(Some)
}

/// A Secret, and keys in it.
pub(super) fn secret_keys<'a>(
    secret: &str,
    keys: impl Iterator<Item = &'a str>,
) -> Result<Reference, String> {
    let secret = name::object(secret).map_err(|error| error.to_string())?;
    let keys = keys.map(|it| name::secret_key(it).map_err(|error| error.to_string()));
    Ok(Reference {
        secret,
        keys: keys.collect::<Result<_, _>>()?,
    })
}

fn begin_within(text: &str) -> Result<Duration, String> {
    duration(if text.is_empty() { "15min" } else { text })
}
