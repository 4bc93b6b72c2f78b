//! Every metric of the scheduler, its name and its labels.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::domain::protection::Protection;
use crate::domain::run::{Component, Ending};

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
    leader: IntGauge,
    schedules: Schedules,
}

/// What a scrape shows of each schedule.
const OF_SCHEDULES: [(&str, &str); 9] = [
    (
        "postgres_adapter_schedule_created_timestamp_seconds",
        "When the schedule was made, seconds since 1970.",
    ),
    (
        "postgres_adapter_schedule_last_success_timestamp_seconds",
        "When the schedule's last good backup ended, seconds since 1970.",
    ),
    (
        "postgres_adapter_schedule_last_failure_timestamp_seconds",
        "When a run of the schedule last failed, seconds since 1970.",
    ),
    (
        "postgres_adapter_schedule_last_run_succeeded",
        "1 when the schedule's last run was a good backup, 0 when it failed.",
    ),
    (
        "postgres_adapter_schedule_last_duration_seconds",
        "How long the schedule's last good backup took.",
    ),
    (
        "postgres_adapter_schedule_last_stored_bytes",
        "Bytes of the schedule's last good backup in the store.",
    ),
    (
        "postgres_adapter_schedule_next_run_timestamp_seconds",
        "When the schedule runs next, seconds since 1970.",
    ),
    (
        "postgres_adapter_schedule_interval_seconds",
        "The longest time between two runs of the schedule.",
    ),
    (
        "postgres_adapter_schedule_suspended",
        "1 when the schedule does not run for now.",
    ),
];

/// Gauges that are set anew at each scrape.
#[derive(Clone, Debug)]
struct Schedules {
    /// As [`OF_SCHEDULES`] has them.
    gauges: Vec<GaugeVec>,
    count: IntGauge,
    runs: IntGaugeVec,
    /// One scrape at a time.
    setting: Arc<Mutex<()>>,
}

impl Schedules {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let mut gauges = Vec::new();
        for (name, help) in OF_SCHEDULES {
            let opts = Opts::new(name, help);
            let gauge = GaugeVec::new(opts, &["schedule", "database"])?;
            registry.register(Box::new(gauge.clone()))?;
            gauges.push(gauge);
        }
        let count = IntGauge::new(
            "postgres_adapter_schedules",
            "Schedules that there are; only the leader shows them.",
        )?;
        registry.register(Box::new(count.clone()))?;
        let opts = Opts::new(
            "postgres_adapter_runs",
            "Runs that have not ended, by component and state: waiting or running; only the leader shows them.",
        );
        let runs = IntGaugeVec::new(opts, &["component", "state"])?;
        registry.register(Box::new(runs.clone()))?;
        Ok(Self {
            gauges,
            count,
            runs,
            setting: Arc::default(),
        })
    }

    fn clear(&self) {
        for gauge in &self.gauges {
            gauge.reset();
        }
        self.runs.reset();
        self.count.set(0);
    }

    fn set(&self, protection: &Protection) {
        let Protection {
            schedule,
            database,
            created,
            suspended,
            next,
            interval,
            history,
        } = protection;
        let time = |it: Timestamp| number(it.as_second());
        let values = [
            Some(time(*created)),
            history.last_success.map(time),
            history.last_failure.map(time),
            history.last_succeeded().map(|it| f64::from(u8::from(it))),
            history.seconds.map(number),
            history
                .stored_bytes
                .and_then(|it| i64::try_from(it).ok())
                .map(number),
            next.map(time),
            interval.map(|it| number(it.as_secs())),
            Some(f64::from(u8::from(*suspended))),
        ];
        for (gauge, value) in self.gauges.iter().zip(values) {
            if let Some(value) = value {
                gauge.with_label_values(&[schedule, database]).set(value);
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers than f64"
)]
fn number(value: i64) -> f64 {
    value as f64
}

/// What a scrape shows of schedules and runs.
#[derive(Debug)]
pub struct Shown {
    /// The schedules.
    pub schedules: Vec<Protection>,
    /// How many runs are in each state that is no end.
    pub runs: Vec<(Component, &'static str, usize)>,
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
        let leader = IntGauge::new(
            "postgres_adapter_leader",
            "1 on the scheduler that leads, which tidies up and tells how runs end; 0 on the others.",
        )?;
        registry.register(Box::new(leader.clone()))?;
        let schedules = Schedules::new(&registry)?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            runs,
            calls,
            call_seconds,
            connections,
            leader,
            schedules,
        })
    }

    /// Counts the connections of a port.
    #[must_use]
    pub fn connections(&self, port: &str) -> IntGauge {
        self.connections.with_label_values(&[port])
    }

    /// Counts a run that has finished.
    pub fn count(&self, component: Component, ending: &Ending) {
        let (reason, exit_code) = match ending {
            Ending::Succeeded { .. } => ("", Some(0)),
            Ending::Failed {
                reason, exit_code, ..
            } => (reason.as_str(), *exit_code),
            Ending::Cancelled | Ending::Expired => ("", None),
        };
        let exit_code = exit_code.map_or_else(String::new, |it| it.to_string());
        let labels = [component.word(), ending.word(), reason, &exit_code];
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

    /// Says whether this scheduler leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All of them in Prometheus' text format, with `shown` on the leader; what others would show of
    /// schedules and runs would be counted twice.
    ///
    /// # Errors
    /// When a metric is inconsistent; none that a caller could cause.
    pub fn text(&self, shown: impl FnOnce() -> Shown) -> prometheus::Result<String> {
        let setting = &self.schedules.setting;
        let _one_at_a_time = setting.lock().unwrap_or_else(PoisonError::into_inner);
        self.schedules.clear();
        if self.leader.get() == 1 {
            let Shown { schedules, runs } = shown();
            let count = i64::try_from(schedules.len()).unwrap_or(i64::MAX);
            self.schedules.count.set(count);
            for protection in &schedules {
                self.schedules.set(protection);
            }
            for (component, state, count) in runs {
                let gauge = &self.schedules.runs;
                gauge
                    .with_label_values(&[component.word(), state])
                    .set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
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
