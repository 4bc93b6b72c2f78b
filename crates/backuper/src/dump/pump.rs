//! One pg_dump that runs, and its way into the store.

mod moving;

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::moving::{Broken, deliver, encoded, ended, move_all, not_copied};
use super::copy_out::{self, CopyOut, Held, Sent};
use super::queue::Turn;
use super::rows::{Counted, Told};
use super::unlocked::Watched;
use super::{Dump, Error, Part, broken, compression, failed};
use crate::archive::codec::{self, Encoding};
use crate::archive::key::RUNNING;
use crate::archive::manifest::{Content, Stream};
use crate::child::{Child, Program, pipe};
use crate::progress;
use crate::storage::{self, Stored, Upload};
use crate::text::sql::pattern;

/// Chunks between the codec and the upload: what a slow store lets pile up, a chunk each.
const QUEUE: usize = 2;
/// Bytes that are read to see that pg_dump has begun.
const FIRST: usize = 4 << 10;

/// What a stream gets of the machine.
pub(super) struct Share {
    /// Threads that compress beside its own.
    pub(super) threads: u32,
    /// When it is read; without one at once.
    pub(super) turn: Option<Turn>,
}

/// A pg_dump that has been started.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) part: Part,
    pub(super) child: Child,
    progress: Arc<progress::Stream>,
    counted: Told,
    /// The snapshot, where a COPY of ours is to read the rows.
    snapshot: Option<Held>,
}

/// A pg_dump that has its locks and has written its first bytes; it writes no more than fits into
/// the pipe before somebody reads.
#[derive(Debug)]
pub(super) struct Ready {
    running: Running,
    first: FirstBytes,
}

/// What a stream begins with, and where it goes on. No bytes: it has ended.
#[derive(Debug)]
pub(super) struct FirstBytes {
    pub(super) bytes: Vec<u8>,
    stdout: File,
}

/// A thread that waits for the first bytes.
pub(super) type First = JoinHandle<io::Result<FirstBytes>>;

impl Running {
    /// Starts the pg_dump of a stream, and waits in a thread for its first bytes: it writes them when
    /// it has locked its tables and knows all that it will dump.
    pub(super) fn start(dump: &Dump, part: Part, snapshot: &Held) -> Result<(Self, First), Error> {
        let program = dump.program(&part, &snapshot.id);
        let by_copy = part.content == Content::Tables && dump.reading.is_by_copy(part.bytes());
        let snapshot = by_copy.then(|| snapshot.clone());
        Self::of(dump, part, program, snapshot)
    }

    pub(super) fn is_by_copy(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Starts a program that writes a stream; with a snapshot, one that only begins it.
    pub(super) fn of(
        dump: &Dump,
        part: Part,
        program: Program,
        snapshot: Option<Held>,
    ) -> Result<(Self, First), Error> {
        let progress = dump.progress.stream();
        let mut child = program
            .start_listening(progress.listener())
            .map_err(|source| failed(&part, source))?;
        let Some(stdout) = child.take_stdout() else {
            return Err(broken(&part, "pg_dump has no stdout"));
        };
        let stdout = stdout
            .into_owned_fd()
            .map_err(|error| broken(&part, error.to_string()))?;
        if snapshot.is_some() {
            // What it writes beyond the table of contents nobody wants, and it must not end before we begin.
            pipe::narrow(&stdout);
        } else {
            pipe::widen(&stdout);
        }
        let first = tokio::task::spawn_blocking(move || first_bytes(File::from(stdout)));
        let running = Self {
            part,
            child,
            progress,
            counted: Told::default(),
            snapshot,
        };
        Ok((running, first))
    }

    pub(super) fn ready(self, first: FirstBytes) -> Ready {
        Ready {
            running: self,
            first,
        }
    }
}

/// Proves that an object is there, and what was written.
async fn verify(
    dump: &Dump,
    (key, part): (&str, &Part),
    stored: Stored,
    stop: &CancellationToken,
) -> Result<Stored, Error> {
    let stopped = || broken(part, "stopped before it was verified");
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(stopped()),
        proven = dump.storage.verify(key, &stored) => {
            proven?;
            Ok(stored)
        }
    }
}

