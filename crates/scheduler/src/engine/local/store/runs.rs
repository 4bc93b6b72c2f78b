//! The runs, from their beginning to their end.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::Store;
use super::schedules::{Due, for_a_run};
use crate::domain::drilled::Drilled;
use crate::domain::kept;
use crate::domain::restore::Restore;
use crate::domain::run::{Attempts, Component, Ending, Run, State};
use crate::domain::schedule::Schedule;
use crate::engine::local::supervisor::STOPPED;
use crate::engine::{Error, Started, StartedBy};

/// A backup that was interrupted counts as missed: its schedule is due again.
pub(super) const CATCH_UP: &str =
    "UPDATE schedules SET due = min(coalesce(due, ?1), ?1) WHERE name IN";

/// How many runs of each schedule are told of at a start, and of all restores.
const NEWEST: i64 = 20;
/// How many in all.
const MOST: i64 = 100_000;

/// What to read of a run, for [`run`].
const RUN: &str = "SELECT id, name, component, schedule, place, state, reason, exit_code, message, \
    created, started, ended, told, spec, attempt FROM runs";

/// A run that is to be started.
#[derive(Debug)]
pub(in crate::engine::local) struct Taken {
    pub(in crate::engine::local) id: i64,
    pub(in crate::engine::local) run: Run,
    /// What it is to do; none where that cannot be read any more.
    pub(in crate::engine::local) work: Option<Work>,
    /// The first is 1.
    pub(in crate::engine::local) attempt: i64,
}

/// What a worker is to do, and the secrets for it.
#[derive(Debug)]
pub(in crate::engine::local) enum Work {
    Backup(Box<Schedule>, String),
    Restore(Box<Restore>, String),
}

impl Store {
    /// A run of a schedule, and when the next is due: one or the other is never kept alone.
    pub(in crate::engine::local) async fn begin(
        &self,
        due: Due,
        next: Option<i64>,
        now: i64,
    ) -> Result<(), Error> {
        self.within("keep a run", move |it| {
            let Due { name, cron } = due;
            let place = for_a_run(it, &name)?.map(|(schedule, _)| schedule.plan.source.place());
            it.execute(
                "INSERT INTO runs (name, component, schedule, place, vars, state, created) \
                 VALUES (?1, 'backup', ?3, ?4, '[]', 'waiting', ?2)",
                params![format!("{name}-{now}"), now, name, place],
            )?;
            it.execute(
                "UPDATE schedules SET due = ?1 WHERE name = ?2 AND cron = ?3",
                params![next, name, cron],
            )?;
            Ok(())
        })
        .await
    }

