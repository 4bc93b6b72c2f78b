//! One stream from the store into a program: hashed and decoded while it passes, never on a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use backuper::archive::codec::{self, Decoding};
use backuper::archive::manifest::{Compression, Stream};
use backuper::child::{Child, pipe};
use backuper::progress;
use backuper::runtime::Failure;
use backuper::storage::{self, Body, Object, Storage};
use bytes::Bytes;
use futures::StreamExt as _;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::archive::binary::Tables;
use crate::archive::blocks;
pub use crate::archive::source::Source;

/// Chunks between the store and the decoder.
const QUEUE: usize = 4;

/// Why a stream did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// What is stored is not what the backuper stored.
    #[error("{key} is damaged: {reason}; choose another backup")]
    Damaged {
        /// Its key.
        key: String,
        /// How that showed.
        reason: String,
    },
    /// The program took no more; it says itself why.
    #[error("{key}: the reader closed its end")]
    Closed {
        /// The stream's key.
        key: String,
    },
    /// We were asked to stop.
    #[error("stopped")]
    Stopped,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(error) => error.into(),
            Error::Damaged { .. } => Self::refused(error.to_string()),
            Error::Closed { .. } | Error::Stopped => Self::try_again(error.to_string()),
        }
    }
}

/// What a stream must turn out to be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its key.
    pub key: String,
    /// What is around pg_dump's archive.
    pub decoding: Decoding,
    /// Bytes in the bucket.
    pub size: u64,
    /// SHA-256 of them; none where nobody wrote it down.
    pub sha256: Option<String>,
    /// Tables whose rows it has; 0 where nobody wrote it down.
    pub tables: usize,
}

impl Expected {
    /// What the manifest says of a stream, under the key where it lies now.
    #[must_use]
    pub fn of(stream: &Stream, key: String, decoding: Decoding) -> Self {
        Self {
            key,
            decoding,
            size: stream.stored_bytes,
            sha256: Some(stream.sha256.clone()),
            tables: stream.tables.len(),
        }
    }

    /// Nobody wrote down what such an object is to be but the store itself.
    pub(crate) fn bare(object: &Object) -> Self {
        Self {
            key: object.key.clone(),
            decoding: Decoding::plain(Compression::None),
            size: object.size,
            sha256: None,
            tables: 0,
        }
    }

    fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Damaged {
            key: self.key.clone(),
            reason: reason.into(),
        }
    }
}

/// Where a program takes what it is fed.
///
/// # Errors
/// When it has been taken before.
pub fn sink(program: &mut Child) -> Result<File, Failure> {
    let stdin = program.take_stdin().and_then(|it| it.into_owned_fd().ok());
    let name = program.name();
    let sink = stdin.ok_or_else(|| Failure::try_again(format!("{name} has no stdin")))?;
    pipe::widen(&sink);
    Ok(File::from(sink))
}

/// What a program takes of an archive.
#[derive(Clone, Debug)]
pub struct Taking {
    /// Whether it needs all of it. One that does not may close its end when it has what it needs; the
    /// rest is read all the same, since the whole is what is proved to be as it was stored.
    pub all: bool,
    /// The entries whose rows are counted.
    pub counted: BTreeSet<i64>,
    /// What its bytes count into.
    pub progress: Arc<progress::Stream>,
    /// The tables whose rows are made binary on the way; none: all stay text.
    pub(crate) binary: Option<Arc<Tables>>,
}

/// What has passed.
#[derive(Debug, Default)]
pub struct Fed {
    /// Decoded bytes.
    pub bytes: u64,
    /// The rows of entries that were counted, as far as that was possible.
    pub rows: BTreeMap<i64, u64>,
    /// Tables whose rows were made binary.
    pub binary: usize,
    /// Those of them with a row that was not taken, so that it and those behind it went as text.
    pub partly: usize,
}

impl Fed {
    /// Says that it is loaded.
    pub(crate) fn tell(&self, key: &str) {
        let Self { bytes, binary, .. } = self;
        tracing::info!(key, bytes, binary, "a stream is loaded");
        if self.partly > 0 {
            tracing::info!(
                key,
                tables = self.partly,
                "rows are not written as a server of today writes them, or are large: they and those behind them went as text"
            );
        }
    }
}

/// Feeds an archive into `sink`, in larger [`blocks`], and closes it. Only `Ok` says that all of
/// it was there and is what was stored; before that, whoever reads must not take the end for the
/// end.
///
/// # Errors
/// [`Error`].
pub async fn feed(
    storage: &Arc<dyn Storage>,
    expected: &Expected,
    sink: File,
    taking: Taking,
    stop: &CancellationToken,
) -> Result<Fed, Error> {
    let decoding = expected.decoding.clone();
    let decode = move |source: &mut Source| {
        let mut counted = Counted {
            source: codec::decoder(source, &decoding)?,
            progress: taking.progress,
            total: 0,
        };
        let sink = Reader {
            sink: Some(sink),
            needs_all: taking.all,
        };
        let passed = blocks::count(
            &mut counted,
            sink,
            &taking.counted,
            taking.binary.as_deref(),
        )?;
        Ok(Fed {
            bytes: counted.total,
            rows: passed.rows,
            binary: passed.binary,
            partly: passed.partly,
        })
    };
    feed_through(storage, expected, decode, stop).await
}

