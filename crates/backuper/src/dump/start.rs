//! The beginning of a dump: a snapshot, and all pg_dumps with their locks in it.
//!
//! From the snapshot to the last lock a table may be dropped, truncated or altered, and then the
//! snapshot shows what is no more. So nothing is stored before all pg_dumps have written their first
//! bytes and the tables are found to be as they were; otherwise all begin again with a new snapshot.
//! Waiting for a lock is done before, with nothing held: a pg_dump that waits holds other tables, and
//! whoever waits for these would be waited for by the next pg_dump.

use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::copy_out::Held;
use super::explain::Questions;
use super::plan::{Plan, Split};
use super::pump::{First, FirstBytes, Ready, Running};
use super::{APPLICATION, Dump, Error, Part, broken, failed, plan};
use crate::archive::manifest::{self, Content};
use crate::postgres::selection::Selection;
use crate::postgres::snapshot::{Shapes, Snapshot, Survey, Table};
use crate::postgres::unlocked::Unlocked;
use crate::postgres::waits::{self, Wait};
use crate::postgres::{self, Kind, Session};
use crate::runtime::{Failure, Verdict};
use crate::text::sql;

/// How often a dump begins anew at least, however little time locks may take.
const TRIES: u32 = 10;
/// How many of these may fail for a reason that nobody finds.
const UNEXPLAINED: u32 = 3;
/// From this major on a server reads pages of a table without those that stand before them: PostgreSQL 14's release
/// notes, "TID range scans".
const READS_PAGES: u32 = 14;
/// Programs of a dump that has one stream of rows beside the schema.
const FEWEST: usize = 2;
/// How many names a sentence holds before it only counts.
const NAMED: usize = 5;

/// The sessions of a backup beside its lock's.
#[derive(Debug)]
pub struct Sessions<'a> {
    /// Holds the snapshot, until all pg_dumps have it and the COPYs that are to take their places.
    pub holder: Arc<Session>,
    /// Sees what is committed now.
    pub witness: &'a Session,
}

/// How many at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams that are read side by side.
    pub jobs: u16,
    /// Programs that may have a connection.
    pub programs: usize,
}

/// A dump that has begun.
#[derive(Debug)]
pub struct Started {
    /// The moment that it shows.
    pub taken_at: Timestamp,
    /// Which part of the database it has; none: all of it.
    pub part: Option<manifest::Part>,
    pub(super) streams: Vec<Ready>,
    /// What no lock holds, as it is in it.
    pub(super) unlocked: Unlocked,
}

/// Why a try came to nothing.
enum Obstacle {
    /// This table is not what it was in the snapshot.
    Changed(String),
    /// A pg_dump waits.
    Locked(Wait),
    /// A pg_dump has ended before its first byte.
    Ended(Error),
}

impl Dump {
    /// Begins to dump, as often as needed.
    ///
    /// # Errors
    /// Why there is no beginning.
    pub async fn start(
        &self,
        sessions: &Sessions<'_>,
        mut limits: Limits,
        stop: &CancellationToken,
    ) -> Result<Started, Failure> {
        let begun = Instant::now();
        let mut unexplained = 0;
        for attempt in 1.. {
            let obstacle = match self.attempt(sessions, limits, stop).await? {
                Ok(started) => return Ok(started),
                Err(obstacle) => obstacle,
            };
            if stop.is_cancelled() {
                return Err(Failure::try_again("stopped before it began"));
            }
            let lock_timeout = self.lock_wait_timeout;
            let last =
                attempt >= TRIES && !lock_timeout.is_zero() && begun.elapsed() > lock_timeout;
            match obstacle {
                Obstacle::Changed(table) if last => return Err(self.timed_out(&table, attempt)),
                Obstacle::Changed(table) => {
                    tracing::warn!(%table, attempt, "the table was dropped, truncated or altered while the dump began; trying again with a new snapshot");
                }
                Obstacle::Locked(wait) if last => return Err(self.timed_out(&wait.on, attempt)),
                Obstacle::Locked(wait) => {
                    tracing::info!(
                        on = %wait.on, held_by = %wait.held_by, pid = wait.pid, attempt,
                        "the table was locked while the dump began; waiting for it, and then trying again with a new snapshot"
                    );
                }
                Obstacle::Ended(error) => {
                    let questions = Questions {
                        dump: self,
                        witness: sessions.witness,
                    };
                    let failure = questions.explain(error).await;
                    unexplained += 1;
                    if failure.verdict == Verdict::Refused || unexplained == UNEXPLAINED {
                        return Err(failure);
                    }
                    // Fewer connections may be what helps.
                    limits.jobs = 1;
                    limits.programs = FEWEST;
                    tracing::warn!(error = %failure, attempt, "a pg_dump ended before its first byte; trying again with a new snapshot and one stream of rows");
                }
            }
        }
        Err(Failure::try_again("no dump began"))
    }

