//! What retention would keep and remove, and why: for whoever asks, as lines of JSON on standard output.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::{Identity, Manifest, key};
use crate::catalog::{self, Backup, Listing};
use crate::cleanup::judgement::{self, Judged, Request};
use crate::job::{BackupSource, PreviewJob};
use crate::retention::{Decision, Hold, Reason};
use crate::runtime::{Failure, Shutdown, lines};
use crate::storage::{self, Access, Storage};

/// Locks that are asked for at once.
const AT_ONCE: usize = 16;

/// What becomes of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// Its folder, or the key of a single object.
    pub key: String,
    /// When its run began, UTC.
    pub started_at: Timestamp,
    /// What it takes in the store.
    pub stored_bytes: u64,
    /// Whether it goes.
    pub goes: bool,
    /// In a sentence: `kept: newest of 2026-11-26 (daily 7)`.
    pub why: String,
}

/// What a line has, so that it is told from the log's.
#[derive(Serialize, Deserialize)]
struct Line {
    retained: Retained,
}

/// Judges the backups of a source as retention would now, and removes nothing; gives the sentence that ends
/// the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn preview(job: &PreviewJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let config = job.store.config().map_err(Failure::refused)?;
    let judging = async {
        let storage = storage::connect(&config).await?;
        let prefix = format!("{}/", key::encode(&job.source.database));
        storage.probe(&prefix, Access::Read).await?;
        let here = Timestamp::now();
        let clock = storage.survey(&prefix).await.clock.unwrap_or(here);
        judged(storage.as_ref(), job, here, clock).await
    };
    let retained = tokio::select! {
        retained = judging => retained?,
        () = shutdown.token().cancelled() => {
            return Err(Failure::try_again("stopped before all were judged"));
        }
    };
    let gone = retained.iter().filter(|it| it.goes).count();
    let sentence = format!(
        "of {} backups of {}, {gone} would go; nothing was removed",
        retained.len(),
        job.source
    );
    lines::print(retained.into_iter().map(|retained| Line { retained }))?;
    Ok(sentence)
}

/// What becomes of which backup, among the lines that a backuper has printed; those of its log are passed
/// over.
#[must_use]
pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Retained> {
    let lines = lines.filter_map(|it| serde_json::from_str::<Line>(it).ok());
    lines.map(|it| it.retained).collect()
}

async fn judged(
    storage: &dyn Storage,
    job: &PreviewJob,
    here: Timestamp,
    store_now: Timestamp,
) -> Result<Vec<Retained>, Failure> {
    let layout = &job.layout.layout().map_err(Failure::refused)?;
    let listing = catalog::list(storage, &job.source.database, layout).await?;
    let schedule = job.schedule.as_ref().map(|it| it.as_str());
    // Each part of the database is judged by itself, as after its own next backup.
    let own = listing
        .complete
        .iter()
        .filter(|it| it.schedule() == schedule);
    let parts: BTreeSet<Option<&str>> = own.map(Backup::part).collect();
    let mut retained = Vec::new();
    for part in parts {
        let like = (schedule, part);
        let newest = newest(storage, &listing, &job.source, like, here).await?;
        if let Some(newest) = newest {
            let clocks = (here, store_now);
            retained.extend(judged_like(storage, job, &listing, newest, clocks).await?);
        }
    }
    Ok(retained)
}

/// What becomes of those that are counted with this one.
async fn judged_like(
    storage: &dyn Storage,
    job: &PreviewJob,
    listing: &Listing,
    (newest, manifest): (&Backup, Manifest),
    (here, store_now): (Timestamp, Timestamp),
) -> Result<Vec<Retained>, Failure> {
    let source = manifest.source.identity();
    let rules = job.retention.rules();
    let request = Request {
        source: &source,
        owns_older: judgement::owns_older(storage, listing, &source).await?,
        newest: &newest.folder,
        rules: &rules,
        objects: job.retention.objects,
        now: judgement::behind_all(here, &manifest, store_now),
        store_now,
    };
    let choice = judgement::judge(storage, listing, request).await?;
    let judged = choice.map(|it| it.judged).unwrap_or_default();
    let judged = judged.into_iter().map(|it| held(storage, it, store_now));
    let judged: Vec<Judged> = futures::stream::iter(judged)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(judged
        .into_iter()
        .map(|it| Retained {
            key: it.backup.key(),
            started_at: it.backup.started(),
            stored_bytes: it.backup.stored_bytes(),
            goes: it.decision.goes(),
            why: it.decision.to_string(),
        })
        .collect())
}

