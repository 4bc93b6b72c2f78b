//! One backup by its key, exactly as a listing shows it.

use jiff::Timestamp;

use super::{Backup, Error, dumps};
use crate::archive::Layout;
use crate::archive::key::{self, Folder, MANIFEST, Published};
use crate::storage::{Kind, Object, Storage};

/// A backup that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum One {
    /// One of ours, complete or not.
    Folder(Backup),
    /// The published adapter's, or dbtether's.
    Published(Published, Object),
}

/// What is said of a key where nothing lies.
const NO_FOLDER: &str = "there is no such folder";
const NO_OBJECT: &str = "there is no such object";

/// Whether a worker's sentence says that nothing lies under the key that it was given.
#[must_use]
pub fn is_gone(sentence: &str) -> bool {
    sentence.contains(NO_FOLDER) || sentence.contains(NO_OBJECT)
}

/// Finds the backup of a database that has this key: its folder, or a single object.
///
/// # Errors
/// [`Error::NoSuch`] where the key is none of the database's backups or not there, and what the store
/// said.
pub async fn one(
    storage: &dyn Storage,
    database: &str,
    layout: &Layout,
    key: &str,
) -> Result<One, Error> {
    let no_such = |reason: String| Error::NoSuch {
        revision: key.to_owned(),
        database: database.to_owned(),
        location: storage.location(),
        reason,
    };
    let folder = match Folder::parse_key(&format!("{}/", key.trim_end_matches('/'))) {
        Ok((folder, "")) => Some(folder),
        Ok((folder, _part)) => {
            let whole = folder.prefix();
            let whole = whole.trim_end_matches('/');
            return Err(no_such(format!(
                "it is only a part of a backup; name {whole}"
            )));
        }
        Err(_not_ours) => None,
    };
    if let Some(folder) = folder {
        if folder.database() != database {
            return Err(no_such(format!("it is none of the backups of {database}")));
        }
        let objects = storage.list(&folder.prefix()).await?;
        if objects.is_empty() {
            return Err(no_such(NO_FOLDER.to_owned()));
        }
        return Ok(One::Folder(Backup { folder, objects }));
    }
    let (dump, part) = key::split_dump(key);
    if let Some(dump) = dumps::of_key(&layout.matchers(database), dump) {
        if part.is_some() {
            let whole = dump.key();
            return Err(no_such(format!(
                "it is only a part of a backup; name {whole}"
            )));
        }
        let dump = dump.with(storage.list(key).await?);
        let found = dump.read(storage, database).await?;
        return found.ok_or_else(|| no_such(NO_OBJECT.to_owned()));
    }
    let Ok(published) = Published::parse_key(database, key) else {
        return Err(no_such(format!("it is none of the backups of {database}")));
    };
    match storage.stat(key).await {
        Ok(object) => Ok(One::Published(published, object)),
        Err(error) if error.kind == Kind::NotFound => Err(no_such(NO_OBJECT.to_owned())),
        Err(error) => Err(error.into()),
    }
}

impl Backup {
    /// Whether it has a manifest.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let manifest = self.folder.key(MANIFEST);
        self.objects.iter().any(|it| it.key == manifest)
    }

    /// Its keys in the order of deletion: the manifest first, so that a deletion that is cut short leaves
    /// nothing that looks whole.
    #[must_use]
    pub fn in_order(&self) -> (String, Vec<String>) {
        let manifest = self.folder.key(MANIFEST);
        let keys = self.objects.iter().map(|it| it.key.clone());
        let rest = keys.filter(|it| *it != manifest).collect();
        (manifest, rest)
    }
}

impl One {
    /// Its folder, or the key of a single object, as a list has it.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Folder(backup) => backup.folder.prefix().trim_end_matches('/').to_owned(),
            Self::Published(_, object) => object.key.clone(),
        }
    }

    /// When its run began, as its name says, UTC.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        match self {
            Self::Folder(backup) => backup.folder.started(),
            Self::Published(published, _) => published.started,
        }
    }

    /// Its bytes in the store.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        match self {
            Self::Folder(backup) => backup.objects.iter().map(|it| it.size).sum(),
            Self::Published(_, object) => object.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStorage;

    #[tokio::test]
    async fn a_key_names_a_backup_of_its_database_and_nothing_else() {
        let storage = MemoryStorage::default();
        for key in [
            "app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-19-21-05-27-backup.sql",
            "app/notes.txt",
            "shop/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
        ] {
            storage.put(key, "x".into()).await.unwrap();
        }
        let folder = "app/2026-11-20-21-05-27-backup-1f3a9c0e";
        for key in [folder, &format!("{folder}/")] {
            let found = one(&storage, "app", &Layout::default(), key).await.unwrap();
            assert!(matches!(found, One::Folder(it) if it.is_complete()));
        }
        let key = "app/2026-11-19-21-05-27-backup.sql";
        let published = one(&storage, "app", &Layout::default(), key).await;
        assert!(matches!(published.unwrap(), One::Published(..)));
        for (key, words) in [
            (
                "app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
                "a part of a backup",
            ),
            ("app/2026-11-21-21-05-27-backup-1f3a9c0e", "no such folder"),
            ("app/2026-11-18-21-05-27-backup.sql", "no such object"),
            ("app/notes.txt", "none of the backups of app"),
            (
                "shop/2026-11-20-21-05-27-backup-1f3a9c0e",
                "none of the backups of app",
            ),
            ("app", "none of the backups of app"),
            ("../app", "none of the backups of app"),
            ("", "none of the backups of app"),
        ] {
            let error = one(&storage, "app", &Layout::default(), key)
                .await
                .unwrap_err();
            assert!(matches!(error, Error::NoSuch { .. }), "{key}: {error}");
            assert!(error.to_string().contains(words), "{key}: {error}");
            let is_nothing = words.starts_with("no such");
            assert_eq!(is_gone(&error.to_string()), is_nothing, "{error}");
        }
    }
}
