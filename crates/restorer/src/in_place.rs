//! A target that holds objects is replaced in one transaction: all of the backup is back, or
//! nothing has changed.
//!
//! One psql session takes everything: what drops the objects that the backup knows, then the scripts that
//! `pg_restore --file=-` makes of each archive, on its stdin, and binary rows from pipes of ours. COMMIT is written last, when
//! every pg_restore has ended with status 0 and every checksum was right. Whatever ends before,
//! ends without it, and PostgreSQL rolls back: psql takes the end of its input in the middle of a
//! COPY for the end of the rows, which harms nobody without a COMMIT.

mod answers;
mod archive;
mod binary;
mod complaints;
mod decided;
mod defaults;
mod event_triggers;
mod labels;
mod lexer;
mod lists;
mod locks;
mod pieces;
mod pipes;
mod refusal;
mod removal;
mod rows;
pub mod script;
mod sections;
mod transaction;

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use backuper::archive::codec::Decoding;
use backuper::archive::encryption::Identities;
use backuper::archive::manifest::Part;
use backuper::archive::{Folder, Manifest};
use backuper::memfd::Memfd;
use backuper::postgres::{CopyFormat, Target, Way, tools::Tools};
use backuper::progress::{After, Progress};
use backuper::runtime::{Failure, Shutdown};
use backuper::storage::{Object, Storage};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use decided::Decided;
use defaults::Defaults;
use event_triggers::silenced;
use lists::Step;
use pipes::pipe;
use refusal::Refusal;
use rows::Rows;
use transaction::Transaction;

use crate::archive::schema::Schema;
use crate::archive::toc::{Entry, Toc};
use crate::archive::use_list::UseList;
use crate::feed::{Expected, Source, feed_through};
use crate::resolve::Encoding;
use crate::summary::Loaded;
use crate::target::maintenance::Maintenance;
use crate::target::mark::Left;
use crate::target::owners::Moment;
use crate::target::plan::Plan;
use crate::target::{conflicts, database, kept, mark, owners, part, privileges, tolerant};

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
    /// The private keys of what is encrypted.
    pub identities: &'a Identities,
    /// How long to wait for a lock on what is replaced.
    pub lock_wait_timeout: Duration,
    /// How far the rows are.
    pub progress: &'a Arc<Progress>,
    /// Who hears that only the server knows how the restore ends.
    pub shutdown: &'a Shutdown,
    /// In which format rows go.
    pub copy_format: CopyFormat,
    /// Whether what cannot be made after the rows is left out.
    pub keep_going: bool,
    /// How psql gets there.
    pub way: Way,
    /// What is restored, and how.
    pub plan: &'a Plan,
    /// Which part of a database the backup has; none: all of it.
    pub part: Option<&'a Part>,
    /// Whether a restore has made the database, which then is to have what is its own.
    pub made: bool,
    /// Whether it is this restore that has, which removes it again when it fails.
    pub created: bool,
}

