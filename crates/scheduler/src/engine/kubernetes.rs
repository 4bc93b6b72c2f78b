//! Schedules and restores as CronJobs and Jobs of Kubernetes.
//!
//! ```text
//! decide here ─▶ render (pure: what we want) ─▶ apply (one call each)      changes (two watches)
//! ```
//!
//! A Secret needs its owner's uid, and nothing may run without its Secret. So a CronJob is made
//! suspended and a Job is created suspended; then comes the Secret, owned by it; then it is let
//! go. Whatever is left after a crash in between has never run, says so (it lacks
//! [`keys::RENDERED`] or [`keys::STARTED`]), and is completed or removed by the next call
//! or by tidying up. A Secret without an owner is never made, so none can be orphaned.
//!
//! Whatever is written says which object it means, by uid or resourceVersion: a name may be
//! another's by the time that a slow call arrives.

mod apply;
mod changes;
mod drift;
pub mod error;
mod inherited;
mod jobs;
pub mod keys;
pub mod lease;
mod logs;
mod question;
pub mod record;
pub mod render;
mod restores;
mod runs;
mod schedules;
mod select;
pub mod settings;
pub mod template;
mod tidy;
pub mod token_review;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config, Resource, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::drills::Drills;
use crate::domain::labels::Labels;
use crate::domain::name::Name;
use crate::domain::question::Question;
use crate::domain::restore::Restore;
use crate::domain::run::{Component, Inherited, Run};
use crate::domain::schedule::Schedule;
use crate::domain::store::{Place, Store};
use crate::engine::{
    self, Change, Engine, Error, Kind, Lines, Put, Secrets, Started, Tidied, Whose,
};
use apply::Objects;
use error::answered;
use settings::Settings;

/// After how many attempts they do not get slower.
const SLOWEST: u64 = 5;

/// The engine.
#[derive(Clone)]
pub struct Kubernetes {
    settings: Settings,
    objects: Objects,
    events: Recorder,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            settings,
            objects,
            events: _,
        } = self;
        let mut shown = formatter.debug_struct("Kubernetes");
        let shown = shown.field("settings", settings);
        shown.field("objects", objects).finish_non_exhaustive()
    }
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
        let reporter = Reporter {
            controller: "postgres-adapter".to_owned(),
            instance: settings.release.clone(),
        };
        Self {
            events: Recorder::new(client.clone(), reporter),
            objects: Objects::new(client, &settings.namespace, settings.call_timeout),
            settings,
        }
    }

    /// Whether an object is the adapter's, and of our release of it.
    fn is_ours<K: Resource>(&self, object: &K) -> bool {
        is_managed(object) && self.is_of_release(object)
    }

    /// Whether an object is of our release of the chart. Those of a version that did not say it are
    /// anybody's.
    fn is_of_release<K: Resource>(&self, object: &K) -> bool {
        let theirs = object.labels().get(keys::INSTANCE);
        theirs.is_none_or(|it| Some(it) == self.settings.release.as_ref())
    }

    /// Whether what was made or written at a time was not by a call that is still under way.
    fn is_old(&self, time: Timestamp, now: Timestamp) -> bool {
        let age = time.duration_until(now).max(SignedDuration::ZERO);
        age.unsigned_abs() >= self.settings.abandoned_after
    }
}

#[async_trait]
impl Engine for Kubernetes {
    fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    fn permit(&self, component: Component, store: &Store) -> Result<(), Error> {
        let Place::Directory { path, .. } = &store.place else {
            return Ok(());
        };
        let (worker, _) = render::containers(component);
        let kept = self.settings.template.keeps(path, worker);
        kept.map_err(engine::not_a_store)
    }

    async fn put(&self, schedule: &Schedule, whose: Whose) -> Result<Put, Error> {
        self.permit(Component::Backup, &schedule.plan.store)?;
        self.put_schedule(schedule, &whose).await
    }

    async fn schedule(&self, name: &Name) -> Result<Option<Schedule>, Error> {
        self.read_schedule(name).await
    }

    async fn secrets(&self, _name: &Name) -> Result<Option<Secrets>, Error> {
        // Its Role lets it write Secrets, and read none.
        Ok(None)
    }

    async fn ask(&self, question: &Question) -> Result<Vec<String>, Error> {
        self.answer(question).await
    }

    async fn delete(&self, name: &Name) -> Result<(), Error> {
        self.delete_schedule(name).await
    }

    async fn suspend(&self, name: &Name, suspended: bool) -> Result<(), Error> {
        self.suspend_schedule(name, suspended).await
    }

    async fn keep_drills(&self, name: &Name, known: &Drills, now: &Drills) -> Result<(), Error> {
        self.keep_drills_of(name, known, now).await
    }

    async fn run(&self, name: &Name, request_id: &str) -> Result<Started, Error> {
        self.run_schedule(name, request_id).await
    }

    async fn start(&self, restore: &Restore) -> Result<Started, Error> {
        self.permit(Component::Restore, &restore.store)?;
        self.restore_within_time(restore).await
    }

    async fn cancel(&self, run: &str) -> Result<(), Error> {
        self.cancel_run(run).await
    }

    async fn lines(&self, run: &str, follow: bool) -> Result<Lines, Error> {
        self.lines_of(run, follow).await
    }

    async fn inherited(&self, labels: &Labels) -> Result<Vec<Inherited>, Error> {
        self.inherited_runs(labels).await
    }

    async fn remove_inherited(&self, run: &Run) -> Result<(), Error> {
        self.remove_inherited_run(run).await
    }

    async fn note(&self, run: &Run, notes: &BTreeMap<String, String>) -> Result<(), Error> {
        self.annotate_what_is_there(run, notes.clone()).await
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.watch()
    }

    async fn acknowledge(&self, run: &Run) -> Result<(), Error> {
        self.remember_told(run).await
    }

    async fn tidy(&self) -> Result<Tidied, Error> {
        Box::pin(self.tidy_all()).await
    }

    async fn ready(&self) -> Result<(), Error> {
        self.objects.reach().await
    }

    async fn work(&self, stop: CancellationToken, leads: watch::Sender<bool>) {
        self.election().keep(&stop, &leads).await;
    }
}

/// Whether an object is the adapter's.
fn is_managed<K: Resource>(object: &K) -> bool {
    let manager = object.labels().get(keys::MANAGED_BY);
    manager.is_some_and(|it| it == keys::MANAGER)
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
