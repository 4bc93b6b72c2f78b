//! The end of a load, in one transaction: the mark goes, and event triggers come.
//!
//! From the COMMIT on the database is whole, and its event triggers may refuse any statement. What is
//! done to event triggers themselves fires none (PostgreSQL manual, 40.1: overview of event trigger
//! behavior), so within the transaction too nothing of ours meets them.

use backuper::postgres::{self, Target, mark};
use backuper::runtime::Failure;
use tokio_postgres::{Client, Error};

use super::phases::Phases;
use crate::archive::toc::Entry;
use crate::diagnostics::Failed;
use crate::target::tolerant::Statement;

/// The end of one load.
pub(super) struct Last<'a> {
    pub(super) session: &'a Client,
    pub(super) target: &'a Target,
    pub(super) phases: &'a Phases<'a>,
    /// Default privileges, which no clean-up of objects would take back.
    pub(super) privileges: &'a [Statement],
    /// Who owns the event triggers.
    pub(super) owners: &'a [Statement],
    pub(super) keep_going: bool,
}

impl Last<'_> {
    /// Ends the load; gives what failed where it keeps going.
    pub(super) async fn commit(&self) -> Result<Vec<Failed>, Failure> {
        self.execute("BEGIN").await?;
        let made = self.all().await;
        let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.execute(end).await;
        let left_out = made?;
        ended?;
        Ok(left_out)
    }

    async fn all(&self) -> Result<Vec<Failed>, Failure> {
        self.tolerant("granting in", self.privileges).await?;
        self.execute(&mark::remove()).await?;
        let mut left_out = Vec::new();
        for entry in &self.phases.event_triggers {
            left_out.extend(self.make(entry).await?);
        }
        self.tolerant("giving owners in", self.owners).await?;
        Ok(left_out)
    }

    async fn tolerant(&self, doing: &'static str, statements: &[Statement]) -> Result<(), Failure> {
        for statement in statements {
            let Some(error) = self.guarded(&statement.sql).await? else {
                continue;
            };
            let tolerated = statement.tolerates(&error);
            let error = postgres::Error::new(doing, self.target, &error);
            if !tolerated {
                return Err(error.into());
            }
            tracing::warn!(%error, statement = %statement.sql, "not restored");
        }
        Ok(())
    }

    /// Makes one entry; gives it where it cannot be made and the load keeps going.
    async fn make(&self, entry: &Entry) -> Result<Option<Failed>, Failure> {
        let Some(error) = self.guarded(&entry.definition).await? else {
            return Ok(None);
        };
        let reason = postgres::Error::new("restoring into", self.target, &error).reason;
        if !self.keep_going {
            return Err(Failure::try_again(format!("restoring {entry}: {reason}")));
        }
        Ok(Some(Failed {
            id: Some(entry.id),
            entry: entry.to_string(),
            reason,
            ..Failed::default()
        }))
    }

    /// Executes a statement which the transaction outlives; gives what the server said against it.
    async fn guarded(&self, statement: &str) -> Result<Option<Error>, Failure> {
        let statement = statement.trim().trim_end_matches(';');
        let guarded = format!("SAVEPOINT entry; {statement}; RELEASE SAVEPOINT entry");
        let Err(error) = self.session.batch_execute(&guarded).await else {
            return Ok(None);
        };
        if error.as_db_error().is_none() {
            return Err(postgres::Error::new("restoring into", self.target, &error).into());
        }
        let back = "ROLLBACK TO SAVEPOINT entry; RELEASE SAVEPOINT entry";
        self.execute(back).await?;
        Ok(Some(error))
    }

    async fn execute(&self, sql: &str) -> Result<(), Failure> {
        let done = self.session.batch_execute(sql).await;
        done.map_err(|error| postgres::Error::new("restoring into", self.target, &error).into())
    }
}
