//! The kinds about backups: their controllers, and what wakes an object that waits.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{Stream, StreamExt as _, stream};
use kube::Resource;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{Lookup as _, ObjectRef, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backup::plan::schedule_of;
use super::crd::{Backup, BackupSchedule, BackupStorage, DBCluster, Database, Restore};
use super::object::Phased as _;
use super::schedule::own::Index;
use super::{
    Error, Guarded, Operator, again, backup, each, limits, restore, schedule, set, storage,
};
use crate::domain::name::Name;
use crate::service::Service;

/// What happens at once wakes those who wait for it once.
const TOGETHER: Duration = Duration::from_millis(200);

/// How many have what is stored deleted at a time.
const DELETING: usize = 2;

/// Objects of a kind, once they are watched.
pub(super) type Known<K> = Mutex<Option<Store<Guarded<K>>>>;

/// What the controllers of these kinds share.
pub(super) struct Objects {
    pub(super) service: Service,
    /// Something has changed that an object may wait for.
    stirred: watch::Sender<()>,
    /// Held by who begins a run: of two at once each would count itself alone.
    pub(super) starting: tokio::sync::Mutex<()>,
    /// Of who has stored things deleted: each takes a worker's time, and others are not to wait for it.
    pub(super) deleting: tokio::sync::Semaphore,
    storages: Known<BackupStorage>,
    pub(super) backups: Known<Backup>,
    pub(super) schedules: Known<BackupSchedule>,
    /// Which Backups a BackupSchedule has.
    own: Mutex<Index>,
}

impl Objects {
    pub(super) fn new(service: Service) -> Self {
        Self {
            service,
            stirred: watch::Sender::default(),
            starting: tokio::sync::Mutex::default(),
            deleting: tokio::sync::Semaphore::new(DELETING),
            storages: Mutex::default(),
            backups: Mutex::default(),
            schedules: Mutex::default(),
            own: Mutex::default(),
        }
    }

    pub(super) fn storage(&self, name: &str) -> Option<Arc<Guarded<BackupStorage>>> {
        store(&self.storages)?.get(&ObjectRef::new(name))
    }

    pub(super) fn backup(&self, namespace: &str, name: &str) -> Option<Arc<Guarded<Backup>>> {
        store(&self.backups)?.get(&ObjectRef::new(name).within(namespace))
    }

    /// The Backups of a namespace that can be read.
    pub(super) fn backups_in(&self, namespace: &str) -> Vec<Arc<Guarded<Backup>>> {
        let all = store(&self.backups)
            .map(|it| it.state())
            .unwrap_or_default();
        let own = all
            .into_iter()
            .filter(|it| it.namespace().as_deref() == Some(namespace) && it.0.is_ok());
        own.collect()
    }

    /// Which Backups a BackupSchedule has.
    pub(super) fn own(&self) -> MutexGuard<'_, Index> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait look again.
    pub(super) fn stir(&self) {
        self.stirred.send_replace(());
    }
}

impl Operator {
    /// The same, with the kinds about backups: their runs are the service's.
    #[must_use]
    pub fn serving(mut self, service: Service) -> Self {
        self.objects = Some(Objects::new(service));
        self
    }

    /// What objects wait for may have changed.
    pub(super) fn stir(&self) {
        if let Some(objects) = &self.objects {
            objects.stir();
        }
    }

    /// What these kinds share, once all objects are known that one may name: what is not known is taken for what
    /// is not there.
    pub(super) async fn informed(&self) -> Option<&Objects> {
        let objects = self.objects.as_ref()?;
        let filled = &self.filled;
        let all = filled.wait::<DBCluster>().await
            && filled.wait::<Database>().await
            && filled.wait::<BackupStorage>().await
            && filled.wait::<Backup>().await;
        all.then_some(objects)
    }

    /// The controllers of these kinds, until stopped.
    pub(super) async fn control_objects(self: Arc<Self>, stop: CancellationToken) {
        let Some(objects) = &self.objects else {
            return;
        };
        // What another scheduler has seen meanwhile, its own controllers tell.
        objects.service.ledger().forget_verifications();
        let operator = self.clone();
        let (storages, of_storages) = self.watch::<BackupStorage, _>(|_| ());
        let (concerned, of_own) = mpsc::unbounded();
        let (backups, of_backups) = self.watch::<Backup, _>(move |it| {
            if let Some(objects) = &operator.objects {
                objects.own().hear(it);
            }
            if let Some(schedule) = schedule::own::concerned(it) {
                // Nobody hears it while the controllers stop.
                drop(concerned.unbounded_send(schedule));
            }
        });
        let (restores, of_restores) = self.watch::<Restore, _>(|_| ());
        let (schedules, of_schedules) = self.watch::<BackupSchedule, _>(|_| ());
        set(&objects.storages, storages.clone());
        set(&objects.backups, backups.clone());
        set(&objects.schedules, schedules.clone());
        let waking = |it: &Backup| {
            let phase = it.status.as_ref().and_then(|it| it.phase());
            matches!(phase, None | Some("Pending" | "Running"))
        };
        let operator = self.clone();
        let next = move |waiting| backup::turns::next(waiting, |it| operator.server_of_backup(it));
        let of_backup = wakes(objects.stirred.subscribe(), backups.clone(), waking, next);
        let waking = |it: &Restore| {
            let phase = it.status.as_ref().and_then(|it| it.phase());
            matches!(phase, None | Some("Pending" | "Running" | "Granting"))
        };
        let all = std::convert::identity;
        let of_restore = wakes(objects.stirred.subscribe(), restores.clone(), waking, all);
        let waking = |it: &BackupSchedule| schedule::verify::waits(it);
        let all = std::convert::identity;
        let of_schedule = wakes(objects.stirred.subscribe(), schedules.clone(), waking, all);
        let stopping = || stop.clone().cancelled_owned();
        let storages = Controller::for_stream(of_storages, storages)
            .with_config(limits())
            .graceful_shutdown_on(stopping())
            .run(storage::reconcile, again, self.clone());
        let backups = Controller::for_stream(of_backups, backups)
            .with_config(limits())
            .reconcile_on(of_backup)
            .graceful_shutdown_on(stopping())
            .run(backup::reconcile, again, self.clone());
        let restores = Controller::for_stream(of_restores, restores)
            .with_config(limits())
            .reconcile_on(of_restore)
            .graceful_shutdown_on(stopping())
            .run(restore::reconcile, again, self.clone());
        let schedules = Controller::for_stream(of_schedules, schedules)
            .with_config(limits())
            .reconcile_on(stream::select(of_schedule, of_own))
            .graceful_shutdown_on(stopping())
            .run(schedule::reconcile, again, self.clone());
        tokio::join!(
            each(storages),
            each(backups),
            each(restores),
            each(schedules),
            self.hear_of_runs(stop.clone()),
            self.sweep(stop.clone()),
        );
    }

    fn server_of_backup(&self, backup: &Backup) -> Option<String> {
        let namespace = backup.namespace().unwrap_or_default();
        let server = self.server_of(&namespace, &backup.spec.database_ref.name);
        server.ok()
    }

    /// Removes, every few minutes, the schedules of Backups that are gone though nobody was let to see it.
    async fn sweep(&self, stop: CancellationToken) {
        let Some(objects) = &self.objects else {
            return;
        };
        loop {
            if self.informed().await.is_some()
                && let Ok(schedules) = objects.service.of_objects().await
            {
                let backups = store(&objects.backups).map(|it| it.state());
                let known = backups.unwrap_or_default().into_iter();
                let known: HashSet<Name> = known.map(|it| schedule_of(it.meta())).collect();
                for name in orphans(schedules, &known) {
                    tracing::info!(schedule = %name, "its Backup is gone, and it goes");
                    if let Err(error) = objects.service.remove_for_object(&name).await {
                        tracing::warn!(schedule = %name, error = error.chain(), "it is removed later");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(super::REPAIR) => {}
            }
        }
    }

    /// Whoever waits for a run hears of it.
    async fn hear_of_runs(&self, stop: CancellationToken) {
        let Some(objects) = &self.objects else {
            return;
        };
        let mut changed = objects.service.ledger().changed();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changed.changed() => match changed {
                    Ok(()) => objects.stir(),
                    Err(_nobody_tells) => return,
                },
            }
        }
    }
}

pub(super) fn store<K>(known: &Known<K>) -> Option<Store<Guarded<K>>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.clone()
}

