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

/// What a CronJob is rendered from, beside the administrator's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// When it runs.
    pub schedule: String,
    /// The worker's environment.
    pub vars: Vec<Shown>,
    /// The Secret that holds what `vars` do not show.
    pub secret: String,
}

impl Parameters {
    /// As an annotation, to be recovered by [`recover`].
    pub(super) fn text(&self) -> String {
        let Self {
            schedule,
            vars,
            secret,
        } = self;
        let vars: Vec<serde_json::Value> = vars
            .iter()
            .map(|Shown { name, value }| {
                let value = value.clone().map_or(serde_json::Value::Null, Into::into);
                serde_json::Value::Array(vec![name.clone().into(), value])
            })
            .collect();
        let mut all = serde_json::Map::new();
        all.insert("schedule".to_owned(), schedule.clone().into());
        all.insert("env".to_owned(), vars.into());
        all.insert("secret".to_owned(), secret.clone().into());
        serde_json::Value::Object(all).to_string()
    }
}

/// What a CronJob was rendered from. Where it names no Secret, that has the CronJob's own name: so
/// it was when CronJobs had one Secret for good.
pub fn recover(cron_job: &CronJob) -> Option<Parameters> {
    let text = cron_job.metadata.annotations.as_ref()?.get(PARAMETERS)?;
    let all: serde_json::Value = serde_json::from_str(text).ok()?;
    let vars = all.get("env")?.as_array()?.iter().map(|pair| {
        Some(Shown {
            name: pair.get(0)?.as_str()?.to_owned(),
            value: match pair.get(1)? {
                serde_json::Value::Null => None,
                value => Some(value.as_str()?.to_owned()),
            },
        })
    });
    let secret = match all.get("secret") {
        Some(name) => name.as_str()?.to_owned(),
        None => cron_job.metadata.name.clone()?,
    };
    Some(Parameters {
        schedule: all.get("schedule")?.as_str()?.to_owned(),
        vars: vars.collect::<Option<_>>()?,
        secret,
    })
}

pub(super) fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}
