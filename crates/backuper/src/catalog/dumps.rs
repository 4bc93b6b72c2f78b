//! Dumps in plain SQL, each under a key of its own, among the objects of a database.
//!
//! One whose manifest lies beside it is ours. One without it counts where its key is as dbtether writes it:
//! an object appears whole or not at all, and dbtether has no manifests. Any other is the object of a run
//! that has not ended.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::{Backup, Error, Listing, One, activity};
use crate::archive::SourceId;
use crate::archive::key::{Folder, MANIFEST, Mark, Published, RUNNING, Writer, split_dump};
use crate::archive::manifest::{self, Manifest};
use crate::archive::template::{Matcher, is_dbtethers};
use crate::storage::{self, Kind, Object, Storage};

/// Manifests that are read at once.
const AT_ONCE: usize = 16;

/// A dump and what is beside it.
#[derive(Clone, Debug)]
pub(super) struct Dump {
    key: String,
    /// As its key says.
    started: Option<Timestamp>,
    tells_others: bool,
    objects: Vec<Object>,
}

/// The dumps of a database, by its layout.
pub(super) fn found(matchers: &[Matcher], objects: &[Object]) -> Vec<Dump> {
    let mut dumps: BTreeMap<&str, Dump> = BTreeMap::new();
    for object in objects {
        if Folder::parse_key(&object.key).is_ok() {
            continue;
        }
        let (key, _) = split_dump(&object.key);
        if let Some(dump) = dumps.get_mut(key) {
            dump.objects.push(object.clone());
        } else if let Some(mut dump) = of_key(matchers, key) {
            dump.objects.push(object.clone());
            dumps.insert(key, dump);
        }
    }
    dumps.into_values().collect()
}

/// The dump that has this key, if it is the database's.
pub(super) fn of_key(matchers: &[Matcher], key: &str) -> Option<Dump> {
    matchers.iter().find_map(|it| {
        let matched = it.read(key)?;
        Some(Dump {
            key: key.to_owned(),
            started: matched.started,
            tells_others: it.tells_others,
            objects: Vec::new(),
        })
    })
}

/// Reads the manifests, and sorts the dumps into a listing.
pub(super) async fn add(
    storage: &dyn Storage,
    database: &str,
    dumps: Vec<Dump>,
    listing: &mut Listing,
) -> Result<(), storage::Error> {
    if dumps.is_empty() {
        return Ok(());
    }
    let read = dumps.into_iter().map(|it| it.read(storage, database));
    let read: Vec<Option<One>> = futures::stream::iter(read)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for one in read.into_iter().flatten() {
        match one {
            One::Folder(backup) if backup.is_complete() => listing.complete.push(backup),
            One::Folder(backup) => listing.incomplete.push(backup),
            One::Published(published, object) => listing.published.push((published, object)),
        }
    }
    let newest_first = |one: &Backup, other: &Backup| other.folder.cmp(&one.folder);
    listing.complete.sort_by(newest_first);
    listing.incomplete.sort_by(newest_first);
    listing
        .published
        .sort_by_key(|(found, _)| std::cmp::Reverse(found.started));
    Ok(())
}

