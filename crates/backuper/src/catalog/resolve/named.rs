//! Backups that are named by a folder or a key.

use super::{Error, Found, Question};
use crate::archive::key::{self, Folder, MANIFEST, Published};
use crate::archive::manifest::Manifest;
use crate::catalog::{dumps, list, read_manifest};
use crate::storage::{Kind, Object};

impl Question<'_> {
    pub(super) async fn named(&self, name: &str) -> Result<Found, Error> {
        let name = name.trim_end_matches('/');
        let folder = match Folder::parse(&self.request.target.database, name) {
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
        self.is_of_the_source(name, folder.as_ref())?;
        if let Some(folder) = folder {
            return match read_manifest(self.storage, &folder).await {
                Ok(manifest) if !self.may_be_named(&manifest, Some(&folder)).await? => {
                    Err(self.of_another_server())
                }
                Ok(manifest) => Ok(Found::Ours(folder, Box::new(manifest))),
                Err(Error::Storage(error)) if error.kind == Kind::NotFound => {
                    Err(self.no_such("the folder has no manifest, so it holds no complete backup"))
                }
                Err(error) => Err(error),
            };
        }
        let name = match key::split_dump(name) {
            (dump, Some(MANIFEST)) => dump,
            _ => name,
        };
        match self.storage.stat(name).await {
            Ok(object) => self.dump_or_object(object).await,
            Err(error) if error.kind == Kind::NotFound => {
                Err(self.no_such("there is no such object"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A dump in plain SQL whose manifest lies beside it, or an object of which nothing says anything.
    async fn dump_or_object(&self, object: Object) -> Result<Found, Error> {
        // What the published adapter has written has none.
        if object.key.ends_with("-backup.sql") {
            return Ok(Found::Object(object));
        }
        let manifest = match dumps::read_beside(self.storage, &object.key).await {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(Found::Object(object)),
            // Keys that may see this object alone are enough.
            Err(Error::Storage(error)) if error.kind == Kind::Denied => {
                return Ok(Found::Object(object));
            }
            Err(error) => return Err(error),
        };
        if !self.may_be_named(&manifest, None).await? {
            return Err(self.of_another_server());
        }
        let database = &manifest.source.database;
        let matchers = self.request.layout.matchers(database);
        let started = matchers.iter().find_map(|it| it.read(&object.key));
        let started = started.and_then(|it| it.started);
        let place = manifest.place_of_dump(&object.key, started);
        Ok(Found::Ours(place, Box::new(manifest)))
    }

    /// Whether a key may be one of the source's, where no other may be taken: nothing else is looked at.
    fn is_of_the_source(&self, key: &str, folder: Option<&Folder>) -> Result<(), Error> {
        let database = &self.request.target.database;
        let is_its = match folder {
            Some(folder) => folder.database() == database,
            None => {
                let (dump, _) = key::split_dump(key);
                let matchers = self.request.layout.matchers(database);
                Published::parse_key(database, key).is_ok()
                    || matchers.iter().any(|it| it.read(dump).is_some())
            }
        };
        if is_its || !self.request.by_name {
            return Ok(());
        }
        Err(self.no_such(format!("it is none of the backups of {database}")))
    }

    /// Who names a source is told of no other's: it may be somebody who may not see those.
    fn of_another_server(&self) -> Error {
        let source = self.request.target;
        self.no_such(format!(
            "it is a backup of another server than {}:{}",
            source.host, source.port
        ))
    }

    /// Whether a backup is one of those that a number could mean. A server is known by more than its address.
    async fn may_be_named(
        &self,
        manifest: &Manifest,
        folder: Option<&Folder>,
    ) -> Result<bool, Error> {
        let identity = manifest.source.identity();
        if !self.request.by_name || self.request.target.is_same_as(&identity) {
            return Ok(true);
        }
        let listing = list(
            self.storage,
            &self.request.target.database,
            self.request.layout,
        )
        .await?;
        let id = folder.map_or_else(|| identity.id(), Folder::source);
        match self.sources(&listing).await {
            Ok(sources) => Ok(sources.ids.contains(&id)),
            Err(Error::Storage(error)) => Err(error.into()),
            Err(_) => Ok(false),
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
}
