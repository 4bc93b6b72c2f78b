//! One backup of a database.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalRef;

/// One backup of a database.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "Backup",
    plural = "backups",
    category = "dbtether",
    shortname = "bkp",
    namespaced,
    status = "BackupStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Database", "type": "string", "jsonPath": ".spec.databaseRef.name"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Size", "type": "string", "jsonPath": ".status.size"}"#,
    printcolumn = r#"{"name": "Duration", "type": "string", "jsonPath": ".status.duration"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Observed", "type": "integer", "jsonPath": ".status.observedGeneration", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BackupSpec {
    /// The Database that is backed up, of the same namespace.
    pub database_ref: DatabaseRef,
    /// The BackupStorage where to.
    pub storage_ref: LocalRef,
    /// The name of a dump in plain SQL, in the storage's folders.
    #[serde(default = "filename_template")]
    pub filename_template: String,
    /// Another value makes another backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub trigger: Option<String>,
    /// How long what the run leaves in the cluster stays after it has ended well, in Go's words. Absent: an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[-+]?(0|([0-9]*[.]?[0-9]*(ns|us|µs|μs|ms|s|m|h))+)$"))]
    pub ttl_after_completion: Option<String>,
    /// How the run is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_config: Option<JobConfig>,
    /// What the backup is made of: archive or sql.gz. Absent: as the storage says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["archive", "sql.gz"]))]
    pub format: Option<String>,
    /// Whether what is stored goes with the object: Retain or Delete.
    #[serde(default = "retain")]
    #[schemars(extend("enum" = ["Retain", "Delete"]))]
    pub deletion_policy: String,
}

pub(super) fn filename_template() -> String {
    "{{ .Timestamp }}.sql.gz".to_owned()
}

pub(super) fn retain() -> String {
    "Retain".to_owned()
}

/// A Database by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct DatabaseRef {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace, which is the object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// How a run is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobConfig {
    /// How often it is tried again.
    #[serde(default = "backoff_limit", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub backoff_limit: Option<i32>,
    /// How long all tries may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60))]
    pub active_deadline_seconds: Option<i64>,
    /// How long what a failed run leaves in the cluster stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_failed: Option<i32>,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is the default of a field that may be absent"
)]
fn backoff_limit() -> Option<i32> {
    Some(3)
}

/// What is known of the backup.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupStatus {
    /// Pending, Running, Completed or Failed.
    #[schemars(extend("enum" = ["Pending", "Running", "Completed", "Failed"]))]
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
    /// The key of what is stored, without the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it takes in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// How long the run took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Eight letters and digits that tell the run from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it was last restored to prove it, and came back as it was dumped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// One word for why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// The worker's sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
    /// How often it was tried, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<i32>,
    /// The last pod, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pod_name: Option<String>,
    /// The BackupStorage where it is, and as what, so that a restore finds it whatever the spec says by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// What earlier runs have stored, that is this object's too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former: Option<Vec<Former>>,
    /// The run before this one, which has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// Ready: the backup is complete and verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// What an earlier run has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Former {
    /// Its key, without the bucket.
    pub path: String,
    /// Where it is, and as what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

/// Whose backup it is, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Stored {
    /// The BackupStorage.
    pub storage: String,
    /// Host, port and name of the database, `host:port/dbname`.
    pub source: String,
    /// What stood for the cluster in the key.
    pub cluster: String,
    /// What all keys of the BackupStorage began with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The template of its key; none: it is a folder of archives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}
