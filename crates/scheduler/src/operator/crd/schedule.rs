//! Backups of a database at its times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalRef;
use super::backup::{DatabaseRef, JobConfig, filename_template, retain};
use super::restore::Chosen;

/// Backups of a database at its times.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "BackupSchedule",
    plural = "backupschedules",
    category = "dbtether",
    shortname = "bks",
    namespaced,
    status = "BackupScheduleStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Database", "type": "string", "jsonPath": ".spec.databaseRef.name"}"#,
    printcolumn = r#"{"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Last Backup", "type": "date", "jsonPath": ".status.lastBackupTime"}"#,
    printcolumn = r#"{"name": "Verified", "type": "date", "jsonPath": ".status.verification.lastVerifiedAt"}"#,
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
    /// When the newest backup is restored to prove it, and where. Absent: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// When and where the newest backup is proved: restored into a database that is made for it, compared with what was
/// dumped, and dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.clusterRef) != has(self.image)",
     "message": "exactly one of clusterRef and image must be specified"}
]))]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// When: five fields of cron.
    #[schemars(regex(pattern = r"^\S+\s+\S+\s+\S+\s+\S+\s+\S+$"))]
    pub schedule: String,
    /// Whose clocks are meant. Absent: those of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The DBCluster on whose server the throw-away database is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<LocalRef>,
    /// An image of PostgreSQL whose server runs beside the drill and ends with it.
    #[schemars(length(max = 500), regex(pattern = r"^\S+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What is asked of what has come back: it passes where all of it succeeds and no statement's last row begins
    /// with false or null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sql: Vec<String>,
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
    /// What came of proving the newest backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Ready: backups are made at their times. Verified: the last drill has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// What is known of the drills of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Verification {
    /// The time whose drill was begun last, or when somebody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When a drill has last passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_verified_at: Option<Time>,
    /// The Backup of the last drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The key of what was restored, without the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Running, Passed or Failed.
    #[schemars(extend("enum" = ["Running", "Passed", "Failed"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What was shown, or what is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many tables the last drill that has passed has compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<i64>,
    /// How many rows they had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// The run of the last drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Since when a drill that is due waits for what it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// What the last drill is of, whatever the spec says by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// What the annotation dbtether.io/verify said that was followed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The times that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed: Option<String>,
    /// Since when it follows them; what was due before is made no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed_since: Option<Time>,
}
