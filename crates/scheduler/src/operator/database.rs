//! Database: made where there is none, marked as its object's, and kept as the spec says.

mod ensure;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use super::cluster::identity;
use super::crd::{AllowedNamespaces, DBCluster, Database, DatabaseStatus};
use super::object::{Namespaced, OnServer, Pending, Phased};
use super::servers::Server;
use super::waiting::{Stop, Waiting};
use super::{Error, Guarded, Operator, about, keys, namespaces, removal};
use crate::postgres::owner::Owner;
use ensure::Wish;
pub(super) use ensure::{Trouble, doing, drop_role, found};
pub(super) use told::failed;
use told::ready;

/// Before a server that did not do something is asked again.
pub(super) const TRANSIENT: Duration = Duration::from_secs(60);
/// Before what is not there is looked for again, if nobody tells of it.
pub(super) const MISSING: Duration = Duration::from_secs(30);
/// The same of what is not ready.
pub(super) const UNCONNECTED: Duration = Duration::from_secs(20);

pub(super) async fn reconcile(
    object: Arc<Guarded<Database>>,
    operator: Arc<Operator>,
) -> Result<Action, Error> {
    let Some(object) = operator.readable(&object).await? else {
        return Ok(Action::await_change());
    };
    if object.metadata.deletion_timestamp.is_some() {
        return removal::reconcile(object, &operator).await;
    }
    operator.hold(object).await?;
    let mut before = object.status.clone().unwrap_or_default();
    let server = match operator.gate(object).await? {
        Ok(server) => server,
        Err(stop) => return operator.halt(object, &before, stop).await,
    };
    if matches!(before.phase.as_deref(), None | Some("Pending" | "Waiting")) {
        let after = failed(
            object,
            &before,
            "Creating",
            "Creating",
            "creating database...",
        );
        operator.tell_database(object, &before, &after).await?;
        before = after;
    }
    let wish = Wish {
        name: name(object),
        owner: operator.owner(object).await?,
        object,
        operator: &operator,
        kept: before.kept.clone(),
    };
    let ensured = server
        .in_turn(async |session, facts| wish.ensure(&server, session, facts).await)
        .await;
    let (after, again) = match ensured {
        Ok(ensured) => {
            if let Some(lost) = &ensured.lost {
                let note = format!(
                    "{} was gone, and an empty one was made in its place: restore a backup",
                    told::shown(lost)
                );
                tracing::warn!(namespace = object.namespace(), object = %object.name_any(), "{note}");
                operator
                    .publish(object, EventType::Warning, "Recreated", &note)
                    .await;
            }
            let cluster = &object.spec.cluster_ref.name;
            let again = operator.repair_after(cluster, &server);
            (ready(object, &before, &ensured), again)
        }
        Err(trouble) => {
            let (reason, message, again) = trouble.told();
            (failed(object, &before, "Failed", reason, &message), again)
        }
    };
    operator.tell_database(object, &before, &after).await?;
    Ok(Action::requeue(about(again, &object.metadata)))
}

/// The database's name in PostgreSQL.
pub(super) fn name(object: &Database) -> String {
    match object.spec.database_name.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => object.name_any().replace('-', "_"),
    }
}

/// Whether PostgreSQL can have a database of this name. Manual, 4.1.1: identifiers.
pub(super) fn is_possible(name: &str) -> bool {
    name.len() <= 63 && !name.contains('\0')
}

/// Whether a DBCluster is one that can be used now.
fn gate<'a>(cluster: Option<&'a DBCluster>, named: &str) -> Result<&'a DBCluster, Waiting> {
    let Some(cluster) = cluster else {
        return Err(Waiting {
            phase: "Pending",
            message: format!("waiting for DBCluster '{named}'"),
            again: MISSING,
        });
    };
    let status = cluster.status.clone().unwrap_or_default();
    let is_connected = status.phase.as_deref() == Some("Connected");
    // What was found before its spec changed is about another server.
    let is_of_spec = status.observed_generation == cluster.metadata.generation;
    if is_connected && is_of_spec && cluster.metadata.deletion_timestamp.is_none() {
        return Ok(cluster);
    }
    Err(Waiting {
        phase: "Waiting",
        message: format!("waiting for DBCluster '{named}' to be connected"),
        again: UNCONNECTED,
    })
}

