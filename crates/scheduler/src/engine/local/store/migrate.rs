//! The tables, and what versions before this one have written into them.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::schedules::unwritable;
use crate::domain::kept;
use crate::domain::restore::Restore;
use crate::engine::local::secrets;
use crate::engine::variables::Variables;

/// The shape of the tables. A file of a newer one is refused.
pub(super) const VERSION: i64 = 3;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS schedules (
        name TEXT PRIMARY KEY,
        cron TEXT NOT NULL,
        vars TEXT NOT NULL,
        due INTEGER
    );
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
    CREATE TABLE IF NOT EXISTS pulse (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL);
";

/// What earlier shapes lacked: the table, the column and its declaration.
const COLUMNS: [(&str, &str, &str); 13] = [
    ("runs", "attempt", "INTEGER NOT NULL DEFAULT 0"),
    ("runs", "not_before", "INTEGER NOT NULL DEFAULT 0"),
    ("runs", "spec", "TEXT"),
    ("runs", "secrets", "TEXT NOT NULL DEFAULT '{}'"),
    ("runs", "place", "TEXT"),
    ("runs", "begin_by", "INTEGER"),
    ("runs", "started", "INTEGER"),
    ("runs", "told", "INTEGER NOT NULL DEFAULT 0"),
    ("schedules", "spec", "TEXT"),
    ("schedules", "secrets", "TEXT NOT NULL DEFAULT '{}'"),
    ("schedules", "created", "INTEGER"),
    ("schedules", "suspended", "INTEGER NOT NULL DEFAULT 0"),
    // Who does not know it leaves it alone: no new version.
    ("schedules", "drills", "TEXT"),
];

const INDEXES: &str = "
    DROP INDEX IF EXISTS runs_schedule;
    CREATE INDEX IF NOT EXISTS schedules_due ON schedules (due);
    CREATE INDEX IF NOT EXISTS runs_state ON runs (state);
    CREATE INDEX IF NOT EXISTS runs_state_of_schedule ON runs (schedule, state, ended);
    CREATE INDEX IF NOT EXISTS runs_of_schedule ON runs (schedule);
    CREATE INDEX IF NOT EXISTS runs_name ON runs (name);
    CREATE INDEX IF NOT EXISTS runs_into ON runs (database) WHERE database IS NOT NULL;
    CREATE INDEX IF NOT EXISTS runs_ended ON runs (ended) WHERE ended IS NOT NULL;
";

/// Brings the tables of any older version into shape, all in one transaction; gives the version that
/// was there, and changes nothing of a newer one.
pub(super) fn shape(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Ok(version);
    }
    transaction.execute_batch(TABLES)?;
    for (table, column, declaration) in COLUMNS {
        let is_there: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
            [table, column],
            |row| row.get(0),
        )?;
        if !is_there {
            transaction.execute_batch(&format!(
                "ALTER TABLE {table} ADD COLUMN {column} {declaration}"
            ))?;
        }
    }
    transaction.execute_batch(INDEXES)?;
    if version < VERSION {
        schedules(&transaction)?;
        restores(&transaction)?;
        // What had ended was told then, or by nobody.
        transaction.execute("UPDATE runs SET told = 1 WHERE ended IS NOT NULL", [])?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(version)
}

/// Takes out what versions of this shape have kept of the administrator's own secrets beside a request's;
/// whether there was any. What cannot be read stays as it is.
pub(super) fn without_the_administrators(connection: &mut Connection) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let schedule = |spec: &str| kept::read(spec).ok().map(|it| secrets::of_schedule(&it));
    let restore = |spec: &str| kept::read(spec).ok().map(|it| secrets::of_restore(&it));
    let in_schedules = without_others(&transaction, "schedules", schedule)?;
    let in_runs = without_others(&transaction, "runs", restore)?;
    transaction.commit()?;
    Ok(in_schedules || in_runs)
}

fn without_others(
    transaction: &Transaction<'_>,
    table: &str,
    own: impl Fn(&str) -> Option<Vec<&'static str>>,
) -> rusqlite::Result<bool> {
    let mut query = transaction.prepare(&format!(
        "SELECT rowid, spec, secrets FROM {table} WHERE spec IS NOT NULL AND secrets <> '{{}}'"
    ))?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<(i64, String, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut found = false;
    for (row, spec, kept) in rows {
        if let Some(left) = own(&spec).and_then(|it| secrets::without_others(&kept, &it)) {
            let update = format!("UPDATE {table} SET secrets = ?2 WHERE rowid = ?1");
            transaction.execute(&update, params![row, left])?;
            found = true;
        }
    }
    Ok(found)
}

/// Versions before this one have kept a worker's variables, secrets among them.
struct Before {
    plain: Variables,
    secrets: String,
}

impl Before {
    fn read(vars: &str) -> Option<Self> {
        let vars: Vec<(String, String, bool)> = serde_json::from_str(vars).ok()?;
        let secrets: serde_json::Map<String, serde_json::Value> = vars
            .iter()
            .filter(|(_, _, secret)| *secret)
            .map(|(name, value, _)| (name.clone(), value.clone().into()))
            .collect();
        Some(Self {
            secrets: serde_json::Value::Object(secrets).to_string(),
            plain: vars
                .into_iter()
                .map(|(name, value, secret)| (name, (!secret).then_some(value)))
                .collect(),
        })
    }
}

fn schedules(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut query =
        transaction.prepare("SELECT name, cron, vars FROM schedules WHERE spec IS NULL")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<(String, String, String)> = rows.collect::<rusqlite::Result<_>>()?;
    for (name, cron, vars) in rows {
        let before = Before::read(&vars);
        let schedule = before
            .as_ref()
            .and_then(|it| it.plain.schedule(&name, &cron));
        let Some((before, schedule)) = before.zip(schedule) else {
            // It stays as it is, and does not run.
            tracing::error!(schedule = %name, "this schedule of an earlier version cannot be read and does not run; make it anew");
            continue;
        };
        let spec = kept::write(&schedule).map_err(unwritable)?;
        transaction.execute(
            "UPDATE schedules SET spec = ?2, secrets = ?3, vars = '[]', \
             created = coalesce((SELECT min(created) FROM runs WHERE schedule = ?1), 0) \
             WHERE name = ?1",
            params![name, spec, before.secrets],
        )?;
    }
    Ok(())
}

/// Restores that wait over the update are begun by this version, so they are understood by it.
fn restores(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut query =
        transaction.prepare("SELECT id, component, vars FROM runs WHERE ended IS NULL")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let rows: Vec<(i64, String, String)> = rows.collect::<rusqlite::Result<_>>()?;
    for (id, component, vars) in rows {
        let Some(before) = Before::read(&vars) else {
            continue;
        };
        // What a backup needs stands with its schedule.
        let restore = (component == "restore")
            .then(|| before.plain.restore())
            .flatten();
        let secrets = if restore.is_some() {
            before.secrets
        } else {
            "{}".to_owned()
        };
        let request = restore.as_ref().map(Restore::request);
        let spec = restore.as_ref().map(kept::write).transpose();
        transaction.execute(
            "UPDATE runs SET place = ?2, spec = ?3, secrets = ?4, begin_by = ?5, \
                 request = coalesce(?6, request), vars = '[]' WHERE id = ?1",
            params![
                id,
                before.plain.place(),
                spec.map_err(unwritable)?,
                secrets,
                restore.and_then(|it| it.begin_by).map(|it| it.as_second()),
                request,
            ],
        )?;
    }
    Ok(())
}
