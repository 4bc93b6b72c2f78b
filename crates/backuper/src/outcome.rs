//! How a backup ended: for the log, the core and Prometheus; and what each error means to the
//! person who reads the last line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, Registry};

use crate::archive::{Folder, Manifest};
use crate::dump;
use crate::job::{BackupJob, ReportingSettings};
use crate::postgres::{self, Target};
use crate::report::{self, core::Report};
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

/// Who is told.
#[derive(Debug)]
pub struct Telling<'a> {
    reporting: &'a ReportingSettings,
    name: String,
}

impl<'a> Telling<'a> {
    /// For this job.
    #[must_use]
    pub fn new(job: &'a BackupJob, target: &Target) -> Self {
        Self {
            reporting: &job.reporting,
            name: target.to_string(),
        }
    }

    /// Tells the core and the Pushgateway. What cannot be delivered is a warning.
    pub async fn tell(&self, outcome: &Result<Done, Failure>, elapsed: Duration) {
        let success = outcome.is_ok();
        if let Some(address) = &self.reporting.core_addr {
            let report = Report::Backup(self.name.clone());
            if let Err(error) = report::core::send(address, &report, success, elapsed).await {
                tracing::warn!(%error, "the outcome stands all the same");
            }
        }
        if let Some(url) = &self.reporting.pushgateway_url {
            let pushed = match metrics(outcome, elapsed) {
                Ok(metrics) => {
                    report::pushgateway::push(url, "postgres_backup", &self.name, &metrics).await
                }
                Err(error) => {
                    tracing::warn!(%error, "no metrics");
                    return;
                }
            };
            if let Err(error) = pushed {
                tracing::warn!(%error, "the outcome stands all the same");
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers than f64"
)]
fn metrics(
    outcome: &Result<Done, Failure>,
    elapsed: Duration,
) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let set = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    set(
        "postgres_backup_success",
        "1 when the last backup is complete and verified, 0 when it failed.",
        f64::from(u8::from(outcome.is_ok())),
    )?;
    set(
        "postgres_backup_duration_seconds",
        "Seconds that the last backup took.",
        elapsed.as_secs_f64(),
    )?;
    if let Ok(done) = outcome {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        set(
            "postgres_backup_last_success_timestamp_seconds",
            "When the last complete backup ended, seconds since 1970.",
            now.map_or(0.0, |it| it.as_secs_f64()),
        )?;
        set(
            "postgres_backup_dumped_bytes",
            "Bytes that pg_dump wrote for the last complete backup.",
            done.raw_bytes() as f64,
        )?;
        set(
            "postgres_backup_stored_bytes",
            "Bytes of the last complete backup in the store.",
            done.stored_bytes() as f64,
        )?;
        set(
            "postgres_backup_undeleted_objects",
            "Objects that retention could not delete after the last complete backup.",
            done.deletions.failed as f64,
        )?;
    }
    Ok(registry)
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
                Self {
                    verdict: Verdict::of(!denied),
                    sentence,
                }
            }
        }
    }
}
