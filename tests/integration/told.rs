//! An engine at work, and what it tells of runs that end: each once, as the scheduler's observer hears
//! it.

use std::sync::{Arc, Mutex};

use futures::{FutureExt as _, StreamExt as _};
use scheduler::domain::run::Run;
use scheduler::engine::{Change, Engine};
use scheduler::service::ledger::Ledger;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::testbed::{block_on, runtime};

pub(crate) struct Told {
    seen: Arc<Mutex<Vec<Run>>>,
    stop: CancellationToken,
    working: Option<JoinHandle<()>>,
}

impl Told {
    pub(crate) fn by(engine: Arc<dyn Engine>) -> Self {
        let (seen, stop) = (Arc::default(), CancellationToken::new());
        let hearing = Hearing {
            engine: engine.clone(),
            ledger: Ledger::default(),
            seen: Arc::clone(&seen),
        };
        let asked = stop.clone();
        let working = runtime().spawn(async move {
            let mut changes = engine.changes();
            let work = engine.work(asked, watch::channel(false).0);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    () = &mut work => break,
                    change = changes.next() => hearing.hear(change.expect("it goes on")).await,
                }
            }
            while let Some(Some(change)) = changes.next().now_or_never() {
                hearing.hear(change).await;
            }
        });
        Self {
            seen,
            stop,
            working: Some(working),
        }
    }

    pub(crate) fn seen(&self) -> Vec<Run> {
        self.seen.lock().expect("unpoisoned").clone()
    }

    /// Stops the engine; all that was told.
    pub(crate) fn stop(mut self) -> Vec<Run> {
        self.stop.cancel();
        if let Some(working) = self.working.take() {
            block_on(working).expect("no panic");
        }
        self.seen()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Hearing {
    engine: Arc<dyn Engine>,
    ledger: Ledger,
    seen: Arc<Mutex<Vec<Run>>>,
}

impl Hearing {
    async fn hear(&self, change: Change) {
        if let Some(run) = self.ledger.apply(change)
            && self.ledger.claim(&run.id)
        {
            let acknowledged = self.engine.acknowledge(&run).await;
            self.seen.lock().expect("unpoisoned").push(run);
            acknowledged.expect("remembered");
        }
    }
}
