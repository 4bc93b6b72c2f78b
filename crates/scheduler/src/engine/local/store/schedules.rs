//! The schedules, and when each is due.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::Store;
use crate::domain::kept;
use crate::domain::schedule::Schedule;
use crate::engine::local::secrets;
use crate::engine::{self, Error, Put, Scheduled, Whose};

/// What to read of a schedule, for [`scheduled`].
const SCHEDULED: &str = "SELECT s.name, s.spec, s.created, \
    (SELECT max(r.ended) FROM runs AS r WHERE r.schedule = s.name AND r.state = 'succeeded'), \
    s.suspended, s.drills \
    FROM schedules AS s";

/// A schedule whose time has come.
#[derive(Debug)]
pub(in crate::engine::local) struct Due {
    pub(in crate::engine::local) name: String,
    pub(in crate::engine::local) cron: String,
}

/// What came of writing a schedule.
#[derive(Debug)]
pub(in crate::engine::local) enum Written {
    Put(Put, Option<Box<Scheduled>>),
    /// The name is another schedule's.
    Refused(Error),
    /// There is none, and there must be one.
    Missing,
}

impl Store {
    /// Makes a schedule what it should be. New times count from now on, old ones go on.
    pub(in crate::engine::local) async fn put(
        &self,
        schedule: Schedule,
        secrets: String,
        [due, now]: [Option<i64>; 2],
        whose: Whose,
    ) -> Result<Written, Error> {
        self.within("keep a schedule", move |it| {
            let name = schedule.name.to_string();
            let found: Option<(Option<String>, String)> = it
                .query_row(
                    "SELECT spec, secrets FROM schedules WHERE name = ?1",
                    [&name],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            if found.is_none() && whose.must_be_there() {
                return Ok(Written::Missing);
            }
            let (spec, kept) = found.unzip();
            // What cannot be read is nobody's.
            let before = spec.flatten().and_then(|it| read(&it));
            if let Some(before) = &before
                && let Err(refusal) = whose.lets(before, &schedule)
            {
                return Ok(Written::Refused(refusal));
            }
            let schedule = schedule.in_place_of(before.as_ref());
            let Some(stays) = schedule.kept_of(before.as_ref()) else {
                return Ok(Written::Refused(engine::nothing_kept(&schedule.name)));
            };
            let secrets = match kept {
                Some(kept) if !stays.is_empty() => secrets::keeping(&secrets, &kept, &stays),
                _ => Some(secrets),
            };
            let Some(secrets) = secrets else {
                return Ok(Written::Refused(engine::nothing_kept(&schedule.name)));
            };
            it.execute(
                "INSERT INTO schedules (name, cron, spec, secrets, due, created, vars) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, '[]') \
                 ON CONFLICT (name) DO UPDATE SET spec = ?3, secrets = ?4, vars = '[]', \
                     due = iif(cron = ?2, due, ?5), cron = ?2",
                params![
                    name,
                    schedule.plan.cron.to_string(),
                    kept::write(&schedule).map_err(unwritable)?,
                    secrets,
                    due,
                    now
                ],
            )?;
            let put = Put::of(&schedule, before.as_ref());
            Ok(Written::Put(put, read_scheduled(it, &name)?.map(Box::new)))
        })
        .await
    }

    /// A schedule; none where there is none that can be read.
    pub(in crate::engine::local) async fn schedule(
        &self,
        name: String,
    ) -> Result<Option<Scheduled>, Error> {
        self.within("read a schedule", move |it| read_scheduled(it, &name))
            .await
    }

    /// What is secret of a schedule, as it is kept.
    pub(in crate::engine::local) async fn secrets(
        &self,
        name: String,
    ) -> Result<Option<String>, Error> {
        self.within("read the secrets of a schedule", move |it| {
            let found = for_a_run(it, &name)?;
            Ok(found.map(|(_, secrets)| secrets))
        })
        .await
    }

    /// All schedules that can be read.
    pub(in crate::engine::local) async fn schedules(&self) -> Result<Vec<Scheduled>, Error> {
        self.within("read the schedules", |it| {
            let mut query = it.prepare_cached(SCHEDULED)?;
            let rows = query.query_map([], scheduled)?;
            rows.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Removes a schedule, and the runs of it that have not begun.
    pub(in crate::engine::local) async fn delete(
        &self,
        name: String,
        now: i64,
    ) -> Result<(), Error> {
        self.within("remove a schedule", move |it| {
            it.execute(
                "UPDATE runs SET state = 'cancelled', ended = ?2, vars = '[]', secrets = '{}' \
                 WHERE schedule = ?1 AND state = 'waiting'",
                params![name, now],
            )?;
            it.execute("DELETE FROM schedules WHERE name = ?1", [name])
        })
        .await
        .map(drop)?;
        // Nor is it in the log of the file's changes.
        self.checkpoint().await;
        Ok(())
    }

    /// Lets a schedule rest, or run again; whether there is one. What it has missed meanwhile is due then,
    /// once.
    pub(in crate::engine::local) async fn suspend(
        &self,
        name: String,
        suspended: bool,
    ) -> Result<bool, Error> {
        self.within("suspend a schedule", move |it| {
            it.execute(
                "UPDATE schedules SET suspended = ?2 WHERE name = ?1",
                params![name, suspended],
            )
        })
        .await
        .map(|count| count > 0)
    }

    /// Keeps how far a schedule's drills are, where that is what it was known as; none: there is no schedule.
    pub(in crate::engine::local) async fn keep_drills(
        &self,
        name: String,
        [known, now]: [Option<String>; 2],
    ) -> Result<Option<bool>, Error> {
        self.within("keep how far drills are", move |it| {
            let kept: Option<Option<String>> = it
                .query_row(
                    "SELECT drills FROM schedules WHERE name = ?1",
                    [&name],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(kept) = kept else { return Ok(None) };
            // What cannot be read is known as nothing.
            let kept = engine::written_drills(&engine::read_drills(kept.as_deref()));
            if kept != known {
                return Ok(Some(false));
            }
            it.execute(
                "UPDATE schedules SET drills = ?2 WHERE name = ?1",
                params![name, now],
            )?;
            Ok(Some(true))
        })
        .await
    }

    /// The schedules whose time has come and which have no run under way.
    pub(in crate::engine::local) async fn due(&self, now: i64) -> Result<Vec<Due>, Error> {
        self.within("look for what is due", move |it| {
            let mut query = it.prepare_cached(
                "SELECT name, cron FROM schedules AS s WHERE due <= ?1 AND suspended = 0 AND NOT EXISTS \
                 (SELECT 1 FROM runs AS r WHERE r.schedule = s.name \
                  AND r.state IN ('waiting', 'running'))",
            )?;
            let rows = query.query_map([now], |row| {
                Ok(Due {
                    name: row.get(0)?,
                    cron: row.get(1)?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// When each schedule is due.
    pub(in crate::engine::local) async fn all_due(&self) -> Result<Vec<(Due, Option<i64>)>, Error> {
        self.within("read the schedules", move |it| {
            let mut query = it.prepare_cached("SELECT name, cron, due FROM schedules")?;
            let rows = query.query_map([], |row| {
                let (name, cron) = (row.get(0)?, row.get(1)?);
                Ok((Due { name, cron }, row.get(2)?))
            })?;
            rows.collect()
        })
        .await
    }

    /// Sets when schedules are due; none: never, until that is set anew.
    pub(in crate::engine::local) async fn set_due(
        &self,
        all: Vec<(Due, Option<i64>)>,
    ) -> Result<(), Error> {
        self.within("set when schedules are due", move |it| {
            let mut update =
                it.prepare_cached("UPDATE schedules SET due = ?1 WHERE name = ?2 AND cron = ?3")?;
            for (Due { name, cron }, due) in all {
                update.execute(params![due, name, cron])?;
            }
            Ok(())
        })
        .await
    }
}

/// The schedule and the secrets that a backup is run with.
pub(super) fn for_a_run(
    transaction: &Transaction<'_>,
    name: &str,
) -> rusqlite::Result<Option<(Schedule, String)>> {
    let row: Option<(Option<String>, String)> = transaction
        .query_row(
            "SELECT spec, secrets FROM schedules WHERE name = ?1",
            [name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(row.and_then(|(spec, secrets)| Some((read(&spec?)?, secrets))))
}

fn read_scheduled(
    transaction: &Transaction<'_>,
    name: &str,
) -> rusqlite::Result<Option<Scheduled>> {
    let mut query = transaction.prepare_cached(&format!("{SCHEDULED} WHERE s.name = ?1"))?;
    let found = query.query_row([name], scheduled).optional();
    found.map(Option::flatten)
}

fn scheduled(row: &Row<'_>) -> rusqlite::Result<Option<Scheduled>> {
    let spec: Option<String> = row.get(1)?;
    let Some(schedule) = spec.and_then(|it| read(&it)) else {
        return Ok(None);
    };
    let time = |seconds: Option<i64>| seconds.and_then(|it| Timestamp::from_second(it).ok());
    Ok(Some(Scheduled {
        schedule,
        created: time(row.get(2)?).unwrap_or_default(),
        suspended: row.get(4)?,
        last_success: time(row.get(3)?),
        drills: engine::read_drills(row.get::<_, Option<String>>(5)?.as_deref()),
    }))
}

fn read(spec: &str) -> Option<Schedule> {
    kept::read(spec).ok()
}

/// None that a test would not have shown.
pub(super) fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
