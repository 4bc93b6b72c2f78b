//! Where a copy lies in the second store: under the keys of the first, unless they are another backup's.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Copying, Error};
use crate::archive::key::{MANIFEST, RUNNING};
use crate::archive::{Folder, Manifest, RunId, manifest};
use crate::catalog::{self, Backup, activity};
use crate::cleanup::claim::Claim;
use crate::storage::Kind;

impl Copying<'_> {
    /// Proves that what is written in the second store is not seen in the first. Two addresses may lead to
    /// one place; the retention that is meant for the second would then be applied to the first.
    pub(super) async fn is_another_place(&self, folder: &Folder) -> Result<(), Error> {
        let key = folder.key(MANIFEST);
        match self.to.get(&key, manifest::SIZE_LIMIT).await {
            Ok(found) => {
                let own = self.from.get(&key, manifest::SIZE_LIMIT).await;
                if found != own.map_err(Error::here)? {
                    return Ok(());
                }
            }
            Err(error) if error.kind == Kind::NotFound => return Ok(()),
            Err(error) => return Err(Error::there(error)),
        }
        // That the backup is there already may also be another run's doing, or a replication's.
        let key = folder.key(RUNNING);
        let word = activity::word(&RunId::random(), folder.source());
        let put = self.to.put(&key, word.clone().into()).await;
        put.map_err(Error::there)?;
        let seen = self.from.get(&key, word.len()).await;
        activity::withdraw(self.to, folder).await;
        match seen {
            Ok(seen) if seen == word => Err(Error::Refused(format!(
                "COPY_TO leads to the place where the backup is already, by another address: {} and {} are one; name another place, or leave COPY_TO out",
                self.from.location(),
                self.to.location()
            ))),
            Ok(_anothers) => Ok(()),
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            // Nobody knows, and the retention that is meant for the copies would go over the backups.
            Err(error) => Err(Error::here(error)),
        }
    }

    /// Says that a copy of this backup is being written in the second store; gives the word for it, and none
    /// where the whole copy is there. Nothing of another backup is written over.
    pub(super) async fn take_place(
        &self,
        folder: &Folder,
        json: &Bytes,
        manifest: &Manifest,
    ) -> Result<Option<String>, Error> {
        let found = Backup {
            folder: folder.clone(),
            objects: catalog::objects(self.to, folder)
                .await
                .map_err(Error::there)?,
        };
        if found.is_complete() {
            let key = folder.key(MANIFEST);
            let there = self.to.get(&key, manifest::SIZE_LIMIT).await;
            if there.map_err(Error::there)? != *json {
                return Err(self.is_anothers(folder));
            }
            if found.damage(manifest).is_none() {
                return Ok(None);
            }
        }
        let word = word(folder, json);
        let claim = Claim {
            folder: folder.clone(),
            word: word.clone(),
        };
        // A folder has its source in its name. A dump's key may be that of another server's, or of another
        // program's, and who has begun to write under it says so beside it.
        if folder.is_of_dump() && !found.is_complete() {
            let is_ours = if found.objects.is_empty() {
                claim.is_made(self.to, self.layout.tells_runs()).await
            } else {
                claim.stands(self.to).await
            };
            if !is_ours.map_err(Error::there)? {
                return Err(self.is_anothers(folder));
            }
        } else {
            let key = folder.key(RUNNING);
            let put = self.to.put(&key, word.clone().into()).await;
            put.map_err(Error::there)?;
        }
        Ok(Some(word))
    }

    fn is_anothers(&self, folder: &Folder) -> Error {
        Error::Refused(format!(
            "{} in {} is another backup's, so nothing is written there; give the copies a prefix of their own in COPY_TO",
            folder.prefix().trim_end_matches('/'),
            self.to.location()
        ))
    }
}

/// What whoever copies this backup says, and nobody else: a try that was cut off is gone on with.
fn word(folder: &Folder, json: &[u8]) -> String {
    if !folder.is_of_dump() {
        return activity::TEXT.to_owned();
    }
    let backup = hex::encode(Sha256::digest(json));
    activity::word_of_copy(&backup, folder.source())
}

#[cfg(test)]
mod tests {
    use jiff::{Span, Timestamp};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::archive::{Layout, SourceId};
    use crate::catalog::whole::tests::{put, server};
    use crate::storage::Storage;
    use crate::storage::memory::MemoryStorage;

    struct Both {
        from: MemoryStorage,
        to: MemoryStorage,
        layout: Layout,
        stop: CancellationToken,
    }

    impl Both {
        fn new() -> Self {
            Self {
                from: MemoryStorage::default(),
                to: MemoryStorage::default(),
                layout: Layout::default(),
                stop: CancellationToken::new(),
            }
        }

