//! Who tells how runs ended: the leader, once for each, in the log, in metrics and to the engine. It
//! feeds the ledger on every scheduler.

use std::sync::Arc;
use std::time::Duration;

use backuper::summary::is_uncopied;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::domain::run::{Ending, Run, State};
use crate::engine::{Change, Engine};
use crate::metrics::Metrics;
use crate::service::ledger::Ledger;

/// Before what the engine could not remember is said to it again.
const AGAIN: Duration = Duration::from_secs(30);

/// How many ends the engine is asked to remember at once.
const AT_ONCE: usize = 16;

/// What is known of a run that somebody has removed.
const REMOVED: &str =
    "it was removed before it had ended; what a restore has done by then, only the database says";

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
        let mut acknowledging = Acknowledging::new(self.engine.clone());
        let mut again = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                change = changes.next() => match change {
                    Some(change) => self.hear(change, &mut acknowledging),
                    None => changes = self.engine.changes(),
                },
                changed = self.leads.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.metrics.leads(*self.leads.borrow_and_update());
                    self.tell_untold(&mut acknowledging);
                }
                Some(done) = acknowledging.working.join_next() => acknowledging.done(done),
                _ = again.tick() => acknowledging.again(),
            }
        }
        while let Some(Some(change)) = changes.next().now_or_never() {
            self.hear(change, &mut acknowledging);
        }
        acknowledging.working.join_all().await;
    }

    fn hear(&self, change: Change, acknowledging: &mut Acknowledging) {
        if let Change::RunGone(id) = &change
            && *self.leads.borrow()
        {
            self.tell_removed(id);
        }
        if let Some(run) = self.ledger.apply(change)
            && *self.leads.borrow()
        {
            self.tell(run, acknowledging);
        }
    }

    /// A run that was removed under its worker: nobody else says anything of it.
    fn tell_removed(&self, id: &str) {
        let run = self.ledger.run_of_id(id);
        let Some(run) = run.filter(|it| it.state == State::Running) else {
            return;
        };
        let ending = Ending::failed("Removed", None, Some(REMOVED.to_owned()));
        self.metrics.count(&run, &ending);
        log(&run, &ending);
    }

    /// What has ended while nobody led.
    fn tell_untold(&self, acknowledging: &mut Acknowledging) {
        if *self.leads.borrow() {
            for run in self.ledger.untold() {
                self.tell(run, acknowledging);
            }
        }
    }

    fn tell(&self, run: Run, acknowledging: &mut Acknowledging) {
        if let Some(ending) = run.state.ending()
            && self.ledger.claim(&run.id)
        {
            self.metrics.count(&run, ending);
            log(&run, ending);
            acknowledging.start(run);
        }
    }
}

/// The ends that the engine is to remember as told, beside what else goes on.
#[derive(Debug)]
struct Acknowledging {
    engine: Arc<dyn Engine>,
    working: JoinSet<Option<Run>>,
    places: Arc<Semaphore>,
    /// What it could not remember.
    failed: Vec<Run>,
}

impl Acknowledging {
    fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            working: JoinSet::new(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            failed: Vec::new(),
        }
    }

    fn start(&mut self, run: Run) {
        let (engine, places) = (self.engine.clone(), self.places.clone());
        self.working.spawn(async move {
            // Nobody closes it.
            let _place = places.acquire().await.ok()?;
            let error = engine.acknowledge(&run).await.err()?;
            tracing::debug!(run = %run.name, error = error.chain(), "that its end was told is said again");
            Some(run)
        });
    }

    fn done(&mut self, done: Result<Option<Run>, JoinError>) {
        match done {
            Ok(run) => self.failed.extend(run),
            Err(error) => tracing::error!(%error, "that an end was told is not remembered"),
        }
    }

    fn again(&mut self) {
        for run in std::mem::take(&mut self.failed) {
            self.start(run);
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
        Ending::Succeeded { .. } if is_uncopied(message) => {
            tracing::warn!(run = %name, schedule, %database, seconds, "{what} succeeded, and is not in the second store: {message}");
        }
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
