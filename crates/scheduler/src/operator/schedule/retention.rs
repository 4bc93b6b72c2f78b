//! Which Backups of a BackupSchedule stay: by the rules of all our retention.

use backuper::retention::{Calendar, Candidate, Hold, Retention, Rules, decide};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::operator::crd::{Backup, RetentionPolicy};
use crate::operator::object::Phased as _;

/// Before Backups are looked through again, in seconds.
const PAUSE: i64 = 60;

/// Whether Backups may be looked through, by when that was done last.
pub(super) fn is_due(last: Option<&str>, now: Timestamp) -> bool {
    let last = last.and_then(|it| it.parse::<Timestamp>().ok());
    last.is_none_or(|it| now.as_second() - it.as_second() >= PAUSE)
}

/// The Backups that no rule keeps. Those that have failed keep no place: what cannot be restored protects nothing.
pub(super) fn gone<'a>(
    own: &'a [Backup],
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Vec<&'a Backup> {
    let named: Vec<(String, &Backup)> = own
        .iter()
        .filter(|it| it.metadata.deletion_timestamp.is_none())
        .map(|it| (it.name_any(), it))
        .collect();
    let candidates: Vec<Candidate<'_>> = named
        .iter()
        .map(|(name, backup)| {
            let status = backup.status.as_ref();
            let phase = status.and_then(|it| it.phase());
            let path = status.and_then(|it| it.path.as_deref());
            // What waited for its server is of the time when it began, and not of its slot.
            let began = status.and_then(|it| it.started_at.clone());
            Candidate {
                name,
                time: began.or(backup.creation_timestamp()).map_or(now, |it| it.0),
                // One that nobody can find cannot be restored.
                whole: phase == Some("Completed") && path.is_some_and(|it| !it.is_empty()),
                hold: match phase {
                    Some("Completed" | "Failed") => None,
                    _ => Some(Hold::Unfinished),
                },
            }
        })
        .collect();
    let decided = decide(&candidates, &rules(policy), now, None);
    let both = decided.into_iter().zip(named);
    both.filter(|(decision, _)| decision.goes())
        .map(|(_, (_, backup))| backup)
        .collect()
}

