//! An object that is deleted, of any kind that has something in a server: with which server that is looked at, and
//! what becomes of the object where it cannot be.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use super::cluster::identity;
use super::crd::DBCluster;
use super::database::Trouble;
use super::object::{Namespaced, OnServer};
use super::servers::Server;
use super::{Error, Operator, about, keys};

const AGAIN: Duration = Duration::from_secs(20);

/// The server of an object that goes.
pub(super) enum Last {
    /// Its DBCluster is gone.
    Gone,
    /// It will be asked soon.
    Unasked,
    /// It does not answer.
    Unseen,
    Server(Arc<Server>),
}

impl Operator {
    /// The server that a DBCluster names.
    pub(super) async fn last(&self, named: &str) -> Result<Last, Error> {
        // What we have heard of may not be all there is yet: that a DBCluster is gone, the API server says.
        let api: Api<DBCluster> = Api::all(self.client.clone());
        let cluster = api.get_opt(named).await;
        let cluster = cluster.map_err(Error::api(format!("read DBCluster {named}")))?;
        let Some(cluster) = cluster else {
            return Ok(Last::Gone);
        };
        if let Some(server) = self.servers.get(named, &identity(&cluster)) {
            return Ok(Last::Server(server));
        }
        let status = cluster.status.unwrap_or_default();
        let is_of_spec = status.observed_generation == cluster.metadata.generation;
        if is_of_spec && status.phase.as_deref() == Some("Failed") {
            return Ok(Last::Unseen);
        }
        Ok(Last::Unasked)
    }

    /// Whether the definition of a kind is being removed: it takes its objects along, and nobody asked for what
    /// they have in servers to go.
    pub(super) async fn loses_its_kind<K: Namespaced>(&self) -> Result<bool, Error> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = format!("{}.{}", K::plural(&()), K::group(&()));
        let found = api.get_metadata_opt(&name).await;
        let found = found.map_err(Error::api(format!("read CustomResourceDefinition {name}")))?;
        Ok(found.is_none_or(|it| it.metadata.deletion_timestamp.is_some()))
    }

    /// An object whose server cannot be asked goes where nothing was to be dropped, or somebody says so.
    pub(super) async fn go_unseen<K: OnServer>(
        &self,
        object: &K,
        named: &str,
        drops: bool,
    ) -> Result<Action, Error> {
        let release = keys::FORCE_RELEASE;
        if keys::says(object, release) || !drops {
            let note =
                format!("DBCluster '{named}' is not connected: nothing was done in PostgreSQL");
            return self.let_go(object, EventType::Warning, "Left", &note).await;
        }
        let message = format!(
            "DBCluster '{named}' is not connected, so its {} cannot be looked at; to let the object go all the same, set annotation {release}: \"true\"",
            K::THING
        );
        self.hold_on(object, ("Waiting", &message), AGAIN).await
    }

    /// An object whose server refuses goes where somebody says so.
    pub(super) async fn stay<K: OnServer>(
        &self,
        object: &K,
        trouble: &Trouble,
    ) -> Result<Action, Error> {
        let (reason, message, again) = trouble.told();
        if keys::says(object, keys::FORCE_RELEASE) {
            return self
                .let_go(object, EventType::Warning, "Left", &message)
                .await;
        }
        self.hold_on(object, (reason, &message), again).await
    }

    pub(super) async fn hold_on<K: OnServer>(
        &self,
        object: &K,
        of: (&str, &str),
        again: Duration,
    ) -> Result<Action, Error> {
        let before = object.status().cloned().unwrap_or_default();
        let after = object.failed(&before, K::GOING, of);
        self.tell(object, &before, &after).await?;
        Ok(Action::requeue(about(again, object.meta())))
    }
}
