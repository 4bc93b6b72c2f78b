//! A worker's secrets as the store keeps them: apart from the request, which is kept without.

use std::collections::BTreeMap;

use backuper::child::Environment;
use backuper::job::{Value, Var};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::credential::{Credential, Reference};
use crate::domain::drills;
use crate::domain::restore::{Lent, Restore};
use crate::domain::schedule::{Plan, Schedule};
use crate::domain::store::{Keys, Store};
use crate::engine::{Error, Kind};

/// What is secret of a schedule itself, by the names of its worker's variables.
pub(super) fn of_schedule(schedule: &Schedule) -> Vec<&'static str> {
    let Plan { source, store, .. } = &schedule.plan;
    let mut all = own(&source.password, store, &Credential::Ambient);
    let of_drills = schedule.drills_password().map(|_| drills::PASSWORD);
    all.extend(of_drills);
    all
}

/// What is secret of a restore itself, or lent to it, by the names of its worker's variables.
pub(super) fn of_restore(restore: &Restore) -> Vec<&'static str> {
    let Restore {
        target,
        store,
        identity,
        ..
    } = restore;
    own(&target.password, store, identity)
}

fn own(password: &Credential, store: &Store, identity: &Credential) -> Vec<&'static str> {
    let given = [("DB_PASSWORD", password), ("AGE_IDENTITY", identity)];
    let given = given.into_iter().filter(|(_, it)| it.is_given());
    let given = given.map(|(name, _)| name);
    given.chain(store.variables().iter().copied()).collect()
}

/// The secret ones among a worker's variables that are the request's own, as JSON: workers need them after a
/// restart. The administrator's are in the scheduler's environment, where workers get them anew.
pub(super) fn write(vars: &[Var], own: &[&str]) -> String {
    let vars = vars.iter().filter(|it| own.contains(&it.name));
    let secrets = vars.filter_map(|var| match &var.value {
        Value::Plain(_) => None,
        Value::Secret(text) => Some((var.name, text.expose_secret())),
    });
    let secrets: BTreeMap<&str, &str> = secrets.collect();
    // Its keys are texts: nothing of it can fail.
    serde_json::to_string(&secrets).unwrap_or_default()
}

/// What [`write`] has written; none where that cannot be read.
pub(super) fn read(kept: &str) -> Option<BTreeMap<String, SecretString>> {
    let kept: BTreeMap<String, String> = serde_json::from_str(kept).ok()?;
    let secrets = kept.into_iter();
    Some(secrets.map(|(name, it)| (name, it.into())).collect())
}

/// What was kept without what is not the request's own, which versions before this one have kept too; none:
/// there is nothing of that, or it cannot be read.
pub(super) fn without_others(kept: &str, own: &[&str]) -> Option<String> {
    let mut secrets: BTreeMap<String, String> = serde_json::from_str(kept).ok()?;
    let before = secrets.len();
    secrets.retain(|name, _| own.contains(&name.as_str()));
    // Its keys are texts: nothing of it can fail.
    (secrets.len() < before).then(|| serde_json::to_string(&secrets).unwrap_or_default())
}

/// A restore's secrets with those that a schedule lends it; none where what was kept cannot be read.
pub(super) fn lending(own: &str, schedules: &str, lent: &Lent) -> Option<String> {
    let mut secrets: BTreeMap<String, String> = serde_json::from_str(own).ok()?;
    let schedules: BTreeMap<String, String> = serde_json::from_str(schedules).ok()?;
    for variable in Lent::variables() {
        if let Some(kept) = lent.of(variable).and_then(|it| schedules.get(it)) {
            secrets.insert(variable.to_owned(), kept.clone());
        }
    }
    // Its keys are texts: nothing of it can fail.
    Some(serde_json::to_string(&secrets).unwrap_or_default())
}

/// There are no Kubernetes Secrets on a machine.
pub(super) fn are_given(
    doing: &str,
    password: Option<&Credential>,
    keys: Option<&Credential<Keys>>,
) -> Result<(), Error> {
    let password = password.and_then(Credential::reference);
    let keys = keys.and_then(Credential::reference);
    match password.or(keys) {
        None => Ok(()),
        Some(Reference { secret, .. }) => {
            let why = format!(
                "it names the Secret {secret}, and there are none without Kubernetes; give the credentials themselves"
            );
            Err(Error::new(doing, Kind::Precondition, why))
        }
    }
}

/// A schedule's secrets with those of its kept ones that stay; none where what was kept cannot be read, or
/// has not all of them.
pub(super) fn keeping(given: &str, kept: &str, stays: &[&str]) -> Option<String> {
    let mut secrets: BTreeMap<String, String> = serde_json::from_str(given).ok()?;
    let mut kept: BTreeMap<String, String> = serde_json::from_str(kept).ok()?;
    for name in stays {
        secrets.insert((*name).to_owned(), kept.remove(*name)?);
    }
    // Its keys are texts: nothing of it can fail.
    Some(serde_json::to_string(&secrets).unwrap_or_default())
}

/// A worker's environment: what is at hand as `vars` have it, the administrator's own secrets among that;
/// what is secret of a request, and so is not at hand, as it was kept. None where that cannot be read.
pub(super) fn environment(vars: Vec<Var>, secrets: &str) -> Option<Environment> {
    let secrets: BTreeMap<String, String> = serde_json::from_str(secrets).ok()?;
    let mut environment = Environment::default();
    for var in vars {
        match var.value {
            Value::Plain(text) => environment.set(var.name, text),
            Value::Secret(text) if !text.expose_secret().is_empty() => {
                environment.set_secret(var.name, &text);
            }
            Value::Secret(_) => {
                let kept = secrets.get(var.name)?;
                environment.set_secret(var.name, &SecretString::from(kept.as_str()));
            }
        }
    }
    Some(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance::{restore, schedule};

    #[test]
    fn what_is_the_administrators_is_not_kept_with_a_request() {
        let mut nightly = schedule("nightly");
        nightly.plan.source.password = Credential::Inline(Some("own".into()));
        nightly.plan.store.keys = Credential::Ambient;
        assert_eq!(of_schedule(&nightly), ["DB_PASSWORD"]);
        let mut copy = restore("copy", "0", 0);
        copy.target.password = Credential::Ambient;
        copy.identity = Credential::Inline(None);
        let names = of_restore(&copy);
        assert_eq!(names.first(), Some(&"AGE_IDENTITY"));
        assert_eq!(names[1..], *copy.store.variables());
        let vars = [
            Var::secret("DB_PASSWORD", &"own".into()),
            Var::secret("PUSHGATEWAY_URL", &"fleets".into()),
        ];
        let kept = r#"{"DB_PASSWORD":"own"}"#;
        assert_eq!(write(&vars, &of_schedule(&nightly)), kept);
        let before = r#"{"DB_PASSWORD":"own","PUSHGATEWAY_URL":"fleets"}"#;
        let without = |it: &str| without_others(it, &["DB_PASSWORD"]);
        assert_eq!(without(before).as_deref(), Some(kept));
        assert_eq!(without(kept), None);
        assert_eq!(without("no JSON"), None);
    }
}
