//! What an object's status tells, and the patch that says what has changed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Error;

/// The condition that says whether an object is as its spec wants it.
pub(super) const READY: &str = "Ready";

/// Sets a condition; the time of its last transition stays where its status does.
pub(super) fn set(conditions: &mut Option<Vec<Condition>>, new: Condition) {
    let all = conditions.get_or_insert_default();
    match all.iter_mut().find(|it| it.type_ == new.type_) {
        Some(old) if old.status == new.status => {
            *old = Condition {
                last_transition_time: old.last_transition_time.clone(),
                ..new
            };
        }
        Some(old) => *old = new,
        None => all.push(new),
    }
}

/// A condition as it is now.
pub(super) fn condition(
    type_: &str,
    is: bool,
    reason: &str,
    message: &str,
    of: (Option<i64>, Timestamp),
) -> Condition {
    let (generation, now) = of;
    Condition {
        type_: type_.to_owned(),
        status: if is { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    }
}

/// The merge patch (RFC 7396) that makes one status of another; none: they are the same.
fn patch<S: Serialize>(before: &S, after: &S) -> Option<Map<String, Value>> {
    let object = |status: &S| match serde_json::to_value(status) {
        Ok(Value::Object(it)) => it,
        _ => Map::new(),
    };
    let patch = difference(&object(before), object(after));
    (!patch.is_empty()).then_some(patch)
}

/// The same of objects: a merge keeps what an inner one has no more, unless it is told so.
fn difference(before: &Map<String, Value>, after: Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in before.keys().filter(|it| !after.contains_key(*it)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match (before.get(&key), value) {
            (Some(Value::Object(before)), Value::Object(after)) => {
                let inner = difference(before, after);
                if !inner.is_empty() {
                    patch.insert(key, inner.into());
                }
            }
            (before, value) if before != Some(&value) => {
                patch.insert(key, value);
            }
            (_, _) => {}
        }
    }
    patch
}

/// Writes what has changed of an object's status, if anything has and the object is still the one that was read.
pub(super) async fn write<K, S>(
    api: &Api<K>,
    object: &K,
    before: &S,
    after: &S,
) -> Result<bool, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize,
{
    let Some(patch) = patch(before, after) else {
        return Ok(false);
    };
    let mut whole = Map::new();
    let mut metadata = Map::new();
    // Another object of the name has another status.
    metadata.insert("uid".to_owned(), object.uid().into());
    whole.insert("metadata".to_owned(), metadata.into());
    whole.insert("status".to_owned(), patch.into());
    let name = object.name_any();
    let patch = Patch::Merge(Value::Object(whole));
    let written = api
        .patch_status(&name, &PatchParams::default(), &patch)
        .await;
    written.map_err(Error::api(format!(
        "write the status of {} {name}",
        K::kind(&())
    )))?;
    Ok(true)
}

/// What to tell of an object that cannot be read: it stays as it is.
pub(super) async fn unreadable<K>(
    api: &Api<DeserializeGuard<K>>,
    object: &DeserializeGuard<K>,
    error: &str,
) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let name = object.name_any();
    let mut status = Map::new();
    status.insert("phase".to_owned(), "Failed".into());
    let message = format!("the object cannot be read: {error}; correct its spec");
    status.insert("message".to_owned(), message.into());
    let mut whole = Map::new();
    whole.insert("status".to_owned(), status.into());
    let patch = Patch::Merge(Value::Object(whole));
    let written = api
        .patch_status(&name, &PatchParams::default(), &patch)
        .await;
    let doing = format!("write the status of {} {name}", K::kind(&()));
    written.map(drop).map_err(Error::api(doing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::{BackupScheduleStatus, DatabaseStatus, Verification};

    /// operator.md, C7.
    #[test]
    fn only_what_has_changed_is_written_and_what_is_gone_is_taken_out() {
        let before = DatabaseStatus {
            phase: Some("Failed".to_owned()),
            message: Some("x".to_owned()),
            ..DatabaseStatus::default()
        };
        assert!(patch(&before, &before).is_none());
        let after = DatabaseStatus {
            phase: Some("Ready".to_owned()),
            ..DatabaseStatus::default()
        };
        let patch = Value::Object(patch(&before, &after).unwrap());
        assert_eq!(patch.to_string(), r#"{"message":null,"phase":"Ready"}"#);
    }

    /// Otherwise the run of an earlier drill would be taken for that of the next one.
    #[test]
    fn what_is_gone_of_an_inner_object_is_taken_out_too() {
        let status = |run: Option<&str>, result: &str| BackupScheduleStatus {
            verification: Some(Verification {
                run: run.map(str::to_owned),
                result: Some(result.to_owned()),
                backup: Some("b".to_owned()),
                ..Verification::default()
            }),
            ..BackupScheduleStatus::default()
        };
        let patch = patch(&status(Some("r"), "Passed"), &status(None, "Running")).unwrap();
        assert_eq!(
            Value::Object(patch).to_string(),
            r#"{"verification":{"result":"Running","run":null}}"#
        );
    }

    #[test]
    fn a_transition_has_its_time_until_the_next_one() {
        let at = |second| (Some(1), Timestamp::from_second(second).unwrap());
        let mut all = None;
        set(&mut all, condition(READY, true, "Ready", "", at(1)));
        set(&mut all, condition(READY, true, "Ready", "again", at(2)));
        let first = all.clone().unwrap();
        assert_eq!(first[0].last_transition_time.0.as_second(), 1);
        assert_eq!(first[0].message, "again");
        set(&mut all, condition(READY, false, "Failed", "", at(3)));
        assert_eq!(all.unwrap()[0].last_transition_time.0.as_second(), 3);
    }
}
