//! Schedules and runs in one SQLite file. What is committed survives any end of the process.

mod history;
mod migrate;
mod open;
mod restores;
mod runs;
mod schedules;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction};

use crate::engine::{Error, Kind};
pub(super) use restores::Restored;
pub(super) use runs::{Taken, Work};
pub(super) use schedules::Written;

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Store {
    connection: Arc<Mutex<Connection>>,
    /// Keeps other schedulers out for as long as it is open.
    _lock: Arc<File>,
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

    /// Takes the log of changes into the file, and empties it. One that somebody reads waits for the next
    /// time.
    async fn checkpoint(&self) {
        let held = self.connection.clone();
        let working = tokio::task::spawn_blocking(move || {
            let connection = held.lock().unwrap_or_else(PoisonError::into_inner);
            // Other calls do not wait for whoever reads the file.
            connection.busy_timeout(Duration::ZERO)?;
            let said: rusqlite::Result<bool> =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
            connection.busy_timeout(open::BUSY)?;
            said
        });
        match working.await {
            Ok(Ok(false)) | Err(_) => {}
            Ok(Ok(true)) => tracing::warn!(
                "somebody reads the file of schedules, so what was deleted stays in its log of changes until the next deletion"
            ),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the log of changes of the file stays as it is");
            }
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
}

fn answered(doing: impl Into<String>, error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
            Kind::Unavailable
        }
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::NotADatabase
            | ErrorCode::DatabaseCorrupt,
        ) => Kind::Precondition,
        _ => Kind::Internal,
    };
    Error::new(doing, kind, error)
}
