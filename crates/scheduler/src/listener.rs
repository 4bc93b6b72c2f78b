//! The accept loop of a port or a socket: a limited number of connections, none of which may be silent for long.
//! Whoever has reached the limit is told in the log; new clients then wait until others have gone.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::either::Either;

/// How long a connection may be silent. Clients of gRPC answer our pings much sooner.
pub const IDLE: Duration = Duration::from_secs(75);
/// Between two warnings of the same.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the loop waits when the system has no connection for us.
const PAUSE: Duration = Duration::from_millis(250);
/// Connections of a port at most.
const MOST: u64 = 4_096;
/// File descriptors for all else: the engine, the workers' pipes, the other port.
const KEPT: u64 = 256;

/// What the clients of a port may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long one may be silent.
    pub idle: Duration,
}

impl Limits {
    /// As many connections as the system has file descriptors for, which it is asked for as many as it
    /// may give.
    #[must_use]
    pub fn of_this_process() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, hard)| {
            let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
            if raised.is_ok() { hard } else { soft }
        });
        let connections = (files.saturating_sub(KEPT) / 2).clamp(64, MOST);
        Self {
            connections: usize::try_from(connections).unwrap_or(64),
            idle: IDLE,
        }
    }
}

/// A port of a network, or a socket of this machine.
#[derive(Debug)]
pub enum Port {
    /// A port.
    Tcp(TcpListener),
    /// A socket.
    Unix(UnixListener),
}

impl From<TcpListener> for Port {
    fn from(port: TcpListener) -> Self {
        Self::Tcp(port)
    }
}

impl From<UnixListener> for Port {
    fn from(socket: UnixListener) -> Self {
        Self::Unix(socket)
    }
}

/// A port or a socket that is listened on.
#[derive(Debug)]
pub struct Listener {
    port: Port,
    limits: Limits,
    free: Arc<Semaphore>,
    open: IntGauge,
    warned: Option<Instant>,
}

impl Listener {
    /// A port with these limits; `open` counts its connections.
    #[must_use]
    pub fn new(port: impl Into<Port>, limits: Limits, open: IntGauge) -> Self {
        Self {
            port: port.into(),
            limits,
            free: Arc::new(Semaphore::new(limits.connections)),
            open,
            warned: None,
        }
    }

    /// The next client, and where it is; those of a socket are on this machine.
    pub async fn accept(&mut self) -> (Connection, Option<SocketAddr>) {
        let place = self.place().await;
        loop {
            match self.port.accept().await {
                Ok((stream, address)) => return (self.connection(stream, place), address),
                // Out of file descriptors, for instance: asking at once would not help.
                Err(error) => {
                    self.warn(&format!("the system gives no connection: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.port {
            Port::Tcp(port) => port.local_addr(),
            Port::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        let limit = self.limits.connections;
        self.warn(&format!("all {limit} connections are in use"));
        // It is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    fn connection(&self, stream: Stream, place: Option<OwnedSemaphorePermit>) -> Connection {
        self.open.inc();
        Connection {
            stream,
            limit: self.limits.idle,
            idle: Box::pin(tokio::time::sleep(self.limits.idle)),
            open: self.open.clone(),
            _place: place,
        }
    }

    fn warn(&mut self, why: &str) {
        if self.warned.is_some_and(|it| it.elapsed() < AGAIN) {
            return;
        }
        self.warned = Some(Instant::now());
        let address = self.local_addr().ok();
        tracing::warn!(?address, why, "new clients wait");
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = Option<SocketAddr>;

    async fn accept(&mut self) -> (Connection, Option<SocketAddr>) {
        Self::accept(self).await
    }

    fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        Self::local_addr(self).map(Some)
    }
}

type Stream = Either<TcpStream, UnixStream>;

impl Port {
    async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(port) => {
                let (stream, address) = port.accept().await?;
                // An answer is small and is not kept waiting for more.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %address, "small packets may wait");
                }
                Ok((Either::Left(stream), Some(address)))
            }
            Self::Unix(socket) => {
                let (stream, _unnamed) = socket.accept().await?;
                Ok((Either::Right(stream), None))
            }
        }
    }
}

/// A client's connection, which ends when nothing comes for too long.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    limit: Duration,
    idle: Pin<Box<Sleep>>,
    open: IntGauge,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// The connection over a network; none over a socket.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Either::Left(stream) => Some(stream),
            Either::Right(_) => None,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            let deadline = Instant::now() + self.limit;
            self.idle.as_mut().reset(deadline);
            return Poll::Ready(read);
        }
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