fn first_bytes(mut stdout: File) -> io::Result<FirstBytes> {
    let mut bytes = vec![0; FIRST];
    let count = loop {
        match stdout.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.truncate(count);
    Ok(FirstBytes { bytes, stdout })
}

impl Ready {
    pub(super) fn part(&self) -> &Part {
        &self.running.part
    }

    /// Puts the stream into the store. The object appears only when pg_dump has ended with status 0.
    ///
    /// # Errors
    /// [`Error`]; nothing is left in the store then.
    pub(super) async fn store(
        mut self,
        dump: &Dump,
        share: Share,
        watched: Option<&Watched<'_>>,
        stop: &CancellationToken,
    ) -> Result<Stream, Error> {
        let key = dump.folder.key(&self.part().name);
        let expected = self.part().expected();
        let mut upload = match dump.storage.upload(&key, expected).await {
            Ok(upload) => upload,
            Err(error) => {
                self.running.child.stop().await;
                return Err(error.into());
            }
        };
        let part = self.running.part.clone();
        let progress = Arc::clone(&self.running.progress);
        let counted = self.running.counted.clone();
        let writing = async {
            let (raw_bytes, sent) = self.pump(dump, share, upload.as_mut(), stop).await?;
            progress.end();
            if let Some(watched) = watched {
                let holds = watched.holds(&dump.target, &part, sent.is_empty());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(broken(&part, "stopped before it was stored")),
                    holds = holds => holds?,
                }
            }
            if part.content == Content::Script {
                must_be_free(dump, &key, &part).await?;
            }
            let stored = upload.complete_unless(stop).await?;
            let stored = stored.ok_or_else(|| broken(&part, "stopped before it was stored"))?;
            Ok((raw_bytes, sent, stored))
        };
        let (raw_bytes, sent, stored) = match writing.await {
            Ok(written) => written,
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%key, %error, "the upload could not be aborted; the next backup's retention tries again");
                }
                return Err(error);
            }
        };
        let stored = verify(dump, (&key, &part), stored, stop).await?;
        let tables = part.tables.iter();
        let rows = counted.take();
        let arrived = |table| rows.as_ref().and_then(|it| it.get(table)).copied();
        if sent
            .iter()
            .any(|(table, sent)| sent.is_none() || arrived(table) != *sent)
        {
            let why = "the server has sent another number of rows than were stored";
            return Err(broken(&part, why));
        }
        let rows = rows.map_or_else(Vec::new, |rows| {
            let of_tables = part.tables.iter();
            of_tables.map(|it| rows.get(&it.oid).copied()).collect()
        });
        Ok(Stream {
            name: part.name.clone(),
            key,
            content: part.content,
            compression: compression(&part),
            raw_bytes,
            stored_bytes: stored.size,
            sha256: stored.sha256,
            tables: tables.map(|it| pattern(&it.schema, &it.name)).collect(),
            rows,
        })
    }

    /// Moves chunks from pg_dump, or a COPY of ours instead, through the codec to the upload until that has ended
    /// well; gives the bytes that it wrote, and how many rows of which tables COPY says that it has sent.
    async fn pump(
        self,
        dump: &Dump,
        share: Share,
        upload: &mut dyn Upload,
        stop: &CancellationToken,
    ) -> Result<(u64, Sent), Error> {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        let Self {
            running:
                Running {
                    part,
                    mut child,
                    progress,
                    counted,
                    snapshot,
                },
            first: FirstBytes { bytes, stdout },
        } = self;
        let encoding = Encoding {
            compression: compression(&part),
            level: dump.level,
            threads: share.threads,
            recipients: dump.recipients.clone(),
        };
        // Whatever way we leave, nobody waits for rows any more.
        let unread = CancellationToken::new();
        let nobody_reads = unread.clone();
        let _unread = unread.clone().drop_guard();
        let sent = copy_out::Counted::default();
        let copy = snapshot
            .map(|snapshot| CopyOut::of(dump, snapshot, part.sessions, (&progress, &sent), unread));
        let (taken, taking) = oneshot::channel();
        let content = part.content;
        let runtime = Handle::current();
        let encoder = tokio::task::spawn_blocking(move || {
            // The turn is the next one's as soon as all is read.
            let mut reading = match share.turn {
                Some(turn) => {
                    let given = runtime.block_on(turn);
                    Some(given.map_err(|_closed| io::Error::from(io::ErrorKind::Interrupted))?)
                }
                None => None,
            };
            let source: Box<dyn Read> = match copy {
                Some(copy) => copy.instead_of(bytes, stdout, taken, reading.as_mut()),
                None => Box::new(io::Cursor::new(bytes).chain(stdout)),
            };
            let source = Counted::new(source, content, counted);
            let sink = |chunk| {
                sender
                    .blocking_send(chunk)
                    .map_err(|_closed| io::Error::from(io::ErrorKind::BrokenPipe))
            };
            codec::encode(source, &encoding, sink, |count| progress.add(count))
        });
        let ending = ended(&mut child, taking, &dump.target, stop);
        let moved = move_all(ending, deliver(&mut receiver, upload), stop).await;
        // Frees the codec's thread, should it still wait for us to take a chunk.
        drop(receiver);
        match moved {
            Ok(()) => {}
            Err(Broken::Child(source)) => return Err(failed(&part, source)),
            Err(Broken::Copy(source)) => {
                nobody_reads.cancel();
                return Err(not_copied(&part, source, encoder).await);
            }
            Err(Broken::Upload(error)) => {
                child.stop().await;
                return Err(error.into());
            }
        }
        match encoded(&part, encoder.await) {
            Ok(raw) => Ok((raw, sent.take())),
            Err(moving::Encoding::Broken(error)) => Err(error),
            Err(moving::Encoding::CutOff(error)) => Err(broken(&part, error.to_string())),
        }
    }
}

/// Refuses a key that another program has chosen too and written to.
async fn must_be_free(dump: &Dump, key: &str, part: &Part) -> Result<(), Error> {
    match dump.storage.stat(key).await {
        Ok(_) => {}
        Err(error) if error.kind == storage::Kind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    // By our word we could remove what is there, and it is not ours.
    let running = dump.folder.key(RUNNING);
    for (key, error) in dump.storage.delete(&[running]).await {
        tracing::warn!(%key, %error, "not removed");
    }
    Err(broken(
        part,
        "somebody else has written an object of this key meanwhile; run the backup again, with a KEY_TEMPLATE that has {{ .RunID }}",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_without_a_byte_has_no_first_ones() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let first = first_bytes(File::from(std::os::fd::OwnedFd::from(reader))).unwrap();
        assert!(first.bytes.is_empty());
    }
}
