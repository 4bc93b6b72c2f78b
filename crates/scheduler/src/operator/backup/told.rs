//! What the status of a Backup tells.

use std::collections::BTreeMap;

use backuper::summary::{self, Told};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::domain::run::{Attempts, Run};
use crate::operator::crd::{Backup, BackupStatus, Former, Stored};
use crate::operator::{go, keys, now, runs, status};

/// A run that has begun.
pub(super) struct Begun<'a> {
    pub(super) run: &'a str,
    /// The spec that it is of.
    pub(super) hash: &'a str,
    pub(super) at: Time,
    /// None where dbtether has begun it.
    pub(super) stored: Option<Stored>,
    pub(super) message: &'a str,
}

/// One that waits; what was told of an earlier run is told no more.
pub(super) fn pending(object: &Backup, before: &BackupStatus, why: (&str, &str)) -> BackupStatus {
    let after = anew(object, before, "Pending", why.1);
    with_ready(after, object.metadata.generation, false, why)
}

pub(super) fn running(object: &Backup, before: &BackupStatus, begun: Begun<'_>) -> BackupStatus {
    let Begun {
        run,
        hash,
        at,
        stored,
        message,
    } = begun;
    let after = BackupStatus {
        spec_hash: Some(hash.to_owned()),
        job_name: Some(run.to_owned()),
        run_id: Some(runs::run_id(run)),
        started_at: Some(at),
        stored,
        ..anew(object, before, "Running", message)
    };
    with_ready(
        after,
        object.metadata.generation,
        false,
        ("Running", message),
    )
}

/// One whose run has ended well, with what its worker has said last.
pub(super) fn completed(
    before: &BackupStatus,
    (run, said): (&Run, Option<&str>),
    at: Time,
) -> BackupStatus {
    const MESSAGE: &str = "backup completed successfully";
    let told = said.and_then(summary::told);
    let prefix = before.stored.as_ref().and_then(|it| it.prefix.clone());
    let key = told.as_ref().map(|it| match prefix {
        Some(prefix) => format!("{prefix}/{}", it.key),
        None => it.key.clone(),
    });
    let after = BackupStatus {
        phase: Some("Completed".to_owned()),
        message: Some(MESSAGE.to_owned()),
        path: key,
        size: told.map(|it| go::size(it.stored)),
        duration: runs::duration(run, 1),
        completed_at: Some(at),
        last_run: before.job_name.clone(),
        ..before.clone()
    };
    with_ready(
        after,
        before.observed_generation,
        true,
        ("Completed", MESSAGE),
    )
}

/// The same with what dbtether's worker has noted on its run: its last words are none of ours.
pub(super) fn noted(mut after: BackupStatus, notes: &BTreeMap<String, String>) -> BackupStatus {
    if after.phase.as_deref() != Some("Completed") {
        return after;
    }
    let note = |key: &str| notes.get(key).filter(|it| !it.is_empty()).cloned();
    let bytes = note(keys::BACKUP_SIZE).and_then(|it| it.parse().ok());
    after.path = note(keys::BACKUP_PATH).or(after.path);
    after.size = note(keys::BACKUP_SIZE_HUMAN)
        .or(bytes.map(go::size))
        .or(after.size);
    after.duration = note(keys::BACKUP_DURATION).or(after.duration);
    after
}

/// The same the other way round: what is noted on a run of ours that is complete, with what its worker has said.
pub(super) fn notes(after: &BackupStatus, said: Option<&str>) -> BTreeMap<String, String> {
    if after.phase.as_deref() != Some("Completed") {
        return BTreeMap::new();
    }
    let told = said.and_then(summary::told);
    let bytes = |of: fn(&Told) -> u64| told.as_ref().map(|it| of(it).to_string());
    let notes = [
        (keys::BACKUP_PATH, after.path.clone()),
        (keys::BACKUP_SIZE, bytes(|it| it.stored)),
        (keys::BACKUP_SIZE_HUMAN, after.size.clone()),
        (keys::BACKUP_UNCOMPRESSED_SIZE, bytes(|it| it.dumped)),
        (keys::BACKUP_DURATION, after.duration.clone()),
    ];
    let said = notes.into_iter().filter_map(|(key, it)| Some((key, it?)));
    said.map(|(key, it)| (key.to_owned(), it)).collect()
}

