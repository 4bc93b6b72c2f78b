//! One bounded index of all schedules and runs, fed by the engine's changes: what lists, metrics and
//! checks of what is already there read. It is seconds behind at most, and is never written to by a call.

mod drills;
mod index;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::domain::callers::is_place;
use crate::domain::cron::Cron;
use crate::domain::databases;
use crate::domain::drilled::Verification;
use crate::domain::name::Name;
use crate::domain::protection::Protection;
use crate::domain::run::{Component, Run, State};
use crate::domain::schedule::{Plan, Schedule};
use crate::domain::verified::Verified;
use crate::engine::Change;
use crate::engine::change::Things;
use index::{Index, is_untold};

/// How long a call waits for the schedules after a start.
const SETTLING: Duration = Duration::from_secs(3);

/// The index.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    index: Arc<RwLock<Index>>,
    changed: watch::Sender<()>,
    verified: Arc<RwLock<BTreeMap<String, Verified>>>,
}

/// A schedule, and how it protects its database.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What it is.
    pub schedule: Schedule,
    /// What its runs came to.
    pub protection: Protection,
    /// What the drills of its backups have shown.
    pub verification: Verification,
}

/// Which runs are asked for; what is left out means any.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this schedule.
    pub schedule: Option<String>,
    /// Of these databases: `host:port/dbname` with stars.
    pub database: Option<String>,
    /// Of this kind.
    pub component: Option<Component>,
    /// In one of these states, by [`State::word`].
    pub states: Vec<&'static str>,
    /// Asked for since.
    pub since: Option<Timestamp>,
}

/// Where a page of runs begins: behind the run that was asked for then, and has this id.
pub type Behind = (Timestamp, String);

impl Ledger {
    /// Takes in what an engine tells. Gives a run whose end is to be told, if this is one.
    pub fn apply(&self, change: Change) -> Option<Run> {
        let intervals = match &change {
            Change::Schedule(it) => {
                let drills = it.schedule.verify().map(|it| &it.cron);
                let both = [Some(&it.schedule.plan.cron), drills];
                both.map(|it| it.and_then(Cron::longest_interval))
            }
            _ => [None, None],
        };
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let untold = index.apply(change, intervals);
        drop(index);
        self.changed.send_replace(());
        untold
    }

