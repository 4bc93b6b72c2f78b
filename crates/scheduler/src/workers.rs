//! What workers are told: of a request, and beside it what the administrator has set.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use backuper::archive::codec::CompressionLevel;
use backuper::job::parse::{Maybe, duration, flag, lock_wait_timeout, maybe, secure};
use backuper::job::store::s3::S3Settings;
use backuper::job::store::{AzureSettings, GoogleSettings, StoreSettings};
use backuper::job::{
    BackupJob, CheckJob, ConnectionSettings, DatabaseSettings, DeleteJob, EncryptionSettings,
    FormatSettings, LayoutSettings, ListJob, ReportingSettings, RetentionSettings, ShowJob, Value,
    Var,
};
use backuper::postgres::SslMode;
use backuper::postgres::tools::Directories;
use backuper::report::{CoreAddress, PushgatewayUrl};
use backuper::runtime::logging::LogFormat;
use backuper::storage::{Endpoint, Prefix};
use clap::Args;
use restorer::job::{IdentitySettings, Owners, RestoreJob};

use crate::domain::access::Places;
use crate::domain::credential::{Credential, Reference};
use crate::domain::database::Database;
use crate::domain::name;
use crate::domain::question::{Given, Task};
use crate::domain::restore::{Restore, Wishes};
use crate::domain::schedule::Schedule;
use crate::domain::store::Store;

/// What workers are told beside a request.
#[derive(Clone, Debug, Args)]
pub struct WorkerSettings {
    /// disable, allow, prefer, require, verify-ca or verify-full, as in libpq.
    #[arg(env = "DB_SSLMODE", default_value = "prefer", value_parser = SslMode::from_str)]
    pub sslmode: SslMode,

    /// PEM file, as workers see it, with the authorities that sign the servers' certificates.
    #[arg(env = "DB_SSLROOTCERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub sslrootcert: Maybe<PathBuf>,

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

    /// How many data streams of a backup run side by side; empty: the worker's cores, 4 at most.
    #[arg(env = "BACKUP_JOBS", default_value = "", value_parser = maybe::<NonZeroU16>)]
    pub backup_jobs: Maybe<NonZeroU16>,

    /// How many streams of a restore run side by side; empty: the worker's cores, 4 at most.
    #[arg(env = "RESTORE_JOBS", default_value = "", value_parser = maybe::<NonZeroU16>)]
    pub restore_jobs: Maybe<NonZeroU16>,

    /// auto: a restore gives objects the owners that the backup names; none: all belong to the role that restores.
    #[arg(env = "RESTORE_OWNERS", default_value = "auto", value_parser = Owners::from_str)]
    pub restore_owners: Owners,

    /// true: a restore leaves out what cannot be made after the rows, names it and ends with exit code 3.
    #[arg(env = "RESTORE_KEEP_GOING", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub restore_keep_going: bool,

    /// How long a restore may wait for its beginning (15min, 1h); 0: as long as it takes.
    #[arg(env = "RESTORE_BEGIN_WITHIN", default_value = "15min", value_parser = begin_within)]
    pub restore_begin_within: Duration,

    /// zstd's compression level, 1 to 19.
    #[arg(env = "COMPRESSION_LEVEL", default_value = "1", value_parser = CompressionLevel::from_str)]
    pub compression_level: CompressionLevel,

    /// Who can read backups.
    #[command(flatten)]
    pub encryption: EncryptionSettings,

    /// File, as restorers see it, with the private keys of encrypted backups, for restores that are given none.
    #[arg(env = "AGE_IDENTITY_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub age_identity_file: Maybe<PathBuf>,

    /// kubernetes: Secret in the workers' namespace, NAME or NAME/KEY (identity), with the private keys of encrypted backups, for restores that are given none.
    #[arg(env = "RESTORE_IDENTITY_SECRET", default_value = "", value_parser = identity_secret)]
    pub identity_secret: Maybe<Reference>,

