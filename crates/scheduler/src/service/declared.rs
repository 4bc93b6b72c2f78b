//! Schedules that the administrator's file declares: made by it, removed with it, and changed by no call.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use super::put::{Answer, Wanted, making};
use super::{Checks, Service};
use crate::domain::callers::Caller;
use crate::domain::name::Name;
use crate::domain::schedule::{Plan, Schedule};
use crate::engine::change::Things;
use crate::engine::{Error, Kind};

/// What the administrator's file declares, which calls do not change.
#[derive(Clone, Debug, Default)]
pub struct Declared(Arc<RwLock<InFile>>);

#[derive(Debug, Default)]
enum InFile {
    /// There is no such file.
    #[default]
    Nothing,
    /// There is one, and what is in it is not known yet.
    Unknown,
    /// These.
    These(BTreeSet<Name>),
}

impl Declared {
    /// There is a file, which was not read yet.
    #[must_use]
    pub fn in_a_file() -> Self {
        Self(Arc::new(RwLock::new(InFile::Unknown)))
    }

    /// These are in it.
    pub fn are(&self, names: &[Name]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *known = InFile::These(names.iter().cloned().collect());
    }

    fn has(&self, name: &Name) -> bool {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            InFile::Nothing => false,
            InFile::Unknown => true,
            InFile::These(names) => names.contains(name),
        }
    }
}

impl Service {
    /// The same for what the administrator's file declares, who may name any Secret.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn declare(&self, wanted: Wanted) -> Result<Answer, Error> {
        let administrator = Caller::administrator();
        Box::pin(self.put_as(&administrator, wanted, Checks::Off, true)).await
    }

    /// Removes a schedule that the administrator's file has declared; whether it was there, and is its.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn undeclare(&self, name: &Name) -> Result<bool, Error> {
        let found = self.engine.schedule(name).await?;
        if !found.is_some_and(|it| it.declared) {
            return Ok(false);
        }
        self.engine.delete(name).await.map(|()| true)
    }

    /// The schedules that were declared once, and are not among these.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] while they are not known yet.
    pub async fn declared_beside(&self, stays: &[Name]) -> Result<Vec<Name>, Error> {
        self.known(Things::Schedules).await?;
        let is_gone = |it: &Schedule| it.declared && !stays.contains(&it.name);
        let now = Timestamp::now();
        let gone = self.ledger.overviews(now, None, usize::MAX, is_gone);
        Ok(gone.into_iter().map(|it| it.schedule.name).collect())
    }

    /// Whether a schedule is no object's, which alone says what becomes of it.
    pub(super) fn is_nobody_elses(&self, found: &Schedule) -> Result<(), Error> {
        if found.is_of_an_object() {
            let why = "it is a Backup object's, and what is done to it would not be told there; change the object";
            let doing = format!("change schedule {}", found.name);
            return Err(Error::new(doing, Kind::Precondition, why));
        }
        Ok(())
    }

    /// Whether a call may change a schedule: the administrator's file declares it otherwise, where there is
    /// such a file.
    pub(super) fn is_free(&self, found: &Schedule) -> Result<(), Error> {
        self.is_nobody_elses(found)?;
        if !found.declared || !self.declared.has(&found.name) {
            return Ok(());
        }
        let why = "it is declared in SCHEDULES_FILE, which would make it again; change it there";
        let doing = format!("change schedule {}", found.name);
        Err(Error::new(doing, Kind::Precondition, why))
    }
}

/// A file that names what a call has made for another database does not mean that.
pub(super) fn is_its_own(found: &Schedule, plan: &Plan) -> Result<(), Error> {
    if found.declared || found.plan.has_place_of(plan) {
        return Ok(());
    }
    let why = format!(
        "a call has made a schedule of that name for {}; give it another name in SCHEDULES_FILE, or delete that one",
        found.plan.source.place()
    );
    Err(Error::new(making(&found.name), Kind::Precondition, why))
}
