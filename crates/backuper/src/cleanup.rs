//! What a run removes from the store: what it has written itself after a failure, and what is
//! beyond the retention after a success.

use crate::archive::key::{MANIFEST, encode};
use crate::archive::{Folder, Identity, Manifest, manifest};
use crate::catalog::{self, Backup, Listing, activity, origin};
use crate::retention::{self, Choice, Request, Retention};
use crate::runtime::Deadline;
use crate::storage::{self, Kind, Storage};

use jiff::Timestamp;

/// Removes what a failed run has stored. The folder has no manifest, so nobody takes it for a
/// backup; what stays now, retention removes after a day.
pub async fn clean_up(storage: &dyn Storage, folder: &Folder, deadline: Deadline) {
    let removing = async {
        // The manifest first, should it be its verification that failed.
        let mut left = storage.delete(&[folder.key(MANIFEST)]).await;
        let objects = storage.list(&folder.prefix()).await?;
        let keys: Vec<String> = objects.into_iter().map(|it| it.key).collect();
        left.extend(storage.delete(&keys).await);
        Ok::<_, storage::Error>(left)
    };
    match deadline.limit(removing).await {
        Some(Ok(left)) => {
            for (key, error) in left {
                tracing::warn!(%key, %error, "not removed; a later backup's retention tries again");
            }
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "the folder was not removed; a later backup's retention tries again");
        }
        None => {
            tracing::warn!(key = %folder.prefix(), "the folder was not removed in time; a later backup's retention tries again");
        }
    }
}

/// The backup that was just made, and what retention asks about others.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Its folder.
    pub folder: &'a Folder,
    /// What it says of itself.
    pub manifest: &'a Manifest,
    /// How many are kept, this one among them.
    pub keep: Retention,
}

/// Applies the retention. What cannot be removed is a warning: the backup is complete.
pub async fn retain(storage: &dyn Storage, made: Made<'_>) -> Deletions {
    let mut deletions = Deletions::default();
    if let Err(error) = expire(storage, made, &mut deletions).await {
        deletions.failed += 1;
        tracing::warn!(%error, "retention could not look at all there is; it tries again after the next backup");
    }
    deletions
}

async fn expire(
    storage: &dyn Storage,
    made: Made<'_>,
    deletions: &mut Deletions,
) -> Result<(), catalog::Error> {
    let source = made.manifest.source.identity();
    let listing = catalog::list(storage, &source.database).await?;
    let request = Request {
        source: &source,
        owns_older: owns_older(storage, &listing, &source).await?,
        made: made.folder,
        keep: made.keep,
        now: Timestamp::now(),
    };
    let Some(choice) = retention::choose(&listing, request) else {
        tracing::warn!(key = %made.folder.prefix(), "the store does not list the new backup yet, so retention removed nothing");
        return Ok(());
    };
    for folder in &choice.misdated {
        tracing::warn!(
            key = %folder.prefix(), clock = %request.now,
            "this folder is of the future, so a clock is or was wrong; it does not count, and retention never removes it"
        );
    }
    for backup in &choice.expired {
        if may_go(storage, backup, made.manifest, deletions).await
            && !remove_expired(storage, backup, made.folder, deletions).await?
        {
            return Ok(());
        }
    }
    for backup in &choice.abandoned {
        remove(storage, backup, deletions).await;
    }
    abort_uploads(storage, &listing, request, &choice, deletions).await;
    Ok(())
}

/// Whether folders of before servers were known by their identifier are surely this source's.
async fn owns_older(
    storage: &dyn Storage,
    listing: &Listing,
    source: &Identity,
) -> Result<bool, catalog::Error> {
    let by_name = source.id_by_name();
    let folders = listing.complete.iter().chain(&listing.incomplete);
    if !folders.into_iter().any(|it| it.folder.source() == by_name) {
        return Ok(true);
    }
    let others = listing.ids().into_iter().filter(|it| !source.owns(*it));
    let origins = origin::of(storage, listing, others).await?;
    let namesake = origins
        .iter()
        .filter_map(|it| it.identity.as_ref())
        .find(|it| source.is_namesake_of(it));
    if let Some(other) = namesake {
        tracing::warn!(
            source = %source, %other,
            "two servers of one name use this bucket; older backups that may be of either do not count, and retention never removes them"
        );
    }
    Ok(namesake.is_none())
}

/// Whether an expired backup is what its place in the list makes it, by its manifest.
async fn may_go(
    storage: &dyn Storage,
    backup: &Backup,
    made: &Manifest,
    deletions: &mut Deletions,
) -> bool {
    let key = backup.folder.prefix();
    match catalog::read_manifest(storage, &backup.folder).await {
        Ok(manifest) => match retention::reason_to_keep(&manifest, made) {
            None => true,
            Some(reason) => {
                tracing::warn!(%key, reason, "this backup is beyond the retention and stays");
                false
            }
        },
        // Somebody was quicker.
        Err(catalog::Error::Storage(error)) if error.kind == Kind::NotFound => true,
        Err(catalog::Error::Storage(error)) => {
            deletions.failed += 1;
            tracing::warn!(%key, %error, "retention could not look at this backup; it tries again after the next one");
            false
        }
        // Nobody can restore it, so nobody loses it.
        Err(error) => {
            tracing::warn!(%key, %error, "this backup is beyond the retention, and cannot be read");
            true
        }
    }
}

