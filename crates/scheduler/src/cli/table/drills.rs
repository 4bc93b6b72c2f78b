//! Restore drills, for people.

use jiff::Timestamp;

use super::{ago, backups, none, shown, started};
use crate::api::client::moment;
use crate::api::proto::v1;
use crate::api::proto::v1::drill::Result;

/// A drill that was begun, or that would be.
pub(in crate::cli) fn proving(it: &v1::VerifyBackupResponse) -> String {
    let server = shown(&it.server);
    let backup = backups::found(it.backup.as_ref());
    match &it.run {
        Some(run) => format!("{}on {server}{backup}\n", started(run).replace('\n', " ")),
        None if it.backup.is_none() => format!("nothing is restored on {server}\n"),
        None => format!("nothing is restored; on {server} would be proved{backup}\n"),
    }
}

/// The schedule that a run is of, or whose backup it proves.
pub(super) fn schedule(run: &v1::Run) -> &str {
    let of_drill = run.drill.as_ref().map_or("", |it| &it.schedule);
    if run.schedule.is_empty() {
        of_drill
    } else {
        &run.schedule
    }
}

/// What a drill has shown; nothing of a run that is none.
pub(super) fn proved(run: &v1::Run) -> String {
    let Some(drill) = &run.drill else {
        return none();
    };
    let backup = match drill.backup.as_str() {
        "" => String::new(),
        key => format!(" {}", shown(key)),
    };
    match drill.result() {
        Result::Unspecified => none(),
        Result::Passed => format!(
            "passed:{backup}, {} tables, {} rows",
            drill.tables, drill.rows
        ),
        Result::Failed => format!("FAILED{backup}"),
    }
}

/// Which drills a schedule has at times of their own.
pub(super) fn drills(it: &v1::Schedule) -> String {
    let Some(verify) = &it.verify else {
        return none();
    };
    let server = verify.server.as_ref();
    let on = server.map_or_else(String::new, |it| {
        let (user, host) = (shown(&it.user), shown(&it.host));
        format!(" on {host}:{} as {user}", it.port)
    });
    let asking = match verify.sql.len() {
        0 => String::new(),
        1 => ", asking 1 statement".to_owned(),
        count => format!(", asking {count} statements"),
    };
    format!("{}{on}{asking}", shown(&verify.cron))
}

/// Since when something is known to come back, or that it did not.
pub(super) fn verified(it: Option<&v1::Verification>, now: Timestamp) -> String {
    let Some(verification) = it else {
        return none();
    };
    let last = verification.last_verified_time.as_ref().and_then(moment);
    let last = last.map(|it| ago(it, now));
    match (verification.last_result(), last) {
        (Result::Failed, None) => "FAILED".to_owned(),
        (Result::Failed, Some(last)) => format!("FAILED; passed {last}"),
        (Result::Passed | Result::Unspecified, last) => last.unwrap_or_else(none),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(result: Result, last: Option<i64>) -> v1::Verification {
        v1::Verification {
            last_verified_time: last.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            last_result: result.into(),
            ..v1::Verification::default()
        }
    }

    #[test]
    fn a_drill_that_has_failed_is_said_beside_when_one_has_passed() {
        let now = Timestamp::from_second(7_200).unwrap();
        for (known, expected) in [
            (None, "-"),
            (Some(known(Result::Passed, Some(0))), "2h ago"),
            (
                Some(known(Result::Failed, Some(0))),
                "FAILED; passed 2h ago",
            ),
            (Some(known(Result::Failed, None)), "FAILED"),
        ] {
            assert_eq!(verified(known.as_ref(), now), expected);
        }
    }

    #[test]
    fn a_run_says_what_it_has_proved() {
        let run = |result: Result, backup: &str| v1::Run {
            drill: Some(v1::Drill {
                schedule: "nightly".to_owned(),
                result: result.into(),
                backup: backup.to_owned(),
                tables: 2,
                rows: 7,
                ..v1::Drill::default()
            }),
            ..v1::Run::default()
        };
        let passed = run(Result::Passed, "shop/1");
        assert_eq!(proved(&passed), "passed: shop/1, 2 tables, 7 rows");
        assert_eq!(proved(&run(Result::Failed, "")), "FAILED");
        assert_eq!(proved(&run(Result::Unspecified, "")), "-");
        assert_eq!(proved(&v1::Run::default()), "-");
        assert_eq!(schedule(&passed), "nightly");
    }
}
