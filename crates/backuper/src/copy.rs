//! Copies complete backups to a second store, one object after the other and never through the disk:
//! each is compared with its checksum on the way and proven where it arrives, and the manifest comes last.
//!
//! What fails or is stopped in the middle leaves no manifest there. The next copy of the backup keeps
//! the objects that are whole, and the retention there removes what nobody has finished after a day.

pub mod missing;
pub mod place;

use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::archive::key::{MANIFEST, PINNED, encode};
use crate::archive::manifest::{self, Stream};
use crate::archive::{Folder, Layout, Manifest};
use crate::catalog::{self, Backup, activity};
use crate::cleanup::{self, Deletions, Made};
use crate::publish;
use crate::runtime::Failure;
use crate::storage::{Access, Error as StoreError, Kind, Storage, Stored};

/// Objects of a backup that are copied at once.
const AT_ONCE: usize = 4;

/// Older backups that one run copies beside its own, and how many may fail before it leaves the rest to
/// the next one.
const CATCH_UP: usize = 3;

/// A mark has a few words in it, in bytes.
const MARK_LIMIT: usize = 4 << 10;

/// What came of copying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Older backups that were missing there and are there now.
    pub older: usize,
    /// Those that are still missing, as far as the retention there would keep them.
    pub missing: usize,
    /// What the retention there did.
    pub deletions: Deletions,
}

/// Why a backup is not in the second store.
#[derive(Debug)]
pub enum Error {
    /// What the first store has is not what was stored in it: there is no whole backup at all.
    Damaged(String),
    /// The backup is as good as it was, and no later run could copy it either, until what the sentence says is
    /// done.
    Refused(String),
    /// The backup is as good as it was, and not copied.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Two stores, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Copying<'a> {
    /// The store that has the backups.
    pub from: &'a dyn Storage,
    /// The store that they are copied to.
    pub to: &'a dyn Storage,
    /// Where dumps in plain SQL lie, in both.
    pub layout: &'a Layout,
    /// Cancelled where we are asked to stop.
    pub stop: &'a CancellationToken,
}