impl Replacing<'_> {
    /// Replaces the target by one of our backups.
    ///
    /// # Errors
    /// What went wrong; nothing has changed then.
    pub async fn folder(
        &self,
        folder: &Folder,
        manifest: &Manifest,
        schema: &Schema,
        stop: &CancellationToken,
    ) -> Result<Loaded, Failure> {
        self.progress.loading_of(manifest);
        let rows = Rows::of(self, folder, manifest, &schema.toc, stop).await?;
        self.replace(&schema.toc, &schema.file, rows, stop).await
    }

    /// Replaces the target by a single archive, of which the bytes are counted that pg_restore read.
    /// All but the rows is in the archive's head, so the object is read once.
    ///
    /// # Errors
    /// As [`Replacing::folder`].
    pub async fn archive(
        &self,
        object: &Object,
        toc: &Toc,
        head: &[u8],
        stop: &CancellationToken,
    ) -> Result<Loaded, Failure> {
        let file = Memfd::new("head", head)
            .map_err(|error| Failure::try_again(format!("no memory for the head: {error}")))?;
        let (_, tables) = toc.tables();
        self.progress.loading(tables.len() as u64, None);
        let rows = Rows::of_one(Expected::bare(object), toc);
        self.replace(toc, &file, rows, stop).await
    }

    /// Rows that were refused may be taken in another order; the first attempt has changed nothing.
    async fn replace(
        &self,
        toc: &Toc,
        schema: &Memfd,
        mut rows: Rows,
        stop: &CancellationToken,
    ) -> Result<Loaded, Failure> {
        match self.attempt(toc, schema, &rows, stop).await {
            Err(refusal) if refusal.of_rows && rows.have_another_order() => {
                let why = &refusal.failure.sentence;
                tracing::warn!(
                    "rows were refused: {why}; functions that tables call may read other tables, so the restore begins again and loads the tables that call some after all others, one after the other in pg_dump's order"
                );
                self.progress.begin_again();
                rows.be_cautious(self, stop).await?;
                let again = self.attempt(toc, schema, &rows, stop).await;
                again.map_err(|refusal| refusal.failure)
            }
            ended => ended.map_err(|refusal| refusal.failure),
        }
    }

    async fn attempt(
        &self,
        toc: &Toc,
        schema: &Memfd,
        rows: &Rows,
        stop: &CancellationToken,
    ) -> Result<Loaded, Refusal> {
        let left = self.left_by_another(stop).await?;
        conflicts::refuse(self.session, self.target, toc).await?;
        part::refuse(self.session, self.target, toc, self.part).await?;
        let keep = |it: &Entry| self.plan.keeps(it);
        let lists = lists::lists(self.session, self.target, toc, keep).await?;
        let silenced = silenced(self.session, self.target, Some(toc)).await?;
        // Read now: the transaction may take all the locks that the server has room for.
        let defaults = Defaults::of(self.session, self.target).await?;
        let public = part::brings_public(self.session, self.target, toc, self.part).await?;
        let section = |name: &str, list: &UseList| {
            [
                OsString::from(name),
                list.argument(),
                schema.path().into_os_string(),
            ]
        };
        let post_data = section("--section=post-data", &lists.post_data);
        let last = lists.last.iter();
        let last: Vec<_> = last.map(|it| section("--section=post-data", it)).collect();
        let mut transaction = self.begin(&self.settings().await?).await?;
        let work = async {
            let transaction = &mut transaction;
            transaction.write(&silenced.before).await?;
            self.clear(transaction, (toc, rows, &defaults), left.as_ref())
                .await?;
            for step in &lists.pre_data {
                match step {
                    Step::Entries(list) => {
                        let arguments = section("--section=pre-data", list);
                        self.section(transaction, &arguments, stop).await?;
                    }
                    Step::Statement(text) => transaction.write(text).await?,
                }
            }
            self.own(transaction, toc, Moment::BeforeRows).await?;
            let bytes = rows.load(self, transaction, stop).await?;
            self.progress.goes_on_with(After::Indexing);
            transaction.outlive_errors(self.keep_going).await?;
            self.section(transaction, &post_data, stop).await?;
            self.own(transaction, toc, Moment::AfterRows).await?;
            self.grant(transaction, toc, (&defaults, public)).await?;
            for last in &last {
                self.section(transaction, last, stop).await?;
            }
            self.own(transaction, toc, Moment::Last).await?;
            transaction.outlive_errors(false).await?;
            if self.made {
                let own = database::within_transaction(self.target, toc, self.plan);
                transaction.write(&own).await?;
            }
            transaction.write(&silenced.after).await?;
            // psql has done all that lies between us and it: from here on nothing but the COMMIT is left, which nobody can stop.
            transaction.ask("SELECT 'done' AS oiler_answer").await?;
            Ok(bytes)
        };
        let outcome = stoppable(work, stop).await;
        let ended = self.end(transaction, outcome).await;
        let told = |it: Refusal| if self.created { it } else { it.told_whole() };
        ended.map_err(told)
    }

    async fn end(
        &self,
        transaction: Transaction,
        outcome: Result<u64, Failure>,
    ) -> Result<Loaded, Refusal> {
        if outcome.is_ok() {
            self.progress.goes_on_with(After::Committing);
        }
        let decided = Decided {
            session: self.session,
            target: self.target,
            shutdown: self.shutdown,
        };
        transaction.end(outcome, decided).await
    }

    /// Runs a script of SQL, in which nothing may end the transaction; its bytes are counted.
    ///
    /// # Errors
    /// As [`Replacing::folder`].
    pub async fn script(
        &self,
        (object, manifest): (&Object, Option<&Manifest>),
        encoding: Encoding,
        stop: &CancellationToken,
    ) -> Result<Loaded, Failure> {
        let ours = manifest.and_then(|it| Some((it, it.script()?)));
        let expected = match ours {
            Some((manifest, stream)) => {
                let decoding = Decoding::of(manifest, stream, self.identities);
                Expected::of(stream, object.key.clone(), decoding)
            }
            None => Expected::bare(object),
        };
        let left = self.left_by_another(stop).await?;
        let silenced = silenced(self.session, self.target, None).await?;
        let restricted = script::Restriction::of(self.tools);
        let mut transaction = self.begin(&self.settings().await?).await?;
        let work = async {
            let transaction = &mut transaction;
            transaction.write(&silenced.before).await?;
            if let Some(left) = &left {
                self.remove_left(transaction, left, None).await?;
            }
            transaction.unpin().await?;
            transaction.write(&restricted.begin()).await?;
            let (reader, writer) = pipe()?;
            let known = restricted.is_known();
            let identities = expected.decoding.identities.clone();
            let decode = move |source: &mut Source| match identities {
                None => script::copy(source, encoding, known, writer),
                Some(identities) => {
                    let mut open = identities.decrypt(source).map_err(io::Error::other)?;
                    script::copy(&mut open, encoding, known, writer)
                }
            };
            let feeding = feed_through(self.storage, &expected, decode, stop);
            let (fed, copied) = tokio::join!(feeding, transaction.pour(reader));
            copied?;
            let bytes = fed?;
            transaction.write(&restricted.end()).await?;
            transaction.write(&silenced.after).await?;
            Ok(bytes)
        };
        let outcome = stoppable(work, stop).await;
        let ended = self.end(transaction, outcome).await;
        ended.map_err(|refusal| refusal.failure)
    }

    /// What index builds may use, and how long removals wait.
    async fn settings(&self) -> Result<String, Failure> {
        let maintenance = Maintenance::of(self.session, self.target, 1).await?;
        let wait = self.lock_wait_timeout.as_millis();
        Ok(format!(
            "SET LOCAL lock_timeout = {wait};\n{}",
            maintenance.set_local()
        ))
    }

    async fn begin(&self, settings: &str) -> Result<Transaction, Failure> {
        Transaction::begin(self.tools.program("psql"), self.target, self.way, settings).await
    }

    async fn left_by_another(&self, stop: &CancellationToken) -> Result<Option<Left>, Failure> {
        let here = mark::Place {
            session: self.session,
            target: self.target,
            storage: self.storage,
            identities: self.identities,
        };
        let looking = mark::left_by(here, stop);
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
        left: &Left,
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
        (toc, rows, defaults): (&Toc, &Rows, &Defaults),
        left: Option<&Left>,
    ) -> Result<(), Failure> {
        if let Some(left) = left {
            self.remove_left(transaction, left, Some(toc)).await?;
        }
        locks::suffice(self.session, self.target, toc).await?;
        let rows = removal::Rows {
            without: self.part.map_or(&[][..], |it| &it.without_rows),
            of: &rows.tables(),
        };
        let removal = removal::statements(self.session, self.target, toc, rows).await?;
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

    async fn grant(
        &self,
        transaction: &mut Transaction,
        toc: &Toc,
        (defaults, public): (&Defaults, bool),
    ) -> Result<(), Failure> {
        let reset = kept::reset(toc, self.way.major, public);
        transaction.write(&reset).await?;
        let statements = privileges::statements(self.target, toc, self.plan);
        let text = tolerant::within_transaction(&statements);
        transaction.write(&text).await?;
        transaction.write(&defaults.redone_beside(toc)).await
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
