//! What the controllers of all kinds with finalizers and phases do to an object.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::waiting::{self, Stop};
use super::{Error, Guarded, Operator, REPAIR, about, now, status};

/// Before a server is looked for again that another scheduler has asked, and we will soon.
pub(super) const UNASKED: Duration = Duration::from_secs(2);

/// A status that says in one word how far its object is, and in a sentence why.
pub(super) trait Phased: Serialize + Default + Clone {
    fn phase(&self) -> Option<&str>;
    fn message(&self) -> Option<&str>;
}

/// One that also says since when its object waits for what it depends on.
pub(super) trait Pending: Phased {
    fn pending_since(&self) -> Option<Timestamp>;
    fn set_pending_since(&mut self, since: Timestamp);
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

/// A kind whose objects have something in a PostgreSQL server.
pub(super) trait OnServer: Namespaced + HasStatus<Status: Pending> {
    /// The phase of an object that is being deleted and waits for its server.
    const GOING: &'static str = "Deleting";
    /// The phase of an object that waits for what is there and not ready.
    const WAITING: &'static str = "Waiting";
    /// What it has there.
    const THING: &'static str;

    /// The status of an object that is not as its spec wants it: phase, reason and message.
    fn failed(&self, before: &Self::Status, phase: &str, of: (&str, &str)) -> Self::Status;
}

impl Operator {
    /// The objects of a kind beside this one.
    pub(super) fn beside<K: Namespaced>(&self, object: &K) -> Api<K> {
        let namespace = object.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }

    /// An object that can be read; the status of another one says what is wrong with it.
    pub(super) async fn readable<'a, K: Namespaced>(
        &self,
        object: &'a Guarded<K>,
    ) -> Result<Option<&'a K>, Error> {
        match &object.0 {
            Ok(object) => Ok(Some(object)),
            Err(invalid) => {
                let namespace = object.namespace().unwrap_or_default();
                let api = Api::<Guarded<K>>::namespaced(self.client.clone(), &namespace);
                status::unreadable(&api, object, &invalid.error).await?;
                Ok(None)
            }
        }
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

    /// Tells why an object does not go on, and when it is looked at again.
    pub(super) async fn halt<K: OnServer>(
        &self,
        object: &K,
        before: &K::Status,
        stop: Stop,
    ) -> Result<Action, Error> {
        let (after, again) = match stop {
            Stop::Unasked => return Ok(Action::requeue(UNASKED)),
            Stop::Waiting(waiting) => {
                let told = waiting::told(&waiting, before.pending_since(), now());
                let (phase, message, since) = told;
                let phase = if phase == "Waiting" {
                    K::WAITING
                } else {
                    phase
                };
                let mut after = object.failed(before, phase, ("Waiting", &message));
                after.set_pending_since(since);
                (after, waiting.again)
            }
            Stop::Refused(reason, message) => {
                (object.failed(before, "Failed", (reason, &message)), REPAIR)
            }
        };
        self.tell(object, before, &after).await?;
        Ok(Action::requeue(about(again, object.meta())))
    }

    /// Warns of what an object had and has no more, where that is news.
    pub(super) async fn warn_of_orphans<K: Namespaced>(
        &self,
        object: &K,
        before: Option<&Vec<String>>,
        after: Option<&Vec<String>>,
    ) {
        if let Some(left) = after.filter(|it| Some(*it) != before) {
            let note = format!(
                "what the object had before stays as it is: {}",
                left.join(", ")
            );
            self.publish(object, EventType::Warning, "Orphaned", &note)
                .await;
        }
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
        if let Some(phase) = news(before, after) {
            let message = after.message().unwrap_or_default();
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

/// The phase of which there is something new to tell. What only says what has begun has none yet, and the API server takes
/// no event without a reason.
fn news<'a, S: Phased>(before: &S, after: &'a S) -> Option<&'a str> {
    let is_news = before.phase() != after.phase() || before.message() != after.message();
    after.phase().filter(|it| is_news && !it.is_empty())
}

/// Something that an object has in a server, and which server that is.
pub(super) fn shown(thing: &str, cluster: &str, system_identifier: Option<&str>) -> String {
    match system_identifier {
        Some(it) => format!("{thing} on DBCluster {cluster} (system identifier {it})"),
        None => format!("{thing} on DBCluster {cluster}"),
    }
}

/// Adds to what an object has left behind; what it has again is not left.
pub(super) fn left(
    before: Option<&Vec<String>>,
    more: Option<String>,
    has: &str,
) -> Option<Vec<String>> {
    let mut all = before.cloned().unwrap_or_default();
    all.extend(more);
    all.sort();
    all.dedup();
    all.retain(|it| it != has);
    (!all.is_empty()).then_some(all)
}

/// Whether an object's going waits for us.
pub(super) fn is_held<K: Namespaced>(object: &K) -> bool {
    object.finalizers().iter().any(|it| it == K::FINALIZER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::DatabaseUserStatus;

    #[test]
    fn an_event_tells_another_phase_or_message_and_never_none() {
        let status = |phase: Option<&str>, message: Option<&str>| DatabaseUserStatus {
            phase: phase.map(str::to_owned),
            message: message.map(str::to_owned),
            ..DatabaseUserStatus::default()
        };
        let ready = status(Some("Ready"), None);
        for (before, after, told) in [
            (status(None, None), status(None, None), None),
            (status(None, None), status(Some(""), Some("begun")), None),
            (status(None, None), ready.clone(), Some("Ready")),
            (ready.clone(), ready.clone(), None),
            (
                ready.clone(),
                status(Some("Ready"), Some("more")),
                Some("Ready"),
            ),
            (ready, status(Some("Failed"), None), Some("Failed")),
        ] {
            assert_eq!(news(&before, &after), told, "{:?}", after.message);
        }
    }
}
