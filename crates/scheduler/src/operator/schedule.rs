//! BackupSchedule: a Backup at each of its times, and which of them stay.

pub(super) mod own;
mod retention;
mod slots;
pub(super) mod verify;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Resource as _, ResourceExt as _};
use serde::Serialize;

use super::backup::plan::label;
use super::crd::{Backup, BackupSchedule, BackupScheduleStatus, BackupSpec};
use super::object::{self, Namespaced, Phased};
use super::objects::{Objects, later};
use super::{Error, Guarded, Operator, REPAIR, about, keys, now, runs, status};
use crate::domain::cron::Cron;
use crate::domain::slots::{Due, due};
use crate::domain::zone::Zone;

pub(super) async fn reconcile(
    object: Arc<Guarded<BackupSchedule>>,
    operator: Arc<Operator>,
) -> Result<Action, Error> {
    let Some(object) = operator.readable(&object).await? else {
        return Ok(Action::await_change());
    };
    let Some(objects) = operator.informed().await else {
        return Ok(later());
    };
    let mut working = Working {
        operator: &operator,
        objects,
        object,
        before: object.status.clone().unwrap_or_default(),
        own: own::own(object, objects),
    };
    if object.metadata.deletion_timestamp.is_some() {
        return working.remove().await;
    }
    operator.hold(object).await?;
    let (told, verifying) = verify::go_on(&working).await?;
    verify::show(&working, &told);
    working.before = told;
    let again = working.go_on().await?.into_iter().chain(verifying).min();
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// A BackupSchedule that is worked on.
struct Working<'a> {
    operator: &'a Operator,
    objects: &'a Objects,
    object: &'a BackupSchedule,
    before: BackupScheduleStatus,
    /// Its Backups.
    own: Vec<Backup>,
}

