//! Opening the file: one scheduler at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::answered;
use super::migrate::{VERSION, shape, without_the_administrators};
use crate::engine::{Error, Kind};

/// How long a statement waits for somebody who reads the file beside us.
pub(super) const BUSY: Duration = Duration::from_secs(5);

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
        // What was secret of a schedule that is deleted is not in the file any more.
        connection.pragma_update(None, "secure_delete", "ON")?;
        is_sound(&connection)?;
        keep_before(&connection, folder)?;
        let version = shape(&mut connection)?;
        connection.busy_timeout(BUSY)?;
        Ok((connection, version))
    };
    let (mut connection, version) = open().map_err(|error| answered(doing(), error))?;
    if version > VERSION {
        let newer = io::Error::other("a newer version of the scheduler wrote them");
        return Err(wrong(newer));
    }
    let found = without_the_administrators(&mut connection);
    if found.map_err(|error| answered(doing(), error))? {
        leave_no_trace(&connection);
    }
    Ok((connection, lock))
}

/// What was taken out of the tables is neither in free pages nor in the log of changes then.
fn leave_no_trace(connection: &Connection) {
    let emptied = connection.execute_batch("VACUUM").and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, bool>(0)
        })
    });
    match emptied {
        Ok(false) => tracing::info!(
            "an earlier scheduler has kept the administrator's own secrets in the file of schedules; they are taken out, and workers get them from the scheduler's environment"
        ),
        Ok(true) | Err(_) => tracing::warn!(
            error = ?emptied.err(),
            "the administrator's own secrets are taken out of the schedules, and may still be in the file's free pages or its log of changes until nobody else reads it and there is room on the disk"
        ),
    }
}

/// A file with damaged pages would look like one with fewer schedules.
fn is_sound(connection: &Connection) -> rusqlite::Result<()> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(damaged, Some(said)))
}

/// A copy of a file of an older version, which that version can go back to.
fn keep_before(connection: &Connection, folder: &Path) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if !(1..VERSION).contains(&version) {
        return Ok(());
    }
    let copy = folder.join(format!("scheduler.sqlite.v{version}"));
    if copy.exists() {
        return Ok(());
    }
    let into = copy.to_string_lossy();
    let kept = connection.execute("VACUUM INTO ?1", [into.as_ref()]);
    let kept = kept.map_err(io::Error::other);
    // It has secrets in it.
    let kept = kept.and_then(|_| std::fs::set_permissions(&copy, Permissions::from_mode(0o600)));
    let copy = copy.display();
    match kept {
        Ok(()) => {
            tracing::warn!(%copy, "an older scheduler has written the schedules; they are brought into this version's shape, and a copy for the older one is kept");
        }
        // What follows is one transaction, and loses nothing.
        Err(error) => tracing::warn!(%copy, %error, "no copy is kept for the older scheduler"),
    }
    Ok(())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    options
}

/// Who holds it may be about to end, and a process that it has just made has all its files open until it runs
/// another program.
fn locked(file: &File) -> Result<(), TryLockError> {
    const TRIES: u32 = 20;
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
    file.try_lock()
}

/// Held for as long as the file is open: two schedulers would start every run twice.
fn lock(folder: &Path, doing: &impl Fn() -> String) -> Result<File, Error> {
    let wrong = |error: io::Error| Error::new(doing(), Kind::Precondition, error);
    let path = folder.join("scheduler.lock");
    let mut file = options().open(path).map_err(wrong)?;
    match locked(&file) {
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
