//! pg_dump's arguments, and one stream of it into the store.

pub mod plan;
mod queue;
pub mod streams;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::archive::codec::{self, CompressionLevel, Encoding};
use crate::archive::manifest::{Compression, Content, Stream};
use crate::archive::{Folder, key};
use crate::child::{self, Child, Output, Program, pipe};
use crate::dump::plan::Plan;
use crate::dump::queue::{Reading, Turn};
use crate::postgres::snapshot::Table;
use crate::postgres::target::Target;
use crate::postgres::tools::Tools;
use crate::progress::{self, Progress};
use crate::runtime::{Failure, Verdict};
use crate::storage::{self, Storage, Upload};
use crate::text::sql::pattern;

/// Chunks between the codec and the upload: what a slow store lets pile up, a chunk each.
const QUEUE: usize = 2;
/// Bytes that are read to see that pg_dump has begun.
const FIRST: usize = 4 << 10;

/// What all streams of a backup share.
#[derive(Clone, Debug)]
pub struct Dump {
    /// The database.
    pub target: Target,
    /// Whose pg_dump.
    pub tools: Tools,
    /// The exported snapshot's id.
    pub snapshot: String,
    /// How long pg_dump waits for a lock.
    pub lock_wait_timeout: Duration,
    /// The server's major: 15 of 15.18.
    pub server_major: u32,
    /// How strongly rows are compressed.
    pub level: CompressionLevel,
    /// Threads of one stream that compress beside its own.
    pub threads: u32,
    /// Where the streams go.
    pub storage: Arc<dyn Storage>,
    /// The folder they go to.
    pub folder: Folder,
    /// Bytes on disk of all large objects.
    pub large_objects: u64,
    /// How far all streams together are.
    pub progress: Arc<Progress>,
}

/// One stream: what it holds and how pg_dump is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The object's name in the folder.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// The tables whose rows it carries.
    pub tables: Vec<Table>,
    selection: Vec<OsString>,
}

/// Why a stream is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// pg_dump failed, or was stopped.
    #[error("dumping {name}: {source}")]
    Child {
        /// The stream.
        name: String,
        /// How it ended.
        source: child::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The bytes got lost between pg_dump and the store.
    #[error("dumping {name}: {reason}")]
    Broken {
        /// The stream.
        name: String,
        /// What broke.
        reason: String,
    },
}

/// The streams of a plan, the schema first.
#[must_use]
pub fn parts(plan: &Plan) -> Vec<Part> {
    let schema = Part {
        name: key::SCHEMA.to_owned(),
        content: Content::Schema,
        tables: Vec::new(),
        selection: vec!["--section=pre-data".into(), "--section=post-data".into()],
    };
    let mut rest = vec!["--section=data".into()];
    for table in plan.streams.iter().flatten() {
        rest.push(option("--exclude-table-data=", table));
    }
    let rest = Part {
        name: key::data(0),
        content: Content::Rest,
        tables: plan.rest.clone(),
        selection: rest,
    };
    let own = plan.streams.iter().zip(1..).map(|(tables, number)| Part {
        name: key::data(number),
        content: Content::Tables,
        tables: tables.clone(),
        selection: std::iter::once("--section=data".into())
            .chain(tables.iter().map(|it| option("--table=", it)))
            .collect(),
    });
    [schema, rest].into_iter().chain(own).collect()
}

fn option(option: &str, table: &Table) -> OsString {
    format!("{option}{}", pattern(&table.schema, &table.name)).into()
}

/// From this major on pg_dump can bring the planner's statistics along, and a server takes them.
/// PostgreSQL 18 manual, pg_dump: `--statistics`.
const STATISTICS: u32 = 18;

/// How a stream begins.
#[derive(Debug)]
pub struct Beginning {
    /// Hears when pg_dump has written its first byte, which it does after it has locked its tables.
    pub locked: oneshot::Sender<()>,
    /// When more of it is read; none: at once.
    pub turn: Option<Turn>,
}

