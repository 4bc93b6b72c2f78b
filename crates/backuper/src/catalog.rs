//! Which backups exist: list them, and resolve a revision.
//!
//! A folder counts when its manifest is there. Backups of the published adapter count beside
//! ours. Everything else under a database's prefix is somebody else's and is not looked at.

pub mod activity;
mod dumps;
mod lock;
pub mod one;
pub mod origin;
pub mod resolve;
pub mod revision;
pub mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{Span, Timestamp};

use crate::archive::key::{self, Folder, MANIFEST, Mark, Published, part_of, schedule_of};
use crate::archive::manifest::{self, Manifest};
use crate::archive::{Identity, Layout, SourceId, SystemIdentifier};
use crate::postgres::Target;
use crate::storage::{self, Kind, Object, Storage};

pub use one::{One, is_gone, one};
pub use resolve::{Found, Older, Request, Resolution, resolve};
pub use revision::{NotARevision, Revision};
pub use whole::{Damage, damage_of_published};

/// How far a folder's time may be ahead of this machine's clock, in hours.
const AHEAD_HOURS: i64 = 1;

/// How long a look at what else the store holds may take.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Everything of one database in the store.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Ours that are complete, newest first.
    pub complete: Vec<Backup>,
    /// Folders of ours without a manifest: of runs under way, and of runs that crashed.
    pub incomplete: Vec<Backup>,
    /// Single objects of the published adapter and of dbtether, newest first.
    pub published: Vec<(Published, Object)>,
    /// What is said of single objects by others beside them: each with the key of the single one.
    pub beside: Vec<(String, Mark, Object)>,
}

/// One folder of ours and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The folder.
    pub folder: Folder,
    /// Its objects, sorted by key.
    pub objects: Vec<Object>,
}

impl Backup {
    /// When something of it was last written, by the store's clock. A mark is no part of it.
    #[must_use]
    pub fn modified(&self) -> Timestamp {
        let objects = self.objects.iter();
        let own = objects.filter(|it| self.mark(it).is_none());
        let times = own.map(|it| it.modified);
        times.max().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// What one of its objects says of it, and is no part of it.
    fn mark(&self, object: &Object) -> Option<Mark> {
        Mark::of(&self.folder.object_of(&object.key)?)
    }

    /// Whether somebody has pinned it.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        let mut marks = self.objects.iter().filter_map(|it| self.mark(it));
        marks.any(|it| it == Mark::Pinned)
    }

    /// What restores have written in it to say that they are there.
    pub fn restores(&self) -> impl Iterator<Item = &Object> {
        let objects = self.objects.iter();
        objects.filter(|it| self.mark(it) == Some(Mark::Restoring))
    }

    /// The schedule whose backup it is; none where its database has only one, or nobody said it.
    #[must_use]
    pub fn schedule(&self) -> Option<&str> {
        self.said(schedule_of)
    }

    /// The part of its database that it has, by a name that all of the same part have; none: it is a whole one.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        self.said(part_of)
    }

    /// What an object says by its name alone.
    fn said<'a>(&'a self, of: impl Fn(&'a str) -> Option<&'a str>) -> Option<&'a str> {
        let mut keys = self.objects.iter().map(|it| it.key.as_str());
        if self.folder.is_of_dump() {
            return keys.find_map(|it| of(key::split_dump(it).1?));
        }
        keys.find_map(of)
    }

    /// Whether its name is of the future: the clock that gave it ran ahead.
    #[must_use]
    pub fn is_misdated(&self, now: Timestamp) -> bool {
        is_of_the_future(self.folder.started(), now)
    }
}

/// Whether a backup's time is one that no clock has shown yet: the one that gave it ran ahead.
#[must_use]
pub fn is_of_the_future(started: Timestamp, now: Timestamp) -> bool {
    started > now + Span::new().hours(AHEAD_HOURS)
}

/// Why a revision means nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// There is no such backup.
    #[error("no backup {revision} of {database} in {location}: {reason}")]
    NoSuch {
        /// What was asked for.
        revision: String,
        /// The database's name in the bucket.
        database: String,
        /// The store.
        location: String,
        /// What is there instead.
        reason: String,
    },
    /// Several servers have backed up a database of this name, and the target is none of them.
    #[error(
        "{location} holds backups of {database} from several servers, and the target is none of them; set BACKUP_REVISION to the one that is meant: {}",
        .newest.join(", ")
    )]
    SeveralSources {
        /// The database's name in the bucket.
        database: String,
        /// The store.
        location: String,
        /// The newest of each as `DBNAME/FOLDER (of host:port, time)`.
        newest: Vec<String>,
    },
    /// A manifest cannot be used.
    #[error("{key}: {source}")]
    Manifest {
        /// Its key.
        key: String,
        /// Why.
        source: manifest::Error,
    },
}

