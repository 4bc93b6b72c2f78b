//! What a process before this one has left, and what is forgotten.

use std::time::Duration;

use rusqlite::params;

use super::Store;
use super::runs::CATCH_UP;
use crate::engine::Error;

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

/// What an interrupted run means to those who depend on it.
const INTERRUPTED_BACKUP: &str =
    "this backup did not end before the scheduler did: nothing of it counts, and it is made again";
const INTERRUPTED_RESTORE: &str = "this restore did not end before the scheduler did, and whether it was complete by then is not known: look at the database, and ask for the restore again, under another request_id, if what it should have brought back is not there";

/// The schedules whose runs the last process has left unfinished, but for those that it has been
/// so with too often.
const INTERRUPTED: &str = "
    SELECT r.schedule FROM runs AS r WHERE r.state = 'running' AND
        (SELECT count(*) FROM runs AS i
          WHERE i.schedule = r.schedule AND i.reason = 'Interrupted' AND i.id > coalesce(
            (SELECT max(e.id) FROM runs AS e WHERE e.schedule = r.schedule
              AND e.ended IS NOT NULL AND coalesce(e.reason, '') <> 'Interrupted'), 0)) < ?2";

/// A run that is not remembered any more.
#[derive(Debug)]
pub(in crate::engine::local) struct Forgotten {
    pub(in crate::engine::local) id: i64,
    pub(in crate::engine::local) name: String,
    pub(in crate::engine::local) schedule: Option<String>,
}

impl Store {
    /// Ends the runs that the last process has left unfinished, and gives them; none of those is called
    /// a success.
    pub(in crate::engine::local) async fn sweep(&self, now: i64) -> Result<Vec<i64>, Error> {
        self.within("end what the last process has left", move |it| {
            it.execute(&format!("{CATCH_UP} ({INTERRUPTED})"), [now, INTERRUPTIONS])?;
            let mut query = it.prepare(
                "UPDATE runs SET state = 'failed', reason = 'Interrupted', ended = ?1, \
                     message = iif(component = 'restore', ?2, ?3), vars = '[]', secrets = '{}' \
                 WHERE state = 'running' RETURNING id",
            )?;
            let rows = query.query_map(
                params![now, INTERRUPTED_RESTORE, INTERRUPTED_BACKUP],
                |row| row.get(0),
            )?;
            rows.collect()
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
                 RETURNING id, name, schedule",
            )?;
            let rows = query.query_map(params![now - memory, NEWEST - 1, TOGETHER], |row| {
                Ok(Forgotten {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    schedule: row.get(2)?,
                })
            })?;
            rows.collect()
        })
        .await
    }
}
