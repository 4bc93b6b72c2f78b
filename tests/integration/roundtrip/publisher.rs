//! A publisher that nobody is to call: it counts who does, and hangs up.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Listens for as long as this process lives.
pub(super) struct Publisher {
    port: u16,
    calls: Arc<AtomicUsize>,
}

impl Publisher {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let calls = Arc::<AtomicUsize>::default();
        let counted = calls.clone();
        std::thread::spawn(move || {
            for _call in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { port, calls }
    }

    /// Where a subscription finds it, as libpq reads it.
    pub(super) fn connection(&self) -> String {
        let port = self.port;
        format!("host=127.0.0.1 port={port} user=subscriber password=hunter2 dbname=published")
    }

    /// How often it was called since it was last asked.
    pub(super) fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }
}
