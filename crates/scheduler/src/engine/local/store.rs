//! Schedules and runs in one SQLite file. What is committed survives any end of the process.

mod history;
mod open;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use super::supervisor::STOPPED;
use super::vars;
use crate::engine::{Component, Ending, Error, Kind, Running};

/// A backup that was interrupted counts as missed: its schedule is due again.
const CATCH_UP: &str = "UPDATE schedules SET due = min(coalesce(due, ?1), ?1) WHERE name IN";

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Store {
    connection: Arc<Mutex<Connection>>,
    /// Keeps other schedulers out for as long as it is open.
    _lock: Arc<File>,
}

/// A schedule whose time has come.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) name: String,
    pub(super) cron: String,
}

/// A run that is to be started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) component: Component,
    pub(super) schedule: Option<String>,
    pub(super) vars: String,
    /// The first is 1.
    pub(super) attempt: i64,
}

/// Which schedule may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// One for the same database and bucket; it is made where there is none.
    Its,
    /// Whichever there is.
    Anybodys,
}

/// A restore as it is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) database: String,
    pub(super) request: String,
    pub(super) vars: String,
}

impl Store {
    /// Opens the file, and makes it when there is none.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let (connection, lock) = open::open(folder)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            _lock: Arc::new(lock),
        })
    }

    /// Does something in one transaction, in a thread that may block.
    async fn within<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let held = self.connection.clone();
        let working = tokio::task::spawn_blocking(move || {
            // A panic elsewhere has rolled its transaction back.
            let mut connection = held.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction()?;
            let outcome = work(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        });
        match working.await {
            Ok(outcome) => outcome.map_err(|error| answered(doing, error)),
            Err(error) => Err(Error::new(doing, Kind::Internal, error)),
        }
    }

    /// Writes something, as every call would have to.
    pub(super) async fn reach(&self, now: i64) -> Result<(), Error> {
        let work = move |it: &Transaction<'_>| {
            it.execute(
                "INSERT OR REPLACE INTO pulse (id, at) VALUES (1, ?1)",
                [now],
            )
        };
        self.within("write to the schedules", work).await.map(drop)
    }

    /// Makes a schedule what it should be; gives false when the one of that name is not whose it
    /// must be. A new cron counts from now on, an old one goes on.
    pub(super) async fn put(
        &self,
        [name, cron, vars]: [String; 3],
        due: Option<i64>,
        whose: Whose,
    ) -> Result<bool, Error> {
        self.within("keep a schedule", move |it| {
            if whose == Whose::Its {
                let kept: Option<String> = it
                    .query_row(
                        "SELECT vars FROM schedules WHERE name = ?1",
                        [&name],
                        |row| row.get(0),
                    )
                    .optional()?;
                if kept.is_some_and(|kept| !vars::same_places(&kept, &vars)) {
                    return Ok(false);
                }
            }
            let changed = it.execute(
                "UPDATE schedules SET vars = ?3, due = iif(cron = ?2, due, ?4), cron = ?2 \
                 WHERE name = ?1",
                params![name, cron, vars, due],
            )?;
            if changed == 1 || whose == Whose::Anybodys {
                return Ok(changed == 1);
            }
            it.execute(
                "INSERT INTO schedules (name, cron, vars, due) VALUES (?1, ?2, ?3, ?4)",
                params![name, cron, vars, due],
            )?;
            Ok(true)
        })
        .await
    }

    /// The schedules whose time has come and which have no run under way.
    pub(super) async fn due(&self, now: i64) -> Result<Vec<Due>, Error> {
        self.within("look for what is due", move |it| {
            let mut query = it.prepare_cached(
                "SELECT name, cron FROM schedules AS s WHERE due <= ?1 AND NOT EXISTS \
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

    /// The variables of a schedule's worker.
    pub(super) async fn vars_of(&self, schedule: String) -> Result<Option<String>, Error> {
        self.within("read a schedule", move |it| {
            let query = "SELECT vars FROM schedules WHERE name = ?1";
            it.query_row(query, [schedule], |row| row.get(0)).optional()
        })
        .await
    }

    /// All schedules, and when each is due.
    pub(super) async fn schedules(&self) -> Result<Vec<(Due, Option<i64>)>, Error> {
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
    pub(super) async fn set_due(&self, all: Vec<(Due, Option<i64>)>) -> Result<(), Error> {
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

    /// A run of a schedule, and when the next is due: one or the other is never kept alone.
    pub(super) async fn begin(&self, due: Due, next: Option<i64>, now: i64) -> Result<(), Error> {
        self.within("keep a run", move |it| {
            let Due { name, cron } = due;
            let run = format!("{name}-{now}");
            it.execute(
                "INSERT INTO runs (name, component, schedule, vars, state, created) \
                 SELECT ?1, 'backup', name, vars, 'waiting', ?2 FROM schedules WHERE name = ?3",
                params![run, now, name],
            )?;
            it.execute(
                "UPDATE schedules SET due = ?1 WHERE name = ?2 AND cron = ?3",
                params![next, name, cron],
            )?;
            Ok(())
        })
        .await
    }

    /// Keeps a restore to be started, or finds the same one; `None` when another is under way.
    pub(super) async fn restore(&self, wanted: Wanted, now: i64) -> Result<Option<Running>, Error> {
        self.within("keep a restore", move |it| {
            let Wanted {
                database,
                request,
                vars,
            } = wanted;
            let under_way = it
                .query_row(
                    "SELECT name, request FROM runs \
                     WHERE database = ?1 AND state IN ('waiting', 'running')",
                    [&database],
                    |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
                )
                .optional()?;
            if let Some((name, same)) = under_way {
                let adopted = true;
                return Ok((same == request).then_some(Running { name, adopted }));
            }
            it.execute(
                "INSERT INTO runs (name, component, database, request, vars, state, created) \
                 VALUES ('', 'restore', ?1, ?2, ?3, 'waiting', ?4)",
                params![database, request, vars, now],
            )?;
            let id = it.last_insert_rowid();
            let digest = super::digest(&format!("{database}\n{id}"));
            let name = format!("restore-{}-postgres", &digest[..8]);
            it.execute("UPDATE runs SET name = ?1 WHERE id = ?2", params![name, id])?;
            let adopted = false;
            Ok(Some(Running { name, adopted }))
        })
        .await
    }

    /// The run that is to start now, which then counts as running: restores first, for somebody waits for
    /// them, and then the one that has waited longest.
    pub(super) async fn take(&self, now: i64) -> Result<Option<Started>, Error> {
        self.within("start a run", move |it| {
            it.query_row(
                "UPDATE runs SET state = 'running', attempt = attempt + 1 WHERE id = \
                 (SELECT id FROM runs WHERE state = 'waiting' AND not_before <= ?1 \
                  ORDER BY component = 'restore' DESC, id LIMIT 1) \
                 RETURNING id, name, component, schedule, vars, attempt",
                [now],
                |row| {
                    Ok(Started {
                        id: row.get(0)?,
                        name: row.get(1)?,
                        component: component(&row.get::<_, String>(2)?),
                        schedule: row.get(3)?,
                        vars: row.get(4)?,
                        attempt: row.get(5)?,
                    })
                },
            )
            .optional()
        })
        .await
    }

    /// A run that failed and is to be tried again, not before a time.
    pub(super) async fn again(&self, id: i64, not_before: i64) -> Result<(), Error> {
        self.within("keep a run that is to be tried again", move |it| {
            it.execute(
                "UPDATE runs SET state = 'waiting', not_before = ?2 WHERE id = ?1",
                [id, not_before],
            )
        })
        .await
        .map(drop)
    }

    /// How a run ended, and what it said last. Its secrets are forgotten.
    pub(super) async fn end(
        &self,
        id: i64,
        ending: Ending,
        said: String,
        now: i64,
    ) -> Result<(), Error> {
        self.within("keep the end of a run", move |it| {
            if matches!(&ending, Ending::Failed { reason, .. } if reason == STOPPED) {
                let which = "SELECT schedule FROM runs WHERE id = ?2";
                it.execute(&format!("{CATCH_UP} ({which})"), [now, id])?;
            }
            let (state, reason, exit_code, message) = match ending {
                Ending::Succeeded => ("succeeded", None, Some(0), Some(said)),
                Ending::Failed {
                    reason,
                    exit_code,
                    message,
                } => ("failed", Some(reason), exit_code, message),
            };
            it.execute(
                "UPDATE runs SET state = ?2, reason = ?3, exit_code = ?4, message = ?5, \
                 ended = ?6, vars = '[]' WHERE id = ?1",
                params![id, state, reason, exit_code, message, now],
            )
        })
        .await
        .map(drop)
    }
}

fn component(word: &str) -> Component {
    match word {
        "restore" => Component::Restore,
        _ => Component::Backup,
    }
}

fn answered(doing: impl Into<String>, error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
            Kind::Unavailable
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::NotADatabase) => {
            Kind::Precondition
        }
        _ => Kind::Internal,
    };
    Error::new(doing, kind, error)
}
