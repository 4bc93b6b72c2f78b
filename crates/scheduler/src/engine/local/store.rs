//! Schedules and runs in one SQLite file. What is committed survives any end of the process.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use super::supervisor::STOPPED;
use super::vars;
use crate::engine::{Component, Ending, Error, Kind, Running};

/// How long the end of a run is remembered, and its log file kept.
pub(super) const MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);

/// The shape of the tables. A file of a newer one is refused.
const VERSION: i64 = 2;

/// How often in a row a schedule is caught up after runs that ended with the scheduler's own end:
/// one that ends the scheduler each time must not do so for ever.
const INTERRUPTIONS: i64 = 3;

/// A backup that was interrupted counts as missed: its schedule is due again.
const CATCH_UP: &str = "UPDATE schedules SET due = min(coalesce(due, ?1), ?1) WHERE name IN";

/// The schedules whose runs the last process has left unfinished, but for those that it has been
/// so with too often.
const INTERRUPTED: &str = "
    SELECT r.schedule FROM runs AS r WHERE r.state = 'running' AND
        (SELECT count(*) FROM runs AS i
          WHERE i.schedule = r.schedule AND i.reason = 'Interrupted' AND i.id > coalesce(
            (SELECT max(e.id) FROM runs AS e WHERE e.schedule = r.schedule
              AND e.ended IS NOT NULL AND coalesce(e.reason, '') <> 'Interrupted'), 0)) < ?2";

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS schedules (
        name TEXT PRIMARY KEY,
        cron TEXT NOT NULL,
        vars TEXT NOT NULL,
        due INTEGER
    );
    CREATE INDEX IF NOT EXISTS schedules_due ON schedules (due);
    CREATE TABLE IF NOT EXISTS runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        component TEXT NOT NULL,
        schedule TEXT,
        database TEXT,
        request TEXT,
        vars TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        not_before INTEGER NOT NULL DEFAULT 0,
        reason TEXT,
        exit_code INTEGER,
        message TEXT,
        created INTEGER NOT NULL,
        ended INTEGER
    );
    CREATE INDEX IF NOT EXISTS runs_state ON runs (state);
    CREATE INDEX IF NOT EXISTS runs_schedule ON runs (schedule, state);
    CREATE TABLE IF NOT EXISTS pulse (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL);
";

/// What the first shape lacked.
const FROM_1: &str = "
    ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
";

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Store(Arc<Mutex<Connection>>);

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
    /// Opens the file, which nobody else may read or have open.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let doing = || format!("open the schedules in {}", folder.display());
        let wrong = |error: std::io::Error| Error::new(doing(), Kind::Precondition, error);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(wrong)?;
        let path = folder.join("scheduler.sqlite");
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        options.open(&path).map_err(wrong)?;
        let open = || {
            let connection = Connection::open(&path)?;
            // Held from the first statement on: two schedulers would start every run twice.
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            let version: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version == 1 {
                connection.execute_batch(FROM_1)?;
            }
            if version <= VERSION {
                connection.execute_batch(TABLES)?;
                connection.pragma_update(None, "user_version", VERSION)?;
            }
            Ok((connection, version))
        };
        let (connection, version) = open().map_err(|error| answered(doing(), error))?;
        if version > VERSION {
            let newer = std::io::Error::other("a newer version of the scheduler wrote them");
            return Err(wrong(newer));
        }
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does something in one transaction, in a thread that may block.
    async fn within<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let held = self.0.clone();
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
            let memory = i64::try_from(MEMORY.as_secs()).unwrap_or(i64::MAX);
            it.execute("DELETE FROM runs WHERE ended < ?1", [now - memory])?;
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

    /// The run that has waited longest and need not wait any more; it now counts as running.
    pub(super) async fn take(&self, now: i64) -> Result<Option<Started>, Error> {
        self.within("start a run", move |it| {
            it.query_row(
                "UPDATE runs SET state = 'running', attempt = attempt + 1 WHERE id = \
                 (SELECT min(id) FROM runs WHERE state = 'waiting' AND not_before <= ?1) \
                 RETURNING id, name, component, schedule, vars, attempt",
                [now],
                |row| {
                    Ok(Started {
                        id: row.get(0)?,
                        name: row.get(1)?,
                        component: match row.get::<_, String>(2)?.as_str() {
                            "restore" => Component::Restore,
                            _ => Component::Backup,
                        },
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

    /// How many schedules there are, and how many runs the last process has left unfinished; none
    /// of those is called a success.
    pub(super) async fn sweep(&self, now: i64) -> Result<(usize, usize), Error> {
        self.within("bring the schedules up to date", move |it| {
            it.execute(&format!("{CATCH_UP} ({INTERRUPTED})"), [now, INTERRUPTIONS])?;
            let left = it.execute(
                "UPDATE runs SET state = 'failed', reason = 'Interrupted', ended = ?1, vars = '[]' \
                 WHERE state = 'running'",
                [now],
            )?;
            let count: i64 = it.query_row("SELECT count(*) FROM schedules", [], |it| it.get(0))?;
            Ok((usize::try_from(count).unwrap_or(0), left))
        })
        .await
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
