//! The kinds of `dbtether.io/v1alpha1`: what a manifest may say, and what its status tells.
//!
//! Whatever was written for dbtether 0.5 to 0.9.1 is admitted. Words that are one of several are texts here: an
//! object that was let in by an older definition must not keep those beside it from being read.

mod backup;
mod cluster;
mod database;
mod restore;
mod schedule;
mod storage;
mod user;

pub use backup::{Backup, BackupSpec, BackupStatus, DatabaseRef, Former, JobConfig, Stored};
pub use cluster::{
    AllowedNamespaces, DBCluster, DBClusterSpec, DBClusterStatus, EnvRef, KeyRef, SecretRef, Tls,
};
pub use database::{Database, DatabaseKept, DatabaseSpec, DatabaseStatus, LocalRef};
pub use restore::{
    Chosen, LatestFrom, ObjectRef, Restore, RestoreSource, RestoreSpec, RestoreStatus,
    RestoreTarget,
};
pub use schedule::{
    BackupSchedule, BackupScheduleSpec, BackupScheduleStatus, RetentionPolicy, Verification, Verify,
};
pub use storage::{Azure, BackupStorage, BackupStorageSpec, BackupStorageStatus, Encrypt, Gcs, S3};
pub use user::{
    AdditionalGrant, DatabaseEntry, DatabaseUser, DatabaseUserSpec, DatabaseUserStatus,
    FormerLogin, PasswordSpec, RotationSpec, SecretKeys, UserDatabase, UserKept, UserSecretSpec,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// Helm removes what a chart has no more; with the definition would go all its objects.
const KEEP: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// The definitions of all kinds, as `scheduler crds` prints them.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        DBCluster::crd(),
        Database::crd(),
        DatabaseUser::crd(),
        BackupStorage::crd(),
        Backup::crd(),
        BackupSchedule::crd(),
        Restore::crd(),
    ];
    for definition in &mut all {
        let (key, value) = (KEEP.0.to_owned(), KEEP.1.to_owned());
        definition
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(key, value);
        for version in &mut definition.spec.versions {
            let schema = version.schema.as_mut();
            let root = schema.and_then(|it| it.open_api_v3_schema.as_mut());
            if let Some(root) = root {
                // dbtether lets an object without a spec in, and tells in its status what it lacks.
                root.required = None;
            }
        }
    }
    all
}

/// The definitions as one text of YAML documents.
///
/// # Errors
/// None that is known: they are plain data.
pub fn print() -> Result<String, serde_yaml_ng::Error> {
    let mut text = String::new();
    for definition in definitions() {
        text.push_str("---\n");
        text.push_str(&serde_yaml_ng::to_string(&definition)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_have_dbtethers_names() {
        let names: Vec<String> = definitions()
            .iter()
            .map(|it| {
                let names = &it.spec.names;
                let short = names.short_names.clone().unwrap_or_default().join(",");
                format!(
                    "{} {} {short} {}",
                    it.spec.group, names.plural, it.spec.scope
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                "dbtether.io dbclusters dbc Cluster",
                "dbtether.io databases  Namespaced",
                "dbtether.io databaseusers  Namespaced",
                "dbtether.io backupstorages bs Cluster",
                "dbtether.io backups bkp Namespaced",
                "dbtether.io backupschedules bks Namespaced",
                "dbtether.io restores rst Namespaced",
            ]
        );
        assert!(print().is_ok_and(|it| it.matches("\n---\n").count() == 6));
    }
}
