//! One backup with all that is known of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::listed::{Listed, bare, of_published, unfinished, with};
use crate::archive::Layout;
use crate::archive::{Manifest, key};
use crate::catalog::{self, Listing, One};
use crate::job::ShowJob;
use crate::runtime::{Failure, Shutdown, lines};
use crate::storage::{self, Access, Storage};

/// A backup, what it says of itself, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// As a list has it.
    pub backup: Listed,
    /// What it says of itself; none: it is not complete, its manifest cannot be read, or the published
    /// adapter has made it.
    pub manifest: Option<Manifest>,
    /// Its objects, sorted by key.
    pub objects: Vec<Content>,
}

/// One object of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its whole key.
    pub key: String,
    /// Its bytes in the store.
    pub size: u64,
}

impl From<&storage::Object> for Content {
    fn from(object: &storage::Object) -> Self {
        Self {
            key: object.key.clone(),
            size: object.size,
        }
    }
}

/// What a line has, so that it is told from the log's.
#[derive(Serialize, Deserialize)]
struct Line {
    shown: Shown,
}

/// Shows one backup; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn show(job: &ShowJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let config = job.store.config().map_err(Failure::refused)?;
    let stop = shutdown.token();
    let layout = job.layout.layout().map_err(Failure::refused)?;
    let looking = async {
        let storage = storage::connect(&config).await?;
        let database = &job.source.database;
        let prefix = format!("{}/", key::encode(database));
        storage.probe(&prefix, Access::Read).await?;
        of(storage.as_ref(), database, &layout, &job.key).await
    };
    let shown = tokio::select! {
        shown = looking => shown?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before it was shown")),
    };
    let sentence = format!("{} has {} objects", job.key, shown.objects.len());
    lines::print([Line { shown }])?;
    Ok(sentence)
}

/// The backup among the lines that a backuper has printed; those of its log are passed over.
#[must_use]
pub fn parse_shown<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Shown> {
    lines
        .find_map(|it| serde_json::from_str::<Line>(it).ok())
        .map(|it| it.shown)
}

async fn of(
    storage: &dyn Storage,
    database: &str,
    layout: &Layout,
    key: &str,
) -> Result<Shown, Failure> {
    let backup = match catalog::one(storage, database, layout, key).await? {
        One::Folder(backup) => backup,
        One::Published(published, object) => {
            let beside = storage.list(&object.key).await?;
            return Ok(Shown {
                backup: Listed {
                    pinned: Listing::of(database, beside).is_pinned(&object.key),
                    ..of_published(database, &published, &object)
                },
                manifest: None,
                objects: vec![Content::from(&object)],
            });
        }
    };
    let objects = backup.objects.iter().map(Content::from).collect();
    if !backup.is_complete() {
        return Ok(Shown {
            backup: unfinished(&backup, Timestamp::now()),
            manifest: None,
            objects,
        });
    }
    let bare = bare(&backup);
    let (backup, manifest) = match catalog::read_manifest(storage, &backup.folder).await {
        Ok(manifest) => (with(bare, &backup, &manifest), Some(manifest)),
        Err(catalog::Error::Storage(error)) => return Err(error.into()),
        Err(error) => {
            let problem = Some(error.to_string());
            (Listed { problem, ..bare }, None)
        }
    };
    Ok(Shown {
        backup,
        manifest,
        objects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStorage;

    #[tokio::test]
    async fn what_is_shown_is_read_back_from_its_line() {
        let storage = MemoryStorage::default();
        for key in [
            "app/2026-11-21-21-05-27-backup-1f3a9c0e/schema.dump",
            "app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-19-21-05-27-backup.sql",
        ] {
            storage.put(key, "xyz".into()).await.unwrap();
        }
        for (key, problem) in [
            (
                "app/2026-11-21-21-05-27-backup-1f3a9c0e",
                Some("being made"),
            ),
            ("app/2026-11-20-21-05-27-backup-1f3a9c0e", Some("manifest")),
            ("app/2026-11-19-21-05-27-backup.sql", None),
        ] {
            let shown = of(&storage, "app", &Layout::default(), key).await.unwrap();
            assert_eq!((shown.backup.key.as_str(), shown.objects.len()), (key, 1));
            assert_eq!(shown.objects[0].size, 3);
            let said = shown.backup.problem.as_deref();
            assert_eq!(said.is_some(), problem.is_some(), "{said:?}");
            assert!(
                said.unwrap_or_default()
                    .contains(problem.unwrap_or_default())
            );
            let line = serde_json::to_string(&Line {
                shown: shown.clone(),
            });
            let lines = ["2026-11-26T10:00:00Z  INFO x", &line.unwrap()];
            assert_eq!(parse_shown(lines.into_iter()), Some(shown));
        }
    }
}