    async fn attempt(
        &self,
        sessions: &Sessions<'_>,
        limits: Limits,
        stop: &CancellationToken,
    ) -> Result<Result<Started, Obstacle>, Failure> {
        let Sessions { holder, witness } = sessions;
        let target = &self.target;
        Snapshot::end(holder, target).await?;
        let survey = tokio::select! {
            survey = self.survey(holder) => survey?,
            () = stop.cancelled() => return Err(stopped()),
        };
        let plan = self.plan(&survey, limits);
        self.progress.dumping(&survey.tables);
        let snapshot = Snapshot::take(holder, target).await?;
        // Once more: a table may have come since.
        let chosen = self.chosen(holder).await?;
        let parts = self.parts(&plan, survey.large_objects, chosen.as_ref());
        let held = Held {
            id: snapshot.id.clone(),
            _holder: Arc::clone(holder),
        };
        let mut programs = Programs::start(self, parts, &held)?;
        programs.chosen = chosen;
        let begun = tokio::select! {
            begun = programs.begin(self, sessions) => begun,
            wait = waits::any(witness, APPLICATION) => Ok(Err(Hindrance::Locked(wait))),
            () = stop.cancelled() => Err(stopped()),
        };
        match begun {
            Ok(Ok((shapes, firsts))) => {
                if !programs.running.iter().any(Running::is_by_copy) {
                    // Theirs is the snapshot now, and the server need not keep it for us.
                    Snapshot::end(holder, target).await?;
                }
                programs.carry(&shapes, &survey);
                warn_of_tables_without_rows(&survey);
                let part = programs.chosen.take().map(|it| self.part(it));
                let unlocked = std::mem::take(&mut programs.unlocked);
                let streams = programs.ready(firsts);
                tracing::info!(
                    key = %self.folder.prefix(), streams = data_streams(&streams), tables = shapes.len(),
                    snapshot = %snapshot.taken_at, "dumping"
                );
                self.progress.rows_pass();
                Ok(Ok(Started {
                    taken_at: snapshot.taken_at,
                    part,
                    streams,
                    unlocked,
                }))
            }
            Ok(Err(Hindrance::Ended(number))) => {
                Ok(Err(Obstacle::Ended(programs.end_of(number).await)))
            }
            Ok(Err(Hindrance::Changed(table))) => {
                programs.stop().await;
                Ok(Err(Obstacle::Changed(table)))
            }
            Ok(Err(Hindrance::Locked(wait))) => {
                programs.stop().await;
                Ok(Err(Obstacle::Locked(wait)))
            }
            Err(failure) => {
                programs.stop().await;
                Err(failure)
            }
        }
    }

    /// Who reads which tables.
    fn plan(&self, survey: &Survey, limits: Limits) -> Plan {
        // One is for the schema.
        let programs = limits.programs.saturating_sub(1);
        // An older server reads a whole table for some of its pages.
        let split = match self.way.major {
            ..READS_PAGES => Split::Never,
            READS_PAGES.. => self.split,
        };
        let tables = survey.tables.clone();
        let how = (self.reading, split);
        plan::distribute(tables, limits.jobs, programs, how, survey.large_objects)
    }

    /// What is said when time is up.
    fn timed_out(&self, table: &str, attempts: u32) -> Failure {
        let why = format!(
            "table {table} or others were dropped, truncated, altered or locked while the backup began, {attempts} times in a row; run it when fewer tables change, or give it a longer LOCK_WAIT_TIMEOUT"
        );
        postgres::Error::because(Kind::Busy, "dumping", &self.target, why).into()
    }
}

fn stopped() -> Failure {
    Failure::try_again("stopped before it began")
}

/// Why the programs of one try do not come to their rows.
enum Hindrance {
    Changed(String),
    Locked(Wait),
    Ended(usize),
}

/// All pg_dumps of one try.
struct Programs {
    running: Vec<Running>,
    firsts: Vec<First>,
    chosen: Option<Selection>,
    unlocked: Unlocked,
}

impl Programs {
    fn start(dump: &Dump, parts: Vec<Part>, snapshot: &Held) -> Result<Self, Failure> {
        let mut programs = Self {
            running: Vec::with_capacity(parts.len()),
            firsts: Vec::with_capacity(parts.len()),
            chosen: None,
            unlocked: Unlocked::default(),
        };
        for part in parts {
            // Those that run already end with what is dropped here.
            let started = Running::start(dump, part, snapshot);
            let (running, first) = started.map_err(|error| Failure::refused(error.to_string()))?;
            programs.running.push(running);
            programs.firsts.push(first);
        }
        Ok(programs)
    }

