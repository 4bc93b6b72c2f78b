//! What comes next of a schedule's drills.

use jiff::{SignedDuration, Timestamp};

use super::{Drills, Next, UnderWay, Verify, next};
use crate::domain::drilled::{Verdict, Verification};
use crate::domain::run::Run;
use crate::domain::schedule::Schedule;

/// How long a run that has just begun may not be known yet.
const UNKNOWN: SignedDuration = SignedDuration::from_secs(90);
/// How often a drill is begun again that the scheduler's own end has ended: one that ends the scheduler each time
/// must not do so for ever.
const AGAIN: u8 = 2;
/// How much of a worker's sentence is kept.
const SAID: usize = 1_000;

/// What is known of a schedule when it is asked what comes next.
#[expect(
    missing_debug_implementations,
    reason = "it borrows a function, and lives for one look"
)]
pub struct Facts<'a> {
    /// What it is.
    pub schedule: &'a Schedule,
    /// Whether it does not run for now.
    pub is_suspended: bool,
    /// What runs that are still known have shown of its backups, those too that a call has asked for.
    pub shown: Verification,
    /// The run of the drill that is under way, where that is known.
    pub run: Option<&'a Run>,
    /// Whether there is a backup, and nothing is being restored under the name of its drills; asked where one is due.
    pub may_begin: &'a (dyn Fn() -> bool + Sync),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Rest(Option<Timestamp>),
    /// Nothing until something has changed.
    Wait,
    /// What has come next is asked once more.
    Again,
    /// The drill that is under way has no run, and is to have one.
    Begin,
    /// This run is to be ended before anything is kept: nobody asks for it any more.
    Cancel(String),
}

/// What is to be kept, and then done.
#[must_use]
pub fn step(before: &Drills, facts: &Facts<'_>, now: Timestamp) -> (Drills, Step) {
    let schedule = facts.schedule;
    let place = Drills::place(schedule);
    let verify = schedule.verify();
    let (Some(verify), true) = (verify, before.are_none() || before.of == place) else {
        let of = verify.map(|_| place).unwrap_or_default();
        let after = Drills {
            of,
            ..Drills::default()
        };
        let run = before.under_way.as_ref().and_then(|it| it.run.clone());
        return match run.filter(|_| !has_ended(facts.run)) {
            Some(run) => (after, Step::Cancel(run)),
            None if verify.is_some() => (after, Step::Again),
            None => (after, Step::Rest(None)),
        };
    };
    let mut after = Drills {
        of: place,
        ..before.clone()
    };
    after.learn(&facts.shown);
    if let Some(under_way) = after.under_way.take() {
        return go_on(after, under_way, facts, now);
    }
    if facts.is_suspended {
        // When it goes on it follows them anew.
        after.followed.times = None;
        return (after, Step::Rest(None));
    }
    due(after, verify, facts, now)
}

fn has_ended(run: Option<&Run>) -> bool {
    run.is_some_and(|it| it.state.ending().is_some())
}

/// What comes of a drill that is under way; `after` has none.
fn go_on(
    mut after: Drills,
    under_way: UnderWay,
    facts: &Facts<'_>,
    now: Timestamp,
) -> (Drills, Step) {
    let Some(name) = under_way.run.clone() else {
        after.under_way = Some(under_way);
        return (after, Step::Begin);
    };
    match facts.run.map(|it| (it, it.state.ending())) {
        Some((_, None)) => {
            after.under_way = Some(under_way);
            (after, Step::Wait)
        }
        Some((run, Some(ending))) => {
            if ending.is_interrupted() {
                return interrupted(after, under_way, facts, now);
            }
            if let Some(verdict) = Verdict::of(run) {
                after.add(verdict);
            }
            (after, Step::Again)
        }
        None if under_way.since.duration_until(now) < UNKNOWN => {
            after.under_way = Some(under_way);
            (after, Step::Wait)
        }
        None => {
            let why = "the drill's run was deleted before anybody heard what it has shown";
            (after.failed(name, why, now), Step::Again)
        }
    }
}

