//! Schedules: to make, change, see, suspend, run and delete them.

use jiff::{SignedDuration, Timestamp};

use super::checks;
use super::ledger::Overview;
use super::{Checks, Service, judged, may};
use crate::domain::callers::{Caller, Verb, is_place};
use crate::domain::name::Name;
use crate::domain::run::Component;
use crate::domain::schedule::{Plan, Schedule, TURNS};
use crate::engine::change::Things;
use crate::engine::{Error, Kind, Put, Started, Whose};

/// A schedule that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleAnswer {
    /// Its name.
    pub name: Name,
    /// What was done for it.
    pub put: Put,
    /// When it runs next; none while it is suspended.
    pub next: Option<Timestamp>,
    /// Whether it does not run for now.
    pub is_suspended: bool,
    /// How old the oldest backup that is kept becomes, where that is very young.
    pub short_history: Option<SignedDuration>,
}

impl Service {
    /// Makes the one schedule of a plan's database, bucket and times what the plan says.
    ///
    /// # Errors
    /// [`Kind::Precondition`] with the worker's sentence when its backups would surely fail, and what
    /// the engine could not do.
    pub async fn back_up(
        &self,
        caller: &Caller,
        mut plan: Plan,
        checks: Checks,
    ) -> Result<ScheduleAnswer, Error> {
        may(caller, Verb::Backup, &plan.source.place())?;
        self.place_plan(&mut plan, None).await?;
        let named = (&plan.source, &plan.store, plan.core.as_ref());
        self.permit(caller, Verb::Backup, named).await?;
        self.engine.permit(Component::Backup, &plan.store)?;
        let is_known = self.ledger.settle(Things::Schedules).await;
        let known = self.ledger.schedule_of(&plan);
        if let Some(known) = &known {
            self.is_free(known)?;
        }
        let plan = plan.as_kept(known.as_ref().map(|it| &it.plan));
        let mut names = Names::of(known.as_ref());
        if let Checks::On(disk) = checks {
            let wanted = self.named(names.name(&plan), plan.clone());
            let outcome = checks::backup(&self.workers.backup(&wanted), disk).await;
            drop(judged("schedule backups", &plan.source, outcome)?);
        }
        loop {
            let schedule = self.named(names.name(&plan), plan.clone());
            match self.engine.put(&schedule, Whose::Its).await {
                Ok(put) => return Ok(self.scheduled(schedule, put)),
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
        mut plan: Plan,
    ) -> Result<ScheduleAnswer, Error> {
        let doing = || format!("change schedule {name}");
        may(caller, Verb::Update, &plan.source.place())?;
        if namespace != self.namespace() {
            let why = format!("only {} is served here", self.namespace());
            return Err(Error::new(doing(), Kind::Denied, why));
        }
        let found = self.engine.schedule(&name).await?;
        let own = found.as_ref();
        let own = own.filter(|it| may(caller, Verb::Update, &it.plan.source.place()).is_ok());
        self.place_plan(&mut plan, own).await?;
        let named = (&plan.source, &plan.store, plan.core.as_ref());
        self.permit(caller, Verb::Update, named).await?;
        if let Some(found) = &found {
            self.is_free(found)?;
        }
        let plan = plan.as_kept(found.as_ref().map(|it| &it.plan));
        let schedule = self.named(name.clone(), plan);
        // What the schedule has of its own goes with it.
        let moved = schedule.clone().in_place_of(own);
        self.may_say(caller, &moved, own)?;
        // Names can be guessed: whose schedule it is says the schedule.
        let whose = if caller.may_everything() {
            Whose::Anybodys
        } else {
            let found = found.ok_or_else(|| {
                let why = "there is none whose database is known";
                Error::new(doing(), Kind::NotFound, why)
            })?;
            let database = found.plan.source.place();
            may(caller, Verb::Update, &database)?;
            Whose::OfDatabase(database)
        };
        let put = self.engine.put(&schedule, whose).await?;
        Ok(self.scheduled(schedule, put))
    }

    /// The schedules that a caller may see, by name, behind one of them; at most so many.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] while they are not known yet.
    pub async fn schedules(
        &self,
        caller: &Caller,
        database: Option<&str>,
        behind: Option<&Name>,
        most: usize,
    ) -> Result<Vec<Overview>, Error> {
        self.known(Things::Schedules).await?;
        let is_wanted = |it: &Schedule| {
            let place = it.plan.source.place();
            database.is_none_or(|it| is_place(it, &place)) && caller.may(Verb::View, &place).is_ok()
        };
        let now = Timestamp::now();
        Ok(self.ledger.overviews(now, behind, most, is_wanted))
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is none that the caller may see.
    pub async fn overview(&self, caller: &Caller, name: &Name) -> Result<Overview, Error> {
        self.known(Things::Schedules).await?;
        let mut found = self.ledger.overview(name, Timestamp::now());
        // Whoever has just been told its name may ask for it at once.
        if found.is_none()
            && let Some(there) = self.engine.schedule(name).await?
        {
            found = self.ledger.hear_of_schedule(name).await;
            let place = there.plan.source.place();
            if found.is_none() && caller.may(Verb::View, &place).is_ok() {
                let doing = format!("find schedule {name}");
                let why = "it is there, and has not been read yet; ask again";
                return Err(Error::new(doing, Kind::Unavailable, why));
            }
        }
        let is_seen = |it: &Overview| caller.may(Verb::View, &it.protection.database).is_ok();
        found.filter(is_seen).ok_or_else(|| {
            let doing = format!("find schedule {name}");
            Error::new(doing, Kind::NotFound, "there is none that you may see")
        })
    }

    /// Lets a schedule rest, or run at its times again.
    ///
    /// # Errors
    /// As [`Self::overview`]; [`Kind::Denied`], and what the engine could not do.
    pub async fn suspend(
        &self,
        caller: &Caller,
        name: &Name,
        suspended: bool,
    ) -> Result<Overview, Error> {
        let mut overview = self.overview(caller, name).await?;
        may(caller, Verb::Suspend, &overview.protection.database)?;
        self.is_nobody_elses(&overview.schedule)?;
        self.engine.suspend(name, suspended).await?;
        // The index is a moment behind.
        let times = &overview.schedule.plan.cron;
        overview.protection.suspended = suspended;
        overview.protection.next = (!suspended)
            .then(|| times.next_after(Timestamp::now()))
            .flatten();
        Ok(overview)
    }

    /// Deletes a schedule; its backups stay.
    ///
    /// # Errors
    /// As [`Self::overview`]; [`Kind::Denied`], and what the engine could not do.
    pub async fn delete(&self, caller: &Caller, name: &Name) -> Result<(), Error> {
        let overview = self.overview(caller, name).await?;
        may(caller, Verb::Delete, &overview.protection.database)?;
        self.is_free(&overview.schedule)?;
        self.engine.delete(name).await
    }

    /// Runs a schedule beside its times.
    ///
    /// # Errors
    /// As [`Self::overview`]; [`Kind::Denied`], and what the engine could not do.
    pub async fn run_now(
        &self,
        caller: &Caller,
        name: &Name,
        request_id: &str,
    ) -> Result<Started, Error> {
        let overview = self.overview(caller, name).await?;
        may(caller, Verb::Run, &overview.protection.database)?;
        self.is_nobody_elses(&overview.schedule)?;
        let started = self.engine.run(name, request_id).await?;
        self.ledger.has_heard_of(&started.name).await;
        Ok(started)
    }

    fn scheduled(&self, schedule: Schedule, put: Put) -> ScheduleAnswer {
        let short_history = schedule.short_history();
        let Schedule { name, plan, .. } = schedule;
        let database = plan.source.place();
        tracing::info!(schedule = %name, %database, done = %put, "scheduled");
        if let Some(history) = short_history {
            tracing::warn!(schedule = %name, %database, %history, "max_backup_count keeps no older backups than this; what is noticed later is in all of them");
        }
        let now = Timestamp::now();
        let known = self.ledger.overview(&name, now);
        let is_suspended = known.is_some_and(|it| it.protection.suspended);
        ScheduleAnswer {
            next: plan.cron.next_after(now).filter(|_| !is_suspended),
            is_suspended,
            name,
            put,
            short_history,
        }
    }

    /// A plan under a name; its backups are counted apart where those of another schedule would be
    /// counted with them.
    pub(super) fn named(&self, name: Name, plan: Plan) -> Schedule {
        let mut schedule = Schedule::new(name, plan);
        schedule.counts_apart |= self.ledger.has_first_beside(&schedule);
        schedule
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
