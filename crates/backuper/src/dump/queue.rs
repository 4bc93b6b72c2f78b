//! Whose rows are read, when there are more streams than jobs.
//!
//! All pg_dumps start at once, so that each has its locks while the snapshot is fresh; one that has
//! to wait does so with a full pipe. To start it later would let a waiting ALTER TABLE in between,
//! which its lock would then wait for.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Turn(oneshot::Receiver<OwnedSemaphorePermit>);

/// Leave to read; dropped, it is the next one's.
#[derive(Debug)]
pub(super) struct Reading(
    #[expect(dead_code, reason = "it is held, and not looked at")] OwnedSemaphorePermit,
);

/// Calls one place after the other.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Vec<oneshot::Sender<OwnedSemaphorePermit>>,
    free: Arc<Semaphore>,
}

impl Turn {
    /// Waits for it, and blocks meanwhile; none when the queue is gone before.
    #[must_use]
    pub(super) fn wait(self) -> Option<Reading> {
        self.0.blocking_recv().ok().map(Reading)
    }
}

impl Queue {
    /// So many places, called in their order, of which `jobs` read at once.
    #[must_use]
    pub(super) fn new(places: usize, jobs: usize) -> (Self, Vec<Turn>) {
        let (waiting, turns) = (0..places)
            .map(|_| {
                let (sender, receiver) = oneshot::channel();
                (sender, Turn(receiver))
            })
            .unzip();
        let free = Arc::new(Semaphore::new(jobs.max(1)));
        (Self { waiting, free }, turns)
    }

    /// Calls until all have been called.
    pub(super) async fn call(self) {
        for place in self.waiting {
            // It is never closed.
            let Ok(free) = Arc::clone(&self.free).acquire_owned().await else {
                return;
            };
            // One that has given up leaves its turn to the next.
            if place.send(free).is_err() {
                tracing::debug!("a stream has ended before its turn");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_ends_lets_the_next_one_read() {
        let (queue, turns) = Queue::new(3, 1);
        let calling = tokio::spawn(queue.call());
        let [first, second, third] = turns.try_into().unwrap();
        let wait = |turn: Turn| tokio::task::spawn_blocking(|| turn.wait());
        let reading = wait(first).await.unwrap();
        assert!(reading.is_some());
        // The second gives up, and the third is not called before the first has ended.
        drop(second);
        let mut waiting = wait(third);
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(reading);
        assert!(waiting.await.unwrap().is_some());
        calling.await.unwrap();
    }

    #[tokio::test]
    async fn without_a_queue_there_is_no_turn() {
        let (queue, mut turns) = Queue::new(1, 1);
        drop(queue);
        let turn = turns.remove(0);
        let waited = tokio::task::spawn_blocking(|| turn.wait().is_none());
        assert!(waited.await.unwrap());
    }
}
