//! What a process before this one has left, and what is forgotten.

use std::time::Duration;

use rusqlite::params;

use super::super::vars;
use super::{CATCH_UP, Store};
use crate::engine::{Component, Error};

/// How long the end of a run is remembered, and its log file kept.
const MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);
/// The newest runs of each schedule that are remembered however old they are, and those of all
/// restores: a clock that once ran ahead must not take them.
const NEWEST: i64 = 20;
/// Runs that are forgotten at once: calls wait meanwhile.
const TOGETHER: i64 = 500;

/// How often in a row a schedule is caught up after runs that ended with the scheduler's own end:
/// one that ends the scheduler each time must not do so for ever.
const INTERRUPTIONS: i64 = 3;

/// The schedules whose runs the last process has left unfinished, but for those that it has been
/// so with too often.
const INTERRUPTED: &str = "
    SELECT r.schedule FROM runs AS r WHERE r.state = 'running' AND
        (SELECT count(*) FROM runs AS i
          WHERE i.schedule = r.schedule AND i.reason = 'Interrupted' AND i.id > coalesce(
            (SELECT max(e.id) FROM runs AS e WHERE e.schedule = r.schedule
              AND e.ended IS NOT NULL AND coalesce(e.reason, '') <> 'Interrupted'), 0)) < ?2";

/// A run that the last process has left unfinished.
#[derive(Debug)]
pub(in crate::engine::local) struct Interrupted {
    pub(in crate::engine::local) name: String,
    pub(in crate::engine::local) component: Component,
    /// `host:port/dbname`, where that can be read.
    pub(in crate::engine::local) database: String,
}

/// A run that is not remembered any more.
#[derive(Debug)]
pub(in crate::engine::local) struct Forgotten {
    pub(in crate::engine::local) name: String,
    pub(in crate::engine::local) schedule: Option<String>,
}

impl Store {
    /// How many schedules there are, and the runs that the last process has left unfinished; none
    /// of those is called a success.
    pub(in crate::engine::local) async fn sweep(
        &self,
        now: i64,
    ) -> Result<(usize, Vec<Interrupted>), Error> {
        self.within("bring the schedules up to date", move |it| {
            let mut query =
                it.prepare("SELECT name, component, vars FROM runs WHERE state = 'running'")?;
            let rows = query.query_map([], |row| {
                Ok(Interrupted {
                    name: row.get(0)?,
                    component: super::component(&row.get::<_, String>(1)?),
                    database: vars::database(&row.get::<_, String>(2)?).unwrap_or_default(),
                })
            })?;
            let interrupted = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            it.execute(&format!("{CATCH_UP} ({INTERRUPTED})"), [now, INTERRUPTIONS])?;
            it.execute(
                "UPDATE runs SET state = 'failed', reason = 'Interrupted', ended = ?1, vars = '[]' \
                 WHERE state = 'running'",
                [now],
            )?;
            let count: i64 = it.query_row("SELECT count(*) FROM schedules", [], |it| it.get(0))?;
            Ok((usize::try_from(count).unwrap_or(0), interrupted))
        })
        .await
    }

    /// Forgets runs that ended long ago, some at a time; none: there are no more.
    pub(in crate::engine::local) async fn forget(&self, now: i64) -> Result<Vec<Forgotten>, Error> {
        let memory = i64::try_from(MEMORY.as_secs()).unwrap_or(i64::MAX);
        self.within("forget old runs", move |it| {
            let mut query = it.prepare_cached(
                "DELETE FROM runs WHERE id IN (
                     SELECT r.id FROM runs AS r WHERE r.ended < ?1 AND r.id < coalesce(
                         (SELECT n.id FROM runs AS n WHERE n.schedule IS r.schedule
                           ORDER BY n.id DESC LIMIT 1 OFFSET ?2), 0)
                      LIMIT ?3)
                 RETURNING name, schedule",
            )?;
            let rows = query.query_map(params![now - memory, NEWEST - 1, TOGETHER], |row| {
                Ok(Forgotten {
                    name: row.get(0)?,
                    schedule: row.get(1)?,
                })
            })?;
            rows.collect()
        })
        .await
    }
}
