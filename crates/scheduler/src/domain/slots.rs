//! Which of a schedule's times are due.

use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The last time that has come and whose backup is to be made.
    pub slot: Option<Timestamp>,
    /// The time after that.
    pub next: Option<Timestamp>,
}

/// What is due after `base`. Of several times that have come only the last is: nobody needs three backups of now.
#[must_use]
pub fn due(cron: &Cron, base: Timestamp, now: Timestamp, deadline: Option<i64>) -> Due {
    let next = cron.next_after(now);
    let Some(slot) = last(cron, base, now) else {
        return Due { slot: None, next };
    };
    let late = now.as_second() - slot.as_second();
    let is_late = deadline.is_some_and(|it| late > it);
    Due {
        slot: Some(slot).filter(|_| !is_late),
        next,
    }
}

/// The last time after `base` and not after `now`.
fn last(cron: &Cron, base: Timestamp, now: Timestamp) -> Option<Timestamp> {
    // Nearby first: a schedule of every minute that was left alone for a year has come often.
    let hours = [2, 48, 40 * 24, 400 * 24];
    let nearby = hours.into_iter().filter_map(|it| {
        let from = now.checked_sub(SignedDuration::from_hours(it)).ok()?;
        (from > base).then_some(from)
    });
    let has_come = |from: Timestamp| cron.next_after(from).filter(|it| *it <= now);
    let first = nearby.chain([base]).find_map(has_come)?;
    let all = std::iter::successors(Some(first), |it| has_come(*it));
    all.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(text: &str) -> Cron {
        text.parse().unwrap()
    }

    #[test]
    fn of_times_that_were_missed_one_backup_is_made() {
        let daily = cron("0 2 * * *");
        let of = |base: &str, now: &str| due(&daily, at(base), at(now), None);
        let early = of("2026-01-20T02:00:01Z", "2026-01-20T12:00:00Z");
        assert_eq!(
            (early.slot, early.next),
            (None, Some(at("2026-01-21T02:00:00Z")))
        );
        let now = of("2026-01-20T02:00:01Z", "2026-01-21T02:00:00Z");
        assert_eq!(now.slot, Some(at("2026-01-21T02:00:00Z")));
        let missed = of("2026-01-16T02:00:01Z", "2026-01-20T12:00:00Z");
        assert_eq!(missed.slot, Some(at("2026-01-20T02:00:00Z")));
        assert_eq!(missed.next, Some(at("2026-01-21T02:00:00Z")));
        // One that comes each minute, after a year.
        let minutes = due(
            &cron("* * * * *"),
            at("2025-01-01T00:00:00Z"),
            at("2026-01-01T00:00:30Z"),
            None,
        );
        assert_eq!(minutes.slot, Some(at("2026-01-01T00:00:00Z")));
        // One that comes each fourth year.
        let leap = due(
            &cron("0 0 29 2 *"),
            at("2021-01-01T00:00:00Z"),
            at("2026-01-01T00:00:00Z"),
            None,
        );
        assert_eq!(leap.slot, Some(at("2024-02-29T00:00:00Z")));
    }

    #[test]
    fn one_that_is_too_late_is_left_out() {
        let of = |now: &str| {
            due(
                &cron("0 2 * * *"),
                at("2026-01-20T02:00:01Z"),
                at(now),
                Some(600),
            )
        };
        assert!(of("2026-01-21T02:10:00Z").slot.is_some());
        assert!(of("2026-01-21T02:10:01Z").slot.is_none());
    }
}
