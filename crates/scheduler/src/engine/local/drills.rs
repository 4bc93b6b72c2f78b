//! How far the drills of schedules are.

use super::Local;
use crate::domain::drills::Drills;
use crate::domain::name::Name;
use crate::engine::{self, Error};

impl Local {
    /// Keeps it, where it is as it was known.
    pub(super) async fn keep_drills_of(
        &self,
        name: &Name,
        known_and_now: [&Drills; 2],
    ) -> Result<(), Error> {
        let texts = known_and_now.map(engine::written_drills);
        match self.store.keep_drills(name.to_string(), texts).await? {
            None => Err(engine::no_schedule("keep how far the drills are of", name)),
            Some(false) => Err(engine::others_drills(name)),
            Some(true) => self.tell_schedule(name).await,
        }
    }
}