/// What the store has locked stays, whatever the rules say; as in a run, only what would go is asked for.
async fn held(
    storage: &dyn Storage,
    judged: Judged,
    store_now: Timestamp,
) -> Result<Judged, storage::Error> {
    if !judged.decision.goes() {
        return Ok(judged);
    }
    let Some(locked) = judged.backup.locked(storage, store_now).await? else {
        return Ok(judged);
    };
    let hold = Hold::Locked(locked.until);
    Ok(Judged {
        decision: Decision::Kept(Reason::Held(hold)),
        ..judged
    })
}

/// The newest backup of the source, the schedule and the part of the database that could be restored, which stands for the one that a run has just made.
async fn newest<'a>(
    storage: &dyn Storage,
    listing: &'a Listing,
    source: &BackupSource,
    (schedule, part): (Option<&str>, Option<&str>),
    now: Timestamp,
) -> Result<Option<(&'a Backup, Manifest)>, Failure> {
    let BackupSource {
        host,
        port,
        database,
    } = source.clone();
    // Nobody asks the database which server it is on: its name has to do.
    let source = Identity {
        host,
        port,
        database,
        system: None,
    };
    let own = listing.complete.iter();
    for backup in
        own.filter(|it| it.schedule() == schedule && it.part() == part && !it.is_misdated(now))
    {
        match catalog::read_manifest(storage, &backup.folder).await {
            Ok(manifest) => {
                let is_its = source.is_same_as(&manifest.source.identity());
                if is_its && backup.damage(&manifest).is_none() {
                    return Ok(Some((backup, manifest)));
                }
            }
            Err(catalog::Error::Storage(error)) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "this backup does not count"),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use jiff::Span;

    use super::*;
    use crate::catalog::whole::tests::{put, server};
    use crate::runtime::settings::read_from;
    use crate::storage::memory::MemoryStorage;

    #[tokio::test]
    async fn each_backup_is_told_of_with_its_reason_and_nothing_is_removed() {
        let storage = MemoryStorage::default();
        let start: Timestamp = "2026-11-20T02:00:00Z".parse().unwrap();
        for hours in [0, 24, 48] {
            put(&storage, &server("db"), start + Span::new().hours(hours)).await;
        }
        put(&storage, &server("elsewhere"), start).await;
        let before = storage.list("").await.unwrap();
        let said = async |pairs: &[(&str, &str)]| {
            let source = [("BACKUP_SOURCE", "db:5432/app")];
            let job: PreviewJob = read_from([&source[..], pairs].concat()).unwrap();
            let now = storage.list("").await.unwrap()[0].modified;
            let all = judged(&storage, &job, now, now).await.unwrap();
            let lines: Vec<String> = all
                .iter()
                .map(|it| {
                    serde_json::to_string(&Line {
                        retained: it.clone(),
                    })
                    .unwrap()
                })
                .collect();
            assert_eq!(parse(lines.iter().map(String::as_str)), all);
            all.into_iter()
                .map(|it| (it.goes, it.why))
                .collect::<Vec<_>>()
        };
        let kept = |why: &str| (false, format!("kept: {why}"));
        let newest = kept("the newest complete one, which always stays");
        assert_eq!(
            said(&[("MAX_BACKUP_COUNT", "2")]).await,
            [
                newest.clone(),
                kept("one of the last 2"),
                (true, "goes: not one of the last 2".to_owned())
            ]
        );
        let none = kept("no rule says what goes");
        assert_eq!(said(&[]).await, vec![none; 3]);
        assert_eq!(said(&[("BACKUP_SCHEDULE", "nightly")]).await, []);
        assert_eq!(storage.list("").await.unwrap(), before);
    }
}
