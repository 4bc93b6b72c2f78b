//! The newest complete backup of each database in a store, for somebody who has lost all but the store.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::listed::{Listed, described, of_published};
use super::{AT_ONCE, MOST};
use crate::archive::key::{self, Folder, MANIFEST, Published};
use crate::archive::{Manifest, SourceId};
use crate::catalog::{self, Backup};
use crate::runtime::Failure;
use crate::storage::{self, Object, Storage};

/// A database: two servers may have one of the same name. What the published adapter has made does not
/// say of which.
type Database = (String, Option<SourceId>);

/// A complete backup, by the object that makes it one.
enum Newest {
    Ours(Folder),
    Published(Published, Object),
}

impl Newest {
    fn started(&self) -> Timestamp {
        match self {
            Self::Ours(folder) => folder.started(),
            Self::Published(published, _) => published.started,
        }
    }

    /// By which the newest is told.
    fn rank(&self, now: Timestamp) -> (bool, Timestamp) {
        let started = self.started();
        (!catalog::is_of_the_future(started, now), started)
    }
}

/// The names of all databases that have a complete backup in a store.
pub(super) async fn databases(storage: &dyn Storage) -> Result<BTreeSet<String>, storage::Error> {
    let newest = newest(storage).await?;
    Ok(newest.into_keys().map(|(name, _)| name).collect())
}

/// The newest of each database. One of the future is a database's newest only where there is no other, as it
/// is for a restore.
async fn newest(storage: &dyn Storage) -> Result<BTreeMap<Database, Newest>, storage::Error> {
    let now = Timestamp::now();
    let mut newest: BTreeMap<Database, Newest> = BTreeMap::new();
    let mut compare = |(database, found): (Database, Newest)| {
        let is_newer = |it: &Newest| found.rank(now) > it.rank(now);
        if newest.get(&database).is_none_or(is_newer) {
            newest.insert(database, found);
        }
    };
    let mut dumps = Vec::new();
    let mut see = |object: Object| {
        let is_beside = |it: &str| matches!(key::split_dump(it), (_, Some(MANIFEST)));
        if is_beside(&object.key) && Folder::parse_key(&object.key).is_err() {
            dumps.push(object);
        } else if let Some(found) = complete(object) {
            compare(found);
        }
    };
    storage.visit("", &mut see).await?;
    for found in dumps_of(storage, dumps).await? {
        compare(found);
    }
    Ok(newest)
}

/// The newest of each database, the newest first.
pub(super) async fn of_each(storage: &dyn Storage) -> Result<Vec<Listed>, Failure> {
    let newest = newest(storage).await?;
    let mut newest: Vec<(Database, Newest)> = newest.into_iter().collect();
    newest.sort_by_key(|(_, it)| std::cmp::Reverse(it.started()));
    newest.truncate(MOST);
    let listed = newest.iter().map(async |((name, _), found)| match found {
        Newest::Ours(folder) => ours(storage, folder).await,
        Newest::Published(published, object) => Ok(of_published(name, published, object)),
    });
    let listed: Vec<Result<Listed, storage::Error>> = futures::stream::iter(listed)
        .buffered(AT_ONCE)
        .collect()
        .await;
    Ok(listed.into_iter().collect::<Result<_, _>>()?)
}

/// The databases of dumps in plain SQL, by the manifests beside them, of which the newest are read.
async fn dumps_of(
    storage: &dyn Storage,
    mut manifests: Vec<Object>,
) -> Result<Vec<(Database, Newest)>, storage::Error> {
    manifests.sort_by_key(|it| std::cmp::Reverse(it.modified));
    manifests.truncate(MOST);
    let read = manifests.iter().map(async |it| {
        let (dump, _) = key::split_dump(&it.key);
        catalog::dump(storage, dump).await
    });
    let read: Vec<Option<(Folder, Manifest)>> = futures::stream::iter(read)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let found = read.into_iter().flatten().map(|(folder, _)| {
        let database = (folder.database().to_owned(), Some(folder.source()));
        (database, Newest::Ours(folder))
    });
    Ok(found.collect())
}

async fn ours(storage: &dyn Storage, folder: &Folder) -> Result<Listed, storage::Error> {
    let backup = Backup {
        folder: folder.clone(),
        objects: catalog::objects(storage, folder).await?,
    };
    Ok(described(storage, &backup).await)
}

/// The backup that is complete since this object is there.
fn complete(object: Object) -> Option<(Database, Newest)> {
    match Folder::parse_key(&object.key) {
        Ok((folder, MANIFEST)) => {
            let database = (folder.database().to_owned(), Some(folder.source()));
            Some((database, Newest::Ours(folder)))
        }
        Ok(_) => None,
        Err(key::NotOurs) => {
            // The published adapter does not encode names, and so a slash may be part of one.
            let (database, _) = object.key.rsplit_once('/')?;
            let published = Published::parse_key(database, &object.key).ok()?;
            let database = (database.to_owned(), None);
            Some((database, Newest::Published(published, object)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStorage;

    #[tokio::test]
    async fn the_newest_complete_backup_of_each_database_is_listed() {
        let storage = MemoryStorage::default();
        for key in [
            "app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-21-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-21-21-05-27-backup-1f3a9c0e/schema.dump",
            "app/2026-11-22-21-05-27-backup-1f3a9c0e/schema.dump",
            "app/2026-11-18-21-05-27-backup-00000001/manifest.json",
            "a%2Fb/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "old one/2026-11-19-21-05-27-backup.sql",
            "old one/2026-11-17-21-05-27-backup.sql",
            // The clock that gave it ran ahead.
            "app/2999-11-18-21-05-27-backup-00000001/manifest.json",
            "ahead/2999-11-18-21-05-27-backup-00000001/manifest.json",
            "half/2026-11-19-21-05-27-backup-1f3a9c0e/schema.dump",
            "notes/today.txt",
            "readme",
        ] {
            storage.put(key, "x".into()).await.unwrap();
        }
        let listed = of_each(&storage).await.unwrap();
        let found: Vec<_> = listed
            .iter()
            .map(|it| (it.database.as_str(), it.key.as_str(), it.stored_bytes))
            .collect();
        assert_eq!(
            found,
            [
                ("ahead", "ahead/2999-11-18-21-05-27-backup-00000001", 1),
                ("app", "app/2026-11-21-21-05-27-backup-1f3a9c0e", 2),
                ("a/b", "a%2Fb/2026-11-20-21-05-27-backup-1f3a9c0e", 1),
                ("old one", "old one/2026-11-19-21-05-27-backup.sql", 1),
                ("app", "app/2026-11-18-21-05-27-backup-00000001", 1),
            ]
        );
    }
}
