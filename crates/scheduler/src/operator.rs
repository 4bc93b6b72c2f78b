//! Databases as objects of Kubernetes, `dbtether.io/v1alpha1`: one controller a kind.
//!
//! ```text
//! an object ─▶ gate (pure: may it go on, or what does it wait for) ─▶ postgres (pure: wanted × found ─▶ SQL)
//!           ◀─ status, conditions, events
//! ```
//!
//! Only the scheduler that leads has controllers. What they do is repeated whenever an object changes, the
//! DBCluster that it is on does, and every few minutes, so that whatever was changed behind them is seen.

mod backup;
mod census;
mod changes;
mod cluster;
pub mod crd;
mod database;
mod dependencies;
mod filled;
mod go;
mod inherited;
mod keys;
mod leaving;
mod namespaces;
mod object;
mod objects;
mod pace;
mod removal;
mod restore;
mod runs;
mod schedule;
mod servers;
mod spec_hash;
mod status;
mod storage;
mod user;
mod waiting;

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backuper::postgres::SslMode;
use backuper::text;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt as _};
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use census::Census;
use crd::{DBCluster, Database};
use filled::Filled;
use objects::Objects;
use servers::Servers;
use user::Users;

/// The Lease that dbtether holds while it works, and we do.
pub const LEASE: &str = "dbtether.io";
/// How often an object that is as it should be is looked at again.
const REPAIR: Duration = Duration::from_secs(300);
/// How long what is under way may take when the controllers stop.
const FAREWELL: Duration = Duration::from_secs(5);
/// Before a call to the API server is tried again.
const AGAIN: Duration = Duration::from_secs(15);
/// Among how many the events are shared out.
const RECORDERS: u32 = 64;
/// Bytes of an event's note.
const NOTE: usize = 1024;
/// The most that are worked on at a time, of each kind. Statements of one server take turns anyway.
const AT_A_TIME: u16 = 64;

/// What a controller has not done.
type Failure = controller::Error<Error, watcher::Error>;

/// An object that may be one that cannot be read.
type Guarded<K> = DeserializeGuard<K>;

/// What the operator is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How connections are encrypted where a DBCluster does not say it.
    pub sslmode: SslMode,
    /// Whether all namespaces may use a DBCluster that does not say which; else none may.
    pub all_namespaces: bool,
    /// The same of a Database; else only those of its own namespace may.
    pub all_databases: bool,
}

/// Why the operator could not do something with the cluster's API.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration of the API server's address is unusable.
    #[error("find a cluster to speak to")]
    Configuration(#[from] kube::config::InferConfigError),
    /// The API server's answer, or the lack of one.
    #[error("{doing}")]
    Api {
        /// What was being done, and to what.
        doing: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// What the scheduler itself could not do.
    #[error("have a run")]
    Service(#[source] crate::engine::Error),
}

impl Error {
    fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        |error| Self::Api {
            doing,
            source: Box::new(error),
        }
    }

    /// Why the API server will not have it, such as by an admission policy.
    fn refusal(&self) -> Option<&str> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(it) if it.code == 403 || it.code == 422 => Some(&it.message),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether somebody else has changed the object meanwhile.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(source.as_ref(), kube::Error::Api(it) if it.code == 409))
    }
}

