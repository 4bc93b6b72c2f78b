//! What the status of a Restore tells.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::since;
use crate::operator::crd::{Restore, RestoreStatus};
use crate::operator::{now, runs, status};

/// Whether the database's users may do again what they may.
const GRANTS: &str = "GrantsApplied";

pub(super) fn pending(
    object: &Restore,
    before: &RestoreStatus,
    message: &str,
    waits_since: Option<Timestamp>,
) -> RestoreStatus {
    let after = RestoreStatus {
        pending_since: since(waits_since),
        ..anew(object, before, "Pending", message)
    };
    with_ready(
        after,
        object.metadata.generation,
        false,
        ("Waiting", message),
    )
}

pub(super) fn running(
    object: &Restore,
    before: &RestoreStatus,
    (run, hash, path): (&str, &str, Option<&str>),
    at: Time,
) -> RestoreStatus {
    const MESSAGE: &str = "restore job running";
    let after = RestoreStatus {
        spec_hash: Some(hash.to_owned()),
        job_name: Some(run.to_owned()),
        run_id: Some(runs::run_id(run)),
        source_path: path.map(str::to_owned),
        started_at: Some(at),
        ..anew(object, before, "Running", MESSAGE)
    };
    with_ready(
        after,
        object.metadata.generation,
        false,
        ("Running", MESSAGE),
    )
}

/// One whose run has ended well. Whether its users' grants are there, their own objects tell.
pub(super) fn completed(
    before: &RestoreStatus,
    duration: Option<String>,
    at: Time,
) -> RestoreStatus {
    const MESSAGE: &str = "restore completed successfully";
    let after = RestoreStatus {
        phase: Some("Completed".to_owned()),
        message: Some(MESSAGE.to_owned()),
        duration,
        completed_at: Some(at),
        last_run: before.job_name.clone(),
        ..before.clone()
    };
    let mut after = with_ready(
        after,
        before.observed_generation,
        true,
        ("Completed", MESSAGE),
    );
    let grants = Condition {
        status: "Unknown".to_owned(),
        ..status::condition(
            GRANTS,
            false,
            "Reconciling",
            "the Database and its users are looked at again; their own status tells what they may do",
            (before.observed_generation, now()),
        )
    };
    status::set(&mut after.conditions, grants);
    after
}

/// One whose data dbtether has brought back, and was giving the grants again. Our users' own objects do that.
pub(super) fn landed(before: &RestoreStatus) -> RestoreStatus {
    let at = before.completed_at.clone();
    let at = at.unwrap_or_else(|| runs::second(now()));
    completed(before, before.duration.clone(), at)
}

/// One whose run has not ended well.
pub(super) fn failed(before: &RestoreStatus, (reason, message): (&str, &str)) -> RestoreStatus {
    let after = RestoreStatus {
        phase: Some("Failed".to_owned()),
        message: Some(message.to_owned()),
        last_run: before.job_name.clone(),
        ..before.clone()
    };
    with_ready(after, before.observed_generation, false, (reason, message))
}

/// One that was never begun; without a hash it is looked at whenever it changes.
pub(super) fn refused(
    object: &Restore,
    before: &RestoreStatus,
    hash: Option<&str>,
    (reason, message): (&str, &str),
) -> RestoreStatus {
    let after = RestoreStatus {
        spec_hash: hash.map(str::to_owned),
        ..anew(object, before, "Failed", message)
    };
    with_ready(after, object.metadata.generation, false, (reason, message))
}

/// One that has ended, and was changed in nothing that makes another restore.
pub(super) fn seen(object: &Restore, before: &RestoreStatus) -> RestoreStatus {
    let mut after = before.clone();
    after.observed_generation = object.metadata.generation;
    for it in after.conditions.iter_mut().flatten() {
        it.observed_generation = object.metadata.generation;
    }
    if after.conditions.is_some() {
        return after;
    }
    // dbtether has told of it, and has no conditions.
    let phase = after.phase.clone().unwrap_or_default();
    let message = after.message.clone().unwrap_or_default();
    let is_complete = phase == "Completed";
    with_ready(
        after,
        object.metadata.generation,
        is_complete,
        (&phase, &message),
    )
}

fn anew(object: &Restore, before: &RestoreStatus, phase: &str, message: &str) -> RestoreStatus {
    let conditions = before.conditions.clone().map(|mut all| {
        all.retain(|it| it.type_ != GRANTS);
        all
    });
    RestoreStatus {
        phase: Some(phase.to_owned()),
        message: Some(message.to_owned()),
        observed_generation: object.metadata.generation,
        last_run: before.last_run.clone(),
        conditions,
        ..RestoreStatus::default()
    }
}

fn with_ready(
    mut after: RestoreStatus,
    generation: Option<i64>,
    is: bool,
    (reason, message): (&str, &str),
) -> RestoreStatus {
    let ready = status::condition(status::READY, is, reason, message, (generation, now()));
    status::set(&mut after.conditions, ready);
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::RestoreSpec;

    /// operator-rules.md, decided 10: a restore that is complete claims nothing of grants.
    #[test]
    fn a_restore_that_is_complete_says_nothing_of_grants_that_nobody_knows() {
        let object = Restore::new("r", RestoreSpec::default());
        let at = Time(Timestamp::UNIX_EPOCH);
        let begun = running(
            &object,
            &RestoreStatus::default(),
            ("run", "h", Some("p")),
            at.clone(),
        );
        let run = crate::domain::run::Run {
            component: crate::domain::run::Component::Restore,
            name: "run".to_owned(),
            id: "1".to_owned(),
            schedule: None,
            database: String::new(),
            drilled: None,
            state: crate::domain::run::State::Running,
            created: at.0,
            started: Some(at.0),
            ended: Timestamp::from_millisecond(61_400).ok(),
            told: false,
        };
        let done = completed(&begun, runs::duration(&run, 1000), at);
        assert_eq!(done.duration.as_deref(), Some("1m1s"));
        assert_eq!(done.source_path.as_deref(), Some("p"));
        let conditions: Vec<String> = done
            .conditions
            .iter()
            .flatten()
            .map(|it| format!("{}={}", it.type_, it.status))
            .collect();
        assert_eq!(conditions, ["Ready=True", "GrantsApplied=Unknown"]);
        // Of another run nothing of it is true.
        let again = pending(&object, &done, "waiting", None);
        assert_eq!(again.conditions.unwrap().len(), 1);
        assert_eq!(
            (again.source_path, again.last_run.as_deref()),
            (None, Some("run"))
        );
    }
}
