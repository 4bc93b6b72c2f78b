//! How a restore ended: for the log, the core and Prometheus.

use std::time::Duration;

use crate::job::RestoreJob;
use backuper::postgres::Target;
use backuper::report::{self, Gauges, Reporter, core::Report};
use backuper::runtime::Failure;

/// A complete restore.
#[derive(Clone, Debug)]
pub struct Done {
    /// The backup's place in the bucket.
    pub key: String,
    /// Tables in the target now that the backup brought.
    pub tables: usize,
    /// Bytes of their rows, as pg_dump wrote them.
    pub bytes: u64,
}

impl Done {
    /// The line that ends the log.
    #[must_use]
    pub fn sentence(&self, target: &Target, elapsed: Duration) -> String {
        format!(
            "restore complete: {} is back in {target} ({} tables, {} bytes, {:.1} s)",
            self.key,
            self.tables,
            self.bytes,
            elapsed.as_secs_f64()
        )
    }
}

/// Who is told about a job, and under which names.
#[must_use]
pub fn reporter(job: &RestoreJob, target: &Target) -> Reporter {
    Reporter {
        receivers: job.reporting.receivers(),
        report: Report::Restore(format!("{target}-revision-{}", job.revision)),
        job: "postgres_restore",
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
        "postgres_restore_success",
        "1 when the last restore is complete, 0 when it failed.",
        f64::from(u8::from(outcome.is_ok())),
    )?;
    gauges.set(
        "postgres_restore_duration_seconds",
        "Seconds that the last restore took.",
        elapsed.as_secs_f64(),
    )?;
    if let Ok(done) = outcome {
        gauges.set(
            "postgres_restore_last_success_timestamp_seconds",
            "When the last complete restore ended, seconds since 1970.",
            report::now(),
        )?;
        gauges.set(
            "postgres_restore_bytes",
            "Bytes of rows that the last complete restore brought back.",
            done.bytes as f64,
        )?;
    }
    Ok(gauges)
}
