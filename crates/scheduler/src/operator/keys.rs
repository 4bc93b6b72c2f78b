//! Names in objects that users of dbtether know: finalizers and annotations.

/// Holds a Database until PostgreSQL has been looked at.
pub(super) const DATABASE_FINALIZER: &str = "dbtether.io/finalizer";
/// Takes a database over that is another object's or another cluster's.
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
pub(super) const DATABASE: &str = "dbtether.io/database";
pub(super) const SPEC_HASH: &str = "dbtether.io/spec-hash";
/// Labels of a Backup that a BackupSchedule has made.
pub(super) const SCHEDULE: &str = "dbtether.io/schedule";
pub(super) const SCHEDULE_NAMESPACE: &str = "dbtether.io/schedule-namespace";
/// When a BackupSchedule's Backups were last looked through.
pub(super) const LAST_CLEANUP: &str = "dbtether.io/last-retention-cleanup";
/// What a Backup has stored goes with it: its BackupSchedule keeps it no longer.
pub(super) const EXPIRED: &str = "dbtether.io/expired";

/// Whether an annotation says so: nothing but `true` does.
pub(super) fn says<K: kube::ResourceExt>(object: &K, annotation: &str) -> bool {
    object
        .annotations()
        .get(annotation)
        .is_some_and(|it| it == "true")
}
