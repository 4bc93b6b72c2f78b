//! Which backups to keep: times and rules in, a decision for each out.
//!
//! It knows neither folders nor a store, so whatever has a time can be judged: folders, single objects,
//! an operator's own records. A backup stays when any rule keeps it, and where there is no rule all stay.
//!
//! A rule of age or of a calendar depends on a clock, and clocks are wrong at times. So what is of the
//! future is neither counted nor removed, and such rules pause where nobody has made a backup for long,
//! whether that is so or only looks so.

pub mod calendar;
pub mod decision;
pub mod rules;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use calendar::{Period, Slot};
pub use decision::{Decision, Gone, Pause, Reason};
pub use rules::{AtLeast, Calendar, NotAZone, Retention, Rules, Zone};

/// How far a backup's time may be ahead of the clock.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// From here on a time without backups is looked at: less than that is nobody's mistake.
const GAP: SignedDuration = SignedDuration::from_hours(36);

/// A backup as retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name: of two that have one time, the later name is the newer one.
    pub name: &'a str,
    /// Whose age and place in the calendar count.
    pub time: Timestamp,
    /// Whether it could be restored, as far as anybody has looked: what could not stands for nothing.
    pub whole: bool,
    /// Why it stays whatever the rules say.
    pub hold: Option<Hold>,
}

/// Why a backup stays whatever the rules say. It is counted all the same, so that a hold makes no other
/// backup stay or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Somebody has pinned it.
    Pinned,
    /// The store lets nobody remove it: for good, or until then.
    Locked(Option<Timestamp>),
    /// It was just made.
    Made,
    /// By its name or by the store it is later than the one that was just made.
    Later,
    /// It is being made.
    Unfinished,
}

/// Judges each candidate, in their order. `pause` is a reason to remove nothing that the caller has.
#[must_use]
pub fn decide(
    candidates: &[Candidate<'_>],
    rules: &Rules,
    now: Timestamp,
    pause: Option<Pause>,
) -> Vec<Decision> {
    if rules.is_empty() {
        return vec![Decision::Kept(Reason::NoRule); candidates.len()];
    }
    let latest = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    let mut order: Vec<usize> = (0..candidates.len())
        .filter(|it| candidates[*it].time <= latest)
        .collect();
    order.sort_by_key(|it| Reverse((candidates[*it].time, candidates[*it].name)));
    let judge = Judge::new(rules, now);
    let mut decisions = vec![Decision::Kept(Reason::Future); candidates.len()];
    // What cannot be restored is measured with all there are, and so goes as it would have gone.
    for it in judge.kept(candidates, &order) {
        decisions[it.0] = it.1;
    }
    let whole: Vec<usize> = order
        .iter()
        .copied()
        .filter(|it| candidates[*it].whole)
        .collect();
    for it in judge.kept(candidates, &whole) {
        decisions[it.0] = it.1;
    }
    for it in whole.into_iter().take(rules.at_least.count()) {
        if decisions[it].goes() {
            decisions[it] = Decision::Kept(Reason::AtLeast(rules.at_least));
        }
    }
    for (it, decision) in candidates.iter().zip(&mut decisions) {
        match it.hold {
            // It is as late as that, and for a reason.
            Some(Hold::Later) if *decision == Decision::Kept(Reason::Future) => {}
            Some(hold) => *decision = Decision::Kept(Reason::Held(hold)),
            None => {}
        }
    }
    let times: Vec<Timestamp> = order.iter().map(|it| candidates[*it].time).collect();
    if let Some(pause) = pause.or_else(|| gap(&times)).filter(|it| it.stops(rules)) {
        for it in decisions.iter_mut().filter(|it| it.goes()) {
            *it = Decision::Kept(Reason::Paused(pause));
        }
    }
    decisions
}

/// Whether there was no backup for more than twice as long as ever before: a clock may have jumped, and
/// then all the others only look old. The next backup says that it is as late as that.
fn gap(newest_first: &[Timestamp]) -> Option<Pause> {
    let mut gaps = newest_first
        .windows(2)
        .map(|pair| pair[0].duration_since(pair[1]));
    let last = gaps.next().filter(|it| *it > GAP)?;
    let before = gaps.max().unwrap_or(SignedDuration::ZERO);
    (last / 2 > before).then_some(Pause::Gap(last))
}

/// The rules with their moments worked out.
struct Judge<'a> {
    rules: &'a Rules,
    /// What is from here on is young enough for RETENTION_DAYS.
    young: Option<Timestamp>,
    /// The parts of the calendar of which the newest is kept: with their counts, and since when.
    periods: Vec<(Period, u32, Timestamp)>,
}

impl<'a> Judge<'a> {
    fn new(rules: &'a Rules, now: Timestamp) -> Self {
        let now = now.to_zoned(rules.zone.time_zone());
        let days = rules.calendar.days;
        let periods = rules.calendar.periods();
        Self {
            rules,
            young: (days > 0).then(|| Period::Day.before(&now, days)),
            periods: periods
                .map(|(period, count)| (period, count, period.before(&now, count)))
                .collect(),
        }
    }

    /// What the rules say of those that are counted, the newest first.
    fn kept(&self, candidates: &[Candidate<'_>], order: &[usize]) -> Vec<(usize, Decision)> {
        let mut seen = HashSet::new();
        let each = order.iter().enumerate().map(|(place, it)| {
            let time = candidates[*it].time;
            let newest = self.newest(time, &mut seen);
            let reason = self.counted(place, time).or(newest);
            let goes = || Decision::Goes(self.rules.why_gone());
            (*it, reason.map_or_else(goes, Decision::Kept))
        });
        each.collect()
    }

    /// Whether it stays by its place or its age alone.
    fn counted(&self, place: usize, time: Timestamp) -> Option<Reason> {
        let last = self.rules.last;
        if place < last.count() {
            return Some(Reason::Last(last));
        }
        self.young
            .is_some_and(|since| time >= since)
            .then_some(Reason::Young(self.rules.calendar.days))
    }

    /// Whether it is the newest of some part of the calendar; `seen` has those of the ones before it.
    fn newest(&self, time: Timestamp, seen: &mut HashSet<Slot>) -> Option<Reason> {
        let wanted = self.periods.iter().filter(|(_, _, since)| time >= *since);
        let mut wanted = wanted.peekable();
        wanted.peek()?;
        let clock = time.to_zoned(self.rules.zone.time_zone());
        let mut reason = None;
        for (period, count, _) in wanted {
            let slot = period.slot(&clock);
            if seen.insert(slot) {
                reason = reason.or(Some(Reason::Newest(slot, *period, *count)));
            }
        }
        reason
    }
}
