//! Single decisions; what holds for all of them, and the cases of the operator, are below.

mod properties;
mod upstream;

use super::*;

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn days_ago(days: i64, now: Timestamp) -> Timestamp {
    now - SignedDuration::from_hours(24 * days)
}

fn candidate(name: &str, time: Timestamp) -> Candidate<'_> {
    Candidate {
        name,
        time,
        whole: true,
        hold: None,
    }
}

fn rules(last: u32, days: u32, daily: u32) -> Rules {
    Rules {
        last: Retention(last),
        calendar: Calendar {
            days,
            daily,
            ..Calendar::default()
        },
        ..Rules::default()
    }
}

fn said(all: &[Candidate<'_>], rules: &Rules, pause: Option<Pause>) -> Vec<String> {
    let decisions = decide(all, rules, now(), pause);
    decisions.iter().map(ToString::to_string).collect()
}

#[test]
fn each_decision_says_why() {
    let mut all: Vec<_> = [0, 1, 2, 3, 40, 41]
        .into_iter()
        .map(|it| candidate("", days_ago(it, now())))
        .collect();
    all[4].hold = Some(Hold::Pinned);
    all.push(candidate("", now() + SignedDuration::from_hours(2)));
    let why = said(&all, &rules(1, 2, 3), None);
    assert_eq!(
        why,
        [
            "kept: one of the last 1",
            "kept: not older than 2 days",
            "kept: not older than 2 days",
            "kept: newest of 2026-11-23 (daily 3)",
            "kept: pinned",
            "goes: older than 2 days, and no rule keeps it",
            "kept: of the future, so a clock is or was wrong, and it does not count",
        ]
    );
    assert_eq!(
        said(&all[..2], &rules(1, 0, 0), None)[1],
        "goes: not one of the last 1"
    );
    assert_eq!(
        said(&all[..6], &rules(0, 0, 2), None)[5],
        "goes: no rule keeps it"
    );
}

#[test]
fn what_cannot_be_restored_stands_for_nothing_and_goes_in_its_turn() {
    let hour = SignedDuration::from_hours(1);
    let mut all = [
        candidate("a", now() - hour),
        candidate("b", now() - hour * 2),
        candidate("c", now() - hour * 3),
    ];
    all[0].whole = false;
    let goes = |all: &[Candidate<'_>], rules: &Rules| -> Vec<bool> {
        let decisions = decide(all, rules, now(), None);
        decisions.iter().map(Decision::goes).collect()
    };
    assert_eq!(goes(&all, &rules(1, 0, 0)), [false, false, true]);
    assert_eq!(goes(&all, &rules(0, 0, 1)), [false, false, true]);
    all[1].whole = false;
    assert_eq!(goes(&all, &rules(1, 0, 0)), [false, true, false]);
}

/// What a clock does that is a year ahead for all that looks at it.
#[test]
fn a_clock_that_has_jumped_removes_nothing_by_age() {
    let mut times: Vec<_> = (366..400).map(|it| days_ago(it, now())).collect();
    times.push(now());
    let all: Vec<_> = times.into_iter().map(|it| candidate("", it)).collect();
    let why = said(&all, &rules(0, 30, 7), None);
    assert!(why.iter().all(|it| it.starts_with("kept: ")), "{why:?}");
    assert!(why[0].contains("a clock has jumped"), "{why:?}");
    assert!(why[0].contains("366 days"), "{why:?}");
    // A count does not look at the clock.
    let why = said(&all, &rules(7, 0, 0), None);
    assert_eq!(why.iter().filter(|it| it.starts_with("goes: ")).count(), 28);
    // Who makes one backup a month is used to a month without.
    let monthly: Vec<_> = [0, 30, 61]
        .into_iter()
        .map(|it| candidate("", days_ago(it, now())))
        .collect();
    let why = said(&monthly, &rules(0, 7, 0), None);
    assert!(why[1].starts_with("goes: "), "{why:?}");
}

#[test]
fn a_pause_keeps_what_would_go_and_says_so() {
    let all: Vec<_> = (0..3)
        .map(|it| candidate("", days_ago(it, now())))
        .collect();
    for (pause, rules, pauses) in [
        (Pause::Restoring, rules(1, 0, 0), true),
        (Pause::Restoring, rules(0, 1, 0), true),
        (Pause::Failing, rules(0, 1, 0), true),
        (Pause::Failing, rules(1, 0, 0), false),
    ] {
        let why = said(&all, &rules, Some(pause));
        let kept = why[2].starts_with("kept: no rule keeps it, but ");
        assert_eq!(kept, pauses, "{why:?}");
    }
}
