//! The Secret of a user: its keys, whose it is, and what it is to be.

mod shape;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use crate::operator::crd::{DatabaseUser, UserSecretSpec};
use crate::operator::keys;
pub(super) use shape::{Template, Values};

/// What becomes of a Secret that is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Fail,
    Adopt,
    Merge,
}

impl Policy {
    pub(super) fn of(spec: Option<&UserSecretSpec>) -> Result<Self, String> {
        match spec.map_or("", |it| it.on_conflict.as_str()) {
            "" | "Fail" => Ok(Self::Fail),
            "Adopt" => Ok(Self::Adopt),
            "Merge" => Ok(Self::Merge),
            other => Err(format!("secret.onConflict {other:?}: Fail, Adopt or Merge")),
        }
    }
}

/// The user that a Secret is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) uid: String,
}

/// Whose a Secret is, and what is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none.
    Absent,
    /// The user's.
    Ours,
    /// Another's, with the user's keys beside its own.
    Merged,
    /// It names the user, and nobody owns it: it becomes the user's again, with the password that it has.
    Reclaimed,
    /// Another's that becomes the user's, with all that it has.
    Adopted,
    /// Another's that gets the user's keys.
    Merging,
    /// Another's; why it stays so.
    Refused(String),
}

impl Standing {
    /// Whether the password in it is the user's.
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Ours | Self::Merged | Self::Reclaimed)
    }
}

fn is_of(reference: &OwnerReference, holder: &Holder) -> bool {
    let kind = DatabaseUser::kind(&());
    reference.kind == kind && reference.name == holder.name && reference.uid == holder.uid
}

/// Whether a Secret is this very user's.
pub(super) fn is_owned(secret: &Secret, holder: &Holder) -> bool {
    let owners = secret.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|it| is_of(it, holder))
}

fn annotation<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.annotations().get(key).map(String::as_str)
}

/// Whether it has keys of the user beside those of others.
pub(super) fn is_merged(secret: &Secret, holder: &Holder) -> bool {
    annotation(secret, keys::CONFLICT_POLICY) == Some("Merge")
        && annotation(secret, keys::MANAGED_BY) == Some(&holder.name)
}

/// Whose a Secret is. `is_there` says whether there is a user of that name in the namespace.
pub(super) fn standing(
    secret: Option<&Secret>,
    holder: &Holder,
    policy: Policy,
    is_there: impl Fn(&str) -> bool,
) -> Standing {
    let Some(secret) = secret else {
        return Standing::Absent;
    };
    let name = secret.name_any();
    let owners = secret.metadata.owner_references.iter().flatten();
    let controller = owners
        .into_iter()
        .find(|it| it.controller == Some(true) && !is_of(it, holder));
    let is_ours = is_owned(secret, holder);
    if is_merged(secret, holder) {
        return Standing::Merged;
    }
    if is_ours {
        return Standing::Ours;
    }
    let named = annotation(secret, keys::MANAGED_BY);
    if named == Some(&holder.name) && controller.is_none() {
        return Standing::Reclaimed;
    }
    if policy == Policy::Fail {
        return Standing::Refused(format!(
            "secret {name} already exists and is not owned by this DatabaseUser"
        ));
    }
    let other = named.filter(|it| *it != holder.name && is_there(it));
    let of_user = controller.filter(|it| it.kind == DatabaseUser::kind(&()));
    if let Some(other) = of_user.map(|it| it.name.as_str()).or(other) {
        return Standing::Refused(format!(
            "secret {name} is of DatabaseUser {other}, and no other user may have it: set secret.name"
        ));
    }
    match (policy, controller) {
        (Policy::Merge, _) => Standing::Merging,
        (_, None) => Standing::Adopted,
        (_, Some(it)) => Standing::Refused(format!(
            "secret {name} is controlled by {} {}, which would take it back: set secret.name, or secret.onConflict Merge",
            it.kind, it.name
        )),
    }
}

