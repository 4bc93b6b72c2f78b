//! What the ledger holds, and what changes make of it.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::{SignedDuration, Timestamp};

use super::Overview;
use crate::domain::drilled::{Drilled, Verdict, Verification};
use crate::domain::name::Name;
use crate::domain::protection::{History, Protection};
use crate::domain::run::Run;
use crate::domain::schedule::{Plan, Schedule};
use crate::domain::verified::Verified;
use crate::engine::change::Things;
use crate::engine::{Change, Scheduled};

/// How far another clock may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// How many runs are known at once; those that were asked for first go first.
const RUNS: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) schedules: BTreeMap<Name, Known>,
    /// The schedules of a database and bucket, by a hash of [`Plan::place`]: calls ask for them.
    pub(super) by_place: HashMap<u64, Vec<Name>>,
    /// By the schedules' names; of those too whose schedule is not known yet.
    pub(super) histories: HashMap<String, HashMap<String, History>>,
    /// What drills of the schedules' backups have shown, as histories are kept.
    verifications: HashMap<String, HashMap<Drilled, Verification>>,
    pub(super) runs: HashMap<String, Run>,
    /// The runs, those that were asked for first first.
    pub(super) order: BTreeSet<(Timestamp, String)>,
    /// What is told anew and was not told again yet.
    pub(super) missing_schedules: HashSet<Name>,
    pub(super) missing_runs: HashSet<String>,
    /// How far the first telling of each is.
    pub(super) first_schedules: First,
    pub(super) first_runs: First,
}

/// Whether something is being told for the first time.
#[derive(Debug, Default)]
pub(super) struct First {
    pub(super) is_awaited: bool,
    is_over: bool,
}

impl First {
    fn begins(&mut self) {
        self.is_awaited = !self.is_over;
    }

    fn ends(&mut self) {
        *self = Self {
            is_awaited: false,
            is_over: true,
        };
    }
}

/// A schedule, and what is counted once and not at each look.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) scheduled: Scheduled,
    /// The longest time between two runs, and that between two drills.
    pub(super) intervals: [Option<SignedDuration>; 2],
}

impl Index {
    /// Takes a change in; `intervals` are the longest times between two runs of a schedule and between two of its
    /// drills. Gives a run whose end is to be told, if this is one.
    pub(super) fn apply(
        &mut self,
        change: Change,
        intervals: [Option<SignedDuration>; 2],
    ) -> Option<Run> {
        match change {
            Change::Listing(Things::Schedules) => {
                self.missing_schedules = self.schedules.keys().cloned().collect();
                self.first_schedules.begins();
            }
            Change::Listing(Things::Runs) => {
                self.first_runs.begins();
                self.missing_runs = self.runs.keys().cloned().collect();
            }
            Change::Listed(Things::Schedules) => {
                for name in std::mem::take(&mut self.missing_schedules) {
                    self.forget_schedule(&name);
                }
                let Self {
                    schedules,
                    histories,
                    verifications,
                    ..
                } = self;
                let names: HashSet<&str> = schedules.keys().map(Name::as_str).collect();
                histories.retain(|name, _| names.contains(name.as_str()));
                verifications.retain(|name, _| names.contains(name.as_str()));
                self.first_schedules.ends();
            }
            Change::Listed(Things::Runs) => {
                self.first_runs.ends();
                for id in std::mem::take(&mut self.missing_runs) {
                    self.forget_run(&id);
                }
            }
            Change::Schedule(scheduled) => {
                let name = scheduled.schedule.name.clone();
                self.missing_schedules.remove(&name);
                let known = Known {
                    scheduled: *scheduled,
                    intervals,
                };
                self.know_schedule(name, known);
            }
            Change::ScheduleGone(name) => self.forget_schedule(&name),
            Change::Run(run) => return self.take(*run),
            Change::RunGone(id) => self.forget_run(&id),
        }
        None
    }

    pub(super) fn overview(&self, known: &Known, now: Timestamp) -> Overview {
        Overview {
            schedule: known.scheduled.schedule.clone(),
            protection: self.protection(known, now),
            verification: self.verification(&known.scheduled),
        }
    }

