//! A backup that comes back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalRef;
use super::backup::{DatabaseRef, Stored};

/// A backup that comes back into a database.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "Restore",
    plural = "restores",
    category = "dbtether",
    shortname = "rst",
    namespaced,
    status = "RestoreStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Target", "type": "string", "jsonPath": ".spec.target.databaseRef.name"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Duration", "type": "string", "jsonPath": ".status.duration"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSpec {
    /// Which backup.
    pub source: RestoreSource,
    /// Where to.
    pub target: RestoreTarget,
    /// What becomes of what is in the database: with fail nothing is restored, with drop it is replaced.
    #[serde(default = "fail")]
    #[schemars(extend("enum" = ["fail", "drop", "overwrite"]))]
    pub on_conflict: String,
    /// How long its run stays after its end: hours, minutes and seconds, as in 1h30m; five minutes at least.
    #[schemars(regex(pattern = "^[-+]?(0|([0-9]*[.]?[0-9]*(ns|us|µs|μs|ms|s|m|h))+)$"))]
    pub ttl_after_completion: Option<String>,
}

fn fail() -> String {
    "fail".to_owned()
}

/// Which backup: the first of these that is there counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSource {
    /// A Backup.
    pub backup_ref: Option<ObjectRef>,
    /// The newest Backup of a Database.
    pub latest_from: Option<LatestFrom>,
    /// The key of an object in the storage.
    pub path: Option<String>,
    /// The BackupStorage where the path is.
    pub storage_ref: Option<LocalRef>,
}

/// An object of any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ObjectRef {
    /// Its name.
    pub name: String,
    /// Its namespace. Absent: the Restore's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// The newest Backup of a Database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatestFrom {
    /// The Database.
    pub database_ref: DatabaseRef,
    /// The namespace of its Backups. Absent: the Restore's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.databaseRef.namespace) || self.databaseRef.namespace == ''",
     "message": "target database must be in the Restore's namespace"}
]))]
#[serde(rename_all = "camelCase")]
pub struct RestoreTarget {
    /// The Database.
    pub database_ref: DatabaseRef,
}

/// What is known of the restore.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RestoreStatus {
    /// Pending, Running, Granting, Completed or Failed.
    #[schemars(extend("enum" = ["Pending", "Running", "Granting", "Completed", "Failed"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What is so, or what is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The spec that the run is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec_hash: Option<String>,
    /// The run: on Kubernetes its Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// The key of the backup that comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_path: Option<String>,
    /// How long the run took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Eight letters and digits that tell the run from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// How often grants were tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_attempts: Option<i32>,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The backup that was chosen for a run, before it began: whatever is made meanwhile, it is this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// Since when it waits for what it depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// The run before this one, which has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// Ready: the backup is back, and GrantsApplied: the database's users may do again what they may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// A backup that was chosen for a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Chosen {
    /// The run that it is for.
    pub request: String,
    /// Its key, without the bucket.
    pub path: String,
    /// The BackupStorage where it is.
    pub storage: String,
    /// Whether a Backup has written it that the Restore may use.
    pub is_recorded: bool,
    /// What its Backup has kept of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}
