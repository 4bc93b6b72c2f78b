//! Names in objects that users of dbtether know: finalizers, annotations and labels.

/// Holds a Database until PostgreSQL has been looked at.
pub(super) const DATABASE_FINALIZER: &str = "dbtether.io/finalizer";
/// Holds a DatabaseUser until PostgreSQL has been looked at.
pub(super) const USER_FINALIZER: &str = "databaseusers.dbtether.io/finalizer";
/// Makes a password another one, whenever its value is another.
pub(super) const ROTATE: &str = "dbtether.io/rotate";
/// On a Secret: the name of the DatabaseUser that it is of.
pub(super) const MANAGED_BY: &str = "dbtether.io/managed-by";
/// On a Secret of one of several Databases, and on a Backup's run: that Database's name.
pub(super) const DATABASE: &str = "dbtether.io/database";
/// On a Secret that has others' keys too: `Merge`.
pub(super) const CONFLICT_POLICY: &str = "dbtether.io/conflict-policy";
/// On a Secret: the keys that are ours, sorted, with commas between them.
pub(super) const MANAGED_KEYS: &str = "dbtether.io/managed-keys";
/// A label on a Secret, by which we watch ours and no others: the uid of its DatabaseUser.
pub(super) const USER_LABEL: &str = "dbtether.io/databaseuser";
/// Takes a database or a role over that is another object's or another cluster's.
pub(super) const FORCE_ADOPT: &str = "dbtether.io/force-adopt";
/// Lets an object go though PostgreSQL could not be looked at.
pub(super) const FORCE_RELEASE: &str = "dbtether.io/force-release";

/// Holds a Backup until its run has been ended.
pub(super) const BACKUP_FINALIZER: &str = "dbtether.io/backup-job";
/// Holds a BackupSchedule until its Backups are gone.
pub(super) const SCHEDULE_FINALIZER: &str = "dbtether.io/schedule-finalizer";
/// Holds a Restore until its run has been ended.
pub(super) const RESTORE_FINALIZER: &str = "dbtether.io/restore-job";
/// Labels of a Backup's run.
pub(super) const BACKUP_NAMESPACE: &str = "dbtether.io/backup-namespace";
pub(super) const CLUSTER: &str = "dbtether.io/cluster";
pub(super) const SPEC_HASH: &str = "dbtether.io/spec-hash";
/// Labels of a Restore's run, which dbtether gives it and we do not.
pub(super) const RESTORE: &str = "dbtether.io/restore";
pub(super) const RESTORE_NAMESPACE: &str = "dbtether.io/restore-namespace";
/// What is noted on a Backup's run that has ended well: by dbtether's worker, and on ours by us.
pub(super) const BACKUP_PATH: &str = "dbtether.io/backup-path";
pub(super) const BACKUP_SIZE: &str = "dbtether.io/backup-size";
pub(super) const BACKUP_SIZE_HUMAN: &str = "dbtether.io/backup-size-human";
pub(super) const BACKUP_UNCOMPRESSED_SIZE: &str = "dbtether.io/backup-uncompressed-size";
pub(super) const BACKUP_DURATION: &str = "dbtether.io/backup-duration";
/// Labels of a Backup that a BackupSchedule has made.
pub(super) const SCHEDULE: &str = "dbtether.io/schedule";
pub(super) const SCHEDULE_NAMESPACE: &str = "dbtether.io/schedule-namespace";
/// When a BackupSchedule's Backups were last looked through.
pub(super) const LAST_CLEANUP: &str = "dbtether.io/last-retention-cleanup";
/// Has the newest backup of a BackupSchedule verified now, whenever its value is another.
pub(super) const VERIFY: &str = "dbtether.io/verify";
/// What a Backup has stored goes with it: its BackupSchedule keeps it no longer.
pub(super) const EXPIRED: &str = "dbtether.io/expired";

/// Whether an annotation says so: nothing but `true` does.
pub(super) fn says<K: kube::ResourceExt>(object: &K, annotation: &str) -> bool {
    object
        .annotations()
        .get(annotation)
        .is_some_and(|it| it == "true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::Database;

    /// operator.md, D4.
    #[test]
    fn nothing_but_true_forces() {
        let said = |value: Option<&str>| {
            let mut object = Database::new("d", crate::operator::crd::DatabaseSpec::default());
            let annotations = value.map(|it| (FORCE_ADOPT.to_owned(), it.to_owned()));
            object.metadata.annotations = Some(annotations.into_iter().collect());
            says(&object, FORCE_ADOPT)
        };
        for other in [None, Some(""), Some("false"), Some("yes"), Some("True")] {
            assert!(!said(other), "{other:?}");
        }
        assert!(said(Some("true")));
    }
}
