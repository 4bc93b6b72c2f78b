//! An empty target is loaded by many hands: the sections before the rows, all streams of rows at
//! once, the sections after them. Indexes are built while others still load.
//!
//! While it is half loaded it says so, by the [`mark`]; when it cannot be finished, everything that
//! was made is removed again.

mod cleanup;
mod indexes;
mod last;
mod phases;
mod restoring;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use backuper::archive::encryption::Identities;
use backuper::archive::{Folder, Manifest};
use backuper::postgres::{self, CopyFormat, Target, Way, mark, tools::Tools};
use backuper::progress::{After, Progress};
use backuper::runtime::{Failure, Shutdown};
use backuper::storage::Storage;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use cleanup::Public;
use last::Last;
use phases::Phases;
use restoring::{POST_DATA, PRE_DATA, Restoring};

use crate::archive::schema::Schema;
use crate::archive::toc::{Entry, Toc};
use crate::diagnostics::{Failed, Names};
use crate::summary::Loaded;
use crate::target::maintenance::Maintenance;
use crate::target::owners::Moment;
use crate::target::plan::Plan;
use crate::target::tolerant::{Statement, Tolerance};
use crate::target::{columns, database, kept, owners, part, privileges, tolerant};

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
    /// The private keys of what is encrypted.
    pub identities: &'a Identities,
    /// Streams side by side.
    pub jobs: usize,
    /// Whether what cannot be made beside the rows is left out.
    pub keep_going: bool,
    /// How rows go there.
    pub copy_format: CopyFormat,
    /// The server's major: 15 of 15.18.
    pub major: u32,
    /// Whether the database was made for this load, has the mark, and goes when the load fails.
    pub created: bool,
    /// When a clean-up must have ended.
    pub shutdown: &'a Shutdown,
    /// How far they are.
    pub progress: &'a Arc<Progress>,
    /// What is restored, and how.
    pub plan: &'a Plan,
}