impl Dump {
    /// With these objects, of which some may be another's.
    pub(super) fn with(mut self, objects: Vec<Object>) -> Self {
        self.objects = objects;
        self.objects.retain(|it| split_dump(&it.key).0 == self.key);
        self
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// What it turns out to be; none: there is nothing, or it is of a database of another name.
    pub(super) async fn read(
        mut self,
        storage: &dyn Storage,
        database: &str,
    ) -> Result<Option<One>, storage::Error> {
        if self.objects.is_empty() {
            return Ok(None);
        }
        let beside = format!("{}.{MANIFEST}", self.key);
        if self.objects.iter().any(|it| it.key == beside) {
            match read_beside(storage, &self.key).await {
                Ok(Some(manifest)) if manifest.source.database != database => {
                    return Ok(None);
                }
                Ok(Some(manifest)) => {
                    let folder = manifest.place_of_dump(&self.key, self.started);
                    return Ok(Some(self.at(folder)));
                }
                // Somebody has just deleted it.
                Ok(None) => self.objects.retain(|it| it.key != beside),
                Err(Error::Storage(error)) => return Err(error),
                // Whoever asks for it is told why.
                Err(_) => {
                    let folder = self.unknown(database);
                    return Ok(Some(self.at(folder)));
                }
            }
        }
        if let Some(only) = self.anothers() {
            let published = Published {
                key: self.key.clone(),
                started: self.started.unwrap_or(only.modified),
                by: Writer::Dbtether,
            };
            return Ok(Some(One::Published(published, only.clone())));
        }
        let folder = self.left_by_a_run(storage, database).await?;
        Ok(Some(self.at(folder)))
    }

    /// Its place by what its run has said beside it.
    async fn left_by_a_run(
        &self,
        storage: &dyn Storage,
        database: &str,
    ) -> Result<Folder, storage::Error> {
        let unknown = self.unknown(database);
        let running = unknown.key(RUNNING);
        if !self.objects.iter().any(|it| it.key == running) {
            return Ok(unknown);
        }
        let source = match storage.get(&running, manifest::SIZE_LIMIT).await {
            Ok(word) => activity::source_of(&word),
            Err(error) if error.kind == Kind::NotFound => None,
            Err(error) => return Err(error),
        };
        let of = |it| Folder::of_dump(database, unknown.started(), it, &self.key);
        Ok(source.map_or(unknown.clone(), of))
    }

    /// The dump itself, where it is another program's: nobody has said anything of it but marks.
    fn anothers(&self) -> Option<&Object> {
        let name = self.key.rsplit('/').next().unwrap_or_default();
        let is_mark = |it: &Object| Mark::beside(&it.key).is_some();
        let mut parts = self.objects.iter().filter(|it| !is_mark(it));
        let (Some(only), None) = (parts.next(), parts.next()) else {
            return None;
        };
        let is_its = only.key == self.key && self.tells_others && is_dbtethers(name);
        is_its.then_some(only)
    }

    fn at(self, folder: Folder) -> One {
        One::Folder(Backup {
            folder,
            objects: self.objects,
        })
    }

    /// Its place where nothing says of which server it is.
    fn unknown(&self, database: &str) -> Folder {
        let times = self.objects.iter().map(|it| it.modified);
        let written = times.min().unwrap_or(Timestamp::UNIX_EPOCH);
        let started = self.started.unwrap_or(written);
        Folder::of_dump(database, started, SourceId::UNKNOWN, &self.key)
    }
}

/// The manifest beside a dump; none: there is none.
pub(super) async fn read_beside(
    storage: &dyn Storage,
    dump: &str,
) -> Result<Option<Manifest>, Error> {
    let key = format!("{dump}.{MANIFEST}");
    let json = match storage.get(&key, manifest::SIZE_LIMIT).await {
        Ok(json) => json,
        Err(error) if error.kind == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let manifest = Manifest::read(&json).and_then(|it| it.of_dump(dump));
    let manifest = manifest.map_err(|source| Error::Manifest { key, source })?;
    Ok(Some(manifest))
}

#[cfg(test)]
mod tests {
    use super::super::{list, one};
    use super::*;
    use crate::archive::{Identity, Layout, SystemIdentifier};
    use crate::storage::memory::MemoryStorage;

    fn server(database: &str, system: u64) -> Identity {
        Identity {
            host: "db".to_owned(),
            port: 5432,
            database: database.to_owned(),
            system: Some(SystemIdentifier::from(system)),
        }
    }

    fn prod() -> Layout {
        let template = "{{.ClusterName}}/{{.DatabaseName}}/{{.Timestamp}}.sql.gz".parse();
        Layout::new(template.ok(), Some("prod".to_owned())).unwrap()
    }

    /// Puts a dump of three bytes and its manifest into a store.
    async fn put(storage: &MemoryStorage, of: &Identity, key: &str) {
        let at = "2026-11-20T21:05:27Z";
        let json = serde_json::json!({
            "format_version": 2,
            "source": {
                "host": of.host, "port": of.port, "database": of.database,
                "system_identifier": of.system.as_ref().map(ToString::to_string),
                "server_version": "15.18", "server_version_num": 150_018, "encoding": "UTF8",
                "locale": { "provider": "libc", "collate": "C", "ctype": "C" },
                "extensions": [], "size_bytes": 1
            },
            "snapshot_at": at, "started_at": at, "finished_at": at,
            "tools": { "backuper": "1", "pg_dump": "15.18", "zstd": "1" },
            "streams": [{
                "name": "before-it-was-moved.sql.gz", "key": key, "content": "script",
                "compression": "gzip", "raw_bytes": 3, "stored_bytes": 3, "sha256": "0"
            }]
        });
        storage.put(key, "abc".into()).await.unwrap();
        let beside = format!("{key}.{MANIFEST}");
        storage.put(&beside, json.to_string().into()).await.unwrap();
    }

    async fn bare(storage: &MemoryStorage, key: &str) {
        storage.put(key, "abc".into()).await.unwrap();
    }

    fn keys(backups: &[Backup]) -> Vec<String> {
        backups.iter().map(|it| it.folder.prefix()).collect()
    }

    /// What may lie in a bucket that several clusters and databases use.
    async fn crowded() -> MemoryStorage {
        let storage = MemoryStorage::default();
        let app = server("app", 1);
        put(&storage, &app, "prod/app/20261120-210527.sql.gz").await;
        put(&storage, &app, "app/20261121-210527-a1b2c3d4.sql.gz").await;
        // Another server's of the same name, and another database's, whatever its key says.
        put(
            &storage,
            &server("app", 2),
            "prod/app/20261119-210527.sql.gz",
        )
        .await;
        put(
            &storage,
            &server("other", 1),
            "prod/app/20261118-210527.sql.gz",
        )
        .await;
        bare(&storage, "prod/app/20261117-210527.sql.gz").await;
        bare(&storage, "prod/app/20261116-210527.sql.gz").await;
        bare(&storage, "prod/app/20261116-210527.sql.gz.running").await;
        bare(&storage, "app/20261115-210527.sql.gz").await;
        bare(&storage, "prod/app/20261114-210527.sql.gz").await;
        bare(&storage, "prod/app/20261114-210527.sql.gz.manifest.json").await;
        for foreign in [
            "prod/app/x.sql.gz",
            "prod/app2/20261117-210527.sql.gz",
            "app/a.json",
        ] {
            bare(&storage, foreign).await;
        }
        storage
    }

    #[tokio::test]
    async fn a_dump_counts_by_its_manifest_and_dbtethers_by_its_name() {
        let (storage, app) = (crowded().await, server("app", 1));
        let listing = list(&storage, "app", &prod()).await.unwrap();
        assert_eq!(
            keys(&listing.complete),
            [
                "app/20261121-210527-a1b2c3d4.sql.gz",
                "prod/app/20261120-210527.sql.gz",
                "prod/app/20261119-210527.sql.gz",
                "prod/app/20261114-210527.sql.gz",
            ]
        );
        let sources: Vec<SourceId> = listing
            .complete
            .iter()
            .map(|it| it.folder.source())
            .collect();
        let (ours, theirs) = (app.id(), server("app", 2).id());
        assert_eq!(sources, [ours, ours, theirs, SourceId::UNKNOWN]);
        // Without a manifest, below the database's name it may be a cluster's of that name.
        assert_eq!(
            keys(&listing.incomplete),
            [
                "prod/app/20261116-210527.sql.gz",
                "app/20261115-210527.sql.gz"
            ]
        );
        let others: Vec<&str> = listing
            .published
            .iter()
            .map(|it| it.0.key.as_str())
            .collect();
        assert_eq!(others, ["prod/app/20261117-210527.sql.gz"]);
        let first = &listing.complete[1];
        let manifest = super::super::read_manifest(&storage, &first.folder)
            .await
            .unwrap();
        assert_eq!(first.damage(&manifest), None, "also where it was moved");
        // Where no template is set, that is where dbtether's may lie.
        let listing = list(&storage, "app", &Layout::default()).await.unwrap();
        assert_eq!(
            keys(&listing.complete),
            ["app/20261121-210527-a1b2c3d4.sql.gz"]
        );
        let others: Vec<&str> = listing
            .published
            .iter()
            .map(|it| it.0.key.as_str())
            .collect();
        assert_eq!(others, ["app/20261115-210527.sql.gz"]);
    }

    #[tokio::test]
    async fn an_encrypted_dump_counts_and_what_a_person_has_encrypted_does_not() {
        let (storage, app) = (MemoryStorage::default(), server("app", 1));
        let encrypted = "prod/app/20261120-210527.sql.gz.age";
        put(&storage, &app, encrypted).await;
        put(&storage, &app, "app/20261119-210527-a1b2c3d4.sql.gz.age").await;
        put(&storage, &app, "prod/app/20261118-210527.sql.gz").await;
        let persons = "prod/app/20261118-210527.sql.gz.age";
        bare(&storage, persons).await;
        bare(&storage, "prod/app/20261117-210527.sql.gz.age").await;
        let listing = list(&storage, "app", &prod()).await.unwrap();
        let complete = [
            encrypted,
            "app/20261119-210527-a1b2c3d4.sql.gz.age",
            "prod/app/20261118-210527.sql.gz",
        ];
        assert_eq!(keys(&listing.complete), complete);
        assert!(listing.published.is_empty(), "{:?}", listing.published);
        // Of no server, so nobody's retention removes them.
        let sources = listing.incomplete.iter().map(|it| it.folder.source());
        let sources: Vec<SourceId> = sources.collect();
        assert_eq!(sources, [SourceId::UNKNOWN; 2]);
        // What stands beside the one says nothing of the other.
        for key in [encrypted, "prod/app/20261118-210527.sql.gz"] {
            let found = one(&storage, "app", &prod(), key).await.unwrap();
            assert!(matches!(&found, One::Folder(it) if it.is_complete() && it.objects.len() == 2));
        }
        let found = one(&storage, "app", &prod(), persons).await.unwrap();
        assert!(matches!(&found, One::Folder(it) if !it.is_complete()));
    }

    #[tokio::test]
    async fn a_dump_is_one_by_its_key_and_not_by_what_stands_beside_it() {
        let storage = MemoryStorage::default();
        let key = "prod/app/20261120-210527.sql.gz";
        put(&storage, &server("app", 1), key).await;
        bare(&storage, &format!("{key}.old")).await;
        bare(&storage, "prod/app/20261119-210527.sql.gz").await;
        let found = one(&storage, "app", &prod(), key).await.unwrap();
        assert!(matches!(&found, One::Folder(it) if it.is_complete() && it.objects.len() == 2));
        let others = one(&storage, "app", &prod(), "prod/app/20261119-210527.sql.gz").await;
        assert!(matches!(others, Ok(One::Published(..))));
        for (key, words) in [
            (format!("{key}.manifest.json"), "only a part"),
            (format!("{key}.old"), "none of the backups"),
            (
                "prod/app/20261118-210527.sql.gz".to_owned(),
                "no such object",
            ),
            (
                "prod/app2/20261120-210527.sql.gz".to_owned(),
                "none of the backups",
            ),
        ] {
            let error = one(&storage, "app", &prod(), &key).await.unwrap_err();
            assert!(error.to_string().contains(words), "{key}: {error}");
        }
    }
}
