//! What an object remembers of the request it was made for: everything but the secrets.

use std::collections::BTreeMap;

use backuper::job::{Value, Var};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::keys::{PARAMETERS, SPEC};
use crate::domain::drilled::Drilled;
use crate::domain::kept::{self, Kept, Unreadable};
use crate::domain::schedule::Schedule;
use crate::domain::store::referenced;
use crate::engine::variables::Variables;

/// A worker's variable as a pod's specification may show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: &'static str,
    /// Its value; none for a secret, which the Secret holds under the same name.
    pub value: Option<String>,
}

impl Shown {
    /// What may be shown of a worker's variables.
    #[must_use]
    pub fn of(vars: &[Var]) -> Vec<Self> {
        let shown = |var: &Var| Self {
            name: var.name,
            value: match &var.value {
                Value::Plain(text) => Some(text.clone()),
                Value::Secret(_) => None,
            },
        };
        vars.iter().map(shown).collect()
    }
}

/// What a CronJob is rendered from, beside the administrator's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The schedule.
    pub schedule: Schedule,
    /// The Secret that holds what is secret of it.
    pub secret: String,
    /// The Secrets of earlier renderings that hold a variable on, which nobody has given anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, String>,
}

impl Kept for Spec {
    fn version(&self) -> u32 {
        let is_new = !self.held.is_empty();
        self.schedule.version().max(1 + u32::from(is_new))
    }
}

impl Spec {
    /// The Secret, and the key in it, that has a variable's value.
    pub(super) fn secret_of(&self, variable: &str) -> (String, String) {
        let plan = &self.schedule.plan;
        let named = referenced(variable, Some(&plan.source.password), Some(&plan.store));
        if let Some((secret, key)) = named {
            return (secret.to_owned(), key.to_owned());
        }
        let held = self.held.get(variable).unwrap_or(&self.secret);
        (held.clone(), variable.to_owned())
    }

    /// The variables that its own Secret holds.
    pub(super) fn own(&self, mut vars: Vec<Var>) -> Vec<Var> {
        vars.retain(|it| self.secret_of(it.name).0 == self.secret);
        vars
    }

    /// As an annotation, to be read by [`recover`].
    pub(super) fn text(&self) -> String {
        // Its maps have texts as keys: nothing of it can fail.
        kept::write(self).unwrap_or_default()
    }
}

/// As the version before this one keeps a schedule: `vars` are those of its worker.
pub(super) fn parameters(spec: &Spec, vars: &[Shown]) -> String {
    let vars = vars
        .iter()
        .map(|it| (it.name.to_owned(), it.value.clone()))
        .collect();
    let written = Parameters {
        schedule: spec.schedule.plan.cron.to_string(),
        env: vars,
        secret: Some(spec.secret.clone()),
    };
    // Its maps have texts as keys: nothing of it can fail.
    serde_json::to_string(&written).unwrap_or_default()
}

/// A schedule as the version before this one keeps it.
#[derive(Serialize, Deserialize)]
struct Parameters {
    schedule: String,
    env: Vec<(String, Option<String>)>,
    secret: Option<String>,
}

/// Why what a CronJob is for cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// What was kept of it cannot be read.
    #[error(transparent)]
    Kept(#[from] Unreadable),
    /// Something of it is missing.
    #[error("{0}")]
    Missing(&'static str),
}

/// What a CronJob was rendered from. Where the version before this one has written it, and it names no
/// Secret, that has the CronJob's own name: so it was when CronJobs had one Secret for good.
///
/// # Errors
/// [`Unknown`].
pub fn recover(cron_job: &CronJob) -> Result<Spec, Unknown> {
    let annotations = cron_job.annotations();
    if let Some(text) = SPEC.of(annotations) {
        return Ok(kept::read(text)?);
    }
    let missing = Unknown::Missing;
    let text = PARAMETERS.of(annotations);
    let text = text.ok_or(missing("it does not say it"))?;
    let parameters: Result<Parameters, _> = serde_json::from_str(text);
    let Parameters {
        schedule,
        env,
        secret,
    } = parameters.map_err(Unreadable::from)?;
    let name = cron_job.name_any();
    let variables: Variables = env.into_iter().collect();
    let schedule = variables.schedule(&name, &schedule);
    Ok(Spec {
        schedule: schedule.ok_or(missing("its worker's variables make no schedule"))?,
        secret: secret.unwrap_or(name),
        held: BTreeMap::new(),
    })
}

/// The database of a Job that the version before this one has made, by its worker's variables.
pub(super) fn place_of(job: &Job) -> Option<String> {
    let pod = job.spec.as_ref()?.template.spec.as_ref()?;
    let env = pod.containers.iter().flat_map(|it| it.env.iter().flatten());
    // As it is doubled for Kubernetes.
    let value = |it: &String| it.replace("$$", "$");
    let variables: Variables = env
        .map(|it| (it.name.clone(), it.value.as_ref().map(value)))
        .collect();
    variables.place()
}

/// Whose backup a Job proves; none: it is no drill.
pub(super) fn drilled(job: &Job) -> Option<Drilled> {
    let restore = kept::read(SPEC.of(job.annotations())?).ok()?;
    Drilled::of(&restore)
}

pub(super) fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}
