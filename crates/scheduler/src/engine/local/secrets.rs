//! A worker's secrets as the store keeps them: apart from the request, which is kept without.

use std::collections::BTreeMap;

use backuper::child::Environment;
use backuper::job::{Value, Var};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::restore::Lent;

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
