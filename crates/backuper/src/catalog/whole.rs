//! Whether all of a backup is there, by what its manifest says of it.

use std::fmt;

use super::{Backup, Error, read_manifest};
use crate::archive::{Manifest, manifest};
use crate::storage::{Object, Storage};

/// Why a backup that looks complete cannot be restored: the first of its objects that is missing or cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The object's whole key.
    pub key: String,
    /// Bytes that are there; none where there is no such object.
    pub size: Option<u64>,
    /// Bytes that should be there.
    pub expected: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            size,
            expected,
        } = self;
        match size {
            Some(size) => write!(
                formatter,
                "{key} has {size} bytes and should have {expected}"
            ),
            None => write!(formatter, "{key} is missing"),
        }
    }
}

impl Backup {
    /// What is not as the manifest says; none: every object is there with its size.
    #[must_use]
    pub fn damage(&self, manifest: &Manifest) -> Option<Damage> {
        manifest.objects().find_map(|stream| {
            let key = self.folder.key(&stream.name);
            let found = self.objects.iter().find(|it| it.key == key);
            let size = found.map(|it| it.size);
            (size != Some(stream.stored_bytes)).then_some(Damage {
                key,
                size,
                expected: stream.stored_bytes,
            })
        })
    }

    /// Whether it could be restored: its manifest can be read, and every stream is there with its size.
    ///
    /// # Errors
    /// What the store said.
    pub async fn is_whole(&self, storage: &dyn Storage) -> Result<bool, crate::storage::Error> {
        match read_manifest(storage, &self.folder).await {
            // Copied by somebody without what says that it is a part, it would stand for a whole one.
            Ok(manifest) if manifest.part.is_some() != self.part().is_some() => Ok(false),
            Ok(manifest) => Ok(self.damage(&manifest).is_none()),
            Err(Error::Storage(error)) if error.kind == crate::storage::Kind::NotFound => Ok(false),
            Err(Error::Storage(error)) => Err(error),
            // Who made it can restore it.
            Err(Error::Manifest {
                source: manifest::Error::Newer(_),
                ..
            }) => Ok(true),
            Err(error) => {
                tracing::warn!(%error, "this backup does not count");
                Ok(false)
            }
        }
    }
}

/// Why an object of the published adapter cannot be restored; none where nothing speaks against it.
#[must_use]
pub fn damage_of_published(object: &Object) -> Option<String> {
    (object.size == 0).then(|| format!("{} is empty", object.key))
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::archive::{Folder, Identity};
    use crate::storage::memory::MemoryStorage;

    /// Puts a backup of one stream, of three bytes, into a store.
    pub(crate) async fn put(storage: &MemoryStorage, of: &Identity, at: Timestamp) -> Backup {
        let folder = Folder::new(&of.database, at, of.id());
        let json = serde_json::json!({
            "format_version": 1,
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
                "name": "schema.dump", "key": folder.key("schema.dump"), "content": "schema",
                "compression": "none", "raw_bytes": 3, "stored_bytes": 3, "sha256": "0"
            }]
        });
        let json = json.to_string();
        storage
            .put(&folder.key("schema.dump"), "abc".into())
            .await
            .unwrap();
        storage
            .put(&folder.key("manifest.json"), json.into())
            .await
            .unwrap();
        let objects = storage.list(&folder.prefix()).await.unwrap();
        Backup { folder, objects }
    }

    pub(crate) fn server(host: &str) -> Identity {
        Identity {
            host: host.to_owned(),
            port: 5432,
            database: "app".to_owned(),
            system: None,
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_missing_or_cut_is_named() {
        let storage = MemoryStorage::default();
        let backup = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        let key = backup.folder.key("schema.dump");
        let now = async || Backup {
            folder: backup.folder.clone(),
            objects: storage.list(&backup.folder.prefix()).await.unwrap(),
        };
        let manifest = read_manifest(&storage, &backup.folder).await.unwrap();
        assert_eq!(backup.damage(&manifest), None);
        assert!(backup.is_whole(&storage).await.unwrap());
        storage.put(&key, "ab".into()).await.unwrap();
        let said = now().await.damage(&manifest).unwrap().to_string();
        assert_eq!(said, format!("{key} has 2 bytes and should have 3"));
        storage.delete(std::slice::from_ref(&key)).await;
        let said = now().await.damage(&manifest).unwrap().to_string();
        assert_eq!(said, format!("{key} is missing"));
        assert!(!now().await.is_whole(&storage).await.unwrap());
    }

    #[tokio::test]
    async fn what_a_newer_backuper_has_made_counts_though_we_cannot_read_it() {
        let storage = MemoryStorage::default();
        let backup = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        let key = backup.folder.key("manifest.json");
        storage
            .put(&key, "{\"format_version\": 99}".into())
            .await
            .unwrap();
        assert!(backup.is_whole(&storage).await.unwrap());
        storage.put(&key, "{".into()).await.unwrap();
        assert!(!backup.is_whole(&storage).await.unwrap());
    }
}