impl Dump {
    /// Dumps one stream into the store. The object appears only when pg_dump has ended with
    /// status 0.
    ///
    /// # Errors
    /// [`Error`]; nothing is left in the store then.
    pub async fn stream(
        &self,
        part: &Part,
        beginning: Beginning,
        stop: &CancellationToken,
    ) -> Result<Stream, Error> {
        let key = self.folder.key(&part.name);
        let progress = self.progress.stream();
        let mut child = self
            .program(part)
            .start_heard(progress.listener())
            .map_err(|source| failed(part, source))?;
        let Some(stdout) = child.take_stdout() else {
            return Err(broken(part, "pg_dump has no stdout"));
        };
        let stdout = stdout
            .into_owned_fd()
            .map_err(|error| broken(part, error.to_string()))?;
        pipe::widen(&stdout);
        let mut upload = match self.storage.upload(&key, self.expected(part)).await {
            Ok(upload) => upload,
            Err(error) => {
                child.stop().await;
                return Err(error.into());
            }
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let watched = Watched {
            beginning,
            progress: Arc::clone(&progress),
        };
        let encoder = self.encode(part, File::from(stdout), sender, watched);
        let pump = Pump {
            part,
            child,
            receiver,
            encoder,
        };
        let raw_bytes = match pump.run(upload.as_mut(), stop).await {
            Ok(raw) => raw,
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%key, %error, "the upload could not be aborted; the next backup's retention tries again");
                }
                return Err(error);
            }
        };
        progress.end();
        let finishing = async {
            let stored = upload.complete().await?;
            self.storage.verify(&key, &stored).await?;
            Ok::<_, storage::Error>(stored)
        };
        let stored = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(broken(part, "stopped before it was stored")),
            stored = finishing => stored?,
        };
        let tables = part.tables.iter();
        Ok(Stream {
            name: part.name.clone(),
            key,
            content: part.content,
            compression: compression(part),
            raw_bytes,
            stored_bytes: stored.size,
            sha256: stored.sha256,
            tables: tables.map(|it| pattern(&it.schema, &it.name)).collect(),
        })
    }

    /// About how many bytes a stream stores. Rows compress to a quarter most often, and what does not
    /// compress takes little more than on the server's disk.
    fn expected(&self, part: &Part) -> u64 {
        let rows: u64 = part.tables.iter().map(|it| it.bytes).sum();
        match part.content {
            Content::Schema => 0,
            Content::Tables => rows / 2,
            Content::Rest => (rows + self.large_objects) / 2,
        }
    }

    fn program(&self, part: &Part) -> Program {
        let mut arguments: Vec<OsString> = vec![
            "--format=custom".into(),
            "--compress=0".into(),
            "--no-password".into(),
            // Says which table it is at.
            "--verbose".into(),
            format!("--snapshot={}", self.snapshot).into(),
            format!(
                "--lock-wait-timeout={}",
                self.lock_wait_timeout.as_millis().max(1)
            )
            .into(),
        ];
        if self.tools.major().min(self.server_major) >= STATISTICS {
            arguments.push("--statistics".into());
        }
        arguments.extend(part.selection.iter().cloned());
        Program {
            path: self.tools.program("pg_dump"),
            arguments,
            environment: self.target.child_environment("backuper pg_dump"),
            stdin: false,
            stdout: Output::Piped,
        }
    }

    fn encode(
        &self,
        part: &Part,
        stdout: File,
        sender: mpsc::Sender<Bytes>,
        watched: Watched,
    ) -> JoinHandle<io::Result<u64>> {
        let encoding = Encoding {
            compression: compression(part),
            level: self.level,
            threads: self.threads,
        };
        tokio::task::spawn_blocking(move || {
            let mut stdout = stdout;
            let first = begin(&mut stdout, watched.beginning)?;
            let source = io::Cursor::new(first.bytes).chain(stdout);
            let sink = |chunk| {
                sender
                    .blocking_send(chunk)
                    .map_err(|_closed| io::Error::from(io::ErrorKind::BrokenPipe))
            };
            // The turn is the next one's as soon as all is read.
            let _reading = first.reading;
            codec::encode(source, encoding, sink, |count| {
                watched.progress.add(count);
            })
        })
    }
}

/// Who hears of the bytes that pass: of the first ones, and of all.
struct Watched {
    beginning: Beginning,
    progress: Arc<progress::Stream>,
}

/// The first bytes of a stream, and leave to read the others.
struct First {
    bytes: Vec<u8>,
    reading: Option<Reading>,
}

