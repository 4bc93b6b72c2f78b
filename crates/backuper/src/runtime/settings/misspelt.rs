//! Variables that nobody reads, and which one was meant.
//!
//! A setting that is misspelt is a setting that is not set, and a run that looks right does something
//! else. So what looks like one of ours and is none is told of, with the nearest name.

use std::ffi::OsString;

/// Every setting of our three programs: one file of variables may be meant for all of them.
pub const NAMES: &[&str] = &[
    "ACCESS_AUDIENCE",
    "ACCESS_FILE",
    "ADMIN_PORT",
    "AGE_IDENTITY",
    "AGE_IDENTITY_FILE",
    "ALLOW_ANYONE",
    "AMBIENT_BUCKETS",
    "AMBIENT_HOSTS",
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_TENANT_ID",
    "BACKUPER_BINARY",
    "BACKUPER_TASK",
    "BACKUPER_VERSION",
    "BACKUP_COPY_FORMAT",
    "BACKUP_DEADLINE",
    "BACKUP_JOBS",
    "BACKUP_KEY",
    "BACKUP_REVISION",
    "BACKUP_ROWS",
    "BACKUP_SCHEDULE",
    "BACKUP_SOURCE",
    "BACKUP_SPLIT_TABLES",
    "CHECK_REQUESTS",
    "CHECK_USER",
    "CLUSTER_NAME",
    "COMPRESSION_LEVEL",
    "COPY_AZURE_AUTHORITY_HOST",
    "COPY_AZURE_CLIENT_ID",
    "COPY_AZURE_CLIENT_SECRET",
    "COPY_AZURE_FEDERATED_TOKEN_FILE",
    "COPY_AZURE_STORAGE_ACCOUNT_KEY",
    "COPY_AZURE_STORAGE_ENDPOINT",
    "COPY_AZURE_STORAGE_SAS_TOKEN",
    "COPY_AZURE_TENANT_ID",
    "COPY_GOOGLE_APPLICATION_CREDENTIALS",
    "COPY_GOOGLE_SERVICE_ACCOUNT_KEY",
    "COPY_KEEP_AT_LEAST",
    "COPY_KEEP_DAILY",
    "COPY_KEEP_HOURLY",
    "COPY_KEEP_MONTHLY",
    "COPY_KEEP_WEEKLY",
    "COPY_KEEP_YEARLY",
    "COPY_MAX_BACKUP_COUNT",
    "COPY_RETENTION_DAYS",
    "COPY_RETENTION_OBJECTS",
    "COPY_RETENTION_TIME_ZONE",
    "COPY_S3_ACCESS_KEY",
    "COPY_S3_BUCKET_NAME",
    "COPY_S3_CA_FILE",
    "COPY_S3_CHECKSUM",
    "COPY_S3_ENDPOINT",
    "COPY_S3_FORCE_PATH_STYLE",
    "COPY_S3_OBJECT_LOCK_DAYS",
    "COPY_S3_OBJECT_LOCK_MODE",
    "COPY_S3_PREFIX",
    "COPY_S3_REGION",
    "COPY_S3_SECRET_KEY",
    "COPY_S3_SESSION_TOKEN",
    "COPY_S3_SSE",
    "COPY_S3_SSE_CUSTOMER_KEY",
    "COPY_S3_SSE_KMS_KEY_ID",
    "COPY_S3_STORAGE_CLASS",
    "COPY_S3_TAGS",
    "COPY_SECURE",
    "COPY_STORAGE_EMULATOR_HOST",
    "COPY_STORE_CA_FILE",
    "COPY_TO",
    "CORE_ADDR",
    "DATABASE_JOBS",
    "DATA_DIR",
    "DB_HOST",
    "DB_NAME",
    "DB_PASSWORD",
    "DB_PORT",
    "DB_SSLCERT",
    "DB_SSLKEY",
    "DB_SSLMODE",
    "DB_SSLROOTCERT",
    "DB_USER",
    "DELETE_LAST",
    "DELETE_VALIDATE_ONLY",
    "ENCRYPT_MANIFEST",
    "ENCRYPT_TO",
    "ENCRYPT_TO_FILE",
    "ENGINE",
    "EXCLUDE_SCHEMAS",
    "EXCLUDE_TABLES",
    "EXCLUDE_TABLE_DATA",
    "FAILED_HISTORY_LIMIT",
    "FILE_ROOT",
    "FORMAT",
    "GLOBALS",
    "GLOBALS_PASSWORDS",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GRPC_TLS_CERT",
    "GRPC_TLS_CLIENT_CA",
    "GRPC_TLS_KEY",
    "INCLUDE_SCHEMAS",
    "INCLUDE_TABLES",
    "KEEP_AT_LEAST",
    "KEEP_DAILY",
    "KEEP_HOURLY",
    "KEEP_MONTHLY",
    "KEEP_OLD",
    "KEEP_WEEKLY",
    "KEEP_YEARLY",
    "KEY_TEMPLATE",
    "KUEUE_QUEUE",
    "LISTEN_ADDRESS",
    "LIST_SEVERAL",
    "LOCAL_MAX_WORKERS",
    "LOCK_WAIT_TIMEOUT",
    "LOG_FORMAT",
    "MAINTENANCE_DB",
    "MAX_BACKUP_COUNT",
    "OBJECT_TAGS",
    "OPERATOR",
    "OPERATOR_ALLOWED_NAMESPACES",
    "PG_BIN_DIRS",
    "PORT",
    "PROBE",
    "PROBE_CA",
    "PROBE_CERT",
    "PROBE_KEY",
    "PUSHGATEWAY_URL",
    "RELEASE_NAME",
    "RESTORER_BINARY",
    "RESTORER_TASK",
    "RESTORER_VERSION",
    "RESTORE_AS_OF",
    "RESTORE_BEGIN_BY",
    "RESTORE_BEGIN_WITHIN",
    "RESTORE_COPY_FORMAT",
    "RESTORE_DEADLINE",
    "RESTORE_IDENTITY_SECRET",
    "RESTORE_DRILL",
    "RESTORE_DRILL_SQL",
    "RESTORE_INTO_EMPTY",
    "RESTORE_JOBS",
    "RESTORE_KEEP_GOING",
    "RESTORE_MODE",
    "RESTORE_OWNERS",
    "RESTORE_ROLES",
    "RESTORE_TTL",
    "RETENTION_DAYS",
    "RETENTION_OBJECTS",
    "RETENTION_TIME_ZONE",
    "S3_ACCESS_KEY",
    "S3_BUCKET_NAME",
    "S3_CA_FILE",
    "S3_CHECKSUM",
    "S3_ENDPOINT",
    "S3_FORCE_PATH_STYLE",
    "S3_OBJECT_LOCK_DAYS",
    "S3_OBJECT_LOCK_MODE",
    "S3_PREFIX",
    "S3_REGION",
    "S3_SECRET_KEY",
    "S3_SESSION_TOKEN",
    "S3_SSE",
    "S3_SSE_CUSTOMER_KEY",
    "S3_SSE_KMS_KEY_ID",
    "S3_STORAGE_CLASS",
    "S3_TAGS",
    "SCHEDULES_FILE",
    "SECRET_REFERENCES",
    "SECURE",
    "SQL_CLEAN",
    "SQL_OWNERS",
    "STARTING_DEADLINE",
    "STORAGE_EMULATOR_HOST",
    "STORE_CA_FILE",
    "STORE_SAS_SECRET",
    "STORE_SECRET",
    "STORE_URL",
    "SUCCESSFUL_HISTORY_LIMIT",
    "SWAP_BACK_TO",
    "SYSTEM_NAMESPACE",
    "TERMINATION_MESSAGE_PATH",
    "WORKER_POD_TEMPLATE",
    "WORKER_RUN_AS_USER",
    "WORKER_SERVICE_ACCOUNT",
];

