//! Restores: to start them.

use backuper::catalog::Revision;
use jiff::Timestamp;

use super::checks;
use super::{Checks, Service, judged};
use crate::domain::callers::{Caller, Verb};
use crate::domain::restore::Restore;
use crate::domain::run::Component;
use crate::engine::{Error, Started};

/// A restore that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreAnswer {
    /// The run.
    pub started: Started,
    /// The backup that comes back, where that could be found out.
    pub backup: Option<checks::Backup>,
}

impl Service {
    /// Starts a restore as of now, or finds the same one.
    ///
    /// # Errors
    /// [`Kind::Precondition`] with the worker's sentence when it would surely fail, and what the engine
    /// could not do.
    pub async fn restore(
        &self,
        caller: &Caller,
        mut restore: Restore,
        checks: Checks,
        now: Timestamp,
    ) -> Result<RestoreAnswer, Error> {
        let named = (&restore.target, &restore.store, restore.core.as_ref());
        self.permit(caller, Verb::Restore, named).await?;
        self.engine.permit(Component::Restore, &restore.store)?;
        // A count means what it meant when it was asked for; backups made since are not counted.
        restore.as_of = matches!(restore.revision, Revision::Count(_)).then_some(now);
        restore.begin_by = self.begin_by(now);
        let database = restore.target.place();
        let backup = match checks {
            // One that is under way may be the same, and is not tried once more.
            Checks::On(disk) if !self.ledger.is_restoring(&database) => {
                let outcome = checks::restore(&self.workers.restore(&restore), disk).await;
                judged("start a restore", &restore.target, outcome)?
            }
            Checks::On(_) | Checks::Off => None,
        };
        let started = self.engine.start(&restore).await?;
        tracing::info!(run = %started.name, %database, by = started.by.word(), "restoring");
        Ok(RestoreAnswer { started, backup })
    }

    /// By when a restore that is asked for now must have begun.
    fn begin_by(&self, now: Timestamp) -> Option<Timestamp> {
        let within = self.workers.settings.restore_begin_within;
        let limited = !within.is_zero();
        limited.then(|| now.saturating_add(within).unwrap_or(Timestamp::MAX))
    }
}
