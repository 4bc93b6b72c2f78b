//! A target that holds objects is replaced in one transaction: all of the backup is back, or
//! nothing has changed.
//!
//! One psql session takes everything on its stdin: what drops the objects that the backup knows,
//! then the scripts that `pg_restore --file=-` makes of each archive. COMMIT is written last, when
//! every pg_restore has ended with status 0 and every checksum was right. Whatever ends before,
//! ends without it, and PostgreSQL rolls back: psql takes the end of its input in the middle of a
//! COPY for the end of the rows, which harms nobody without a COMMIT.

mod defaults;
mod removal;
mod script;
mod transaction;

use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use backuper::archive::manifest::Compression;
use backuper::archive::{Folder, Manifest};
use backuper::child::{self, Child, Output, Program, pipe};
use backuper::postgres::{Target, tools::Tools};
use backuper::progress::Progress;
use backuper::runtime::Failure;
use backuper::storage::{Object, Storage};
use tokio::task::{JoinError, JoinHandle};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use defaults::Defaults;
use transaction::Transaction;

use crate::archive::schema::Schema;
use crate::archive::toc::{Entry, Toc};
use crate::archive::use_list::UseList;
use crate::feed::{self, Expected, Source, feed, feed_through};
use crate::memfd::Memfd;
use crate::resolve::Encoding;
use crate::target::maintenance::Maintenance;
use crate::target::owners::Moment;
use crate::target::plan::Plan;
use crate::target::{conflicts, kept, mark, order, owners, privileges, tolerant};

/// What all steps share.
#[derive(Debug)]
pub struct Replacing<'a> {
    /// The database.
    pub target: &'a Target,
    /// A session in it, beside the transaction.
    pub session: &'a Client,
    /// The programs.
    pub tools: &'a Tools,
    /// Where the backup is.
    pub storage: &'a Arc<dyn Storage>,
    /// How long to wait for a lock on what is replaced.
    pub lock_wait_timeout: Duration,
    /// How far the rows are.
    pub progress: &'a Arc<Progress>,
    /// The server's major.
    pub major: u32,
    /// What is restored, and how.
    pub plan: &'a Plan,
}

