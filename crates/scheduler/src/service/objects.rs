//! What objects of Kubernetes ask for: a schedule that runs when its object says so, its runs, and whether a
//! store can be reached.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checks::{Disk, Reach, reach};
use super::put::Wanted;
use super::{Checks, Service};
use crate::domain::access::Named;
use crate::domain::callers::Caller;
use crate::domain::labels::Labels;
use crate::domain::name::Name;
use crate::domain::run::{Component, Inherited, Run};
use crate::domain::schedule::Schedule;
use crate::domain::store::Store;
use crate::engine::change::Things;
use crate::engine::{Error, Kind, Started};

impl Service {
    /// Runs the schedule of an object, which is made where it is not there and never runs by itself. The same
    /// request is run once.
    ///
    /// # Errors
    /// [`Kind::Denied`], [`Kind::Precondition`] where its backups would surely fail, and what the engine could
    /// not do.
    pub async fn run_for_object(
        &self,
        name: Name,
        wanted: Wanted,
        request_id: &str,
    ) -> Result<Started, Error> {
        let operator = Caller::operator();
        let wanted = Wanted {
            name: Some(name.clone()),
            validate_only: false,
            ..wanted
        };
        self.put_as(&operator, wanted, Checks::Off, false).await?;
        self.engine.suspend(&name, true).await?;
        let started = self.engine.run(&name, request_id).await?;
        self.ledger.has_heard_of(&started.name).await;
        Ok(started)
    }

    /// Removes the schedule of an object; runs of it that are under way are ended. One that is gone is success.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn remove_for_object(&self, name: &Name) -> Result<(), Error> {
        self.known(Things::Schedules).await?;
        self.known(Things::Runs).await?;
        for run in self.ledger.under_way_of(name) {
            match self.engine.cancel(&run.name).await {
                Err(error) if error.kind() != Kind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.engine.delete(name).await
    }

    /// The schedules that objects have for themselves.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] while they are not known yet.
    pub async fn of_objects(&self) -> Result<Vec<Name>, Error> {
        self.known(Things::Schedules).await?;
        let all = self.ledger.schedules_where(Schedule::is_of_an_object);
        Ok(all.into_iter().map(|it| it.name).collect())
    }

    /// The runs that have not ended.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] while they are not known yet.
    pub async fn under_way(&self) -> Result<Vec<Run>, Error> {
        self.known(Things::Runs).await?;
        Ok(self.ledger.under_way())
    }

    /// The runs with these labels that another program has begun where our own are.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn inherited(&self, labels: &Labels) -> Result<Vec<Inherited>, Error> {
        self.engine.inherited(labels).await
    }

    /// Ends and removes such a run. One that is gone is success.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn remove_inherited(&self, run: &Run) -> Result<(), Error> {
        self.engine.remove_inherited(run).await
    }

    /// Notes on a run what others look for there, where there is such a place.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn note(&self, run: &Run, notes: &BTreeMap<String, String>) -> Result<(), Error> {
        self.engine.note(run, notes).await
    }

    /// Whether a store that an object names may be used and can be reached, within this time.
    ///
    /// # Errors
    /// [`Kind::Denied`].
    pub async fn reach(&self, store: &Store, limit: Duration) -> Result<Reach, Error> {
        let named = Named {
            store: Some(store),
            ..Named::default()
        };
        self.permit_places(named).await?;
        self.engine.permit(Component::Backup, store)?;
        let disk = match self.checks {
            Checks::On(disk) => disk,
            Checks::Off => Disk::Apart,
        };
        Ok(reach(&self.workers.store(store), disk, limit).await)
    }
}