/// The schedules of no Backup that is there.
fn orphans(schedules: Vec<Name>, known: &HashSet<Name>) -> Vec<Name> {
    let all = schedules.into_iter();
    all.filter(|it| !known.contains(it)).collect()
}

/// The objects that wait, whenever something has changed that they may wait for, as far as they come next.
fn wakes<K>(
    stirred: watch::Receiver<()>,
    objects: Store<Guarded<K>>,
    waits: fn(&K) -> bool,
    next: impl Fn(Vec<Arc<Guarded<K>>>) -> Vec<Arc<Guarded<K>>> + Send + 'static,
) -> impl Stream<Item = ObjectRef<Guarded<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let woken = stream::unfold(
        (stirred, objects, next),
        move |(mut stirred, objects, next)| async move {
            stirred.changed().await.ok()?;
            tokio::time::sleep(TOGETHER).await;
            stirred.mark_unchanged();
            let all = objects.state().into_iter();
            let waiting = all.filter(|it| it.0.as_ref().is_ok_and(waits));
            let due = next(waiting.collect()).into_iter();
            let due: Vec<_> = due.map(|it| ObjectRef::from_obj(it.as_ref())).collect();
            Some((due, (stirred, objects, next)))
        },
    );
    woken.flat_map(stream::iter)
}

/// What a call to the service came to that may do better soon.
pub(super) fn later() -> Action {
    Action::requeue(super::AGAIN)
}

impl From<crate::engine::Error> for Error {
    fn from(error: crate::engine::Error) -> Self {
        Self::Service(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Secret with a login must not outlive the object that it was written for.
    #[test]
    fn a_schedule_whose_backup_is_gone_goes_and_no_other_does() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let known = HashSet::from([name("object-1"), name("object-2")]);
        let all = vec![name("object-1"), name("object-3")];
        assert_eq!(orphans(all, &known), [name("object-3")]);
    }
}