/// The operator: what all controllers share.
pub struct Operator {
    client: Client,
    settings: Settings,
    /// Each looks through all that it has told in the last minutes, so that there are several.
    events: Vec<Recorder>,
    census: Census,
    filled: Filled,
    servers: Servers,
    identity: OnceCell<String>,
    /// DBClusters that have changed in a way that those who use them are to know.
    changed: Mutex<Option<mpsc::UnboundedSender<String>>>,
    clusters: Mutex<Option<Store<Guarded<DBCluster>>>>,
    databases: Mutex<Option<Store<Guarded<Database>>>>,
    users: Users,
    /// Databases that are to be looked at again.
    woken: Mutex<Option<mpsc::UnboundedSender<ObjectRef<Guarded<Database>>>>>,
    /// The kinds about backups, where they are served.
    objects: Option<Objects>,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Operator");
        shown
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Operator {
    /// An operator of the cluster that we run in, or that the kubeconfig names.
    ///
    /// # Errors
    /// When there is none, or its configuration is unusable.
    pub async fn infer(settings: Settings) -> Result<Self, Error> {
        let config = kube::Config::infer().await?;
        let client =
            Client::try_from(config).map_err(Error::api("prepare to speak to the cluster"))?;
        Ok(Self::new(client, settings))
    }

    /// An operator that speaks through this client.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        let reporter = Reporter {
            controller: "postgres-adapter".to_owned(),
            instance: None,
        };
        Self {
            events: (0..RECORDERS)
                .map(|_| Recorder::new(client.clone(), reporter.clone()))
                .collect(),
            client,
            settings,
            census: Census::default(),
            filled: Filled::default(),
            servers: Servers::default(),
            identity: OnceCell::new(),
            changed: Mutex::default(),
            clusters: Mutex::default(),
            databases: Mutex::default(),
            users: Users::default(),
            woken: Mutex::default(),
            objects: None,
        }
    }

    /// Works whenever this scheduler leads, until stopped.
    pub async fn work(self: Arc<Self>, mut leads: watch::Receiver<bool>, stop: CancellationToken) {
        loop {
            let leading = tokio::select! {
                () = stop.cancelled() => return,
                leading = leads.wait_for(|it| *it) => leading.map(drop),
            };
            if leading.is_err() {
                return;
            }
            let until = stop.child_token();
            let control = ending(self.clone().control(until.clone()), until.clone());
            tokio::pin!(control);
            let is_over = async { leads.wait_for(|it| !*it).await.map(drop) };
            let is_over = tokio::select! {
                () = &mut control => false,
                _ = is_over => true,
            };
            if is_over {
                until.cancel();
                control.await;
            }
            // What another one changes meanwhile is not what we remember.
            self.census.forget();
            self.servers.forget_all();
        }
    }

    /// All controllers, until stopped.
    async fn control(self: Arc<Self>, stop: CancellationToken) {
        let (changed, changes) = mpsc::unbounded_channel();
        let operator = self.clone();
        let (clusters, of_clusters) =
            self.watch::<DBCluster, _>(move |it| operator.users.heard_of(it));
        let operator = self.clone();
        let (databases, of_databases) =
            self.watch::<Database, _>(move |it| operator.users.heard_of(it));
        set(&self.changed, changed);
        set(&self.clusters, clusters.clone());
        set(&self.databases, databases.clone());
        let (woken, awake) = mpsc::unbounded_channel();
        set(&self.woken, woken);
        let clusters = Controller::for_stream(of_clusters, clusters)
            .with_config(limits())
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(cluster::reconcile, again, self.clone());
        let using = databases.clone();
        let wakes = UnboundedReceiverStream::new(changes)
            .flat_map(move |cluster| futures::stream::iter(on(&using, &cluster)));
        let wakes = futures::stream::select(wakes, UnboundedReceiverStream::new(awake));
        let databases = Controller::for_stream(of_databases, databases)
            .with_config(limits())
            .reconcile_on(wakes)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(database::reconcile, again, self.clone());
        let users = user::control(self.clone(), stop.clone());
        let objects = self.clone().control_objects(stop);
        tracing::info!("the operator's controllers have started");
        tokio::join!(each(clusters), each(databases), users, objects);
        tracing::info!("the operator's controllers have stopped");
    }

    /// Who we are beside other clusters: the uid of the namespace kube-system.
    async fn identity(&self) -> Result<&str, Error> {
        let asked = self.identity.get_or_try_init(|| async {
            let api: Api<Namespace> = Api::all(self.client.clone());
            let found = api.get_metadata("kube-system").await;
            let found = found.map_err(Error::api("read namespace kube-system"))?;
            Ok(found.uid().unwrap_or_default())
        });
        asked.await.map(String::as_str)
    }

    /// Those who use a DBCluster look at it again.
    fn wake_users_of(&self, cluster: &str) {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(changed) = changed.as_ref() {
            // Nobody listens when the controllers stop.
            drop(changed.send(cluster.to_owned()));
        }
        self.stir();
    }

    /// A database has other contents: its object, and those who use it, look at it again.
    fn wake_users_of_database(&self, namespace: &str, name: &str) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(woken) = woken.as_ref() {
            drop(woken.send(ObjectRef::new(name).within(namespace)));
        }
        self.users.wake_those_of(namespace, name);
    }

    fn cluster(&self, name: &str) -> Option<Arc<Guarded<DBCluster>>> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.as_ref()?.get(&ObjectRef::new(name))
    }

    fn database(&self, namespace: &str, name: &str) -> Option<Arc<Guarded<Database>>> {
        let databases = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        databases
            .as_ref()?
            .get(&ObjectRef::new(name).within(namespace))
    }

    /// Tells of an object what `kubectl describe` shows.
    async fn publish<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        type_: EventType,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(text::within(note, NOTE).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let one = usize::try_from(one_of(RECORDERS, object.meta())).unwrap_or(0);
        let Some(recorder) = self.events.get(one) else {
            return;
        };
        if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                reason,
                "it is no event"
            );
        }
    }
}

