//! What a run removes from the store: what it has written itself after a failure, and what is
//! beyond the retention after a success.

pub mod claim;
pub mod judgement;
mod locks;
mod removal;

use jiff::Timestamp;

use crate::archive::key::{MANIFEST, encode, split_dump};
use crate::archive::{Folder, Layout, Manifest};
use crate::catalog::{self, Backup, Listing, One, activity};
use crate::retention::Rules;
use crate::runtime::Deadline;
use crate::storage::{self, Storage};

use claim::Claim;
use locks::Locks;

pub use judgement::{Choice, Judged, Request};

/// Removes what a failed run has stored. The folder has no manifest, so nobody takes it for a
/// backup; what stays now, retention removes after a day.
pub async fn clean_up(storage: &dyn Storage, claim: &Claim, deadline: Deadline) {
    let folder = &claim.folder;
    let removing = async {
        if folder.is_of_dump() && !claim.stands(storage).await? {
            tracing::warn!(key = %folder.prefix(), "another run has this key, so nothing is removed there");
            return Ok(Vec::new());
        }
        // The manifest first, should it be its verification that failed.
        let mut left = storage.delete(&[folder.key(MANIFEST)]).await;
        let objects = catalog::objects(storage, folder).await?;
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
    /// What is kept, this one among it.
    pub rules: &'a Rules,
    /// Whether backups that are single objects are judged too.
    pub objects: bool,
    /// Where dumps in plain SQL lie.
    pub layout: &'a Layout,
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
    let listing = catalog::list(storage, &source.database, made.layout).await?;
    let not_yet = || tracing::warn!(key = %made.folder.prefix(), "the store does not list the new backup yet, so retention removed nothing");
    let Some(newest) = listing.complete.iter().find(|it| it.folder == *made.folder) else {
        not_yet();
        return Ok(());
    };
    let here = Timestamp::now();
    let request = Request {
        source: &source,
        owns_older: judgement::owns_older(storage, &listing, &source).await?,
        newest: made.folder,
        rules: made.rules,
        objects: made.objects,
        now: judgement::behind_all(here, made.manifest, newest.modified()),
        store_now: newest.modified(),
    };
    let Some(choice) = judgement::judge(storage, &listing, request).await? else {
        not_yet();
        return Ok(());
    };
    for backup in choice.misdated() {
        tracing::warn!(
            key = %backup.key(), clock = %here,
            "this folder is of the future, so a clock is or was wrong; it does not count, and retention never removes it"
        );
    }
    if let Some(pause) = choice.pause() {
        tracing::warn!("retention is paused: {pause}");
    }
    let mut locks = Locks::default();
    for backup in choice.expired() {
        if locks
            .keep(storage, backup, choice.stored_at, deletions)
            .await
        {
            continue;
        }
        let goes_on = match backup {
            One::Folder(backup) => expired_folder(storage, backup, made, deletions).await?,
            One::Published(_, object) => {
                removal::remove_object(storage, object, (made.folder, request.store_now), deletions)
                    .await?
            }
        };
        if !goes_on {
            return Ok(());
        }
    }
    for backup in &choice.abandoned {
        let found = One::Folder(backup.clone());
        if !locks
            .keep(storage, &found, choice.stored_at, deletions)
            .await
        {
            removal::remove(storage, backup, deletions).await;
        }
    }
    locks.tell();
    abort_uploads(
        storage,
        (&listing, made.layout),
        request,
        &choice,
        deletions,
    )
    .await;
    Ok(())
}

/// Removes a folder that is beyond the retention, if its manifest says so too.
async fn expired_folder(
    storage: &dyn Storage,
    backup: &Backup,
    made: Made<'_>,
    deletions: &mut Deletions,
) -> Result<bool, storage::Error> {
    match judgement::may_go(storage, backup, made.manifest).await {
        Ok(true) => removal::remove_expired(storage, backup, made.folder, deletions).await,
        Ok(false) => Ok(true),
        Err(error) => {
            deletions.failed += 1;
            tracing::warn!(key = %backup.folder.prefix(), %error, "retention could not look at this backup; it tries again after the next one");
            Ok(true)
        }
    }
}

/// Aborts the uploads of crashed runs of this source, and of no run that is alive.
async fn abort_uploads(
    storage: &dyn Storage,
    (listing, layout): (&Listing, &Layout),
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
    let matchers = layout.matchers(&request.source.database);
    let ours = |key: &str| match Folder::parse_key(key) {
        Ok((folder, _)) => request.owns(&folder) && !alive.contains(&&folder),
        Err(_) => {
            let (dump, _) = split_dump(key);
            let lives = alive.iter().any(|it| it.object_of(key).is_some());
            !lives && matchers.iter().any(|it| it.read(dump).is_some())
        }
    };
    let mut prefixes = vec![format!("{}/", encode(&request.source.database))];
    for matcher in &matchers {
        let is_within = |it: &String| matcher.prefix().starts_with(it.as_str());
        if !prefixes.iter().any(is_within) {
            prefixes.push(matcher.prefix().to_owned());
        }
    }
    for prefix in prefixes {
        if let Err(error) = storage.abort_uploads(&prefix, before, &ours).await {
            deletions.failed += 1;
            tracing::warn!(%error, "uploads of crashed runs could not be aborted");
        }
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
