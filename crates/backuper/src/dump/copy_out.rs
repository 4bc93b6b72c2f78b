//! The rows of large tables, read by a COPY of our own: pg_dump takes each row by itself from the server and
//! writes it by itself into the pipe, which costs the client twice as much.
//!
//! pg_dump begins such a stream all the same. It decides which tables and columns there are, locks
//! them, and writes the table of contents. A session of ours then takes the same snapshot and the same
//! locks, pg_dump is ended, and what follows is the archive that it would have written, but for the
//! sizes of its blocks. Where the session does not come about, pg_dump goes on as if nobody had tried.

mod binary;
mod head;
mod piece;
mod rows;
mod session;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Dump;
use super::plan::Split;
use crate::child::pipe;
use crate::postgres::{CopyFormat, Error, Kind, Session, Target};
use crate::progress;
use crate::toc::Layout;

use head::{Table, shown, tables};
use rows::{Rows, Source};
use session::{Begun, COPYING, begin, copy_all, divide, read_by_pages};

#[cfg(test)]
pub(super) use rows::too_long;
pub(super) use rows::unfit;

/// How long its beginning may take: a pooler that has no connection to spare lets it wait.
const BEGINNING: Duration = Duration::from_secs(20);
/// And that of those which it is done without.
const MORE: Duration = Duration::from_secs(5);

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
    split: Split,
    /// How many read the rows, if they can be divided.
    sessions: usize,
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
pub(super) struct Copying(Vec<AbortOnDropHandle<Result<(), Error>>>);

impl Copying {
    /// Waits for the end of the last.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn ended(self, target: &Target) -> Result<(), Error> {
        let all = self.0.into_iter().map(async |it| match it.await {
            Ok(ended) => ended,
            Err(error) => {
                let why = error.to_string();
                Err(Error::because(Kind::Other, COPYING, target, why))
            }
        });
        try_join_all(all).await.map(drop)
    }
}

impl CopyOut {
    pub(super) fn of(
        dump: &Dump,
        snapshot: Held,
        sessions: u16,
        (progress, counted): (&Arc<progress::Stream>, &Counted),
        stop: CancellationToken,
    ) -> Self {
        Self {
            target: dump.target.clone(),
            snapshot,
            encoding: dump.encoding.clone(),
            format: dump.copy_format,
            split: dump.split,
            sessions: usize::from(sessions.max(1)),
            options: dump.way.options(&[]),
            progress: Arc::clone(progress),
            counted: counted.clone(),
            stop,
        }
    }

