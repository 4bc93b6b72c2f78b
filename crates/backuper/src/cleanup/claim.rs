//! The place in a store that is one run's alone.
//!
//! A folder has its source in its name, and a lock in the source's own server keeps two runs from one second.
//! The key of a dump names no server. So a run says first that the key is its own, by a word that nobody else
//! has, and only whose word stands there writes it or removes what lies there.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::archive::key::RUNNING;
use crate::archive::{Folder, Layout, RunId, SourceId};
use crate::catalog::{self, activity};
use crate::postgres::{Target, lock};
use crate::runtime::Failure;
use crate::storage::{self, Kind, Storage};

/// How long somebody who has seen that a key is free may take to say that it is his.
const SETTLED: Duration = Duration::from_secs(2);
/// Bytes of a word at most.
const LONGEST: usize = 4 << 10;

/// A place, and what its run says there.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Where the backup lies.
    pub folder: Folder,
    /// What the run writes to say that it is there; of a dump, what nobody else writes.
    pub word: String,
}

/// Finds a second that no other backup of this source has: its folder is ours alone. The snapshot is
/// taken in it or later, so that a time finds the backup that shows it. With a layout it is a key of a dump
/// in plain SQL, which nobody has either. Of an archive and a dump of one second nobody could say which is
/// the newer, so neither begins in the other's.
///
/// # Errors
/// A template that gives no key, and what the server or the store said.
pub async fn claim(
    session: &Client,
    storage: &dyn Storage,
    (target, source): (&Target, SourceId),
    dumps: Option<&Layout>,
) -> Result<Claim, Failure> {
    loop {
        let now = Timestamp::now();
        let archive = Folder::new(target.database(), now, source);
        // Seconds since 1970 fit until 2038; after that they wrap, and still tell two seconds apart.
        #[expect(clippy::cast_possible_truncation, reason = "wrapping is meant")]
        let second = now.as_second() as i32;
        if lock::claim_second(session, target, second).await? && is_free(storage, &archive).await? {
            let Some(layout) = dumps else {
                let word = activity::TEXT.to_owned();
                return Ok(Claim {
                    folder: archive,
                    word,
                });
            };
            let run = RunId::random();
            let key = layout.key(target.database(), now, &run);
            let key = key.map_err(|error| Failure::refused(error.to_string()))?;
            let claim = Claim {
                folder: Folder::of_dump(target.database(), now, source, &key),
                word: activity::word(&run, source),
            };
            if is_free(storage, &claim.folder).await?
                && claim.is_made(storage, layout.tells_runs()).await?
            {
                return Ok(claim);
            }
        }
        next_second(now).await;
    }
}

async fn is_free(storage: &dyn Storage, folder: &Folder) -> Result<bool, Failure> {
    Ok(catalog::objects(storage, folder).await?.is_empty())
}

impl Claim {
    /// Says that a free key is ours, and looks whether nobody else has said so meanwhile. With `tells_runs`
    /// the key is no other run's anyway.
    ///
    /// # Errors
    /// What the store said.
    pub async fn is_made(
        &self,
        storage: &dyn Storage,
        tells_runs: bool,
    ) -> Result<bool, storage::Error> {
        let key = self.folder.key(RUNNING);
        storage.put(&key, self.word.clone().into()).await?;
        if tells_runs {
            return Ok(true);
        }
        tokio::time::sleep(SETTLED).await;
        let ours = self.stands(storage).await?;
        let only = catalog::objects(storage, &self.folder).await?.len() == 1;
        if ours && !only {
            activity::withdraw(storage, &self.folder).await;
        }
        Ok(ours && only)
    }

    /// Whether the word that stands there is ours.
    ///
    /// # Errors
    /// What the store said.
    pub async fn stands(&self, storage: &dyn Storage) -> Result<bool, storage::Error> {
        match storage.get(&self.folder.key(RUNNING), LONGEST).await {
            Ok(word) => Ok(word == self.word),
            Err(error) if error.kind == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Waits until the second of this time is over, by this machine's clock.
pub async fn next_second(of: Timestamp) {
    let over = of.as_second().saturating_add(1);
    let now = Timestamp::now();
    if now.as_second() < over {
        let elapsed = u64::try_from(now.subsec_millisecond()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(1_001 - elapsed.min(1_000))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cleanup::clean_up;
    use crate::runtime::Deadline;
    use crate::storage::memory::MemoryStorage;

    fn claimed(server: &str) -> Claim {
        let source = SourceId::of_name(server, 5432, "app");
        let key = "prod/app/20261120-210527.sql.gz";
        Claim {
            folder: Folder::of_dump("app", Timestamp::UNIX_EPOCH, source, key),
            word: activity::word(&RunId::random(), source),
        }
    }

    #[tokio::test]
    async fn of_two_that_see_a_free_key_one_has_it_and_the_other_removes_nothing_of_it() {
        let storage = MemoryStorage::default();
        let (one, other) = (claimed("db1"), claimed("db2"));
        let (first, second) =
            tokio::join!(one.is_made(&storage, false), other.is_made(&storage, false));
        assert_ne!(first.unwrap(), second.unwrap());
        let (has, has_not) = if one.stands(&storage).await.unwrap() {
            (one, other)
        } else {
            (other, one)
        };
        let dump = has.folder.key(&has.folder.name());
        storage.put(&dump, "rows".into()).await.unwrap();
        let deadline = || Deadline::within(Duration::from_secs(5));
        clean_up(&storage, &has_not, deadline()).await;
        assert_eq!(storage.get(&dump, 9).await.unwrap(), "rows");
        clean_up(&storage, &has, deadline()).await;
        assert_eq!(storage.list("").await.unwrap(), []);
    }
}
