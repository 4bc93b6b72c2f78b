//! Whether a folder without a manifest is being written, or was left by a run that crashed.
//!
//! A long run says that it is there: it rewrites an object in its folder. All times are the store's
//! own, so no clock of ours decides what is dead.

use std::time::Duration;

use jiff::{Span, Timestamp};

use super::Backup;
use crate::archive::Folder;
use crate::archive::key::RUNNING;
use crate::storage::Storage;

/// How often a run says that it is there.
pub const INTERVAL: Duration = Duration::from_secs(600);

/// Minutes in which a run that is alive has written something: it may have been denied it twice.
const SILENCE_MINUTES: i64 = 30;

/// Hours after which a folder is a crashed run's: as long as a store may be out of reach.
const ABANDONED_HOURS: i64 = 24;

const TEXT: &str = "A backup is being written here. This object is rewritten every ten minutes and \
removed at the end; without manifest.json the folder is not a backup.\n";

/// Says in the folder that the run is there, after each interval.
pub async fn announce(storage: &dyn Storage, folder: &Folder, every: Duration) -> ! {
    let key = folder.key(RUNNING);
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = storage.put(&key, TEXT.into()).await {
            tracing::warn!(%error, "this run could not say that it is there; it tries again");
        }
    }
}

/// Removes what [`announce`] has written.
pub async fn withdraw(storage: &dyn Storage, folder: &Folder) {
    for (key, error) in storage.delete(&[folder.key(RUNNING)]).await {
        tracing::warn!(%key, %error, "not removed; it goes with the backup");
    }
}

impl Backup {
    /// Whether somebody writes in it, as far as this moment of the store's clock shows.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.modified() >= silent_before(now)
    }

    /// Whether nobody has written in it for so long that its run must have crashed.
    #[must_use]
    pub fn is_abandoned(&self, now: Timestamp) -> bool {
        self.modified() < abandoned_before(now)
    }
}

/// Where nothing was written since this, no run that reaches the store is at work.
#[must_use]
pub fn silent_before(now: Timestamp) -> Timestamp {
    now - Span::new().minutes(SILENCE_MINUTES)
}

/// What was last written before this is a crashed run's.
#[must_use]
pub fn abandoned_before(now: Timestamp) -> Timestamp {
    now - Span::new().hours(ABANDONED_HOURS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::SourceId;
    use crate::storage::memory::MemoryStorage;

    /// F49.
    #[tokio::test]
    async fn a_run_says_again_and_again_that_it_is_there_and_withdraws_it() {
        let storage = MemoryStorage::default();
        let source = SourceId::of_name("db", 5432, "app");
        let folder = Folder::new("app", Timestamp::UNIX_EPOCH, source);
        let every = Duration::from_millis(5);
        let announcing = announce(&storage, &folder, every);
        tokio::pin!(announcing);
        let mut seen = Vec::new();
        while seen.len() < 2 {
            assert!(tokio::time::timeout(every, &mut announcing).await.is_err());
            let listed = storage.list(&folder.prefix()).await.unwrap();
            seen.extend(listed.first().map(|it| it.modified));
            seen.dedup();
        }
        withdraw(&storage, &folder).await;
        assert!(storage.list(&folder.prefix()).await.unwrap().is_empty());
    }
}
