//! Rows of COPY, taken out of a connection before tokio-postgres sees them: it hands each row on by itself, which
//! costs twice the CPU. All else (the login, errors, the end of a COPY) stays tokio-postgres's.
//!
//! The messages are those of the PostgreSQL manual, 55.2.6: COPY operations, and 55.7: message formats.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt as _, Ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::PollSender;

/// Bytes of rows that are handed on at once.
pub(crate) const CHUNK: usize = 128 << 10;
/// Bytes that are read at once.
const READ: usize = 64 << 10;
/// What begins a message: its kind, and its length with these four bytes.
const HEAD: usize = 5;
/// The longest end of a COPY: `COPY`, a number, and a zero.
const LONGEST_END: usize = 64;

const COPY_DATA: u8 = b'd';
const COMMAND_COMPLETE: u8 = b'C';

/// What COPY has sent, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Rows, in pieces of any size.
    Rows(Bytes),
    /// A COPY has ended well and the server has sent so many rows.
    End(u64),
}

/// A connection's stream without the rows.
pub(super) struct Tap<S> {
    inner: S,
    sender: PollSender<Passed>,
    messages: Messages,
}

/// What has come, message by message.
#[derive(Debug, Default)]
struct Messages {
    input: BytesMut,
    within: Within,
    rows: BytesMut,
    ready: VecDeque<Passed>,
    /// For tokio-postgres.
    rest: BytesMut,
}

/// What the next byte is of.
#[derive(Clone, Copy, Debug, Default)]
enum Within {
    #[default]
    Head,
    /// Rows, of which so many bytes are to come.
    Rows(usize),
    /// Something else, of which so many bytes are to come.
    Rest(usize),
}

impl Messages {
    /// Takes apart what has come, up to where rows are to be handed on before anything else.
    fn split(&mut self) {
        while self.ready.is_empty() {
            match self.within {
                Within::Rows(0) | Within::Rest(0) => self.within = Within::Head,
                Within::Head if self.input.len() < HEAD => return,
                Within::Head => {
                    let Some(next) = self.head() else { return };
                    self.within = next;
                }
                Within::Rows(_) | Within::Rest(_) if self.input.is_empty() => return,
                Within::Rows(left) => {
                    if self.rows.is_empty() {
                        self.rows.reserve(CHUNK);
                    }
                    let room = CHUNK - self.rows.len();
                    let count = left.min(self.input.len()).min(room);
                    self.rows.extend_from_slice(&self.input[..count]);
                    self.input.advance(count);
                    self.within = Within::Rows(left - count);
                    if self.rows.len() == CHUNK {
                        self.hand_on();
                    }
                }
                Within::Rest(left) => {
                    let count = left.min(self.input.len());
                    self.rest.extend_from_slice(&self.input[..count]);
                    self.input.advance(count);
                    self.within = Within::Rest(left - count);
                }
            }
        }
    }

    /// What follows by the head of a message; none where more of it is needed.
    fn head(&mut self) -> Option<Within> {
        let mut head = &self.input[..HEAD];
        let (kind, length) = (head.get_u8(), head.get_u32() as usize);
        let whole = length + 1;
        match kind {
            COPY_DATA => {
                self.input.advance(HEAD);
                return Some(Within::Rows(whole.saturating_sub(HEAD)));
            }
            COMMAND_COMPLETE if whole <= LONGEST_END => {
                let message = self.input.get(..whole)?;
                if let Some(rows) = copied(message.get(HEAD..).unwrap_or_default()) {
                    self.hand_on();
                    self.ready.push_back(Passed::End(rows));
                }
            }
            _ => {}
        }
        Some(Within::Rest(whole))
    }

    fn hand_on(&mut self) {
        if !self.rows.is_empty() {
            let rows = self.rows.split().freeze();
            self.ready.push_back(Passed::Rows(rows));
        }
    }
}

/// The number in `COPY 12`, as it stands at the end of a command.
fn copied(tag: &[u8]) -> Option<u64> {
    let tag = std::str::from_utf8(tag).ok()?.strip_suffix('\0')?;
    tag.strip_prefix("COPY ")?.parse().ok()
}

fn nobody_reads<E>(_closed: E) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the rows any more")
}

