//! One bounded index of all schedules and runs, fed by the engine's changes: what lists, metrics and
//! checks of what is already there read. It is seconds behind at most, and is never written to by a call.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::domain::name::Name;
use crate::domain::protection::{History, Protection};
use crate::domain::run::{Component, Run, State};
use crate::domain::schedule::{Plan, Schedule};
use crate::engine::change::Things;
use crate::engine::{Change, Scheduled};

/// How far another clock may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// How long a call waits for the schedules after a start.
const SETTLING: Duration = Duration::from_secs(3);
/// How many runs are known at once; those that were asked for first go first.
const RUNS: usize = 200_000;

/// The index.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<RwLock<Index>>);

#[derive(Debug, Default)]
struct Index {
    schedules: BTreeMap<Name, Known>,
    /// By the schedules' names; of those too whose schedule is not known yet.
    histories: HashMap<String, History>,
    runs: HashMap<String, Run>,
    /// The runs, those that were asked for first first.
    order: BTreeSet<(Timestamp, String)>,
    /// What is told anew and was not told again yet.
    missing_schedules: HashSet<Name>,
    missing_runs: HashSet<String>,
    /// Whether the schedules are being told for the first time, and whether all were told once.
    awaits_schedules: bool,
    has_schedules: bool,
}

/// A schedule, and what is counted once and not at each look.
#[derive(Debug)]
struct Known {
    scheduled: Scheduled,
    /// The longest time between two runs.
    interval: Option<SignedDuration>,
}

