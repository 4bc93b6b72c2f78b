//! A Backup whose object goes: its run is ended, and what is stored stays or goes as the object says.

use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use kube::ResourceExt as _;

use super::{Working, plan};
use crate::domain::options::Options;
use crate::domain::question::Given;
use crate::operator::crd::{Backup, BackupSchedule, BackupStatus, Former, Stored};
use crate::operator::dependencies::{self, Lack};
use crate::operator::object::{self, Phased as _};
use crate::operator::{Error, about, inherited, keys, now, status};

/// Before it is seen whether it is our turn.
const TURN: Duration = Duration::from_secs(10);
/// Before what could not be removed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

pub(super) async fn remove(working: &Working<'_>) -> Result<Action, Error> {
    let Working {
        operator,
        objects,
        object,
        before,
        name,
    } = working;
    if !object::is_held(*object) {
        return Ok(Action::await_change());
    }
    objects.service.remove_for_object(name).await?;
    inherited::end(&objects.service, &working.inherited().await?).await?;
    objects.stir();
    let goes = object.spec.deletion_policy == "Delete" || keys::says(*object, keys::EXPIRED);
    // A kind that is removed takes its objects along, and nobody asked for what is stored to go.
    let goes = goes
        && !operator.loses_its_kind::<Backup>().await?
        && !operator.loses_its_kind::<BackupSchedule>().await?;
    let all = stored_of(before);
    let paths: Vec<&str> = all.iter().map(|it| it.path.as_str()).collect();
    let paths = paths.join(", ");
    if all.is_empty() || !goes {
        let note = if all.is_empty() {
            "nothing was stored that is known".to_owned()
        } else {
            format!("{paths}: it stays in the storage")
        };
        return operator
            .let_go(*object, EventType::Normal, "Retained", &note)
            .await;
    }
    let Ok(_turn) = objects.deleting.try_acquire() else {
        return Ok(Action::requeue(about(TURN, &object.metadata)));
    };
    match working.delete_all(&all).await {
        Ok(note) => {
            operator
                .let_go(*object, EventType::Normal, "Deleted", &note)
                .await
        }
        Err(why) if keys::says(*object, keys::FORCE_RELEASE) => {
            let note = format!("{paths}: not all of it is deleted from the storage: {why}");
            operator
                .let_go(*object, EventType::Warning, "Retained", &note)
                .await
        }
        Err(why) => working.stay(&why).await,
    }
}

/// What a Backup has stored, by all of its runs.
fn stored_of(status: &BackupStatus) -> Vec<Former> {
    let newest = status.path.clone().map(|path| Former {
        path,
        stored: status.stored.clone(),
    });
    let former = status.former.iter().flatten().cloned();
    former.chain(newest).collect()
}

impl Working<'_> {
    /// Deletes all that is stored, the oldest first; gives what was done. What is gone already is success.
    async fn delete_all(&self, all: &[Former]) -> Result<String, String> {
        let mut notes = Vec::new();
        for one in all {
            notes.push(self.delete(one).await?);
        }
        Ok(notes.join("; "))
    }

    async fn delete(&self, Former { path, stored }: &Former) -> Result<String, String> {
        let stored = match stored {
            Some(stored) => stored.clone(),
            None => self.stored_by_dbtether().await?,
        };
        let namespace = self.object.namespace().unwrap_or_default();
        // A status that somebody has written opens no storage that the namespace may not use.
        let storage = self.operator.storage(&namespace, &stored.storage).await;
        let store = storage.map_err(|lack| lack.of_backup())?.store;
        let (store, key) = dependencies::below(store, stored.prefix.as_deref(), path)?;
        let source = stored.source.parse().map_err(|why: &str| {
            format!("{:?} does not say whose backup it is: {why}", stored.source)
        })?;
        let given = Given {
            source: Some(source),
            store: Some(store),
            options: Options {
                layout: dependencies::layout(&stored)?,
                ..Options::default()
            },
            ..Given::default()
        };
        let service = &self.objects.service;
        match service.delete_for_object(given, key).await {
            Ok(deleted) => Ok(format!(
                "{path} is deleted from the storage: {} objects, {} bytes",
                deleted.objects, deleted.bytes
            )),
            Err(error) => Err(error.chain()),
        }
    }

    /// What dbtether has stored lies as the objects say now: it keeps no more than the key.
    async fn stored_by_dbtether(&self) -> Result<Stored, String> {
        let (object, operator) = (self.object, self.operator);
        let namespace = object.namespace().unwrap_or_default();
        let database = &object.spec.database_ref.name;
        let source = operator.source(&namespace, database).await;
        let storage = operator
            .storage(&namespace, &object.spec.storage_ref.name)
            .await;
        let told = |lack: Lack| lack.of_backup();
        let (source, storage) = (source.map_err(told)?, storage.map_err(told)?);
        Ok(plan::stored(object, &source, &storage))
    }

    /// Tells what holds the object, and what lets it go.
    async fn stay(&self, why: &str) -> Result<Action, Error> {
        let message = format!(
            "what is stored could not be deleted: {why}; to let the object go all the same, set annotation {}: \"true\"",
            keys::FORCE_RELEASE
        );
        let mut after = BackupStatus {
            message: Some(message.clone()),
            ..self.before.clone()
        };
        let of = (self.object.metadata.generation, now());
        let ready = status::condition(status::READY, false, "DeletionBlocked", &message, of);
        status::set(&mut after.conditions, ready);
        let api = self.operator.beside(self.object);
        if status::write(&api, self.object, &self.before, &after).await?
            && self.before.message() != Some(&message)
        {
            let type_ = EventType::Warning;
            self.operator
                .publish(self.object, type_, "DeletionBlocked", &message)
                .await;
        }
        Ok(Action::requeue(about(AGAIN, &self.object.metadata)))
    }
}
