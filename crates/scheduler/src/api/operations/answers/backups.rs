//! Backups, restores and checks in messages.

use backuper::deletion::Deleted;
use backuper::doctor::{Check, Outcome, Subject};
use backuper::listing::{Content, Listed, Shown};
use backuper::preview::Retained;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::started;
use crate::api::client::time;
use crate::api::proto::v1;
use crate::domain::drilled::Verification;
use crate::service::checks as tried;
use crate::service::restores::Answer;

pub(in crate::api) fn backup(backup: Listed, verification: Verification) -> v1::Backup {
    let Listed {
        key,
        database,
        started_at,
        snapshot_at,
        verified_at,
        stored_bytes,
        dumped_bytes,
        tables,
        source,
        server_version,
        made_by,
        schedule,
        part,
        problem,
        pinned,
    } = backup;
    v1::Backup {
        key,
        start_time: Some(time(started_at)),
        snapshot_time: snapshot_at.map(time),
        verify_time: verified_at.map(time),
        stored_bytes,
        dumped_bytes: dumped_bytes.unwrap_or_default(),
        tables: tables.unwrap_or_default(),
        source: source.unwrap_or_default(),
        server_version: server_version.unwrap_or_default(),
        made_by: made_by.unwrap_or_default(),
        schedule: schedule.unwrap_or_default(),
        problem: problem.unwrap_or_default(),
        dbname: database,
        pinned,
        part: part.unwrap_or_default(),
        verification: super::drills::verification(verification),
    }
}

pub(in crate::api) fn token_of_backup(last: &Listed) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&last.key)
}

pub(in crate::api) fn restored(answer: Answer) -> v1::RestoreBackupResponse {
    let Answer {
        started: run,
        database,
        backup,
    } = answer;
    v1::RestoreBackupResponse {
        run: run.map(started),
        database,
        not_tried: backup.as_ref().err().cloned().unwrap_or_default(),
        backup: backup.ok().map(found),
    }
}

pub(super) fn found(backup: tried::Backup) -> v1::FoundBackup {
    let tried::Backup {
        key,
        taken_at,
        bytes,
    } = backup;
    v1::FoundBackup {
        key,
        taken_time: Some(time(taken_at)),
        stored_bytes: bytes,
    }
}

pub(in crate::api) fn shown(found: Shown, verification: Verification) -> v1::GetBackupResponse {
    let Shown {
        backup: listed,
        manifest,
        objects,
    } = found;
    let manifest = manifest.and_then(|it| serde_json::to_string(&it).ok());
    let object = |Content { key, size }| v1::StoredObject { key, bytes: size };
    v1::GetBackupResponse {
        backup: Some(backup(listed, verification)),
        manifest: manifest.unwrap_or_default(),
        objects: objects.into_iter().map(object).collect(),
    }
}

pub(in crate::api) fn deleted(deleted: &Deleted) -> v1::DeleteBackupResponse {
    let Deleted { objects, bytes, .. } = deleted;
    v1::DeleteBackupResponse {
        objects: *objects,
        bytes: *bytes,
    }
}

pub(in crate::api) fn retained(all: Vec<Retained>) -> v1::PreviewRetentionResponse {
    let backups = all.into_iter().map(|it| {
        let Retained {
            key,
            started_at,
            stored_bytes,
            goes,
            why,
        } = it;
        v1::RetainedBackup {
            key,
            start_time: Some(time(started_at)),
            stored_bytes,
            goes,
            why,
        }
    });
    v1::PreviewRetentionResponse {
        backups: backups.collect(),
    }
}

pub(in crate::api) fn checks(checks: Vec<Check>) -> v1::DiagnoseResponse {
    let check = |check| {
        let Check {
            subject,
            name,
            outcome,
            sentence,
        } = check;
        let subject = match subject {
            Subject::Database => "database",
            Subject::Store => "store",
            Subject::Machine => "machine",
        };
        let outcome = match outcome {
            Outcome::Ok => v1::check::Outcome::Ok,
            Outcome::Warning => v1::check::Outcome::Warning,
            Outcome::Wrong => v1::check::Outcome::Wrong,
            Outcome::Unknown => v1::check::Outcome::Unknown,
        };
        v1::Check {
            subject: subject.to_owned(),
            name,
            outcome: outcome.into(),
            sentence,
        }
    };
    v1::DiagnoseResponse {
        checks: checks.into_iter().map(check).collect(),
    }
}
