//! BackupStorage: whether the place can be reached, and may be used.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use super::crd::{BackupStorage, BackupStorageSpec, BackupStorageStatus};
use super::object::Phased;
use super::{Error, Guarded, Operator, about, dependencies, now, status};
use crate::engine::Kind;
use crate::service::checks::Reach;

/// Before a place that could be reached is tried again.
const READY: Duration = Duration::from_secs(30 * 60);
/// Before one that could not.
const FAILED: Duration = Duration::from_secs(60);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(15);

/// A storage's state, as its phase and condition tell it: a reason and a sentence.
type Examined = Result<(&'static str, String), (&'static str, String)>;

pub(super) async fn reconcile(
    object: Arc<Guarded<BackupStorage>>,
    operator: Arc<Operator>,
) -> Result<Action, Error> {
    let storage = match &object.0 {
        Ok(storage) => storage,
        Err(invalid) => {
            let api = Api::<Guarded<BackupStorage>>::all(operator.client.clone());
            status::unreadable(&api, &object, &invalid.error).await?;
            return Ok(Action::await_change());
        }
    };
    if storage.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let examined = operator.examine_storage(&storage.spec).await;
    let before = storage.status.clone().unwrap_or_default();
    let after = told(&before, storage, &examined, now());
    let api = Api::<BackupStorage>::all(operator.client.clone());
    if status::write(&api, storage, &before, &after).await? {
        if (&before.phase, &before.message) != (&after.phase, &after.message) {
            let (type_, (reason, message)) = match &examined {
                Ok(it) => (EventType::Normal, it),
                Err(it) => (EventType::Warning, it),
            };
            operator.publish(storage, type_, reason, message).await;
        }
        operator.stir();
    }
    let again = if examined.is_ok() { READY } else { FAILED };
    Ok(Action::requeue(about(again, &storage.metadata)))
}

impl Phased for BackupStorageStatus {
    fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl Operator {
    async fn examine_storage(&self, spec: &BackupStorageSpec) -> Examined {
        dependencies::place(spec).map_err(|why| ("InvalidSpec", why))?;
        let store = self.store(spec).await;
        let store = store.map_err(|why| ("CredentialsError", why))?;
        let Some(objects) = &self.objects else {
            return Err(("Unserved", "backups are not served".to_owned()));
        };
        match objects.service.reach(&store, LIMIT).await {
            Ok(Reach::Reached) => Ok(("Reachable", "storage reachable".to_owned())),
            Ok(Reach::Refused(why)) => Err(("Unreachable", why)),
            Ok(Reach::Untried(why)) => Ok(("Untried", format!("not tried from here: {why}"))),
            Err(error) if error.kind() == Kind::Denied => Err(("NotAllowed", error.chain())),
            Err(error) => Err(("Unreachable", error.chain())),
        }
    }
}

/// s3 before gcs before azure; none: empty.
fn provider(spec: &BackupStorageSpec) -> &'static str {
    match spec {
        BackupStorageSpec { s3: Some(_), .. } => "s3",
        BackupStorageSpec { gcs: Some(_), .. } => "gcs",
        BackupStorageSpec { azure: Some(_), .. } => "azure",
        _ => "",
    }
}

/// What the status says.
fn told(
    before: &BackupStorageStatus,
    storage: &BackupStorage,
    examined: &Examined,
    now: Timestamp,
) -> BackupStorageStatus {
    let generation = storage.metadata.generation;
    let (is_ready, (reason, message)) = match examined {
        Ok(it) => (true, it),
        Err(it) => (false, it),
    };
    let mut after = BackupStorageStatus {
        phase: Some(if is_ready { "Ready" } else { "Failed" }.to_owned()),
        message: Some(message.clone()),
        provider: Some(provider(&storage.spec).to_owned()),
        observed_generation: generation,
        ..before.clone()
    };
    let ready = status::condition(status::READY, is_ready, reason, message, (generation, now));
    status::set(&mut after.conditions, ready);
    if after != *before {
        after.last_validation = Some(Time(now));
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::{Azure, Gcs, S3};

    fn all() -> BackupStorageSpec {
        BackupStorageSpec {
            s3: Some(S3::default()),
            gcs: Some(Gcs::default()),
            azure: Some(Azure::default()),
            ..BackupStorageSpec::default()
        }
    }

    /// operator.md, S2.
    #[test]
    fn the_first_provider_counts() {
        let mut spec = all();
        assert_eq!(provider(&spec), "s3");
        spec.s3 = None;
        assert_eq!(provider(&spec), "gcs");
        spec.gcs = None;
        assert_eq!(provider(&spec), "azure");
        assert_eq!(provider(&BackupStorageSpec::default()), "");
    }

    /// operator.md, S5.
    #[test]
    fn the_status_changes_where_something_has() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut storage = BackupStorage::new("x", all());
        let none = BackupStorageStatus::default();
        let reached = Ok(("Reachable", "storage reachable".to_owned()));
        let first = told(&none, &storage, &reached, at(1));
        assert_eq!(first.phase.as_deref(), Some("Ready"));
        assert_eq!(first.last_validation, Some(Time(at(1))));
        assert_eq!(told(&first, &storage, &reached, at(2)), first);
        storage.metadata.generation = Some(2);
        let newer = told(&first, &storage, &reached, at(3));
        assert_eq!(newer.last_validation, Some(Time(at(3))));
        let failed = told(
            &newer,
            &storage,
            &Err(("Unreachable", "no".to_owned())),
            at(4),
        );
        assert_eq!(failed.phase.as_deref(), Some("Failed"));
        assert_eq!(failed.conditions.unwrap()[0].reason, "Unreachable");
    }
}
