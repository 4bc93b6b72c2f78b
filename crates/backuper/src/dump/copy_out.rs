//! The rows of large tables, read by a COPY of our own: pg_dump takes each row by itself from the server and
//! writes it by itself into the pipe, which costs the client twice as much.
//!
//! pg_dump begins such a stream all the same. It decides which tables and columns there are, locks
//! them, and writes the table of contents. A session of ours then takes the same snapshot and the same
//! locks, pg_dump is ended, and what follows is the archive that it would have written, but for the
//! sizes of its blocks. Where the session does not come about, pg_dump goes on as if nobody had tried.

mod binary;
mod head;
mod session;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Dump;
use crate::child::pipe;
use crate::postgres::tap::Passed;
use crate::postgres::{CopyFormat, Error, Kind, Session, Target};
use crate::progress;
use crate::toc::Layout;

use binary::Texts;
use head::{Table, shown, tables};
use session::{COPYING, begin, copy_all};

/// How long its beginning may take: a pooler that has no connection to spare lets it wait.
const BEGINNING: Duration = Duration::from_secs(20);
/// What begins the rows of a table, and what ends them: `_StartData` in `pg_backup_custom.c`, and
/// `dumpTableData_copy` in `pg_dump.c`.
const DATA: u8 = 1;
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";

/// A snapshot that can be imported for as long as its session lives.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: String,
    pub(super) _holder: Arc<Session>,
}

/// What a COPY of ours needs to know.
#[derive(Debug)]
pub(super) struct CopyOut {
    target: Target,
    /// What pg_dump sees.
    snapshot: Held,
    /// The encoding of the rows.
    encoding: String,
    format: CopyFormat,
    /// `PGOPTIONS`, where they arrive.
    options: Option<String>,
    progress: Arc<progress::Stream>,
    counted: Counted,
    /// Cancelled where nobody reads any more.
    stop: CancellationToken,
}

/// How many rows the server says that it has sent, by the tables' oids; none for a table whose end has not come.
pub(super) type Sent = BTreeMap<u32, Option<u64>>;

/// What the server says that it has sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted(Arc<Mutex<Sent>>);

impl Counted {
    fn set(&self, table: u32, rows: Option<u64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(table, rows);
    }

    pub(super) fn take(&self) -> Sent {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// COPYs that run.
#[derive(Debug)]
pub(super) struct Copying(AbortOnDropHandle<Result<(), Error>>);

impl Copying {
    /// Waits for the end of the last.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn ended(self, target: &Target) -> Result<(), Error> {
        match self.0.await {
            Ok(ended) => ended,
            Err(error) => {
                let why = error.to_string();
                Err(Error::because(Kind::Other, COPYING, target, why))
            }
        }
    }
}

impl CopyOut {
    pub(super) fn of(
        dump: &Dump,
        snapshot: Held,
        (progress, counted): (&Arc<progress::Stream>, &Counted),
        stop: CancellationToken,
    ) -> Self {
        Self {
            target: dump.target.clone(),
            snapshot,
            encoding: dump.encoding.clone(),
            format: dump.copy_format,
            options: dump.way.options(&[]),
            progress: Arc::clone(progress),
            counted: counted.clone(),
            stop,
        }
    }

    /// A session in the snapshot; none where that does not answer.
    async fn begin(
        &self,
        tables: &mut [Table],
    ) -> Option<Result<(Session, mpsc::Receiver<Passed>), Error>> {
        tokio::select! {
            begun = tokio::time::timeout(BEGINNING, begin(self, tables)) => begun.ok(),
            () = self.stop.cancelled() => {
                Some(Err(Error::because(Kind::Other, COPYING, &self.target, "stopped")))
            }
        }
    }

