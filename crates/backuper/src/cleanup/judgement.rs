//! Which backups of one source and one schedule stay, and why: the rules on what a listing shows.
//!
//! Two schedules of a database never judge each other's. What is removed is older than the newest complete
//! backup, by its folder's time and by the store's: neither this machine's clock nor the one that named a
//! folder may be the wrong one. Ages are measured by the clock that is behind all others, of this
//! machine's, the database server's and the store's: one that is ahead makes nothing old.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};

use crate::archive::{Folder, Identity, Manifest, manifest};
use crate::catalog::{self, Backup, Listing, One, activity, damage_of_published};
use crate::retention::{self, Candidate, Decision, Hold, Pause, Reason, Rules};
use crate::storage::{self, Kind, Storage};

/// Manifests that are read at once.
const AT_ONCE: usize = 16;

/// For whom backups are judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The source; everything of others stays.
    pub source: &'a Identity,
    /// Whether folders that were named before servers were known by their identifier are surely of
    /// this source, and not of another server of its name.
    pub owns_older: bool,
    /// The folder of the newest complete backup, which was just made; it always stays.
    pub newest: &'a Folder,
    /// What is to be kept, that one among it.
    pub rules: &'a Rules,
    /// Whether backups that are single objects are judged too.
    pub objects: bool,
    /// Ages are measured by this.
    pub now: Timestamp,
    /// What the store's clock shows.
    pub store_now: Timestamp,
}

impl Request<'_> {
    /// Whether the folder is of this source.
    #[must_use]
    pub fn owns(&self, folder: &Folder) -> bool {
        let id = folder.source();
        id == self.source.id() || (self.owns_older && self.source.owns(id))
    }
}

/// A backup, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The backup.
    pub backup: One,
    /// Whether it stays, and why.
    pub decision: Decision,
}

/// What retention removes, and what it does not judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Complete backups, newest first.
    pub judged: Vec<Judged>,
    /// Folders that a crashed run left without a manifest.
    pub abandoned: Vec<Backup>,
    /// When the newest complete backup was written, by the store's clock.
    pub stored_at: Timestamp,
}

impl Choice {
    /// What goes, oldest first.
    pub fn expired(&self) -> impl Iterator<Item = &One> {
        let judged = self.judged.iter().rev();
        judged.filter(|it| it.decision.goes()).map(|it| &it.backup)
    }

    /// Those of the future: neither counted nor removed.
    pub fn misdated(&self) -> impl Iterator<Item = &One> {
        let is_future = |it: &&Judged| it.decision == Decision::Kept(Reason::Future);
        self.judged.iter().filter(is_future).map(|it| &it.backup)
    }

    /// Why something stays that would go.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.judged.iter().find_map(|it| match it.decision {
            Decision::Kept(Reason::Paused(pause)) => Some(pause),
            _ => None,
        })
    }
}

/// The time by which ages are measured after a backup: what the clock shows that is behind the others.
#[must_use]
pub fn behind_all(here: Timestamp, made: &Manifest, store: Timestamp) -> Timestamp {
    // It was begun by the clock here, and shows what the server's clock said a little later.
    let ahead = made.started_at.duration_since(made.snapshot_at);
    let ahead = ahead.max(SignedDuration::ZERO);
    here.saturating_sub(ahead).unwrap_or(here).min(store)
}

/// Judges as [`choose`], and looks whether what others would go for can be restored.
///
/// # Errors
/// What the store said.
pub async fn judge(
    storage: &dyn Storage,
    listing: &Listing,
    request: Request<'_>,
) -> Result<Option<Choice>, storage::Error> {
    let mut damaged = BTreeSet::new();
    let mut seen = BTreeSet::from([request.newest.clone()]);
    loop {
        let Some(choice) = choose(listing, request, &damaged) else {
            return Ok(None);
        };
        let stand_for_others: Vec<&Backup> = choice
            .judged
            .iter()
            .filter(|it| stands_for_others(it.decision))
            .filter_map(|it| match &it.backup {
                One::Folder(backup) => Some(backup),
                One::Published(..) => None,
            })
            .filter(|it| !seen.contains(&it.folder))
            .collect();
        if stand_for_others.is_empty() || choice.expired().next().is_none() {
            return Ok(Some(choice));
        }
        let looked_at = stand_for_others
            .iter()
            .map(async |it| (it.folder.clone(), it.is_whole(storage).await));
        let looked_at: Vec<_> = futures::stream::iter(looked_at)
            .buffered(AT_ONCE)
            .collect()
            .await;
        for (folder, is_whole) in looked_at {
            if !is_whole? {
                damaged.insert(folder.clone());
            }
            seen.insert(folder);
        }
    }
}

/// Whether others may go since this one stays.
fn stands_for_others(decision: Decision) -> bool {
    match decision {
        Decision::Kept(reason) => match reason {
            Reason::Last(_) | Reason::Newest(..) | Reason::AtLeast(_) | Reason::Held(_) => true,
            Reason::NoRule | Reason::Young(_) | Reason::Future | Reason::Paused(_) => false,
        },
        Decision::Goes(_) => false,
    }
}