impl Replacing<'_> {
    /// Replaces the target by one of our backups; gives the bytes of its rows.
    ///
    /// # Errors
    /// What went wrong; nothing has changed then.
    pub async fn folder(
        &self,
        folder: &Folder,
        manifest: &Manifest,
        schema: &Schema,
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        let streams: Vec<Expected> = manifest
            .data()
            .map(|it| Expected::of(it, folder.key(&it.name)))
            .collect();
        self.progress.loading_of(manifest);
        self.replace(&schema.toc, &schema.file, &streams, stop)
            .await
    }

    /// Replaces the target by a single archive; gives the bytes that pg_restore read. All but the
    /// rows is in the archive's head, so the object is read once.
    ///
    /// # Errors
    /// As [`Replacing::folder`].
    pub async fn archive(
        &self,
        object: &Object,
        toc: &Toc,
        head: &[u8],
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        let file = Memfd::new("head", head)
            .map_err(|error| Failure::try_again(format!("no memory for the head: {error}")))?;
        let (_, tables) = toc.tables();
        self.progress.loading(tables.len() as u64, None);
        self.replace(toc, &file, &[bare(object)], stop).await
    }

    async fn replace(
        &self,
        toc: &Toc,
        schema: &Memfd,
        streams: &[Expected],
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        let left = self.left_by_another(stop).await?;
        conflicts::look(self.session, self.target, toc).await?;
        let plan = self.plan;
        let first = |it: &Entry| plan.keeps(it) && !order::is_last(it);
        let list = removal::use_list(self.session, self.target, toc, first).await?;
        let last = |it: &Entry| plan.keeps(it) && order::is_last(it);
        let any_last = toc.entries.iter().any(last);
        let last = removal::use_list(self.session, self.target, toc, last).await?;
        let section = |name: &str, list: &UseList| {
            [
                OsString::from(name),
                list.argument(),
                schema.path().into_os_string(),
            ]
        };
        let mut transaction = self.begin().await?;
        let work = async {
            self.clear(&mut transaction, toc, left.as_ref()).await?;
            self.section(
                &mut transaction,
                &section("--section=pre-data", &list),
                stop,
            )
            .await?;
            self.own(&mut transaction, toc, Moment::BeforeRows).await?;
            let mut bytes = 0;
            for expected in streams {
                bytes += self.stream(&mut transaction, expected, stop).await?;
            }
            self.progress.indexing();
            self.section(
                &mut transaction,
                &section("--section=post-data", &list),
                stop,
            )
            .await?;
            self.own(&mut transaction, toc, Moment::AfterRows).await?;
            self.grant(&mut transaction, toc).await?;
            if any_last {
                self.section(
                    &mut transaction,
                    &section("--section=post-data", &last),
                    stop,
                )
                .await?;
                self.own(&mut transaction, toc, Moment::Last).await?;
            }
            Ok(bytes)
        };
        let outcome = stoppable(work, stop).await;
        transaction.end(outcome).await
    }

    /// Runs a script of SQL, in which nothing may end the transaction; gives its bytes.
    ///
    /// # Errors
    /// As [`Replacing::folder`].
    pub async fn script(
        &self,
        object: &Object,
        encoding: Encoding,
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        let expected = bare(object);
        let left = self.left_by_another(stop).await?;
        let mut transaction = self.begin().await?;
        let work = async {
            if let Some(left) = &left {
                self.remove_left(&mut transaction, left, None).await?;
            }
            let (reader, writer) = pipe()?;
            let decode = move |source: &mut Source| script::copy(source, encoding, writer);
            let feeding = feed_through(self.storage, &expected, decode, stop);
            let (fed, copied) = tokio::join!(feeding, transaction.pour(reader));
            copied?;
            Ok(fed?)
        };
        let outcome = stoppable(work, stop).await;
        transaction.end(outcome).await
    }

    /// The session, in its transaction.
    async fn begin(&self) -> Result<Transaction, Failure> {
        let maintenance = Maintenance::of(self.session, self.target, 1).await?;
        let environment = self.target.child_environment("restorer psql");
        let arguments = [
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--output=/dev/null",
            "--set=ON_ERROR_STOP=1",
        ];
        let mut child = Program {
            path: self.tools.program("psql"),
            arguments: arguments.map(Into::into).to_vec(),
            environment,
            stdin: true,
            stdout: Output::Piped,
        }
        .start()
        .map_err(|error| failed(&error))?;
        match (child.take_stdin(), child.take_stdout()) {
            (Some(stdin), Some(stdout)) => {
                pipe::widen(&stdin);
                let mut transaction = Transaction {
                    child,
                    stdin,
                    stdout,
                };
                let wait = self.lock_wait_timeout.as_millis();
                let maintenance = maintenance.set_local();
                transaction
                    .write(&format!(
                        "BEGIN;\nSET LOCAL client_min_messages = warning;\nSET LOCAL statement_timeout = 0;\nSET LOCAL idle_in_transaction_session_timeout = 0;\nSET LOCAL lock_timeout = {wait};\n{maintenance}{}",
                            transaction::MARK
                    ))
                    .await?;
                Ok(transaction)
            }
            _ => Err(Failure::try_again("psql has no stdin")),
        }
    }

    async fn left_by_another(&self, stop: &CancellationToken) -> Result<Option<Toc>, Failure> {
        let looking = mark::left_by(self.session, self.target, self.storage, stop);
        tokio::select! {
            left = looking => left,
            () = stop.cancelled() => Err(Failure::try_again("stopped before it began")),
        }
    }

    /// Takes away the half of a backup, and with it the mark; what `toc` brings anew stays where
    /// others may be in it.
    async fn remove_left(
        &self,
        transaction: &mut Transaction,
        left: &Toc,
        toc: Option<&Toc>,
    ) -> Result<(), Failure> {
        let removal = removal::of_all(self.session, self.target, left, toc).await?;
        let unmark = mark::unmark();
        transaction.write(&format!("{removal}{unmark};\n")).await
    }

    /// Drops what the backup knows, and what is left of another. Default privileges would add to
    /// what is made next, so ours go with it.
    async fn clear(
        &self,
        transaction: &mut Transaction,
        toc: &Toc,
        left: Option<&Toc>,
    ) -> Result<(), Failure> {
        if let Some(left) = left {
            self.remove_left(transaction, left, Some(toc)).await?;
        }
        let removal = removal::statements(self.session, self.target, toc).await?;
        let defaults = Defaults::of(self.session, self.target).await?;
        transaction.write(&defaults.undone()).await?;
        transaction.write(&removal).await
    }

    async fn own(
        &self,
        transaction: &mut Transaction,
        toc: &Toc,
        moment: Moment,
    ) -> Result<(), Failure> {
        let statements = owners::statements(toc, self.plan, moment);
        let text = tolerant::within_transaction(&statements);
        transaction.write(&text).await
    }

    async fn grant(&self, transaction: &mut Transaction, toc: &Toc) -> Result<(), Failure> {
        transaction.write(&kept::reset(toc, self.major)).await?;
        let statements = privileges::statements(self.target, toc, self.plan);
        let text = tolerant::within_transaction(&statements);
        transaction.write(&text).await?;
        // Read from outside the transaction, so these are still those from before it.
        let defaults = Defaults::of(self.session, self.target).await?;
        transaction.write(&defaults.redone_beside(toc)).await
    }

    fn pg_restore(&self, arguments: &[OsString], stdin: bool) -> Result<Child, Failure> {
        let fixed = ["--file=-", "--no-owner", "--no-acl"];
        Program {
            path: self.tools.program("pg_restore"),
            arguments: fixed
                .iter()
                .map(OsString::from)
                .chain(self.plan.arguments().iter().map(OsString::from))
                .chain(arguments.iter().cloned())
                .collect(),
            // It speaks to no server, so it is not told of one.
            environment: child::Environment::default(),
            stdin,
            stdout: Output::Piped,
        }
        .start()
        .map_err(|error| failed(&error))
    }

    async fn section(
        &self,
        transaction: &mut Transaction,
        arguments: &[OsString],
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut child = self.pg_restore(arguments, false)?;
        let (reader, sifting) = sifted(&mut child)?;
        let (poured, sifted) = tokio::join!(transaction.pour(reader), sifting);
        if let Err(failure) = poured {
            child.stop().await;
            return Err(failure);
        }
        child.finish(stop).await.map_err(|error| failed(&error))?;
        whole("the schema", sifted)
    }

    async fn stream(
        &self,
        transaction: &mut Transaction,
        expected: &Expected,
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        let mut child = self.pg_restore(&["--section=data".into()], true)?;
        let sink = feed::sink(&mut child)?;
        let (reader, sifting) = sifted(&mut child)?;
        let progress = self.progress.stream();
        let feeding = feed(self.storage, expected, sink, &progress, stop);
        let (fed, poured, sifted) = tokio::join!(feeding, transaction.pour(reader), sifting);
        // psql knows best why it took no more.
        if let Err(failure) = poured {
            child.stop().await;
            return Err(failure);
        }
        match fed {
            Ok(bytes) => {
                child.finish(stop).await.map_err(|error| failed(&error))?;
                whole(&expected.key, sifted)?;
                progress.tables(expected.tables as u64);
                tracing::info!(key = %expected.key, bytes, "a stream is loaded");
                Ok(bytes)
            }
            Err(feed::Error::Closed { .. }) => {
                child.finish(stop).await.map_err(|error| failed(&error))?;
                let key = &expected.key;
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
}

/// Ends work that is asked to stop; the transaction then rolls back.
async fn stoppable(
    work: impl Future<Output = Result<u64, Failure>>,
    stop: &CancellationToken,
) -> Result<u64, Failure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Failure::try_again("stopped")),
        outcome = work => outcome,
    }
}

