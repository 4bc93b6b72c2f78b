//! A place where backups are kept.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AllowedNamespaces, SecretRef};

/// A place where backups are kept: a bucket of S3 or of Google, or a container of Azure.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "BackupStorage",
    plural = "backupstorages",
    category = "dbtether",
    shortname = "bs",
    status = "BackupStorageStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Provider", "type": "string", "jsonPath": ".status.provider"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.s3) || has(self.gcs) || has(self.azure)",
     "message": "one of s3, gcs, or azure must be specified"},
    {"rule": "!has(self.credentialsSecretRef) || has(self.s3)",
     "message": "credentialsSecretRef is for s3 alone: the workers' own identity is let into gcs and azure"}
]))]
#[serde(rename_all = "camelCase")]
pub struct BackupStorageSpec {
    /// A bucket of AWS, or of another server that speaks S3.
    pub s3: Option<S3>,
    /// A bucket of Google Cloud Storage.
    pub gcs: Option<Gcs>,
    /// A container of Azure Blob Storage.
    pub azure: Option<Azure>,
    /// Folders of dumps in plain SQL.
    #[serde(default = "path_template")]
    pub path_template: String,
    /// Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. Absent: whom the workers' pods are.
    pub credentials_secret_ref: Option<SecretRef>,
    /// What all keys begin with.
    pub prefix: Option<String>,
    /// What backups are made of where they do not say it: archive or sql.gz. Absent: sql.gz.
    #[schemars(extend("enum" = ["archive", "sql.gz"]))]
    pub format: Option<String>,
    /// Who can read the backups. Absent: as the operator's ENCRYPT_TO says.
    pub encrypt: Option<Encrypt>,
    /// Whose objects may use the storage. Absent: those of all namespaces.
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Whether a Restore may name any object here by its path; else those alone that Backups of its own
    /// namespace have written.
    #[serde(default)]
    pub allow_any_path: bool,
    /// Images of PostgreSQL that a BackupSchedule may name to verify its backups with, each whole or with a star at
    /// its end; they run in the operator's namespace, beside the workers. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_images: Option<Vec<String>>,
}

fn path_template() -> String {
    "{{ .ClusterName }}/{{ .DatabaseName }}".to_owned()
}

/// A bucket of AWS, or of another server that speaks S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The server's URL. Absent: AWS.
    pub endpoint: Option<String>,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Gcs {
    /// The bucket.
    pub bucket: String,
    /// The project that it is of.
    pub project: String,
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Azure {
    /// The container.
    pub container: String,
    /// The storage account that it is of.
    pub storage_account: String,
}

/// Who can read backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Encrypt {
    /// Public keys of age or of SSH, beside the administrator's.
    #[schemars(length(min = 1))]
    pub recipients: Vec<String>,
}

/// What is known of the storage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupStorageStatus {
    /// Ready or Failed.
    #[schemars(extend("enum" = ["Ready", "Failed"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What is so, or what is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// s3, gcs or azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// When this status was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_validation: Option<Time>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the storage can be reached, as far as the operator can try it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}