impl Loading<'_> {
    /// Loads the backup.
    ///
    /// # Errors
    /// What went wrong; a target that was there before is empty again then.
    pub async fn run(
        &self,
        folder: &Folder,
        manifest: &Manifest,
        schema: &Schema,
        stop: &CancellationToken,
    ) -> Result<Loaded, Failure> {
        let before = Public::of(self.session)
            .await
            .map_err(|error| postgres::Error::new("examining", self.target, &error))?;
        let has_public = before.is_some();
        let loaded = self
            .load(folder, manifest, schema, (has_public, stop))
            .await;
        if loaded.is_err() && !self.created {
            let deadline = self.shutdown.clean_up_by();
            cleanup::remove(
                self.session,
                self.target,
                &schema.toc,
                before.as_ref(),
                deadline,
            )
            .await;
        }
        loaded
    }

    async fn load(
        &self,
        folder: &Folder,
        manifest: &Manifest,
        schema: &Schema,
        (has_public, stop): (bool, &CancellationToken),
    ) -> Result<Loaded, Failure> {
        if !self.created {
            self.execute(&mark::set(&folder.prefix(), false)).await?;
        }
        let given = schema.giving(|it| self.plan.gives_at_once(it))?;
        let restoring = &Restoring {
            loading: self,
            schema,
            file: given.as_ref().unwrap_or(&schema.file),
            names: &Names::of(&schema.toc),
            options: &self.options().await?,
            stop,
        };
        let phases = Phases::of(&schema.toc, |it| {
            self.plan.keeps(it) && !(has_public && it.is_public())
        });
        let mut failed = restoring.entries(PRE_DATA, 1, &phases.pre_data).await?;
        self.have_tables(manifest, &failed).await?;
        self.own(&schema.toc, Moment::BeforeRows, &failed).await?;
        self.progress.loading_of(manifest);
        // Where the load goes on without something, a table may be one that was there before.
        let made = |it: &Entry| failed.is_empty() && phases.pre_data.contains(&it.id);
        let made = columns::wanted(self.copy_format, manifest, &schema.toc, made);
        let made = columns::of(self.session, self.target, &made).await?;
        let mut rows = rows::load((folder, manifest), restoring, &phases.post_data, made).await?;
        failed.append(&mut rows.failed);
        self.progress.goes_on_with(After::Indexing);
        let post_data = &phases.post_data - &rows.built;
        failed.extend(restoring.entries(POST_DATA, self.jobs, &post_data).await?);
        self.own(&schema.toc, Moment::AfterRows, &failed).await?;
        let part = manifest.part.as_ref();
        if part::brings_public(self.session, self.target, &schema.toc, part).await? {
            let reset = kept::reset_public(&schema.toc, self.major);
            self.execute(&reset).await?;
        }
        let privileges = privileges::statements(self.target, &schema.toc, self.plan);
        let (lasting, privileges) = forgiving(privileges, &failed)
            .into_iter()
            .partition::<Vec<_>, _>(|it| it.sql.starts_with("ALTER DEFAULT PRIVILEGES "));
        tolerant::execute(self.session, self.target, "granting in", &privileges).await?;
        failed.extend(
            restoring
                .entries(POST_DATA, self.jobs, &phases.refreshes)
                .await?,
        );
        if stop.is_cancelled() {
            return Err(Failure::try_again("stopped"));
        }
        if self.created {
            database::apply(self.session, self.target, &schema.toc, self.plan).await;
        }
        // Our sessions did not wait for the disk (synchronous_commit). This commit does, and what
        // it waits for is everything before it too.
        let owners = owners::statements(&schema.toc, self.plan, Moment::Last);
        let last = Last {
            session: self.session,
            target: self.target,
            phases: &phases,
            privileges: &lasting,
            owners: &forgiving(owners, &failed),
            keep_going: self.keep_going,
        };
        failed.extend(last.commit().await?);
        Ok(Loaded {
            bytes: rows.bytes,
            omissions: omissions(&schema.toc, failed),
        })
    }

    async fn own(&self, toc: &Toc, moment: Moment, failed: &[Failed]) -> Result<(), Failure> {
        let statements = forgiving(owners::statements(toc, self.plan, moment), failed);
        tolerant::execute(self.session, self.target, "giving owners in", &statements).await
    }

    /// A load that keeps going may have left out what rows need; then it is not worth going on.
    async fn have_tables(&self, manifest: &Manifest, failed: &[Failed]) -> Result<(), Failure> {
        let Some(first) = failed.first() else {
            return Ok(());
        };
        let tables: Vec<&str> = manifest
            .data()
            .flat_map(|it| &it.tables)
            .map(String::as_str)
            .collect();
        let row = self
            .session
            .query_opt(
                "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL LIMIT 1",
                &[&tables],
            )
            .await
            .map_err(|error| postgres::Error::new("examining", self.target, &error))?;
        let Some(row) = row else { return Ok(()) };
        let table: &str = row.get(0);
        Err(Failure::try_again(format!(
            "there is no place for the rows of {table}: restoring {}: {}; nothing is restored",
            first.entry, first.reason
        )))
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
}

/// Where something is left out, statements about it find nothing.
fn forgiving(mut statements: Vec<Statement>, failed: &[Failed]) -> Vec<Statement> {
    if !failed.is_empty() {
        for statement in &mut statements {
            statement.tolerance = Tolerance::Missing;
        }
    }
    statements
}

/// What a load that kept going has left out, by name and with the reason in the log. What is only said
/// of something that is left out is a part of it.
fn omissions(toc: &Toc, failed: Vec<Failed>) -> Vec<String> {
    let ids: BTreeSet<i64> = failed.iter().filter_map(|it| it.id).collect();
    let is_a_part = |failed: &Failed| {
        let entry = toc.entries.iter().find(|it| Some(it.id) == failed.id);
        entry.is_some_and(|it| it.is_attached() && it.needs.iter().any(|id| ids.contains(id)))
    };
    let whole = failed.into_iter().filter(|it| !is_a_part(it));
    whole
        .map(|Failed { entry, reason, .. }| {
            tracing::warn!(%entry, %reason, "left out, since it cannot be made");
            entry
        })
        .collect()
}