/// What a Secret has that is the user's: of one that others have keys in too, only what was written for it.
pub(super) fn own_data(
    found: Option<&Secret>,
    standing: &Standing,
) -> Option<BTreeMap<String, ByteString>> {
    let found = found?;
    let mut data = found.data.clone()?;
    if matches!(standing, Standing::Merged | Standing::Merging) {
        let managed = managed(found);
        data.retain(|key, _| managed.contains(key));
    }
    Some(data)
}

/// What a Secret is to be.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) standing: &'a Standing,
    /// The Database that it is for, where each has one.
    pub(super) database: Option<&'a str>,
    pub(super) data: BTreeMap<String, String>,
}

/// The Secret as it is to be; none where it is.
pub(super) fn desired(
    found: Option<&Secret>,
    wanted: Wanted<'_>,
    user: &DatabaseUser,
) -> Option<Secret> {
    let holder = holder(user);
    let Wanted {
        name,
        standing,
        database,
        data,
    } = wanted;
    let merges = matches!(standing, Standing::Merged | Standing::Merging);
    let mut secret = found.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: user.namespace(),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    });
    let managed: BTreeSet<&str> = data.keys().map(String::as_str).collect();
    let managed = managed.into_iter().collect::<Vec<_>>().join(",");
    if merges {
        forget_keys(&mut secret);
    } else {
        secret.data = None;
    }
    let all = secret.data.get_or_insert_default();
    all.extend(data.into_iter().map(|(key, text)| (key, bytes(text))));
    let annotations = secret.annotations_mut();
    for (key, value) in [
        (keys::MANAGED_BY, Some(holder.name.as_str())),
        (keys::MANAGED_KEYS, Some(managed.as_str())),
        (keys::DATABASE, database),
        (keys::CONFLICT_POLICY, merges.then_some("Merge")),
    ] {
        match value {
            Some(value) => annotations.insert(key.to_owned(), value.to_owned()),
            None => annotations.remove(key),
        };
    }
    let labels = secret.labels_mut();
    labels.insert(keys::USER_LABEL.to_owned(), holder.uid.clone());
    let owners = secret.owner_references_mut();
    // What others have put into it must not go with the user.
    owners.retain(|it| !merges || !is_of(it, &holder));
    if !merges && !owners.iter().any(|it| is_of(it, &holder)) {
        owners.extend(user.controller_owner_ref(&()));
    }
    tidy(&mut secret);
    (found != Some(&secret)).then_some(secret)
}

/// The Secret of a user that goes and leaves it: nothing removes it with the object.
pub(super) fn released(found: &Secret, holder: &Holder) -> Option<Secret> {
    let mut secret = found.clone();
    secret
        .owner_references_mut()
        .retain(|it| !is_of(it, holder));
    secret.labels_mut().remove(keys::USER_LABEL);
    tidy(&mut secret);
    (secret != *found).then_some(secret)
}

/// The API server gives no empty lists back.
fn tidy(secret: &mut Secret) {
    let metadata = &mut secret.metadata;
    metadata.labels.take_if(|it| it.is_empty());
    metadata.annotations.take_if(|it| it.is_empty());
    metadata.owner_references.take_if(|it| it.is_empty());
}

/// The Secret without what a user has put into it beside others.
pub(super) fn stripped(found: &Secret, holder: &Holder) -> Secret {
    let mut secret = found.clone();
    forget_keys(&mut secret);
    secret.labels_mut().remove(keys::USER_LABEL);
    secret
        .owner_references_mut()
        .retain(|it| !is_of(it, holder));
    for key in [
        keys::MANAGED_BY,
        keys::MANAGED_KEYS,
        keys::DATABASE,
        keys::CONFLICT_POLICY,
    ] {
        secret.annotations_mut().remove(key);
    }
    tidy(&mut secret);
    secret
}

/// The keys that were written for a user.
fn managed(secret: &Secret) -> Vec<String> {
    let managed = annotation(secret, keys::MANAGED_KEYS).unwrap_or_default();
    managed.split(',').map(str::to_owned).collect()
}