    /// Tells of every change of anything.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The runs whose ends were not told.
    #[must_use]
    pub fn untold(&self) -> Vec<Run> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let untold = index.runs.values().filter(|it| is_untold(it));
        untold.cloned().collect()
    }

    /// Remembers that the end of a run is told by this process; false where it was already.
    #[must_use]
    pub fn claim(&self, id: &str) -> bool {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let run = index.runs.get_mut(id);
        run.is_some_and(|it| !std::mem::replace(&mut it.told, true))
    }

    /// One that an engine is about to tell what there is.
    #[must_use]
    pub fn awaiting() -> Self {
        let ledger = Self::default();
        let mut index = ledger.index.write().unwrap_or_else(PoisonError::into_inner);
        index.first_schedules.is_awaited = true;
        index.first_runs.is_awaited = true;
        drop(index);
        ledger
    }

    /// Waits while these are told for the first time, but not for long; whether they are known.
    pub async fn settle(&self, things: Things) -> bool {
        let until = Instant::now() + SETTLING;
        while self.awaits(things) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        !self.awaits(things)
    }

    /// Waits until a run is known that an engine has just been asked for, but not for long: whoever is
    /// told its name may ask for it at once.
    pub async fn has_heard_of(&self, name: &str) {
        let mut changed = self.changed();
        let heard = async { while self.run(name).is_none() && changed.changed().await.is_ok() {} };
        drop(tokio::time::timeout(SETTLING, heard).await);
    }

    /// Waits until a schedule is known that an engine has, but not for long.
    pub async fn hear_of_schedule(&self, name: &Name) -> Option<Overview> {
        let mut changed = self.changed();
        let heard = async {
            loop {
                let known = self.overview(name, Timestamp::now());
                if known.is_some() {
                    return known;
                }
                changed.changed().await.ok()?;
            }
        };
        tokio::time::timeout(SETTLING, heard).await.ok().flatten()
    }

    fn awaits(&self, things: Things) -> bool {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        match things {
            Things::Schedules => index.first_schedules.is_awaited,
            Things::Runs => index.first_runs.is_awaited,
        }
    }

    /// The schedule that a plan is already kept as: same database, same bucket, same times. A list may be kept
    /// as one database that is called so.
    #[must_use]
    pub fn schedule_of(&self, plan: &Plan) -> Option<Schedule> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut schedules = index.of_place(plan).filter(|it| !it.is_of_an_object());
        if let Some(found) = schedules.find(|it| it.plan.is_same_schedule(plan)) {
            return Some(found.clone());
        }
        if !plan.several {
            return None;
        }
        let mut all = index.schedules.values().map(|it| &it.scheduled.schedule);
        let is_it = |it: &&Schedule| {
            let as_one = plan.clone().as_kept(Some(&it.plan));
            !as_one.several && it.plan.is_same_schedule(&as_one)
        };
        all.find(is_it).cloned()
    }

    /// The schedules that are meant.
    #[must_use]
    pub fn schedules_where(&self, is_meant: impl Fn(&Schedule) -> bool) -> Vec<Schedule> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let all = index.schedules.values().map(|it| &it.scheduled.schedule);
        all.filter(|it| is_meant(it)).cloned().collect()
    }

    /// Whether a database and bucket have another schedule whose backups are counted with those of no
    /// schedule.
    #[must_use]
    pub fn has_first_beside(&self, schedule: &Schedule) -> bool {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut schedules = index.of_place(&schedule.plan);
        schedules.any(|it| it.name != schedule.name && !it.counts_apart)
    }

    /// Whether something is being restored into a database, `host:port/dbname`.
    #[must_use]
    pub fn is_restoring(&self, database: &str) -> bool {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.runs.values().any(|it| {
            it.component == Component::Restore
                && it.database == database
                && it.state.ending().is_none()
        })
    }

    /// Whether a worker is backing a database up.
    #[must_use]
    pub fn is_backing_up(&self, database: &str) -> bool {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.runs.values().any(|it| {
            it.component == Component::Backup
                && (it.database == database || databases::covers(&it.database, database))
                && it.state == State::Running
        })
    }

    /// Whether a restore is under way that may read a backup of one of these databases; where none is named, of any.
    /// A drill reads those of its own database alone, and of another restore nobody knows which it reads.
    #[must_use]
    pub fn may_be_read(&self, places: &[String]) -> bool {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let reads = |run: &Run| match &run.drilled {
            Some(drill) if !places.is_empty() => places
                .iter()
                .any(|it| databases::may_share_backups(&drill.source, it)),
            _ => true,
        };
        let mut runs = index.runs.values();
        runs.any(|it| {
            it.component == Component::Restore && it.state.ending().is_none() && reads(it)
        })
    }

    /// How every schedule protects its database.
    #[must_use]
    pub fn protections(&self, now: Timestamp) -> Vec<Protection> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let known = index.schedules.values();
        let known = known.filter(|it| !it.scheduled.schedule.is_of_an_object());
        known.map(|it| index.protection(it, now)).collect()
    }

    /// A schedule, and how it protects its database.
    #[must_use]
    pub fn overview(&self, name: &Name, now: Timestamp) -> Option<Overview> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let known = index.schedules.get(name)?;
        Some(index.overview(known, now))
    }

    /// The schedules that a caller is to have, by name, behind one of them; at most so many.
    #[must_use]
    pub fn overviews(
        &self,
        now: Timestamp,
        behind: Option<&Name>,
        most: usize,
        is_wanted: impl Fn(&Schedule) -> bool,
    ) -> Vec<Overview> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let schedules = index.schedules.range::<Name, _>((from, Bound::Unbounded));
        let wanted = schedules.filter(|(_, it)| is_wanted(&it.scheduled.schedule));
        let overviews = wanted.map(|(_, it)| index.overview(it, now));
        overviews.take(most).collect()
    }

    /// The run of this id.
    #[must_use]
    pub fn run_of_id(&self, id: &str) -> Option<Run> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.runs.get(id).cloned()
    }

    /// The newest run of this name.
    #[must_use]
    pub fn run(&self, name: &str) -> Option<Run> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let runs = index.runs.values().filter(|it| it.name == name);
        runs.max_by_key(|it| it.created).cloned()
    }

    /// The runs that are asked for and that a caller is to have, the newest first; at most so many.
    #[must_use]
    pub fn runs(
        &self,
        wanted: &Wanted,
        behind: Option<Behind>,
        most: usize,
        is_wanted: impl Fn(&Run) -> bool,
    ) -> Vec<Run> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let from = wanted.since.map(|it| (it, String::new()));
        // A range that ends before it begins is none.
        if from.is_some() && behind.is_some() && from >= behind {
            return Vec::new();
        }
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let to = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let newest_first = index.order.range((from, to)).rev();
        let runs = newest_first.filter_map(|(_, id)| index.runs.get(id));
        let runs = runs.filter(|it| wanted.has(it) && is_wanted(it));
        runs.take(most).cloned().collect()
    }

    /// The runs of a schedule that have not ended.
    #[must_use]
    pub fn under_way_of(&self, schedule: &Name) -> Vec<Run> {
        let runs = self.under_way().into_iter();
        runs.filter(|it| it.schedule.as_deref() == Some(schedule.as_str()))
            .collect()
    }

    /// The runs that have not ended.
    #[must_use]
    pub fn under_way(&self) -> Vec<Run> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let runs = index.runs.values();
        runs.filter(|it| it.state.ending().is_none())
            .cloned()
            .collect()
    }

    /// How many runs are in each state that is no end: `(component, state, count)`.
    #[must_use]
    pub fn unfinished(&self) -> Vec<(Component, &'static str, usize)> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut counts = BTreeMap::new();
        for component in [Component::Backup, Component::Restore] {
            for state in [State::Waiting, State::Running] {
                counts.insert((component, state.word()), 0);
            }
        }
        for run in index.runs.values() {
            if let Some(count) = counts.get_mut(&(run.component, run.state.word())) {
                *count += 1;
            }
        }
        counts
            .into_iter()
            .map(|((component, state), count)| (component, state, count))
            .collect()
    }
}

