//! Whether a backup may be deleted: whose it is, whether it is being made, and what would be left.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::archive::{Identity, Layout, SourceId};
use crate::catalog::{self, Backup, Listing, One, activity, damage_of_published, origin};
use crate::runtime::Failure;
use crate::storage::{Object, Storage};

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

/// Whether there is now a complete backup of the source beside this one, whose manifest is gone.
pub(super) async fn another_is_left(
    storage: &dyn Storage,
    source: &Identity,
    backup: &Backup,
    layout: &Layout,
) -> Result<bool, Failure> {
    let listing = catalog::list(storage, &source.database, layout).await?;
    let ids = origin::ids_of(storage, &listing, source).await?;
    let question = Question {
        storage,
        listing: &listing,
        source,
        last: false,
        now: Timestamp::now(),
    };
    question.whole_other_than(Some(backup), &ids).await
}

impl Question<'_> {
    /// Whether somebody has pinned it.
    pub(super) fn is_pinned(&self, found: &One) -> bool {
        match found {
            One::Folder(backup) => backup.is_pinned(),
            One::Published(_, object) => self.listing.is_pinned(&object.key),
        }
    }

    /// Refuses to pin, or to unpin, what is no backup, or another source's.
    pub(super) async fn may_be_pinned(&self, found: &One) -> Result<(), Failure> {
        // Of the published adapter's nothing says of which server it is.
        let One::Folder(backup) = found else {
            return Ok(());
        };
        if !backup.is_complete() {
            return Err(Failure::refused(format!(
                "{} has no manifest, so it is no backup that could be pinned",
                found.key()
            )));
        }
        let ids = origin::ids_of(self.storage, self.listing, self.source).await?;
        self.is_its(found, backup, &ids, "nothing was changed")
            .await
    }

    /// Refuses what somebody wants to stay, or is reading.
    fn is_free(&self, found: &One) -> Result<(), Failure> {
        if self.is_pinned(found) {
            return Err(Failure::refused(format!(
                "{} is pinned; unpin it first if it may go; nothing was deleted",
                found.key()
            )));
        }
        let fresh = |it: &Object| activity::is_fresh(it, self.now);
        let is_read = match found {
            One::Folder(backup) => backup.restores().any(fresh),
            One::Published(_, object) => self.listing.restores(&object.key).any(fresh),
        };
        if is_read {
            return Err(Failure::refused(format!(
                "{} is being restored; wait until that has ended, or for half an hour where it was killed; nothing was deleted",
                found.key()
            )));
        }
        Ok(())
    }

    /// Refuses what must stay.
    pub(super) async fn may_go(&self, found: &One) -> Result<(), Failure> {
        self.is_free(found)?;
        self.is_unlocked(found).await?;
        let backup = match found {
            One::Folder(backup) => backup,
            One::Published(_, object) => {
                let mut others = self.listing.published.iter();
                let is_another =
                    others.any(|(_, it)| it.key != object.key && damage_of_published(it).is_none());
                let ids = origin::ids_of(self.storage, self.listing, self.source).await?;
                let left = is_another || self.whole_other_than(None, &ids).await?;
                return self.leaves(found, left);
            }
        };
        let ids = origin::ids_of(self.storage, self.listing, self.source).await?;
        if !backup.is_complete() {
            return self.is_nobodys(found, backup, &ids);
        }
        self.is_its(found, backup, &ids, "nothing was deleted")
            .await?;
        // What the published adapter has made does not count: nothing says of which server it is, and
        // nothing whether it is whole.
        let left = self.whole_other_than(Some(backup), &ids).await?;
        self.leaves(found, left)
    }

    /// Where objects have versions, a deletion would hide what is locked, and free nothing.
    async fn is_unlocked(&self, found: &One) -> Result<(), Failure> {
        match found.locked(self.storage, self.now).await? {
            None => Ok(()),
            Some(locked) => Err(Failure::refused(format!(
                "{} is locked in the store {locked}; it can be deleted after that; nothing was deleted",
                found.key()
            ))),
        }
    }

    fn leaves(&self, found: &One, another: bool) -> Result<(), Failure> {
        if another || self.last {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{} is the only complete backup of {}/{}: without it nothing could be restored; make another one first, or set DELETE_LAST=true; nothing was deleted",
            found.key(),
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
                "{} is being made: something was written there at {}; cancel its run, or wait until it has ended, or for half an hour where it was killed; nothing was deleted",
                found.key(),
                backup.modified()
            )));
        }
        if ids.contains(&backup.folder.source()) || backup.is_abandoned(self.now) {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{} has no manifest that says whose it is, and its run may still be alive; it can be deleted when nothing was written there for a day; nothing was deleted",
            found.key()
        )))
    }

    /// Whether the manifest says that the backup is the source's; where it cannot be read, whether the
    /// folder's name does.
    async fn is_its(
        &self,
        found: &One,
        backup: &Backup,
        ids: &BTreeSet<SourceId>,
        nothing: &str,
    ) -> Result<(), Failure> {
        let of_its_server = ids.contains(&backup.folder.source());
        let refused = |whose: String| {
            Err(Failure::refused(format!(
                "{} is {whose}, and not of {}/{}; correct BACKUP_SOURCE or BACKUP_KEY; {nothing}",
                found.key(),
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
                // Of which server, is not for everybody who may name a key.
                refused(format!(
                    "a backup of a database {} of another server",
                    made_of.database
                ))
            }
            Err(catalog::Error::Storage(error)) => Err(error.into()),
            Err(_) if of_its_server => Ok(()),
            Err(error) => refused(format!("of nobody knows whom ({error})")),
        }
    }

    /// Whether there is a complete backup of these ids beside this one that could be restored.
    async fn whole_other_than(
        &self,
        backup: Option<&Backup>,
        ids: &BTreeSet<SourceId>,
    ) -> Result<bool, Failure> {
        let own = backup.map(|it| it.folder.source());
        // A part of the database stands for no whole one, and for no other part.
        let part = backup.and_then(Backup::part);
        let counts = |it: &&Backup| {
            let id = it.folder.source();
            let has_it = it.part().is_none() || it.part() == part;
            Some(*it) != backup && has_it && (own == Some(id) || ids.contains(&id))
        };
        for other in self.listing.complete.iter().filter(counts) {
            if other.is_whole(self.storage).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::whole::tests::{put, server};
    use crate::storage::memory::MemoryStorage;

    const EMPTY: &str = "app/1969-11-19-21-05-27-backup.sql";
    const OLD: &str = "app/1969-11-18-21-05-27-backup.sql";

    async fn refusal(storage: &MemoryStorage, host: &str, key: &str) -> Option<String> {
        let source = server(host);
        let layout = &Layout::default();
        let listing = catalog::list(storage, "app", layout).await.unwrap();
        let found = catalog::one(storage, "app", layout, key).await.unwrap();
        let question = Question {
            storage,
            listing: &listing,
            source: &source,
            last: false,
            now: Timestamp::now(),
        };
        let answer = question.may_go(&found).await;
        answer.err().map(|it| it.sentence)
    }

    #[track_caller]
    fn is_the_last(refusal: Option<&str>) {
        let said = refusal.unwrap_or("it may go");
        assert!(said.contains("the only complete backup"), "{said}");
    }

    #[tokio::test]
    async fn what_the_published_adapter_has_made_leaves_no_folder_without_need() {
        let storage = MemoryStorage::default();
        let made = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        storage.put(EMPTY, "".into()).await.unwrap();
        storage.put(OLD, "old".into()).await.unwrap();
        let made = made.folder.prefix();
        is_the_last(refusal(&storage, "db", &made).await.as_deref());
        let later = Timestamp::UNIX_EPOCH + jiff::Span::new().hours(1);
        put(&storage, &server("db"), later).await;
        assert_eq!(refusal(&storage, "db", &made).await, None);
    }

    #[tokio::test]
    async fn for_the_published_adapters_another_of_some_bytes_counts_or_a_folder_of_the_source() {
        let storage = MemoryStorage::default();
        storage.put(OLD, "old".into()).await.unwrap();
        storage.put(EMPTY, "".into()).await.unwrap();
        put(&storage, &server("elsewhere"), Timestamp::UNIX_EPOCH).await;
        is_the_last(refusal(&storage, "db", OLD).await.as_deref());
        assert_eq!(refusal(&storage, "db", EMPTY).await, None);
        let later = Timestamp::UNIX_EPOCH + jiff::Span::new().hours(1);
        put(&storage, &server("db"), later).await;
        assert_eq!(refusal(&storage, "db", OLD).await, None);
    }

    #[tokio::test]
    async fn neither_what_is_pinned_is_deleted_nor_what_is_being_restored() {
        let storage = MemoryStorage::default();
        let made = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        let later = Timestamp::UNIX_EPOCH + jiff::Span::new().hours(1);
        put(&storage, &server("db"), later).await;
        storage.put(OLD, "old".into()).await.unwrap();
        let folder = made.folder.prefix();
        for (key, beside) in [(folder.as_str(), folder.clone()), (OLD, format!("{OLD}."))] {
            for (mark, words) in [("pinned", "unpin it"), ("restoring.1f", "being restored")] {
                assert_eq!(refusal(&storage, "db", key).await, None);
                let mark = format!("{beside}{mark}");
                storage.put(&mark, "".into()).await.unwrap();
                let said = refusal(&storage, "db", key).await.unwrap();
                assert!(said.contains(words), "{said}");
                storage.delete(&[mark]).await;
            }
        }
    }
}