    /// How long workers wait for a lock on a table (5min, 90s).
    #[arg(env = "LOCK_WAIT_TIMEOUT", default_value = "5min", value_parser = lock_wait_timeout)]
    pub lock_wait_timeout: Duration,

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
        self.s3.options().check(None)
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
            backup_jobs: None,
            restore_jobs: None,
            restore_owners: Owners::Auto,
            restore_keep_going: false,
            restore_begin_within: Duration::from_secs(15 * 60),
            compression_level: CompressionLevel::default(),
            encryption: EncryptionSettings::default(),
            age_identity_file: None,
            identity_secret: None,
            lock_wait_timeout: Duration::from_secs(5 * 60),
            pushgateway_url: None,
            log_format: LogFormat::Text,
        }
    }
}

/// Makes workers' settings of requests. A secret that is not at hand becomes an empty one: its
/// variable is there, and whoever keeps the secret puts it in.
#[derive(Clone, Debug)]
pub struct Workers {
    /// What the administrator has set.
    pub settings: WorkerSettings,
    /// Which places are lent the workers' own credentials.
    pub places: Places,
}

impl Workers {
    /// What a backuper is told.
    #[must_use]
    pub fn backup(&self, schedule: &Schedule) -> BackupJob {
        let plan = &schedule.plan;
        let settings = &self.settings;
        BackupJob {
            database: self.database(&plan.source),
            store: self.store(&plan.store),
            layout: self.layout(),
            format: settings.format,
            jobs: settings.backup_jobs,
            compression_level: settings.compression_level,
            retention: RetentionSettings {
                last: plan.keep,
                ..RetentionSettings::default()
            },
            // Both are DNS labels.
            schedule: if schedule.counts_apart {
                schedule.name.as_str().parse().ok()
            } else {
                None
            },
            lock_wait_timeout: settings.lock_wait_timeout,
            encryption: settings.encryption.clone(),
            reporting: self.reporting(plan.core.as_ref()),
        }
    }

    /// What a restorer is told.
    #[must_use]
    pub fn restore(&self, restore: &Restore) -> RestoreJob {
        let Restore {
            target,
            store,
            revision,
            identity,
            core,
            request_id: _,
            as_of,
            begin_by,
            source,
            // Whoever keeps the schedule's secrets puts them in.
            lent: _,
            wishes,
        } = restore;
        let Wishes {
            mode,
            owners,
            keep_going,
        } = wishes;
        RestoreJob {
            database: self.database(target),
            store: self.store(store),
            layout: self.layout(),
            revision: revision.clone(),
            // It is a place of ours.
            source: source.as_ref().and_then(|it| it.parse().ok()),
            as_of: *as_of,
            begin_by: *begin_by,
            jobs: self.settings.restore_jobs,
            lock_wait_timeout: self.settings.lock_wait_timeout,
            owners: owners.unwrap_or(self.settings.restore_owners),
            keep_going: keep_going.unwrap_or(self.settings.restore_keep_going),
            mode: *mode,
            identity: self.identity(identity),
            reporting: self.reporting(core.as_ref()),
        }
    }

    /// What a backuper is told that answers a question; none where that is about one database's backups,
    /// and none is named.
    #[must_use]
    pub fn question(&self, task: &Task, given: &Given) -> Option<Vec<Var>> {
        let Given {
            source,
            database,
            store,
        } = given;
        let store = match store {
            Some(store) => self.store(store),
            // A worker that needs one says so itself.
            None => self.store(&Store::default()),
        };
        let reporting = self.quiet();
        Some(match task {
            Task::List => ListJob {
                source: source.clone(),
                store,
                layout: self.layout(),
                reporting,
            }
            .to_env(),
            Task::Show { key } => ShowJob {
                source: source.clone()?,
                key: key.clone(),
                store,
                layout: self.layout(),
                reporting,
            }
            .to_env(),
            Task::Delete {
                key,
                last,
                validate_only,
            } => DeleteJob {
                source: source.clone()?,
                key: key.clone(),
                last: *last,
                validate_only: *validate_only,
                store,
                layout: self.layout(),
                reporting,
            }
            .to_env(),
            Task::Check => self.check(database.as_ref(), store).to_env(),
        })
    }

    fn check(&self, database: Option<&Database>, store: StoreSettings) -> CheckJob {
        CheckJob {
            source: database.and_then(Database::as_source),
            user: database.map(|it| it.user.clone()),
            connection: self.connection(database),
            store,
            layout: self.layout(),
            jobs: self.settings.backup_jobs,
            reporting: self.quiet(),
        }
    }

