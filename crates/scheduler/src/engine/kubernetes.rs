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

pub mod apply;
pub mod error;
pub mod observe;
pub mod record;
pub mod refresh;
pub mod render;
pub mod settings;
pub mod template;

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Client, Config, Resource, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use crate::engine::{
    self, Component, Engine, Error, Finished, Kind, Refreshed, Restore, Running, Schedule,
};
use apply::Objects;
use error::{answered, is_lost_race};
use record::Shown;
use settings::Settings;

/// How often a lost race is run again.
const ATTEMPTS: u64 = 8;

/// The engine.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    settings: Settings,
    objects: Objects,
}

enum Turn {
    Done(Running),
    LostRace,
}

impl Kubernetes {
    /// An engine that speaks to a cluster.
    ///
    /// # Errors
    /// When the configuration is unusable, a certificate that is none for instance.
    pub fn connect(mut config: Config, settings: Settings) -> Result<Self, Error> {
        config.connect_timeout = Some(Duration::from_secs(2));
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

    fn render(&self, schedule: &Schedule) -> CronJob {
        let shown = Shown::of(&schedule.vars);
        render::cron_job(&self.settings, &schedule.name, &schedule.cron, &shown)
    }

    async fn try_ensure(&self, schedule: &Schedule) -> Result<(), Error> {
        let found = match self.objects.cron_job(&schedule.name).await? {
            Some(found) => {
                check_place(&found, schedule)?;
                found
            }
            None => {
                let gate = render::gated(&self.render(schedule));
                self.objects.create_cron_job(&gate).await?
            }
        };
        self.complete(schedule, &found).await
    }

    /// The Secret first, then the CronJob that may run.
    async fn complete(&self, schedule: &Schedule, found: &CronJob) -> Result<(), Error> {
        check_ours(found)?;
        let uid = uid(found);
        let mut wanted = self.render(schedule);
        if !found.annotations().contains_key(render::RENDERED) {
            wanted = render::released(wanted);
        }
        let owner = owner::<CronJob>(&schedule.name, &uid);
        let secret = render::secret(Component::Backup, owner, &schedule.vars);
        self.objects.apply_secret(&secret).await?;
        // Only this very CronJob owns the Secret: if it is gone by now, it must not come back.
        wanted.metadata.uid = Some(uid);
        self.objects.apply_cron_job(&wanted).await.map(drop)
    }

    /// One try. Two callers may both create a Job, but each looks again before it lets its own go:
    /// the later of the two sees the earlier, so at most one Job is let go.
    async fn try_restore(&self, restore: &Restore) -> Result<Turn, Error> {
        let jobs = self.objects.restores(Some(&restore.database)).await?;
        let (finished, under_way): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(is_finished);
        if let Some(started) = under_way.iter().find(|it| has_started(it)) {
            return adopt(started, restore).map(Turn::Done);
        }
        match under_way.as_slice() {
            [] => {}
            [job] if adopt(job, restore).is_ok() => return self.begin(job, restore, true).await,
            [job] if self.is_abandoned(job) => {
                self.objects.remove_job(job).await?;
                return Ok(Turn::LostRace);
            }
            [job] => return adopt(job, restore).map(Turn::Done),
            _several => return Ok(Turn::LostRace),
        }
        let newest = finished
            .iter()
            .max_by_key(|it| (it.creation_timestamp(), it.uid()));
        let previous = newest.map(uid).unwrap_or_default();
        let name = render::restore_name(&restore.database, &previous);
        let shown = Shown::of(&restore.vars);
        let wanted = render::restore_job(&self.settings, &name, &restore.database, &shown);
        let job = self.objects.create_job(&wanted).await?;
        let again = self.objects.restores(Some(&restore.database)).await?;
        if again
            .iter()
            .any(|it| !is_finished(it) && it.uid() != job.uid())
        {
            self.objects.remove_job(&job).await?;
            return Ok(Turn::LostRace);
        }
        self.begin(&job, restore, false).await
    }

    /// The Secret first, then the Job may run.
    async fn begin(&self, job: &Job, restore: &Restore, adopted: bool) -> Result<Turn, Error> {
        let name = job.name_any();
        let owner = owner::<Job>(&name, &uid(job));
        let secret = render::secret(Component::Restore, owner, &restore.vars);
        self.objects.apply_secret(&secret).await?;
        let started = render::started(&self.settings);
        self.objects.start_job(&name, &started).await?;
        Ok(Turn::Done(Running { name, adopted }))
    }

    fn is_abandoned(&self, job: &Job) -> bool {
        let age = job
            .creation_timestamp()
            .map(|it| it.0.duration_until(jiff::Timestamp::now()));
        age.is_none_or(|age| age.unsigned_abs() >= self.settings.abandoned_after)
    }
}

#[async_trait]
impl Engine for Kubernetes {
    fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    async fn ensure(&self, schedule: &Schedule) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            match Box::pin(self.try_ensure(schedule)).await {
                Err(error) if is_lost_race(&error) => pause(attempt).await,
                outcome => return outcome,
            }
        }
        Err(contended(&format!("make CronJob {}", schedule.name)))
    }

    async fn update(&self, namespace: &str, schedule: &Schedule) -> Result<(), Error> {
        let doing = || format!("update CronJob {namespace}/{}", schedule.name);
        if namespace != self.settings.namespace {
            let why = format!("only {} is served here", self.settings.namespace);
            return Err(Error::new(doing(), Kind::Denied, why));
        }
        for attempt in 0..ATTEMPTS {
            let Some(found) = self.objects.cron_job(&schedule.name).await? else {
                return Err(Error::new(doing(), Kind::NotFound, "there is none"));
            };
            match self.complete(schedule, &found).await {
                Err(error) if is_lost_race(&error) => pause(attempt).await,
                outcome => return outcome,
            }
        }
        Err(contended(&doing()))
    }

    async fn database_of(&self, schedule: &str) -> Result<Option<String>, Error> {
        let found = self.objects.cron_job(schedule).await?;
        let shown = found.as_ref().and_then(record::recover);
        Ok(shown.and_then(|(_, shown)| {
            let vars = shown.iter();
            engine::database(vars.filter_map(|it| Some((it.name.as_str(), it.value.as_deref()?))))
        }))
    }

    async fn restore(&self, restore: &Restore) -> Result<Running, Error> {
        for attempt in 0..ATTEMPTS {
            match self.try_restore(restore).await {
                Ok(Turn::Done(running)) => return Ok(running),
                Ok(Turn::LostRace) => {}
                Err(error) if is_lost_race(&error) => {}
                Err(error) => return Err(error),
            }
            pause(attempt).await;
        }
        Err(contended("start a restore"))
    }

    async fn refresh(&self) -> Result<Refreshed, Error> {
        self.refresh_all().await
    }

    async fn ready(&self) -> Result<(), Error> {
        self.objects.reach().await
    }

    async fn run(&self, stop: CancellationToken, tell: &(dyn Fn(Finished) + Send + Sync)) {
        self.watch(stop, tell).await;
    }
}