/// Judges the backups of one source and one schedule. None where the listing does not show the newest
/// one: then nobody knows what else it does not show.
#[must_use]
pub fn choose(
    listing: &Listing,
    request: Request<'_>,
    damaged: &BTreeSet<Folder>,
) -> Option<Choice> {
    let newest = listing
        .complete
        .iter()
        .find(|it| it.folder == *request.newest)?;
    let stored_at = newest.modified();
    let folders = listing
        .complete
        .iter()
        .filter(|it| request.owns(&it.folder) && is_counted_with(it, newest))
        .map(|it| One::Folder(it.clone()));
    // A part stands for nothing that is whole, as these are.
    let is_judged = request.objects && newest.part().is_none();
    let objects = listing.published.iter().filter(|_| is_judged);
    let objects = objects.map(|(published, it)| One::Published(published.clone(), it.clone()));
    let mut backups: Vec<(String, One)> = folders.chain(objects).map(|it| (it.key(), it)).collect();
    backups.sort_by(|one, other| (other.1.started(), &other.0).cmp(&(one.1.started(), &one.0)));
    let candidates: Vec<Candidate<'_>> = backups
        .iter()
        .map(|(key, backup)| Candidate {
            name: key,
            time: backup.started(),
            whole: match backup {
                One::Folder(it) => !damaged.contains(&it.folder),
                One::Published(_, object) => damage_of_published(object).is_none(),
            },
            hold: hold(listing, newest, backup),
        })
        .collect();
    let pause = pause(listing, request, newest);
    let decisions = retention::decide(&candidates, request.rules, request.now, pause);
    let abandoned = listing
        .incomplete
        .iter()
        .filter(|it| request.owns(&it.folder))
        .filter(|it| it.folder.started() < newest.folder.started() && it.is_abandoned(stored_at))
        // Its manifest was deleted, and could not be put back: what is left is somebody's.
        .filter(|it| !it.is_pinned());
    Some(Choice {
        judged: backups
            .into_iter()
            .zip(decisions)
            .map(|((_, backup), decision)| Judged { backup, decision })
            .collect(),
        abandoned: abandoned.cloned().collect(),
        stored_at,
    })
}

/// Whether two backups are of one schedule and have the same part of their database: only then one of them may go
/// since the other stays.
#[must_use]
pub fn is_counted_with(one: &Backup, other: &Backup) -> bool {
    one.schedule() == other.schedule() && one.part() == other.part()
}

/// Why a backup stays whatever the rules say.
fn hold(listing: &Listing, newest: &Backup, backup: &One) -> Option<Hold> {
    let (is_pinned, modified) = match backup {
        One::Folder(it) if it == newest => return Some(Hold::Made),
        One::Folder(it) => (it.is_pinned(), it.modified()),
        One::Published(_, it) => (listing.is_pinned(&it.key), it.modified),
    };
    let is_later = backup.started() >= newest.folder.started() || modified > newest.modified();
    match is_pinned {
        true => Some(Hold::Pinned),
        false => is_later.then_some(Hold::Later),
    }
}

/// Why nothing is removed now that would go.
fn pause(listing: &Listing, request: Request<'_>, newest: &Backup) -> Option<Pause> {
    let own = listing
        .complete
        .iter()
        .filter(|it| request.owns(&it.folder));
    let beside = listing
        .published
        .iter()
        .flat_map(|(_, it)| listing.restores(&it.key));
    let mut marks = own.flat_map(Backup::restores).chain(beside);
    if marks.any(|it| activity::is_fresh(it, request.store_now)) {
        return Some(Pause::Restoring);
    }
    let has_failed = |it: &Backup| {
        request.owns(&it.folder)
            && it.folder.started() > newest.folder.started()
            && !it.is_active(request.store_now)
    };
    listing
        .incomplete
        .iter()
        .any(has_failed)
        .then_some(Pause::Failing)
}

/// Why an expired backup stays all the same, by what its manifest says.
#[must_use]
pub fn reason_to_keep(expired: &Manifest, made: &Manifest) -> Option<&'static str> {
    let (theirs, ours) = (expired.source.identity(), made.source.identity());
    if theirs.system.is_some() && theirs.system != ours.system {
        Some("it is another server's")
    } else if expired.snapshot_at > made.snapshot_at || expired.finished_at > made.finished_at {
        Some("its manifest is of a later time than the new backup's, so a clock is or was wrong")
    } else if !is_same_part(expired, made) {
        Some("it has another part of the database than the new backup")
    } else {
        None
    }
}

/// Whether both have all of the database, or the same part of it as far as it is said openly.
fn is_same_part(expired: &Manifest, made: &Manifest) -> bool {
    match (&expired.part, &made.part) {
        (None, None) => true,
        (Some(_), Some(_)) if expired.is_hidden() => true,
        (Some(theirs), Some(ours)) => theirs.digest() == ours.digest(),
        _ => false,
    }
}

/// Whether folders of before servers were known by their identifier are surely this source's.
///
/// # Errors
/// What the store said.
pub async fn owns_older(
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
    let origins = catalog::origin::of(storage, listing, others).await?;
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
///
/// # Errors
/// What the store said.
pub async fn may_go(
    storage: &dyn Storage,
    backup: &Backup,
    made: &Manifest,
) -> Result<bool, storage::Error> {
    let key = backup.folder.prefix();
    match catalog::read_manifest(storage, &backup.folder).await {
        Ok(manifest) => match reason_to_keep(&manifest, made) {
            None => Ok(true),
            Some(reason) => {
                tracing::warn!(%key, reason, "this backup is beyond the retention and stays");
                Ok(false)
            }
        },
        // Somebody was quicker.
        Err(catalog::Error::Storage(error)) if error.kind == Kind::NotFound => Ok(true),
        Err(catalog::Error::Storage(error)) => Err(error),
        Err(catalog::Error::Manifest {
            source: manifest::Error::Newer(_),
            ..
        }) => {
            tracing::warn!(%key, "this backup is beyond the retention and stays: a newer backuper has made it");
            Ok(false)
        }
        // Nobody can restore it, so nobody loses it.
        Err(error) => {
            tracing::warn!(%key, %error, "this backup is beyond the retention, and cannot be read");
            Ok(true)
        }
    }
}