/// The program's end of the pipe.
struct Reader {
    /// None when it has been closed.
    sink: Option<File>,
    needs_all: bool,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(sink) = &mut self.sink else {
            return Ok(bytes.len());
        };
        match sink.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.needs_all => {
                self.sink = None;
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts what passes.
struct Counted<R> {
    source: R,
    progress: Arc<progress::Stream>,
    total: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.progress.add(count as u64);
        self.total += count as u64;
        Ok(count)
    }
}

/// As [`feed`], through a decoder of the caller's, which reads its source to the end.
///
/// # Errors
/// [`Error`].
pub async fn feed_through<F, T>(
    storage: &Arc<dyn Storage>,
    expected: &Expected,
    decode: F,
    stop: &CancellationToken,
) -> Result<T, Error>
where
    F: FnOnce(&mut Source) -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    let body = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Error::Stopped),
        body = storage.open(&expected.key) => body?,
    };
    let (sender, receiver) = mpsc::channel(QUEUE);
    let decoder = tokio::task::spawn_blocking(move || {
        let mut source = Source::new(receiver);
        let written = decode(&mut source)?;
        source.drain()?;
        Ok::<_, io::Error>(written)
    });
    let received = tokio::select! {
        biased;
        () = stop.cancelled() => Err(Error::Stopped),
        received = receive(expected, body, sender) => received,
    };
    // Awaited before anything else: while it runs, it holds the sink.
    let decoded = decoder.await;
    match (received, decoded) {
        (Ok(()) | Err(Error::Closed { .. }), Ok(Err(error))) => Err(told(expected, &error)),
        (Err(error), _) => Err(error),
        (Ok(()), Ok(Ok(written))) => Ok(written),
        (Ok(()), Err(error)) => Err(expected.damaged(error.to_string())),
    }
}

/// Proves that a stream is what was stored. For when its rows are refused: a byte that has changed in
/// the store is not the rows' fault.
///
/// # Errors
/// [`Error`].
pub async fn prove(
    storage: &Arc<dyn Storage>,
    expected: &Expected,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let read = |source: &mut Source| io::copy(source, &mut io::sink());
    feed_through(storage, expected, read, stop).await.map(drop)
}

fn told(expected: &Expected, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Error::Closed {
            key: expected.key.clone(),
        }
    } else {
        expected.damaged(error.to_string())
    }
}

async fn receive(
    expected: &Expected,
    mut body: Body,
    sender: mpsc::Sender<Result<Bytes, ()>>,
) -> Result<(), Error> {
    let (mut size, mut sha256) = (0, Sha256::new());
    let outcome = loop {
        let Some(chunk) = body.next().await else {
            break whole(expected, size, sha256);
        };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => break Err(error.into()),
        };
        size += chunk.len() as u64;
        sha256.update(&chunk);
        if sender.send(Ok(chunk)).await.is_err() {
            break Err(Error::Closed {
                key: expected.key.clone(),
            });
        }
    };
    // The decoder must not take a broken body for the end of a whole one.
    if outcome.is_err() && sender.send(Err(())).await.is_err() {
        tracing::debug!(key = %expected.key, "the decoder had ended before");
    }
    outcome
}

fn whole(expected: &Expected, size: u64, sha256: Sha256) -> Result<(), Error> {
    if size != expected.size {
        let reason = format!("it has {size} bytes and should have {}", expected.size);
        return Err(expected.damaged(reason));
    }
    let found = hex::encode(sha256.finalize());
    match &expected.sha256 {
        Some(wanted) if *wanted != found => {
            Err(expected.damaged(format!("its SHA-256 is {found} and should be {wanted}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use backuper::storage::memory::MemoryStorage;

    use super::*;

    async fn fed(stored: &[u8], mut change: impl FnMut(&mut Expected)) -> Result<u64, Error> {
        let memory = MemoryStorage::default();
        let kept = memory
            .put("key", Bytes::copy_from_slice(stored))
            .await
            .unwrap();
        let mut expected = Expected {
            key: "key".to_owned(),
            decoding: Decoding::plain(Compression::Zstd),
            size: kept.size,
            sha256: Some(kept.sha256),
            tables: 0,
        };
        change(&mut expected);
        let storage: Arc<dyn Storage> = Arc::new(memory);
        let sink = File::options().write(true).open("/dev/null").unwrap();
        let stop = CancellationToken::new();
        let taking = Taking {
            all: true,
            counted: BTreeSet::new(),
            progress: Arc::new(progress::Progress::default()).stream(),
            binary: None,
        };
        let fed = feed(&storage, &expected, sink, taking, &stop).await;
        fed.map(|it| it.bytes)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn u22_a_stream_that_is_cut_anywhere_is_an_error() {
        let rows: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let rows = blocks::archive(false, &blocks::table(rows.chunks(1_000)));
        let stored = zstd::encode_all(&rows[..], 1).unwrap();
        assert_eq!(fed(&stored, |_| {}).await.unwrap(), rows.len() as u64);
        for per_cent in [0, 10, 60, 99] {
            let cut = &stored[..stored.len() * per_cent / 100];
            let size = stored.len() as u64;
            // With the manifest's size, and with a manifest that was made to fit.
            assert!(fed(cut, |it| it.size = size).await.is_err(), "{per_cent} %");
            if per_cent > 0 {
                assert!(fed(cut, |_| {}).await.is_err(), "{per_cent} %");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_checksum_is_an_error() {
        let stored = zstd::encode_all(&blocks::archive(false, &[])[..], 1).unwrap();
        let wrong = |it: &mut Expected| it.sha256 = Some("00".repeat(32));
        let error = fed(&stored, wrong).await.unwrap_err();
        assert!(error.to_string().contains("SHA-256"), "{error}");
    }
}
