//! Schedules and restores as CronJobs and Jobs of Kubernetes.
//!
//! ```text
//! decide here ─▶ render (pure: what we want) ─▶ apply (one call each)      observe (a watch)
//! ```
//!
//! A Secret needs its owner's uid, and nothing may run without its Secret. So a CronJob is made
//! suspended and a Job is created suspended; then comes the Secret, owned by it; then it is let
//! go. Whatever is left after a crash in between has never run, says so (it lacks
//! [`render::RENDERED`] or [`render::STARTED`]), and is completed or removed by the next call
//! or start. A Secret without an owner is never made, so none can be orphaned.
//!
//! Whatever is written says which object it means, by uid or resourceVersion: a name may be
//! another's by the time that a slow call arrives.

pub mod apply;
mod drift;
pub mod error;
pub mod observe;
pub mod record;
pub mod refresh;
pub mod render;
mod restores;
mod schedules;
pub mod settings;
pub mod template;
pub mod token_review;

use std::time::Duration;

use async_trait::async_trait;
use backuper::job::Var;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Client, Config, Resource, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use crate::engine::{
    self, Component, Engine, Error, Finished, Kind, Refreshed, Restore, Running, Schedule,
};
use apply::Objects;
use error::answered;
use settings::Settings;

/// After how many attempts they do not get slower.
const SLOWEST: u64 = 5;

/// The engine.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    settings: Settings,
    objects: Objects,
}

impl Kubernetes {
    /// An engine that speaks to a cluster.
    ///
    /// # Errors
    /// When the configuration is unusable, a certificate that is none for instance.
    pub fn connect(mut config: Config, settings: Settings) -> Result<Self, Error> {
        config.connect_timeout = Some(Duration::from_secs(2));
        // Its tries go on until our time is up, and nobody hears what the API server has said.
        config.default_retry = false;
        let client = Client::try_from(config)
            .map_err(|error| answered("prepare to speak to the cluster", error))?;
        Ok(Self::new(client, settings))
    }

    /// An engine that speaks to the cluster that we run in, or that the kubeconfig names.
    ///
    /// # Errors
    /// When there is none, or its configuration is unusable.
    pub async fn infer(settings: Settings) -> Result<Self, Error> {
        let config = Config::infer()
            .await
            .map_err(|error| Error::new("find a cluster to speak to", Kind::Precondition, error))?;
        Self::connect(config, settings)
    }

    /// An engine that speaks through this client.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        let objects = Objects::new(client, &settings.namespace, settings.call_timeout);
        Self { settings, objects }
    }

    /// A directory as the store must outlast the pod that writes into it.
    fn permit(&self, component: Component, vars: &[Var]) -> Result<(), Error> {
        let Some(directory) = engine::directory(vars) else {
            return Ok(());
        };
        let (worker, _) = render::containers(component);
        let kept = self.settings.template.keeps(directory, worker);
        kept.map_err(engine::not_a_store)
    }
}

#[async_trait]
impl Engine for Kubernetes {
    fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    async fn ensure(&self, schedule: &Schedule) -> Result<(), Error> {
        self.permit(Component::Backup, &schedule.vars)?;
        self.ensure_schedule(schedule).await
    }

    async fn update(&self, namespace: &str, schedule: &Schedule) -> Result<(), Error> {
        self.permit(Component::Backup, &schedule.vars)?;
        self.update_schedule(namespace, schedule).await
    }

    async fn database_of(&self, schedule: &str) -> Result<Option<String>, Error> {
        let found = self.objects.cron_job(schedule).await?;
        let parameters = found.as_ref().and_then(record::recover);
        Ok(parameters.and_then(|it| {
            let shown = it.vars.iter();
            engine::database(shown.filter_map(|it| Some((it.name.as_str(), it.value.as_deref()?))))
        }))
    }

    async fn restore(&self, restore: &Restore) -> Result<Running, Error> {
        self.permit(Component::Restore, &restore.vars)?;
        self.restore_within_time(restore).await
    }

    async fn refresh(&self) -> Result<Refreshed, Error> {
        self.refresh_all().await
    }

    async fn ready(&self) -> Result<(), Error> {
        self.objects.reach().await
    }

    async fn run(&self, stop: CancellationToken, tell: &(dyn Fn(Finished) + Send + Sync)) {
        let watched = self.watch(stop.clone(), tell);
        tokio::join!(watched, self.refresh_regularly(&stop));
    }
}

fn is_finished(job: &Job) -> bool {
    let conditions = job
        .status
        .iter()
        .flat_map(|it| it.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|it| matches!(it.type_.as_str(), "Complete" | "Failed") && it.status == "True")
}

fn has_started(job: &Job) -> bool {
    job.annotations().contains_key(render::STARTED)
}

fn uid<K: Resource>(object: &K) -> String {
    object.uid().unwrap_or_default()
}

fn owner<K: Resource<DynamicType = ()>>(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// A race that was lost too often.
fn contended(doing: &str, last: Error) -> Error {
    Error::new(doing, Kind::Unavailable, last)
}

/// Lets another caller finish. The spread keeps two from running into each other for ever.
async fn pause(attempt: u64) {
    let spread = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
    let longer = attempt.min(SLOWEST) * 40;
    tokio::time::sleep(Duration::from_millis(longer + spread / 4)).await;
}
