//! What a schedule is put with beside the administrator's settings.

use clap::{Args, ValueEnum};

use crate::api::proto::v1;

/// What is of its own; what is not said is as the administrator has set it for all schedules.
#[derive(Debug, Args)]
pub(super) struct OptionsAsked {
    #[command(flatten, next_help_heading = "Its own retention")]
    retention: RetentionOptions,
    #[command(flatten, next_help_heading = "Its own format")]
    format: FormatOptions,
    /// A public key (age1…, ssh-ed25519 …) that opens its backups beside the administrator's; may be given several
    /// times.
    #[arg(long, value_name = "KEY", help_heading = "Its own encryption")]
    encrypt_to: Vec<String>,
    /// Encrypt the names in the manifest too.
    #[arg(long, help_heading = "Its own encryption")]
    encrypt_manifest: bool,
    #[command(flatten, next_help_heading = "Its own filters")]
    filters: FilterOptions,
    /// Whether the server's roles and tablespaces are a part of its backups.
    #[arg(long, value_name = "BOOL", help_heading = "Its own globals")]
    globals: Option<bool>,
    /// What becomes of password hashes in them: encrypted, none or unencrypted.
    #[arg(long, value_name = "WORD", help_heading = "Its own globals")]
    globals_passwords: Option<String>,
    /// How many data streams run side by side.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=65535))]
    jobs: Option<u32>,
}

/// Rules in the place of the administrator's: with any of these none of those holds.
#[derive(Debug, Args)]
struct RetentionOptions {
    /// Beside --keep, the newest of each hour for so many hours; with any of these no rule of the administrator's
    /// holds.
    #[arg(long, value_name = "COUNT")]
    keep_hourly: Option<u32>,
    /// The newest of each day for so many days.
    #[arg(long, value_name = "COUNT")]
    keep_daily: Option<u32>,
    /// The newest of each ISO week for so many weeks.
    #[arg(long, value_name = "COUNT")]
    keep_weekly: Option<u32>,
    /// The newest of each month for so many months.
    #[arg(long, value_name = "COUNT")]
    keep_monthly: Option<u32>,
    /// The newest of each year for so many years.
    #[arg(long, value_name = "COUNT")]
    keep_yearly: Option<u32>,
    /// All for so many days.
    #[arg(long, value_name = "COUNT")]
    days: Option<u32>,
    /// So many complete ones always.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    keep_at_least: Option<u32>,
    /// The time zone whose days are meant, by its IANA name; UTC otherwise.
    #[arg(long, value_name = "ZONE")]
    retention_time_zone: Option<String>,
    /// Judge backups that are single objects too, of which nothing says whose they are.
    #[arg(long)]
    retention_objects: bool,
}

/// Patterns as pg_dump takes them.
#[derive(Debug, Args)]
struct FilterOptions {
    /// Back up only schemas of this pattern; may be given several times, as all of these.
    #[arg(long, value_name = "PATTERN")]
    include_schema: Vec<String>,
    /// Back up no schemas of this pattern.
    #[arg(long, value_name = "PATTERN")]
    exclude_schema: Vec<String>,
    /// Back up only tables of this pattern, such as shop.orders.
    #[arg(long, value_name = "PATTERN")]
    include_table: Vec<String>,
    /// Back up no tables of this pattern.
    #[arg(long, value_name = "PATTERN")]
    exclude_table: Vec<String>,
    /// Back up tables of this pattern without their rows.
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data: Vec<String>,
}

#[derive(Debug, Args)]
struct FormatOptions {
    /// What its backups are made of.
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Whether plain SQL sets owners and privileges.
    #[arg(long, value_name = "BOOL")]
    sql_owners: Option<bool>,
    /// Whether plain SQL drops first what it makes.
    #[arg(long, value_name = "BOOL")]
    sql_clean: Option<bool>,
    /// How strongly they are compressed, 1 to 19.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=19))]
    compression_level: Option<u32>,
    /// Key of its dumps in plain SQL, such as {{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz.
    #[arg(long, value_name = "TEMPLATE")]
    key_template: Option<String>,
    /// What {{ .ClusterName }} stands for in it.
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A folder, made and restored by several streams.
    Archive,
    /// One object with plain SQL in gzip.
    #[value(name = "sql.gz")]
    SqlGz,
}

impl OptionsAsked {
    /// The request with all of it.
    pub(super) fn added_to(&self, request: v1::PutScheduleRequest) -> v1::PutScheduleRequest {
        let encryption = v1::Encryption {
            recipients: self.encrypt_to.clone(),
            manifest: self.encrypt_manifest,
        };
        let globals = v1::Globals {
            enabled: self.globals,
            passwords: self.globals_passwords.clone().unwrap_or_default(),
        };
        v1::PutScheduleRequest {
            retention: self.retention.message(),
            format: Some(self.format.message()),
            encryption: Some(encryption),
            filters: Some(self.filters.message()),
            globals: Some(globals),
            jobs: self.jobs.unwrap_or_default(),
            ..request
        }
    }
}

impl RetentionOptions {
    fn message(&self) -> Option<v1::RetentionRules> {
        let Self {
            keep_hourly,
            keep_daily,
            keep_weekly,
            keep_monthly,
            keep_yearly,
            days,
            keep_at_least,
            retention_time_zone,
            retention_objects,
        } = self;
        let counts = [
            keep_hourly,
            keep_daily,
            keep_weekly,
            keep_monthly,
            keep_yearly,
            days,
            keep_at_least,
        ];
        let is_said = counts.into_iter().any(Option::is_some)
            || retention_time_zone.is_some()
            || *retention_objects;
        let [hourly, daily, weekly, monthly, yearly, days, at_least] =
            counts.map(|it| it.unwrap_or_default());
        is_said.then(|| v1::RetentionRules {
            max_backup_count: 0,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days,
            at_least,
            time_zone: retention_time_zone.clone().unwrap_or_default(),
            objects: *retention_objects,
        })
    }
}

impl FilterOptions {
    fn message(&self) -> v1::Filters {
        v1::Filters {
            include_schemas: self.include_schema.clone(),
            exclude_schemas: self.exclude_schema.clone(),
            include_tables: self.include_table.clone(),
            exclude_tables: self.exclude_table.clone(),
            exclude_table_data: self.exclude_table_data.clone(),
        }
    }
}

impl FormatOptions {
    fn message(&self) -> v1::BackupFormat {
        let Self {
            format,
            sql_owners,
            sql_clean,
            compression_level,
            key_template,
            cluster_name,
        } = self;
        let kind = match format {
            None => "",
            Some(Kind::Archive) => "archive",
            Some(Kind::SqlGz) => "sql.gz",
        };
        v1::BackupFormat {
            kind: kind.to_owned(),
            sql_owners: *sql_owners,
            sql_clean: *sql_clean,
            compression_level: compression_level.unwrap_or_default(),
            key_template: key_template.clone().unwrap_or_default(),
            cluster_name: cluster_name.clone().unwrap_or_default(),
        }
    }
}
