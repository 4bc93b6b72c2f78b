//! When a BackupSchedule is due.

use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest as _, Sha256};

use crate::domain::cron::Cron;
use crate::operator::crd::BackupScheduleStatus;

/// What an object's name may have, less what a time has.
const NAME: usize = 253 - "-YYYYMMDD-HHMM".len();

/// Notes which times a schedule follows. What was due before it followed them is made no more: neither while it
/// was suspended, nor by other times.
pub(super) fn follow(status: &mut BackupScheduleStatus, cron: &Cron, now: Timestamp) {
    let times = cron.to_string();
    let is_resumed = status.phase.as_deref() == Some("Suspended");
    let are_others = status.followed.as_ref().is_some_and(|it| *it != times);
    if is_resumed || are_others {
        status.followed_since = Some(Time(now));
    }
    status.followed = Some(times);
}

/// After when times count: the last backup, or else the object's beginning.
pub(super) fn base(
    status: &BackupScheduleStatus,
    created: Option<&Time>,
    now: Timestamp,
) -> Timestamp {
    let last = status.last_backup_time.as_ref().or(created);
    let last = last.map_or(now, |it| it.0);
    let since = status.followed_since.as_ref().map(|it| it.0);
    since.map_or(last, |it| it.max(last))
}

/// The name of the Backup of a time, in UTC.
pub(super) fn name(schedule: &str, slot: Timestamp) -> String {
    let slot = slot.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M");
    if schedule.len() <= NAME {
        return format!("{schedule}-{slot}");
    }
    let hash = hex::encode(&Sha256::digest(schedule)[..4]);
    let begin: String = schedule.chars().take(NAME - hash.len() - 1).collect();
    format!("{}-{hash}-{slot}", begin.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slots::due;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(text: &str) -> Cron {
        text.parse().unwrap()
    }

    /// operator.md, K3 and W19.
    #[test]
    fn a_backup_has_the_name_of_its_time_in_utc() {
        for (time, expected) in [
            ("2026-01-20T14:45:00Z", "nightly-backup-20260120-1445"),
            ("2026-01-20T16:30:00+01:00", "nightly-backup-20260120-1530"),
            ("2026-01-20T00:00:00Z", "nightly-backup-20260120-0000"),
            ("2026-12-31T23:59:00Z", "nightly-backup-20261231-2359"),
            ("2028-02-29T02:00:00Z", "nightly-backup-20280229-0200"),
        ] {
            assert_eq!(name("nightly-backup", at(time)), expected);
        }
        let long = name(&"x".repeat(253), at("2026-01-20T14:45:00Z"));
        assert!(
            long.len() <= 253 && long.ends_with("-20260120-1445"),
            "{long}"
        );
    }

    /// operator.md, K4.
    #[test]
    fn times_count_from_the_last_backup_or_the_objects_beginning() {
        let now = at("2026-01-20T12:00:00Z");
        let created = Some(Time(at("2026-01-19T12:00:00Z")));
        let mut status = BackupScheduleStatus::default();
        assert_eq!(
            base(&status, created.as_ref(), now),
            at("2026-01-19T12:00:00Z")
        );
        status.last_backup_time = Some(Time(at("2026-01-20T02:00:01Z")));
        assert_eq!(
            base(&status, created.as_ref(), now),
            at("2026-01-20T02:00:01Z")
        );
    }

    /// operator.md, K5; operator-rules.md, decided 11.
    #[test]
    fn what_was_due_while_it_was_suspended_or_followed_other_times_is_not_made() {
        let now = at("2026-01-20T12:00:00Z");
        let mut status = BackupScheduleStatus {
            phase: Some("Active".to_owned()),
            last_backup_time: Some(Time(at("2026-01-10T00:00:00Z"))),
            ..BackupScheduleStatus::default()
        };
        let slot = |status: &BackupScheduleStatus, text: &str| {
            due(&cron(text), base(status, None, now), now, None).slot
        };
        // One of dbtether's is taken over as it is.
        follow(&mut status, &cron("0 2 * * *"), now);
        assert!(slot(&status, "0 2 * * *").is_some());
        let mut other = status.clone();
        follow(&mut other, &cron("0 3 * * *"), now);
        assert!(slot(&other, "0 3 * * *").is_none());
        let mut resumed = status.clone();
        resumed.phase = Some("Suspended".to_owned());
        follow(&mut resumed, &cron("0 2 * * *"), now);
        assert!(slot(&resumed, "0 2 * * *").is_none());
    }
}