impl Working<'_> {
    /// Makes what is due; when it is to be looked at again, if nothing changes before.
    async fn go_on(&self) -> Result<Option<Duration>, Error> {
        if self.object.spec.suspend {
            let after = self.status(("Suspended", "Suspended", "Schedule is suspended"), None);
            self.operator
                .tell(self.object, &self.before, &after)
                .await?;
            return Ok(None);
        }
        let spec = &self.object.spec;
        let cron = match cron(&spec.schedule, spec.time_zone.as_deref()) {
            Ok(cron) => cron,
            Err(why) => {
                let message = format!("Invalid cron schedule: {why}");
                let after = self.status(("Failed", "InvalidSchedule", &message), None);
                self.operator
                    .tell(self.object, &self.before, &after)
                    .await?;
                return Ok(None);
            }
        };
        let now = now();
        let mut before = self.before.clone();
        slots::follow(&mut before, &cron, now);
        let deadline = self.object.spec.starting_deadline_seconds;
        let created = self.object.creation_timestamp();
        let base = slots::base(&before, created.as_ref(), now);
        let Due { slot, next } = due(&cron, base, now, deadline);
        let mut made = before.last_backup_time.clone();
        if let Some(slot) = slot.filter(|_| self.waits()) {
            let note = format!(
                "the backup of {slot} is left out: an earlier one has not begun yet, and would be of the same data"
            );
            self.operator
                .publish(self.object, EventType::Warning, "Skipped", &note)
                .await;
            made = Some(Time(now));
        } else if let Some(slot) = slot {
            if let Err(why) = self.make(slot).await? {
                let message = format!("Failed to create backup: {why}");
                let after = self.status(("Failed", "NotCreated", &message), next);
                self.operator
                    .tell(self.object, &self.before, &after)
                    .await?;
                return Ok(Some(about(REPAIR, &self.object.metadata)));
            }
            made = Some(Time(now));
        }
        let mut after = self.status(("Active", "Active", "Schedule is active"), next);
        after.last_backup_time = made;
        after.followed = before.followed;
        after.followed_since = before.followed_since;
        self.operator
            .tell(self.object, &self.before, &after)
            .await?;
        if slot.is_none() {
            self.clean_up(now).await?;
        }
        Ok(Some(until(next, now)))
    }

    /// Whether one of its Backups has not begun yet.
    fn waits(&self) -> bool {
        self.own.iter().any(|it| {
            let phase = it.status.as_ref().and_then(|it| it.phase());
            matches!(phase, None | Some("Pending")) && it.metadata.deletion_timestamp.is_none()
        })
    }

    fn status(
        &self,
        (phase, reason, message): (&str, &str, &str),
        next: Option<Timestamp>,
    ) -> BackupScheduleStatus {
        let generation = self.object.metadata.generation;
        let newest = self.own.iter().filter_map(|it| {
            let status = it.status.as_ref()?;
            let is_complete = status.phase() == Some("Completed");
            let at = status.completed_at.as_ref().filter(|_| is_complete)?;
            Some((at.0, it.name_any()))
        });
        let mut after = BackupScheduleStatus {
            phase: Some(phase.to_owned()),
            message: Some(message.to_owned()),
            next_scheduled_time: next.map(runs::second),
            observed_generation: generation,
            last_successful_backup: newest.max().map(|(_, name)| name),
            managed_backups: i32::try_from(self.own.len()).ok(),
            ..self.before.clone()
        };
        let of = (generation, now());
        let is_ready = phase == "Active" || phase == "Suspended";
        let ready = status::condition(status::READY, is_ready, reason, message, of);
        status::set(&mut after.conditions, ready);
        after
    }

    /// Makes the Backup of a time; one that is there is success.
    async fn make(&self, slot: Timestamp) -> Result<Result<(), String>, Error> {
        let backup = backup(self.object, slot);
        let api = self.backups();
        match api.create(&PostParams::default(), &backup).await {
            Ok(_) => {
                let note = format!("made Backup {}", backup.name_any());
                self.operator
                    .publish(self.object, EventType::Normal, "BackupCreated", &note)
                    .await;
                Ok(Ok(()))
            }
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(Ok(())),
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
                Ok(Err(status.message.clone()))
            }
            Err(error) => Err(Error::api(format!("make Backup {}", backup.name_any()))(
                error,
            )),
        }
    }

    fn backups(&self) -> Api<Backup> {
        let namespace = self.object.namespace().unwrap_or_default();
        Api::namespaced(self.operator.client.clone(), &namespace)
    }

    /// Deletes the Backups that no rule keeps, with what they have stored.
    async fn clean_up(&self, now: Timestamp) -> Result<(), Error> {
        let Some(policy) = &self.object.spec.retention else {
            return Ok(());
        };
        let last = self.object.annotations().get(keys::LAST_CLEANUP);
        let gone = retention::gone(&self.own, policy, now);
        if gone.is_empty() || !retention::is_due(last.map(String::as_str), now) {
            return Ok(());
        }
        let api = self.operator.beside(self.object);
        annotate(&api, self.object, keys::LAST_CLEANUP, &now.to_string()).await?;
        for backup in gone {
            let (namespace, name) = (self.object.namespace(), backup.name_any());
            match self.expire(backup).await {
                Ok(()) => tracing::info!(
                    namespace, schedule = %self.object.name_any(), backup = %name,
                    "no rule keeps a Backup any longer"
                ),
                // The others go all the same.
                Err(error) => tracing::warn!(
                    namespace, backup = %name, error = &error as &dyn std::error::Error,
                    "a Backup that no rule keeps goes later"
                ),
            }
        }
        Ok(())
    }

    /// Deletes a Backup, and what it has stored with it.
    async fn expire(&self, backup: &Backup) -> Result<(), Error> {
        let api = self.backups();
        annotate(&api, backup, keys::EXPIRED, "true").await?;
        self.delete(&api, backup).await
    }

    async fn delete(&self, api: &Api<Backup>, backup: &Backup) -> Result<(), Error> {
        // Another object of the name is another backup.
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: backup.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let name = backup.name_any();
        match api.delete(&name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(Error::api(format!("delete Backup {name}"))(error)),
        }
    }

    /// Its Backups go with it, and what they have stored goes or stays as each of them says.
    async fn remove(&self) -> Result<Action, Error> {
        if !object::is_held(self.object) {
            return Ok(Action::await_change());
        }
        verify::end(self).await?;
        verify::show(self, &self.before);
        let (api, own) = (self.backups(), &self.own);
        // A kind that is removed takes no other kind's objects along.
        let goes = !self.operator.loses_its_kind::<BackupSchedule>().await?;
        let mut kept = Vec::new();
        for backup in own.iter().filter(|_| goes) {
            if let Err(error) = self.delete(&api, backup).await {
                match error.refusal() {
                    Some(why) => kept.push(format!("{}: {why}", backup.name_any())),
                    None => return Err(error),
                }
            }
        }
        if !kept.is_empty() {
            let message = format!(
                "its Backups go with it, and the cluster keeps some of them: {}",
                kept.join("; ")
            );
            let after = self.status(("Failed", "Protected", &message), None);
            self.operator
                .tell(self.object, &self.before, &after)
                .await?;
            return Ok(Action::requeue(about(REPAIR, &self.object.metadata)));
        }
        let note = if goes {
            format!("its {} Backups go with it", own.len())
        } else {
            "its kind is removed: nothing was done".to_owned()
        };
        self.operator
            .let_go(self.object, EventType::Normal, "Removed", &note)
            .await
    }
}

