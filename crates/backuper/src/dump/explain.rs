//! Why a pg_dump failed. Its own words are in the server's language and without a code, so what can
//! be asked of the server again is asked, through a session of ours.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::Error;
use crate::child;
use crate::postgres::{Session, Target, probe};
use crate::runtime::Failure;
use crate::text::sql;

/// How long asking may take: a server that is gone answers nothing.
const ASKING: Duration = Duration::from_secs(5);

/// What pg_dump locks. PostgreSQL manual, 13.3.1: table-level locks.
const LOCKED: &str = "
    SELECT n.nspname::text, c.relname::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Questions<'a> {
    pub(super) target: &'a Target,
    pub(super) witness: &'a Session,
}

impl Questions<'_> {
    /// What an error means to the person who reads the last line.
    pub(super) async fn explain(self, error: Error) -> Failure {
        let Error::Child {
            source: child::Error::Failed { .. },
            ..
        } = &error
        else {
            return error.into();
        };
        let sentence = error.to_string();
        match tokio::time::timeout(ASKING, self.ask(sentence)).await {
            Ok(failure) => failure,
            Err(_elapsed) => error.into(),
        }
    }

    async fn ask(self, sentence: String) -> Failure {
        if let Err(denied) = probe::may_read_all(self.witness, self.target).await
            && !denied.kind.may_pass()
        {
            return Failure::refused(format!("{sentence}; {}", denied.reason));
        }
        if sentence.contains("permission denied") {
            return Failure::refused(sentence);
        }
        if sentence.contains("out of shared memory") || self.has_no_room_for_locks().await {
            return Failure::refused(format!(
                "{sentence}: the server has no room for a lock on each table; raise its max_locks_per_transaction, which takes a restart of the server"
            ));
        }
        if self.is_standby().await {
            return Failure::try_again(format!(
                "{sentence}; the server is a standby, where replay ends sessions that it would have to wait for: raise its max_standby_streaming_delay, or set hot_standby_feedback"
            ));
        }
        Failure::try_again(sentence)
    }

    /// Tries what pg_dump does first: PostgreSQL manual, 20.12, max_locks_per_transaction.
    async fn has_no_room_for_locks(self) -> bool {
        let Ok(rows) = self.witness.query(LOCKED, &[]).await else {
            return false;
        };
        if rows.is_empty() {
            return false;
        }
        let names = rows.iter().map(|it| sql::pattern(it.get(0), it.get(1)));
        let names: Vec<String> = names.collect();
        let lock = format!(
            "BEGIN; LOCK TABLE {} IN ACCESS SHARE MODE NOWAIT",
            names.join(", ")
        );
        let locked = self.witness.batch_execute(&lock).await;
        if let Err(error) = self.witness.batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "the witness is gone too");
        }
        locked.is_err_and(|error| error.code() == Some(&SqlState::OUT_OF_MEMORY))
    }

    async fn is_standby(self) -> bool {
        let asked = self.witness.query_one("SELECT pg_is_in_recovery()", &[]);
        asked.await.is_ok_and(|row| row.get(0))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(error) => error.into(),
            other => Self::try_again(other.to_string()),
        }
    }
}
