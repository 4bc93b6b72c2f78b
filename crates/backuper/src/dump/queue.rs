//! Whose rows are read, when there are more streams than jobs.
//!
//! All pg_dumps start at once, so that each has its locks while the snapshot is fresh; one that has
//! to wait does so with a full pipe. To start it later would let a waiting ALTER TABLE in between,
//! which its lock would then wait for.

use std::sync::Arc;
use std::task::Poll;

use futures::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A place in the queue: what comes is the leave to read, which is the next one's when it is dropped;
/// an error when the queue is closed.
pub(super) type Turn = BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>;

/// So many may read at once, in the order in which they have come: tokio's Semaphore is fair.
#[derive(Debug)]
pub(super) struct Queue {
    all: Arc<Semaphore>,
    jobs: u16,
}

impl Queue {
    #[must_use]
    pub(super) fn new(jobs: u16) -> Self {
        let jobs = jobs.max(1);
        Self {
            all: Arc::new(Semaphore::new(usize::from(jobs))),
            jobs,
        }
    }

    /// The next place, for so many that read or as many as there may be: it is taken at once and not when somebody
    /// first waits for it.
    pub(super) async fn take(&self, readers: u16) -> Turn {
        let readers = readers.clamp(1, self.jobs);
        let all = Arc::clone(&self.all);
        let mut turn = all.acquire_many_owned(u32::from(readers)).boxed();
        match futures::poll!(&mut turn) {
            Poll::Ready(given) => ready(given).boxed(),
            Poll::Pending => turn,
        }
    }

    /// Nobody has a turn any more.
    pub(super) fn close(&self) {
        self.all.close();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_ends_lets_the_next_one_read_in_the_order_of_their_places() {
        let queue = Queue::new(1);
        let (first, second) = (queue.take(1).await, queue.take(1).await);
        let (mut third, mut fourth) = (queue.take(1).await, queue.take(1).await);
        // Who waits first has no turn before it: the places count.
        assert!(futures::poll!(&mut fourth).is_pending());
        let reading = first.await.unwrap();
        assert!(futures::poll!(&mut third).is_pending());
        // The second gives up.
        drop(second);
        drop(reading);
        let reading = third.await.unwrap();
        assert!(futures::poll!(&mut fourth).is_pending());
        drop(reading);
        assert!(fourth.await.is_ok());
    }

    #[tokio::test]
    async fn who_reads_with_several_waits_for_all_of_them_and_for_no_more_than_there_are() {
        let queue = Queue::new(2);
        let (first, mut both) = (queue.take(1).await, queue.take(9).await);
        let mut last = queue.take(1).await;
        let reading = first.await.unwrap();
        assert!(futures::poll!(&mut both).is_pending());
        drop(reading);
        let reading = both.await.unwrap();
        assert_eq!(reading.num_permits(), 2);
        assert!(futures::poll!(&mut last).is_pending());
        drop(reading);
        assert!(last.await.is_ok());
    }

    #[tokio::test]
    async fn without_a_queue_there_is_no_turn() {
        let queue = Queue::new(1);
        let (reading, waiting) = (queue.take(1).await, queue.take(1).await);
        let _reading = reading.await.unwrap();
        drop(queue);
        assert!(waiting.await.is_err());
    }
}