fn set<T>(place: &Mutex<Option<T>>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

/// Work, until a while after it was asked to stop: a controller whose objects cannot be listed would never end.
async fn ending(work: impl Future<Output = ()>, stop: CancellationToken) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        () = work => {}
        () = late => tracing::warn!("the operator's controllers did not end in time, and are ended"),
    }
}

fn limits() -> kube::runtime::controller::Config {
    kube::runtime::controller::Config::default().concurrency(AT_A_TIME)
}

/// The databases on a DBCluster.
fn on(databases: &Store<Guarded<Database>>, cluster: &str) -> Vec<ObjectRef<Guarded<Database>>> {
    let all = databases.state().into_iter();
    let theirs = all.filter(|it| {
        it.0.as_ref()
            .is_ok_and(|it| it.spec.cluster_ref.name == cluster)
    });
    theirs.map(|it| ObjectRef::from_obj(it.as_ref())).collect()
}

/// Works on objects as they come.
async fn each<K>(outcomes: impl Stream<Item = Result<(ObjectRef<K>, Action), Failure>>)
where
    K: Resource<DynamicType = ()>,
{
    let outcomes = std::pin::pin!(outcomes);
    outcomes
        .for_each(async |outcome| {
            // Why a kind cannot be watched was told where it is.
            if let Err(controller::Error::ReconcilerFailed(error, object)) = outcome {
                tracing::warn!(
                    %object, error = text::chain(&error),
                    "an object is looked at again soon"
                );
            }
        })
        .await;
}

/// When to try again what the API server did not do.
#[expect(clippy::needless_pass_by_value, reason = "a controller hands it over")]
fn again<K>(_object: Arc<K>, error: &Error, operator: Arc<Operator>) -> Action
where
    K: Resource<DynamicType = ()>,
{
    operator.census.failed(&K::kind(&()));
    Action::requeue(if error.is_conflict() {
        Duration::from_secs(1)
    } else {
        AGAIN
    })
}

/// A time and up to a tenth more: what began together does not stay together.
fn about(time: Duration, object: &ObjectMeta) -> Duration {
    time + time * one_of(100, object) / 1000
}

/// A number below this one, for each object always the same.
fn one_of(many: u32, object: &ObjectMeta) -> u32 {
    let mut hasher = std::hash::DefaultHasher::new();
    object.uid.hash(&mut hasher);
    u32::try_from(std::hash::Hasher::finish(&hasher) % u64::from(many)).unwrap_or(0)
}

fn now() -> Timestamp {
    // Kubernetes keeps seconds.
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
