//! An empty target is loaded by many hands: the sections before the rows, all streams of rows at
//! once, the sections after them. Indexes are built while others still load.
//!
//! While it is half loaded it says so, by a schema named [`mark::MARKER`]; when it cannot be
//! finished, everything that was made is taken away again.

mod indexes;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backuper::archive::manifest::Stream;
use backuper::archive::{Folder, Manifest};
use backuper::child::{self, Output, Program};
use backuper::postgres::{self, Target, Traffic, Way, tools::Tools};
use backuper::progress::Progress;
use backuper::runtime::Failure;
use backuper::storage::Storage;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::archive::Toc;
use crate::archive::schema::{self, Schema};
use crate::archive::use_list::UseList;
use crate::feed::{self, Expected, feed};
use crate::target::maintenance::Maintenance;
use crate::target::mark;
use crate::target::privileges;

/// How long taking everything away may last: with the children's grace a stopped run ends well
/// within its 30 seconds.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// What all steps share.
#[derive(Debug)]
pub struct Loading<'a> {
    /// The database.
    pub target: &'a Target,
    /// A session in it.
    pub session: &'a Client,
    /// How programs get there.
    pub way: Way,
    /// The programs.
    pub tools: &'a Tools,
    /// Where the backup is.
    pub storage: &'a Arc<dyn Storage>,
    /// Streams side by side.
    pub jobs: usize,
    /// How far they are.
    pub progress: &'a Arc<Progress>,
}

/// What all programs of one restore share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    schema: &'a Schema,
    /// `PGOPTIONS`.
    options: &'a str,
    stop: &'a CancellationToken,
}

/// What is in the database when all rows are.
#[derive(Default)]
struct Loaded {
    /// Bytes of the rows.
    bytes: u64,
    /// The entries of the schema that are done with.
    built: BTreeSet<i64>,
}

