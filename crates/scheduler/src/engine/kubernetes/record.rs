//! What an object remembers of the request it was made for: everything but the secrets.

use std::fmt::Write as _;

use backuper::job::{Value, Var};
use k8s_openapi::api::batch::v1::CronJob;
use sha2::{Digest as _, Sha256};

use super::render::PARAMETERS;
use crate::engine::TIMES_OF_CALL;

/// A worker's variable as a pod's specification may show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its value; none for a secret, which the Secret holds under the same name.
    pub value: Option<String>,
}

impl Shown {
    /// What may be shown of a worker's variables.
    #[must_use]
    pub fn of(vars: &[Var]) -> Vec<Self> {
        let shown = |var: &Var| Self {
            name: var.name.to_owned(),
            value: match &var.value {
                Value::Plain(text) => Some(text.clone()),
                Value::Secret(_) => None,
            },
        };
        vars.iter().map(shown).collect()
    }
}

/// Tells restores apart. Neither secrets nor the time of the call are part of it: a call that is
/// repeated after its answer was lost is the same.
pub fn request(vars: &[Shown]) -> String {
    let mut text = String::new();
    let same = |it: &&Shown| !TIMES_OF_CALL.contains(&it.name.as_str());
    for Shown { name, value } in vars.iter().filter(same) {
        // Quoted, so that no value can pass for two variables; a String takes any text.
        let _infallible = writeln!(text, "{name}={value:?}");
    }
    digest(&text)
}

/// A worker's parameters, to be recovered by [`recover`].
pub(super) fn parameters(schedule: &str, vars: &[Shown]) -> String {
    let vars: Vec<serde_json::Value> = vars
        .iter()
        .map(|Shown { name, value }| {
            let value = value.clone().map_or(serde_json::Value::Null, Into::into);
            serde_json::Value::Array(vec![name.clone().into(), value])
        })
        .collect();
    let mut all = serde_json::Map::new();
    all.insert("schedule".to_owned(), schedule.into());
    all.insert("env".to_owned(), vars.into());
    serde_json::Value::Object(all).to_string()
}

/// The schedule and the variables that a CronJob was rendered from.
pub fn recover(cron_job: &CronJob) -> Option<(String, Vec<Shown>)> {
    let text = cron_job.metadata.annotations.as_ref()?.get(PARAMETERS)?;
    let all: serde_json::Value = serde_json::from_str(text).ok()?;
    let schedule = all.get("schedule")?.as_str()?.to_owned();
    let vars = all.get("env")?.as_array()?.iter().map(|pair| {
        Some(Shown {
            name: pair.get(0)?.as_str()?.to_owned(),
            value: match pair.get(1)? {
                serde_json::Value::Null => None,
                value => Some(value.as_str()?.to_owned()),
            },
        })
    });
    Some((schedule, vars.collect::<Option<_>>()?))
}

pub(super) fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}
