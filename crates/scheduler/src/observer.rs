//! Who tells how runs ended: the leader, once for each, in the log, in metrics and to the engine. It
//! feeds the ledger on every scheduler.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::run::{Ending, Run};
use crate::engine::{Change, Engine};
use crate::metrics::Metrics;
use crate::service::ledger::Ledger;

/// Before what the engine could not remember is said to it again.
const AGAIN: Duration = Duration::from_secs(30);

/// What the observer needs.
#[derive(Debug)]
pub struct Observer {
    /// Whose changes it hears.
    pub engine: Arc<dyn Engine>,
    /// What it feeds.
    pub ledger: Ledger,
    /// What it counts in.
    pub metrics: Metrics,
    /// Whether this scheduler leads.
    pub leads: watch::Receiver<bool>,
}

impl Observer {
    /// Until stopped; what has ended by then is told.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.engine.changes();
        let mut unacknowledged: Vec<Run> = Vec::new();
        let mut again = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                change = changes.next() => match change {
                    Some(change) => unacknowledged.extend(self.hear(change).await),
                    None => changes = self.engine.changes(),
                },
                changed = self.leads.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.metrics.leads(*self.leads.borrow_and_update());
                    unacknowledged.extend(self.tell_untold().await);
                }
                _ = again.tick() => {
                    for run in std::mem::take(&mut unacknowledged) {
                        unacknowledged.extend(self.acknowledge(run).await);
                    }
                }
            }
        }
        while let Some(Some(change)) = changes.next().now_or_never() {
            self.hear(change).await;
        }
    }

    async fn hear(&self, change: Change) -> Option<Run> {
        let untold = self.ledger.apply(change)?;
        if *self.leads.borrow() {
            self.tell(untold).await
        } else {
            None
        }
    }

    /// What has ended while nobody led.
    async fn tell_untold(&self) -> Vec<Run> {
        let mut unacknowledged = Vec::new();
        if *self.leads.borrow() {
            for run in self.ledger.untold() {
                unacknowledged.extend(self.tell(run).await);
            }
        }
        unacknowledged
    }

    /// Gives the run back where the engine could not remember that it was told.
    async fn tell(&self, run: Run) -> Option<Run> {
        if !self.ledger.claim(&run.id) {
            return None;
        }
        let ending = run.state.ending()?;
        self.metrics.count(run.component, ending);
        log(&run, ending);
        self.acknowledge(run).await
    }

    async fn acknowledge(&self, run: Run) -> Option<Run> {
        match self.engine.acknowledge(&run).await {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(run = %run.name, error = error.chain(), "that its end was told is said again");
                Some(run)
            }
        }
    }
}

/// One line for an end.
fn log(run: &Run, ending: &Ending) {
    let Run {
        component,
        name,
        database,
        ..
    } = run;
    let schedule = run.schedule.as_deref().unwrap_or_default();
    let seconds = run.seconds().unwrap_or_default();
    let message = ending.message().unwrap_or_default();
    let what = component.word();
    match ending {
        Ending::Succeeded { .. } => {
            tracing::info!(run = %name, schedule, %database, seconds, "{what} succeeded: {message}");
        }
        Ending::Failed {
            reason, exit_code, ..
        } => {
            tracing::error!(run = %name, schedule, %database, seconds, reason, exit_code, error = message, "{what} failed");
        }
        Ending::Cancelled => {
            tracing::warn!(run = %name, schedule, %database, seconds, "{what} cancelled");
        }
        Ending::Expired => {
            tracing::error!(run = %name, schedule, %database, "{what} expired: it had waited longer than it may, and did not begin; nothing was changed");
        }
    }
}
