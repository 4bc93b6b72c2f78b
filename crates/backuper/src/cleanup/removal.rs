//! Removes what retention has chosen, one backup at a time.

use jiff::Timestamp;

use super::Deletions;
use crate::archive::key::{MANIFEST, split_dump};
use crate::archive::{Folder, manifest};
use crate::catalog::{Backup, Listing, activity};
use crate::storage::{self, Kind, Object, Storage};

/// Removes a backup that the new one makes superfluous, as long as that is there: somebody may be
/// deleting it, who sees this one. Nor while somebody restores it or pins it, who looks whether the
/// manifest is still there: of the two, one at least sees the other. Gives whether retention goes on.
pub(super) async fn remove_expired(
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
        && let Some(reason) = reason_to_return(storage, backup, made).await
    {
        deletions.failed += 1;
        if let Err(again) = storage.put(&key, manifest).await {
            tracing::error!(%key, error = %again, "retention has deleted this manifest, and could not put it back though {reason}: this is no backup any more, so make another one now");
            return Ok(false);
        }
        tracing::warn!(%key, "retention has put the manifest of this backup back, and removes nothing: {reason}");
        return Ok(false);
    }
    remove_rest(storage, backup, left, deletions).await;
    Ok(true)
}

/// Why a manifest that was just deleted has to come back.
async fn reason_to_return(storage: &dyn Storage, backup: &Backup, made: &Folder) -> Option<String> {
    if let Err(error) = storage.stat(&made.key(MANIFEST)).await {
        return Some(format!("the new backup was not found any more ({error})"));
    }
    match backup.wanted_since(storage).await {
        Ok(reason) => reason.map(str::to_owned),
        Err(error) => Some(format!(
            "nobody knows whether it is being restored ({error})"
        )),
    }
}

/// Removes a backup that is a single object, as [`remove_expired`] does a folder.
pub(super) async fn remove_object(
    storage: &dyn Storage,
    object: &Object,
    (made, store_now): (&Folder, Timestamp),
    deletions: &mut Deletions,
) -> Result<bool, storage::Error> {
    if let Err(error) = storage.stat(&made.key(MANIFEST)).await {
        tracing::warn!(key = %object.key, %error, "the new backup was not found any more, so retention removes nothing");
        return Ok(false);
    }
    // By the object itself and what is beside it, as it is now.
    let now = storage.list(&object.key).await?;
    let database = object.key.rsplit_once('/').map_or("", |(it, _)| it);
    let unchanged = now.contains(object);
    // Somebody has just made a backup of ours of it.
    let is_ours = now
        .iter()
        .any(|it| split_dump(&it.key) == (object.key.as_str(), Some(MANIFEST)));
    let mut listing = Listing::of(database, now);
    listing.beside.retain(|(single, ..)| *single == object.key);
    if !unchanged || is_ours || listing.is_pinned(&object.key) {
        return Ok(true);
    }
    let mut restores = listing.restores(&object.key);
    if restores.any(|it| activity::is_fresh(it, store_now)) {
        tracing::warn!(key = %object.key, "somebody has begun to restore this, so retention removes nothing");
        return Ok(false);
    }
    drop(restores);
    let left = storage.delete(std::slice::from_ref(&object.key)).await;
    let mut beside: Vec<String> = Vec::new();
    if left.is_empty() {
        beside.extend(listing.beside.into_iter().map(|(_, _, it)| it.key));
    }
    conclude(&object.key, left, deletions);
    for (key, error) in storage.delete(&beside).await {
        tracing::debug!(%key, %error, "not removed; it says something of an object that is gone");
    }
    Ok(true)
}

pub(super) async fn remove(storage: &dyn Storage, backup: &Backup, deletions: &mut Deletions) {
    let (manifest, _) = backup.in_order();
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
        let (_, rest) = backup.in_order();
        left = storage.delete(&rest).await;
    }
    conclude(&backup.folder.prefix(), left, deletions);
}

fn conclude(key: &str, left: Vec<(String, storage::Error)>, deletions: &mut Deletions) {
    if left.is_empty() {
        deletions.done += 1;
        tracing::info!(%key, "deleted by retention");
    }
    for (key, error) in left {
        deletions.failed += 1;
        tracing::warn!(%key, %error, "retention could not delete; it tries again after the next backup");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::activity::Restoring;
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

    #[tokio::test]
    async fn a_single_object_that_is_being_restored_stays_until_that_has_ended() {
        let storage = MemoryStorage::default();
        let made = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        let key = "app/1969-11-18-21-05-27-backup.sql";
        storage.put(key, "old".into()).await.unwrap();
        let object = storage.stat(key).await.unwrap();
        let restoring = Restoring::announce(&storage, &format!("{key}.")).await;
        let mut deletions = Deletions::default();
        let at = (&made.folder, Timestamp::now());
        let goes_on = remove_object(&storage, &object, at, &mut deletions).await;
        assert!(!goes_on.unwrap() && storage.stat(key).await.is_ok());
        restoring.withdraw().await;
        let goes_on = remove_object(&storage, &object, at, &mut deletions).await;
        assert!(goes_on.unwrap() && storage.stat(key).await.is_err());
        assert_eq!((deletions.done, deletions.failed), (1, 0));
    }

    #[tokio::test]
    async fn what_somebody_has_begun_to_restore_or_pinned_since_the_listing_stays() {
        let storage = MemoryStorage::default();
        let (source, hour) = (server("db"), jiff::Span::new().hours(1));
        let old = put(&storage, &source, Timestamp::UNIX_EPOCH).await;
        let new = put(&storage, &source, Timestamp::UNIX_EPOCH + hour).await;
        let mut deletions = Deletions::default();
        let restoring = Restoring::announce(&storage, &old.folder.prefix()).await;
        let goes_on = remove_expired(&storage, &old, &new.folder, &mut deletions).await;
        assert!(!goes_on.unwrap() && old.is_whole(&storage).await.unwrap());
        restoring.withdraw().await;
        let pin = old.folder.key(crate::archive::key::PINNED);
        storage.put(&pin, "".into()).await.unwrap();
        let goes_on = remove_expired(&storage, &old, &new.folder, &mut deletions).await;
        assert!(!goes_on.unwrap() && old.is_whole(&storage).await.unwrap());
        assert_eq!(deletions.done, 0);
    }
}
