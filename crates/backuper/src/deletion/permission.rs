//! Whether a backup may be deleted: whose it is, whether it is being made, and what would be left.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::removal::name;
use crate::archive::{Identity, Manifest, SourceId};
use crate::catalog::{self, Backup, Listing, One, origin};
use crate::runtime::Failure;
use crate::storage::Storage;

/// A backup is to be deleted, and somebody asks whether it may.
pub(super) struct Question<'a> {
    pub(super) storage: &'a dyn Storage,
    /// Everything of its database.
    pub(super) listing: &'a Listing,
    /// Whose backup it has to be.
    pub(super) source: &'a Identity,
    /// Whether it may be the last one.
    pub(super) last: bool,
    pub(super) now: Timestamp,
}

impl Question<'_> {
    /// Refuses what must stay.
    pub(super) async fn may_go(&self, found: &One) -> Result<(), Failure> {
        let backup = match found {
            One::Folder(backup) => backup,
            One::Published(_, object) => {
                let others = &self.listing.published;
                let is_another = others.iter().any(|(_, it)| it.key != object.key);
                // It says nothing of its server, so any of the database's name is another.
                return self.leaves(
                    found,
                    is_another || self.whole_other_than(None, None).await?,
                );
            }
        };
        let ids = origin::ids_of(self.storage, self.listing, self.source).await?;
        if !backup.is_complete() {
            return self.is_nobodys(found, backup, &ids);
        }
        self.is_its(found, backup, &ids).await?;
        let published = !self.listing.published.is_empty();
        let left = published || self.whole_other_than(Some(backup), Some(&ids)).await?;
        self.leaves(found, left)
    }

    fn leaves(&self, found: &One, another: bool) -> Result<(), Failure> {
        if another || self.last {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{} is the only complete backup of {}/{}: without it nothing could be restored; make another one first, or set DELETE_LAST=true; nothing was deleted",
            name(found),
            self.source,
            self.source.database
        )))
    }

    /// Whether the folder of a run that has not ended may be taken from it.
    fn is_nobodys(
        &self,
        found: &One,
        backup: &Backup,
        ids: &BTreeSet<SourceId>,
    ) -> Result<(), Failure> {
        if backup.is_active(self.now) {
            return Err(Failure::refused(format!(
                "{} is being made: something was written there at {}; cancel its run, or wait until it has ended; nothing was deleted",
                name(found),
                backup.modified()
            )));
        }
        if ids.contains(&backup.folder.source()) || backup.is_abandoned(self.now) {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{} has no manifest that says whose it is, and its run may still be alive; it can be deleted when nothing was written there for a day; nothing was deleted",
            name(found)
        )))
    }

    /// Whether the manifest says that the backup is the source's; where it cannot be read, whether the
    /// folder's name does.
    async fn is_its(
        &self,
        found: &One,
        backup: &Backup,
        ids: &BTreeSet<SourceId>,
    ) -> Result<(), Failure> {
        let of_its_server = ids.contains(&backup.folder.source());
        let refused = |whose: String| {
            Err(Failure::refused(format!(
                "{} is {whose}, and not of {}/{}; correct BACKUP_SOURCE or BACKUP_KEY; nothing was deleted",
                name(found),
                self.source,
                self.source.database
            )))
        };
        match catalog::read_manifest(self.storage, &backup.folder).await {
            Ok(manifest) => {
                let made_of = manifest.source.identity();
                if self.source.is_same_as(&made_of) || of_its_server {
                    return Ok(());
                }
                refused(format!("a backup of {made_of}/{}", made_of.database))
            }
            Err(catalog::Error::Storage(error)) => Err(error.into()),
            Err(_) if of_its_server => Ok(()),
            Err(error) => refused(format!("of nobody knows whom ({error})")),
        }
    }

    /// Whether there is a complete backup beside this one that could be restored: of these ids, or of any.
    async fn whole_other_than(
        &self,
        backup: Option<&Backup>,
        ids: Option<&BTreeSet<SourceId>>,
    ) -> Result<bool, Failure> {
        let own = backup.map(|it| it.folder.source());
        let counts = |it: &&Backup| {
            let id = it.folder.source();
            Some(*it) != backup && (own == Some(id) || ids.is_none_or(|ids| ids.contains(&id)))
        };
        for other in self.listing.complete.iter().filter(counts) {
            match catalog::read_manifest(self.storage, &other.folder).await {
                Ok(manifest) if is_whole(other, &manifest) => return Ok(true),
                Ok(_) => {}
                Err(catalog::Error::Storage(error)) => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "this backup does not count"),
            }
        }
        Ok(false)
    }
}

/// Whether every stream is there with its size.
fn is_whole(backup: &Backup, manifest: &Manifest) -> bool {
    manifest.streams.iter().all(|stream| {
        let key = backup.folder.key(&stream.name);
        let mut objects = backup.objects.iter();
        objects.any(|it| it.key == key && it.size == stream.stored_bytes)
    })
}
