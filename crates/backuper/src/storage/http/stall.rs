//! Time-outs that follow the bytes: a connection that moves some is never too slow, whatever the
//! size of what it carries.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};

use super::BoxError;

/// Bytes that are handed to a connection at once: what a slow one takes a while for.
const PIECE: usize = 64 << 10;
/// What buffers between us and the server hold at most: the kernel's, and those of proxies.
const IN_BUFFERS: u64 = 8 << 20;

/// How long nothing may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// With nothing on its way.
    pub(super) idle: Duration,
    /// More for each MiB that has been handed over, since it may still be on its way.
    pub(super) per_mib: Duration,
}

impl Limits {
    fn after(self, sent: u64) -> Duration {
        let mib = u32::try_from(sent.min(IN_BUFFERS) >> 20).unwrap_or(0);
        self.idle + self.per_mib * mib
    }
}

/// Comes back when a request has moved no byte for too long. The counter is that of its
/// [`Sending`].
pub(super) async fn stalled(mut sent: watch::Receiver<u64>, limits: Limits) {
    loop {
        let limit = limits.after(*sent.borrow_and_update());
        match timeout(limit, sent.changed()).await {
            Ok(Ok(())) => {}
            // The body is gone, and what is waited for is the answer.
            Ok(Err(_closed)) => return sleep(limit).await,
            Err(_elapsed) => return,
        }
    }
}

/// A request's body in pieces that are counted when the connection takes them.
pub(super) struct Sending<B> {
    body: B,
    rest: Bytes,
    sent: watch::Sender<u64>,
}

impl<B> Sending<B> {
    /// The body, and the counter of what of it was taken.
    pub(super) fn new(body: B) -> (Self, watch::Receiver<u64>) {
        let (sent, counter) = watch::channel(0);
        let rest = Bytes::new();
        (Self { body, rest, sent }, counter)
    }
}

impl<B> Body for Sending<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended.map(|it| it.map_err(Into::into))),
            }
        }
        let size = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(size);
        self.sent.send_modify(|it| *it += piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(inner.lower() + rest);
        hint
    }
}

#[derive(Debug)]
/// An answer's body that fails when it stands still while somebody wants more of it.
pub(in crate::storage) struct Receiving<B> {
    body: B,
    idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    bounds: Option<Bounds>,
}

/// What an answer may have that is read whole into memory.
#[derive(Debug)]
struct Bounds {
    left: u64,
    ends: Pin<Box<Sleep>>,
}

impl<B> Receiving<B> {
    pub(super) fn new(body: B, limits: Limits) -> Self {
        let idle = limits.idle;
        let waiting = None;
        Self {
            body,
            idle,
            waiting,
            bounds: None,
        }
    }

    /// One that has at most so many bytes, and comes within a time.
    pub(super) fn bounded(self, bytes: u64, within: Duration) -> Self {
        let bounds = Bounds {
            left: bytes,
            ends: Box::pin(sleep(within)),
        };
        Self {
            bounds: Some(bounds),
            ..self
        }
    }

    /// Counts what has come; none where that is too much.
    fn count(&mut self, bytes: usize) -> Option<()> {
        if let Some(bounds) = &mut self.bounds {
            bounds.left = bounds.left.checked_sub(bytes as u64)?;
        }
        Some(())
    }
}

/// Why an answer was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Unbounded {
    #[error("the answer is longer than any that a store gives to this request")]
    Bytes,
    #[error("the answer took longer than any that a store gives to this request")]
    Time,
}

/// Why a body ended that stood still.
#[derive(Debug, thiserror::Error)]
#[error("no byte came for {} s", .0.as_secs())]
struct StoodStill(Duration);

impl<B> Body for Receiving<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(bounds) = &mut self.bounds
            && bounds.ends.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(Unbounded::Time.into())));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            let bytes = match &frame {
                Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => 0,
            };
            if self.count(bytes).is_none() {
                return Poll::Ready(Some(Err(Unbounded::Bytes.into())));
            }
            return Poll::Ready(frame.map(|it| it.map_err(Into::into)));
        }
        let idle = self.idle;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(idle)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Some(Err(StoodStill(idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
