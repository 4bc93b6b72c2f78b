//! What a scrape shows of the operator's objects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::domain::protection::Protection;

/// What is known of the operator's objects.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// How many there are, by kind and phase; the phase of one that has none yet is empty.
    pub counts: BTreeMap<(String, String), usize>,
    /// The DBClusters, and whether each is connected.
    pub servers: BTreeMap<String, bool>,
    /// How often an object of a kind could not be worked on.
    pub failures: BTreeMap<String, u64>,
    /// How the BackupSchedules protect their databases.
    pub schedules: Vec<Protection>,
}

/// What there is to know of the operator; nothing while it does not work here.
type Asked = dyn Fn() -> Option<Objects> + Send + Sync;

/// The operator of this scheduler, as a scrape asks it.
#[derive(Clone)]
pub struct Census(Arc<Asked>);

impl Census {
    /// One that asks this.
    pub fn new(asked: impl Fn() -> Option<Objects> + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }

    /// What is known now.
    #[must_use]
    pub fn take(&self) -> Option<Objects> {
        (self.0)()
    }
}

impl fmt::Debug for Census {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Census").finish_non_exhaustive()
    }
}

/// Writes all but the schedules, which are written with the others.
pub(super) fn write(
    objects: &Objects,
    add: &mut dyn FnMut(&dyn Collector) -> prometheus::Result<()>,
) -> prometheus::Result<()> {
    let opts = Opts::new(
        "postgres_adapter_operator_objects",
        "Objects of dbtether.io that there are, by kind and phase; only the operator that works shows them.",
    );
    let gauge = IntGaugeVec::new(opts, &["kind", "phase"])?;
    for ((kind, phase), count) in &objects.counts {
        gauge
            .with_label_values(&[kind, phase])
            .set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    add(&gauge)?;
    let opts = Opts::new(
        "postgres_adapter_operator_dbcluster_connected",
        "1 when the server of a DBCluster answers, 0 when it does not; only the operator that works shows it.",
    );
    let gauge = IntGaugeVec::new(opts, &["dbcluster"])?;
    for (cluster, is_connected) in &objects.servers {
        gauge
            .with_label_values(&[cluster])
            .set(i64::from(*is_connected));
    }
    add(&gauge)?;
    let opts = Opts::new(
        "postgres_adapter_operator_reconcile_errors_total",
        "How often an object could not be worked on since the scheduler was started, by kind: the API server has not done what it was asked.",
    );
    let counter = IntCounterVec::new(opts, &["kind"])?;
    for (kind, count) in &objects.failures {
        counter.with_label_values(&[kind]).inc_by(*count);
    }
    add(&counter)
}
