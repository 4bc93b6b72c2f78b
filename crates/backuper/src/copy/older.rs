//! Older backups that the second store lacks, and pins that it has not heard of.

use super::{Copied, Copying, Error, missing};
use crate::archive::key::PINNED;
use crate::catalog::{self, Backup};
use crate::cleanup::Made;
use crate::runtime::Verdict;
use crate::storage::Kind;

/// Older backups that one run copies beside its own, and after how many failures that may pass it leaves the rest to
/// the next one: the store may be out of reach.
const CATCH_UP: usize = 3;

/// How many one run tries: those that cannot be copied as things are keep none of the others from it.
const TRIED: usize = 20;

/// A mark has a few words in it, in bytes.
const MARK_LIMIT: usize = 4 << 10;

impl Copying<'_> {
    /// Copies what is complete in the first store and missing in the second, as far as the retention there
    /// would keep it, and pins there what is pinned here. Gives whether that is known of all: the retention there
    /// may remove what is not pinned yet.
    pub(super) async fn catch_up(&self, made: Made<'_>, copied: &mut Copied) -> bool {
        let database = &made.manifest.source.database;
        let here = catalog::list(self.from, database, self.layout).await;
        let there = catalog::list(self.to, database, self.layout).await;
        let (here, there) = match (here.map_err(Error::here), there.map_err(Error::there)) {
            (Ok(here), Ok(there)) => (here, there),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "older backups that are missing in the second store could not be looked for, and its retention waits for the next run");
                return false;
            }
        };
        let own = missing::counted_together(&here.complete, made.folder);
        let mut is_pinned = self.pin(&own, &there.complete).await;
        let missing = missing::missing(&own, &there.complete, made);
        let (mut left, mut failed) = (missing.len(), 0);
        for backup in missing.into_iter().take(TRIED) {
            if self.stop.is_cancelled() || copied.older == CATCH_UP || failed == CATCH_UP {
                break;
            }
            let key = backup.folder.prefix();
            match self.backup(&backup.folder).await {
                Ok(()) => {
                    is_pinned &= self.pin(&[backup], std::slice::from_ref(backup)).await;
                    copied.older += 1;
                    left -= 1;
                    tracing::info!(%key, "an older backup was missing in the second store, and was copied");
                }
                Err(Error::Deleted(sentence)) => {
                    left -= 1;
                    tracing::info!("{sentence}; it is missing nowhere any more");
                }
                Err(Error::Damaged(sentence)) => {
                    tracing::error!(%key, "{sentence}; an older backup is missing in the second store for that");
                }
                Err(Error::Refused(sentence)) => {
                    tracing::warn!(%key, "{sentence}; an older backup is missing in the second store for that");
                }
                Err(Error::Failed(failure)) => {
                    failed += usize::from(failure.verdict == Verdict::TryAgain);
                    tracing::warn!(%key, error = %failure, "an older backup is missing in the second store and could not be copied; the next run tries again");
                }
            }
        }
        copied.missing = Some(left);
        is_pinned
    }

    /// Pins those in the second store that are in it and pinned in the first; gives whether all are.
    async fn pin(&self, here: &[&Backup], there: &[Backup]) -> bool {
        let mut are_all = true;
        for backup in here.iter().filter(|it| it.is_pinned()) {
            if !there.iter().any(|it| it.folder == backup.folder) {
                continue;
            }
            if let Err(error) = self.pin_one(backup).await {
                are_all = false;
                tracing::warn!(key = %backup.folder.prefix(), %error, "a backup that is pinned in the first store could not be pinned in the second, whose retention waits for the next run");
            }
        }
        are_all
    }

    async fn pin_one(&self, backup: &Backup) -> Result<(), Error> {
        let key = backup.folder.key(PINNED);
        if self.size_there(&key).await?.is_some() {
            return Ok(());
        }
        match self.from.get(&key, MARK_LIMIT).await {
            Ok(pin) => {
                self.to.put(&key, pin).await.map_err(Error::there)?;
                Ok(())
            }
            // Somebody has just unpinned it.
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            Err(error) => Err(Error::here(error)),
        }
    }
}
