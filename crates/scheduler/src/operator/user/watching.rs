//! What wakes a user: its own changes, its Databases, their DBCluster, its Secrets, and others that want to own.

use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource, ResourceExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use super::elect::Claimant;
use super::index::Index;
use super::reconcile;
use super::spec::Reference;
use crate::operator::changes::Patience;
use crate::operator::crd::{DBCluster, Database, DatabaseUser};
use crate::operator::{Guarded, Operator, again, each, keys, limits, on, set};

/// An object that something of was heard: its kind, namespace and name.
type Heard = (String, Reference);

/// The users that there are.
#[derive(Default)]
pub(in crate::operator) struct Users {
    store: Mutex<Option<Store<Guarded<DatabaseUser>>>>,
    index: Mutex<Index>,
    listener: Mutex<Option<mpsc::UnboundedSender<Heard>>>,
}

impl Users {
    /// Something that users depend on has changed.
    pub(in crate::operator) fn heard_of<K: Resource<DynamicType = ()>>(
        &self,
        event: &Event<Guarded<K>>,
    ) {
        if let Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) = event {
            self.tell(&K::kind(&()), reference(object));
        }
    }

    /// The database of an object has other contents, which users have no privileges on yet.
    pub(in crate::operator) fn wake_those_of(&self, namespace: &str, name: &str) {
        let database = Reference {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.tell(&Database::kind(&()), database);
    }

    fn tell(&self, kind: &str, object: Reference) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener.as_ref() {
            // Nobody listens when the controllers stop.
            drop(listener.send((kind.to_owned(), object)));
        }
    }

    /// A user has changed: others that want to own what it does are told.
    fn heard_of_user(&self, event: &Event<Guarded<DatabaseUser>>) {
        let (object, is_there) = match event {
            Event::Apply(object) | Event::InitApply(object) => (object, true),
            Event::Delete(object) => (object, false),
            Event::Init | Event::InitDone => return,
        };
        let claimant = object.0.as_ref().ok().filter(|_| is_there);
        let claimant = claimant.map(Claimant::of);
        let user = reference(object);
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let contested = index.set(&user, claimant.as_ref());
        for database in contested {
            for other in index.of(&database).into_iter().filter(|it| *it != user) {
                self.tell(&DatabaseUser::kind(&()), other);
            }
        }
    }

    pub(super) fn get(&self, user: &Reference) -> Option<Arc<Guarded<DatabaseUser>>> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.as_ref()?.get(&named(user))
    }

    pub(super) fn of(&self, database: &Reference) -> Vec<Reference> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.of(database)
    }

    /// The users that a Database has.
    pub(in crate::operator) fn on(
        &self,
        database: &ObjectRef<Guarded<Database>>,
    ) -> Vec<Reference> {
        let database = Reference {
            namespace: database.namespace.clone().unwrap_or_default(),
            name: database.name.clone(),
        };
        self.of(&database)
    }

    /// Who may want to own one of these Databases.
    pub(super) fn claimants<'a>(
        &self,
        databases: impl Iterator<Item = &'a Reference>,
    ) -> Vec<Claimant> {
        let mut users: Vec<Reference> = databases.flat_map(|it| self.of(it)).collect();
        users.sort();
        users.dedup();
        let users = users.iter().filter_map(|it| self.get(it));
        users
            .filter_map(|it| it.0.as_ref().ok().map(Claimant::of))
            .collect()
    }
}

fn reference<K: Resource<DynamicType = ()>>(object: &Guarded<K>) -> Reference {
    Reference {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

fn named(user: &Reference) -> ObjectRef<Guarded<DatabaseUser>> {
    ObjectRef::new(&user.name).within(&user.namespace)
}

impl Operator {
    /// The users that a change of an object is for.
    fn woken(&self, (kind, object): &Heard) -> Vec<ObjectRef<Guarded<DatabaseUser>>> {
        let users = match kind.as_str() {
            "DBCluster" => {
                let databases = self
                    .databases
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let databases = databases.as_ref().map(|it| on(it, &object.name));
                let databases = databases.into_iter().flatten().map(|it| Reference {
                    namespace: it.namespace.unwrap_or_default(),
                    name: it.name,
                });
                databases.flat_map(|it| self.users.of(&it)).collect()
            }
            "Database" => self.users.of(object),
            _ => vec![object.clone()],
        };
        users.iter().map(named).collect()
    }
}

/// The controller of users, until stopped. It begins when all Databases are known: a user does not wait for one
/// that we have only not heard of.
pub(in crate::operator) async fn control(operator: Arc<Operator>, stop: CancellationToken) {
    let (listener, heard) = mpsc::unbounded_channel();
    set(&operator.users.listener, listener);
    let listening = operator.clone();
    let (store, objects) =
        operator.watch::<DatabaseUser, _>(move |it| listening.users.heard_of_user(it));
    set(&operator.users.store, store.clone());
    let waking = operator.clone();
    let wakes = UnboundedReceiverStream::new(heard)
        .flat_map(move |it| futures::stream::iter(waking.woken(&it)));
    let known = async {
        // Where they never are, the controllers stop.
        operator.filled.wait::<Database>().await;
        operator.filled.wait::<DBCluster>().await;
    };
    tokio::select! {
        () = stop.cancelled() => return,
        () = known => {}
    }
    let users = Controller::for_stream(objects, store)
        .with_config(limits())
        .reconcile_on(wakes)
        .reconcile_on(secrets(operator.client.clone()))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, again, operator);
    each(users).await;
}

/// The users whose Secrets change. Only metadata is read, and only of Secrets with our label.
fn secrets(client: Client) -> impl Stream<Item = ObjectRef<Guarded<DatabaseUser>>> + Send {
    let api = Api::<PartialObjectMeta<Secret>>::all(client);
    let config = watcher::Config::default().labels(keys::USER_LABEL);
    let events = watcher::watcher(api, config).backoff(Patience::default());
    let mut is_told = false;
    events.filter_map(move |event| {
        let user = match &event {
            Ok(Event::Apply(secret) | Event::Delete(secret)) => {
                let name = secret.annotations().get(keys::MANAGED_BY).cloned();
                name.map(|name| Reference {
                    namespace: secret.namespace().unwrap_or_default(),
                    name,
                })
            }
            // A watch that begins has not succeeded yet.
            Ok(Event::Init) => return futures::future::ready(None),
            Ok(_) => None,
            Err(error) => {
                if !is_told {
                    tracing::warn!(
                        error = error as &dyn std::error::Error,
                        "the operator cannot watch Secrets: what becomes of a user's is seen when it is looked at next, some minutes later"
                    );
                }
                None
            }
        };
        is_told = event.is_err();
        futures::future::ready(user.as_ref().map(named))
    })
}
