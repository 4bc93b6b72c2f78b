//! Copies complete backups to a second store, one object after the other and never through the disk:
//! each is compared with its checksum on the way and proven where it arrives, and the manifest comes last.
//!
//! What fails or is stopped in the middle leaves no manifest there. The next copy of the backup keeps
//! the objects that are whole, and the retention there removes what nobody has finished after a day.

mod error;
pub mod missing;
mod older;
pub mod place;

use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::archive::key::{MANIFEST, encode};
use crate::archive::manifest::{self, Stream};
use crate::archive::{Folder, Layout, Manifest};
use crate::catalog::{self, Backup, activity};
use crate::cleanup::{self, Deletions, Made};
use crate::publish;
use crate::runtime::Failure;
use crate::storage::{Access, Kind, Storage, Stored};

pub use error::Error;

/// Objects of a backup that are copied at once.
const AT_ONCE: usize = 4;

/// What came of copying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Older backups that were missing there and are there now.
    pub older: usize,
    /// Those that are still missing, as far as the retention there would keep them; none: nobody knows, for one of
    /// the stores could not be listed.
    pub missing: Option<usize>,
    /// What the retention there did.
    pub deletions: Deletions,
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
        let probed = self.to.probe(&prefix, Access::Write).await;
        probed.map_err(Error::there)?;
        self.is_another_place(folder).await?;
        self.backup(folder).await?;
        tracing::info!(key = %folder.prefix(), to = %self.to.location(), "copied and verified");
        let mut copied = Copied::default();
        // What is pinned here is pinned there by then, so the retention there may go over it.
        if self.catch_up(made, &mut copied).await && !self.stop.is_cancelled() {
            copied.deletions = cleanup::retain(self.to, made).await;
        }
        Ok(copied)
    }

    /// Copies one backup, unless all of it is there.
    async fn backup(&self, folder: &Folder) -> Result<(), Error> {
        let key = folder.key(MANIFEST);
        let copied = self.whole(folder, &key).await;
        // Whatever failed, failed for that where somebody has deleted it: its manifest goes first.
        if copied.is_err()
            && let Err(error) = self.from.stat(&key).await
            && error.kind == Kind::NotFound
        {
            return Err(Error::Deleted(format!(
                "{} was deleted from {} before it was copied",
                folder.prefix().trim_end_matches('/'),
                self.from.location()
            )));
        }
        copied
    }

    async fn whole(&self, folder: &Folder, key: &str) -> Result<(), Error> {
        let json = self.from.get(key, manifest::SIZE_LIMIT).await;
        let json = json.map_err(Error::here)?;
        let manifest = self.read(folder, &json)?;
        let Some(word) = self.take_place(folder, &json, &manifest).await? else {
            return Ok(());
        };
        tokio::select! {
            copied = self.objects(folder, &manifest) => copied?,
            never = activity::announce(self.to, folder, &word, activity::INTERVAL) => match never {},
        }
        if self.stop.is_cancelled() {
            return Err(stopped());
        }
        let finished = publish::finish(self.to, folder, &manifest, json).await;
        if let Err(failure) = finished {
            // Not proven, it must not count.
            for (key, error) in self.to.delete(&[key.to_owned()]).await {
                tracing::warn!(%key, %error, "the manifest in the second store was not proven, and could not be removed");
            }
            return Err(Error::there(failure));
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
            objects: catalog::objects(self.from, folder)
                .await
                .map_err(Error::here)?,
        };
        let marked = publish::mark(self.to, folder, found.schedule(), found.part()).await;
        marked.map_err(Error::there)?;
        // The first that fails stops the others, and each ends what it has begun: dropped in its
        // middle, it could leave an upload behind.
        let stop = self.stop.child_token();
        let copying = futures::stream::iter(manifest.objects()).map(|stream| async {
            let copied = self.stream(folder.key(&stream.name), stream, &stop).await;
            if copied.is_err() {
                stop.cancel();
            }
            copied
        });
        let copied: Vec<_> = copying.buffer_unordered(AT_ONCE).collect().await;
        copied.into_iter().collect()
    }

    async fn stream(
        &self,
        key: String,
        stream: &Stream,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if stop.is_cancelled() {
            return Err(stopped());
        }
        let stored = Stored {
            size: stream.stored_bytes,
            sha256: stream.sha256.clone(),
            etag: None,
        };
        // An earlier try has copied it: to read it back is less than to send it again.
        if self.size_there(&key).await? == Some(stored.size) {
            let is_whole = tokio::select! {
                verified = self.to.verify(&key, &stored) => verified.is_ok(),
                () = stop.cancelled() => return Err(stopped()),
            };
            if is_whole {
                return Ok(());
            }
        }
        let mut body = match self.from.open(&key).await {
            Ok(body) => body,
            Err(error) if error.kind == Kind::NotFound => {
                return Err(Error::Damaged(format!(
                    "{key} is gone from {}, so the backup is damaged; make another one",
                    self.from.location()
                )));
            }
            Err(error) => return Err(Error::here(error)),
        };
        let upload = self.to.upload(&key, stored.size).await;
        let mut upload = upload.map_err(Error::there)?;
        let mut sha256 = Sha256::new();
        let passing = async {
            while let Some(chunk) = body.try_next().await.map_err(Error::here)? {
                sha256.update(&chunk);
                upload.write(chunk).await.map_err(Error::there)?;
            }
            Ok(())
        };
        let passed = tokio::select! {
            passed = passing => passed,
            () = stop.cancelled() => Err(stopped()),
        };
        let read = hex::encode(sha256.finalize());
        let written = match passed {
            Ok(()) if read != stored.sha256 => Err(self.differs(&key, &stored, &read).await),
            Ok(()) => match upload.complete_unless(stop).await {
                Ok(written) => written.ok_or_else(stopped),
                Err(error) => Err(Error::there(error)),
            },
            Err(error) => Err(error),
        };
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%key, %error, "an unfinished upload stays in the second store");
                }
                return Err(error);
            }
        };
        tokio::select! {
            verified = self.to.verify(&key, &written) => verified.map_err(Error::there),
            () = stop.cancelled() => Err(stopped()),
        }
    }

    /// Whether it was on the way, or lies there like that: that it is read once more tells.
    async fn differs(&self, key: &str, stored: &Stored, read: &str) -> Error {
        let location = self.from.location();
        match self.from.verify(key, stored).await {
            Err(error) if error.kind == Kind::Corrupt => Error::Damaged(format!(
                "{key} in {location} has the SHA-256 {read}, and had {} when it was stored: the backup is damaged there; make another one",
                stored.sha256
            )),
            Err(error) => Error::here(error),
            Ok(()) => Error::Failed(Failure::try_again(format!(
                "{key} was changed on the way from {location}, where it is whole"
            ))),
        }
    }

    /// How large an object is in the second store; none where there is none.
    async fn size_there(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.to.stat(key).await {
            Ok(object) => Ok(Some(object.size)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(Error::there(error)),
        }
    }
}

fn stopped() -> Error {
    Error::Failed(Failure::try_again("stopped before the copy was complete"))
}
