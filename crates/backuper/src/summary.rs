//! How a backup ended: for the log, the core and Prometheus.

use std::fmt;
use std::time::Duration;

use crate::archive::{Folder, Manifest};
use crate::cleanup::Deletions;
use crate::copy::Copied;
use crate::job::BackupJob;
use crate::postgres::Target;
use crate::report::{self, Gauges, Reporter, core::Report};
use crate::runtime::{Failure, Verdict};
use crate::storage;
use crate::text::shortened;

/// A complete backup.
#[derive(Clone, Debug)]
pub struct Done {
    /// Where it is.
    pub folder: Folder,
    /// What it is.
    pub manifest: Manifest,
    /// What retention did after it.
    pub deletions: Deletions,
}

impl Done {
    fn raw_bytes(&self) -> u64 {
        self.manifest.objects().map(|it| it.raw_bytes).sum()
    }

    fn stored_bytes(&self) -> u64 {
        self.manifest.objects().map(|it| it.stored_bytes).sum()
    }

    /// The line that ends the log.
    #[must_use]
    pub fn sentence(&self, elapsed: Duration) -> String {
        let tables: usize = self.manifest.streams.iter().map(|it| it.tables.len()).sum();
        let part = self.manifest.part.as_ref();
        let part = part.map_or_else(String::new, |it| format!(", a part of the database: {it}"));
        format!(
            "{COMPLETE}{} ({tables} tables, {} bytes dumped, {} bytes stored, {:.1} s){part}",
            self.folder.prefix().trim_end_matches('/'),
            self.raw_bytes(),
            self.stored_bytes(),
            elapsed.as_secs_f64()
        )
    }
}

/// How the sentence of a complete backup begins.
const COMPLETE: &str = "backup complete and verified: ";

/// What the last sentence of a backup says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its folder, or the key of its dump.
    pub key: String,
    /// What pg_dump wrote, in bytes.
    pub dumped: u64,
    /// What of it is stored, in bytes.
    pub stored: u64,
}

/// Reads the sentence that ends the log of a complete backup.
#[must_use]
pub fn told(sentence: &str) -> Option<Told> {
    let rest = sentence.strip_prefix(COMPLETE)?;
    // Behind it may stand other words, and a key may have a bracket in it.
    let (before, after) = rest.split_once(" bytes dumped, ")?;
    let (before, dumped) = before.rsplit_once(", ")?;
    let (key, _tables) = before.rsplit_once(" (")?;
    let (stored, _) = after.split_once(" bytes stored")?;
    Some(Told {
        key: key.to_owned(),
        dumped: dumped.trim_start().parse().ok()?,
        stored: stored.parse().ok()?,
    })
}

/// What stands between the words of a backup and why its copy is not there.
const UNCOPIED: &str = "it is not copied to ";

/// How much of what a backup says of itself stands before that, in characters: Kubernetes keeps 4096 bytes of a
/// sentence, and that the copy is missing has to be among them.
const BACKUPS_OWN: usize = 600;

/// Whether the sentence that ends a backup's log says that its copy is not there.
#[must_use]
pub fn is_uncopied(sentence: &str) -> bool {
    why_uncopied(sentence).is_some()
}

/// That the copy of a backup is not there and why, without what its sentence says of the backup.
#[must_use]
pub fn why_uncopied(sentence: &str) -> Option<&str> {
    sentence.find(UNCOPIED).map(|at| &sentence[at..])
}

/// Why the copy of a complete backup is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCopied {
    /// The next run tries again.
    Yet(String),
    /// No run would copy it as things are.
    Ever(String),
}

impl fmt::Display for NotCopied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yet(why) => write!(
                formatter,
                "{why}; once that is mended, the next backup copies it"
            ),
            Self::Ever(why) => formatter.write_str(why),
        }
    }
}

/// What is said of such a backup where its own sentence is lost, with the pod that said it.
#[must_use]
pub fn uncopied_by_exit_code() -> String {
    format!(
        "backup complete and verified{UNCOPIED}the second store (exit code {}; why went with the worker's pod, and its log may say it); the next backup copies it",
        crate::runtime::failure::UNCOPIED
    )
}

/// The line that ends the log where the backup was to be copied.
///
/// # Errors
/// That the copy is not there, which is no failure of the backup.
pub fn with_copy(
    backup: &str,
    second: &storage::Config,
    copied: Result<Copied, NotCopied>,
) -> Result<String, Failure> {
    match copied {
        Ok(Copied { older, missing, .. }) => {
            let told = [
                (
                    "older ones that were missing there and are copied too",
                    older,
                ),
                (
                    "older ones that are still missing there",
                    missing.unwrap_or(0),
                ),
            ];
            let told = told.into_iter().filter(|(_, count)| *count > 0);
            let told = told.map(|(what, count)| format!("; {what}: {count}"));
            let unknown = match missing {
                Some(_) => "",
                None => "; how many older ones are missing there is not known, as the log says",
            };
            Ok(format!(
                "{backup}; copied to {}{}{unknown}",
                second.name(),
                told.collect::<String>()
            ))
        }
        Err(why) => Err(Failure {
            verdict: Verdict::Uncopied,
            sentence: format!(
                "{}; {UNCOPIED}{}: {why}",
                shortened(backup, BACKUPS_OWN),
                second.name()
            ),
        }),
    }
}

