//! The cases of the operator whose retention users know: with the same rules the same backups stay.

use jiff::Timestamp;

use super::super::*;

fn now() -> Timestamp {
    "2026-01-20T12:00:00Z".parse().unwrap()
}

/// Those of these times, `2026-01-20 02:00`, that stay.
fn kept<'a>(times: &[&'a str], rules: &Rules) -> Vec<&'a str> {
    kept_at(times, rules, now())
}

fn kept_at<'a>(times: &[&'a str], rules: &Rules, now: Timestamp) -> Vec<&'a str> {
    let candidates: Vec<Candidate<'_>> = times
        .iter()
        .map(|it| Candidate {
            name: it,
            time: format!("{}:00Z", it.replace(' ', "T")).parse().unwrap(),
            whole: true,
            hold: None,
        })
        .collect();
    let decisions = decide(&candidates, rules, now, None);
    let all = times.iter().zip(decisions);
    all.filter(|it| !it.1.goes()).map(|it| *it.0).collect()
}

fn last(count: u32) -> Rules {
    Rules {
        last: Retention(count),
        ..Rules::default()
    }
}

fn by(calendar: Calendar) -> Rules {
    Rules {
        calendar,
        ..Rules::default()
    }
}

fn daily(count: u32) -> Calendar {
    Calendar {
        daily: count,
        ..Calendar::default()
    }
}

const FILES: [&str; 13] = [
    "2026-01-20 10:00",
    "2026-01-20 02:00",
    "2026-01-19 02:00",
    "2026-01-18 02:00",
    "2026-01-17 02:00",
    "2026-01-16 02:00",
    "2026-01-15 02:00",
    "2026-01-14 02:00",
    "2026-01-13 02:00",
    "2026-01-06 02:00",
    "2025-12-30 02:00",
    "2025-12-15 02:00",
    "2025-11-15 02:00",
];

#[test]
fn t2_the_last_three_stay() {
    assert_eq!(kept(&FILES, &last(3)), &FILES[..3]);
}

#[test]
fn t3_the_newest_of_each_of_five_days_stays() {
    let mut files = FILES;
    // The cut-off is noon of the 15th.
    files[6] = "2026-01-15 11:59";
    let stay = [files[0], files[2], files[3], files[4], files[5]];
    assert_eq!(kept(&files, &by(daily(5))), stay);
    files[6] = "2026-01-15 12:00";
    assert_eq!(kept(&files, &by(daily(5))).last(), Some(&files[6]));
}

#[test]
fn t4_what_either_rule_keeps_stays_and_cut_offs_are_moments() {
    let rules = Rules {
        last: Retention(2),
        ..by(daily(7))
    };
    assert_eq!(kept(&FILES, &rules), &FILES[..8]);
}

#[test]
fn t5_the_newest_of_each_of_three_weeks_stays() {
    let weekly = [
        "2026-01-19 02:00",
        "2026-01-12 02:00",
        "2026-01-05 02:00",
        "2025-12-29 02:00",
        "2025-12-22 02:00",
    ];
    let rules = by(Calendar {
        weekly: 3,
        ..Calendar::default()
    });
    assert_eq!(kept(&weekly, &rules), &weekly[..3]);
}

#[test]
fn t6_the_newest_of_each_of_four_months_stays() {
    let monthly = [
        "2026-01-15 02:00",
        "2025-12-15 02:00",
        "2025-11-15 02:00",
        "2025-10-15 02:00",
        "2025-09-15 02:00",
    ];
    let rules = by(Calendar {
        monthly: 4,
        ..Calendar::default()
    });
    assert_eq!(kept(&monthly, &rules), &monthly[..4]);
}

#[test]
fn t7_of_five_on_one_day_the_newest_stays() {
    let day = [
        "2026-01-20 02:00",
        "2026-01-20 06:00",
        "2026-01-20 11:00",
        "2026-01-20 08:00",
        "2026-01-20 04:00",
    ];
    assert_eq!(kept(&day, &by(daily(1))), [day[2]]);
}

#[test]
fn t8_of_all_rules_the_union_stays() {
    let rules = Rules {
        last: Retention(1),
        ..by(Calendar {
            weekly: 3,
            monthly: 3,
            ..daily(2)
        })
    };
    // The 6th is the newest of its week; of the week from December 29 on, the 30th; the 15th of
    // December is another's month, and the 18th to 13th have newer ones in their weeks.
    let stay = [
        "2026-01-20 10:00",
        "2026-01-19 02:00",
        "2026-01-18 02:00",
        "2026-01-06 02:00",
        "2025-12-30 02:00",
        "2025-11-15 02:00",
    ];
    assert_eq!(kept(&FILES, &rules), stay);
}

#[test]
fn t9_nothing_is_asked_of_nothing() {
    assert!(kept(&[], &last(3)).is_empty());
}

#[test]
fn k10_without_a_rule_nothing_goes() {
    assert_eq!(kept(&FILES, &Rules::default()), FILES);
}

/// A month before March 31 is March 3.
#[test]
fn months_are_counted_as_the_operator_counts_them() {
    let rules = by(Calendar {
        monthly: 1,
        ..Calendar::default()
    });
    let now = "2026-03-31T12:00:00Z".parse().unwrap();
    let files = ["2026-03-03 12:00", "2026-03-03 11:00", "2026-03-02 12:00"];
    assert_eq!(kept_at(&files, &rules, now), [files[0]]);
    let only = ["2026-03-31 02:00", "2026-02-28 23:00", "2026-01-30 23:00"];
    assert_eq!(kept_at(&only, &rules, now), [only[0]]);
}

#[test]
fn the_newest_stays_however_old_it_is_and_as_many_as_are_said() {
    let files = ["2020-01-20 02:00", "2020-01-19 02:00", "2020-01-18 02:00"];
    let days = by(Calendar {
        days: 30,
        ..Calendar::default()
    });
    assert_eq!(kept(&files, &days), &files[..1]);
    let two = Rules {
        at_least: "2".parse().unwrap(),
        ..days
    };
    assert_eq!(kept(&files, &two), &files[..2]);
}