/// Removes a backup that the new one makes superfluous, as long as that is there: somebody may be
/// deleting it, who sees this one. Gives whether retention goes on.
async fn remove_expired(
    storage: &dyn Storage,
    backup: &Backup,
    made: &Folder,
    deletions: &mut Deletions,
) -> Result<bool, storage::Error> {
    let key = backup.folder.key(MANIFEST);
    let manifest = match storage.get(&key, manifest::SIZE_LIMIT).await {
        Ok(manifest) => Some(manifest),
        // Somebody was quicker, or nobody could restore it anyway.
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::Corrupt) => None,
        Err(error) => return Err(error),
    };
    let left = storage.delete(std::slice::from_ref(&key)).await;
    if left.is_empty()
        && let Some(manifest) = manifest
        && let Err(error) = storage.stat(&made.key(MANIFEST)).await
    {
        deletions.failed += 1;
        if let Err(again) = storage.put(&key, manifest).await {
            tracing::error!(%key, error = %again, "retention has deleted this manifest, did not find the new backup any more ({error}), and could not put it back: this is no backup any more, so make another one now");
            return Ok(false);
        }
        tracing::warn!(%key, %error, "the new backup was not found any more, so retention has put the manifest of this one back, and removes nothing");
        return Ok(false);
    }
    remove_rest(storage, backup, left, deletions).await;
    Ok(true)
}

async fn remove(storage: &dyn Storage, backup: &Backup, deletions: &mut Deletions) {
    let (manifest, _) = retention::in_order(backup);
    let left = storage.delete(std::slice::from_ref(&manifest)).await;
    remove_rest(storage, backup, left, deletions).await;
}

/// Removes all but the manifest, unless that is left.
async fn remove_rest(
    storage: &dyn Storage,
    backup: &Backup,
    mut left: Vec<(String, storage::Error)>,
    deletions: &mut Deletions,
) {
    if left.is_empty() {
        let (_, rest) = retention::in_order(backup);
        left = storage.delete(&rest).await;
    }
    if left.is_empty() {
        deletions.done += 1;
        tracing::info!(key = %backup.folder.prefix(), "deleted by retention");
    }
    for (key, error) in &left {
        deletions.failed += 1;
        tracing::warn!(%key, %error, "retention could not delete; it tries again after the next backup");
    }
}

/// Aborts the uploads of crashed runs of this source, and of no run that is alive.
async fn abort_uploads(
    storage: &dyn Storage,
    listing: &Listing,
    request: Request<'_>,
    choice: &Choice,
    deletions: &mut Deletions,
) {
    let before = activity::abandoned_before(choice.stored_at);
    let alive: Vec<&Folder> = listing
        .incomplete
        .iter()
        .filter(|it| !it.is_abandoned(choice.stored_at))
        .map(|it| &it.folder)
        .collect();
    let ours = |key: &str| {
        Folder::parse_key(key)
            .is_ok_and(|(folder, _)| request.owns(&folder) && !alive.contains(&&folder))
    };
    let prefix = format!("{}/", encode(&request.source.database));
    if let Err(error) = storage.abort_uploads(&prefix, before, &ours).await {
        deletions.failed += 1;
        tracing::warn!(%error, "uploads of crashed runs could not be aborted");
    }
}

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletions {
    /// Backups, complete ones and abandoned ones, that are gone.
    pub done: u64,
    /// Objects that are still there.
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::whole::tests::{put, server};
    use crate::storage::memory::MemoryStorage;

    #[tokio::test]
    async fn retention_leaves_what_is_left_once_somebody_has_deleted_the_new_backup() {
        let storage = MemoryStorage::default();
        let (source, hour) = (server("db"), jiff::Span::new().hours(1));
        let old = put(&storage, &source, Timestamp::UNIX_EPOCH).await;
        let new = put(&storage, &source, Timestamp::UNIX_EPOCH + hour).await;
        let mut deletions = Deletions::default();
        let manifest = new.folder.key(MANIFEST);
        let body = storage.get(&manifest, 1 << 20).await.unwrap();
        let old_body = storage.get(&old.folder.key(MANIFEST), 1 << 20).await;
        storage.delete(std::slice::from_ref(&manifest)).await;
        let goes_on = remove_expired(&storage, &old, &new.folder, &mut deletions).await;
        assert!(!goes_on.unwrap());
        assert_eq!((deletions.done, deletions.failed), (0, 1));
        assert!(old.is_whole(&storage).await.unwrap());
        let again = storage.get(&old.folder.key(MANIFEST), 1 << 20).await;
        assert_eq!(again.unwrap(), old_body.unwrap());
        // It is there: the old one goes.
        storage.put(&manifest, body).await.unwrap();
        let goes_on = remove_expired(&storage, &old, &new.folder, &mut deletions).await;
        assert!(goes_on.unwrap());
        assert_eq!((deletions.done, deletions.failed), (1, 1));
        assert_eq!(storage.list(&old.folder.prefix()).await.unwrap(), []);
    }
}
