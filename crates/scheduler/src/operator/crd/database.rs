//! A database on a server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AllowedNamespaces;

/// A database on a server.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "Database",
    plural = "databases",
    category = "dbtether",
    namespaced,
    status = "DatabaseStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Cluster", "type": "string", "jsonPath": ".spec.clusterRef.name"}"#,
    printcolumn = r#"{"name": "Database", "type": "string", "jsonPath": ".status.databaseName"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// The DBCluster that the database is on.
    pub cluster_ref: LocalRef,
    /// The database's name in PostgreSQL. Absent: the object's, with `_` for `-`.
    #[schemars(length(max = 63), regex(pattern = "^[a-z_][a-z0-9_]*$"))]
    pub database_name: Option<String>,
    /// Extensions that the database is to have. One that is taken out stays in the database.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Whether the database is dropped with the object, if the object has made it: Delete or Retain.
    #[serde(default = "retain")]
    #[schemars(extend("enum" = ["Delete", "Retain"]))]
    pub deletion_policy: String,
    /// Whether only roles that were granted it may connect.
    #[serde(default)]
    pub revoke_public_connect: bool,
    /// Whose objects of other namespaces may use the database. Absent: those of all namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

fn retain() -> String {
    "Retain".to_owned()
}

/// An object by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct LocalRef {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// What is known of the database.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseStatus {
    /// Pending, Waiting, Creating, Ready, Failed or Deleting.
    #[schemars(extend("enum" = ["Pending", "Creating", "Ready", "Failed", "Waiting", "Deleting"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What is so, or what is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The database's name in PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// Since when the object waits for what it depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// Whether the database carries the object's mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ownership_tracked: Option<bool>,
    /// The database that the object has: it is that one and no other of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<DatabaseKept>,
    /// Databases that the object had, and that stay where they are since it names another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned: Option<Vec<String>>,
    /// Ready: the database is as the spec says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// A database that an object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseKept {
    /// The DBCluster that it is on.
    pub cluster_name: String,
    /// Its name.
    pub database_name: String,
    /// The identifier that initdb gave the server's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// Its oid.
    pub oid: u32,
    /// `created` by the object, or `adopted`: then it is never dropped unasked.
    pub origin: String,
    /// The comment that it had before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
