//! A worker's secrets as the store keeps them: apart from the request, which is kept without.

use std::collections::BTreeMap;

use backuper::child::Environment;
use backuper::job::{Value, Var};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::credential::{Credential, Reference};
use crate::domain::restore::Lent;
use crate::domain::store::Keys;
use crate::engine::{Error, Kind};

/// The secret ones among a worker's variables, as JSON: workers need them after a restart.
pub(super) fn write(vars: &[Var]) -> String {
    let secrets = vars.iter().filter_map(|var| match &var.value {
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

/// A restore's secrets with those that a schedule lends it; none where what was kept cannot be read.
pub(super) fn lending(own: &str, schedules: &str, lent: &Lent) -> Option<String> {
    let mut secrets: BTreeMap<String, String> = serde_json::from_str(own).ok()?;
    let schedules: BTreeMap<String, String> = serde_json::from_str(schedules).ok()?;
    secrets.extend(schedules.into_iter().filter(|(name, _)| lent.has(name)));
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