fn forget_keys(secret: &mut Secret) {
    let managed = managed(secret);
    if let Some(data) = &mut secret.data {
        data.retain(|key, _| !managed.contains(key));
    }
}

/// Who a user is to its Secrets.
pub(super) fn holder(user: &DatabaseUser) -> Holder {
    Holder {
        name: user.name_any(),
        uid: user.uid().unwrap_or_default(),
    }
}

fn bytes(text: String) -> ByteString {
    ByteString(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::spec::tests::user;
    use super::*;

    fn secret(metadata: Value, data: &[(&str, &str)]) -> Secret {
        let mut whole = metadata;
        whole["name"] = json!("s");
        let mut secret: Secret = serde_json::from_value(json!({"metadata": whole})).unwrap();
        let data = data
            .iter()
            .map(|(key, text)| ((*key).to_owned(), bytes((*text).to_owned())));
        secret.data = Some(data.collect());
        secret
    }

    fn owned_by(kind: &str, name: &str, uid: &str) -> Value {
        json!({"ownerReferences": [{"apiVersion": "dbtether.io/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true}]})
    }

    fn standing_of(metadata: Value, policy: Policy) -> Standing {
        let user = user("u", json!({"database": {"name": "d"}}));
        let secret = secret(metadata, &[]);
        standing(Some(&secret), &holder(&user), policy, |it| it == "other")
    }

    /// operator.md, U10 and U11, §5.7.
    #[test]
    fn a_secret_is_the_users_by_kind_name_and_uid() {
        let of = |spec: Value| Policy::of(user("u", json!({"secret": spec})).spec.secret.as_ref());
        assert_eq!(Policy::of(None), Ok(Policy::Fail));
        assert_eq!(of(json!({})), Ok(Policy::Fail));
        assert_eq!(of(json!({"onConflict": "Adopt"})), Ok(Policy::Adopt));
        assert_eq!(of(json!({"onConflict": "Merge"})), Ok(Policy::Merge));
        let fail = Policy::Fail;
        let ours = owned_by("DatabaseUser", "u", "uid-of-it");
        assert_eq!(standing_of(ours, fail), Standing::Ours);
        for not in [
            owned_by("DatabaseUser", "other", "uid-of-it"),
            owned_by("Deployment", "u", "uid-of-it"),
            owned_by("DatabaseUser", "u", "another"),
            json!({}),
        ] {
            let standing = standing_of(not.clone(), fail);
            let Standing::Refused(why) = standing else {
                panic!("{not}: {standing:?}");
            };
            assert_eq!(
                why,
                "secret s already exists and is not owned by this DatabaseUser"
            );
        }
        let named = json!({"annotations": {"dbtether.io/managed-by": "u"}});
        assert_eq!(standing_of(named, fail), Standing::Reclaimed);
        let mut controlled = owned_by("DatabaseUser", "other", "x");
        controlled["annotations"] = json!({"dbtether.io/managed-by": "u"});
        assert!(matches!(
            standing_of(controlled, fail),
            Standing::Refused(_)
        ));
    }

    /// operator.md, U17, U18 and W7.
    #[test]
    fn a_foreign_secret_is_adopted_or_merged_and_another_users_is_neither() {
        assert_eq!(standing_of(json!({}), Policy::Adopt), Standing::Adopted);
        assert_eq!(standing_of(json!({}), Policy::Merge), Standing::Merging);
        let gone = json!({"annotations": {"dbtether.io/managed-by": "gone"}});
        assert_eq!(standing_of(gone, Policy::Adopt), Standing::Adopted);
        let there = json!({"annotations": {"dbtether.io/managed-by": "other"}});
        let theirs = owned_by("DatabaseUser", "other", "x");
        for policy in [Policy::Adopt, Policy::Merge] {
            for others in [there.clone(), theirs.clone()] {
                assert!(matches!(standing_of(others, policy), Standing::Refused(_)));
            }
        }
        let controlled = owned_by("ExternalSecret", "x", "y");
        let adopted = standing_of(controlled.clone(), Policy::Adopt);
        assert!(matches!(adopted, Standing::Refused(_)));
        assert_eq!(standing_of(controlled, Policy::Merge), Standing::Merging);
    }

    fn made(found: Option<&Secret>, standing: &Standing, keys: &[&str]) -> Option<Secret> {
        let user = user("u", json!({"database": {"name": "d"}}));
        let wanted = Wanted {
            name: "s",
            standing,
            database: None,
            data: keys
                .iter()
                .map(|it| ((*it).to_owned(), "v".to_owned()))
                .collect(),
        };
        desired(found, wanted, &user)
    }

    fn keys_of(secret: &Secret) -> Vec<&str> {
        let data = secret.data.as_ref().unwrap();
        data.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_secret_is_written_where_it_differs_and_goes_with_its_user() {
        let first = made(None, &Standing::Absent, &["a", "b"]).unwrap();
        assert_eq!(first.type_.as_deref(), Some("Opaque"));
        assert_eq!(annotation(&first, "dbtether.io/managed-by"), Some("u"));
        assert_eq!(annotation(&first, "dbtether.io/managed-keys"), Some("a,b"));
        assert!(is_owned(&first, &holder(&user("u", json!({})))));
        let again = made(Some(&first), &Standing::Ours, &["a", "b"]);
        assert!(again.is_none(), "{again:?}");
        // operator.md, U20: what is not a key any more goes.
        let fewer = made(Some(&first), &Standing::Ours, &["a"]).unwrap();
        assert_eq!(keys_of(&fewer), ["a"]);
        let foreign = secret(json!({"labels": {"l": "1"}}), &[("x", "1")]);
        let adopted = made(Some(&foreign), &Standing::Adopted, &["a"]).unwrap();
        assert_eq!(keys_of(&adopted), ["a"]);
        assert_eq!(adopted.labels()["l"], "1");
    }

    /// operator.md, W7: what others have put into a Secret stays when the user goes.
    #[test]
    fn a_merged_secret_keeps_the_keys_of_others_and_is_nobodys_to_remove() {
        let foreign = secret(json!({}), &[("x", "1"), ("a", "old")]);
        let merged = made(Some(&foreign), &Standing::Merging, &["a", "b"]).unwrap();
        assert_eq!(keys_of(&merged), ["a", "b", "x"]);
        assert_eq!(merged.metadata.owner_references, None);
        let holder = holder(&user("u", json!({})));
        assert!(is_merged(&merged, &holder));
        let policy = Policy::Fail;
        let still = standing(Some(&merged), &holder, policy, |_| false);
        assert_eq!(still, Standing::Merged);
        assert!(made(Some(&merged), &Standing::Merged, &["a", "b"]).is_none());
        let fewer = made(Some(&merged), &Standing::Merged, &["a"]).unwrap();
        assert_eq!(keys_of(&fewer), ["a", "x"]);
        // dbtether owned what it merged into.
        let mut upstreams = merged.clone();
        let owner = user("u", json!({})).controller_owner_ref(&()).unwrap();
        upstreams.owner_references_mut().push(owner);
        let mended = made(Some(&upstreams), &Standing::Merged, &["a", "b"]).unwrap();
        assert_eq!(mended.metadata.owner_references, None);
        let stripped = stripped(&merged, &holder);
        assert_eq!(keys_of(&stripped), ["x"]);
        assert!(stripped.annotations().is_empty() && stripped.labels().is_empty());
    }

    #[test]
    fn a_secret_that_is_retained_has_no_owner_that_it_would_go_with() {
        let first = made(None, &Standing::Absent, &["a"]).unwrap();
        let holder = holder(&user("u", json!({})));
        let released = released(&first, &holder).unwrap();
        assert!(released.owner_references().is_empty());
        let policy = Policy::Fail;
        let again = standing(Some(&released), &holder, policy, |_| false);
        assert_eq!(again, Standing::Reclaimed);
        assert!(super::released(&released, &holder).is_none());
    }
}