    pub(super) fn protection(&self, known: &Known, now: Timestamp) -> Protection {
        let Known {
            scheduled:
                Scheduled {
                    schedule,
                    created,
                    suspended,
                    last_success,
                    drills: _,
                },
            intervals: [interval, _],
        } = known;
        let soon = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
        let place = schedule.plan.source.place();
        let of_all = self.histories.get(schedule.name.as_str());
        // What it has done for another database protects this one in nothing.
        let others = of_all.into_iter().flatten().filter(|(of, _)| **of != place);
        let of_others = others.filter_map(|(_, it)| it.last_success).max();
        let history = of_all.and_then(|it| it.get(&place));
        let mut history = history.cloned().unwrap_or_default();
        history.remember(last_success.filter(|it| *it <= soon && Some(*it) > of_others));
        let cron = &schedule.plan.cron;
        Protection {
            schedule: schedule.name.to_string(),
            database: place,
            created: *created,
            suspended: *suspended,
            next: if *suspended {
                None
            } else {
                cron.next_after(now)
            },
            interval: *interval,
            history,
        }
    }

    /// Of the same one it is what is kept that counts.
    fn verification(&self, scheduled: &Scheduled) -> Verification {
        let Scheduled {
            schedule, drills, ..
        } = scheduled;
        let kept = drills.shown_of(schedule).cloned().unwrap_or_default();
        self.shown(schedule).and(&kept)
    }

    /// Of what it has made for another database, or in another store, no drill says anything of it now.
    pub(super) fn shown(&self, schedule: &Schedule) -> Verification {
        let of_all = self.verifications.get(schedule.name.as_str());
        let own = of_all
            .into_iter()
            .flatten()
            .filter(|(it, _)| it.is_of(schedule));
        own.fold(Verification::default(), |known, (_, it)| known.and(it))
    }

    /// What metrics tell of a schedule's drills; none: it has none at times of its own, or rests.
    pub(super) fn verified(&self, known: &Known) -> Option<Verified> {
        let Known {
            scheduled,
            intervals: [_, interval],
        } = known;
        let schedule = &scheduled.schedule;
        schedule.verify().filter(|_| !scheduled.suspended)?;
        scheduled.drills.shown_of(schedule)?;
        let Verification { last, newest } = self.verification(scheduled);
        Some(Verified {
            schedule: schedule.name.to_string(),
            database: schedule.plan.source.place(),
            since: scheduled.drills.followed.since?,
            last,
            passed: newest.map(|it| it.passed),
            interval: *interval,
        })
    }

    fn remember_drill(&mut self, run: &Run) {
        let Some(drilled) = &run.drilled else { return };
        if let (Some(schedule), Some(verdict)) = (&drilled.schedule, Verdict::of(run)) {
            let of_all = self.verifications.entry(schedule.clone()).or_default();
            of_all.entry(drilled.clone()).or_default().add(verdict);
        }
    }

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
        if run.ended.is_some_and(|it| it <= soon) {
            self.remember_drill(&run);
        }
        if let Some(schedule) = &run.schedule
            && run.ended.is_none_or(|it| it <= soon)
        {
            let of_all = self.histories.entry(schedule.clone()).or_default();
            // Of an old one nobody knows the database: it is its schedule's.
            let known = schedule
                .parse()
                .ok()
                .and_then(|it: Name| self.schedules.get(&it));
            let own = || known.map(|it| it.scheduled.schedule.plan.source.place());
            let database = Some(run.database.clone()).filter(|it| !it.is_empty());
            let database = database.or_else(own).unwrap_or_default();
            of_all.entry(database).or_default().add(&run);
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

    pub(super) fn of_place(&self, plan: &Plan) -> impl Iterator<Item = &Schedule> {
        let names = self.by_place.get(&hash_of(plan)).into_iter().flatten();
        let known = names.filter_map(|it| self.schedules.get(it));
        let schedules = known.map(|it| &it.scheduled.schedule);
        // Two places may have one hash.
        schedules.filter(|it| it.plan.has_place_of(plan))
    }

    fn know_schedule(&mut self, name: Name, known: Known) {
        self.forget_place(&name);
        let place = hash_of(&known.scheduled.schedule.plan);
        self.by_place.entry(place).or_default().push(name.clone());
        self.schedules.insert(name, known);
    }

    fn forget_place(&mut self, name: &Name) {
        let Some(known) = self.schedules.get(name) else {
            return;
        };
        let place = hash_of(&known.scheduled.schedule.plan);
        if let Entry::Occupied(mut names) = self.by_place.entry(place) {
            names.get_mut().retain(|it| it != name);
            if names.get().is_empty() {
                names.remove();
            }
        }
    }

    fn forget_schedule(&mut self, name: &Name) {
        self.forget_place(name);
        self.schedules.remove(name);
        self.histories.remove(name.as_str());
        self.verifications.remove(name.as_str());
    }
}

fn hash_of(plan: &Plan) -> u64 {
    let mut hasher = DefaultHasher::new();
    plan.place().hash(&mut hasher);
    hasher.finish()
}

pub(super) fn is_untold(run: &Run) -> bool {
    !run.told && run.state.ending().is_some()
}