    /// Nobody is told of an answer.
    fn quiet(&self) -> ReportingSettings {
        ReportingSettings {
            pushgateway_url: None,
            ..self.reporting(None)
        }
    }

    /// What is secret of the administrator's settings, and so of every worker.
    #[must_use]
    pub fn own_secrets(&self) -> Vec<Var> {
        let mut own = self.reporting(None).to_env();
        own.extend(self.settings.s3.to_env());
        let is_secret = |it: &Var| matches!(it.value, Value::Secret(_));
        own.into_iter().filter(is_secret).collect()
    }

    fn database(&self, database: &Database) -> DatabaseSettings {
        let Database {
            host,
            port,
            name,
            user,
            password: _,
        } = database.clone();
        DatabaseSettings {
            host,
            port,
            user,
            name,
            connection: self.connection(Some(database)),
        }
    }

    /// How a database is reached, or none in particular.
    fn connection(&self, database: Option<&Database>) -> ConnectionSettings {
        let shown = database.is_some_and(|it| self.places.shows_certificate_to(&it.host));
        let shown = |it: &Option<PathBuf>| it.clone().filter(|_| shown);
        ConnectionSettings {
            password: database.and_then(|it| at_hand(it.password.clone())),
            sslmode: self.settings.sslmode,
            sslrootcert: self.settings.sslrootcert.clone(),
            sslcert: shown(&self.settings.sslcert),
            sslkey: shown(&self.settings.sslkey),
            programs: self.settings.programs.clone(),
        }
    }

    fn store(&self, store: &Store) -> StoreSettings {
        let Store {
            endpoint,
            bucket,
            keys,
        } = store.clone();
        let keys = at_hand(keys);
        // A directory has none of it, and workers refuse what would not be done.
        let is_s3 = !matches!(endpoint, Some(Endpoint::Directory(_)));
        StoreSettings {
            url: None,
            prefix: Prefix::default(),
            endpoint,
            bucket,
            access_key: keys.as_ref().map(|it| it.access.clone()),
            secret_key: keys.map(|it| it.secret),
            session_token: None,
            region: self.settings.region.clone(),
            store_ca_file: None,
            ca_file: self.settings.ca_file.clone(),
            force_path_style: self.settings.force_path_style,
            secure: self.settings.secure,
            s3: if is_s3 {
                self.settings.s3.clone()
            } else {
                S3Settings::default()
            },
            google: GoogleSettings::default(),
            azure: AzureSettings::default(),
        }
    }

    fn layout(&self) -> LayoutSettings {
        self.settings.layout.clone()
    }

    /// The key that was given, or else the administrator's.
    fn identity(&self, given: &Credential) -> IdentitySettings {
        let file = self.settings.age_identity_file.clone();
        IdentitySettings {
            age_identity: at_hand(given.clone()),
            age_identity_file: file.filter(|_| given.is_ambient()),
        }
    }

    fn reporting(&self, core: Option<&CoreAddress>) -> ReportingSettings {
        ReportingSettings {
            core_addr: core.cloned(),
            pushgateway_url: self.settings.pushgateway_url.clone(),
            log_format: self.settings.log_format,
            termination_message_path: "/dev/termination-log".into(),
        }
    }
}

fn at_hand<T: Default>(credential: Credential<T>) -> Option<T> {
    match credential {
        Credential::Ambient => None,
        Credential::Inline(secret) => Some(secret.unwrap_or_default()),
        // Its variable is there, and is read where the caller says.
        Credential::Reference(_) => Some(T::default()),
    }
}

/// Which key of a Secret has private keys, where nothing else is said.
pub const IDENTITY: &str = "identity";

fn identity_secret(text: &str) -> Result<Maybe<Reference>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (secret, key) = text.split_once('/').unwrap_or((text, IDENTITY));
    Ok(Some(Reference {
        secret: name::object(secret).map_err(|error| error.to_string())?,
        keys: vec![name::secret_key(key).map_err(|error| error.to_string())?],
    }))
}

fn begin_within(text: &str) -> Result<Duration, String> {
    duration(if text.is_empty() { "15min" } else { text })
}