    /// A run of a schedule beside its times, or the one that is under way, or the one of this name; none
    /// where there is no such schedule.
    pub(in crate::engine::local) async fn begin_now(
        &self,
        schedule: String,
        name: String,
        now: i64,
    ) -> Result<Option<Started>, Error> {
        self.within("keep a run", move |it| {
            let found: Option<(String, bool)> = it
                .query_row(
                    "SELECT name, ended IS NOT NULL FROM runs WHERE schedule = ?1 AND \
                     (name = ?2 OR state IN ('waiting', 'running')) ORDER BY name = ?2 DESC LIMIT 1",
                    [&schedule, &name],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            if let Some((name, has_ended)) = found {
                let by = if has_ended {
                    StartedBy::EarlierEnded
                } else {
                    StartedBy::Earlier
                };
                return Ok(Some(Started { name, by }));
            }
            let Some((kept, _)) = for_a_run(it, &schedule)? else {
                return Ok(None);
            };
            it.execute(
                "INSERT INTO runs (name, component, schedule, place, vars, state, created) \
                 VALUES (?1, 'backup', ?2, ?3, '[]', 'waiting', ?4)",
                params![name, schedule, kept.plan.source.place(), now],
            )?;
            let by = StartedBy::ThisCall;
            Ok(Some(Started { name, by }))
        })
        .await
    }

    /// The run that is to start now, which then counts as running: restores first, for somebody waits for
    /// them, and then, where backups may run too, the one that has waited longest.
    pub(in crate::engine::local) async fn take(
        &self,
        now: i64,
        restores_alone: bool,
    ) -> Result<Option<Taken>, Error> {
        self.within("start a run", move |it| {
            let taken: Option<(i64, i64, Option<String>, String)> = it
                .query_row(
                    "UPDATE runs SET state = 'running', attempt = attempt + 1, \
                         started = coalesce(started, ?1) WHERE id = \
                     (SELECT id FROM runs WHERE state = 'waiting' AND not_before <= ?1 \
                      AND (component = 'restore' OR NOT ?2) ORDER BY component = 'restore' DESC, id LIMIT 1) \
                     RETURNING id, attempt, spec, secrets",
                    params![now, restores_alone],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
                )
                .optional()?;
            let Some((id, attempt, spec, secrets)) = taken else {
                return Ok(None);
            };
            let run = it.query_row(&format!("{RUN} WHERE id = ?1"), [id], run)?;
            let work = match (&run.schedule, run.component) {
                (Some(schedule), Component::Backup) => for_a_run(it, schedule)?
                    .map(|(schedule, secrets)| Work::Backup(Box::new(schedule), secrets)),
                _ => spec
                    .and_then(|it| kept::read(&it).ok())
                    .map(|restore| Work::Restore(Box::new(restore), secrets)),
            };
            Ok(Some(Taken {
                id,
                run,
                work,
                attempt,
            }))
        })
        .await
    }

    /// A run that failed and is to be tried again, not before a time; gives it as it is then.
    pub(in crate::engine::local) async fn again(
        &self,
        id: i64,
        not_before: i64,
    ) -> Result<Option<Run>, Error> {
        self.within("keep a run that is to be tried again", move |it| {
            it.execute(
                "UPDATE runs SET state = 'waiting', not_before = ?2 WHERE id = ?1",
                [id, not_before],
            )?;
            of_id(it, id)
        })
        .await
    }

    /// A run that waits for its next try longer than any does was put off by a clock that ran ahead.
    pub(in crate::engine::local) async fn hurry(
        &self,
        now: i64,
        longest: i64,
    ) -> Result<(), Error> {
        self.within("look at runs that wait", move |it| {
            it.execute(
                "UPDATE runs SET not_before = ?1 WHERE state = 'waiting' AND not_before > ?2",
                [now, now.saturating_add(longest)],
            )
        })
        .await
        .map(drop)
    }

    /// How a run ended; gives it as it is then. Its secrets are forgotten.
    pub(in crate::engine::local) async fn end(
        &self,
        id: i64,
        ending: Ending,
        now: i64,
    ) -> Result<Option<Run>, Error> {
        self.within("keep the end of a run", move |it| {
            if matches!(&ending, Ending::Failed { reason, .. } if reason == STOPPED) {
                let which = "SELECT schedule FROM runs WHERE id = ?2";
                it.execute(&format!("{CATCH_UP} ({which})"), [now, id])?;
            }
            let state = ending.word();
            let (reason, exit_code, message) = match ending {
                Ending::Succeeded { message } => (None, Some(0), message),
                Ending::Failed {
                    reason,
                    exit_code,
                    message,
                    attempts: _,
                } => (Some(reason), exit_code, message),
                Ending::Cancelled | Ending::Expired => (None, None, None),
            };
            it.execute(
                "UPDATE runs SET state = ?2, reason = ?3, exit_code = ?4, message = ?5, \
                 ended = ?6, vars = '[]', secrets = '{}' WHERE id = ?1",
                params![id, state, reason, exit_code, message, now],
            )?;
            of_id(it, id)
        })
        .await
    }

    /// Ends a run that waits; whether there was one.
    pub(in crate::engine::local) async fn cancel(
        &self,
        name: String,
        now: i64,
    ) -> Result<bool, Error> {
        self.within("cancel a run", move |it| {
            it.execute(
                "UPDATE runs SET state = 'cancelled', ended = ?2, vars = '[]', secrets = '{}' \
                 WHERE name = ?1 AND state = 'waiting'",
                params![name, now],
            )
        })
        .await
        .map(|count| count > 0)
    }

    /// The newest run of that name.
    pub(in crate::engine::local) async fn run(&self, name: String) -> Result<Option<Run>, Error> {
        self.within("read a run", move |it| {
            let query = format!("{RUN} WHERE name = ?1 ORDER BY id DESC LIMIT 1");
            it.query_row(&query, [name], run).optional()
        })
        .await
    }

    /// These runs.
    pub(in crate::engine::local) async fn runs_of(&self, ids: Vec<i64>) -> Result<Vec<Run>, Error> {
        self.within("read runs", move |it| {
            let rows = ids.iter().filter_map(|id| of_id(it, *id).transpose());
            rows.collect()
        })
        .await
    }

    /// The newest runs, and those that have not ended, or whose end was not told.
    pub(in crate::engine::local) async fn runs(&self) -> Result<Vec<Run>, Error> {
        self.within("read the runs", |it| {
            let mut query = it.prepare_cached(&format!(
                "{RUN} WHERE state IN ('waiting', 'running') OR id IN (SELECT id FROM \
                     (SELECT id, told, row_number() OVER \
                         (PARTITION BY schedule ORDER BY id DESC) AS place FROM runs) \
                     WHERE place <= ?1 OR told = 0 ORDER BY told, place LIMIT {MOST})"
            ))?;
            let rows = query.query_map([NEWEST], run)?;
            rows.collect()
        })
        .await
    }

    /// The runs of a schedule that have not ended, or whose end was not told.
    pub(in crate::engine::local) async fn unfinished_or_untold(
        &self,
        schedule: String,
    ) -> Result<Vec<Run>, Error> {
        self.within("read runs", move |it| {
            let mut query =
                it.prepare_cached(&format!("{RUN} WHERE schedule = ?1 AND told = 0"))?;
            let rows = query.query_map([schedule], run)?;
            rows.collect()
        })
        .await
    }

    /// Remembers that the end of a run was told; gives it as it is then.
    pub(in crate::engine::local) async fn told(&self, id: i64) -> Result<Option<Run>, Error> {
        self.within("remember what was told", move |it| {
            it.execute("UPDATE runs SET told = 1 WHERE id = ?1", [id])?;
            of_id(it, id)
        })
        .await
    }
}

fn of_id(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<Run>> {
    let mut query = transaction.prepare_cached(&format!("{RUN} WHERE id = ?1"))?;
    query.query_row([id], run).optional()
}

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let time = |column: &str| {
        let seconds: Option<i64> = row.get(column)?;
        Ok::<_, rusqlite::Error>(seconds.and_then(|it| Timestamp::from_second(it).ok()))
    };
    let message: Option<String> = row.get("message")?;
    let spec: Option<String> = row.get("spec")?;
    let state: String = row.get("state")?;
    Ok(Run {
        id: row.get::<_, i64>("id")?.to_string(),
        name: row.get("name")?,
        component: component(&row.get::<_, String>("component")?),
        schedule: row.get("schedule")?,
        database: row.get::<_, Option<String>>("place")?.unwrap_or_default(),
        drilled: spec
            .and_then(|it| kept::read::<Restore>(&it).ok())
            .and_then(|it| Drilled::of(&it)),
        state: match state.as_str() {
            "waiting" => State::Waiting,
            "running" => State::Running,
            "succeeded" => State::Ended(Ending::Succeeded { message }),
            "cancelled" => State::Ended(Ending::Cancelled),
            "expired" => State::Ended(Ending::Expired),
            _ => State::Ended(Ending::Failed {
                reason: row.get::<_, Option<String>>("reason")?.unwrap_or_default(),
                exit_code: row.get("exit_code")?,
                message,
                attempts: Attempts {
                    failed: row.get("attempt")?,
                    pod: None,
                },
            }),
        },
        created: time("created")?.unwrap_or_default(),
        started: time("started")?,
        ended: time("ended")?,
        told: row.get("told")?,
    })
}

pub(super) fn component(word: &str) -> Component {
    match word {
        "restore" => Component::Restore,
        _ => Component::Backup,
    }
}
