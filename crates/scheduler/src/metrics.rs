//! Every metric of the scheduler, its name and its labels.

use prometheus::{IntCounterVec, Opts, Registry, TextEncoder};

use crate::engine::{Ending, Finished};

/// The scheduler's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    runs: IntCounterVec,
}

impl Metrics {
    /// Metrics of their own registry, all at zero.
    ///
    /// # Errors
    /// When a name or a label is not one; none that a caller could cause.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let opts = Opts::new(
            "postgres_adapter_runs_finished_total",
            "Runs of workers that have finished since the scheduler was started.",
        );
        let runs = IntCounterVec::new(opts, &["component", "outcome", "reason", "exit_code"])?;
        registry.register(Box::new(runs.clone()))?;
        Ok(Self { registry, runs })
    }

    /// Counts a run that has finished.
    pub fn count(&self, finished: &Finished) {
        let (outcome, reason, exit_code) = match &finished.ending {
            Ending::Succeeded => ("succeeded", "", Some(0)),
            Ending::Failed {
                reason, exit_code, ..
            } => ("failed", reason.as_str(), *exit_code),
        };
        let exit_code = exit_code.map_or_else(String::new, |it| it.to_string());
        let labels = [finished.component.word(), outcome, reason, &exit_code];
        self.runs.with_label_values(&labels).inc();
    }

    /// All of them in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric is inconsistent; none that a caller could cause.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
