//! Reports how a run ended to the core and Prometheus. What cannot be delivered is a warning and
//! never a failure: the backup or restore is what it is.

pub mod core;
pub mod pushgateway;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, Registry};

pub use core::CoreAddress;
pub use pushgateway::PushgatewayUrl;

/// Who is told about runs.
#[derive(Clone, Debug, Default)]
pub struct Receivers {
    /// The oiler-backup core.
    pub core: Option<CoreAddress>,
    /// A Prometheus Pushgateway.
    pub pushgateway: Option<PushgatewayUrl>,
}

/// Reports one run to the receivers, under these names.
#[derive(Debug)]
pub struct Reporter {
    /// The addresses.
    pub receivers: Receivers,
    /// What the core is told.
    pub report: core::Report,
    /// The Pushgateway's group: its job.
    pub job: &'static str,
    /// The Pushgateway's group: its instance.
    pub instance: String,
}

impl Reporter {
    /// Reports how the run ended to the core and the Pushgateway. What cannot be delivered is a
    /// warning.
    pub async fn report(
        &self,
        success: bool,
        elapsed: Duration,
        gauges: Result<Gauges, prometheus::Error>,
    ) {
        if let Some(address) = &self.receivers.core {
            let sent = core::send(address, &self.report, success, elapsed).await;
            if let Err(error) = sent {
                tracing::warn!(%error, "the outcome stands all the same");
            }
        }
        self.push(gauges).await;
    }

    /// Pushes to the Pushgateway, where there is one.
    pub async fn push(&self, gauges: Result<Gauges, prometheus::Error>) {
        let Some(url) = &self.receivers.pushgateway else {
            return;
        };
        match gauges {
            Ok(Gauges(registry)) => {
                let pushed = pushgateway::push(url, self.job, &self.instance, &registry).await;
                if let Err(error) = pushed {
                    tracing::warn!(%error, "the outcome stands all the same");
                }
            }
            Err(error) => tracing::warn!(%error, "no metrics"),
        }
    }
}

/// What is pushed about one run.
#[derive(Debug, Default)]
pub struct Gauges(Registry);

impl Gauges {
    /// Adds a number; a byte count or a count is exact up to 2^53.
    ///
    /// # Errors
    /// When the name is no metric's name, or there already.
    pub fn set(&self, name: &str, help: &str, value: f64) -> Result<(), prometheus::Error> {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        self.0.register(Box::new(gauge))
    }
}

/// Now, in seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |it| it.as_secs_f64())
}

/// Why a report was not delivered.
#[derive(Debug, thiserror::Error)]
#[error("{receiver} did not take the report: {reason}")]
pub struct Error {
    receiver: &'static str,
    reason: String,
}