/// How the names of ours begin that others hardly use.
const PREFIXES: [&str; 15] = [
    "AGE_",
    "BACKUPER_",
    "BACKUP_",
    "DB_",
    "ENCRYPT_",
    "EXCLUDE_",
    "GRPC_TLS_",
    "INCLUDE_",
    "MAX_BACKUP",
    "PUSHGATEWAY",
    "RESTORER_",
    "RESTORE_",
    "RETENTION_",
    "S3_",
    "STORE_",
];

/// A variable that is none of our settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelt {
    /// Its name.
    pub name: String,
    /// The setting that was meant, as far as names tell.
    pub nearest: &'static str,
}

/// Those of an environment that look like ours and are not.
#[must_use]
pub fn among(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Misspelt> {
    let mut found: Vec<Misspelt> = environment
        .into_iter()
        .filter_map(|(name, value)| misspelt(name.to_str()?, &value.to_string_lossy()))
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn misspelt(name: &str, value: &str) -> Option<Misspelt> {
    if NAMES.contains(&name) || is_of_a_service(name, value) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let likeness = |it: &&str| strsim::jaro_winkler(it, &upper);
    let nearest = NAMES
        .iter()
        .copied()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    let looks_like_ours = PREFIXES.iter().any(|it| upper.starts_with(it));
    let is_near = NAMES
        .iter()
        .any(|it| strsim::damerau_levenshtein(it, &upper) <= mistakes(it));
    (looks_like_ours || is_near).then(|| Misspelt {
        name: name.to_owned(),
        nearest,
    })
}

/// How many letters may be wrong in a name that is still taken for this one: short names are near to
/// many words.
fn mistakes(name: &str) -> usize {
    match name.len() {
        0..=6 => 0,
        7..=9 => 1,
        _ => 2,
    }
}

/// Kubernetes tells each container of the Services around it. A Service `db` becomes
/// `DB_SERVICE_HOST`, `DB_PORT` and `DB_PORT_5432_TCP_ADDR`.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_of_a_service(name: &str, value: &str) -> bool {
    let after = |middle: &str| name.split_once(middle).map(|(_, rest)| rest);
    let of_protocol = after("_PORT_").is_some_and(|rest| {
        let mut parts = rest.split('_');
        let number = parts.next().unwrap_or_default();
        let protocol = parts.next().unwrap_or_default();
        number.bytes().all(|it| it.is_ascii_digit()) && ["TCP", "UDP", "SCTP"].contains(&protocol)
    });
    name.ends_with("_SERVICE_HOST")
        || after("_SERVICE_PORT").is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        || of_protocol
        || (name.ends_with("_PORT") && value.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(name: &str, value: &str) -> Option<&'static str> {
        misspelt(name, value).map(|it| it.nearest)
    }

    /// F56.
    #[test]
    fn a_misspelt_setting_gets_the_nearest_name() {
        for (name, meant) in [
            ("DB_PASS", "DB_PASSWORD"),
            ("DB_PASSWD", "DB_PASSWORD"),
            ("DB_USERNAME", "DB_USER"),
            ("DB_HOSTNAME", "DB_HOST"),
            ("DB_DATABASE", "DB_NAME"),
            ("db_host", "DB_HOST"),
            ("MAX_BACKUPS", "MAX_BACKUP_COUNT"),
            ("MAX_BACKUPS_COUNT", "MAX_BACKUP_COUNT"),
            ("S3_BUCKET", "S3_BUCKET_NAME"),
            ("S3_ACCESS_KEY_ID", "S3_ACCESS_KEY"),
            ("S3_SECRET_ACCESS_KEY", "S3_SECRET_KEY"),
            ("S3_PORT", "S3_ENDPOINT"),
            ("BACKUP_REVISON", "BACKUP_REVISION"),
            ("RESTORE_OWNER", "RESTORE_OWNERS"),
            ("COMPRESION_LEVEL", "COMPRESSION_LEVEL"),
            ("LOCK_WAIT_TIMOUT", "LOCK_WAIT_TIMEOUT"),
            ("PUSHGATEWAY", "PUSHGATEWAY_URL"),
            ("LOG_FROMAT", "LOG_FORMAT"),
        ] {
            assert_eq!(nearest(name, "x"), Some(meant), "{name}");
        }
    }

    #[test]
    fn what_others_set_is_not_ours() {
        for (name, value) in [
            ("PATH", "/bin"),
            ("HOME", "/root"),
            ("HOSTNAME", "pod"),
            ("PGHOST", "db"),
            ("PGPASSWORD", "x"),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("DB_PORT", "tcp://10.0.0.1:5432"),
            ("DB_SERVICE_HOST", "10.0.0.1"),
            ("DB_SERVICE_PORT", "5432"),
            ("DB_SERVICE_PORT_POSTGRES", "5432"),
            ("DB_PORT_5432_TCP", "tcp://10.0.0.1:5432"),
            ("DB_PORT_5432_TCP_PROTO", "tcp"),
            ("DB_PORT_5432_TCP_ADDR", "10.0.0.1"),
            ("S3_PORT", "tcp://10.0.0.1:9000"),
            ("BACKUP_STORE_PORT_9000_TCP_PORT", "9000"),
            ("POSTGRES_SCHEDULER_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("LANG", "C.UTF-8"),
            ("INVOCATION_ID", "x"),
            ("JOURNAL_STREAM", "x"),
            ("PORTS", "x"),
            ("EDITOR", "vi"),
        ] {
            assert_eq!(nearest(name, value), None, "{name}");
        }
    }
}
