//! Signals: the first asks the work to stop, the second ends it; and the one deadline of a run's
//! end.
//!
//! Kubernetes kills a pod 30 s after the signal, systemd a service after 90 s. Whatever a run still
//! does after the first signal has what is left of [`END`], and then the process ends. A clean-up
//! after a failure has as long, from its own beginning.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// From the first signal to the end of the process.
pub const END: Duration = Duration::from_secs(25);
/// What of it is kept for telling how the run ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The moment by which something must have ended, whatever it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left until then.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// So long before it.
    #[must_use]
    pub fn earlier(self, time: Duration) -> Self {
        Self(self.0.checked_sub(time).unwrap_or(self.0))
    }

    /// The middle between now and then: the first of two that share the time ends by it.
    #[must_use]
    pub fn half(self) -> Self {
        Self::within(self.left() / 2)
    }

    /// Drives the work until then; none when it had not ended.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.0, work).await.ok()
    }

    /// Comes back then.
    pub async fn passed(self) {
        tokio::time::sleep_until(self.0).await;
    }
}

/// Whether, when and by which signal we were asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    asked: CancellationToken,
    urged: CancellationToken,
    first: Arc<OnceLock<(i32, Instant)>>,
    instead: Arc<Mutex<Option<String>>>,
}

impl Shutdown {
    /// Listens for SIGTERM and SIGINT.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        let mut signals = (signal(terminate)?, signal(interrupt)?);
        let told = shutdown.clone();
        tokio::spawn(async move {
            let first = next(&mut signals).await;
            told.stop(first.as_raw_value());
            next(&mut signals).await;
            told.urged.cancel();
        });
        Ok(shutdown)
    }

    fn stop(&self, signal: i32) {
        self.first.get_or_init(|| (signal, Instant::now()));
        tracing::warn!("asked to stop; stopping");
        self.asked.cancel();
    }

    /// Cancelled by the first signal.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.asked
    }

    /// Comes back after the second signal.
    pub async fn urged(&self) {
        self.urged.cancelled().await;
    }

    /// The number of the first signal, once one has come.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.first.get().map(|(signal, _)| *signal)
    }

    /// What is true from here on of a run that is ended, in the place of that it was not complete: that it is, or that
    /// somebody else decides it, and how a person finds it out. None: it is as ever.
    pub fn says_instead(&self, what: Option<String>) {
        *self.kept() = what;
    }

    /// What is said of a run that is ended now, where that is something of its own.
    #[must_use]
    pub fn instead(&self) -> Option<String> {
        self.kept().clone()
    }

    fn kept(&self) -> MutexGuard<'_, Option<String>> {
        self.instead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By when a clean-up that begins now must have ended.
    #[must_use]
    pub fn clean_up_by(&self) -> Deadline {
        Deadline(self.began() + END - LAST_WORDS)
    }

    /// Comes back when a run that was asked to stop has no more time but to tell so.
    pub async fn overdue(&self) {
        self.asked.cancelled().await;
        self.clean_up_by().passed().await;
    }

    /// Comes back when a run that was asked to stop has no more time at all.
    pub async fn expired(&self) {
        self.asked.cancelled().await;
        Deadline(self.began() + END).passed().await;
    }

    /// The first signal, or now.
    fn began(&self) -> Instant {
        let first = self.first.get().map(|(_, at)| *at);
        first.unwrap_or_else(Instant::now)
    }
}

async fn next((terminate, interrupt): &mut (Signal, Signal)) -> SignalKind {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F55.
    #[tokio::test]
    async fn the_first_signal_begins_the_only_deadline() {
        let shutdown = Shutdown::default();
        let without = shutdown.clean_up_by();
        assert!(without.left() <= END - LAST_WORDS);
        shutdown.stop(15);
        let first = shutdown.clean_up_by();
        assert!(first >= without);
        // Nothing that comes later moves it.
        tokio::time::sleep(Duration::from_millis(5)).await;
        shutdown.stop(2);
        assert_eq!(shutdown.clean_up_by(), first);
        assert_eq!(shutdown.signal(), Some(15));
    }

    #[tokio::test]
    async fn what_has_not_ended_by_its_deadline_is_dropped() {
        let soon = Deadline::within(Duration::from_millis(5));
        assert_eq!(soon.limit(async { 7 }).await, Some(7));
        assert_eq!(soon.limit(std::future::pending::<()>()).await, None);
        assert_eq!(soon.left(), Duration::ZERO);
    }
}
