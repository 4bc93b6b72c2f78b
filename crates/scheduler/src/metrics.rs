//! Every metric of the scheduler, its name and its labels.

pub mod objects;
mod verified;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use backuper::runtime::failure::UNCOPIED;
use backuper::summary::is_uncopied;
use jiff::Timestamp;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use objects::Objects;

use crate::domain::protection::Protection;
use crate::domain::run::{Component, Ending, Run};
use crate::domain::verified::Verified;

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
    /// Of a scheduler that has an operator.
    operator: Arc<OnceLock<IntGauge>>,
    /// One scrape at a time.
    scraping: Arc<Mutex<()>>,
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

/// What [`OF_SCHEDULES`] shows of one; none: it shows nothing of it.
fn of_schedule(protection: &Protection) -> [Option<f64>; OF_SCHEDULES.len()] {
    let Protection {
        schedule: _,
        database: _,
        created,
        suspended,
        next,
        interval,
        history,
    } = protection;
    let time = |it: Timestamp| number(it.as_second());
    [
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
    ]
}

/// Writes what a scrape shows of schedules and runs, one metric after another: those of ten thousand
/// schedules take more memory than all else.
fn write(shown: &Shown, text: &mut String) -> prometheus::Result<()> {
    let Shown {
        schedules,
        runs,
        under_way,
        objects,
        verifications,
    } = shown;
    let mut add = |gauge: &dyn Collector| {
        let found = gauge.collect();
        if found.iter().all(|it| it.get_metric().is_empty()) {
            return Ok(());
        }
        TextEncoder::new().encode_utf8(&found, text)
    };
    let count = IntGauge::new(
        "postgres_adapter_schedules",
        "Schedules that there are; only the leader shows them.",
    )?;
    let of_objects = objects.iter().flat_map(|it| &it.schedules);
    let schedules: Vec<&Protection> = schedules.iter().chain(of_objects).collect();
    count.set(i64::try_from(schedules.len()).unwrap_or(i64::MAX));
    add(&count)?;
    let opts = Opts::new(
        "postgres_adapter_runs",
        "Runs that have not ended, by component and state: waiting or running; only the leader shows them.",
    );
    let gauge = IntGaugeVec::new(opts, &["component", "state"])?;
    for (component, state, count) in runs {
        gauge
            .with_label_values(&[component.word(), state])
            .set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    add(&gauge)?;
    add(&since(under_way)?)?;
    for (at, (name, help)) in OF_SCHEDULES.into_iter().enumerate() {
        let gauge = GaugeVec::new(Opts::new(name, help), &["schedule", "database"])?;
        for protection in &schedules {
            let values = of_schedule(protection);
            if let Some(value) = values.get(at).copied().flatten() {
                let labels = [protection.schedule.as_str(), &protection.database];
                gauge.with_label_values(&labels).set(value);
            }
        }
        add(&gauge)?;
    }
    for gauge in verified::gauges(verifications)? {
        add(&gauge)?;
    }
    match objects {
        Some(objects) => objects::write(objects, &mut add),
        None => Ok(()),
    }
}

/// Since when each of these runs waits or runs; of several that are alike, the first.
fn since(runs: &[Run]) -> prometheus::Result<GaugeVec> {
    let opts = Opts::new(
        "postgres_adapter_run_since_timestamp_seconds",
        "Since when a run waits, or its worker runs, seconds since 1970; only the leader shows it.",
    );
    let labels = ["component", "state", "schedule", "database"];
    let gauge = GaugeVec::new(opts, &labels)?;
    for run in runs {
        let schedule = run.schedule.as_deref().unwrap_or_default();
        let (component, state) = (run.component.word(), run.state.word());
        let gauge = gauge.with_label_values(&[component, state, schedule, &run.database]);
        let since = number(run.started.unwrap_or(run.created).as_second());
        // A new one is at zero.
        if gauge.get() == 0.0 || since < gauge.get() {
            gauge.set(since);
        }
    }
    Ok(gauge)
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
    /// Those runs.
    pub under_way: Vec<Run>,
    /// The operator's objects, where it works here.
    pub objects: Option<Objects>,
    /// What is known of the schedules' drills.
    pub verifications: Vec<Verified>,
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
            "Runs of workers that have finished since the scheduler was started; a restore that has failed with its database.",
        );
        let runs = IntCounterVec::new(
            opts,
            &["component", "outcome", "reason", "exit_code", "database"],
        )?;
        registry.register(Box::new(runs.clone()))?;
        let opts = Opts::new(
            "postgres_adapter_calls_total",
            "Calls that have been answered or given up, by method and gRPC code.",
        );
        let calls = IntCounterVec::new(opts, &["method", "code"])?;
        registry.register(Box::new(calls.clone()))?;
        let opts = HistogramOpts::new(
            "postgres_adapter_call_duration_seconds",
            "How long calls took; those that stream until they began to.",
        );
        let opts = opts.buckets(CALL_BUCKETS.to_vec());
        let call_seconds = HistogramVec::new(opts, &["method"])?;
        registry.register(Box::new(call_seconds.clone()))?;
        let opts = Opts::new(
            "postgres_adapter_connections",
            "Connections that clients have now, by port: grpc or http, and socket on one machine.",
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
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            runs,
            calls,
            call_seconds,
            connections,
            leader,
            operator: Arc::default(),
            scraping: Arc::default(),
        })
    }

    /// Counts the connections of a port.
    #[must_use]
    pub fn connections(&self, port: &str) -> IntGauge {
        self.connections.with_label_values(&[port])
    }

    /// Counts a run that has finished. Of backups the schedules' own metrics name the database, and who
    /// restores may think of ever new ones: only where a restore has failed is it a label.
    pub fn count(&self, run: &Run, ending: &Ending) {
        let (reason, exit_code) = match ending {
            // A backup that is complete, and its copy is not.
            Ending::Succeeded {
                message: Some(sentence),
            } if is_uncopied(sentence) => ("", Some(i32::from(UNCOPIED))),
            Ending::Succeeded { .. } => ("", Some(0)),
            Ending::Failed {
                reason, exit_code, ..
            } => (reason.as_str(), *exit_code),
            Ending::Cancelled | Ending::Expired => ("", None),
        };
        let exit_code = exit_code.map_or_else(String::new, |it| it.to_string());
        let database = match (run.component, ending) {
            (Component::Restore, Ending::Failed { .. } | Ending::Expired) => run.database.as_str(),
            _ => "",
        };
        let component = run.component.word();
        let labels = [component, ending.word(), reason, &exit_code, database];
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

    /// Says whether the operator of this scheduler works; whoever never says it has none.
    ///
    /// # Errors
    /// When the name is not one; none that a caller could cause.
    pub fn operates(&self, works: bool) -> prometheus::Result<()> {
        let gauge = match self.operator.get() {
            Some(gauge) => gauge,
            None => {
                let gauge = IntGauge::new(
                    "postgres_adapter_operator_leader",
                    "1 on the scheduler whose operator works on objects of dbtether.io; 0 on the others.",
                )?;
                let gauge = self.operator.get_or_init(|| gauge);
                // Another one that was as quick has registered it.
                drop(self.registry.register(Box::new(gauge.clone())));
                gauge
            }
        };
        gauge.set(i64::from(works));
        Ok(())
    }

    /// All of them in Prometheus' text format, with `shown` on the leader; what others would show of
    /// schedules and runs would be counted twice.
    ///
    /// # Errors
    /// When a metric is inconsistent; none that a caller could cause.
    pub fn text(&self, shown: impl FnOnce() -> Shown) -> prometheus::Result<String> {
        let _one_at_a_time = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = TextEncoder::new().encode_to_string(&self.registry.gather())?;
        if self.leader.get() == 1 {
            write(&shown(), &mut text)?;
        }
        Ok(text)
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