/// It has shown nothing, and is made once more.
fn interrupted(
    mut after: Drills,
    under_way: UnderWay,
    facts: &Facts<'_>,
    now: Timestamp,
) -> (Drills, Step) {
    let UnderWay {
        request,
        run,
        again,
        ..
    } = under_way;
    if facts.is_suspended {
        return (after, Step::Again);
    }
    if again >= AGAIN {
        let why = "the drill did not end before the scheduler did, each time that it was made; look at the machine's memory and disk";
        return (after.failed(run.unwrap_or_default(), why, now), Step::Again);
    }
    let again = again + 1;
    // The first one's name, and not that of the one before it, has the number.
    let first = request.split('+').next().unwrap_or_default();
    after.under_way = Some(UnderWay {
        request: format!("{first}+{again}"),
        since: now,
        run: None,
        again,
    });
    (after, Step::Begin)
}

fn due(mut after: Drills, verify: &Verify, facts: &Facts<'_>, now: Timestamp) -> (Drills, Step) {
    let (followed, next) = next(&after.followed, &verify.cron, (false, None), now);
    after.followed = followed;
    let occasion = match next {
        Next::Rest(next) => return (after, Step::Rest(next)),
        Next::Begin(occasion) => occasion,
    };
    // What it is waited for tells of itself.
    if !(facts.may_begin)() {
        return (after, Step::Wait);
    }
    after.followed.last = Some(occasion.at);
    after.under_way = Some(UnderWay {
        request: occasion.word(),
        since: now,
        run: None,
        again: 0,
    });
    (after, Step::Begin)
}

impl Drills {
    /// The same, with the one under way as one that has failed, or could not be done.
    #[must_use]
    pub fn failed(mut self, run: String, why: &str, now: Timestamp) -> Self {
        self.under_way = None;
        self.add(Verdict {
            run,
            at: now,
            passed: false,
            key: None,
            compared: None,
            said: why.to_owned(),
        });
        self
    }

    /// Keeps what is newer than what is kept: those runs go.
    fn learn(&mut self, shown: &Verification) {
        self.shown.last = self.shown.last.max(shown.last);
        let kept = self.shown.newest.as_ref().map(|it| it.at);
        if let Some(newest) = shown.newest.clone().filter(|it| Some(it.at) > kept) {
            self.add(newest);
        }
    }

