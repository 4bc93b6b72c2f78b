//! What a command takes that asks what retention would remove.

use backuper::runtime::Failure;
use clap::Args;

use super::stores::StoreAsked;
use crate::api::proto::v1;

/// Whose backups are judged, and by which rules.
#[derive(Debug, Args)]
pub(in crate::cli) struct RetentionAsked {
    /// The schedule's name.
    #[arg(required_unless_present = "store", conflicts_with = "store")]
    schedule: Option<String>,
    #[command(flatten)]
    store: StoreAsked,
    /// With --store, or a schedule of several databases: HOST:PORT/DBNAME,
    /// the database whose backups are judged.
    #[arg(long)]
    source: Option<String>,
    /// What if so many of the newest were kept; with any of these the schedule's own rules are not asked.
    #[arg(long, value_name = "COUNT")]
    keep: Option<u32>,
    /// What if the newest of each hour were kept for so many hours.
    #[arg(long, value_name = "COUNT")]
    keep_hourly: Option<u32>,
    /// What if the newest of each day were kept for so many days.
    #[arg(long, value_name = "COUNT")]
    keep_daily: Option<u32>,
    /// What if the newest of each ISO week were kept for so many weeks.
    #[arg(long, value_name = "COUNT")]
    keep_weekly: Option<u32>,
    /// What if the newest of each month were kept for so many months.
    #[arg(long, value_name = "COUNT")]
    keep_monthly: Option<u32>,
    /// What if the newest of each year were kept for so many years.
    #[arg(long, value_name = "COUNT")]
    keep_yearly: Option<u32>,
    /// What if all were kept for so many days.
    #[arg(long, value_name = "COUNT")]
    days: Option<u32>,
    /// What if so many complete ones always stayed.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    keep_at_least: Option<u32>,
    /// The time zone whose days are meant, by its IANA name; UTC otherwise.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// What if backups that are single objects were judged too.
    #[arg(long)]
    objects: bool,
}

impl RetentionAsked {
    pub(in crate::cli) fn request(&self) -> Result<v1::PreviewRetentionRequest, Failure> {
        let rules = v1::RetentionRules {
            max_backup_count: self.keep.unwrap_or_default(),
            hourly: self.keep_hourly.unwrap_or_default(),
            daily: self.keep_daily.unwrap_or_default(),
            weekly: self.keep_weekly.unwrap_or_default(),
            monthly: self.keep_monthly.unwrap_or_default(),
            yearly: self.keep_yearly.unwrap_or_default(),
            days: self.days.unwrap_or_default(),
            at_least: self.keep_at_least.unwrap_or_default(),
            time_zone: self.time_zone.clone().unwrap_or_default(),
            objects: self.objects,
        };
        let counts = [
            self.keep,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
            self.days,
            self.keep_at_least,
        ];
        let is_given =
            counts.iter().any(Option::is_some) || self.time_zone.is_some() || self.objects;
        Ok(v1::PreviewRetentionRequest {
            schedule: self.schedule.clone().unwrap_or_default(),
            store: self.store.message()?,
            source: self.source.clone().unwrap_or_default(),
            rules: is_given.then_some(rules),
        })
    }
}