fn pipe() -> Result<(std::io::PipeReader, std::io::PipeWriter), Failure> {
    let ends = std::io::pipe().map_err(|error| Failure::try_again(format!("no pipe: {error}")))?;
    pipe::widen(&ends.1);
    Ok(ends)
}

type Sifting = JoinHandle<std::io::Result<u64>>;

/// What pg_restore writes, on its way into our transaction.
fn sifted(program: &mut Child) -> Result<(std::io::PipeReader, Sifting), Failure> {
    let mut script = File::from(stdout(program)?);
    pipe::widen(&script);
    let (reader, writer) = pipe()?;
    let sifting =
        tokio::task::spawn_blocking(move || script::copy(&mut script, Encoding::Plain, writer));
    Ok((reader, sifting))
}

fn whole(what: &str, sifted: Result<std::io::Result<u64>, JoinError>) -> Result<(), Failure> {
    match sifted.map_err(std::io::Error::other).flatten() {
        Ok(_bytes) => Ok(()),
        Err(error) => Err(Failure::try_again(format!(
            "{what}: its script broke: {error}"
        ))),
    }
}

fn stdout(child: &mut Child) -> Result<std::os::fd::OwnedFd, Failure> {
    child
        .take_stdout()
        .and_then(|it| it.into_owned_fd().ok())
        .ok_or_else(|| Failure::try_again("pg_restore has no stdout"))
}

/// Nobody wrote down what such an object is to be but the store itself.
fn bare(object: &Object) -> Expected {
    Expected {
        key: object.key.clone(),
        compression: Compression::None,
        size: object.size,
        sha256: None,
        tables: 0,
    }
}

fn failed(error: &child::Error) -> Failure {
    Failure::try_again(format!("restoring: {error}"))
}
