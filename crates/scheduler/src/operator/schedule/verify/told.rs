//! What the status of a BackupSchedule tells of its drills.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::operator::crd::{BackupSchedule, BackupScheduleStatus, Verification};
use crate::operator::{now, runs, status};

/// Whether the last drill has passed.
pub(super) const VERIFIED: &str = "Verified";

/// The reason of times that are none.
pub(super) const INVALID: &str = "InvalidSchedule";

/// One that is not verified, by its spec.
pub(super) fn without(before: &BackupScheduleStatus) -> BackupScheduleStatus {
    let mut after = before.clone();
    after.verification = None;
    if let Some(conditions) = &mut after.conditions {
        conditions.retain(|it| it.type_ != VERIFIED);
    }
    after
}

/// One whose next drill is not due. What kept one from being made, and does no more, is not what the last has shown.
pub(super) fn resting(
    object: &BackupSchedule,
    before: &BackupScheduleStatus,
    verification: Verification,
) -> BackupScheduleStatus {
    let mut conditions = before.conditions.iter().flatten();
    let was_wrong = conditions.any(|it| it.type_ == VERIFIED && it.reason == INVALID);
    if !was_wrong && verification.waiting_since.is_none() {
        return BackupScheduleStatus {
            verification: Some(verification),
            ..before.clone()
        };
    }
    let verification = Verification {
        result: None,
        message: Some("no drill has been due at these times yet".to_owned()),
        waiting_since: None,
        ..verification
    };
    with(object, before, verification, ("Unknown", "Scheduled"))
}

/// One whose drill is due and waits.
pub(super) fn waiting(
    object: &BackupSchedule,
    before: &BackupScheduleStatus,
    verification: Verification,
    ((reason, why), now): ((&str, &str), Timestamp),
) -> BackupScheduleStatus {
    let since = verification.waiting_since.clone();
    let verification = Verification {
        result: None,
        message: Some(why.to_owned()),
        waiting_since: since.or_else(|| Some(runs::second(now))),
        ..verification
    };
    with(object, before, verification, ("Unknown", reason))
}

pub(super) fn running(
    object: &BackupSchedule,
    before: &BackupScheduleStatus,
    verification: Verification,
) -> BackupScheduleStatus {
    let backup = verification.backup.as_deref().unwrap_or_default();
    let verification = Verification {
        result: Some("Running".to_owned()),
        message: Some(format!("Backup {backup} is being restored to prove it")),
        waiting_since: None,
        ..verification
    };
    // What the last drill has shown is so until this one has ended.
    let mut conditions = before.conditions.iter().flatten();
    if conditions.any(|it| it.type_ == VERIFIED && it.status != "Unknown") {
        return BackupScheduleStatus {
            verification: Some(verification),
            ..before.clone()
        };
    }
    with(object, before, verification, ("Unknown", "Running"))
}

/// One whose drill has passed, with what its worker has said last.
pub(super) fn passed(
    object: &BackupSchedule,
    before: &BackupScheduleStatus,
    verification: &Verification,
    (said, at): (Option<&str>, Time),
) -> BackupScheduleStatus {
    let compared = said.and_then(restorer::drill::told);
    let number = |it: u64| i64::try_from(it).ok();
    let backup = verification.backup.as_deref().unwrap_or_default();
    let verification = Verification {
        result: Some("Passed".to_owned()),
        last_verified_at: Some(at),
        message: Some(said.map_or_else(
            || format!("the restore drill of Backup {backup} has passed"),
            str::to_owned,
        )),
        tables: compared.and_then(|it| number(it.0)),
        rows: compared.and_then(|it| number(it.1)),
        waiting_since: None,
        ..verification.clone()
    };
    with(object, before, verification, ("True", "Passed"))
}

/// One whose drill has not passed, or could not be done. When one has passed before stays.
pub(super) fn failed(
    object: &BackupSchedule,
    before: &BackupScheduleStatus,
    verification: Verification,
    (reason, why): (&str, &str),
) -> BackupScheduleStatus {
    let verification = Verification {
        result: Some("Failed".to_owned()),
        message: Some(why.to_owned()),
        waiting_since: None,
        ..verification
    };
    with(object, before, verification, ("False", reason))
}

/// What was told last.
pub(super) fn message(status: &BackupScheduleStatus) -> String {
    let verification = status.verification.as_ref();
    verification
        .and_then(|it| it.message.clone())
        .unwrap_or_default()
}

fn with(
    object: &BackupSchedule,
    before: &BackupScheduleStatus,
    verification: Verification,
    (is, reason): (&str, &str),
) -> BackupScheduleStatus {
    let message = verification.message.clone().unwrap_or_default();
    let of = (object.metadata.generation, now());
    let condition = Condition {
        status: is.to_owned(),
        ..status::condition(VERIFIED, false, reason, &message, of)
    };
    let mut after = BackupScheduleStatus {
        verification: Some(verification),
        ..before.clone()
    };
    status::set(&mut after.conditions, condition);
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::BackupScheduleSpec;

    fn condition(status: &BackupScheduleStatus) -> (String, String) {
        let mut all = status.conditions.iter().flatten();
        let it = all.find(|it| it.type_ == VERIFIED).unwrap();
        (it.status.clone(), it.reason.clone())
    }

    fn pair(status: &str, reason: &str) -> (String, String) {
        (status.to_owned(), reason.to_owned())
    }

    #[test]
    fn what_a_drill_has_shown_stays_until_the_next_one_has_ended() {
        let object = BackupSchedule::new("s", BackupScheduleSpec::default());
        let none = BackupScheduleStatus::default();
        let at = Timestamp::from_second(60).unwrap();
        let why = (("NoBackup", "there is none"), at);
        let waits = waiting(&object, &none, Verification::default(), why);
        assert_eq!(condition(&waits), pair("Unknown", "NoBackup"));
        let since = waits.verification.clone().unwrap();
        let why = (("NoBackup", "there is none"), Timestamp::MAX);
        let still = waiting(&object, &waits, since.clone(), why);
        assert_eq!(still.verification.unwrap().waiting_since, Some(Time(at)));
        let first = running(&object, &waits, since.clone());
        assert_eq!(condition(&first), pair("Unknown", "Running"));
        let sentence = "restore drill passed: shop/1 was restored into db:5432/x, all 2 tables are there with 7 rows; that database is dropped again (0.1 s)";
        let done = passed(&object, &first, &since, (Some(sentence), Time(at)));
        assert_eq!(condition(&done), pair("True", "Passed"));
        let told = done.verification.clone().unwrap();
        assert_eq!((told.tables, told.rows), (Some(2), Some(7)));
        assert_eq!(message(&done), sentence);
        let again = running(&object, &done, told.clone());
        assert_eq!(condition(&again), pair("True", "Passed"));
        let fail = failed;
        let failed = fail(&object, &again, told, ("NotAsDumped", "other"));
        assert_eq!(condition(&failed), pair("False", "NotAsDumped"));
        let told = failed.verification.clone().unwrap();
        assert_eq!(told.last_verified_at, Some(Time(at)));
        let wrong = fail(&object, &failed, told.clone(), (INVALID, "no times"));
        let mended = resting(&object, &wrong, wrong.verification.clone().unwrap());
        assert_eq!(condition(&mended), pair("Unknown", "Scheduled"));
        let same = resting(&object, &failed, told);
        assert_eq!(same, failed);
        let gone = without(&failed);
        assert!(gone.verification.is_none() && gone.conditions.unwrap().is_empty());
    }
}
