//! The use cases, in the domain's words, over whichever engine there is.

mod addresses;
pub mod checks;
pub mod ledger;

use std::sync::Arc;

use backuper::catalog::Revision;
use backuper::report::CoreAddress;
use jiff::{SignedDuration, Timestamp};

use crate::domain::access::{self, Places, Refusal};
use crate::domain::callers::{Caller, Verb};
use crate::domain::database::Database;
use crate::domain::name::Name;
use crate::domain::restore::Restore;
use crate::domain::run::Component;
use crate::domain::schedule::{Plan, Schedule, TURNS};
use crate::domain::store::Store;
use crate::engine::{Engine, Error, Kind, Put, Started, Whose};
use crate::workers::Workers;
use checks::{Disk, Outcome};
use ledger::Ledger;

/// What the scheduler can be asked for.
#[derive(Clone, Debug)]
pub struct Service {
    engine: Arc<dyn Engine>,
    workers: Workers,
    ledger: Ledger,
    checks: Checks,
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

/// A restore that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreAnswer {
    /// The run.
    pub started: Started,
    /// The backup that comes back, where that could be found out.
    pub backup: Option<checks::Backup>,
}

/// A schedule that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleAnswer {
    /// Its name.
    pub name: Name,
    /// What was done for it.
    pub put: Put,
    /// When it runs next.
    pub next: Option<Timestamp>,
    /// How old the oldest backup that is kept becomes, where that is very young.
    pub short_history: Option<SignedDuration>,
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
        }
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
        let permitted = self.places().permit(database, store, core);
        permitted.map_err(not_permitted)?;
        match self.checks {
            Checks::On(_) => {
                let hosts = access::hosts(database, store, core);
                addresses::permit(hosts).await.map_err(not_permitted)
            }
            Checks::Off => Ok(()),
        }
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

    /// Makes the one schedule of a plan's database, bucket and times what the plan says.
    ///
    /// # Errors
    /// [`Kind::Precondition`] with the worker's sentence when its backups would surely fail, and what
    /// the engine could not do.
    pub async fn back_up(
        &self,
        caller: &Caller,
        plan: Plan,
        checks: Checks,
    ) -> Result<ScheduleAnswer, Error> {
        let named = (&plan.source, &plan.store, plan.core.as_ref());
        self.permit(caller, Verb::Backup, named).await?;
        self.engine.permit(Component::Backup, &plan.store)?;
        let is_known = self.ledger.settle().await;
        let known = self.ledger.schedule_of(&plan);
        let mut names = Names::of(known.as_ref());
        if let Checks::On(disk) = checks {
            let wanted = self.named(names.name(&plan), plan.clone());
            let outcome = checks::backup(&self.workers.backup(&wanted), disk).await;
            judged("schedule backups", &plan.source, outcome)?;
        }
        loop {
            let schedule = self.named(names.name(&plan), plan.clone());
            match self.engine.put(&schedule, Whose::Its).await {
                Ok(put) => return Ok(scheduled(schedule, put)),
                Err(error) if error.kind() == Kind::Occupied && !is_known => {
                    // Under which name it may be kept already, nobody knows yet.
                    let why = "the schedules that there are have not been read yet; ask again";
                    return Err(Error::new("schedule backups", Kind::Unavailable, why));
                }
                Err(error) if error.kind() == Kind::Occupied => {
                    let other = self.engine.schedule(&schedule.name).await?;
                    if !names.go_on(&plan, other.as_ref()) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes an existing schedule what the plan says, in everything.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn change(
        &self,
        caller: &Caller,
        namespace: &str,
        name: Name,
        plan: Plan,
    ) -> Result<ScheduleAnswer, Error> {
        let named = (&plan.source, &plan.store, plan.core.as_ref());
        self.permit(caller, Verb::Update, named).await?;
        let doing = || format!("change schedule {name}");
        if namespace != self.namespace() {
            let why = format!("only {} is served here", self.namespace());
            return Err(Error::new(doing(), Kind::Denied, why));
        }
        // Names can be guessed: whose schedule it is says the schedule.
        let whose = if caller.may_everything() {
            Whose::Anybodys
        } else {
            let found = self.engine.schedule(&name).await?;
            let found = found.ok_or_else(|| {
                let why = "there is none whose database is known";
                Error::new(doing(), Kind::NotFound, why)
            })?;
            let database = found.plan.source.place();
            may(caller, Verb::Update, &database)?;
            Whose::OfDatabase(database)
        };
        let schedule = self.named(name, plan);
        let put = self.engine.put(&schedule, whose).await?;
        Ok(scheduled(schedule, put))
    }

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

    /// A plan under a name; its backups are counted apart where those of another schedule would be
    /// counted with them.
    fn named(&self, name: Name, plan: Plan) -> Schedule {
        let mut schedule = Schedule::new(name, plan);
        schedule.counts_apart |= self.ledger.has_first_beside(&schedule);
        schedule
    }

    /// By when a restore that is asked for now must have begun.
    fn begin_by(&self, now: Timestamp) -> Option<Timestamp> {
        let within = self.workers.settings.restore_begin_within;
        let limited = !within.is_zero();
        limited.then(|| now.saturating_add(within).unwrap_or(Timestamp::MAX))
    }
}

/// Which names are tried for a plan, one after another.
#[derive(Debug)]
struct Names {
    /// It is already kept under this name.
    known: Option<Name>,
    /// Its database and bucket have a schedule of other times.
    is_further: bool,
    turn: u8,
}

impl Names {
    fn of(known: Option<&Schedule>) -> Self {
        Self {
            known: known.map(|it| it.name.clone()),
            is_further: false,
            turn: 0,
        }
    }

    fn name(&self, plan: &Plan) -> Name {
        match &self.known {
            Some(name) => name.clone(),
            None if self.is_further => plan.further_name(self.turn),
            None => plan.name(self.turn),
        }
    }

    /// The next one, after the last turned out to be another schedule's; false when there is none.
    fn go_on(&mut self, plan: &Plan, other: Option<&Schedule>) -> bool {
        if self.known.take().is_some() {
            return true;
        }
        let is_beside = other.is_some_and(|it| it.plan.has_place_of(plan));
        if is_beside && !self.is_further {
            self.is_further = true;
            self.turn = 0;
            return true;
        }
        self.turn += 1;
        self.turn <= TURNS
    }
}

fn not_permitted(why: Refusal) -> Error {
    Error::new("use what the request names", Kind::Denied, why)
}

/// What is surely wrong refuses a request; what cannot be known from here is said in the log.
fn judged<T>(doing: &str, database: &Database, outcome: Outcome<T>) -> Result<Option<T>, Error> {
    match outcome {
        Outcome::Sound(found) => Ok(Some(found)),
        Outcome::Wrong(sentence) => Err(Error::new(doing, Kind::Precondition, sentence)),
        Outcome::Unknown(why) => {
            tracing::info!(database = %database.place(), why, "it was not tried before the answer");
            Ok(None)
        }
    }
}

fn scheduled(schedule: Schedule, put: Put) -> ScheduleAnswer {
    let Schedule { name, plan, .. } = schedule;
    let database = plan.source.place();
    tracing::info!(schedule = %name, %database, done = %put, "scheduled");
    let short_history = plan.short_history();
    if let Some(history) = short_history {
        tracing::warn!(schedule = %name, %database, %history, "max_backup_count keeps no older backups than this; what is noticed later is in all of them");
    }
    ScheduleAnswer {
        name,
        put,
        next: plan.cron.next_after(Timestamp::now()),
        short_history,
    }
}

fn may(caller: &Caller, verb: Verb, place: &str) -> Result<(), Error> {
    let may = caller.may(verb, place);
    may.map_err(|why| Error::new("do what the call asks for", Kind::Denied, why))
}