        fn copying(&self) -> Copying<'_> {
            Copying {
                from: &self.from,
                to: &self.to,
                layout: &self.layout,
                stop: &self.stop,
            }
        }

        async fn take(&self, folder: &Folder) -> Result<Option<String>, Error> {
            let json = self.from.get(&folder.key(MANIFEST), 1 << 20).await.unwrap();
            let manifest = Manifest::read(&json).unwrap();
            self.copying().take_place(folder, &json, &manifest).await
        }
    }

    #[track_caller]
    fn refused(error: Error) -> String {
        match error {
            Error::Refused(sentence) => sentence,
            other => panic!("{other:?}"),
        }
    }

    /// A dump of this server under a key that says nothing of it, whole in the first store.
    async fn dump(storage: &MemoryStorage, host: &str) -> Folder {
        let source = server(host);
        let made = put(&MemoryStorage::default(), &source, Timestamp::UNIX_EPOCH).await;
        let id = SourceId::of_name(host, 5432, "app");
        let folder = Folder::of_dump("app", made.folder.started(), id, "prod/app/1.sql.gz");
        let other = MemoryStorage::default();
        let of = put(&other, &source, Timestamp::UNIX_EPOCH).await;
        let json = other.get(&of.folder.key(MANIFEST), 1 << 20).await.unwrap();
        storage.put(&folder.prefix(), "rows".into()).await.unwrap();
        storage.put(&folder.key(MANIFEST), json).await.unwrap();
        folder
    }

    #[tokio::test]
    async fn a_copy_that_was_cut_off_is_gone_on_with_and_anothers_dump_of_that_key_stays() {
        let (both, others) = (Both::new(), Both::new());
        let ours = dump(&both.from, "db1").await;
        let theirs = dump(&others.from, "db2").await;
        assert_eq!(ours.prefix(), theirs.prefix());
        let word = both.take(&ours).await.unwrap().unwrap();
        both.to.put(&ours.prefix(), "rows".into()).await.unwrap();
        // The next try of the same backup.
        assert_eq!(both.take(&ours).await.unwrap(), Some(word.clone()));
        // Somebody else's, who copies to the same place.
        let json = others.from.get(&theirs.key(MANIFEST), 1 << 20).await;
        let (json, second) = (
            json.unwrap(),
            Copying {
                from: &others.from,
                ..both.copying()
            },
        );
        let manifest = Manifest::read(&json).unwrap();
        let taken = second.take_place(&theirs, &json, &manifest).await;
        assert!(refused(taken.unwrap_err()).contains("another backup's"));
        let stands = both.to.get(&ours.key(RUNNING), 1 << 10).await.unwrap();
        assert_eq!(stands, word);
        // And dbtether's, who says nothing beside it.
        let bare = Both::new();
        let folder = dump(&bare.from, "db1").await;
        bare.to
            .put(&folder.prefix(), "theirs".into())
            .await
            .unwrap();
        assert!(refused(bare.take(&folder).await.unwrap_err()).contains("prefix of their own"));
        assert_eq!(bare.to.list("").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_there_with_all_its_streams_is_not_copied_again_and_what_lacks_one_is() {
        let both = Both::new();
        let at = Timestamp::UNIX_EPOCH;
        let made = put(&both.from, &server("db"), at).await;
        put(&both.to, &server("db"), at).await;
        assert_eq!(both.take(&made.folder).await.unwrap(), None);
        both.to.delete(&[made.folder.key("schema.dump")]).await;
        assert!(both.take(&made.folder).await.unwrap().is_some());
        // Another server's of that name, whose manifest is another.
        let other = put(&both.from, &server("db"), at + Span::new().hours(1)).await;
        let key = other.folder.key(MANIFEST);
        both.to.put(&key, "{}".into()).await.unwrap();
        assert!(refused(both.take(&other.folder).await.unwrap_err()).contains("another backup's"));
        assert_eq!(both.to.get(&key, 9).await.unwrap(), "{}");
    }

    #[tokio::test]
    async fn two_addresses_of_one_place_are_seen_by_what_is_written_there() {
        let both = Both::new();
        let made = put(&both.from, &server("db"), Timestamp::UNIX_EPOCH).await;
        both.copying().is_another_place(&made.folder).await.unwrap();
        put(&both.to, &server("db"), Timestamp::UNIX_EPOCH).await;
        both.copying().is_another_place(&made.folder).await.unwrap();
        let one = Copying {
            to: &both.from,
            ..both.copying()
        };
        let sentence = refused(one.is_another_place(&made.folder).await.unwrap_err());
        assert!(sentence.contains("by another address"), "{sentence}");
        assert_eq!(both.from.list("").await.unwrap().len(), 2);
    }
}
