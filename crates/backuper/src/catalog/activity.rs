//! Whether a folder without a manifest is being written, or was left by a run that crashed, and whether
//! a backup is being restored.
//!
//! A long run says that it is there: it rewrites an object in its folder. So does a restore from its first
//! moment on. All times are the store's own, so no clock of ours decides what is dead.

use std::time::Duration;

use jiff::{Span, Timestamp};

use super::Backup;
use crate::archive::key::{RUNNING, restoring};
use crate::archive::{Folder, RunId, SourceId};
use crate::storage::{Kind, Object, Storage};

/// How often a run says that it is there.
pub const INTERVAL: Duration = Duration::from_secs(600);

/// Minutes in which a run that is alive has written something: it may have been denied it twice.
const SILENCE_MINUTES: i64 = 30;

/// Hours after which a folder is a crashed run's: as long as a store may be out of reach.
const ABANDONED_HOURS: i64 = 24;

/// What a run says in its folder.
pub const TEXT: &str = "A backup is being written here. This object is rewritten every ten minutes and \
removed at the end; without manifest.json the folder is not a backup.\n";

/// What a run says beside a dump: what nobody else says, and of which source it is, so that what is left of it
/// has an owner.
#[must_use]
pub fn word(run: &RunId, source: SourceId) -> String {
    format!("{run} {source}\n{TEXT}")
}

/// What whoever copies a dump says beside it, by what only that backup has: a try that was cut off is another
/// one's to go on with.
#[must_use]
pub fn word_of_copy(backup: &str, source: SourceId) -> String {
    format!("copy-{backup} {source}\n{TEXT}")
}

/// The source that a run has said beside a dump.
#[must_use]
pub fn source_of(word: &[u8]) -> Option<SourceId> {
    let text = std::str::from_utf8(word).ok()?;
    let (_run, source) = text.lines().next()?.split_once(' ')?;
    source.parse().ok()
}

/// Says in the folder that the run is there, after each interval.
pub async fn announce(storage: &dyn Storage, folder: &Folder, word: &str, every: Duration) -> ! {
    let key = folder.key(RUNNING);
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = storage.put(&key, word.to_owned().into()).await {
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

const RESTORE_TEXT: &str = "This backup is being restored, so no retention removes it. This object is rewritten \
every ten minutes and removed at the end; when nobody has written it for half an hour, it says nothing any more.\n";

/// How long a restore waits for the store to take its word.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(10);

/// A restore that says beside what it reads that it is there, as far as it may write there.
#[derive(Debug)]
pub struct Restoring<'a> {
    storage: &'a dyn Storage,
    key: String,
}

impl<'a> Restoring<'a> {
    /// Says it for the first time: behind `place`, the prefix of a folder or the key of a single object with
    /// a dot, and by a name that no other restore has.
    pub async fn announce(storage: &'a dyn Storage, place: &str) -> Self {
        let now = Timestamp::now().as_nanosecond();
        let name = format!("{now:x}-{:x}", std::process::id());
        let key = format!("{place}{}", restoring(&name));
        let it = Self { storage, key };
        it.say().await;
        it
    }

    /// Says it again after each interval.
    pub async fn renew(&self, every: Duration) -> ! {
        loop {
            tokio::time::sleep(every).await;
            self.say().await;
        }
    }

    /// Says it no more.
    pub async fn withdraw(self) {
        let keys = [self.key];
        let left = tokio::time::timeout(ANNOUNCED_WITHIN, self.storage.delete(&keys));
        for (key, error) in left.await.unwrap_or_default() {
            tracing::debug!(%key, %error, "not removed; it says nothing any more after half an hour");
        }
    }

    /// A restore that may not say that it is there, or cannot, is a restore all the same.
    async fn say(&self) {
        let said = self.storage.put(&self.key, RESTORE_TEXT.into());
        match tokio::time::timeout(ANNOUNCED_WITHIN, said).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if matches!(error.kind, Kind::Denied | Kind::NotPermitted) => {
                tracing::debug!(%error, "this restore may not say that it is there, so a retention does not wait for it");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "this restore could not say that it is there, so a retention does not wait for it");
            }
            Err(_too_long) => {
                tracing::warn!(key = %self.key, "this restore could not say in time that it is there, so a retention does not wait for it");
            }
        }
    }
}

/// Whether a restore that wrote this is under way, as far as this moment of the store's clock shows. What
/// is of the future, the store's clock has written when it was wrong.
#[must_use]
pub fn is_fresh(mark: &Object, now: Timestamp) -> bool {
    mark.modified >= silent_before(now) && !super::is_of_the_future(mark.modified, now)
}

impl Backup {
    /// Why a backup must stay whose manifest was just deleted, by what has come since it was listed: who
    /// restores or pins it looks after that whether the manifest is still there, so of the two one at least
    /// sees the other. None: nobody has come.
    ///
    /// # Errors
    /// What the store said.
    pub async fn wanted_since(
        &self,
        storage: &dyn Storage,
    ) -> Result<Option<&'static str>, crate::storage::Error> {
        let now = Self {
            folder: self.folder.clone(),
            objects: super::objects(storage, &self.folder).await?,
        };
        if now.is_pinned() && !self.is_pinned() {
            return Ok(Some("somebody has pinned it meanwhile"));
        }
        let before: Vec<&Object> = self.restores().collect();
        let is_new = now.restores().any(|it| !before.contains(&it));
        Ok(is_new.then_some("somebody has begun to restore it meanwhile"))
    }

    /// Whether it is being restored, as far as this moment of the store's clock shows.
    #[must_use]
    pub fn is_being_restored(&self, now: Timestamp) -> bool {
        self.restores().any(|it| is_fresh(it, now))
    }

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
        let announcing = announce(&storage, &folder, TEXT, every);
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

    #[tokio::test]
    async fn a_restore_says_that_it_is_there_and_old_words_count_for_nothing() {
        let storage = MemoryStorage::default();
        let source = SourceId::of_name("db", 5432, "app");
        let folder = Folder::new("app", Timestamp::UNIX_EPOCH, source);
        storage
            .put(&folder.key("manifest.json"), "x".into())
            .await
            .unwrap();
        let seen = async || Backup {
            folder: folder.clone(),
            objects: storage.list(&folder.prefix()).await.unwrap(),
        };
        let before = seen().await;
        let restoring = Restoring::announce(&storage, &folder.prefix()).await;
        let during = seen().await;
        let mark = during.restores().next().unwrap().modified;
        let minutes = |it: i64| mark + Span::new().minutes(it);
        for (now, fresh) in [
            (0, true),
            (29, true),
            (31, false),
            (-59, true),
            (-61, false),
        ] {
            assert_eq!(during.is_being_restored(minutes(now)), fresh, "{now}");
        }
        assert_eq!(
            during.modified(),
            before.modified(),
            "no part of the backup"
        );
        restoring.withdraw().await;
        assert!(!seen().await.is_being_restored(minutes(0)));
    }
}
