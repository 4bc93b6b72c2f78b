//! A role that logs in, and what it may do in databases.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalRef;

/// A role that logs in, and what it may do in databases.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "dbtether.io",
    version = "v1alpha1",
    kind = "DatabaseUser",
    plural = "databaseusers",
    category = "dbtether",
    namespaced,
    status = "DatabaseUserStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Cluster", "type": "string", "jsonPath": ".status.clusterName"}"#,
    printcolumn = r#"{"name": "Databases", "type": "string", "jsonPath": ".status.databasesSummary"}"#,
    printcolumn = r#"{"name": "Username", "type": "string", "jsonPath": ".status.username"}"#,
    printcolumn = r#"{"name": "Privileges", "type": "string", "jsonPath": ".spec.privileges"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(has(self.database) || has(self.databaseRef)) != has(self.databases)",
     "message": "exactly one of database or databases must be set"},
    {"rule": "!has(self.secret) || !has(self.secret.name) || self.secretGeneration != 'perDatabase'",
     "message": "secret.name is forbidden with secretGeneration perDatabase"},
    {"rule": "!has(self.secret) || self.secret.onConflict == 'Fail' || self.secretGeneration != 'perDatabase'",
     "message": "secret.onConflict other than Fail is forbidden with secretGeneration perDatabase"},
    {"rule": "(has(self.external) && self.external) || !has(self.username) || self.username.matches('^[a-z_][a-z0-9_]*$')",
     "message": "spec.username must match ^[a-z_][a-z0-9_]*$, but for external users"},
    {"rule": "!has(self.external) || !self.external || has(self.username)",
     "message": "external needs username: the role's name as the server has it"},
    {"rule": "!has(self.external) || !self.external || !(has(self.secret) || has(self.password) || has(self.rotation) || has(self.idleInTransactionTimeout)) && self.connectionLimit == -1 && self.secretGeneration == 'primary'",
     "message": "external forbids secret, secretGeneration, password, rotation, connectionLimit and idleInTransactionTimeout: the role is others'"},
    {"rule": "!has(self.external) || !self.external || self.privileges != 'owner'",
     "message": "external forbids privileges owner"},
    {"rule": "self.connectionLimit != 0",
     "message": "connectionLimit 0 is not supported; use -1 for unlimited or >= 1 to cap"},
    {"rule": "!has(self.rotation) || !has(self.rotation.overlap) || duration(self.rotation.overlap) > duration('0s') && duration(self.rotation.overlap).getHours() < self.rotation.days * 24",
     "message": "rotation.overlap must be more than nothing and less than rotation.days"},
    {"rule": "!has(self.idleInTransactionTimeout) || duration(self.idleInTransactionTimeout) >= duration('1ms')",
     "message": "idleInTransactionTimeout must be at least 1ms"},
]))]
pub struct DatabaseUserSpec {
    /// The one Database that the user is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseEntry>,
    /// The Databases that the user is for, all of one DBCluster. The first one is in the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub databases: Option<Vec<DatabaseEntry>>,
    /// The one Database, as dbtether up to 0.4 named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_ref: Option<LocalRef>,
    /// The role's name. Absent: the object's, with `_` for `-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub username: Option<String>,
    /// Whether others make the role, such as a provider for those who log in with IAM or Entra: then it is only given
    /// its privileges, and has no Secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// What the user may do: readonly, readwrite, admin or owner.
    #[serde(default = "readonly")]
    #[schemars(extend("enum" = ["readonly", "readwrite", "admin", "owner"]))]
    pub privileges: String,
    /// The schemas of each database that the privileges are for.
    #[serde(default = "public")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 63)))]
    pub schemas: Vec<String>,
    /// Privileges on tables that `privileges` does not give.
    #[serde(default)]
    pub additional_grants: Vec<AdditionalGrant>,
    /// How the password is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordSpec>,
    /// When the password becomes another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSpec>,
    /// How many sessions the user may have at a time; -1: any number.
    #[serde(default = "unlimited")]
    #[schemars(range(min = -1))]
    pub connection_limit: i32,
    /// After which time a session that does nothing in a transaction ends, such as 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub idle_in_transaction_timeout: Option<String>,
    /// Whether the role is dropped with the object: Delete or Retain.
    #[serde(default = "delete")]
    #[schemars(extend("enum" = ["Delete", "Retain"]))]
    pub deletion_policy: String,
    /// The Secret that has the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<UserSecretSpec>,
    /// One Secret, or one for each Database: primary or perDatabase.
    #[serde(default = "primary")]
    #[schemars(extend("enum" = ["primary", "perDatabase"]))]
    pub secret_generation: String,
}