    /// What pg_dump has begun, and its rows by a COPY of our own if that comes about: then `taken` gets it, and
    /// pg_dump is to be ended. Blocks until rows come.
    pub(super) fn instead_of(
        self,
        first: Vec<u8>,
        pg_dump: File,
        taken: oneshot::Sender<Copying>,
    ) -> Box<dyn Read + Send> {
        let mut kept = Kept {
            source: io::Cursor::new(first).chain(pg_dump),
            bytes: Vec::new(),
        };
        let tables = tables(&mut kept, &self.encoding);
        let Kept { source, bytes } = kept;
        let head = io::Cursor::new(bytes);
        // It may have ended while it waited for its turn: so few rows had room in the pipe.
        if taken.is_closed() {
            tracing::info!("rows are read by pg_dump, which had them all ready");
            return left_to_pg_dump(head, source);
        }
        let Some((layout, mut tables)) = tables else {
            tracing::info!(
                why = "its archive has more than rows of ordinary tables, or names that are no UTF-8 there",
                "rows are read by pg_dump, since no COPY of ours can read them"
            );
            return left_to_pg_dump(head, source);
        };
        let runtime = Handle::current();
        let shown = shown(&tables);
        let begun = runtime.block_on(self.begin(&mut tables));
        let Self {
            target,
            snapshot,
            progress,
            counted,
            stop,
            ..
        } = self;
        // Who holds the snapshot need not do so for us any longer.
        drop(snapshot);
        let (session, passed) = match begun {
            Some(Ok(begun)) => begun,
            none => {
                let why = match none {
                    Some(Err(error)) => error.to_string(),
                    _ => format!("no answer within {} s", BEGINNING.as_secs()),
                };
                if !stop.is_cancelled() {
                    tracing::info!(tables = %shown, %why, "rows are read by pg_dump, since no COPY of ours came about");
                }
                return left_to_pg_dump(head, source);
            }
        };
        let copying = copy_all(session, target, tables.clone());
        let copying = Copying(AbortOnDropHandle::new(runtime.spawn(copying)));
        if taken.send(copying).is_err() {
            return left_to_pg_dump(head, source);
        }
        let binary = tables.iter().filter(|it| it.binary.is_some()).count();
        tracing::info!(tables = %shown, binary, "rows are read by a COPY of ours");
        for table in &tables {
            counted.set(table.oid, None);
        }
        Box::new(head.chain(Rows {
            runtime,
            passed,
            layout,
            tables: tables.into(),
            at: None,
            ready: VecDeque::new(),
            progress,
            counted,
            stop,
            _pg_dump: Box::new(source),
        }))
    }
}

/// Why rows that the server has sent are not stored, and of which table they are.
#[derive(Debug, thiserror::Error)]
#[error("table {table}: {error}")]
struct Unfit {
    table: String,
    error: binary::Error,
}

fn unfit_rows(table: &Table, error: binary::Error) -> io::Error {
    io::Error::other(Unfit {
        table: table.shown.clone(),
        error,
    })
}

/// Of a table of this name.
#[cfg(test)]
pub(super) fn too_long(table: &str) -> io::Error {
    io::Error::other(Unfit {
        table: table.to_owned(),
        error: binary::Error::TooLong,
    })
}

/// What a reader of rows says where they are none that can be stored.
pub(super) fn unfit(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Unfit>();
    inner.map(ToString::to_string)
}

/// Nothing but pg_dump's own bytes.
fn left_to_pg_dump(
    head: io::Cursor<Vec<u8>>,
    source: io::Chain<io::Cursor<Vec<u8>>, File>,
) -> Box<dyn Read + Send> {
    pipe::widen(source.get_ref().1);
    Box::new(head.chain(source))
}

/// Keeps what is read.
struct Kept<R> {
    source: R,
    bytes: Vec<u8>,
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// What follows an archive's head.
struct Rows {
    runtime: Handle,
    passed: mpsc::Receiver<Passed>,
    layout: Layout,
    tables: VecDeque<Table>,
    /// The one whose rows pass, and how they become text where they come in binary.
    at: Option<(Table, Option<Texts>)>,
    ready: VecDeque<Bytes>,
    progress: Arc<progress::Stream>,
    counted: Counted,
    stop: CancellationToken,
    /// It would see that nobody reads, and complain before it is ended.
    _pg_dump: Box<dyn Send>,
}

impl Rows {
    /// Makes the next bytes ready; false at the end.
    fn go_on(&mut self) -> io::Result<bool> {
        let Some((table, texts)) = &mut self.at else {
            let Some(table) = self.tables.pop_front() else {
                return Ok(false);
            };
            self.progress.table(&table.shown);
            self.ready.push_back(Bytes::from_static(&[DATA]));
            self.number(table.entry)?;
            let texts = table.binary.clone().map(Texts::of);
            self.at = Some((table, texts));
            return Ok(true);
        };
        let next = self.runtime.block_on(async {
            tokio::select! {
                next = self.passed.recv() => next,
                () = self.stop.cancelled() => None,
            }
        });
        match next {
            Some(Passed::Rows(rows)) => {
                let rows = match texts {
                    Some(texts) => texts
                        .next(&rows)
                        .map_err(|error| unfit_rows(table, error))?,
                    None => rows,
                };
                // A block of nothing would be the end of the table.
                if !rows.is_empty() {
                    self.block(rows)?;
                }
            }
            Some(Passed::End(rows)) => {
                if texts.as_ref().is_some_and(|it| !it.is_at_end()) {
                    return Err(unfit_rows(table, binary::Error::Format));
                }
                self.counted.set(table.oid, Some(rows));
                self.block(Bytes::from_static(END_OF_ROWS))?;
                self.number(0)?;
                self.at = None;
            }
            None => {
                let why = "the rows broke off";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
        Ok(true)
    }

    fn block(&mut self, bytes: Bytes) -> io::Result<()> {
        self.number(i64::try_from(bytes.len()).unwrap_or(i64::MAX))?;
        self.ready.push_back(bytes);
        Ok(())
    }

    fn number(&mut self, value: i64) -> io::Result<()> {
        let written = self.layout.number(value);
        let written = written.map_err(|error| io::Error::other(error.to_string()))?;
        self.ready.push_back(written.into());
        Ok(())
    }
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(bytes) = self.ready.front_mut() {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes.split_to(count));
                if bytes.is_empty() {
                    self.ready.pop_front();
                }
                return Ok(count);
            }
            if !self.go_on()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use crate::toc::MAGIC;

    /// What is read of these, by a table of the number 7 and the oid 42, and what was counted.
    async fn read(all: Vec<Passed>) -> (io::Result<Vec<u8>>, Sent) {
        let head = [MAGIC, &[1, 15, 0, 4, 8, 1, 0], &[0; 5].repeat(11)].concat();
        let (sender, passed) = mpsc::channel(16);
        for it in all {
            sender.send(it).await.unwrap();
        }
        drop(sender);
        let counted = Counted::default();
        counted.set(42, None);
        let table = Table {
            entry: 7,
            oid: 42,
            shown: "public.t".to_owned(),
            columns: Vec::new(),
            list: String::new(),
            encoding: String::new(),
            binary: None,
        };
        let mut rows = Rows {
            runtime: Handle::current(),
            passed,
            layout: Layout::of(&head[..]).unwrap(),
            tables: [table].into(),
            at: None,
            ready: VecDeque::new(),
            progress: Arc::new(Progress::default()).stream(),
            counted: counted.clone(),
            stop: CancellationToken::new(),
            _pg_dump: Box::new(()),
        };
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            rows.read_to_end(&mut bytes).map(|_count| bytes)
        });
        (reading.await.unwrap(), counted.take())
    }

    #[tokio::test]
    async fn rows_become_blocks_and_the_end_is_where_the_server_says() {
        let rows = |text: &'static [u8]| Passed::Rows(Bytes::from_static(text));
        let all = vec![rows(b"1\n"), rows(b""), rows(b"2\n"), Passed::End(2)];
        let (bytes, sent) = read(all).await;
        let expected = [
            &[DATA, 0, 7, 0, 0, 0][..],
            &[0, 2, 0, 0, 0],
            b"1\n",
            &[0, 2, 0, 0, 0],
            b"2\n",
            &[0, 5, 0, 0, 0],
            END_OF_ROWS,
            &[0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(bytes.unwrap(), expected);
        assert_eq!(sent, [(42, Some(2))].into());
    }

    #[tokio::test]
    async fn rows_without_an_end_are_no_end() {
        let (bytes, sent) = read(vec![Passed::Rows(Bytes::from_static(b"1\n"))]).await;
        assert_eq!(bytes.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(sent, [(42, None)].into());
    }
}
