//! The use cases, in the domain's words, over whichever engine there is.

mod addresses;
pub mod checks;
mod databases;
pub mod declared;
mod defaults;
pub mod drills;
pub mod ledger;
mod objects;
mod options;
pub mod proving;
pub mod put;
mod questions;
pub mod restores;
pub mod runs;
pub mod schedules;
mod secrets;

use std::sync::Arc;

use backuper::report::CoreAddress;

use crate::domain::access::{Named, Places, Refusal};
use crate::domain::callers::{Caller, Verb};
use crate::domain::database::Database;
use crate::domain::store::Store;
use crate::engine::change::Things;
use crate::engine::{Engine, Error, Kind};
use crate::workers::Workers;
use checks::{Disk, Outcome};
use declared::Declared;
use ledger::Ledger;

/// What the scheduler can be asked for.
#[derive(Clone, Debug)]
pub struct Service {
    engine: Arc<dyn Engine>,
    workers: Workers,
    ledger: Ledger,
    checks: Checks,
    /// What the administrator's file declares.
    declared: Declared,
}

/// Whether requests are tried before they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// They are; whose disk a directory as a store is on.
    On(Disk),
    /// They are not.
    Off,
}

impl Checks {
    /// None of it, where a call asks for that.
    #[must_use]
    pub fn unless(self, skipped: bool) -> Self {
        if skipped { Self::Off } else { self }
    }
}

impl Service {
    /// The use cases over an engine; `workers` is what its workers are told, and which places they may
    /// be sent to.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, workers: Workers, ledger: Ledger, checks: Checks) -> Self {
        Self {
            engine,
            workers,
            ledger,
            checks,
            declared: Declared::default(),
        }
    }

    /// The same, beside a file of the administrator's that declares schedules.
    #[must_use]
    pub fn beside_a_file(mut self, declared: Declared) -> Self {
        self.declared = declared;
        self
    }

    /// What that file declares.
    #[must_use]
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// Whether requests are tried before they are answered.
    #[must_use]
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// What there is.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn places(&self) -> &Places {
        &self.workers.places
    }

    /// Whether this caller may do this, with what the request names. Where its names lead is asked
    /// whatever the call says: only the administrator says that nothing is looked up.
    async fn permit(
        &self,
        caller: &Caller,
        verb: Verb,
        (database, store, core): (&Database, &Store, Option<&CoreAddress>),
    ) -> Result<(), Error> {
        may(caller, verb, &database.place())?;
        self.permit_places(Named {
            database: Some(database),
            store: Some(store),
            core,
        })
        .await
    }

    /// Whether these may be named at all.
    async fn permit_places(&self, named: Named<'_>) -> Result<(), Error> {
        let permitted = self.workers.permit(named);
        permitted.map_err(not_permitted)?;
        match self.checks {
            Checks::On(_) => {
                let looked_up = addresses::permit(named.hosts()).await;
                looked_up.map_err(not_permitted)
            }
            Checks::Off => Ok(()),
        }
    }

    /// Waits until the ledger knows all there is, but not for long.
    async fn known(&self, things: Things) -> Result<(), Error> {
        if self.ledger.settle(things).await {
            return Ok(());
        }
        let (doing, why) = match things {
            Things::Schedules => (
                "look at the schedules",
                "they have not been read yet; ask again",
            ),
            Things::Runs => ("look at the runs", "they have not been read yet; ask again"),
        };
        Err(Error::new(doing, Kind::Unavailable, why))
    }

    /// The namespace that holds what is made.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.engine.namespace()
    }

    /// Whether calls can be served now.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), Error> {
        self.engine.ready().await
    }
}

fn not_permitted(why: Refusal) -> Error {
    Error::new("use what the request names", Kind::Denied, why)
}

/// What is surely wrong refuses a request; what cannot be known from here is said in the log, and why.
fn judged<T>(
    doing: &str,
    database: &Database,
    outcome: Outcome<T>,
) -> Result<Result<T, String>, Error> {
    match outcome {
        Outcome::Sound(found) => Ok(Ok(found)),
        Outcome::Wrong(sentence) => Err(Error::new(doing, Kind::Precondition, sentence)),
        Outcome::Unknown(why) => {
            tracing::info!(database = %database.place(), why, "it was not tried before the answer");
            Ok(Err(why))
        }
    }
}

fn may(caller: &Caller, verb: Verb, place: &str) -> Result<(), Error> {
    let may = caller.may(verb, place);
    may.map_err(|why| Error::new("do what the call asks for", Kind::Denied, why))
}