impl Operator {
    /// Whether an object may go on, and with which server.
    async fn gate(&self, object: &Database) -> Result<Result<Arc<Server>, Stop>, Error> {
        let named = &object.spec.cluster_ref.name;
        let name = name(object);
        if !is_possible(&name) {
            let message =
                format!("{name} is no name of a database: 63 bytes at most; set spec.databaseName");
            return Ok(Err(Stop::Refused("InvalidName", message)));
        }
        let namespace = object.namespace().unwrap_or_default();
        self.usable(named, &namespace).await
    }

    /// Whether a DBCluster may be used by objects of a namespace now, and which server it is.
    pub(super) async fn usable(
        &self,
        named: &str,
        namespace: &str,
    ) -> Result<Result<Arc<Server>, Stop>, Error> {
        let found = self.cluster(named);
        let cluster = found.as_deref().and_then(|it| it.0.as_ref().ok());
        if cluster.is_none() {
            self.servers.forget(named);
        }
        let cluster = match gate(cluster, named) {
            Ok(cluster) => cluster,
            Err(waiting) => return Ok(Err(Stop::Waiting(waiting))),
        };
        let allowed = cluster.spec.allowed_namespaces.as_ref();
        let what = format!("DBCluster '{named}'");
        if let Err(stop) = self.consents(&what, allowed, namespace).await? {
            return Ok(Err(stop));
        }
        let server = self.servers.get(named, &identity(cluster));
        Ok(server.ok_or(Stop::Unasked))
    }

    /// Whether what is in a Database is for objects of a namespace: its own, and those that it names. One that is
    /// not there names none.
    pub(super) async fn admits(
        &self,
        (namespace, name): (&str, &str),
        other: &str,
    ) -> Result<Result<(), Stop>, Error> {
        if namespace == other {
            return Ok(Ok(()));
        }
        let object = self.database(namespace, name);
        let object = object.as_deref().and_then(|it| it.0.as_ref().ok());
        let allowed = object.and_then(|it| it.spec.allowed_namespaces.as_ref());
        // It names no namespace but its own.
        let none = AllowedNamespaces::default();
        let allowed = namespaces::of_database(allowed, self.settings.all_databases, &none);
        let what = format!("Database '{namespace}/{name}'");
        self.consents(&what, allowed, other).await
    }

    /// Whether something is for objects of a namespace.
    pub(super) async fn consents(
        &self,
        what: &str,
        allowed: Option<&AllowedNamespaces>,
        namespace: &str,
    ) -> Result<Result<(), Stop>, Error> {
        let labels = if namespaces::needs_labels(allowed, namespace) {
            self.labels(namespace).await?
        } else {
            BTreeMap::new()
        };
        let by_default = self.settings.all_namespaces;
        let refused = match namespaces::allows(allowed, by_default, namespace, &labels) {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => format!(
                "{what} is not for objects of namespace '{namespace}': its allowedNamespaces must name it"
            ),
            Err(error) => error,
        };
        Ok(Err(Stop::Refused("NotAllowed", refused)))
    }

    pub(super) async fn labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_metadata(namespace).await;
        let found = found.map_err(Error::api(format!("read namespace {namespace}")))?;
        Ok(found.metadata.labels.unwrap_or_default())
    }

    /// Who an object is in a server.
    pub(super) async fn owner<K: Namespaced>(&self, object: &K) -> Result<Owner, Error> {
        Ok(Owner {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            cluster: self.identity().await?.to_owned(),
        })
    }

    /// Writes the status, and events of what is new in it.
    pub(super) async fn tell_database(
        &self,
        object: &Database,
        before: &DatabaseStatus,
        after: &DatabaseStatus,
    ) -> Result<(), Error> {
        if !self.tell(object, before, after).await? {
            return Ok(());
        }
        self.stir();
        let (before, after) = (before.orphaned.as_ref(), after.orphaned.as_ref());
        self.warn_of_orphans(object, before, after).await;
        Ok(())
    }
}

impl Phased for DatabaseStatus {
    fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl Pending for DatabaseStatus {
    fn pending_since(&self) -> Option<Timestamp> {
        self.pending_since.as_ref().map(|it| it.0)
    }

    fn set_pending_since(&mut self, since: Timestamp) {
        self.pending_since = Some(Time(since));
    }
}

impl Namespaced for Database {
    const FINALIZER: &'static str = keys::DATABASE_FINALIZER;
}

impl OnServer for Database {
    const THING: &'static str = "database";

    fn failed(
        &self,
        before: &DatabaseStatus,
        phase: &str,
        (reason, message): (&str, &str),
    ) -> DatabaseStatus {
        failed(self, before, phase, reason, message)
    }
}