impl Loading<'_> {
    /// Loads the backup; gives the bytes of its rows.
    ///
    /// # Errors
    /// What went wrong; the target is empty again then.
    pub async fn run(
        &self,
        folder: &Folder,
        manifest: &Manifest,
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        let schema = schema::fetch(self.storage, folder, manifest, stop).await?;
        let loaded = self.load(folder, manifest, &schema, stop).await;
        if loaded.is_err() {
            self.take_away(&schema.toc).await;
        }
        loaded
    }

    async fn load(
        &self,
        folder: &Folder,
        manifest: &Manifest,
        schema: &Schema,
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        self.execute(&mark::mark(folder)).await?;
        let options = self.options().await?;
        let shared = Shared {
            schema,
            options: &options,
            stop,
        };
        self.restore(&shared, &["--section=pre-data"], None).await?;
        self.progress.loading_of(manifest);
        let loaded = self.rows(folder, manifest, &shared).await?;
        self.progress.indexing();
        let jobs = format!("--jobs={}", self.jobs);
        let others =
            (!loaded.built.is_empty()).then(|| indexes::others(&schema.toc, &loaded.built));
        self.restore(&shared, &["--section=post-data", &jobs], others.as_ref())
            .await?;
        privileges::apply(self.session, self.target, &schema.toc).await?;
        if stop.is_cancelled() {
            return Err(Failure::try_again("stopped"));
        }
        // Our sessions did not wait for the disk (synchronous_commit). This commit does, and what
        // it waits for is everything before it too.
        self.execute(&mark::unmark()).await?;
        Ok(loaded.bytes)
    }

    fn program(&self, arguments: &[&str], options: &str, stdin: bool) -> Program {
        let mut environment = self.target.child_environment("restorer pg_restore");
        environment.set("PGOPTIONS", options);
        let mut all: Vec<OsString> = vec![
            "--no-owner".into(),
            "--no-acl".into(),
            "--exit-on-error".into(),
            "--no-password".into(),
            self.target.connection_argument(Traffic::Writes),
        ];
        all.extend(arguments.iter().map(OsString::from));
        Program {
            path: self.tools.program("pg_restore"),
            arguments: all,
            environment,
            stdin,
            stdout: Output::Null,
        }
    }

    /// Restores of the schema what the arguments say; of it, the entries that are named.
    async fn restore(
        &self,
        shared: &Shared<'_>,
        arguments: &[&str],
        entries: Option<&BTreeSet<i64>>,
    ) -> Result<(), Failure> {
        let Shared { schema, stop, .. } = shared;
        let mut program = self.program(arguments, shared.options, false);
        let list = entries
            .map(|it| UseList::of(&schema.toc, |entry| it.contains(&entry.id)))
            .transpose()?;
        program
            .arguments
            .extend(list.as_ref().map(UseList::argument));
        program.arguments.push(schema.file.path().into_os_string());
        let child = program.start().map_err(|error| failed(&error))?;
        child.finish(stop).await.map_err(|error| failed(&error))
    }

    /// All streams, as many at once as there are jobs; the first that fails stops the others.
    async fn rows(
        &self,
        folder: &Folder,
        manifest: &Manifest,
        shared: &Shared<'_>,
    ) -> Result<Loaded, Failure> {
        let stop = shared.stop.child_token();
        let shared = Shared {
            stop: &stop,
            ..*shared
        };
        let turns = Semaphore::new(self.jobs);
        // The largest first: the last to end decides.
        let mut streams: Vec<&Stream> = manifest.data().collect();
        streams.sort_by_key(|it| std::cmp::Reverse(it.raw_bytes));
        let unfinished = AtomicUsize::new(streams.len());
        let mut under_way: FuturesUnordered<_> = streams
            .into_iter()
            .map(|stream| {
                let (turns, shared, unfinished) = (&turns, &shared, &unfinished);
                async move {
                    let _turn = turns.acquire().await;
                    let key = folder.key(&stream.name);
                    let expected = Expected::of(stream, key);
                    let bytes = self.stream(&expected, shared.options, shared.stop).await?;
                    let built = self.indexes(shared, stream, unfinished).await?;
                    unfinished.fetch_sub(1, Ordering::Relaxed);
                    Ok((bytes, built))
                }
            })
            .collect();
        let (mut all, mut failure) = (Loaded::default(), None);
        while let Some(ended) = under_way.next().await {
            match ended {
                Ok((bytes, mut built)) => {
                    all.bytes += bytes;
                    all.built.append(&mut built);
                }
                Err(error) => {
                    stop.cancel();
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(all), Err)
    }

    /// Builds what can be built of a stream's tables while others are at work; gives the entries.
    async fn indexes(
        &self,
        shared: &Shared<'_>,
        stream: &Stream,
        unfinished: &AtomicUsize,
    ) -> Result<BTreeSet<i64>, Failure> {
        let mut built = BTreeSet::new();
        for mut step in indexes::ready(&shared.schema.toc, &stream.tables) {
            // All jobs share what is left.
            if self.jobs == 1 || unfinished.load(Ordering::Relaxed) == 1 {
                break;
            }
            self.restore(shared, &["--section=post-data"], Some(&step))
                .await?;
            built.append(&mut step);
        }
        if !built.is_empty() {
            tracing::info!(stream = %stream.name, entries = built.len(), "indexes of its tables are built");
        }
        Ok(built)
    }

    async fn stream(
        &self,
        expected: &Expected,
        options: &str,
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        // Verbose, it says which table it is at.
        let program = self.program(&["--section=data", "--verbose"], options, true);
        let progress = self.progress.stream();
        let child = program.start_heard(progress.listener());
        let mut child = child.map_err(|error| failed(&error))?;
        let sink = feed::sink(&mut child)?;
        // Not left to `feed`: it waits for pg_restore to take what it has, which a server that
        // stands still can put off for ever.
        let fed = tokio::select! {
            biased;
            () = stop.cancelled() => Err(feed::Error::Stopped),
            fed = feed(self.storage, expected, sink, &progress, stop) => fed,
        };
        match fed {
            Ok(bytes) => {
                child.finish(stop).await.map_err(|error| failed(&error))?;
                progress.end();
                tracing::info!(key = %expected.key, bytes, "a stream is loaded");
                Ok(bytes)
            }
            // It went first, so it knows why.
            Err(feed::Error::Closed { key }) => {
                child.finish(stop).await.map_err(|error| failed(&error))?;
                Err(Failure::try_again(format!(
                    "{key}: pg_restore read only a part of it"
                )))
            }
            Err(error) => {
                child.stop().await;
                Err(error.into())
            }
        }
    }

    /// Settings that make loading faster, for our own sessions only: what index builds may use, and
    /// no wait for the disk at each commit.
    async fn options(&self) -> Result<String, Failure> {
        let maintenance = Maintenance::of(self.session, self.target, self.jobs).await?;
        // A pooler that takes no options leaves it at what the server has.
        let ours = self.way.options(&[("synchronous_commit", "off")]);
        Ok(ours.map_or_else(String::new, |it| format!("{it} {}", maintenance.options())))
    }

    async fn execute(&self, sql: &str) -> Result<(), Failure> {
        let done = self.session.batch_execute(sql).await;
        done.map_err(|error| postgres::Error::new("restoring into", self.target, &error).into())
    }

    /// The target was empty, so all that the backup knows and is there now is ours.
    async fn take_away(&self, toc: &Toc) {
        let removing = async {
            for entry in toc.dropped() {
                // Much of it was never made; what stays for another reason shows below.
                if let Err(error) = self.session.batch_execute(&entry.drop).await {
                    tracing::debug!(entry = %entry.tag, %error, "not dropped");
                }
            }
            let rest = format!(
                "SELECT lo_unlink(oid) FROM pg_largeobject_metadata; {}",
                mark::unmark()
            );
            self.session.batch_execute(&rest).await
        };
        match tokio::time::timeout(CLEAN_UP, removing).await {
            Ok(Ok(())) => {
                tracing::info!(database = %self.target, "what this restore had made is removed again");
            }
            Ok(Err(error)) => {
                tracing::warn!(database = %self.target, %error, "a part of what this restore had made is still there; run the restore again, it replaces it");
            }
            Err(_elapsed) => {
                tracing::warn!(database = %self.target, "a part of what this restore had made is still there; run the restore again, it replaces it");
            }
        }
    }
}

fn failed(error: &child::Error) -> Failure {
    Failure::try_again(format!("restoring: {error}"))
}