    /// Waits until all have their locks, and proves that the tables are those of the snapshot; gives
    /// the first bytes of each.
    async fn begin(
        &mut self,
        dump: &Dump,
        sessions: &Sessions<'_>,
    ) -> Result<Result<(Shapes, Vec<FirstBytes>), Hindrance>, Failure> {
        let shapes = Shapes::seen_by(&sessions.holder, &dump.target);
        let unlocked = Unlocked::seen_by(&sessions.holder, &dump.target);
        let (shapes, unlocked, firsts) = tokio::join!(shapes, unlocked, all(&mut self.firsts));
        let mut shapes = shapes?;
        self.unlocked = unlocked?;
        if let Some(chosen) = &self.chosen {
            shapes.retain(|it| chosen.has_rows_of(it));
        }
        let now = Shapes::seen_by(sessions.witness, &dump.target).await?;
        // A pg_dump that has ended may have done so because of it.
        if let Some(table) = shapes.changed(&now) {
            return Ok(Err(Hindrance::Changed(table)));
        }
        match firsts {
            Ok(firsts) => Ok(Ok((shapes, firsts))),
            Err(number) => Ok(Err(Hindrance::Ended(number))),
        }
    }

    /// Writes down whose rows each carries, by the snapshot: a table may have come or gone since its
    /// size was read. What no other takes the common one does.
    fn carry(&mut self, shapes: &Shapes, survey: &Survey) {
        let mut left = shapes.tables();
        for table in &survey.without_rows {
            left.remove(&(table.schema.clone(), table.name.clone()));
        }
        let (common, own): (Vec<_>, Vec<_>) = self
            .running
            .iter_mut()
            .map(|it| &mut it.part)
            .partition(|it| is_common(it));
        for part in own.into_iter().chain(common) {
            let name = |it: &Table| (it.schema.clone(), it.name.clone());
            part.tables.retain(|it| left.remove(&name(it)).is_some());
            if is_common(part) {
                part.tables.extend(left.values().cloned());
            }
        }
    }

    fn ready(self, firsts: Vec<FirstBytes>) -> Vec<Ready> {
        let both = self.running.into_iter().zip(firsts);
        both.map(|(running, first)| running.ready(first)).collect()
    }

    /// Stops them all: SIGTERM lets pg_dump cancel what it waits for.
    async fn stop(self) {
        join_all(
            self.running
                .into_iter()
                .map(async |mut it| it.child.stop().await),
        )
        .await;
    }

    /// Stops all but one that has ended by itself; gives how it ended.
    async fn end_of(mut self, number: usize) -> Error {
        let Running { part, child, .. } = self.running.swap_remove(number);
        let ended = child.finish(&CancellationToken::new()).await;
        self.stop().await;
        match ended {
            Err(error) => failed(&part, error),
            Ok(()) => broken(&part, "pg_dump has written nothing"),
        }
    }
}

/// The first bytes of all, in their order; or the number of one that has none.
async fn all(firsts: &mut [First]) -> Result<Vec<FirstBytes>, usize> {
    let mut waiting: FuturesUnordered<_> = firsts
        .iter_mut()
        .enumerate()
        .map(async |(number, first)| (number, first.await))
        .collect();
    let mut all: Vec<(usize, FirstBytes)> = Vec::with_capacity(waiting.len());
    while let Some((number, first)) = waiting.next().await {
        match first {
            Ok(Ok(first)) if !first.bytes.is_empty() => all.push((number, first)),
            Ok(Ok(_) | Err(_)) | Err(_) => return Err(number),
        }
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, first)| first).collect())
}

/// Whether it takes what no other stream does.
fn is_common(part: &Part) -> bool {
    matches!(part.content, Content::Rest | Content::Script)
}

fn data_streams(streams: &[Ready]) -> usize {
    let parts = streams.iter().map(Ready::part);
    parts.filter(|it| it.content != Content::Schema).count()
}

fn warn_of_tables_without_rows(survey: &Survey) {
    let all = &survey.without_rows;
    if all.is_empty() {
        return;
    }
    let names = all.iter().take(NAMED);
    let mut names: Vec<String> = names.map(|it| sql::pattern(&it.schema, &it.name)).collect();
    if all.len() > NAMED {
        names.push(format!("{} more", all.len() - NAMED));
    }
    tracing::warn!(
        tables = %names.join(", "),
        "the server is a standby, which has no rows of unlogged tables: the backup has these tables and none of their rows"
    );
}