fn readonly() -> String {
    "readonly".to_owned()
}

fn public() -> Vec<String> {
    vec!["public".to_owned()]
}

fn unlimited() -> i32 {
    -1
}

fn delete() -> String {
    "Delete".to_owned()
}

fn primary() -> String {
    "primary".to_owned()
}

/// A Database, and what the user may do there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct DatabaseEntry {
    /// The Database's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace. Absent: the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What the user may do there, if it is not what it may do elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["readonly", "readwrite", "admin", "owner"]))]
    pub privileges: Option<String>,
}

/// Privileges on tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct AdditionalGrant {
    /// Tables of the schemas; where a database has none of the name, nothing is granted there.
    #[schemars(
        length(min = 1),
        inner(length(max = 63), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))
    )]
    pub tables: Vec<String>,
    /// What is granted on them.
    #[schemars(length(min = 1), extend("items" = {
        "type": "string",
        "enum": ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "USAGE"],
    }))]
    pub privileges: Vec<String>,
}

/// How a password is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct PasswordSpec {
    /// How many characters it has.
    #[serde(default = "length")]
    #[schemars(range(min = 12, max = 64))]
    pub length: i32,
}

fn length() -> i32 {
    16
}

/// When a password becomes another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct RotationSpec {
    /// After how many days.
    #[schemars(range(min = 1, max = 365))]
    pub days: i32,
    /// How long the password before lets in beside the new one, such as 24h: each is of a login of its own, of which
    /// one acts for the other. Absent: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub overlap: Option<String>,
}

/// The Secret that has the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserSecretSpec {
    /// Its name. Absent: the object's with `-credentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// Which keys it has: raw, DB, DATABASE, POSTGRES, custom or dsn.
    #[serde(default = "raw")]
    #[schemars(extend("enum" = ["raw", "DB", "DATABASE", "POSTGRES", "custom", "dsn"]))]
    pub template: String,
    /// The keys of template custom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<SecretKeys>,
    /// What becomes of a Secret of that name that is not the user's: Fail, Adopt or Merge.
    #[serde(default = "fail")]
    #[schemars(extend("enum" = ["Fail", "Adopt", "Merge"]))]
    pub on_conflict: String,
}

fn raw() -> String {
    "raw".to_owned()
}

fn fail() -> String {
    "Fail".to_owned()
}

/// Keys of a Secret; each that is absent is its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SecretKeys {
    /// Of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Of the database's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Of the role's name, as dbtether up to 0.5.4 named it; `username` comes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of the role's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Of the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What is known of the user.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseUserStatus {
    /// Pending, Creating, Ready or Failed.
    #[schemars(extend("enum" = ["Pending", "Creating", "Ready", "Failed"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What is so, or what is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The DBCluster that the role is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// The role's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Each database, and what the user may do there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<UserDatabase>>,
    /// The first database, and how many there are beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases_summary: Option<String>,
    /// The Secret, or the first of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// When the password became what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_updated_at: Option<Time>,
    /// The login that the Secret has, where it is not the role itself but its second one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The login that the Secret had before, which lets in for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_login: Option<FormerLogin>,
    /// The value of annotation dbtether.io/rotate that the password was last changed for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_for: Option<String>,
    /// Since when the object waits for what it depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The role that the object has: it is that one and no other of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<UserKept>,
    /// Roles that the object had, and that stay where they are since it names another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned: Option<Vec<String>>,
    /// Ready: the user is as the spec says. Granted: it may do all of it. Isolated: and nothing beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// A database of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UserDatabase {
    /// The Database's name.
    pub name: String,
    /// Its namespace, as the spec has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The database's name in PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// Pending, Ready or Failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What the user may do there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileges: Option<String>,
    /// The database's own Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// What is wrong there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A login whose time is over soon.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct FormerLogin {
    /// Its name.
    pub name: String,
    /// When its password is taken from it. Its sessions stay.
    pub until: Time,
}

/// A role that an object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UserKept {
    /// The DBCluster that it is on.
    pub cluster_name: String,
    /// Its name.
    pub username: String,
    /// The identifier that initdb gave the server's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// Its oid.
    pub oid: u32,
    /// The databases where it was given anything.
    pub databases: Vec<String>,
    /// Whether others have made it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
}