/// What Prometheus is told once the copy is there or has failed: the backup's gauges, and the copy's.
///
/// # Errors
/// As [`gauges`].
pub fn gauges_of_copy(
    done: &Done,
    elapsed: Duration,
    copied: &Result<Copied, NotCopied>,
) -> Result<Gauges, prometheus::Error> {
    let gauges = gauges(&Ok(done.clone()), elapsed)?;
    gauges.set(
        "postgres_backup_copy_success",
        "1 when the last complete backup is in the second store too, 0 when it could not be copied.",
        f64::from(u8::from(copied.is_ok())),
    )?;
    if let Ok(copied) = copied {
        gauges.set(
            "postgres_backup_copy_last_success_timestamp_seconds",
            "When the last copy was complete, seconds since 1970.",
            report::now(),
        )?;
        if let Some(missing) = copied.missing {
            gauges.set(
                "postgres_backup_copies_missing",
                "Older backups that the second store lacks and would keep.",
                f64::from(u32::try_from(missing).unwrap_or(u32::MAX)),
            )?;
        }
    }
    Ok(gauges)
}

/// How many bytes of a backup are in the store, by the sentence that ends its log.
#[must_use]
pub fn stored_bytes(sentence: &str) -> Option<u64> {
    let (before, _) = sentence.rsplit_once(" bytes stored")?;
    let (_, number) = before.rsplit_once(' ')?;
    number.parse().ok()
}

/// Who is told about a job, and under which names.
#[must_use]
pub fn reporter(job: &BackupJob, target: &Target) -> Reporter {
    Reporter {
        receivers: job.reporting.receivers(),
        report: Report::Backup(target.to_string()),
        job: "postgres_backup",
        instance: target.to_string(),
    }
}

/// What Prometheus is told of all databases that a run was for; of each of them it is told by itself.
///
/// # Errors
/// None that a test would not have shown: the names are our own.
pub fn gauges_of_all(success: bool, elapsed: Duration) -> Result<Gauges, prometheus::Error> {
    let gauges = Gauges::default();
    outcome_in(&gauges, success, elapsed)?;
    if success {
        ended_in(&gauges)?;
    }
    Ok(gauges)
}

fn outcome_in(gauges: &Gauges, success: bool, elapsed: Duration) -> Result<(), prometheus::Error> {
    gauges.set(
        "postgres_backup_success",
        "1 when the last backup is complete and verified, 0 when it failed.",
        f64::from(u8::from(success)),
    )?;
    gauges.set(
        "postgres_backup_duration_seconds",
        "Seconds that the last backup took.",
        elapsed.as_secs_f64(),
    )
}

fn ended_in(gauges: &Gauges) -> Result<(), prometheus::Error> {
    gauges.set(
        "postgres_backup_last_success_timestamp_seconds",
        "When the last complete backup ended, seconds since 1970.",
        report::now(),
    )
}

/// What Prometheus is told.
///
/// # Errors
/// None that a test would not have shown: the names are our own.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers than f64"
)]
pub fn gauges(
    outcome: &Result<Done, Failure>,
    elapsed: Duration,
) -> Result<Gauges, prometheus::Error> {
    let gauges = Gauges::default();
    outcome_in(&gauges, outcome.is_ok(), elapsed)?;
    if let Ok(done) = outcome {
        ended_in(&gauges)?;
        gauges.set(
            "postgres_backup_dumped_bytes",
            "Bytes that pg_dump wrote for the last complete backup.",
            done.raw_bytes() as f64,
        )?;
        gauges.set(
            "postgres_backup_stored_bytes",
            "Bytes of the last complete backup in the store.",
            done.stored_bytes() as f64,
        )?;
        gauges.set(
            "postgres_backup_undeleted_objects",
            "Objects that retention could not delete after the last complete backup.",
            done.deletions.failed as f64,
        )?;
    }
    Ok(gauges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_complete_backup_says_last_is_read_again() {
        let of = |key: &str, behind: &str| {
            told(&format!(
                "backup complete and verified: {key} (12 tables, 4096 bytes dumped, 1536 bytes stored, 0.5 s){behind}"
            ))
        };
        for key in [
            "shop/2026-11-20-21-05-27-backup-1f3a9c0e",
            "prod (old), new/shop/20261120-210527.sql.gz",
        ] {
            let expected = Told {
                key: key.to_owned(),
                dumped: 4096,
                stored: 1536,
            };
            for behind in [
                "",
                ", a part of the database: only schema a, 2 bytes dumped, 3 bytes stored",
                "; copied to s3://other",
            ] {
                assert_eq!(of(key, behind).as_ref(), Some(&expected), "{behind}");
            }
        }
        for other in ["", "stopped, as asked", "backup complete and verified: x"] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
