//! The backups of a database, or the newest of each database, or one of them: for whoever asks, as lines
//! of JSON on standard output.

mod listed;
mod newest;
mod several;
mod shown;

use futures::StreamExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::{Layout, key};
use crate::catalog;
use crate::job::ListJob;
use crate::runtime::{Failure, Shutdown, lines};
use crate::storage::{self, Access, Storage};

pub use listed::Listed;
pub use shown::{Content, Shown, parse_shown, show};

use listed::{described, of_published, unfinished};

/// Manifests that are read at once.
const AT_ONCE: usize = 16;
/// How many are listed: the newest.
const MOST: usize = 500;

/// What a line has, so that it is told from the log's.
#[derive(Serialize, Deserialize)]
struct Line {
    backup: Listed,
}

/// Lists the backups; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn list(job: &ListJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let config = job.store.config().map_err(Failure::refused)?;
    let layout = job.layout.layout().map_err(Failure::refused)?;
    let stop = shutdown.token();
    let listing = async {
        let storage = storage::connect(&config).await?;
        let storage = storage.as_ref();
        match &job.source {
            Some(source) if job.several => {
                storage.probe("", Access::Read).await?;
                several::all(storage, &source.database, &layout).await
            }
            Some(source) => {
                let prefix = format!("{}/", key::encode(&source.database));
                storage.probe(&prefix, Access::Read).await?;
                all(storage, &source.database, &layout).await
            }
            None => {
                storage.probe("", Access::Read).await?;
                newest::of_each(storage).await
            }
        }
    };
    let listed = tokio::select! {
        listed = listing => listed?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before all were listed")),
    };
    lines::print(listed.iter().map(|it| Line { backup: it.clone() }))?;
    Ok(match &job.source {
        Some(source) => format!("{} backups of {source}", listed.len()),
        None => format!("the newest backups of {} databases", listed.len()),
    })
}

/// The backups among the lines that a backuper has printed; those of its log are passed over.
#[must_use]
pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Listed> {
    let lines = lines.filter_map(|it| serde_json::from_str::<Line>(it).ok());
    lines.map(|it| it.backup).collect()
}

/// All of a database, the newest first.
async fn all(
    storage: &dyn Storage,
    database: &str,
    layout: &Layout,
) -> Result<Vec<Listed>, Failure> {
    let listing = catalog::list(storage, database, layout).await?;
    let now = Timestamp::now();
    let complete = listing.complete.iter().take(MOST);
    let read = complete.map(|it| described(storage, it));
    let mut all: Vec<Listed> = futures::stream::iter(read)
        .buffered(AT_ONCE)
        .collect()
        .await;
    all.extend(listing.incomplete.iter().map(|it| unfinished(it, now)));
    let published = listing.published.iter();
    all.extend(published.map(|(published, object)| Listed {
        pinned: listing.is_pinned(&object.key),
        ..of_published(database, published, object)
    }));
    all.sort_by_key(|it| std::cmp::Reverse(it.started_at));
    all.truncate(MOST);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::key::Published;
    use crate::catalog::whole::tests::{put, server};
    use crate::storage::Object;
    use crate::storage::memory::MemoryStorage;

    #[tokio::test]
    async fn what_is_no_whole_backup_says_why() {
        let storage = MemoryStorage::default();
        for key in [
            "app/2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-21-21-05-27-backup-1f3a9c0e/schema.dump",
            "app/2026-11-19-21-05-27-backup.sql",
        ] {
            storage.put(key, "x".into()).await.unwrap();
        }
        let listed = all(&storage, "app", &Layout::default()).await.unwrap();
        let keys: Vec<_> = listed.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "app/2026-11-21-21-05-27-backup-1f3a9c0e",
                "app/2026-11-20-21-05-27-backup-1f3a9c0e",
                "app/2026-11-19-21-05-27-backup.sql",
            ]
        );
        let problems: Vec<_> = listed.iter().map(|it| it.problem.is_some()).collect();
        assert_eq!(problems, [true, true, false]);
    }

    #[tokio::test]
    async fn a_backup_of_which_something_is_missing_or_cut_says_what() {
        let storage = MemoryStorage::default();
        let made = put(&storage, &server("db"), Timestamp::UNIX_EPOCH).await;
        let stream = made.folder.key("schema.dump");
        let empty = "app/1969-11-19-21-05-27-backup.sql";
        storage.put(empty, "".into()).await.unwrap();
        let problems = async || -> Vec<Option<String>> {
            let listed = all(&storage, "app", &Layout::default()).await.unwrap();
            listed.into_iter().map(|it| it.problem).collect()
        };
        let is_empty = Some(format!("{empty} is empty"));
        assert_eq!(problems().await, [None, is_empty.clone()]);
        storage.put(&stream, "ab".into()).await.unwrap();
        let cut = format!("{stream} has 2 bytes and should have 3");
        assert_eq!(problems().await, [Some(cut), is_empty.clone()]);
        storage.delete(std::slice::from_ref(&stream)).await;
        let missing = format!("{stream} is missing");
        assert_eq!(problems().await, [Some(missing), is_empty]);
    }

    #[test]
    fn backups_are_found_among_the_lines_of_a_log() {
        let backup = of_published(
            "app",
            &Published::parse_key("app", "app/2026-11-19-21-05-27-backup.sql").unwrap(),
            &Object {
                key: "app/2026-11-19-21-05-27-backup.sql".to_owned(),
                size: 7,
                modified: Timestamp::UNIX_EPOCH,
                etag: None,
            },
        );
        let line = serde_json::to_string(&Line {
            backup: backup.clone(),
        });
        let line = line.unwrap();
        let lines = [
            "2026-11-26T10:00:00Z  INFO backup={}",
            "{\"timestamp\":\"2026-11-26T10:00:00Z\",\"level\":\"INFO\",\"message\":\"x\"}",
            &line,
            "",
        ];
        assert_eq!(parse(lines.into_iter()), [backup]);
    }
}
