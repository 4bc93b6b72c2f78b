//! How a backup ended: for the log, the core and Prometheus; and what each error means to the
//! person who reads the last line.

use std::time::Duration;

use crate::archive::{Folder, Manifest};
use crate::dump;
use crate::job::BackupJob;
use crate::postgres::{self, Target};
use crate::report::{self, Gauges, Telling, core::Report};
use crate::runtime::{Failure, Verdict};
use crate::storage;
use crate::tidy::Deletions;

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
        format!(
            "backup complete and verified: {} ({tables} tables, {} bytes dumped, {} bytes stored, {:.1} s)",
            self.folder.prefix().trim_end_matches('/'),
            self.raw_bytes(),
            self.stored_bytes(),
            elapsed.as_secs_f64()
        )
    }
}

/// Who is told about a job.
#[must_use]
pub fn telling<'a>(job: &'a BackupJob, target: &Target) -> Telling<'a> {
    Telling {
        settings: &job.reporting,
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

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        let advice = match error.kind {
            postgres::Kind::NoDatabase => "; check DB_NAME",
            postgres::Kind::Rejected => {
                "; check DB_USER and DB_PASSWORD, and the server's pg_hba.conf"
            }
            postgres::Kind::Untrusted => "; check DB_SSLMODE and DB_SSLROOTCERT",
            postgres::Kind::Unavailable => "; check DB_HOST and DB_PORT, and that the server runs",
            postgres::Kind::Denied
            | postgres::Kind::Busy
            | postgres::Kind::Unsupported
            | postgres::Kind::Other => "",
        };
        Self {
            verdict: Verdict::of(error.kind.may_pass()),
            sentence: format!("{error}{advice}"),
        }
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        let advice = match error.kind {
            storage::Kind::NoBucket => "; create the bucket or correct S3_BUCKET_NAME",
            storage::Kind::Denied => {
                "; check S3_ACCESS_KEY and S3_SECRET_KEY, and what their owner may do in the bucket"
            }
            storage::Kind::Misconfigured => "; check S3_ENDPOINT, S3_REGION and S3_CA_FILE",
            storage::Kind::Unavailable => "; check S3_ENDPOINT, and that the store runs",
            storage::Kind::Full => "; make room",
            storage::Kind::NotFound | storage::Kind::Corrupt | storage::Kind::Other => "",
        };
        Self {
            verdict: Verdict::of(error.kind.may_pass()),
            sentence: format!("{error}{advice}"),
        }
    }
}

impl From<dump::Error> for Failure {
    fn from(error: dump::Error) -> Self {
        match error {
            dump::Error::Storage(error) => error.into(),
            other => {
                let sentence = other.to_string();
                // What the probe cannot see beforehand, the owners of large objects for one.
                let denied = sentence.contains("permission denied");
                // PostgreSQL manual, 20.12: pg_dump locks every table in one transaction.
                let no_locks = sentence.contains("out of shared memory");
                let advice = if no_locks {
                    ": the server has no room for a lock on each table; raise its max_locks_per_transaction, which takes a restart of the server"
                } else {
                    ""
                };
                Self {
                    verdict: Verdict::of(!denied && !no_locks),
                    sentence: format!("{sentence}{advice}"),
                }
            }
        }
    }
}
