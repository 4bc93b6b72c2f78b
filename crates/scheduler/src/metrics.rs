//! Every metric of the scheduler, its name and its labels.

use std::time::Instant;

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::engine::{Ending, Finished};

/// From a call that finds everything as it should be to one that a cluster keeps waiting.
const CALL_BUCKETS: [f64; 11] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// The scheduler's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    runs: IntCounterVec,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
    connections: IntGaugeVec,
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
        let opts = Opts::new(
            "postgres_adapter_calls_total",
            "Calls of the BackupService that have been answered or given up, by gRPC code.",
        );
        let calls = IntCounterVec::new(opts, &["method", "code"])?;
        registry.register(Box::new(calls.clone()))?;
        let opts = HistogramOpts::new(
            "postgres_adapter_call_duration_seconds",
            "How long calls of the BackupService took.",
        );
        let opts = opts.buckets(CALL_BUCKETS.to_vec());
        let call_seconds = HistogramVec::new(opts, &["method"])?;
        registry.register(Box::new(call_seconds.clone()))?;
        let opts = Opts::new(
            "postgres_adapter_connections",
            "Connections that clients have now, by port: grpc or http.",
        );
        let connections = IntGaugeVec::new(opts, &["port"])?;
        registry.register(Box::new(connections.clone()))?;
        let schedulers = IntGauge::new(
            "postgres_adapter_schedulers",
            "Always 1; the sum over all instances says how many schedulers are scraped.",
        )?;
        schedulers.set(1);
        registry.register(Box::new(schedulers))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            runs,
            calls,
            call_seconds,
            connections,
        })
    }

    /// Counts the connections of a port.
    #[must_use]
    pub fn connections(&self, port: &str) -> IntGauge {
        self.connections.with_label_values(&[port])
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

    /// A call that has begun; it is counted when the answer is dropped.
    #[must_use]
    pub fn call(&self, method: &'static str) -> Call {
        Call {
            metrics: self.clone(),
            method,
            code: GIVEN_UP,
            since: Instant::now(),
        }
    }

    /// All of them in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric is inconsistent; none that a caller could cause.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// The code of a call whose caller did not wait for the answer.
const GIVEN_UP: &str = "Cancelled";

/// A call under way.
#[derive(Debug)]
pub struct Call {
    metrics: Metrics,
    method: &'static str,
    code: &'static str,
    since: Instant,
}

impl Call {
    /// How it was answered.
    pub fn answered(&mut self, code: &'static str) {
        self.code = code;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Metrics {
            calls,
            call_seconds,
            ..
        } = &self.metrics;
        calls.with_label_values(&[self.method, self.code]).inc();
        call_seconds
            .with_label_values(&[self.method])
            .observe(self.since.elapsed().as_secs_f64());
    }
}
