//! Signals: the first asks the work to stop, the second gives up waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether, and by which signal, we were asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    asked: CancellationToken,
    urged: CancellationToken,
    by: Arc<AtomicI32>,
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
            told.by.store(first.as_raw_value(), Ordering::SeqCst);
            tracing::warn!("asked to stop; stopping");
            told.asked.cancel();
            next(&mut signals).await;
            told.urged.cancel();
        });
        Ok(shutdown)
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
        match self.by.load(Ordering::SeqCst) {
            0 => None,
            number => Some(number),
        }
    }
}

async fn next((terminate, interrupt): &mut (Signal, Signal)) -> SignalKind {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    }
}
