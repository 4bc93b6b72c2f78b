//! Deletes one backup that somebody has named, and nothing else.
//!
//! The manifest goes first, so that nothing half-deleted looks whole. Before the rest goes, it is looked
//! whether there is still another backup: a run's retention or another deletion may have removed it
//! meanwhile, and then the manifest is put back. Whether all is gone is looked for in the store afterwards.

mod permission;
pub mod pin;
mod removal;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::{Identity, key};
use crate::catalog::{self, One};
use crate::job::{BackupSource, DeleteJob};
use crate::runtime::{Failure, Shutdown, lines};
use crate::storage::{self, Access, Storage};

/// What was deleted, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The backup's folder, or the key of a single object.
    pub key: String,
    /// How many objects it had.
    pub objects: u64,
    /// Their bytes in the store.
    pub bytes: u64,
    /// Whether nothing was deleted, since that was to be validated alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub validate_only: bool,
}

/// What a line has, so that it is told from the log's.
#[derive(Serialize, Deserialize)]
struct Line {
    deleted: Deleted,
}

/// Deletes one backup; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn delete(job: &DeleteJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let config = job.store.config().map_err(Failure::refused)?;
    let looking = async {
        let storage = storage::connect(&config).await?;
        let prefix = format!("{}/", key::encode(&job.source.database));
        storage.probe(&prefix, Access::Read).await?;
        let found = permitted(storage.as_ref(), job).await?;
        Ok::<_, Failure>((storage, found))
    };
    let (storage, found) = tokio::select! {
        found = looking => found?,
        () = shutdown.token().cancelled() => {
            return Err(Failure::try_again("stopped before anything was deleted"));
        }
    };
    let layout = job.layout.layout().map_err(Failure::refused)?;
    // From here on to the end: half a deletion is no better than a whole one.
    if !job.validate_only {
        let source = identity(&job.source);
        let source = (!job.last).then_some(&source);
        removal::remove(storage.as_ref(), &found, source, &layout).await?;
    }
    let deleted = described(&found, job.validate_only);
    let Deleted {
        key,
        objects,
        bytes,
        validate_only,
    } = &deleted;
    let verb = if *validate_only {
        "nothing was deleted; it would be"
    } else {
        "deleted"
    };
    let sentence = format!("{verb} {key}: {objects} objects, {bytes} bytes");
    lines::print([Line { deleted }])?;
    Ok(sentence)
}

/// What was deleted, among the lines that a backuper has printed; those of its log are passed over.
#[must_use]
pub fn parse<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Deleted> {
    lines
        .find_map(|it| serde_json::from_str::<Line>(it).ok())
        .map(|it| it.deleted)
}

/// The backup that is named, where it may be deleted.
async fn permitted(storage: &dyn Storage, job: &DeleteJob) -> Result<One, Failure> {
    let database = &job.source.database;
    let layout = &job.layout.layout().map_err(Failure::refused)?;
    let found = catalog::one(storage, database, layout, &job.key).await?;
    let listing = catalog::list(storage, database, layout).await?;
    let now = now(storage, &found).await;
    let question = permission::Question {
        storage,
        listing: &listing,
        source: &identity(&job.source),
        last: job.last,
        now,
    };
    question.may_go(&found).await?;
    Ok(found)
}

/// By the store's clock, which says when something was written last, where it tells: with one that is
/// ahead of it, a run that is alive would look dead.
async fn now(storage: &dyn Storage, found: &One) -> Timestamp {
    let here = Timestamp::now();
    match found {
        One::Folder(backup) if !backup.is_complete() => {
            let survey = storage.survey(&backup.folder.prefix()).await;
            survey.clock.map_or(here, |it| it.min(here))
        }
        One::Folder(_) | One::Published(..) => here,
    }
}

/// Nobody asks the database which server it is on: its name has to do, as for a restore from elsewhere.
fn identity(source: &BackupSource) -> Identity {
    let BackupSource {
        host,
        port,
        database,
    } = source.clone();
    Identity {
        host,
        port,
        database,
        system: None,
    }
}

fn described(found: &One, validate_only: bool) -> Deleted {
    let (key, sizes): (String, Vec<u64>) = match found {
        One::Folder(backup) => (
            found.key(),
            backup.objects.iter().map(|it| it.size).collect(),
        ),
        One::Published(_, object) => (object.key.clone(), vec![object.size]),
    };
    Deleted {
        key,
        objects: sizes.len() as u64,
        bytes: sizes.iter().sum(),
        validate_only,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_read_back_from_its_line() {
        let deleted = Deleted {
            key: "app/2026-11-20-21-05-27-backup-1f3a9c0e".to_owned(),
            objects: 3,
            bytes: 70,
            validate_only: false,
        };
        let line = serde_json::to_string(&Line {
            deleted: deleted.clone(),
        });
        let line = line.unwrap();
        assert_eq!(
            line,
            r#"{"deleted":{"key":"app/2026-11-20-21-05-27-backup-1f3a9c0e","objects":3,"bytes":70}}"#
        );
        let lines = ["{\"level\":\"INFO\"}", &line];
        assert_eq!(parse(lines.into_iter()), Some(deleted));
    }
}
