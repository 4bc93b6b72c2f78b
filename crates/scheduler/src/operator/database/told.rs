//! What the status of a Database tells.

use super::ensure::Ensured;
use super::name;
use crate::operator::crd::{Database, DatabaseKept, DatabaseStatus};
use crate::operator::{now, object, status};

/// The status of an object that is not as its spec wants it.
pub(in crate::operator) fn failed(
    object: &Database,
    before: &DatabaseStatus,
    phase: &str,
    reason: &str,
    message: &str,
) -> DatabaseStatus {
    told(object, before, (phase, message), (false, reason, message))
}

/// Phase and message, and what the condition says: whether, why, and a note.
fn told(
    object: &Database,
    before: &DatabaseStatus,
    (phase, message): (&str, &str),
    (is_ready, reason, note): (bool, &str, &str),
) -> DatabaseStatus {
    let generation = object.metadata.generation;
    let mut after = DatabaseStatus {
        phase: Some(phase.to_owned()),
        message: Some(message.to_owned()),
        observed_generation: generation,
        database_name: Some(name(object)),
        pending_since: None,
        ..before.clone()
    };
    let of = (generation, now());
    let condition = status::condition(status::READY, is_ready, reason, note, of);
    status::set(&mut after.conditions, condition);
    after
}

pub(super) fn ready(
    object: &Database,
    before: &DatabaseStatus,
    ensured: &Ensured,
) -> DatabaseStatus {
    let message = "database is ready";
    let (reason, note) = if ensured.tracked {
        ("Ready", message)
    } else {
        (
            "Unmarked",
            "database is ready; it carries no mark, as only its owner in PostgreSQL may write one",
        )
    };
    let mut after = told(object, before, ("Ready", message), (true, reason, note));
    after.ownership_tracked = Some(ensured.tracked);
    let kept = &ensured.kept;
    let is_other = |it: &&DatabaseKept| {
        (&it.database_name, &it.cluster_name, &it.system_identifier)
            != (
                &kept.database_name,
                &kept.cluster_name,
                &kept.system_identifier,
            )
    };
    let other = before.kept.as_ref().filter(is_other).map(shown);
    after.orphaned = object::left(before.orphaned.as_ref(), other, &shown(kept));
    after.kept = Some(kept.clone());
    after
}

pub(super) fn shown(kept: &DatabaseKept) -> String {
    let of = kept.system_identifier.as_deref();
    object::shown(&kept.database_name, &kept.cluster_name, of)
}
