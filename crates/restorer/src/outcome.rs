//! How a restore ended: for the log, the core and Prometheus.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backuper::job::ReportingSettings;
use backuper::postgres::Target;
use backuper::report::{self, core::Report};
use backuper::runtime::Failure;
use prometheus::{Gauge, Registry};

use crate::job::RestoreJob;

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

/// Who is told.
#[derive(Debug)]
pub struct Telling<'a> {
    reporting: &'a ReportingSettings,
    database: String,
    name: String,
}

impl<'a> Telling<'a> {
    /// For this job.
    #[must_use]
    pub fn new(job: &'a RestoreJob, target: &Target) -> Self {
        Self {
            reporting: &job.reporting,
            database: target.to_string(),
            name: format!("{target}-revision-{}", job.revision),
        }
    }

    /// Tells the core and the Pushgateway. What cannot be delivered is a warning.
    pub async fn tell(&self, outcome: &Result<Done, Failure>, elapsed: Duration) {
        if let Some(address) = &self.reporting.core_addr {
            let report = Report::Restore(self.name.clone());
            let sent = report::core::send(address, &report, outcome.is_ok(), elapsed).await;
            if let Err(error) = sent {
                tracing::warn!(%error, "the outcome stands all the same");
            }
        }
        let Some(url) = &self.reporting.pushgateway_url else {
            return;
        };
        match metrics(outcome, elapsed) {
            Ok(metrics) => {
                let job = "postgres_restore";
                let pushed = report::pushgateway::push(url, job, &self.database, &metrics).await;
                if let Err(error) = pushed {
                    tracing::warn!(%error, "the outcome stands all the same");
                }
            }
            Err(error) => tracing::warn!(%error, "no metrics"),
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
        "postgres_restore_success",
        "1 when the last restore is complete, 0 when it failed.",
        f64::from(u8::from(outcome.is_ok())),
    )?;
    set(
        "postgres_restore_duration_seconds",
        "Seconds that the last restore took.",
        elapsed.as_secs_f64(),
    )?;
    if let Ok(done) = outcome {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        set(
            "postgres_restore_last_success_timestamp_seconds",
            "When the last complete restore ended, seconds since 1970.",
            now.map_or(0.0, |it| it.as_secs_f64()),
        )?;
        set(
            "postgres_restore_bytes",
            "Bytes of rows that the last complete restore brought back.",
            done.bytes as f64,
        )?;
    }
    Ok(registry)
}
