//! Pins one backup that somebody has named, so that no retention and no deletion removes it, or takes the
//! pin away.
//!
//! A pin is an object of its own, which a listing shows. After it is there it is looked whether the backup
//! still is: a retention that has not seen the pin removes the manifest first, and looks for pins then.

use serde::{Deserialize, Serialize};

use super::permission::Question;
use super::{identity, now};
use crate::archive::key::{self, MANIFEST, PINNED};
use crate::catalog::{self, One};
use crate::job::PinJob;
use crate::runtime::{Failure, Shutdown, lines};
use crate::storage::{self, Access, Kind, Storage};

const TEXT: &str = "This backup is pinned: no retention removes it while this object is here.\n";

/// Whether a backup is pinned now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The backup's folder, or the key of a single object.
    pub key: String,
    /// Whether it is.
    pub is_pinned: bool,
    /// Whether it was so before.
    pub unchanged: bool,
}

/// What a line has, so that it is told from the log's.
#[derive(Serialize, Deserialize)]
struct Line {
    pin: Pinned,
}

/// Pins one backup; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn pin(job: &PinJob, shutdown: &Shutdown) -> Result<String, Failure> {
    set(job, true, shutdown).await
}

/// Takes a backup's pin away; gives the sentence that ends the log.
///
/// # Errors
/// As [`pin`].
pub async fn unpin(job: &PinJob, shutdown: &Shutdown) -> Result<String, Failure> {
    set(job, false, shutdown).await
}

/// What became of a pin, among the lines that a backuper has printed; those of its log are passed over.
#[must_use]
pub fn parse<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Pinned> {
    lines
        .find_map(|it| serde_json::from_str::<Line>(it).ok())
        .map(|it| it.pin)
}

async fn set(job: &PinJob, is_pinned: bool, shutdown: &Shutdown) -> Result<String, Failure> {
    let config = job.store.config().map_err(Failure::refused)?;
    let setting = async {
        let storage = storage::connect(&config).await?;
        let prefix = format!("{}/", key::encode(&job.source.database));
        storage.probe(&prefix, Access::Read).await?;
        changed(storage.as_ref(), job, is_pinned).await
    };
    let pin = tokio::select! {
        pin = setting => pin?,
        () = shutdown.token().cancelled() => {
            return Err(Failure::try_again("stopped before the pin was known to be as asked; ask again"));
        }
    };
    let sentence = match (pin.is_pinned, pin.unchanged) {
        (true, false) => format!("pinned {}", pin.key),
        (true, true) => format!("{} was pinned already", pin.key),
        (false, false) => format!("unpinned {}", pin.key),
        (false, true) => format!("{} was not pinned", pin.key),
    };
    lines::print([Line { pin }])?;
    Ok(sentence)
}

async fn changed(storage: &dyn Storage, job: &PinJob, is_pinned: bool) -> Result<Pinned, Failure> {
    let database = &job.source.database;
    let layout = &job.layout.layout().map_err(Failure::refused)?;
    let found = catalog::one(storage, database, layout, &job.key).await?;
    let listing = catalog::list(storage, database, layout).await?;
    let question = Question {
        storage,
        listing: &listing,
        source: &identity(&job.source),
        last: true,
        now: now(storage, &found).await,
    };
    question.may_be_pinned(&found).await?;
    let (pin, body) = match &found {
        One::Folder(backup) => (backup.folder.key(PINNED), backup.folder.key(MANIFEST)),
        One::Published(_, object) => (format!("{}.{PINNED}", object.key), object.key.clone()),
    };
    let was = question.is_pinned(&found);
    if is_pinned && !was {
        let stored = storage.put(&pin, TEXT.into()).await?;
        storage.verify(&pin, &stored).await?;
    }
    if is_pinned && !is_there(storage, &body).await? {
        let left = storage.delete(&[pin]).await;
        if let Some((key, error)) = left.into_iter().next() {
            tracing::warn!(%key, %error, "the pin of a backup that is gone stays");
        }
        return Err(Failure::refused(format!(
            "{} was deleted just now, by a retention or by hand, so it is not pinned",
            found.key()
        )));
    }
    if !is_pinned && was {
        let left = storage.delete(std::slice::from_ref(&pin)).await;
        if let Some((_, error)) = left.into_iter().next() {
            return Err(error.into());
        }
        if is_there(storage, &pin).await? {
            return Err(Failure::try_again(format!(
                "{pin} was deleted and is still there, so the backup is still pinned; ask again"
            )));
        }
    }
    Ok(Pinned {
        key: found.key(),
        is_pinned,
        unchanged: was == is_pinned,
    })
}

async fn is_there(storage: &dyn Storage, key: &str) -> Result<bool, Failure> {
    match storage.stat(key).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == Kind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::archive::Layout;
    use crate::catalog::whole::tests::{put, server};
    use crate::runtime::settings::read_from;
    use crate::storage::memory::MemoryStorage;

    const OLD: &str = "app/1969-11-18-21-05-27-backup.sql";

    async fn asked(
        storage: &MemoryStorage,
        host: &str,
        key: &str,
        is_pinned: bool,
    ) -> Result<bool, String> {
        let source = format!("{host}:5432/app");
        let job: PinJob =
            read_from([("BACKUP_SOURCE", source.as_str()), ("BACKUP_KEY", key)]).unwrap();
        let pinned = changed(storage, &job, is_pinned).await;
        let pinned = pinned.map_err(|it| it.sentence)?;
        assert_eq!((pinned.key.as_str(), pinned.is_pinned), (key, is_pinned));
        Ok(!pinned.unchanged)
    }

    #[tokio::test]
    async fn a_pin_is_an_object_that_a_listing_shows_and_comes_and_goes_as_often_as_asked() {
        let storage = MemoryStorage::default();
        let made = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        storage.put(OLD, "old".into()).await.unwrap();
        let folder = made.folder.prefix();
        let folder = folder.trim_end_matches('/');
        let pinned = async || {
            let listing = catalog::list(&storage, "app", &Layout::default())
                .await
                .unwrap();
            (listing.complete[0].is_pinned(), listing.is_pinned(OLD))
        };
        for (key, seen) in [(folder, (true, false)), (OLD, (true, true))] {
            assert_eq!(asked(&storage, "db", key, true).await, Ok(true));
            assert_eq!(asked(&storage, "db", key, true).await, Ok(false));
            assert_eq!(pinned().await, seen);
        }
        for key in [folder, OLD] {
            assert_eq!(asked(&storage, "db", key, false).await, Ok(true));
            assert_eq!(asked(&storage, "db", key, false).await, Ok(false));
        }
        assert_eq!(pinned().await, (false, false));
    }

    #[tokio::test]
    async fn neither_anothers_backup_is_pinned_nor_what_is_none() {
        let storage = MemoryStorage::default();
        let made = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        let folder = made.folder.prefix();
        let folder = folder.trim_end_matches('/');
        let refused = asked(&storage, "elsewhere", folder, true).await;
        let told = refused.unwrap_err();
        assert!(
            told.contains("app of another server") && !told.contains("db:5432"),
            "{told}"
        );
        storage.delete(&[made.folder.key(MANIFEST)]).await;
        let refused = asked(&storage, "db", folder, true).await;
        assert!(refused.unwrap_err().contains("no manifest"));
        assert!(asked(&storage, "db", OLD, true).await.is_err());
        let listing = catalog::list(&storage, "app", &Layout::default())
            .await
            .unwrap();
        assert!(!listing.incomplete[0].is_pinned());
    }
}
