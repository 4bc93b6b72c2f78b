//! What a run takes out of the store: its own leavings after a failure, and what is beyond the
//! retention after a success.

use std::time::Duration;

use jiff::Timestamp;

use crate::archive::Folder;
use crate::archive::key::{MANIFEST, encode};
use crate::catalog;
use crate::postgres::Target;
use crate::retention::{self, Retention};
use crate::storage::{self, Storage};

/// How long the clean-up after a failure may take: with the children's grace it ends well within
/// the 30 seconds that a stopped run has.
const CLEAN_UP: Duration = Duration::from_secs(10);
/// Removes what a failed run has stored. The folder has no manifest, so nobody takes it for a
/// backup; what stays now, retention removes after a day.
pub async fn clean_up(storage: &dyn Storage, folder: &Folder) {
    let removing = async {
        // The manifest first, should it be its verification that failed.
        let mut left = storage.delete(&[folder.key(MANIFEST)]).await;
        let objects = storage.list(&folder.prefix()).await?;
        let keys: Vec<String> = objects.into_iter().map(|it| it.key).collect();
        left.extend(storage.delete(&keys).await);
        Ok::<_, storage::Error>(left)
    };
    match tokio::time::timeout(CLEAN_UP, removing).await {
        Ok(Ok(left)) => {
            for (key, error) in left {
                tracing::warn!(%key, %error, "not removed; a later backup's retention tries again");
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the folder was not removed; a later backup's retention tries again");
        }
        Err(_elapsed) => {
            tracing::warn!(key = %folder.prefix(), "the folder was not removed in time; a later backup's retention tries again");
        }
    }
}

/// Applies the retention. What cannot be deleted is a warning: the backup is complete.
pub async fn retain(keep: Retention, target: &Target, storage: &dyn Storage) -> Deletions {
    let now = Timestamp::now();
    let limit = now - jiff::Span::new().hours(retention::LEAVINGS_AGE_HOURS);
    let prefix = format!("{}/", encode(target.database()));
    let source = catalog::source_of(target);
    let ours = |key: &str| Folder::parse_key(key).is_ok_and(|(it, _)| it.source() == source);
    let (mut deletions, aborted) = tokio::join!(
        delete(keep, target, storage, now),
        storage.abort_uploads(&prefix, limit, &ours)
    );
    if let Err(error) = aborted {
        deletions.failed += 1;
        tracing::warn!(%error, "uploads that crashed runs left could not be aborted");
    }
    deletions
}

async fn delete(
    keep: Retention,
    target: &Target,
    storage: &dyn Storage,
    now: Timestamp,
) -> Deletions {
    let mut deletions = Deletions::default();
    let listing = match catalog::list(storage, target.database()).await {
        Ok(listing) => listing,
        Err(error) => {
            tracing::warn!(%error, "retention could not look; nothing was deleted");
            deletions.failed += 1;
            return deletions;
        }
    };
    let source = catalog::source_of(target);
    let doomed = retention::choose(&listing, source, keep, now);
    for backup in doomed.backups.iter().chain(&doomed.leavings) {
        let (manifest, rest) = retention::in_order(backup);
        let mut left = storage.delete(std::slice::from_ref(&manifest)).await;
        if left.is_empty() {
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
    deletions
}

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletions {
    /// Backups and leavings that are gone.
    pub done: u64,
    /// Objects that are still there.
    pub failed: u64,
}