/// One whose run has not ended well.
pub(super) fn ended_badly(
    before: &BackupStatus,
    (reason, message): (&str, &str),
    at: Time,
) -> BackupStatus {
    let after = BackupStatus {
        phase: Some("Failed".to_owned()),
        message: Some(message.to_owned()),
        failure_reason: Some(reason.to_owned()),
        failure_message: Some(message.to_owned()),
        completed_at: Some(at),
        last_run: before.job_name.clone(),
        ..before.clone()
    };
    with_ready(after, before.observed_generation, false, (reason, message))
}

/// The same with its cause alone, and with what it took.
pub(super) fn attempted(
    after: BackupStatus,
    why: String,
    attempts: Option<&Attempts>,
) -> BackupStatus {
    BackupStatus {
        failure_message: Some(why),
        failed_attempts: attempts.and_then(|it| it.failed),
        last_pod_name: attempts.and_then(|it| it.pod.clone()),
        ..after
    }
}

/// One that could never begin; without a hash it is looked at whenever it changes.
pub(super) fn failed(
    object: &Backup,
    before: &BackupStatus,
    hash: Option<&str>,
    (reason, message): (&str, &str),
) -> BackupStatus {
    let after = BackupStatus {
        spec_hash: hash.map(str::to_owned),
        failure_reason: Some(reason.to_owned()),
        failure_message: Some(message.to_owned()),
        completed_at: hash.map(|_| runs::second(now())),
        ..anew(object, before, "Failed", message)
    };
    with_ready(after, object.metadata.generation, false, (reason, message))
}

/// One that has ended, and was changed in nothing that makes another backup.
pub(super) fn seen(object: &Backup, before: &BackupStatus) -> BackupStatus {
    let mut after = before.clone();
    after.observed_generation = object.metadata.generation;
    for it in after.conditions.iter_mut().flatten() {
        it.observed_generation = object.metadata.generation;
    }
    if after.conditions.is_some() {
        return after;
    }
    // dbtether has told of it, and has no conditions.
    let is_complete = after.phase.as_deref() == Some("Completed");
    let known = after.failure_reason.clone().filter(|it| !it.is_empty());
    let reason = match known.filter(|_| !is_complete) {
        Some(reason) => reason,
        None => after.phase.clone().unwrap_or_default(),
    };
    let message = after.message.clone().unwrap_or_default();
    with_ready(
        after,
        object.metadata.generation,
        is_complete,
        (&reason, &message),
    )
}

fn anew(object: &Backup, before: &BackupStatus, phase: &str, message: &str) -> BackupStatus {
    let mut former = before.former.clone().unwrap_or_default();
    former.extend(before.path.clone().map(|path| Former {
        path,
        stored: before.stored.clone(),
    }));
    BackupStatus {
        former: (!former.is_empty()).then_some(former),
        phase: Some(phase.to_owned()),
        message: Some(message.to_owned()),
        observed_generation: object.metadata.generation,
        last_run: before.last_run.clone(),
        conditions: before.conditions.clone(),
        ..BackupStatus::default()
    }
}