/// A database as the source of backups; `system` is what its server says of itself.
#[must_use]
pub fn identity_of(target: &Target, system: Option<u64>) -> Identity {
    Identity {
        host: target.host().to_owned(),
        port: target.port(),
        database: target.database().to_owned(),
        system: system.map(SystemIdentifier::from),
    }
}

/// Lists everything of one database, however many pages that takes. The manifest of each dump in plain
/// SQL is read.
///
/// # Errors
/// What the store said.
pub async fn list(
    storage: &dyn Storage,
    database: &str,
    layout: &Layout,
) -> Result<Listing, storage::Error> {
    let encoded = key::encode(database);
    let folder = format!("{encoded}/");
    let mut objects = storage.list(&folder).await?;
    // The published adapter does not encode names. Keys that may see our folders alone are enough.
    if encoded != database {
        match storage.list(&format!("{database}/")).await {
            Ok(more) => objects.extend(more),
            Err(error) if error.kind == Kind::Denied => {
                tracing::debug!(%error, "the published adapter's backups of this name are not seen");
            }
            Err(error) => return Err(error),
        }
    }
    let matchers = layout.matchers(database);
    let mut listed = vec![folder];
    for matcher in &matchers {
        let prefix = matcher.prefix();
        if !listed.iter().any(|it| prefix.starts_with(it.as_str())) {
            objects.extend(storage.list(prefix).await?);
            listed.push(prefix.to_owned());
        }
    }
    // One of the prefixes may begin with another.
    objects.sort_by(|one, other| one.key.cmp(&other.key));
    objects.dedup_by(|one, other| one.key == other.key);
    let found = dumps::found(&matchers, &objects);
    let mut listing = Listing::of(database, objects);
    dumps::add(storage, database, found, &mut listing).await?;
    Ok(listing)
}

/// Everything that belongs to one backup.
///
/// # Errors
/// What the store said.
pub async fn objects(
    storage: &dyn Storage,
    folder: &Folder,
) -> Result<Vec<Object>, storage::Error> {
    let mut objects = storage.list(&folder.prefix()).await?;
    objects.retain(|it| folder.object_of(&it.key).is_some());
    Ok(objects)
}

impl Listing {
    /// Sorts the objects of one database.
    #[must_use]
    pub fn of(database: &str, objects: Vec<Object>) -> Self {
        let mut folders: BTreeMap<Folder, Vec<Object>> = BTreeMap::new();
        let (mut published, mut beside) = (Vec::new(), Vec::new());
        for object in objects {
            match Folder::parse_key(&object.key) {
                Ok((folder, _)) if folder.database() == database => {
                    folders.entry(folder).or_default().push(object);
                }
                _ => {
                    if let Ok(found) = Published::parse_key(database, &object.key) {
                        published.push((found, object));
                    } else if let Some((single, mark)) = Mark::beside(&object.key) {
                        beside.push((single.to_owned(), mark, object));
                    }
                }
            }
        }
        published.sort_by_key(|(found, _)| std::cmp::Reverse(found.started));
        let (mut complete, mut incomplete) = (Vec::new(), Vec::new());
        // The map sorts by time, oldest first: the database is one and the same.
        for (folder, objects) in folders.into_iter().rev() {
            let manifest = folder.key(MANIFEST);
            let whole = objects.iter().any(|it| it.key == manifest);
            let into = if whole {
                &mut complete
            } else {
                &mut incomplete
            };
            into.push(Backup { folder, objects });
        }
        Self {
            complete,
            incomplete,
            published,
            beside,
        }
    }

    /// Whether somebody has pinned the single object with this key.
    #[must_use]
    pub fn is_pinned(&self, single: &str) -> bool {
        let mut marks = self.beside.iter();
        marks.any(|(key, mark, _)| key == single && *mark == Mark::Pinned)
    }

    /// What says of the single object with this key that it is being restored.
    pub fn restores<'a>(&'a self, single: &'a str) -> impl Iterator<Item = &'a Object> {
        let marks = self.beside.iter();
        let ours = marks.filter(move |(key, mark, _)| key == single && *mark == Mark::Restoring);
        ours.map(|(_, _, object)| object)
    }

    /// What the folders of the complete backups carry.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<SourceId> {
        self.complete.iter().map(|it| it.folder.source()).collect()
    }

    /// The newest complete backup whose folder carries this.
    #[must_use]
    pub fn newest(&self, id: SourceId) -> Option<&Backup> {
        self.complete.iter().find(|it| it.folder.source() == id)
    }
}

