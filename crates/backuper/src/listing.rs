//! The backups of a database, for whoever asks: a line of JSON for each, on standard output.

use std::io::Write as _;

use futures::StreamExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::Manifest;
use crate::archive::key::{self, Published};
use crate::archive::manifest::Source;
use crate::catalog::{self, Backup};
use crate::job::ListJob;
use crate::runtime::{Failure, Shutdown};
use crate::storage::{self, Access, Object, Storage};

/// Manifests that are read at once.
const AT_ONCE: usize = 16;
/// How many are listed: the newest.
const MOST: usize = 500;

/// A backup as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its folder, or the key of a single object: what a restore takes for a revision.
    pub key: String,
    /// When its run began, UTC.
    pub started_at: Timestamp,
    /// The moment whose data it holds, UTC; none: it does not say.
    pub snapshot_at: Option<Timestamp>,
    /// When all of it was verified, UTC; none: it does not say.
    pub verified_at: Option<Timestamp>,
    /// What it takes in the store.
    pub stored_bytes: u64,
    /// What pg_dump wrote; none: it does not say.
    pub dumped_bytes: Option<u64>,
    /// How many tables have rows in it; none: it does not say.
    pub tables: Option<u64>,
    /// The database that was backed up, `host:port/dbname`; none: it does not say.
    pub source: Option<String>,
    /// The server's version, such as `15.18`; none: it does not say.
    pub server_version: Option<String>,
    /// The backuper's version and pg_dump's; none: it does not say.
    pub made_by: Option<String>,
    /// The schedule whose backup it is, where its database has several.
    pub schedule: Option<String>,
    /// Why it cannot be restored; none: it can.
    pub problem: Option<String>,
}

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
    job.store.check().map_err(Failure::refused)?;
    let stop = shutdown.token();
    let listing = async {
        let storage = storage::connect(&job.store.config()).await?;
        let database = &job.source.database;
        let prefix = format!("{}/", key::encode(database));
        storage.probe(&prefix, Access::Read).await?;
        all(storage.as_ref(), database).await
    };
    let listed = tokio::select! {
        listed = listing => listed?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before all were listed")),
    };
    let mut text = String::new();
    for backup in &listed {
        let line = serde_json::to_string(&Line {
            backup: backup.clone(),
        });
        text.push_str(&line.map_err(|error| Failure::refused(error.to_string()))?);
        text.push('\n');
    }
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_err(|error| Failure::try_again(format!("standard output: {error}")))?;
    Ok(format!("{} backups of {}", listed.len(), job.source))
}

/// The backups among the lines that a backuper has printed; those of its log are passed over.
#[must_use]
pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Listed> {
    let lines = lines.filter_map(|it| serde_json::from_str::<Line>(it).ok());
    lines.map(|it| it.backup).collect()
}

/// All of a database, the newest first.
async fn all(storage: &dyn Storage, database: &str) -> Result<Vec<Listed>, Failure> {
    let listing = catalog::list(storage, database).await?;
    let now = Timestamp::now();
    let complete = listing.complete.iter().take(MOST);
    let read = complete.map(|it| described(storage, it));
    let mut all: Vec<Listed> = futures::stream::iter(read)
        .buffered(AT_ONCE)
        .collect()
        .await;
    all.extend(listing.incomplete.iter().map(|it| unfinished(it, now)));
    let published = listing.published.iter();
    all.extend(published.map(|(published, object)| of_published(published, object)));
    all.sort_by_key(|it| std::cmp::Reverse(it.started_at));
    all.truncate(MOST);
    Ok(all)
}

async fn described(storage: &dyn Storage, backup: &Backup) -> Listed {
    let bare = bare(backup);
    match catalog::read_manifest(storage, &backup.folder).await {
        Ok(manifest) => with(bare, &manifest),
        Err(error) => Listed {
            problem: Some(error.to_string()),
            ..bare
        },
    }
}

fn with(bare: Listed, manifest: &Manifest) -> Listed {
    let streams = manifest.streams.iter();
    let tables: usize = streams.clone().map(|it| it.tables.len()).sum();
    let version = &manifest.source.server_version;
    Listed {
        snapshot_at: Some(manifest.snapshot_at),
        verified_at: Some(manifest.finished_at),
        dumped_bytes: Some(streams.map(|it| it.raw_bytes).sum()),
        tables: u64::try_from(tables).ok(),
        source: Some(place(&manifest.source)),
        // Debian says its own version behind it.
        server_version: version.split(' ').next().map(str::to_owned),
        made_by: Some(format!(
            "backuper {}, pg_dump {}",
            manifest.tools.backuper, manifest.tools.pg_dump
        )),
        ..bare
    }
}

fn place(source: &Source) -> String {
    let Source {
        host,
        port,
        database,
        ..
    } = source;
    format!("{host}:{port}/{database}")
}

fn bare(backup: &Backup) -> Listed {
    Listed {
        key: backup.folder.prefix().trim_end_matches('/').to_owned(),
        started_at: backup.folder.started(),
        snapshot_at: None,
        verified_at: None,
        stored_bytes: backup.objects.iter().map(|it| it.size).sum(),
        dumped_bytes: None,
        tables: None,
        source: None,
        server_version: None,
        made_by: None,
        schedule: backup.schedule().map(str::to_owned),
        problem: None,
    }
}

fn unfinished(backup: &Backup, now: Timestamp) -> Listed {
    let why = if backup.is_active(now) {
        "it is being made"
    } else {
        "its run did not end: there is no manifest"
    };
    Listed {
        problem: Some(why.to_owned()),
        ..bare(backup)
    }
}

fn of_published(published: &Published, object: &Object) -> Listed {
    Listed {
        key: object.key.clone(),
        started_at: published.started,
        snapshot_at: None,
        verified_at: None,
        stored_bytes: object.size,
        dumped_bytes: None,
        tables: None,
        source: None,
        server_version: None,
        made_by: Some("the published adapter".to_owned()),
        schedule: None,
        problem: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let listed = all(&storage, "app").await.unwrap();
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

    #[test]
    fn backups_are_found_among_the_lines_of_a_log() {
        let backup = of_published(
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
