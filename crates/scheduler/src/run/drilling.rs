//! The restore drills of schedules at their times, as long as this scheduler leads.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::service::Service;
use crate::service::drills::following::Following;

/// Between two looks at least: runs may change often.
const BETWEEN: Duration = Duration::from_secs(1);
/// How much longer than a look that is at least: there may be many schedules.
const TIMES: u32 = 10;

/// Begins what is due and hears what came of it.
pub(super) async fn follow(
    service: &Service,
    mut leads: watch::Receiver<bool>,
    stop: &CancellationToken,
) {
    let mut changed = service.ledger().changed();
    let mut following = Following::default();
    loop {
        if !*leads.borrow() {
            // What another leader has kept meanwhile is not known.
            following = Following::default();
        }
        let waited = tokio::select! {
            () = stop.cancelled() => return,
            leading = leads.wait_for(|it| *it) => leading.map(drop),
        };
        if waited.is_err() {
            return;
        }
        changed.mark_unchanged();
        let began = Instant::now();
        let rests = tokio::select! {
            () = stop.cancelled() => return,
            rests = service.follow_drills(&mut following, Timestamp::now()) => rests,
        };
        let between = BETWEEN.max(began.elapsed() * TIMES);
        let something = async {
            tokio::time::sleep(between).await;
            // Its sender is the ledger's, which the service has.
            drop(changed.changed().await);
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = something => {}
            () = tokio::time::sleep(rests.max(between)) => {}
        }
    }
}
