//! When a drill is due, and of which Backup it is.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::told::VERIFIED;
use crate::domain::cron::Cron;
use crate::domain::drilled::OTHERWISE;
use crate::domain::drills::{self, Followed};
pub(super) use crate::domain::drills::{Next, Occasion};
use crate::domain::run::Ending;
use crate::domain::verified::Verified;
use crate::operator::crd::{
    Backup, BackupSchedule, BackupScheduleSpec, BackupScheduleStatus, Chosen, Verification, Verify,
};
use crate::operator::restore::source::{Found, found};
use crate::operator::runs;
use crate::operator::schedule::cron;

/// What comes next of a schedule that has no drill under way, and the times that are followed from now on.
pub(super) fn next(
    before: &Verification,
    cron: &Cron,
    (is_resumed, asked): (bool, Option<&String>),
    now: Timestamp,
) -> (Verification, Next) {
    let time = |it: &Option<Time>| it.as_ref().map(|it| it.0);
    let followed = Followed {
        times: before.followed.clone(),
        since: time(&before.followed_since),
        last: time(&before.last_schedule_time),
        asked: before.asked.clone(),
    };
    let (followed, next) = drills::next(&followed, cron, (is_resumed, asked), now);
    let after = Verification {
        followed: followed.times,
        followed_since: followed.since.map(Time),
        ..before.clone()
    };
    (after, next)
}

/// The newest Backup that is complete, and what it has stored.
pub(super) fn newest(own: &[Backup]) -> Option<(&Backup, Found)> {
    let complete = own.iter().filter_map(|it| {
        let at = it.status.as_ref()?.completed_at.as_ref()?.0;
        let is_there = it.metadata.deletion_timestamp.is_none();
        Some((at, it.name_any(), it, found(it).filter(|_| is_there)?))
    });
    let newest = complete.max_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    newest.map(|(_, _, backup, found)| (backup, found))
}

/// The times of a schedule's drills, by its own clocks where they have none.
pub(super) fn times(spec: &BackupScheduleSpec, verify: &Verify) -> Result<Cron, String> {
    let zone = verify.time_zone.as_deref().or(spec.time_zone.as_deref());
    cron(&verify.schedule, zone)
}

/// What a schedule is called among those of all namespaces.
pub(super) fn key(object: &BackupSchedule) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// What metrics tell of a schedule's drills; none: it has none.
pub(super) fn shown(
    object: &BackupSchedule,
    status: &BackupScheduleStatus,
    own: &[Backup],
) -> Option<Verified> {
    let verify = object.spec.verify.as_ref()?;
    let verification = status.verification.as_ref()?;
    let stored = verification
        .chosen
        .as_ref()
        .and_then(|it| it.stored.clone());
    let stored = stored.or_else(|| newest(own)?.1.stored);
    let mut conditions = status.conditions.iter().flatten();
    let verified = conditions.find(|it| it.type_ == VERIFIED);
    Some(Verified {
        schedule: key(object),
        database: stored.map(|it| it.source).unwrap_or_default(),
        since: verification.followed_since.as_ref()?.0,
        last: verification.last_verified_at.as_ref().map(|it| it.0),
        passed: verified
            .filter(|it| it.status != "Unknown")
            .map(|it| it.status == "True"),
        interval: times(&object.spec, verify).ok()?.longest_interval(),
    })
}

/// What is known once a drill is about to begin.
pub(super) fn chosen(
    before: Verification,
    occasion: &Occasion,
    backup: &str,
    chosen: &Chosen,
) -> Verification {
    Verification {
        last_schedule_time: Some(runs::second(occasion.at)),
        asked: occasion.asked.clone().or(before.asked),
        backup: Some(backup.to_owned()),
        path: Some(chosen.path.clone()),
        chosen: Some(chosen.clone()),
        run: None,
        started_at: None,
        ..before
    }
}

/// Whether an administrator permits an image: whole, or by what it begins with where a star ends that.
pub(super) fn permits(images: &[String], image: &str) -> bool {
    images.iter().any(|it| match it.strip_suffix('*') {
        Some(start) => image.starts_with(start),
        None => it == image,
    })
}