/// Whether a CronJob still serves the database and bucket that its name is for.
fn check_place(found: &CronJob, schedule: &Schedule) -> Result<(), Error> {
    let Some((_, shown)) = record::recover(found) else {
        return Ok(());
    };
    let shown = shown
        .iter()
        .filter_map(|it| Some((it.name.as_str(), it.value.as_deref()?)));
    if engine::places(shown) == engine::places_of(schedule) {
        Ok(())
    } else {
        Err(engine::occupied(&schedule.name))
    }
}

/// Whether a CronJob is ours to change.
fn check_ours(found: &CronJob) -> Result<(), Error> {
    let doing = || format!("change CronJob {}", found.name_any());
    if found.labels().get(render::MANAGED_BY).map(String::as_str) != Some(render::MANAGER) {
        let why = "it is not one of ours";
        return Err(Error::new(doing(), Kind::Precondition, why));
    }
    if found.metadata.deletion_timestamp.is_some() {
        let why = "it is being deleted";
        return Err(Error::new(doing(), Kind::Unavailable, why));
    }
    Ok(())
}

/// The same restore is the caller's; a different one is a conflict.
fn adopt(job: &Job, restore: &Restore) -> Result<Running, Error> {
    let name = job.name_any();
    let request = record::request(&Shown::of(&restore.vars));
    if job.annotations().get(render::REQUEST) == Some(&request) {
        return Ok(Running {
            name,
            adopted: true,
        });
    }
    let why = format!("Job {name} is restoring something else into this database");
    Err(Error::new("start a restore", Kind::Precondition, why))
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

fn contended(doing: &str) -> Error {
    Error::new(doing, Kind::Unavailable, "others keep changing it")
}

/// Lets another caller finish. The spread keeps two from running into each other for ever.
async fn pause(attempt: u64) {
    let spread = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
    tokio::time::sleep(Duration::from_millis(attempt * 40 + spread / 4)).await;
}
