//! Opening the file: one scheduler at a time, and one shape of its tables.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::answered;
use crate::engine::{Error, Kind};

/// The shape of the tables. A file of a newer one is refused.
const VERSION: i64 = 2;

/// How long a statement waits for somebody who reads the file beside us.
const BUSY: Duration = Duration::from_secs(5);

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

/// What the first shape lacked, each with its declaration.
const COLUMNS: [(&str, &str); 2] = [
    ("attempt", "INTEGER NOT NULL DEFAULT 0"),
    ("not_before", "INTEGER NOT NULL DEFAULT 0"),
];

const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS schedules_due ON schedules (due);
    CREATE INDEX IF NOT EXISTS runs_state ON runs (state);
    CREATE INDEX IF NOT EXISTS runs_schedule ON runs (schedule, state);
    CREATE INDEX IF NOT EXISTS runs_of_schedule ON runs (schedule);
    CREATE INDEX IF NOT EXISTS runs_ended ON runs (ended) WHERE ended IS NOT NULL;
";

/// Opens the file, which one scheduler uses at a time and others may read meanwhile.
pub(super) fn open(folder: &Path) -> Result<(Connection, File), Error> {
    let doing = || format!("open the schedules in {}", folder.display());
    let wrong = |error: io::Error| Error::new(doing(), Kind::Precondition, error);
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(wrong)?;
    let lock = lock(folder, &doing)?;
    let path = folder.join("scheduler.sqlite");
    options().open(&path).map_err(wrong)?;
    let open = || {
        let mut connection = Connection::open(&path)?;
        // Until here nobody waits: a scheduler of a version without the lock has the file for itself.
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let version = shape(&mut connection)?;
        connection.busy_timeout(BUSY)?;
        Ok((connection, version))
    };
    let (connection, version) = open().map_err(|error| answered(doing(), error))?;
    if version > VERSION {
        let newer = io::Error::other("a newer version of the scheduler wrote them");
        return Err(wrong(newer));
    }
    Ok((connection, lock))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    options
}

/// Held for as long as the file is open: two schedulers would start every run twice.
fn lock(folder: &Path, doing: &impl Fn() -> String) -> Result<File, Error> {
    let wrong = |error: io::Error| Error::new(doing(), Kind::Precondition, error);
    let path = folder.join("scheduler.lock");
    let mut file = options().open(path).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let read = file.read_to_string(&mut process);
            let process = read.map_or("unknown", |_| process.trim());
            let why = format!(
                "another scheduler (process {process}) uses it; stop that one, or give this one a DATA_DIR of its own"
            );
            return Err(Error::new(doing(), Kind::Unavailable, why));
        }
        Err(TryLockError::Error(error)) => return Err(wrong(error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    // On a full disk the lock holds all the same.
    if let Err(error) = written {
        tracing::debug!(%error, "the lock file does not name this process");
    }
    Ok(file)
}

/// Brings the tables of any older version into shape, all in one transaction; gives the version that
/// was there, and changes nothing of a newer one.
fn shape(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Ok(version);
    }
    transaction.execute_batch(TABLES)?;
    for (column, declaration) in COLUMNS {
        let is_there: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info('runs') WHERE name = ?1)",
            [column],
            |row| row.get(0),
        )?;
        if !is_there {
            transaction.execute_batch(&format!(
                "ALTER TABLE runs ADD COLUMN {column} {declaration}"
            ))?;
        }
    }
    transaction.execute_batch(INDEXES)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(version)
}