fn with_ready(
    mut after: BackupStatus,
    generation: Option<i64>,
    is: bool,
    (reason, message): (&str, &str),
) -> BackupStatus {
    let ready = status::condition(status::READY, is, reason, message, (generation, now()));
    status::set(&mut after.conditions, ready);
    after
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::run::{Component, State};
    use crate::operator::crd::BackupSpec;

    fn object(generation: i64) -> Backup {
        let mut object = Backup::new("b", BackupSpec::default());
        object.metadata.generation = Some(generation);
        object
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn begun(generation: i64, prefix: Option<&str>) -> BackupStatus {
        running(
            &object(generation),
            &BackupStatus::default(),
            Begun {
                run: "object-1-now-abcdef",
                hash: "h1",
                at: Time(at(1)),
                stored: Some(Stored {
                    prefix: prefix.map(str::to_owned),
                    ..Stored::default()
                }),
                message: "backup job started",
            },
        )
    }

    fn run() -> Run {
        Run {
            component: Component::Backup,
            name: "object-1-now-abcdef".to_owned(),
            id: "1".to_owned(),
            schedule: None,
            database: String::new(),
            drilled: None,
            state: State::Running,
            created: at(1),
            started: Some(at(2)),
            ended: Some(at(14)),
            told: false,
        }
    }

    const SAID: &str = "backup complete and verified: prod/orders_db/20260120-143022.sql.gz (3 tables, 4096 bytes dumped, 1536 bytes stored, 12.0 s)";

    /// operator.md, B6, B10 and B17: a spec that changed meanwhile waits, and is not what this is of.
    #[test]
    fn a_backup_that_is_complete_says_where_it_is() {
        let before = begun(1, None);
        assert_eq!(before.run_id.as_ref().map(String::len), Some(8));
        let after = completed(&before, (&run(), Some(SAID)), Time(at(14)));
        assert_eq!(after.phase.as_deref(), Some("Completed"));
        assert_eq!(
            after.path.as_deref(),
            Some("prod/orders_db/20260120-143022.sql.gz")
        );
        assert_eq!(after.size.as_deref(), Some("1.5 KiB"));
        assert_eq!(after.duration.as_deref(), Some("12s"));
        assert_eq!(
            (after.observed_generation, after.spec_hash.as_deref()),
            (Some(1), Some("h1"))
        );
        assert_eq!(after.conditions.unwrap()[0].status, "True");
        let below = completed(
            &begun(1, Some("team-a")),
            (&run(), Some(SAID)),
            Time(at(14)),
        );
        assert_eq!(
            below.path.as_deref(),
            Some("team-a/prod/orders_db/20260120-143022.sql.gz")
        );
        // What nobody has said is not told, and the backup is complete all the same.
        let silent = completed(&before, (&run(), None), Time(at(14)));
        assert_eq!(
            (silent.phase.as_deref(), silent.path),
            (Some("Completed"), None)
        );
    }

    /// operator.md, 1.2 and Ruling 3: what reads the annotations of dbtether's Jobs goes on with ours.
    #[test]
    fn what_is_noted_on_a_run_is_what_dbtethers_worker_notes() {
        let done = completed(&begun(1, None), (&run(), Some(SAID)), Time(at(14)));
        let notes = notes(&done, Some(SAID));
        let notes: Vec<_> = notes
            .iter()
            .map(|(key, it)| format!("{key}={it}"))
            .collect();
        assert_eq!(
            notes,
            [
                "dbtether.io/backup-duration=12s",
                "dbtether.io/backup-path=prod/orders_db/20260120-143022.sql.gz",
                "dbtether.io/backup-size=1536",
                "dbtether.io/backup-size-human=1.5 KiB",
                "dbtether.io/backup-uncompressed-size=4096",
            ]
        );
        let bad = ended_badly(&begun(1, None), ("Unknown", "no"), Time(at(14)));
        assert!(super::notes(&bad, None).is_empty());
    }

    /// operator.md, B18: a run that is lost keeps its own hash, so that a changed spec is run next.
    #[test]
    fn a_backup_that_has_failed_says_why_and_of_which_spec_it_was() {
        let why = ("JobNotFound", "backup job not found");
        let after = ended_badly(&begun(1, None), why, Time(at(99)));
        assert_eq!(after.phase.as_deref(), Some("Failed"));
        assert_eq!(after.failure_reason.as_deref(), Some("JobNotFound"));
        assert_eq!(
            (after.observed_generation, after.spec_hash.as_deref()),
            (Some(1), Some("h1"))
        );
        assert_eq!(after.last_run.as_deref(), Some("object-1-now-abcdef"));
    }

    /// operator.md, B11.
    #[test]
    fn a_backup_that_has_failed_says_what_it_took() {
        let attempts = Attempts {
            failed: Some(4),
            pod: Some("object-1-now-abcdef-x7x7x".to_owned()),
        };
        let why = (
            "BackoffLimitExceeded",
            "backup job failed: no such bucket: make it",
        );
        let after = ended_badly(&begun(1, None), why, Time(at(99)));
        let after = attempted(after, "no such bucket: make it".to_owned(), Some(&attempts));
        assert_eq!(after.failed_attempts, Some(4));
        assert_eq!(after.last_pod_name, attempts.pod);
        assert_eq!(
            after.failure_message.as_deref(),
            Some("no such bucket: make it")
        );
        // The next run has failed in nothing yet.
        let next = pending(&object(1), &after, ("Throttled", "waiting"));
        assert_eq!((next.failed_attempts, next.last_pod_name), (None, None));
    }

    /// operator.md, B10: what dbtether's worker has noted, all of it or a part.
    #[test]
    fn a_backup_that_dbtether_has_made_says_what_is_noted_on_its_run() {
        let notes = |all: &[(&str, &str)]| {
            let all = all.iter();
            all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let done = completed(&begun(1, None), (&run(), None), Time(at(14)));
        let told = noted(
            done.clone(),
            &notes(&[
                ("dbtether.io/backup-path", "c/d/20260120-143022.sql.gz"),
                ("dbtether.io/backup-size", "1536"),
                ("dbtether.io/backup-duration", "2.1s"),
            ]),
        );
        assert_eq!(told.path.as_deref(), Some("c/d/20260120-143022.sql.gz"));
        assert_eq!(told.size.as_deref(), Some("1.5 KiB"));
        assert_eq!(told.duration.as_deref(), Some("2.1s"));
        let human = noted(
            done.clone(),
            &notes(&[("dbtether.io/backup-size-human", "1.6 KiB")]),
        );
        assert_eq!(human.size.as_deref(), Some("1.6 KiB"));
        assert_eq!((human.path, human.duration), (None, done.duration.clone()));
        assert_eq!(noted(done.clone(), &notes(&[])), done);
    }

    /// kstatus takes what has no conditions for what is as it should be.
    #[test]
    fn a_backup_that_dbtether_has_told_of_gets_the_condition_that_it_lacks() {
        let of = |phase: &str, reason: Option<&str>| {
            let before = BackupStatus {
                phase: Some(phase.to_owned()),
                message: Some("m".to_owned()),
                failure_reason: reason.map(str::to_owned),
                ..BackupStatus::default()
            };
            let conditions = seen(&object(1), &before).conditions.unwrap();
            (conditions[0].status.clone(), conditions[0].reason.clone())
        };
        let pair = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
        assert_eq!(of("Completed", None), pair("True", "Completed"));
        assert_eq!(of("Failed", None), pair("False", "Failed"));
        assert_eq!(
            of("Failed", Some("DeadlineExceeded")),
            pair("False", "DeadlineExceeded")
        );
    }

    #[test]
    fn what_begins_anew_says_nothing_of_what_was() {
        let done = completed(&begun(1, None), (&run(), Some(SAID)), Time(at(14)));
        let after = pending(&object(2), &done, ("Throttled", "waiting"));
        assert_eq!(
            (after.path.as_ref(), after.completed_at.as_ref()),
            (None, None)
        );
        assert_eq!(after.last_run.as_deref(), Some("object-1-now-abcdef"));
        assert_eq!(after.conditions.unwrap().len(), 1);
        // B15: where nothing that matters has changed, only the generation is new.
        let after = seen(&object(2), &done);
        assert_eq!(
            (after.path, after.observed_generation),
            (done.path, Some(2))
        );
    }
}