impl<S> Tap<S> {
    fn new(inner: S, sender: mpsc::Sender<Passed>) -> Self {
        Self {
            inner,
            sender: PollSender::new(sender),
            messages: Messages::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            inner,
            sender,
            messages,
        } = self.get_mut();
        loop {
            while !messages.ready.is_empty() {
                ready!(sender.poll_reserve(context)).map_err(nobody_reads)?;
                if let Some(passed) = messages.ready.pop_front() {
                    sender.send_item(passed).map_err(nobody_reads)?;
                }
            }
            if !messages.rest.is_empty() {
                let count = messages.rest.len().min(buffer.remaining());
                buffer.put_slice(&messages.rest.split_to(count));
                return Poll::Ready(Ok(()));
            }
            messages.split();
            if !messages.ready.is_empty() || !messages.rest.is_empty() {
                continue;
            }
            messages.input.reserve(READ);
            let read = poll_read_buf(Pin::new(&mut *inner), context, &mut messages.input);
            if ready!(read)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Tap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// Makes connections whose rows go to `sender`.
#[derive(Clone)]
pub(super) struct Tapped<C> {
    pub(super) connector: C,
    pub(super) sender: mpsc::Sender<Passed>,
}

impl<C> MakeTlsConnect<Socket> for Tapped<C>
where
    C: MakeTlsConnect<Socket>,
    C::Stream: Send + 'static,
    <C::TlsConnect as TlsConnect<Socket>>::Future: Send + 'static,
{
    type Stream = Tap<C::Stream>;
    type TlsConnect = Tapped<C::TlsConnect>;
    type Error = C::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, C::Error> {
        Ok(Tapped {
            connector: self.connector.make_tls_connect(domain)?,
            sender: self.sender.clone(),
        })
    }
}

impl<C> TlsConnect<Socket> for Tapped<C>
where
    C: TlsConnect<Socket>,
    C::Stream: Send + 'static,
    C::Future: Send + 'static,
{
    type Stream = Tap<C::Stream>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, C::Error>>;

    fn connect(self, stream: Socket) -> Self::Future {
        let Self { connector, sender } = self;
        let connecting = connector.connect(stream);
        async move { Ok(Tap::new(connecting.await?, sender)) }.boxed()
    }
}

/// No TLS, and yet a stream that can be wrapped: tokio-postgres has that for TLS alone, so it is told that TLS begins
/// at once (`sslnegotiation=direct`), and what begins is the stream as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clear;

impl MakeTlsConnect<Socket> for Clear {
    type Stream = ClearStream;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _domain: &str) -> io::Result<Self> {
        Ok(Self)
    }
}

impl TlsConnect<Socket> for Clear {
    type Stream = ClearStream;
    type Error = io::Error;
    type Future = Ready<io::Result<ClearStream>>;

    fn connect(self, stream: Socket) -> Self::Future {
        futures::future::ready(Ok(ClearStream(stream)))
    }
}

/// A stream without TLS.
pub(super) struct ClearStream(Socket);

impl AsyncRead for ClearStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClearStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

impl TlsStream for ClearStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    /// What reaches tokio-postgres, and what is handed on, of bytes that come in pieces of such a size.
    async fn tapped(bytes: &[u8], step: usize) -> (Vec<u8>, Vec<Passed>) {
        let mut network = tokio_test_stream(bytes, step);
        let (sender, mut receiver) = mpsc::channel(1);
        let mut tap = Tap::new(&mut network, sender);
        let taking = async {
            let mut all = Vec::new();
            while let Some(passed) = receiver.recv().await {
                all.push(passed);
            }
            all
        };
        let reading = async {
            let mut rest = Vec::new();
            tap.read_to_end(&mut rest).await.unwrap();
            drop(tap);
            rest
        };
        tokio::join!(reading, taking)
    }

    fn tokio_test_stream(bytes: &[u8], step: usize) -> impl AsyncRead + Unpin + use<> {
        let pieces: Vec<io::Result<Bytes>> = bytes
            .chunks(step)
            .map(|it| Ok(Bytes::copy_from_slice(it)))
            .collect();
        tokio_util::io::StreamReader::new(futures::stream::iter(pieces))
    }

    fn joined(passed: &[Passed]) -> Vec<u8> {
        let rows = passed.iter().filter_map(|it| match it {
            Passed::Rows(rows) => Some(rows.as_ref()),
            Passed::End(_) => None,
        });
        rows.collect::<Vec<_>>().concat()
    }

    #[tokio::test]
    async fn rows_are_taken_out_and_all_else_passes_however_the_bytes_come() {
        let others = [
            message(b'R', &[0; 4]),
            message(b'C', b"SELECT 1\0"),
            message(b'H', &[0, 0, 1, 0, 0]),
        ]
        .concat();
        let ends = [
            message(b'c', b""),
            message(b'C', b"COPY 3\0"),
            message(b'Z', b"I"),
        ]
        .concat();
        let rows = [
            message(b'd', b"1\ta\n"),
            message(b'd', b"\n"),
            message(b'd', b"2\tCOPY 9\0\n"),
        ]
        .concat();
        let notice = message(b'N', b"dCd\0");
        let all = [others.clone(), rows, notice.clone(), ends.clone()].concat();
        for step in [1, 2, 5, 7, 1 << 20] {
            let (rest, passed) = tapped(&all, step).await;
            assert_eq!(
                rest,
                [others.clone(), notice.clone(), ends.clone()].concat()
            );
            assert_eq!(joined(&passed), b"1\ta\n\n2\tCOPY 9\0\n");
            assert_eq!(passed.last(), Some(&Passed::End(3)));
        }
    }

    #[tokio::test]
    async fn a_row_of_any_size_is_handed_on_in_pieces() {
        let row = vec![b'x'; 3 * CHUNK + 17];
        let all = [message(b'd', &row), message(b'C', b"COPY 1\0")].concat();
        let (_, passed) = tapped(&all, 8192).await;
        assert_eq!(joined(&passed), row);
        assert!(passed.len() >= 4, "{}", passed.len());
        assert_eq!(passed.last(), Some(&Passed::End(1)));
    }

    #[tokio::test]
    async fn a_connection_whose_rows_nobody_takes_breaks() {
        let rows = message(b'd', &vec![0; 4 * CHUNK]);
        let mut network = tokio_test_stream(&rows, 8192);
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let error = Tap::new(&mut network, sender).read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_end_of_another_command_is_no_end_of_a_copy() {
        assert_eq!(copied(b"COPY 18446744073709551615\0"), Some(u64::MAX));
        for tag in [
            &b"COPY\0"[..],
            b"COPY x\0",
            b"COPY 1",
            b"SELECT 1\0",
            b"",
            b"\xff\0",
        ] {
            assert_eq!(copied(tag), None);
        }
    }

    proptest! {
        /// What is no protocol reaches tokio-postgres, which says so.
        #[test]
        fn garbage_passes_and_nothing_worse(garbage: Vec<u8>, step in 1..9_usize) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(tapped(&garbage, step));
        }
    }
}