impl Ledger {
    /// Takes in what an engine tells. Gives a run whose end is to be told, if this is one.
    pub fn apply(&self, change: Change) -> Option<Run> {
        let interval = match &change {
            Change::Schedule(it) => it.schedule.plan.cron.longest_interval(),
            _ => None,
        };
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Listing(Things::Schedules) => {
                index.missing_schedules = index.schedules.keys().cloned().collect();
                index.awaits_schedules = !index.has_schedules;
            }
            Change::Listing(Things::Runs) => {
                index.missing_runs = index.runs.keys().cloned().collect();
            }
            Change::Listed(Things::Schedules) => {
                for name in std::mem::take(&mut index.missing_schedules) {
                    index.forget_schedule(&name);
                }
                let Index {
                    schedules,
                    histories,
                    ..
                } = &mut *index;
                let names: HashSet<&str> = schedules.keys().map(Name::as_str).collect();
                histories.retain(|name, _| names.contains(name.as_str()));
                index.has_schedules = true;
                index.awaits_schedules = false;
            }
            Change::Listed(Things::Runs) => {
                for id in std::mem::take(&mut index.missing_runs) {
                    index.forget_run(&id);
                }
            }
            Change::Schedule(scheduled) => {
                let name = scheduled.schedule.name.clone();
                index.missing_schedules.remove(&name);
                let scheduled = *scheduled;
                let known = Known {
                    scheduled,
                    interval,
                };
                index.schedules.insert(name, known);
            }
            Change::ScheduleGone(name) => index.forget_schedule(&name),
            Change::Run(run) => return index.take(*run),
            Change::RunGone(id) => index.forget_run(&id),
        }
        None
    }

    /// The runs whose ends were not told.
    #[must_use]
    pub fn untold(&self) -> Vec<Run> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let untold = index.runs.values().filter(|it| is_untold(it));
        untold.cloned().collect()
    }

    /// Remembers that the end of a run is told by this process; false where it was already.
    #[must_use]
    pub fn claim(&self, id: &str) -> bool {
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let run = index.runs.get_mut(id);
        run.is_some_and(|it| !std::mem::replace(&mut it.told, true))
    }

    /// One that an engine is about to tell what there is.
    #[must_use]
    pub fn awaiting() -> Self {
        let ledger = Self::default();
        let mut index = ledger.0.write().unwrap_or_else(PoisonError::into_inner);
        index.awaits_schedules = true;
        drop(index);
        ledger
    }

    /// Waits while the schedules are told for the first time, but not for long; whether they are known.
    pub async fn settle(&self) -> bool {
        let until = Instant::now() + SETTLING;
        while self.awaits_schedules() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        !self.awaits_schedules()
    }

    fn awaits_schedules(&self) -> bool {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        index.awaits_schedules
    }

    /// The schedule that a plan is already kept as: same database, same bucket, same times.
    #[must_use]
    pub fn schedule_of(&self, plan: &Plan) -> Option<Schedule> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut schedules = index.schedules.values().map(|it| &it.scheduled.schedule);
        schedules.find(|it| it.plan.is_same_schedule(plan)).cloned()
    }

    /// Whether a database and bucket have another schedule whose backups are counted with those of no
    /// schedule.
    #[must_use]
    pub fn has_first_beside(&self, schedule: &Schedule) -> bool {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut schedules = index.schedules.values().map(|it| &it.scheduled.schedule);
        schedules.any(|it| {
            it.name != schedule.name && !it.counts_apart && it.plan.has_place_of(&schedule.plan)
        })
    }

    /// Whether something is being restored into a database, `host:port/dbname`.
    #[must_use]
    pub fn is_restoring(&self, database: &str) -> bool {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        index.runs.values().any(|it| {
            it.component == Component::Restore
                && it.database == database
                && it.state.ending().is_none()
        })
    }

    /// How every schedule protects its database.
    #[must_use]
    pub fn protections(&self, now: Timestamp) -> Vec<Protection> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let soon = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
        let protections = index.schedules.values().map(|it| {
            let Scheduled {
                schedule,
                created,
                suspended,
                last_success,
            } = &it.scheduled;
            let history = index.histories.get(schedule.name.as_str());
            let mut history = history.cloned().unwrap_or_default();
            history.remember(last_success.filter(|it| *it <= soon));
            let cron = &schedule.plan.cron;
            Protection {
                schedule: schedule.name.to_string(),
                database: schedule.plan.source.place(),
                created: *created,
                suspended: *suspended,
                next: if *suspended {
                    None
                } else {
                    cron.next_after(now)
                },
                interval: it.interval,
                history,
            }
        });
        protections.collect()
    }

    /// How many runs are in each state that is no end: `(component, state, count)`.
    #[must_use]
    pub fn unfinished(&self) -> Vec<(Component, &'static str, usize)> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
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

impl Index {
    fn take(&mut self, mut run: Run) -> Option<Run> {
        self.missing_runs.remove(&run.id);
        if let Some(before) = self.runs.get(&run.id) {
            // It has come late.
            if !before.state.may_become(&run.state) {
                return None;
            }
            run.told |= before.told;
        }
        // A success that a clock which ran ahead has dated would hide every failure after it.
        let soon = Timestamp::now()
            .saturating_add(AHEAD)
            .unwrap_or(Timestamp::MAX);
        if let Some(schedule) = &run.schedule
            && run.ended.is_none_or(|it| it <= soon)
        {
            let history = self.histories.entry(schedule.clone()).or_default();
            history.add(&run);
        }
        self.order.insert((run.created, run.id.clone()));
        let untold = is_untold(&run).then(|| run.clone());
        self.runs.insert(run.id.clone(), run);
        while self.runs.len() > RUNS
            && let Some((_, id)) = self.order.pop_first()
        {
            self.runs.remove(&id);
        }
        untold
    }

    fn forget_run(&mut self, id: &str) {
        if let Some(run) = self.runs.remove(id) {
            self.order.remove(&(run.created, run.id));
        }
    }

    fn forget_schedule(&mut self, name: &Name) {
        self.schedules.remove(name);
        self.histories.remove(name.as_str());
    }
}

fn is_untold(run: &Run) -> bool {
    !run.told && run.state.ending().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::Ending;

    fn run(id: &str, state: State) -> Box<Run> {
        let created = Timestamp::from_second(1_800_000_000).unwrap();
        Box::new(Run {
            component: Component::Restore,
            name: format!("restore-{id}-postgres"),
            id: id.to_owned(),
            schedule: None,
            database: "db:5432/shop".to_owned(),
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
}