    fn add(&mut self, mut verdict: Verdict) {
        if let Some((end, _)) = verdict.said.char_indices().nth(SAID) {
            verdict.said.truncate(end);
        }
        self.shown.add(verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::drilled::Drilled;
    use crate::domain::kept;
    use crate::domain::run::{Component, Ending, State};
    use crate::engine::conformance;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn nightly() -> Schedule {
        let mut schedule = conformance::schedule("nightly");
        let verify = r#"{"verify":{"cron":"0 6 * * 0","sql":["SELECT 1"]}}"#;
        schedule.options = serde_json::from_str(verify).unwrap();
        schedule
    }

    fn run(schedule: &Schedule, ending: Option<Ending>) -> Run {
        let now = at("2026-01-04T06:05:00Z");
        Run {
            component: Component::Restore,
            name: "restore-1".to_owned(),
            id: "1".to_owned(),
            schedule: None,
            database: "db.example:5432/restore_drill_nightly".to_owned(),
            drilled: Some(Drilled {
                schedule: Some(schedule.name.to_string()),
                source: schedule.plan.source.place(),
                store: schedule.plan.store.place(),
            }),
            ended: ending.as_ref().map(|_| now),
            state: ending.map_or(State::Running, State::Ended),
            created: now,
            started: Some(now),
            told: false,
        }
    }

    fn facts<'a>(schedule: &'a Schedule, run: Option<&'a Run>) -> Facts<'a> {
        Facts {
            schedule,
            is_suspended: false,
            shown: Verification::default(),
            run,
            may_begin: &|| true,
        }
    }

    /// Followed since the first of January.
    fn followed(schedule: &Schedule) -> Drills {
        let facts = facts(schedule, None);
        let (first, rests) = step(&Drills::default(), &facts, at("2026-01-01T00:00:00Z"));
        assert_eq!(rests, Step::Rest(Some(at("2026-01-04T06:00:00Z"))));
        first
    }

    /// With the first drill begun as this run.
    fn begun(schedule: &Schedule) -> Drills {
        let facts = facts(schedule, None);
        let (mut after, begins) = step(&followed(schedule), &facts, at("2026-01-04T06:00:01Z"));
        assert_eq!(begins, Step::Begin);
        let under_way = after.under_way.as_mut().unwrap();
        assert_eq!(under_way.request, "verify-1767506400");
        under_way.run = Some("restore-1".to_owned());
        after
    }

    fn failed(reason: &str, exit_code: Option<i32>) -> Option<Ending> {
        Some(Ending::failed(
            reason,
            exit_code,
            Some("it said no".to_owned()),
        ))
    }

    /// Issue 14, section 3: a drill at its time, told when it has ended, and not twice, whoever reads what was kept.
    #[test]
    fn a_time_has_one_drill_whose_end_is_kept_and_that_a_restart_does_not_make_again() {
        let schedule = nightly();
        let kept = |it: &Drills| kept::read::<Drills>(&kept::write(it).unwrap()).unwrap();
        // Nobody could keep that it has begun.
        let (before, _) = step(
            &followed(&schedule),
            &facts(&schedule, None),
            at("2026-01-04T06:00:01Z"),
        );
        let (same, begins) = step(
            &kept(&before),
            &facts(&schedule, None),
            at("2026-01-04T07:00:00Z"),
        );
        assert_eq!((&same, begins), (&before, Step::Begin));
        let begun = kept(&begun(&schedule));
        let runs = run(&schedule, None);
        let now = at("2026-01-04T06:06:00Z");
        let (same, waits) = step(&begun, &facts(&schedule, Some(&runs)), now);
        assert_eq!((&same, waits), (&begun, Step::Wait));
        let message = "restore drill passed: shop/1 was restored into db:5432/x, all 2 tables are there with 7 rows; that database is dropped again (0.1 s)";
        let message = Some(message.to_owned());
        let passed = run(&schedule, Some(Ending::Succeeded { message }));
        let (after, again) = step(&begun, &facts(&schedule, Some(&passed)), now);
        assert_eq!(again, Step::Again);
        assert_eq!(after.shown.last, passed.ended);
        let after = kept(&after);
        let (same, rests) = step(&after, &facts(&schedule, None), now);
        assert_eq!(rests, Step::Rest(Some(at("2026-01-11T06:00:00Z"))));
        assert_eq!(same, after);
        // Of times that were missed there is one.
        let late = at("2026-03-01T12:00:00Z");
        let (after, begins) = step(&after, &facts(&schedule, None), late);
        assert_eq!(begins, Step::Begin);
        assert_eq!(after.followed.last, Some(at("2026-03-01T06:00:00Z")));
    }

    #[test]
    fn what_has_failed_is_told_and_what_somebody_has_cancelled_has_shown_nothing() {
        let schedule = nightly();
        let now = at("2026-01-04T06:06:00Z");
        let of = |ending| {
            let run = run(&schedule, ending);
            step(&begun(&schedule), &facts(&schedule, Some(&run)), now).0
        };
        let no = of(failed("Failed", Some(3)));
        let verdict = no.shown.newest.clone().unwrap();
        assert_eq!(
            (verdict.passed, verdict.said.as_str()),
            (false, "it said no")
        );
        assert_eq!(no.under_way, None);
        let cancelled = of(Some(Ending::Cancelled));
        assert_eq!(cancelled.shown, Verification::default());
        assert_eq!(cancelled.under_way, None);
        // Nobody knows it.
        let soon = at("2026-01-04T06:01:00Z");
        let (_, waits) = step(&begun(&schedule), &facts(&schedule, None), soon);
        assert_eq!(waits, Step::Wait);
        let (lost, _) = step(&begun(&schedule), &facts(&schedule, None), now);
        assert!(!lost.shown.newest.unwrap().passed);
    }

    #[test]
    fn a_drill_that_the_schedulers_end_has_ended_is_made_again_but_not_for_ever() {
        let schedule = nightly();
        let run = run(&schedule, failed("Interrupted", None));
        let now = at("2026-01-04T06:06:00Z");
        let mut drills = begun(&schedule);
        for expected in ["verify-1767506400+1", "verify-1767506400+2"] {
            let (after, begins) = step(&drills, &facts(&schedule, Some(&run)), now);
            assert_eq!(begins, Step::Begin);
            drills = after;
            let under_way = drills.under_way.as_mut().unwrap();
            assert_eq!(
                (under_way.request.as_str(), &under_way.run),
                (expected, &None)
            );
            under_way.run = Some("restore-1".to_owned());
        }
        let (after, _) = step(&drills, &facts(&schedule, Some(&run)), now);
        assert!(after.under_way.is_none() && !after.shown.newest.unwrap().passed);
    }

    /// Whoever has mended what was wrong proves it by a call, and its run is not kept for ever.
    #[test]
    fn what_a_drill_has_shown_that_a_call_has_asked_for_is_kept_too() {
        let schedule = nightly();
        let passed = run(&schedule, Some(Ending::Succeeded { message: None }));
        let mut shown = Verification::default();
        shown.add(Verdict::of(&passed).unwrap());
        let facts = Facts {
            shown: shown.clone(),
            ..facts(&schedule, None)
        };
        let before = followed(&schedule).failed(String::new(), "no", at("2026-01-04T05:00:00Z"));
        let (after, _) = step(&before, &facts, at("2026-01-03T06:06:00Z"));
        assert_eq!(after.shown, shown);
        let later = before.failed(String::new(), "no", at("2026-01-04T07:00:00Z"));
        let (after, _) = step(&later, &facts, at("2026-01-03T06:06:00Z"));
        assert!(!after.shown.newest.unwrap().passed);
        assert_eq!(after.shown.last, passed.ended);
        // One that the scheduler's end has ended has shown nothing.
        let cut = run(&schedule, failed("Interrupted", None));
        assert_eq!(Verdict::of(&cut), None);
    }

    #[test]
    fn one_that_is_due_waits_for_a_backup_and_for_what_is_being_restored_there() {
        let schedule = nightly();
        let now = at("2026-01-05T00:00:00Z");
        let facts = Facts {
            may_begin: &|| false,
            ..facts(&schedule, None)
        };
        let (after, waits) = step(&followed(&schedule), &facts, now);
        assert_eq!((after, waits), (followed(&schedule), Step::Wait));
    }

    #[test]
    fn what_was_due_while_it_was_suspended_is_not_made_and_what_runs_goes_on() {
        let schedule = nightly();
        let suspended = || Facts {
            is_suspended: true,
            ..facts(&schedule, None)
        };
        let (rests, step_) = step(
            &followed(&schedule),
            &suspended(),
            at("2026-01-02T00:00:00Z"),
        );
        assert_eq!(step_, Step::Rest(None));
        let (after, next) = step(&rests, &facts(&schedule, None), at("2026-01-05T00:00:00Z"));
        assert_eq!(next, Step::Rest(Some(at("2026-01-11T06:00:00Z"))));
        assert_eq!(after.followed.since, Some(at("2026-01-05T00:00:00Z")));
        let runs = run(&schedule, None);
        let facts = Facts {
            run: Some(&runs),
            ..suspended()
        };
        let begun = begun(&schedule);
        let (same, waits) = step(&begun, &facts, at("2026-01-04T06:06:00Z"));
        assert_eq!((same, waits), (begun, Step::Wait));
    }

    #[test]
    fn of_what_is_not_to_be_verified_any_more_or_is_another_database_nothing_is_kept() {
        let schedule = nightly();
        let mut without = schedule.clone();
        without.options = None;
        let mut moved = schedule.clone();
        moved.plan.source.name = "crm".to_owned();
        let now = at("2026-01-04T06:06:00Z");
        let ended = run(&schedule, Some(Ending::Cancelled));
        for (schedule_, of) in [(&without, String::new()), (&moved, Drills::place(&moved))] {
            let (after, ends) = step(&begun(&schedule), &facts(schedule_, None), now);
            assert_eq!(ends, Step::Cancel("restore-1".to_owned()));
            let expected = Drills {
                of,
                ..Drills::default()
            };
            assert_eq!(after, expected);
            let (after, none) = step(&begun(&schedule), &facts(schedule_, Some(&ended)), now);
            assert_eq!(after, expected);
            assert!(matches!(none, Step::Rest(None) | Step::Again));
        }
        assert_eq!(begun(&schedule).shown_of(&moved), None);
        // A list has no newest backup.
        let mut several = schedule.clone();
        several.plan.several = true;
        assert_eq!(several.verify(), None);
    }
}