/// The rules; none: all stay.
fn rules(policy: &RetentionPolicy) -> Rules {
    let count = |it: Option<i32>| it.and_then(|it| u32::try_from(it).ok()).unwrap_or(0);
    Rules {
        last: Retention(count(policy.keep_last)),
        calendar: Calendar {
            daily: count(policy.keep_daily),
            weekly: count(policy.keep_weekly),
            monthly: count(policy.keep_monthly),
            ..Calendar::default()
        },
        ..Rules::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::operator::crd::{BackupSpec, BackupStatus};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn backup(name: &str, created: &str, phase: &str) -> Backup {
        let mut object = Backup::new(name, BackupSpec::default());
        object.metadata.creation_timestamp = Some(Time(at(created)));
        object.status = Some(BackupStatus {
            phase: Some(phase.to_owned()),
            path: (phase == "Completed").then(|| format!("x/{name}.sql.gz")),
            ..BackupStatus::default()
        });
        object
    }

    fn last(count: i32) -> RetentionPolicy {
        RetentionPolicy {
            keep_last: Some(count),
            ..RetentionPolicy::default()
        }
    }

    fn names(own: &[Backup], policy: &RetentionPolicy) -> Vec<String> {
        let gone = gone(own, policy, at("2026-01-20T12:00:00Z"));
        gone.into_iter().map(|it| it.name_any()).collect()
    }

    /// operator.md, K7.
    #[test]
    fn backups_are_looked_through_once_a_minute() {
        let now = at("2026-01-20T12:00:00Z");
        for (last, expected) in [
            (None, true),
            (Some(""), true),
            (Some("2026-01-20T11:59:30Z"), false),
            (Some("2026-01-20T11:59:00Z"), true),
            (Some("2026-01-20T11:58:00Z"), true),
            (Some("yesterday"), true),
        ] {
            assert_eq!(is_due(last, now), expected, "{last:?}");
        }
    }

    /// operator.md, K9.
    #[test]
    fn only_what_has_ended_goes() {
        let own = [
            backup("newest", "2026-01-20T10:00:00Z", "Completed"),
            backup("pending", "2026-01-19T05:00:00Z", "Pending"),
            backup("running", "2026-01-19T04:00:00Z", "Running"),
            backup("completed", "2026-01-19T03:00:00Z", "Completed"),
            backup("failed", "2026-01-19T02:00:00Z", "Failed"),
        ];
        assert_eq!(names(&own, &last(1)), ["completed", "failed"]);
    }

    /// Three failures in a row must not be what three good backups have to go for.
    #[test]
    fn a_backup_that_has_failed_takes_no_good_ones_place() {
        let own = [
            backup("f1", "2026-01-20T03:00:00Z", "Failed"),
            backup("f2", "2026-01-20T02:00:00Z", "Failed"),
            backup("good", "2026-01-20T01:00:00Z", "Completed"),
            backup("older", "2026-01-19T01:00:00Z", "Completed"),
            backup("old-failed", "2026-01-18T01:00:00Z", "Failed"),
        ];
        assert_eq!(names(&own, &last(2)), ["old-failed"]);
    }

    /// The last one that can be restored goes for none that nobody can find.
    #[test]
    fn a_backup_without_a_path_takes_no_good_ones_place() {
        let mut lost = backup("lost", "2026-01-20T03:00:00Z", "Completed");
        lost.status.as_mut().unwrap().path = None;
        let own = [lost, backup("good", "2026-01-19T01:00:00Z", "Completed")];
        assert!(!names(&own, &last(1)).contains(&"good".to_owned()));
    }

    /// After an outage: what was read today is of today, whenever it was due.
    #[test]
    fn a_backup_that_waited_is_of_the_day_when_it_began() {
        let mut late = backup("late", "2026-01-18T03:00:00Z", "Completed");
        late.status.as_mut().unwrap().started_at = Some(Time(at("2026-01-20T09:00:00Z")));
        let own = [
            backup("today", "2026-01-20T10:00:00Z", "Completed"),
            late,
            backup("before", "2026-01-18T02:00:00Z", "Completed"),
        ];
        let daily = RetentionPolicy {
            keep_daily: Some(5),
            ..RetentionPolicy::default()
        };
        assert_eq!(names(&own, &daily), ["late"]);
    }

    /// operator.md, K10.
    /// operator.md, T9.
    #[test]
    fn without_a_rule_nothing_goes() {
        let own = [
            backup("a", "2026-01-20T03:00:00Z", "Completed"),
            backup("b", "2025-01-20T02:00:00Z", "Completed"),
        ];
        for policy in [RetentionPolicy::default(), last(0), last(-1)] {
            assert!(names(&own, &policy).is_empty(), "{policy:?}");
        }
    }

    /// operator.md, W6: what another schedule or a person has made is not there to be judged; T3 and T4 by objects.
    #[test]
    fn the_four_rules_keep_what_any_of_them_keeps() {
        let own: Vec<Backup> = (10..=20)
            .flat_map(|day| {
                [2, 8].map(|hour| {
                    backup(
                        &format!("{day}-{hour}"),
                        &format!("2026-01-{day}T{hour:02}:00:00Z"),
                        "Completed",
                    )
                })
            })
            .collect();
        let policy = RetentionPolicy {
            keep_last: Some(3),
            keep_daily: Some(5),
            ..RetentionPolicy::default()
        };
        let gone = names(&own, &policy);
        let stays = own
            .iter()
            .map(|it| it.name_any())
            .filter(|it| !gone.contains(it));
        let stays: Vec<String> = stays.collect();
        assert_eq!(stays, ["16-8", "17-8", "18-8", "19-8", "20-2", "20-8"]);
    }

    /// operator.md, T5 to T8: the newest of each week, month and day, back to a moment and not to a midnight.
    #[test]
    fn the_newest_of_each_week_and_month_stays() {
        let daily_at_two = |months: &[(i32, i32)]| -> Vec<Backup> {
            let name = |(month, day): &(i32, i32)| {
                let year = if *month > 1 { 2025 } else { 2026 };
                let time = format!("{year}-{month:02}-{day:02}T02:00:00Z");
                backup(&format!("{month}-{day}"), &time, "Completed")
            };
            months.iter().map(name).collect()
        };
        let weeks = daily_at_two(&[(1, 20), (1, 18), (1, 13), (1, 11), (1, 4), (12, 28)]);
        let weekly = RetentionPolicy {
            keep_weekly: Some(3),
            ..RetentionPolicy::default()
        };
        // Monday begins an ISO week: the 18th ends the one of the 13th. 3 weeks before now is December 30.
        assert_eq!(names(&weeks, &weekly), ["1-13", "12-28"]);
        let months = daily_at_two(&[(1, 15), (12, 15), (11, 15), (10, 15), (9, 25), (9, 15)]);
        let monthly = RetentionPolicy {
            keep_monthly: Some(4),
            ..RetentionPolicy::default()
        };
        assert_eq!(names(&months, &monthly), ["9-15"]);
        let day = [1, 2, 3, 4, 5].map(|hour| {
            let time = format!("2026-01-20T0{hour}:00:00Z");
            backup(&format!("at-{hour}"), &time, "Completed")
        });
        let daily = RetentionPolicy {
            keep_daily: Some(1),
            ..RetentionPolicy::default()
        };
        assert_eq!(names(&day, &daily), ["at-1", "at-2", "at-3", "at-4"]);
        let all = RetentionPolicy {
            keep_last: Some(1),
            keep_daily: Some(2),
            ..weekly
        };
        assert_eq!(names(&weeks, &all), ["1-13", "12-28"]);
    }
}
