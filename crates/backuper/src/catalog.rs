//! Which backups exist: list them, and resolve a revision.
//!
//! A folder counts when its manifest is there. Backups of the published adapter count beside
//! ours. Everything else under a database's prefix is somebody else's and is not looked at.

pub mod revision;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::archive::key::{self, Folder, MANIFEST, Published, SourceId};
use crate::archive::manifest::{self, Manifest};
use crate::postgres::Target;
use crate::storage::{self, Object, Storage};

pub use revision::{NotARevision, Revision};

/// Everything of one database in the store.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Ours that are complete, newest first.
    pub complete: Vec<Backup>,
    /// Folders of ours without a manifest: runs under way, and leavings of runs that crashed.
    pub incomplete: Vec<Backup>,
    /// The published adapter's, newest first.
    pub published: Vec<(Published, Object)>,
}

/// One folder of ours and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The folder.
    pub folder: Folder,
    /// Its objects, sorted by key.
    pub objects: Vec<Object>,
}

/// What a revision means.
#[derive(Clone, Debug)]
pub enum Found {
    /// One of ours.
    Ours(Folder, Box<Manifest>),
    /// A single object: the published adapter's, or any that was named by its key.
    Object(Object),
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
        "{database} in {location} holds backups of several sources ({}), and the target is none of them; name the backup by its folder",
        .sources.join(", ")
    )]
    SeveralSources {
        /// The database's name in the bucket.
        database: String,
        /// The store.
        location: String,
        /// Each as `host:port/dbname (id)`.
        sources: Vec<String>,
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

/// The id of a database as the source of backups.
#[must_use]
pub fn source_of(target: &Target) -> SourceId {
    SourceId::of(target.host(), target.port(), target.database())
}

/// Lists everything of one database, however many pages that takes.
///
/// # Errors
/// What the store said.
pub async fn list(storage: &dyn Storage, database: &str) -> Result<Listing, storage::Error> {
    let encoded = key::encode(database);
    let mut objects = storage.list(&format!("{encoded}/")).await?;
    // The published adapter does not encode names.
    if encoded != database {
        objects.extend(storage.list(&format!("{database}/")).await?);
    }
    Ok(Listing::of(database, objects))
}

impl Listing {
    /// Sorts the objects of one database.
    #[must_use]
    pub fn of(database: &str, objects: Vec<Object>) -> Self {
        let mut folders: BTreeMap<Folder, Vec<Object>> = BTreeMap::new();
        let mut published = Vec::new();
        for object in objects {
            match Folder::parse_key(&object.key) {
                Ok((folder, _)) if folder.database() == database => {
                    folders.entry(folder).or_default().push(object);
                }
                _ => {
                    if let Ok(found) = Published::parse_key(database, &object.key) {
                        published.push((found, object));
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
        }
    }

    /// The complete backups of one source, newest first.
    pub fn of_source(&self, source: SourceId) -> impl Iterator<Item = &Backup> {
        self.complete
            .iter()
            .filter(move |it| it.folder.source() == source)
    }
}

/// Reads the manifest of a folder.
///
/// # Errors
/// What the store said, or why the manifest cannot be used.
pub async fn read_manifest(storage: &dyn Storage, folder: &Folder) -> Result<Manifest, Error> {
    let key = folder.key(MANIFEST);
    let json = storage.get(&key, manifest::SIZE_LIMIT).await?;
    Manifest::read(&json).map_err(|source| Error::Manifest { key, source })
}

/// Finds the backup that a revision of `database` means. Counts and times look at the backups of
/// `target` where it has some, of the only source where there is one, and at the published
/// adapter's among them. With `as_of`, counts skip what was not complete by then.
///
/// # Errors
/// [`Error`], each a sentence for the person who asked.
pub async fn resolve(
    storage: &dyn Storage,
    database: &str,
    revision: &Revision,
    target: SourceId,
    as_of: Option<Timestamp>,
) -> Result<Found, Error> {
    let question = Question {
        storage,
        database,
        revision,
    };
    match revision {
        Revision::Named(name) => question.named(name).await,
        Revision::Count(count) => {
            let listing = list(storage, database).await?;
            question.count(&listing, *count, target, as_of).await
        }
        Revision::At(time) => {
            let listing = list(storage, database).await?;
            question.at(&listing, *time, target).await
        }
    }
}

struct Question<'a> {
    storage: &'a dyn Storage,
    database: &'a str,
    revision: &'a Revision,
}

/// A backup that a count or a time may mean.
enum Candidate<'a> {
    Ours(&'a Backup),
    Published(&'a Published, &'a Object),
}

impl Candidate<'_> {
    fn started(&self) -> Timestamp {
        match self {
            Self::Ours(backup) => backup.folder.started(),
            Self::Published(published, _) => published.started,
        }
    }
}

impl Question<'_> {
    async fn named(&self, name: &str) -> Result<Found, Error> {
        let name = name.trim_end_matches('/');
        let folder = match Folder::parse(self.database, name) {
            Ok(folder) => Some(folder),
            Err(key::NotOurs) => match by_key(name) {
                Named::Folder(folder) => Some(folder),
                // Its schema alone would be restored as if it were all.
                Named::Part(folder) => {
                    let folder = folder.prefix();
                    let whole = folder.trim_end_matches('/');
                    return Err(
                        self.no_such(format!("it is only a part of a backup; name {whole}"))
                    );
                }
                Named::Else => None,
            },
        };
        if let Some(folder) = folder {
            return match read_manifest(self.storage, &folder).await {
                Ok(manifest) => Ok(Found::Ours(folder, Box::new(manifest))),
                Err(Error::Storage(error)) if error.kind == storage::Kind::NotFound => {
                    Err(self.no_such("the folder has no manifest, so it holds no complete backup"))
                }
                Err(error) => Err(error),
            };
        }
        match self.storage.stat(name).await {
            Ok(object) => Ok(Found::Object(object)),
            Err(error) if error.kind == storage::Kind::NotFound => {
                Err(self.no_such("there is no such object"))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn count(
        &self,
        listing: &Listing,
        count: u32,
        target: SourceId,
        as_of: Option<Timestamp>,
    ) -> Result<Found, Error> {
        let candidates = self.candidates(listing, target).await?;
        let mut passed = 0;
        for candidate in &candidates {
            let Some(found) = self.complete_by(candidate, as_of).await? else {
                continue;
            };
            if passed == count {
                return match found {
                    Some(found) => Ok(found),
                    None => self.open(candidate).await,
                };
            }
            passed += 1;
        }
        Err(self.no_such(format!("there are {passed}, and the newest is 0")))
    }

    async fn at(
        &self,
        listing: &Listing,
        time: Timestamp,
        target: SourceId,
    ) -> Result<Found, Error> {
        let candidates = self.candidates(listing, target).await?;
        for candidate in candidates.iter().filter(|it| it.started() <= time) {
            match self.open(candidate).await? {
                // Its folder's time is older than its snapshot, by the time that took.
                Found::Ours(_, manifest) if manifest.snapshot_at > time => {}
                found => return Ok(found),
            }
        }
        let oldest = candidates.last().map(Candidate::started);
        Err(self.no_such(oldest.map_or_else(
            || "there is none".to_owned(),
            |it| format!("the oldest is of {it}"),
        )))
    }

    /// `None` when the candidate was not complete by `as_of`; otherwise the backup, where it had
    /// to be opened to know.
    async fn complete_by(
        &self,
        candidate: &Candidate<'_>,
        as_of: Option<Timestamp>,
    ) -> Result<Option<Option<Found>>, Error> {
        let Some(as_of) = as_of else {
            return Ok(Some(None));
        };
        if candidate.started() > as_of {
            return Ok(None);
        }
        Ok(match self.open(candidate).await? {
            Found::Ours(_, manifest) if manifest.finished_at > as_of => None,
            Found::Object(object) if object.modified > as_of => None,
            found => Some(Some(found)),
        })
    }

    async fn open(&self, candidate: &Candidate<'_>) -> Result<Found, Error> {
        Ok(match candidate {
            Candidate::Ours(backup) => {
                let manifest = read_manifest(self.storage, &backup.folder).await?;
                Found::Ours(backup.folder.clone(), Box::new(manifest))
            }
            Candidate::Published(_, object) => Found::Object((*object).clone()),
        })
    }

    /// Newest first.
    async fn candidates<'a>(
        &self,
        listing: &'a Listing,
        target: SourceId,
    ) -> Result<Vec<Candidate<'a>>, Error> {
        let sources: BTreeSet<SourceId> = listing
            .complete
            .iter()
            .map(|it| it.folder.source())
            .collect();
        let source = if sources.contains(&target) {
            Some(target)
        } else if sources.len() > 1 {
            return Err(self.several(listing, &sources).await?);
        } else {
            sources.first().copied()
        };
        let ours = listing
            .complete
            .iter()
            .filter(|it| Some(it.folder.source()) == source)
            .map(Candidate::Ours);
        let published = listing
            .published
            .iter()
            .map(|(published, object)| Candidate::Published(published, object));
        let mut candidates: Vec<_> = ours.chain(published).collect();
        candidates.sort_by_key(|it| std::cmp::Reverse(it.started()));
        Ok(candidates)
    }

    async fn several(
        &self,
        listing: &Listing,
        sources: &BTreeSet<SourceId>,
    ) -> Result<Error, Error> {
        let mut names = Vec::new();
        for source in sources {
            let Some(backup) = listing.of_source(*source).next() else {
                continue;
            };
            let manifest = read_manifest(self.storage, &backup.folder).await?;
            let from = &manifest.source;
            names.push(format!(
                "{}:{}/{} ({source})",
                from.host, from.port, from.database
            ));
        }
        Ok(Error::SeveralSources {
            database: self.database.to_owned(),
            location: self.storage.location(),
            sources: names,
        })
    }

    fn no_such(&self, reason: impl Into<String>) -> Error {
        Error::NoSuch {
            revision: self.revision.to_string(),
            database: self.database.to_owned(),
            location: self.storage.location(),
            reason: reason.into(),
        }
    }
}

/// What a key in the bucket names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// One of our backups: `DBNAME/FOLDER` and `DBNAME/FOLDER/manifest.json`.
    Folder(Folder),
    /// Another object in the folder of one.
    Part(Folder),
    /// Something else.
    Else,
}

fn by_key(key: &str) -> Named {
    match Folder::parse_key(key) {
        Ok((folder, "" | MANIFEST)) => Named::Folder(folder),
        Ok((folder, _part)) => Named::Part(folder),
        Err(key::NotOurs) => match Folder::parse_key(&format!("{key}/")) {
            Ok((folder, "")) => Named::Folder(folder),
            Ok(_) | Err(key::NotOurs) => Named::Else,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_its_manifest_name_the_backup_and_its_other_objects_do_not() {
        let folder = "app/2026-11-20-21-05-27-backup-1f3a9c0e";
        let expected = || Folder::parse("app", &folder[4..]).unwrap();
        for key in [folder, &format!("{folder}/manifest.json")] {
            assert_eq!(by_key(key), Named::Folder(expected()), "{key}");
        }
        let part = format!("{folder}/schema.dump");
        assert_eq!(by_key(&part), Named::Part(expected()));
        for key in ["app", "app/notes.txt", "app/2026-11-19-21-05-27-backup.sql"] {
            assert_eq!(by_key(key), Named::Else, "{key}");
        }
    }

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
}
