//! How a backup ended: for the log, the core and Prometheus.

use std::time::Duration;

use crate::archive::{Folder, Manifest};
use crate::cleanup::Deletions;
use crate::job::BackupJob;
use crate::postgres::Target;
use crate::report::{self, Gauges, Reporter, core::Report};
use crate::runtime::Failure;

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
        self.manifest.streams.iter().map(|it| it.raw_bytes).sum()
    }

    fn stored_bytes(&self) -> u64 {
        self.manifest.streams.iter().map(|it| it.stored_bytes).sum()
    }

    /// The line that ends the log.
    #[must_use]
    pub fn sentence(&self, elapsed: Duration) -> String {
        let tables: usize = self.manifest.streams.iter().map(|it| it.tables.len()).sum();
        let part = self.manifest.part.as_ref();
        let part = part.map_or_else(String::new, |it| format!(", a part of the database: {it}"));
        format!(
            "backup complete and verified: {} ({tables} tables, {} bytes dumped, {} bytes stored, {:.1} s){part}",
            self.folder.prefix().trim_end_matches('/'),
            self.raw_bytes(),
            self.stored_bytes(),
            elapsed.as_secs_f64()
        )
    }
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
    gauges.set(
        "postgres_backup_success",
        "1 when the last backup is complete and verified, 0 when it failed.",
        f64::from(u8::from(outcome.is_ok())),
    )?;
    gauges.set(
        "postgres_backup_duration_seconds",
        "Seconds that the last backup took.",
        elapsed.as_secs_f64(),
    )?;
    if let Ok(done) = outcome {
        gauges.set(
            "postgres_backup_last_success_timestamp_seconds",
            "When the last complete backup ended, seconds since 1970.",
            report::now(),
        )?;
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