impl Copying<'_> {
    /// Copies the backup that was just made, then older ones that are missing there, newest first; applies
    /// the retention there.
    ///
    /// # Errors
    /// Why the backup that was just made is not there. What happens to older ones is a warning.
    pub async fn all(&self, made: Made<'_>) -> Result<Copied, Error> {
        let Made {
            folder, manifest, ..
        } = made;
        let database = &manifest.source.database;
        let prefix = if folder.is_of_dump() {
            self.layout.folder(database)
        } else {
            format!("{}/", encode(database))
        };
        self.to.probe(&prefix, Access::Write).await?;
        self.is_another_place(folder).await?;
        self.backup(folder).await?;
        tracing::info!(key = %folder.prefix(), to = %self.to.location(), "copied and verified");
        let mut copied = Copied::default();
        match self.catch_up(made, &mut copied).await {
            // What is pinned here is pinned there by now, so the retention there may go over it.
            Ok(()) if !self.stop.is_cancelled() => {
                copied.deletions = cleanup::retain(self.to, made).await;
            }
            Ok(()) => {}
            Err(failure) => {
                tracing::warn!(error = %failure, "older backups that are missing in the second store could not be looked for, and its retention waits for the next run");
            }
        }
        Ok(copied)
    }

    /// Copies what is complete in the first store and missing in the second, as far as the retention there
    /// would keep it, and pins there what is pinned here.
    async fn catch_up(&self, made: Made<'_>, copied: &mut Copied) -> Result<(), Failure> {
        let database = &made.manifest.source.database;
        let here = catalog::list(self.from, database, self.layout).await?;
        let there = catalog::list(self.to, database, self.layout).await?;
        let own = missing::of_schedule(&here.complete, made.folder);
        self.pin(&own, &there.complete).await?;
        let missing = missing::missing(&own, &there.complete, made);
        copied.missing = missing.len();
        let mut failed = 0;
        for backup in missing {
            if self.stop.is_cancelled() || copied.older == CATCH_UP || failed == CATCH_UP {
                break;
            }
            let key = backup.folder.prefix();
            match self.backup(&backup.folder).await {
                Ok(()) => {
                    self.pin(&[backup], std::slice::from_ref(backup)).await?;
                    copied.older += 1;
                    copied.missing -= 1;
                    tracing::info!(%key, "an older backup was missing in the second store, and was copied");
                }
                Err(Error::Damaged(sentence)) => {
                    tracing::error!(%key, "{sentence}; an older backup is missing in the second store for that");
                }
                Err(Error::Refused(sentence)) => {
                    tracing::warn!(%key, "{sentence}; an older backup is missing in the second store for that");
                }
                Err(Error::Failed(failure)) => {
                    failed += 1;
                    tracing::warn!(%key, error = %failure, "an older backup is missing in the second store and could not be copied; the next run tries again");
                }
            }
        }
        Ok(())
    }

    /// Pins those in the second store that are in it and pinned in the first.
    async fn pin(&self, here: &[&Backup], there: &[Backup]) -> Result<(), Failure> {
        for backup in here.iter().filter(|it| it.is_pinned()) {
            let key = backup.folder.key(PINNED);
            let is_there = there.iter().any(|it| it.folder == backup.folder);
            if !is_there || self.size_there(&key).await?.is_some() {
                continue;
            }
            match self.from.get(&key, MARK_LIMIT).await {
                Ok(pin) => {
                    self.to.put(&key, pin).await?;
                }
                // Somebody has just unpinned it.
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Copies one backup, unless all of it is there.
    async fn backup(&self, folder: &Folder) -> Result<(), Error> {
        let key = folder.key(MANIFEST);
        let json = self.from.get(&key, manifest::SIZE_LIMIT).await?;
        let manifest = self.read(folder, &json)?;
        let Some(word) = self.take_place(folder, &json, &manifest).await? else {
            return Ok(());
        };
        tokio::select! {
            copied = self.objects(folder, &manifest) => copied?,
            never = activity::announce(self.to, folder, &word, activity::INTERVAL) => match never {},
        }
        if self.stop.is_cancelled() {
            return Err(stopped().into());
        }
        let finished = publish::finish(self.to, folder, &manifest, json).await;
        if let Err(failure) = finished {
            // Not proven, it must not count.
            for (key, error) in self.to.delete(&[key]).await {
                tracing::warn!(%key, %error, "the manifest in the second store was not proven, and could not be removed");
            }
            return Err(failure.into());
        }
        activity::withdraw(self.to, folder).await;
        Ok(())
    }

    fn read(&self, folder: &Folder, json: &[u8]) -> Result<Manifest, Error> {
        let manifest = Manifest::read(json).and_then(|it| {
            if folder.is_of_dump() {
                it.of_dump(&folder.prefix())
            } else {
                Ok(it)
            }
        });
        manifest.map_err(|error| match error {
            manifest::Error::Newer(_) => {
                let key = folder.key(MANIFEST);
                Error::Refused(format!("{key} in {}: {error}", self.from.location()))
            }
            damaged => Error::Damaged(format!(
                "{} in {} cannot be used: {damaged}",
                folder.key(MANIFEST),
                self.from.location()
            )),
        })
    }

    /// Copies everything but the manifest: the marks of the schedule and of the part, and what the manifest names.
    async fn objects(&self, folder: &Folder, manifest: &Manifest) -> Result<(), Error> {
        let found = Backup {
            folder: folder.clone(),
            objects: catalog::objects(self.from, folder).await?,
        };
        publish::mark(self.to, folder, found.schedule(), found.part()).await?;
        futures::stream::iter(manifest.objects())
            .map(|stream| self.stream(folder.key(&stream.name), stream))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    }

    async fn stream(&self, key: String, stream: &Stream) -> Result<(), Error> {
        let stored = Stored {
            size: stream.stored_bytes,
            sha256: stream.sha256.clone(),
            etag: None,
        };
        // An earlier try has copied it: to read it back is less than to send it again.
        if self.size_there(&key).await? == Some(stored.size)
            && self.to.verify(&key, &stored).await.is_ok()
        {
            return Ok(());
        }
        let mut body = match self.from.open(&key).await {
            Ok(body) => body,
            Err(error) if error.kind == Kind::NotFound => {
                return Err(Error::Damaged(format!(
                    "{key} is gone from {}, so the backup is damaged; make another one",
                    self.from.location()
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let mut upload = self.to.upload(&key, stored.size).await?;
        let mut sha256 = Sha256::new();
        let passing = async {
            while let Some(chunk) = body.try_next().await? {
                sha256.update(&chunk);
                upload.write(chunk).await?;
            }
            Ok::<_, StoreError>(())
        };
        let passed = tokio::select! {
            passed = passing => passed.map_err(Error::from),
            () = self.stop.cancelled() => Err(stopped().into()),
        };
        let read = hex::encode(sha256.finalize());
        let passed = match passed {
            Ok(()) if read != stored.sha256 => Err(self.differs(&key, &stored, &read).await),
            passed => passed,
        };
        if let Err(error) = passed {
            if let Err(error) = upload.abort().await {
                tracing::warn!(%key, %error, "an unfinished upload stays in the second store");
            }
            return Err(error);
        }
        let written = upload.complete().await?;
        self.to.verify(&key, &written).await?;
        Ok(())
    }

    /// Whether it was on the way, or lies there like that: that it is read once more tells.
    async fn differs(&self, key: &str, stored: &Stored, read: &str) -> Error {
        let location = self.from.location();
        match self.from.verify(key, stored).await {
            Err(error) if error.kind == Kind::Corrupt => Error::Damaged(format!(
                "{key} in {location} has the SHA-256 {read}, and had {} when it was stored: the backup is damaged there; make another one",
                stored.sha256
            )),
            Err(error) => error.into(),
            Ok(()) => Failure::try_again(format!(
                "{key} was changed on the way from {location}, where it is whole"
            ))
            .into(),
        }
    }

    /// How large an object is in the second store; none where there is none.
    async fn size_there(&self, key: &str) -> Result<Option<u64>, StoreError> {
        match self.to.stat(key).await {
            Ok(object) => Ok(Some(object.size)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn stopped() -> Failure {
    Failure::try_again("stopped before the copy was complete")
}