    /// What comes about in time, or why nothing has.
    async fn within<T>(
        &self,
        time: Duration,
        begun: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, String> {
        tokio::select! {
            begun = tokio::time::timeout(time, begun) => match begun {
                Ok(begun) => begun.map_err(|error| error.to_string()),
                Err(_elapsed) => Err(format!("no answer within {} s", time.as_secs())),
            },
            () = self.stop.cancelled() => Err("stopped".to_owned()),
        }
    }

    /// As many sessions as are to read the rows, or fewer where no more come about: one at least, or why there is
    /// none.
    async fn begin_all(&self, tables: &mut [Table]) -> Result<Vec<Begun>, String> {
        let first = self.within(BEGINNING, begin(self, tables)).await?;
        if self.sessions > 1 {
            let by = (self.split, self.sessions);
            let divided = async {
                let divided = divide(&first.0, by, tables).await;
                divided.map_err(|error| Error::new(COPYING, &self.target, &error))
            };
            self.within(BEGINNING, divided).await?;
        }
        let mut all = vec![first];
        if tables.iter().any(|it| it.pages.is_some()) {
            let tables = &*tables;
            let more = (1..self.sessions).map(async |_| {
                let begun = async {
                    let mut same = tables.to_vec();
                    let begun = begin(self, &mut same).await?;
                    let ready = read_by_pages(&begun.0).await;
                    ready.map_err(|error| Error::new(COPYING, &self.target, &error))?;
                    // They must agree on how rows come.
                    Ok((same == tables).then_some(begun))
                };
                self.within(MORE, begun).await
            });
            for begun in join_all(more).await {
                match begun {
                    Ok(begun) => all.extend(begun),
                    Err(why) => {
                        tracing::info!(tables = %shown(tables), %why, "rows are read by one session less");
                    }
                }
            }
        }
        if all.len() == 1 {
            tables.iter_mut().for_each(|it| it.pages = None);
        }
        Ok(all)
    }

    /// What pg_dump has begun, and its rows by a COPY of our own if that comes about: then `taken` gets it, and
    /// pg_dump is to be ended. Of the leave to read what is not needed is given back. Blocks until rows come.
    pub(super) fn instead_of(
        self,
        first: Vec<u8>,
        pg_dump: File,
        taken: oneshot::Sender<Copying>,
        leave: Option<&mut OwnedSemaphorePermit>,
    ) -> Box<dyn Read + Send> {
        let mut kept = Kept {
            source: io::Cursor::new(first).chain(pg_dump),
            bytes: Vec::new(),
        };
        let tables = tables(&mut kept, &self.encoding);
        let Kept { source, bytes } = kept;
        let head = io::Cursor::new(bytes);
        let begun = self.begun(tables, taken.is_closed());
        give_back(leave, begun.as_ref().map_or(1, |it| it.sessions.len()));
        let Some(AllBegun {
            layout,
            tables,
            sessions,
        }) = begun
        else {
            return left_to_pg_dump(head, source);
        };
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
        let runtime = Handle::current();
        let tables: Arc<[Table]> = tables.into();
        let count = sessions.len();
        let (mut copying, mut sources) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (number, (session, passed)) in sessions.into_iter().enumerate() {
            let (ends, ended) = mpsc::unbounded_channel();
            let all = copy_all(
                session,
                target.clone(),
                Arc::clone(&tables),
                (number, count),
                ends,
            );
            copying.push(AbortOnDropHandle::new(runtime.spawn(all)));
            sources.push(Source { passed, ended });
        }
        if taken.send(Copying(copying)).is_err() {
            return left_to_pg_dump(head, source);
        }
        let binary = tables.iter().filter(|it| it.binary.is_some()).count();
        tracing::info!(tables = %shown(&tables), sessions = count, binary, "rows are read by a COPY of ours");
        for table in &*tables {
            counted.set(table.oid, None);
        }
        let rows = Rows::of(layout, &tables, sources, (progress, counted), stop);
        Box::new(head.chain(rows.instead_of(source)))
    }

    /// Sessions for the rows of an archive with this head; none: pg_dump goes on, and it is told why.
    fn begun(&self, head: Option<(Layout, Vec<Table>)>, is_late: bool) -> Option<AllBegun> {
        // It may have ended while it waited for its turn: so few rows had room in the pipe.
        if is_late {
            tracing::info!("rows are read by pg_dump, which had them all ready");
            return None;
        }
        let Some((layout, mut tables)) = head else {
            tracing::info!(
                why = "its archive has more than rows of ordinary tables, or names that are no UTF-8 there",
                "rows are read by pg_dump, since no COPY of ours can read them"
            );
            return None;
        };
        match Handle::current().block_on(self.begin_all(&mut tables)) {
            Ok(sessions) => Some(AllBegun {
                layout,
                tables,
                sessions,
            }),
            Err(why) => {
                if !self.stop.is_cancelled() {
                    tracing::info!(tables = %shown(&tables), %why, "rows are read by pg_dump, since no COPY of ours came about");
                }
                None
            }
        }
    }
}

/// Sessions that have all that they need for the rows of an archive.
struct AllBegun {
    layout: Layout,
    tables: Vec<Table>,
    sessions: Vec<Begun>,
}

/// Keeps the leave to read for so many.
fn give_back(leave: Option<&mut OwnedSemaphorePermit>, needed: usize) {
    let Some(leave) = leave else { return };
    let more = leave.num_permits().saturating_sub(needed.max(1));
    drop(leave.split(more));
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
