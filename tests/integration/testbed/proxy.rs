//! A TCP proxy that breaks connections: for PostgreSQL, and for whatever else.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{block_on, runtime};

/// A proxy. Dropped, it ends with its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    cut: watch::Sender<u64>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    upstream: AtomicU16,
    /// Besides it, by turns.
    others: Mutex<Vec<u16>>,
    refuse: AtomicBool,
    stalled: AtomicBool,
    latency: AtomicU64,
    bytes_per_second: AtomicU64,
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    cut_up_after: AtomicI64,
    cut_down_after: AtomicI64,
}

impl Proxy {
    /// A proxy before a port of this machine that changes nothing yet.
    pub fn start(upstream: u16) -> Self {
        let state = Arc::new(State {
            upstream: AtomicU16::new(upstream),
            others: Mutex::default(),
            refuse: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            latency: AtomicU64::new(0),
            bytes_per_second: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            cut_up_after: AtomicI64::new(-1),
            cut_down_after: AtomicI64::new(-1),
        });
        let (cut, cutting) = watch::channel(0);
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        Self {
            port: listener.local_addr().expect("an address").port(),
            serving: runtime().spawn(accept(listener, state.clone(), cutting)),
            state,
            cut,
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Brings new connections to another port of this machine.
    pub fn lead_to(&self, upstream: u16) {
        self.state.upstream.store(upstream, Ordering::SeqCst);
    }

    /// Brings new connections to these ports too, by turns, as a Service does with its pods.
    pub fn lead_also_to(&self, others: &[u16]) {
        *self.state.others.lock().expect("nobody panics") = others.to_vec();
    }

    /// Bytes that went to the server until now.
    pub fn sent(&self) -> u64 {
        self.state.up.load(Ordering::SeqCst)
    }

    /// Bytes that came from the server until now.
    pub fn received(&self) -> u64 {
        self.state.down.load(Ordering::SeqCst)
    }

    /// Connections until now.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Cuts all connections when this many more bytes went to the server; once.
    pub fn cut_after_sending(&self, bytes: u64) {
        let limit = i64::try_from(bytes).expect("a reasonable count");
        self.state.cut_up_after.store(limit, Ordering::SeqCst);
    }

    /// Cuts all connections when this many more bytes came from the server; once.
    pub fn cut_after_receiving(&self, bytes: u64) {
        let limit = i64::try_from(bytes).expect("a reasonable count");
        self.state.cut_down_after.store(limit, Ordering::SeqCst);
    }

    /// Cuts all connections now.
    pub fn cut(&self) {
        self.cut.send_modify(|it| *it += 1);
    }

    /// Takes new connections and closes them at once, or does so no more.
    pub fn refuse(&self, yes: bool) {
        self.state.refuse.store(yes, Ordering::SeqCst);
    }

    /// Passes nothing on any more, with open connections; or does so again.
    pub fn stall(&self, yes: bool) {
        self.state.stalled.store(yes, Ordering::SeqCst);
    }

    /// Passes so much on at most, each connection in each direction.
    pub fn limit(&self, bytes_per_second: u64) {
        let limit = &self.state.bytes_per_second;
        limit.store(bytes_per_second, Ordering::SeqCst);
    }

    /// Waits this long before anything is passed on.
    pub fn slow(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).expect("a reasonable time");
        self.state.latency.store(micros, Ordering::SeqCst);
    }
}

impl State {
    fn next(&self, turn: u64) -> u16 {
        let mut all = vec![self.upstream.load(Ordering::SeqCst)];
        all.extend_from_slice(&self.others.lock().expect("nobody panics"));
        let turn = usize::try_from(turn).expect("few");
        all[turn % all.len()]
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, cutting: watch::Receiver<u64>) {
    loop {
        let (client, _) = listener.accept().await.expect("the listener lives");
        let turn = state.connections.fetch_add(1, Ordering::SeqCst);
        if state.refuse.load(Ordering::SeqCst) {
            continue;
        }
        let (state, mut cutting) = (state.clone(), cutting.clone());
        cutting.mark_unchanged();
        tokio::spawn(async move {
            let upstream = TcpStream::connect(("127.0.0.1", state.next(turn)));
            let Ok(server) = upstream.await else { return };
            let ((cr, cw), (sr, sw)) = (client.into_split(), server.into_split());
            let up = pass(cr, sw, &state, &state.up, &state.cut_up_after);
            let down = pass(sr, cw, &state, &state.down, &state.cut_down_after);
            tokio::select! {
                // One direction may end long before the other.
                _both = async { tokio::join!(up, down) } => {}
                _cut = cutting.changed() => {}
            }
        });
    }
}

/// Copies one direction. When its limit is reached the whole connection is left in the lurch:
/// both ends see it close in the middle.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &State,
    passed: &AtomicU64,
    limit: &AtomicI64,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let latency = state.latency.load(Ordering::SeqCst);
        if latency > 0 {
            tokio::time::sleep(Duration::from_micros(latency)).await;
        }
        let rate = state.bytes_per_second.load(Ordering::SeqCst);
        if let Some(micros) = (count as u64 * 1_000_000).checked_div(rate) {
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        while state.stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let left = limit.load(Ordering::SeqCst);
        let signed = i64::try_from(count).expect("a buffer's size");
        if left >= 0 && left <= signed {
            limit.store(-1, Ordering::SeqCst);
            let kept = usize::try_from(left).expect("not negative");
            drop(to.write_all(&buffer[..kept]).await);
            reset(&from, &to);
            return;
        }
        if left >= 0 {
            limit.store(left - signed, Ordering::SeqCst);
        }
        passed.fetch_add(count as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}

/// Ends both directions of both connections.
fn reset(from: &OwnedReadHalf, to: &OwnedWriteHalf) {
    use nix::sys::socket::{Shutdown, shutdown};
    use std::os::fd::AsRawFd as _;
    for socket in [from.as_ref(), to.as_ref()] {
        // It may have been closed by its other end, which is as good.
        let _already_closed = shutdown(socket.as_raw_fd(), Shutdown::Both);
    }
}
