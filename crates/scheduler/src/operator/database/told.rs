//! What the status of a Database tells.

use super::ensure::Ensured;
use super::name;
use crate::operator::crd::{Database, DatabaseKept, DatabaseStatus};
use crate::operator::{now, status};

/// The status of an object that is not as its spec wants it.
pub(in crate::operator) fn failed(
    object: &Database,
    before: &DatabaseStatus,
    phase: &str,
    reason: &str,
    message: &str,
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
    let condition = status::condition(status::READY, false, reason, message, (generation, now()));
    status::set(&mut after.conditions, condition);
    after
}

pub(super) fn ready(
    object: &Database,
    before: &DatabaseStatus,
    ensured: &Ensured,
) -> DatabaseStatus {
    let message = "database is ready";
    let mut after = failed(object, before, "Ready", "Ready", message);
    let of = (object.metadata.generation, now());
    let (reason, note) = if ensured.tracked {
        ("Ready", message)
    } else {
        (
            "Unmarked",
            "database is ready; it carries no mark, as only its owner in PostgreSQL may write one",
        )
    };
    let condition = status::condition(status::READY, true, reason, note, of);
    status::set(&mut after.conditions, condition);
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
    let mut orphaned = before.orphaned.clone().unwrap_or_default();
    if let Some(other) = before.kept.as_ref().filter(is_other) {
        orphaned.push(shown(other));
    }
    orphaned.sort();
    orphaned.dedup();
    orphaned.retain(|it| *it != shown(kept));
    after.orphaned = (!orphaned.is_empty()).then_some(orphaned);
    after.kept = Some(kept.clone());
    after
}

pub(super) fn shown(kept: &DatabaseKept) -> String {
    let DatabaseKept {
        cluster_name,
        database_name,
        system_identifier,
        ..
    } = kept;
    match system_identifier {
        Some(it) => format!("{database_name} on DBCluster {cluster_name} (system identifier {it})"),
        None => format!("{database_name} on DBCluster {cluster_name}"),
    }
}
