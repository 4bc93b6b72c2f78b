//! Backups of a database at its times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalRef;
use super::backup::{DatabaseRef, JobConfig, filename_template, retain};

/// Backups of a database at its times.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "BackupSchedule",
    plural = "backupschedules",
    shortname = "bks",
    namespaced,
    status = "BackupScheduleStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Database", "type": "string", "jsonPath": ".spec.databaseRef.name"}"#,
    printcolumn = r#"{"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Last Backup", "type": "date", "jsonPath": ".status.lastBackupTime"}"#,
    printcolumn = r#"{"name": "Next", "type": "string", "format": "date-time", "jsonPath": ".status.nextScheduledTime"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BackupScheduleSpec {
    /// The Database that is backed up, of the same namespace.
    pub database_ref: DatabaseRef,
    /// The BackupStorage where to.
    pub storage_ref: LocalRef,
    /// When: five fields of cron.
    #[schemars(regex(pattern = r"^\S+\s+\S+\s+\S+\s+\S+\s+\S+$"))]
    pub schedule: String,
    /// Whose clocks are meant, such as Europe/Berlin. Absent: UTC.
    pub time_zone: Option<String>,
    /// The name of a dump in plain SQL, in the storage's folders.
    #[serde(default = "filename_template")]
    pub filename_template: String,
    /// Which of its backups stay. Absent: all.
    pub retention: Option<RetentionPolicy>,
    /// Whether no backups are made for now.
    #[serde(default)]
    pub suspend: bool,
    /// A backup that could not begin within so many seconds of its time is left out. Absent: it is made late.
    #[schemars(range(min = 60))]
    pub starting_deadline_seconds: Option<i64>,
    /// How its runs are tried.
    pub job_config: Option<JobConfig>,
    /// What its backups are made of: archive or sql.gz. Absent: as the storage says.
    #[schemars(extend("enum" = ["archive", "sql.gz"]))]
    pub format: Option<String>,
    /// Whether what is stored goes with a Backup that somebody deletes, and with the schedule: Retain or Delete.
    #[serde(default = "retain")]
    #[schemars(extend("enum" = ["Retain", "Delete"]))]
    pub deletion_policy: String,
}

/// Which backups stay: those that any of the rules keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(has(self.keepLast) && self.keepLast > 0) || (has(self.keepDaily) && self.keepDaily > 0) || (has(self.keepWeekly) && self.keepWeekly > 0) || (has(self.keepMonthly) && self.keepMonthly > 0)",
     "message": "at least one of keepLast, keepDaily, keepWeekly and keepMonthly must be greater than 0"}
]))]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// So many of the newest.
    pub keep_last: Option<i32>,
    /// For so many days the newest of each.
    pub keep_daily: Option<i32>,
    /// For so many times seven days the newest of each ISO week.
    pub keep_weekly: Option<i32>,
    /// For so many months the newest of each.
    pub keep_monthly: Option<i32>,
}

/// What is known of the schedule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupScheduleStatus {
    /// Active, Suspended or Failed.
    #[schemars(extend("enum" = ["Active", "Suspended", "Failed"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What is so, or what is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it made its last backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_backup_time: Option<Time>,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_scheduled_time: Option<Time>,
    /// The newest of its backups that is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_successful_backup: Option<String>,
    /// How many Backups it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_backups: Option<i32>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The times that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed: Option<String>,
    /// Since when it follows them; what was due before is made no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed_since: Option<Time>,
    /// Ready: backups are made at their times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}
