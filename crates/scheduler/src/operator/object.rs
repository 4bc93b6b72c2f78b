//! What the controllers of all kinds with finalizers and phases do to an object.

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Error, Operator, status};

/// A status that says in one word how far its object is, and in a sentence why.
pub(super) trait Phased: Serialize + Default + Clone {
    fn phase(&self) -> Option<&str>;
    fn message(&self) -> Option<&str>;
}

/// A kind whose objects the operator works on, each in its namespace.
pub(super) trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Phased>
    + Clone
    + DeserializeOwned
    + Debug
    + Sync
{
    /// What holds an object until what belongs to it has been looked at.
    const FINALIZER: &'static str;
    /// Phases that somebody should look at.
    const WARNINGS: &'static [&'static str] = &["Failed", "Deleting"];

    /// The reason of the event that tells a phase.
    fn event(phase: &str) -> &str {
        phase
    }
}

impl Operator {
    /// The objects of a kind beside this one.
    pub(super) fn beside<K: Namespaced>(&self, object: &K) -> Api<K> {
        let namespace = object.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }

    /// Holds an object, if nothing does, until what belongs to it has been looked at.
    pub(super) async fn hold<K: Namespaced>(&self, object: &K) -> Result<(), Error> {
        if is_held(object) {
            return Ok(());
        }
        let mut finalizers = object.finalizers().to_vec();
        finalizers.push(K::FINALIZER.to_owned());
        self.set_finalizers(object, finalizers).await
    }

    /// Lets an object go, and says in an event what has become of what belonged to it.
    pub(super) async fn let_go<K: Namespaced>(
        &self,
        object: &K,
        type_: EventType,
        reason: &str,
        note: &str,
    ) -> Result<Action, Error> {
        let kind = K::kind(&());
        tracing::info!(
            namespace = object.namespace(), %kind, object = %object.name_any(), reason, note,
            "an object goes"
        );
        self.publish(object, type_, reason, note).await;
        let mut finalizers = object.finalizers().to_vec();
        finalizers.retain(|it| it != K::FINALIZER);
        self.set_finalizers(object, finalizers).await?;
        Ok(Action::await_change())
    }

    async fn set_finalizers<K: Namespaced>(
        &self,
        object: &K,
        finalizers: Vec<String>,
    ) -> Result<(), Error> {
        let mut metadata = Map::new();
        metadata.insert("finalizers".to_owned(), finalizers.into());
        // A finalizer that somebody has set meanwhile stays.
        metadata.insert(
            "resourceVersion".to_owned(),
            object.resource_version().into(),
        );
        let mut whole = Map::new();
        whole.insert("metadata".to_owned(), metadata.into());
        let patch = Patch::Merge(Value::Object(whole));
        let api = self.beside(object);
        let name = object.name_any();
        let done = api.patch(&name, &PatchParams::default(), &patch).await;
        let doing = format!("write the finalizers of {} {name}", K::kind(&()));
        done.map(drop).map_err(Error::api(doing))
    }

    /// Writes the status, and an event where phase or message is another. Whether anything was written.
    pub(super) async fn tell<K: Namespaced>(
        &self,
        object: &K,
        before: &K::Status,
        after: &K::Status,
    ) -> Result<bool, Error> {
        if !status::write(&self.beside(object), object, before, after).await? {
            return Ok(false);
        }
        let phase = after.phase().unwrap_or_default();
        let message = after.message().unwrap_or_default();
        if before.phase() != Some(phase) || before.message() != Some(message) {
            let type_ = if K::WARNINGS.contains(&phase) {
                EventType::Warning
            } else {
                EventType::Normal
            };
            self.publish(object, type_, K::event(phase), message).await;
        }
        Ok(true)
    }
}

/// Whether an object's going waits for us.
pub(super) fn is_held<K: Namespaced>(object: &K) -> bool {
    object.finalizers().iter().any(|it| it == K::FINALIZER)
}