/// A dump in plain SQL under this key, and what its manifest says; none: there is none beside it, or it
/// cannot be read.
///
/// # Errors
/// What the store said.
pub async fn dump(
    storage: &dyn Storage,
    key: &str,
) -> Result<Option<(Folder, Manifest)>, storage::Error> {
    match dumps::read_beside(storage, key).await {
        Ok(manifest) => Ok(manifest.map(|it| (it.place_of_dump(key, None), it))),
        Err(Error::Storage(error)) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "nobody knows whose dump this is");
            Ok(None)
        }
    }
}

/// Reads the manifest of a folder.
///
/// # Errors
/// What the store said, or why the manifest cannot be used.
pub async fn read_manifest(storage: &dyn Storage, folder: &Folder) -> Result<Manifest, Error> {
    let key = folder.key(MANIFEST);
    let json = storage.get(&key, manifest::SIZE_LIMIT).await?;
    let manifest = Manifest::read(&json).and_then(|it| {
        if folder.is_of_dump() {
            it.of_dump(&folder.prefix())
        } else {
            Ok(it)
        }
    });
    manifest.map_err(|source| Error::Manifest { key, source })
}

/// What else the store holds: each database with the key of its newest backup. None where that
/// may not be asked, or takes too long.
pub async fn databases(storage: &dyn Storage) -> Option<BTreeMap<String, String>> {
    let now = Timestamp::now();
    let mut newest: BTreeMap<String, (bool, Timestamp, String)> = BTreeMap::new();
    let mut compare = |Object { key, .. }: Object| {
        let Some((database, started, revision)) = complete(&key) else {
            return;
        };
        // Of those of the future only where there is no other.
        let found = (!is_of_the_future(started, now), started, revision);
        let latest = newest.entry(database).or_default();
        if (found.0, found.1) >= (latest.0, latest.1) {
            *latest = found;
        }
    };
    let listing = tokio::time::timeout(ELSEWHERE, storage.visit("", &mut compare));
    listing.await.ok()?.ok()?;
    let without_times = |(database, (_, _, revision))| (database, revision);
    Some(newest.into_iter().map(without_times).collect())
}

/// The database, the time and the revision of the complete backup that this key stands for.
fn complete(key: &str) -> Option<(String, Timestamp, String)> {
    match Folder::parse_key(key) {
        Ok((folder, MANIFEST)) => {
            let revision = folder.prefix().trim_end_matches('/').to_owned();
            Some((folder.database().to_owned(), folder.started(), revision))
        }
        Ok(_) => None,
        Err(key::NotOurs) => {
            // The published adapter does not encode names, and so a slash may be part of one.
            let (database, _) = key.rsplit_once('/')?;
            let published = Published::parse_key(database, key).ok()?;
            Some((database.to_owned(), published.started, published.key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStorage;

    #[test]
    fn u04_what_is_not_ours_is_not_listed() {
        let object = |key: &str| Object {
            key: key.to_owned(),
            size: 1,
            modified: Timestamp::UNIX_EPOCH,
            etag: None,
        };
        let listing = Listing::of(
            "app",
            vec![
                object("app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json"),
                object("app/2026-11-20-21-05-27-backup-1f3a9c0e/schema.dump"),
                object("app/2026-11-21-21-05-27-backup-1f3a9c0e/schema.dump"),
                object("app/2026-11-19-21-05-27-backup.sql"),
                object("app/notes.txt"),
                object("app/2026-11-20-backup.sql"),
            ],
        );
        assert_eq!(listing.complete.len(), 1);
        assert_eq!(listing.incomplete.len(), 1);
        assert_eq!(listing.published.len(), 1);
    }

    #[tokio::test]
    async fn the_databases_of_a_store_are_those_with_a_complete_backup() {
        let storage = MemoryStorage::default();
        for key in [
            "app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-21-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-22-21-05-27-backup-1f3a9c0e/schema.dump",
            "a%2Fb/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "old one/2026-11-19-21-05-27-backup.sql",
            "half/2026-11-19-21-05-27-backup-1f3a9c0e/schema.dump",
            "notes/today.txt",
            "readme",
        ] {
            storage.put(key, "x".into()).await.unwrap();
        }
        let found = databases(&storage).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("a/b", "a%2Fb/2026-11-20-21-05-27-backup-1f3a9c0e"),
                ("app", "app/2026-11-21-21-05-27-backup-1f3a9c0e"),
                ("old one", "old one/2026-11-19-21-05-27-backup.sql"),
            ]
        );
    }
}
