//! When a drill is due.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::cron::Cron;
use crate::domain::slots;

/// Which times are followed, and how far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Followed {
    /// The times, in their zone; none: none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The time whose drill was begun last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// What somebody has last asked for a drill with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// What comes next of a schedule that has no drill under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until then.
    Rest(Option<Timestamp>),
    /// A drill.
    Begin(Occasion),
}

/// What a drill is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// The time whose drill it is.
    pub at: Timestamp,
    /// What somebody has asked for it with; none: its time has come.
    pub asked: Option<String>,
}

impl Occasion {
    /// What tells its request from others' of the schedule.
    #[must_use]
    pub fn word(&self) -> String {
        match &self.asked {
            Some(asked) => format!("verify-asked-{}", hex::encode(&Sha256::digest(asked)[..8])),
            None => format!("verify-{}", self.at.as_second()),
        }
    }
}

/// What comes next, and the times that are followed from now on. Of times that were missed one drill is made; what
/// was due before its times were followed, or while the schedule was suspended, is made no more.
#[must_use]
pub fn next(
    before: &Followed,
    cron: &Cron,
    (is_resumed, asked): (bool, Option<&String>),
    now: Timestamp,
) -> (Followed, Next) {
    let mut after = before.clone();
    let times = cron.to_string();
    if is_resumed || after.times.as_ref() != Some(&times) {
        after.since = Timestamp::from_second(now.as_second()).ok();
        after.times = Some(times);
    }
    if let Some(asked) = asked.filter(|it| before.asked.as_ref() != Some(*it)) {
        let occasion = Occasion {
            at: now,
            asked: Some(asked.clone()),
        };
        return (after, Next::Begin(occasion));
    }
    let since = after.last.max(after.since).unwrap_or(now);
    let due = slots::due(cron, since, now, None);
    let next = match due.slot {
        Some(at) => Next::Begin(Occasion { at, asked: None }),
        None => Next::Rest(due.next),
    };
    (after, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn weekly() -> Cron {
        "0 6 * * 0".parse().unwrap()
    }

    fn followed(last: Option<&str>) -> Followed {
        Followed {
            times: Some(weekly().to_string()),
            since: Some(at("2026-01-01T00:00:00Z")),
            last: last.map(at),
            asked: None,
        }
    }

    fn of(before: &Followed, now: &str) -> Next {
        next(before, &weekly(), (false, None), at(now)).1
    }

    fn slot(text: &str) -> Next {
        Next::Begin(Occasion {
            at: at(text),
            asked: None,
        })
    }

    /// Issue 14, section 3: a missed time is made up for once, and no time has two drills.
    #[test]
    fn each_time_has_one_drill_and_of_those_that_were_missed_the_last_has_one() {
        let never = followed(None);
        assert_eq!(
            of(&never, "2026-01-03T12:00:00Z"),
            Next::Rest(Some(at("2026-01-04T06:00:00Z")))
        );
        assert_eq!(
            of(&never, "2026-01-04T06:00:00Z"),
            slot("2026-01-04T06:00:00Z")
        );
        assert_eq!(
            of(&never, "2026-02-03T00:00:00Z"),
            slot("2026-02-01T06:00:00Z")
        );
        let done = followed(Some("2026-02-01T06:00:00Z"));
        assert_eq!(
            of(&done, "2026-02-03T00:00:00Z"),
            Next::Rest(Some(at("2026-02-08T06:00:00Z")))
        );
    }

    #[test]
    fn what_was_due_before_its_times_were_followed_or_while_it_rested_is_not_made() {
        let now = at("2026-02-03T00:00:00Z");
        let begins = |before: &Followed, is_resumed| {
            let (after, next) = next(before, &weekly(), (is_resumed, None), now);
            assert_eq!(after.times, Some(weekly().to_string()));
            matches!(next, Next::Begin(_))
        };
        assert!(!begins(&Followed::default(), false));
        assert!(!begins(&followed(None), true));
        let mut others = followed(None);
        others.times = Some("0 6 * * 1".to_owned());
        assert!(!begins(&others, false));
        assert!(begins(&followed(None), false));
    }
}