/// Why a drill has not passed: one word, and a sentence. None: it has.
pub(super) fn why(ending: &Ending) -> Option<(&'static str, String)> {
    let (reason, why) = runs::failure(ending)?;
    match ending {
        Ending::Failed {
            exit_code: Some(OTHERWISE),
            ..
        } => Some(("NotAsDumped", why)),
        _ => Some((reason, format!("the drill could not be done: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::{BackupSpec, BackupStatus};
    use crate::operator::spec_hash;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn time(text: &str) -> Option<Time> {
        Some(Time(at(text)))
    }

    fn weekly() -> Cron {
        "0 6 * * 0".parse().unwrap()
    }

    fn followed() -> Verification {
        Verification {
            followed: Some(weekly().to_string()),
            followed_since: time("2026-01-01T00:00:00Z"),
            ..Verification::default()
        }
    }

    /// Issue 14, section 3: its status says which times are followed, and which was the last.
    #[test]
    fn a_status_keeps_which_times_are_followed_and_whose_drill_was_last() {
        let now = at("2026-01-05T00:00:00Z");
        let (after, due) = next(&followed(), &weekly(), (false, None), now);
        assert_eq!(after, followed());
        let Next::Begin(occasion) = due else {
            panic!("{due:?}");
        };
        let after = chosen(after, &occasion, "b", &Chosen::default());
        assert_eq!(after.last_schedule_time, time("2026-01-04T06:00:00Z"));
        let (_, rests) = next(&after, &weekly(), (false, None), now);
        assert_eq!(rests, Next::Rest(Some(at("2026-01-11T06:00:00Z"))));
        let (resumed, _) = next(&followed(), &weekly(), (true, None), now);
        assert_eq!(resumed.followed_since, Some(Time(now)));
    }

    #[test]
    fn whoever_asks_by_the_annotation_has_one_drill_for_each_of_its_values() {
        let now = at("2026-01-03T12:00:00Z");
        let one = "1".to_owned();
        let (_, next_one) = next(&followed(), &weekly(), (false, Some(&one)), now);
        let Next::Begin(first) = next_one else {
            panic!("{next_one:?}");
        };
        assert_eq!(first.asked.as_deref(), Some("1"));
        let kept = Chosen::default();
        let after = chosen(followed(), &first, "b", &kept);
        let (_, rests) = next(&after, &weekly(), (false, Some(&one)), now);
        assert!(matches!(rests, Next::Rest(_)), "{rests:?}");
        let two = "2".to_owned();
        let (_, again) = next(&after, &weekly(), (false, Some(&two)), now);
        let Next::Begin(second) = again else {
            panic!("{again:?}");
        };
        assert_ne!(first.word(), second.word());
        let by_time = Occasion {
            at: now,
            asked: None,
        };
        assert_ne!(by_time.word(), second.word());
    }

    fn backup(name: &str, phase: &str, ended: &str) -> Backup {
        let mut object = Backup::new(name, BackupSpec::default());
        object.status = Some(BackupStatus {
            phase: Some(phase.to_owned()),
            path: Some(format!("a/{name}.sql.gz")),
            completed_at: time(ended),
            spec_hash: spec_hash::of_backup(&object.spec).ok(),
            ..BackupStatus::default()
        });
        object
    }

    #[test]
    fn the_newest_backup_that_is_complete_is_proved() {
        let mut going = backup("going", "Completed", "2026-01-05T00:00:00Z");
        going.metadata.deletion_timestamp = time("2026-01-06T00:00:00Z");
        let all = [
            backup("old", "Completed", "2026-01-01T00:00:00Z"),
            backup("new", "Completed", "2026-01-02T00:00:00Z"),
            backup("failed", "Failed", "2026-01-03T00:00:00Z"),
            backup("running", "Running", "2026-01-04T00:00:00Z"),
            going,
        ];
        let (newest_one, found) = newest(&all).unwrap();
        assert_eq!(newest_one.name_any(), "new");
        assert_eq!(found.path, "a/new.sql.gz");
        assert!(newest(&all[2..]).is_none());
    }

    /// Whoever may write a BackupSchedule does not run programs beside the workers.
    #[test]
    fn an_image_is_the_administrators_to_permit() {
        let all = ["postgres:*".to_owned(), "registry.local/pg:17".to_owned()];
        for image in ["postgres:17", "postgres:18.1", "registry.local/pg:17"] {
            assert!(permits(&all, image), "{image}");
        }
        for image in [
            "registry.local/pg:18",
            "postgres-evil:1",
            "x/postgres:17",
            "",
        ] {
            assert!(!permits(&all, image), "{image}");
        }
        assert!(!permits(&[], "postgres:17"));
    }

    #[test]
    fn a_backup_that_is_not_what_was_dumped_is_told_apart_from_a_drill_that_could_not_be_done() {
        let failed =
            |code| Ending::failed("BackoffLimitExceeded", Some(code), Some("said".to_owned()));
        assert_eq!(why(&failed(3)), Some(("NotAsDumped", "said".to_owned())));
        let (reason, said) = why(&failed(1)).unwrap();
        assert_eq!(reason, "BackoffLimitExceeded");
        assert_eq!(said, "the drill could not be done: said");
        assert!(why(&Ending::Succeeded { message: None }).is_none());
    }
}