/// When a schedule is to be looked at again.
fn until(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let next = next.map(|it| it.duration_since(now).unsigned_abs());
    // What wakes a moment too early finds nothing that is due.
    next.map_or(REPAIR, |it| (it + Duration::from_millis(500)).min(REPAIR))
}

pub(super) fn cron(schedule: &str, zone: Option<&str>) -> Result<Cron, String> {
    let zone = zone.filter(|it| !it.is_empty());
    let zone: Option<Zone> = zone
        .map(str::parse)
        .transpose()
        .map_err(|why| format!("timeZone: {why}"))?;
    if schedule.starts_with('@') {
        return Err("five fields are needed".to_owned());
    }
    let cron = Cron::in_zone(schedule, zone.unwrap_or_default());
    cron.map_err(|why| why.to_string())
}

/// The Backup of a time.
fn backup(object: &BackupSchedule, slot: Timestamp) -> Backup {
    let spec = &object.spec;
    let name = object.name_any();
    let labels = [
        (keys::SCHEDULE, label(&name)),
        (
            keys::SCHEDULE_NAMESPACE,
            object.namespace().unwrap_or_default(),
        ),
    ];
    let labels = labels
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Backup {
        metadata: ObjectMeta {
            name: Some(slots::name(&name, slot)),
            namespace: object.namespace(),
            labels: Some(labels.collect()),
            owner_references: object.controller_owner_ref(&()).map(|it| vec![it]),
            ..ObjectMeta::default()
        },
        spec: BackupSpec {
            database_ref: spec.database_ref.clone(),
            storage_ref: spec.storage_ref.clone(),
            filename_template: spec.filename_template.clone(),
            trigger: None,
            ttl_after_completion: None,
            job_config: spec.job_config.clone(),
            format: spec.format.clone(),
            deletion_policy: spec.deletion_policy.clone(),
        },
        status: None,
    }
}

#[derive(Debug, Serialize)]
struct Annotated<'a> {
    metadata: Meta<'a>,
}

#[derive(Debug, Serialize)]
struct Meta<'a> {
    uid: Option<String>,
    annotations: std::collections::BTreeMap<&'a str, &'a str>,
}

/// Sets an annotation of this very object.
async fn annotate<K: Namespaced>(
    api: &Api<K>,
    object: &K,
    key: &str,
    value: &str,
) -> Result<(), Error> {
    let name = object.name_any();
    let patch = Patch::Merge(Annotated {
        metadata: Meta {
            uid: object.uid(),
            annotations: [(key, value)].into(),
        },
    });
    let done = api.patch(&name, &PatchParams::default(), &patch).await;
    let doing = format!("write an annotation of {} {name}", K::kind(&()));
    done.map(drop).map_err(Error::api(doing))
}

impl Phased for BackupScheduleStatus {
    fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl Namespaced for BackupSchedule {
    const FINALIZER: &'static str = keys::SCHEDULE_FINALIZER;
    const WARNINGS: &'static [&'static str] = &["Failed"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::BackupScheduleSpec;

    fn schedule(text: &str) -> BackupSchedule {
        let mut object = BackupSchedule::new(
            "nightly-backup",
            BackupScheduleSpec {
                schedule: text.to_owned(),
                deletion_policy: "Delete".to_owned(),
                ..BackupScheduleSpec::default()
            },
        );
        object.metadata.uid = Some("1".to_owned());
        object.metadata.namespace = Some("a".to_owned());
        object
    }

    /// operator.md, K1 and W23.
    #[test]
    fn what_is_no_schedule_is_told() {
        for text in ["0 2 * * *", "0 * * * *", "0 0 * * 0", "*/15 2-4 1,15 JAN ?"] {
            assert!(cron(text, None).is_ok(), "{text}");
        }
        for text in [
            "0 2 * *",
            "61 * * * *",
            "0 0 31 2 *",
            "@every 1h now and then",
            "TZ=UTC 0 0 * *",
        ] {
            assert!(cron(text, None).is_err(), "{text}");
        }
        assert!(cron("0 2 * * *", Some("Europe/Berlin")).is_ok());
        let nowhere = cron("0 2 * * *", Some("Nowhere"));
        assert!(nowhere.unwrap_err().contains("timeZone"));
    }

    #[test]
    fn a_backup_is_made_as_the_schedule_says_and_is_its() {
        let object = schedule("0 2 * * *");
        let made = backup(&object, Timestamp::UNIX_EPOCH);
        assert_eq!(made.name_any(), "nightly-backup-19700101-0000");
        assert_eq!(made.labels()["dbtether.io/schedule"], "nightly-backup");
        assert_eq!(made.spec.deletion_policy, "Delete");
        let owner = &made.owner_references()[0];
        assert_eq!((owner.uid.as_str(), owner.controller), ("1", Some(true)));
    }
}
