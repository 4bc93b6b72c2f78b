//! What holds for any backups and any rules.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;

const ZONES: [&str; 5] = [
    "UTC",
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "America/Havana",
];

/// A backup that is there, with a name of its own.
#[derive(Clone, Debug)]
struct Made {
    name: String,
    time: Timestamp,
    whole: bool,
    hold: Option<Hold>,
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn backups() -> impl Strategy<Value = Vec<Made>> {
    let ages = prop_oneof![
        // Many on one day, some over the years, few of the future.
        6 => 0i64..2_880,
        6 => 0i64..60_000,
        3 => 0i64..2_000_000,
        1 => -20_000i64..0,
    ];
    let hold = prop_oneof![8 => Just(None), 1 => Just(Some(Hold::Pinned)), 1 => Just(Some(Hold::Locked(None)))];
    let one = (ages, proptest::bool::weighted(0.9), hold);
    proptest::collection::vec(one, 0..12).prop_map(|all| {
        let named = all.into_iter().enumerate();
        named
            .map(|(number, (minutes, whole, hold))| Made {
                name: format!("{number:02}"),
                time: now() - SignedDuration::from_mins(minutes),
                whole,
                hold,
            })
            .collect()
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let count = || prop_oneof![3 => Just(0u32), 5 => 1u32..9, 1 => 9u32..400];
    let counts = (
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
    );
    let zones: Vec<Zone> = ZONES.iter().map(|it| it.parse().unwrap()).collect();
    (counts, 1u32..4, select(zones)).prop_map(|(counts, at_least, zone)| {
        let (last, hourly, daily, weekly, monthly, yearly, days) = counts;
        Rules {
            last: Retention(last),
            calendar: Calendar {
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                days,
            },
            at_least: AtLeast(at_least.try_into().unwrap()),
            zone,
        }
    })
}

/// The rules with one of them, by its number, as it says.
fn with(mut rules: Rules, number: usize, count: u32) -> Rules {
    *each(&mut rules)[number] = count;
    rules
}

fn each(rules: &mut Rules) -> [&mut u32; 7] {
    let Rules { last, calendar, .. } = rules;
    [
        &mut last.0,
        &mut calendar.hourly,
        &mut calendar.daily,
        &mut calendar.weekly,
        &mut calendar.monthly,
        &mut calendar.yearly,
        &mut calendar.days,
    ]
}

/// The names of those that go.
fn gone(all: &[Made], rules: &Rules) -> BTreeSet<String> {
    let candidates: Vec<Candidate<'_>> = all
        .iter()
        .map(|it| Candidate {
            name: &it.name,
            time: it.time,
            whole: it.whole,
            hold: it.hold,
        })
        .collect();
    let decisions = decide(&candidates, rules, now(), None);
    let goes = candidates.iter().zip(decisions).filter(|it| it.1.goes());
    goes.map(|(it, _)| it.name.to_owned()).collect()
}

/// Without two gaps of one size there is a pause, and these are about what is gone without it.
fn is_paused(all: &[Made]) -> bool {
    let mut times: Vec<Timestamp> = all.iter().map(|it| it.time).collect();
    times.retain(|it| *it <= now() + AHEAD);
    times.sort_by_key(|it| Reverse(*it));
    gap(&times).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn the_newest_complete_ones_and_what_is_held_never_go(all in backups(), rules in rules()) {
        let gone = gone(&all, &rules);
        let mut whole: Vec<&Made> = all.iter().filter(|it| it.whole).collect();
        whole.sort_by_key(|it| Reverse((it.time, &it.name)));
        let now = now() + AHEAD;
        let counted = whole.iter().filter(|it| it.time <= now);
        for it in counted.take(rules.at_least.count()) {
            prop_assert!(!gone.contains(&it.name), "{it:?}");
        }
        for it in all.iter().filter(|it| it.hold.is_some() || it.time > now) {
            prop_assert!(!gone.contains(&it.name), "{it:?}");
        }
    }

    #[test]
    fn a_larger_count_of_a_rule_never_removes_more(
        all in backups(), rules in rules(), number in 0usize..7, count in 1u32..300, more in 1u32..300,
    ) {
        let few = gone(&all, &with(rules.clone(), number, count));
        let many = gone(&all, &with(rules, number, count + more));
        prop_assert!(many.is_subset(&few), "{many:?} {few:?}");
    }

    #[test]
    fn one_more_rule_beside_others_never_removes_more(
        all in backups(), rules in rules(), number in 0usize..7, count in 1u32..300,
    ) {
        let without = with(rules, number, 0);
        prop_assume!(!without.is_empty());
        let few = gone(&all, &without);
        let many = gone(&all, &with(without, number, count));
        prop_assert!(many.is_subset(&few), "{many:?} {few:?}");
    }

    #[test]
    fn what_is_left_stays_when_it_is_asked_again(all in backups(), rules in rules()) {
        let first = gone(&all, &rules);
        let left: Vec<Made> = all.into_iter().filter(|it| !first.contains(&it.name)).collect();
        prop_assert_eq!(gone(&left, &rules), BTreeSet::new());
    }

    #[test]
    fn the_order_of_the_listing_changes_nothing(
        (all, shuffled) in backups().prop_flat_map(|it| (Just(it.clone()), Just(it).prop_shuffle())),
        rules in rules(),
    ) {
        prop_assert_eq!(gone(&all, &rules), gone(&shuffled, &rules));
    }

    #[test]
    fn what_goes_is_what_goes_by_every_single_rule(all in backups(), rules in rules()) {
        prop_assume!(!rules.is_empty() && !is_paused(&all));
        let mut counts = rules.clone();
        let counts: Vec<u32> = each(&mut counts).into_iter().map(|it| *it).collect();
        let mut none = rules.clone();
        for it in each(&mut none) {
            *it = 0;
        }
        let single = (0..7).filter(|it| counts[*it] > 0).map(|it| {
            gone(&all, &with(none.clone(), it, counts[it]))
        });
        let by_all = single.reduce(|one, other| one.intersection(&other).cloned().collect());
        prop_assert_eq!(gone(&all, &rules), by_all.unwrap_or_default());
    }

    #[test]
    fn a_pin_keeps_its_backup_and_changes_nothing_for_others(
        all in backups(), rules in rules(), number in 0usize..12,
    ) {
        let Some(number) = number.checked_rem(all.len()) else {
            return Ok(());
        };
        let before = gone(&all, &rules);
        let mut pinned = all;
        pinned[number].hold = Some(Hold::Pinned);
        let mut expected = before;
        expected.remove(&pinned[number].name);
        let after = gone(&pinned, &rules);
        prop_assert!(after.is_subset(&expected) && expected.is_subset(&after));
    }
}