/// Waits for the first bytes, tells of them, and then waits for the stream's turn.
fn begin(stdout: &mut File, beginning: Beginning) -> io::Result<First> {
    let mut bytes = vec![0; FIRST];
    let count = loop {
        match stdout.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.truncate(count);
    if count == 0 {
        // It has ended, and why must not wait for a turn.
        let reading = None;
        return Ok(First { bytes, reading });
    }
    // Nobody listens any more when the run has failed elsewhere.
    if beginning.locked.send(()).is_err() {
        tracing::debug!("nobody watches this stream");
    }
    let reading = match beginning.turn {
        Some(turn) => Some(turn.wait().ok_or(io::ErrorKind::Interrupted)?),
        None => None,
    };
    Ok(First { bytes, reading })
}

/// From pg_dump through the codec to the upload.
struct Pump<'a> {
    part: &'a Part,
    child: Child,
    receiver: mpsc::Receiver<Bytes>,
    encoder: JoinHandle<io::Result<u64>>,
}

impl Pump<'_> {
    /// Moves chunks until pg_dump has ended well; gives the bytes that it wrote.
    async fn run(self, upload: &mut dyn Upload, stop: &CancellationToken) -> Result<u64, Error> {
        let Self {
            part,
            mut child,
            mut receiver,
            encoder,
        } = self;
        let moved = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            moved = deliver(&mut receiver, upload) => moved,
        };
        // Frees the codec's thread, should it still wait for us to take a chunk.
        drop(receiver);
        if let Err(error) = moved {
            child.stop().await;
            return Err(error.into());
        }
        child
            .finish(stop)
            .await
            .map_err(|source| failed(part, source))?;
        match encoder.await {
            Ok(Ok(raw)) => Ok(raw),
            Ok(Err(error)) => Err(broken(part, error.to_string())),
            Err(error) => Err(broken(part, error.to_string())),
        }
    }
}

async fn deliver(
    receiver: &mut mpsc::Receiver<Bytes>,
    upload: &mut dyn Upload,
) -> Result<(), storage::Error> {
    while let Some(chunk) = receiver.recv().await {
        upload.write(chunk).await?;
    }
    Ok(())
}

fn compression(part: &Part) -> Compression {
    match part.content {
        Content::Schema => Compression::None,
        Content::Tables | Content::Rest => Compression::Zstd,
    }
}

fn failed(part: &Part, source: child::Error) -> Error {
    Error::Child {
        name: part.name.clone(),
        source,
    }
}

fn broken(part: &Part, reason: impl Into<String>) -> Error {
    Error::Broken {
        name: part.name.clone(),
        reason: reason.into(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(error) => error.into(),
            other => {
                let sentence = other.to_string();
                // What the probe cannot see beforehand, the owners of large objects for one.
                let denied = sentence.contains("permission denied");
                // PostgreSQL manual, 20.12: pg_dump locks every table in one transaction.
                let no_locks = sentence.contains("out of shared memory");
                let advice = if no_locks {
                    ": the server has no room for a lock on each table; raise its max_locks_per_transaction, which takes a restart of the server"
                } else {
                    ""
                };
                Self {
                    verdict: Verdict::of(!denied && !no_locks),
                    sentence: format!("{sentence}{advice}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_stream_takes_the_common_one_leaves() {
        let table = |oid, name: &str| Table {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            bytes: 0,
            of_extension: false,
        };
        let plan = Plan {
            rest: vec![table(1, "small")],
            streams: vec![vec![table(2, "La*rge \"x\"")]],
        };
        let [schema, rest, own] = parts(&plan).try_into().unwrap();
        assert_eq!(
            schema.selection,
            ["--section=pre-data", "--section=post-data"]
        );
        let name = r#""public"."La*rge ""x""""#;
        let excluded = format!("--exclude-table-data={name}");
        assert_eq!(rest.selection, ["--section=data", excluded.as_str()]);
        assert_eq!(
            own.selection,
            ["--section=data", format!("--table={name}").as_str()]
        );
        assert_eq!(
            (rest.name.as_str(), own.name.as_str()),
            ("data-000.dump.zst", "data-001.dump.zst")
        );
    }
    #[test]
    fn one_that_ends_without_a_byte_waits_for_no_turn() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let (locked, mut heard) = oneshot::channel();
        // Never called: to wait for it would be an error.
        let turn = crate::dump::queue::Queue::new(1, 1).1.pop();
        let mut stdout = File::from(std::os::fd::OwnedFd::from(reader));
        let first = begin(&mut stdout, Beginning { locked, turn }).unwrap();
        assert!(first.bytes.is_empty() && first.reading.is_none());
        assert!(heard.try_recv().is_err());
    }
}
