//! A wire of some length and width between the worker and the S3 server: what is sent arrives half a
//! round trip later, and not faster than the wire is wide. Both directions, all connections together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::testbed::{block_on, runtime};

/// Chunks that are on the wire at most, of 16 KiB each: more than any wire here holds.
const ON_THE_WIRE: usize = 4096;
/// What the clock is not finer than, several times over.
const SLACK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
pub(crate) struct Wire {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// Bytes a second; none: as many as come.
    pub(crate) width: Option<f64>,
}

/// A wire that is there; dropped, it ends.
pub(crate) struct Laid {
    pub(crate) port: u16,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Laid {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Wire {
    /// A wire to a port of this machine.
    pub(crate) fn lay(self, upstream: u16) -> Laid {
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = runtime().spawn(async move {
            let (up, down) = (Lane::new(self), Lane::new(self));
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (up, down) = (up.clone(), down.clone());
                tokio::spawn(async move {
                    // The handshake of a connection takes a round trip.
                    tokio::time::sleep(self.round_trip).await;
                    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
                        return;
                    };
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    let ((cr, cw), (sr, sw)) = (client.into_split(), server.into_split());
                    tokio::join!(up.carry(cr, sw), down.carry(sr, cw));
                });
            }
        });
        Laid { port, serving }
    }
}

/// One direction.
#[derive(Clone)]
struct Lane {
    wire: Wire,
    free_at: Arc<Mutex<Instant>>,
}

impl Lane {
    fn new(wire: Wire) -> Self {
        Self {
            wire,
            free_at: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// When so many bytes that are sent now have all arrived.
    fn arrival(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let mut free_at = self.free_at.lock().unwrap();
        if let Some(width) = self.wire.width {
            #[expect(clippy::cast_precision_loss, reason = "a chunk is small")]
            let takes = Duration::from_secs_f64(bytes as f64 / width);
            *free_at = (*free_at).max(now) + takes;
        }
        (*free_at).max(now) + self.wire.round_trip / 2
    }

    async fn carry(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WIRE);
        let take = async move {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                let arrival = self.arrival(count);
                if sender
                    .send((arrival, buffer[..count].to_vec()))
                    .await
                    .is_err()
                {
                    return;
                }
                // A sender does not get ahead of the wire by more than what is on it.
                let ahead = self.wire.round_trip + SLACK;
                until(arrival.checked_sub(ahead).unwrap_or(arrival)).await;
            }
        };
        let give = async move {
            while let Some((arrival, bytes)) = receiver.recv().await {
                until(arrival).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // The other side may be gone by itself.
            let _gone = to.shutdown().await;
        };
        tokio::join!(take, give);
    }
}

/// Waits, and not for a moment that has passed: the clock would make a millisecond of that.
async fn until(moment: Instant) {
    if moment > Instant::now() {
        tokio::time::sleep_until(moment).await;
    }
}
