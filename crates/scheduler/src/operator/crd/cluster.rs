//! A PostgreSQL server that databases are made on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A PostgreSQL server that databases are made on: Aurora, RDS, Cloud SQL, self-hosted.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "DBCluster",
    plural = "dbclusters",
    category = "dbtether",
    shortname = "dbc",
    status = "DBClusterStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Endpoint", "type": "string", "jsonPath": ".spec.endpoint"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Version", "type": "string", "jsonPath": ".status.postgresVersion"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct DBClusterSpec {
    /// Host name or address of the server, without a port.
    #[schemars(length(min = 1))]
    pub endpoint: String,
    /// Its TCP port.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Secret with `username` and `password` of a role that may create databases and roles.
    pub credentials_secret_ref: Option<SecretRef>,
    /// Environment variables of the operator that have them. They come before the Secret.
    pub credentials_from_env: Option<EnvRef>,
    /// Whose objects may use the server. Absent: those of all namespaces.
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// How connections are encrypted. Absent: as the operator's DB_SSLMODE says.
    pub tls: Option<Tls>,
}

fn port() -> i32 {
    5432
}

/// A Secret, of any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SecretRef {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// Environment variables of the operator, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct EnvRef {
    /// The variable that has the role's name.
    pub username: String,
    /// The variable that has its password.
    pub password: String,
}

/// Namespaces whose objects may use something: those that are named, and those whose labels match.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct AllowedNamespaces {
    /// Names of namespaces.
    #[serde(default)]
    pub names: Vec<String>,
    /// Labels that a namespace has.
    pub selector: Option<LabelSelector>,
}

/// How connections are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.caSecretRef) || self.mode in ['require', 'verify-ca', 'verify-full']",
     "message": "caSecretRef needs mode require, verify-ca or verify-full: with the others nobody looks at certificates"}
]))]
pub struct Tls {
    /// libpq's sslmode.
    #[schemars(extend("enum" = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]))]
    pub mode: String,
    /// The authorities that sign the server's certificate, in a Secret. verify-ca and verify-full need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<KeyRef>,
}

/// A key of a Secret, of any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct KeyRef {
    /// The Secret's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The key.
    #[serde(default = "ca")]
    #[schemars(length(min = 1))]
    pub key: String,
}

fn ca() -> String {
    "ca.crt".to_owned()
}

/// What is known of the server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DBClusterStatus {
    /// Pending, Connected or Failed.
    #[schemars(extend("enum" = ["Pending", "Connected", "Failed"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What is so, or what is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The server's `version()`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres_version: Option<String>,
    /// The identifier that initdb gave the server's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// When this status was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the server answers, and the role may do what is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}