impl Wanted {
    fn has(&self, run: &Run) -> bool {
        let Self {
            schedule,
            database,
            component,
            states,
            since,
        } = self;
        let is_of = |pattern: &String| run.places().any(|it| is_place(pattern, it));
        let drilled = run.drilled.as_ref().and_then(|it| it.schedule.as_ref());
        schedule
            .as_ref()
            .is_none_or(|it| run.schedule.as_ref().or(drilled) == Some(it))
            && database.as_ref().is_none_or(is_of)
            && component.is_none_or(|it| it == run.component)
            && (states.is_empty() || states.contains(&run.state.word()))
            && since.is_none_or(|it| it <= run.created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::drills::Drills;
    use crate::domain::run::Ending;
    use crate::engine::Scheduled;

    pub(super) fn run(id: &str, state: State) -> Box<Run> {
        let created = Timestamp::from_second(1_800_000_000).unwrap();
        Box::new(Run {
            component: Component::Restore,
            name: format!("restore-{id}-postgres"),
            id: id.to_owned(),
            schedule: None,
            database: "db:5432/shop".to_owned(),
            drilled: None,
            ended: state.ending().map(|_| created),
            state,
            created,
            started: Some(created),
            told: false,
        })
    }

    fn ended(id: &str) -> Box<Run> {
        run(id, State::Ended(Ending::Cancelled))
    }

    #[test]
    fn an_end_that_was_claimed_is_given_to_nobody_again_whatever_the_engine_remembers() {
        let ledger = Ledger::default();
        assert!(ledger.apply(Change::Run(ended("1"))).is_some());
        assert_eq!(ledger.untold().len(), 1);
        assert!(ledger.claim("1"));
        assert!(!ledger.claim("1"));
        assert_eq!(ledger.untold(), []);
        // It could not remember that it was told, and tells all it has anew.
        assert!(ledger.apply(Change::Listing(Things::Runs)).is_none());
        assert!(ledger.apply(Change::Run(ended("1"))).is_none());
        assert!(ledger.apply(Change::Listed(Things::Runs)).is_none());
        assert_eq!(ledger.untold(), []);
    }

    #[test]
    fn what_is_not_told_again_is_gone() {
        let ledger = Ledger::default();
        for id in ["1", "2"] {
            ledger.apply(Change::Run(run(id, State::Running)));
        }
        ledger.apply(Change::Listing(Things::Runs));
        ledger.apply(Change::Run(run("2", State::Running)));
        assert!(ledger.is_restoring("db:5432/shop"));
        ledger.apply(Change::Listed(Things::Runs));
        let running = |ledger: &Ledger| {
            let counts = ledger.unfinished().into_iter();
            counts.map(|(_, _, count)| count).sum::<usize>()
        };
        assert_eq!(running(&ledger), 1);
        ledger.apply(Change::RunGone("2".to_owned()));
        assert_eq!(running(&ledger), 0);
        assert!(!ledger.is_restoring("db:5432/shop"));
    }

    /// A call for the same database at the same times is no call for it, and nobody is told that it is overdue.
    #[test]
    fn what_an_object_has_for_itself_is_nobody_elses_schedule() {
        let ledger = Ledger::default();
        let mut schedule = crate::engine::conformance::schedule("object-1");
        let tell = |schedule: &Schedule| {
            ledger.apply(Change::Schedule(Box::new(Scheduled {
                schedule: schedule.clone(),
                created: Timestamp::UNIX_EPOCH,
                suspended: true,
                last_success: None,
                drills: Drills::default(),
            })));
        };
        tell(&schedule);
        assert!(ledger.schedule_of(&schedule.plan).is_some());
        schedule.labels = Some([("dbtether.io/backup".to_owned(), "b".to_owned())].into());
        tell(&schedule);
        assert!(ledger.schedule_of(&schedule.plan).is_none());
        assert!(ledger.protections(Timestamp::UNIX_EPOCH).is_empty());
        assert!(
            ledger
                .overview(&schedule.name, Timestamp::UNIX_EPOCH)
                .is_some()
        );
    }

    #[test]
    fn what_comes_late_undoes_no_end() {
        let ledger = Ledger::default();
        ledger.apply(Change::Run(ended("1")));
        assert!(
            ledger
                .apply(Change::Run(run("1", State::Running)))
                .is_none()
        );
        assert!(!ledger.is_restoring("db:5432/shop"));
    }

    /// After an Update the schedule is another database's.
    #[test]
    fn what_a_schedule_did_for_another_database_protects_this_one_in_nothing() {
        let ledger = Ledger::default();
        let mut schedule = crate::engine::conformance::schedule("backup-00000001-postgres");
        let told = |schedule: &Schedule, last_success| {
            ledger.apply(Change::Schedule(Box::new(Scheduled {
                schedule: schedule.clone(),
                created: Timestamp::UNIX_EPOCH,
                suspended: false,
                last_success,
                drills: Drills::default(),
            })));
        };
        let ended = Timestamp::from_second(1_700_000_000).unwrap();
        told(&schedule, None);
        ledger.apply(Change::Run(Box::new(Run {
            component: Component::Backup,
            name: "backup-00000001-postgres-1".to_owned(),
            id: "7".to_owned(),
            schedule: Some(schedule.name.to_string()),
            database: schedule.plan.source.place(),
            drilled: None,
            state: State::Ended(Ending::Succeeded { message: None }),
            created: ended,
            started: Some(ended),
            ended: Some(ended),
            told: true,
        })));
        let last = |ledger: &Ledger| {
            let known = ledger.protections(ended).remove(0);
            known.history.last_success
        };
        told(&schedule, Some(ended));
        assert_eq!(last(&ledger), Some(ended));
        schedule.plan.source.name = "crm".to_owned();
        told(&schedule, Some(ended));
        assert_eq!(last(&ledger), None);
    }
}
