//! Backup: a run of a schedule of its own, which runs when the object says so, and what came of it.
//!
//! ```text
//! Pending ─▶ Running ─▶ Completed | Failed ─▶ another spec or trigger: Pending
//! ```
//!
//! The schedule has the object's uid in its name and all that a worker needs, so that what a crash leaves is found
//! again. It goes with the object, or a while after the run has ended.

mod inherited;
pub(super) mod plan;
mod removal;
mod told;
pub(super) mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::crd::{Backup, BackupSpec, BackupStatus, Stored};
use super::dependencies::{Lack, Source, Storage};
use super::object::{Namespaced, Phased};
use super::objects::{Objects, later};
use super::runs::{self, Next, Observed};
use super::{Error, Guarded, Operator, about, go, keys, now, spec_hash};
use crate::domain::callers::Caller;
use crate::domain::name::Name;
use crate::domain::run::{Ending, Run, State};
use crate::engine::{self, Kind, Started};
use told::Begun;

/// How many runs of one server may be under way for another backup to begin.
const AT_A_TIME: usize = 3;
/// Why a Backup waits where more are under way.
const THROTTLED: &str = "Throttled";
/// Before what an object waits for is looked at again, if nobody tells of it.
const WAITING: Duration = Duration::from_secs(30);
/// The same of its run.
const RUNNING: Duration = Duration::from_secs(10);
/// Before a run that is not known yet is looked for again.
const UNKNOWN: Duration = Duration::from_secs(15);
/// Before an object that was changed while it ran is run again.
const RERUN: Duration = Duration::from_secs(1);
/// How long what a run leaves stays, in seconds: after it has ended well, and after it has not.
const TTL: [i64; 2] = [3600, 43_200];

pub(super) async fn reconcile(
    object: Arc<Guarded<Backup>>,
    operator: Arc<Operator>,
) -> Result<Action, Error> {
    let Some(object) = operator.readable(&object).await? else {
        return Ok(Action::await_change());
    };
    let Some(objects) = operator.informed().await else {
        return Ok(later());
    };
    let working = Working {
        operator: &operator,
        objects,
        object,
        before: object.status.clone().unwrap_or_default(),
        name: plan::schedule_of(&object.metadata),
    };
    if object.metadata.deletion_timestamp.is_some() {
        return removal::remove(&working).await;
    }
    operator.hold(object).await?;
    working.go_on().await
}

/// A Backup that is worked on.
struct Working<'a> {
    operator: &'a Operator,
    objects: &'a Objects,
    object: &'a Backup,
    before: BackupStatus,
    /// Its schedule's.
    name: Name,
}

impl Working<'_> {
    async fn go_on(&self) -> Result<Action, Error> {
        let hash = match spec_hash::of_backup(&self.object.spec) {
            Ok(hash) => hash,
            Err(why) => {
                let after = told::failed(self.object, &self.before, None, ("InvalidSpec", &why));
                self.tell(&after).await?;
                return Ok(Action::await_change());
            }
        };
        let before = &self.before;
        let next = runs::next(before.phase(), before.spec_hash.as_deref(), &hash);
        match next {
            Next::Nothing => self.settle().await,
            Next::Observe => self.observe(&hash).await,
            Next::Begin => self.begin(&hash).await,
        }
    }

    /// Writes the status; those who wait for a Backup look again.
    async fn tell(&self, after: &BackupStatus) -> Result<(), Error> {
        if self.operator.tell(self.object, &self.before, after).await? {
            self.objects.stir();
        }
        Ok(())
    }

    async fn wait(&self, reason: &str, message: &str) -> Result<Action, Error> {
        let after = told::pending(self.object, &self.before, (reason, message));
        self.tell(&after).await?;
        Ok(Action::requeue(about(WAITING, &self.object.metadata)))
    }

    async fn begin(&self, hash: &str) -> Result<Action, Error> {
        let under_way = self.objects.service.under_way().await?;
        let own = under_way
            .iter()
            .find(|it| it.schedule.as_deref() == Some(self.name.as_str()));
        if let Some(run) = own {
            return self.adopt(run, hash).await;
        }
        let namespace = self.object.namespace().unwrap_or_default();
        if let Err(why) = plan::is_own(&self.object.spec.database_ref, &namespace) {
            return self.refuse(hash, &why).await;
        }
        let server = self
            .operator
            .server_of(&namespace, &self.object.spec.database_ref.name);
        let server = match server {
            Ok(server) => server,
            Err(lack) => return self.wait(lack.reason(), &lack.of_backup()).await,
        };
        // Most of those that wait for their turn ask nothing of anybody.
        if let Some(message) = self.throttled(&server).await? {
            return self.wait(THROTTLED, &message).await;
        }
        if let Some(found) = self.inherited_under_way().await? {
            return self.take_over(&found, hash).await;
        }
        let (source, storage) = match self.depend(&namespace).await {
            Ok(both) => both,
            Err(lack) => return self.wait(lack.reason(), &lack.of_backup()).await,
        };
        let _turn = self.objects.starting.lock().await;
        if let Some(message) = self.throttled(&server).await? {
            return self.wait(THROTTLED, &message).await;
        }
        let wanted = match plan::wanted(self.object, hash, &source, &storage) {
            Ok(wanted) => wanted,
            Err(why) => return self.refuse(hash, &why).await,
        };
        let uid = self.object.uid().unwrap_or_default();
        let request = runs::request(&uid, hash, self.before.last_run.as_deref());
        let stored = plan::stored(self.object, &source, &storage);
        let service = &self.objects.service;
        let name = self.name.clone();
        match service.run_for_object(name, wanted, &request).await {
            Ok(started) => self.started(&started, hash, stored).await,
            Err(error) => self.unstarted(hash, error).await,
        }
    }

    /// What a Backup says that waits for its turn on a server; none: it is its turn.
    async fn throttled(&self, server: &str) -> Result<Option<String>, Error> {
        let under_way = self.objects.service.under_way().await?;
        let active = under_way
            .iter()
            .filter(|it| it.database.starts_with(server));
        let active = active.count();
        Ok((active >= AT_A_TIME).then(|| {
            format!("waiting for other backups to complete (active: {active}/{AT_A_TIME})")
        }))
    }

    async fn depend(&self, namespace: &str) -> Result<(Source, Storage), Lack> {
        let spec = &self.object.spec;
        let source = self
            .operator
            .source(namespace, &spec.database_ref.name)
            .await?;
        let storage = self
            .operator
            .storage(namespace, &spec.storage_ref.name)
            .await?;
        Ok((source, storage))
    }

    /// One that is under way: status and run were written one after the other, and not both.
    async fn adopt(&self, run: &Run, hash: &str) -> Result<Action, Error> {
        let overview = self
            .objects
            .service
            .overview(&Caller::operator(), &self.name)
            .await?;
        let schedule = overview.schedule;
        let labels = schedule.labels.clone().unwrap_or_default();
        let of = labels.get(keys::SPEC_HASH).map_or(hash, String::as_str);
        let begun = Begun {
            run: &run.name,
            hash: of,
            at: runs::second(run.created),
            stored: Some(plan::stored_by(
                &schedule,
                &self.object.spec.storage_ref.name,
            )),
            message: "backup job running",
        };
        self.tell(&told::running(self.object, &self.before, begun))
            .await?;
        Ok(Action::requeue(RUNNING))
    }

    async fn started(
        &self,
        started: &Started,
        hash: &str,
        stored: Stored,
    ) -> Result<Action, Error> {
        let begun = Begun {
            run: &started.name,
            hash,
            at: runs::second(now()),
            stored: Some(stored),
            message: "backup job started",
        };
        self.tell(&told::running(self.object, &self.before, begun))
            .await?;
        Ok(Action::requeue(RUNNING))
    }

    /// What will not do another time ends it; all else is tried again.
    async fn unstarted(&self, hash: &str, error: engine::Error) -> Result<Action, Error> {
        match error.kind() {
            Kind::Precondition | Kind::Invalid => self.refuse(hash, &error.chain()).await,
            // A quota that is used up, or a rule of the administrator's: both may be otherwise soon, and a backup
            // that is not made then is missed.
            Kind::Denied
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Occupied
            | Kind::Unavailable
            | Kind::Internal => self.wait("Unavailable", &error.chain()).await,
        }
    }

    async fn refuse(&self, hash: &str, why: &str) -> Result<Action, Error> {
        let failed = told::failed(
            self.object,
            &self.before,
            Some(hash),
            ("InvalidJobSpec", why),
        );
        self.tell(&failed).await?;
        Ok(Action::await_change())
    }

    async fn observe(&self, hash: &str) -> Result<Action, Error> {
        let before = &self.before;
        let name = before.job_name.clone().unwrap_or_default();
        let service = &self.objects.service;
        let observed = runs::observe(service, &name, before.started_at.as_ref(), now()).await?;
        let (observed, notes) = self.or_inherited(observed, &name).await?;
        let after = match observed {
            Observed::Awaited => return Ok(Action::requeue(UNKNOWN)),
            Observed::Lost => {
                let why = ("JobNotFound", "backup job not found");
                told::ended_badly(before, why, runs::second(now()))
            }
            Observed::Run(run) => match &run.state {
                State::Waiting | State::Running => return Ok(Action::requeue(RUNNING)),
                State::Ended(ending) => {
                    let after = told::noted(self.ended(&run, ending), &notes);
                    self.note(&run, &told::notes(&after, ending.message()))
                        .await;
                    after
                }
            },
        };
        self.tell(&after).await?;
        if after.spec_hash.as_deref() == Some(hash) {
            return Ok(Action::requeue(RERUN.saturating_add(UNKNOWN)));
        }
        Ok(Action::requeue(RERUN))
    }

    /// For what reads dbtether's annotations. The backup is no other without them.
    async fn note(&self, run: &Run, notes: &BTreeMap<String, String>) {
        let is_ours = self.before.stored.is_some();
        if !is_ours || notes.is_empty() {
            return;
        }
        if let Err(error) = self.objects.service.note(run, notes).await {
            tracing::debug!(run = %run.name, error = error.chain(), "its Job has no annotations of what it has made");
        }
    }

    fn ended(&self, run: &Run, ending: &Ending) -> BackupStatus {
        let at = runs::second(run.ended.unwrap_or_else(now));
        match runs::failure(ending) {
            None => told::completed(&self.before, (run, ending.message()), at),
            Some((reason, why)) => {
                let message = format!("backup job failed: {why}");
                let after = told::ended_badly(&self.before, (reason, &message), at);
                told::attempted(after, why, ending.attempts())
            }
        }
    }

    /// What its run has left goes in its time.
    async fn settle(&self) -> Result<Action, Error> {
        let after = told::seen(self.object, &self.before);
        self.tell(&after).await?;
        let overview = self.objects.service.ledger().overview(&self.name, now());
        if overview.is_none() {
            return Ok(Action::await_change());
        }
        let ended = self
            .before
            .completed_at
            .as_ref()
            .map_or_else(now, |it| it.0);
        let stays = ttl(&self.object.spec, self.before.phase());
        let left = ended.as_second() + stays - now().as_second();
        if left > 0 {
            let left = u64::try_from(left).unwrap_or_default();
            return Ok(Action::requeue(Duration::from_secs(left + 1)));
        }
        self.objects.service.remove_for_object(&self.name).await?;
        Ok(Action::await_change())
    }
}

/// How long what a run has left stays, in seconds.
fn ttl(spec: &BackupSpec, phase: Option<&str>) -> i64 {
    if phase == Some("Failed") {
        let own = spec.job_config.as_ref();
        let own = own.and_then(|it| it.ttl_seconds_after_failed);
        return own.map_or(TTL[1], i64::from);
    }
    let own = spec.ttl_after_completion.as_deref().map(go::duration);
    own.and_then(Result::ok)
        .map_or(TTL[0], |it| it.as_secs().max(0))
}

impl Phased for BackupStatus {
    fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl Namespaced for Backup {
    const FINALIZER: &'static str = keys::BACKUP_FINALIZER;
    const WARNINGS: &'static [&'static str] = &["Failed"];

    fn event(phase: &str) -> &str {
        match phase {
            "Running" => "BackupStarted",
            "Completed" => "BackupCompleted",
            "Failed" => "BackupFailed",
            phase => phase,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// operator.md, B5.
    #[test]
    fn what_a_run_has_left_stays_as_long_as_the_spec_says() {
        let stays = |more: serde_json::Value, phase| {
            let mut spec = json!({"databaseRef": {"name": "d"}, "storageRef": {"name": "s"}});
            spec.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            ttl(&serde_json::from_value(spec).unwrap(), Some(phase))
        };
        let said = json!({"ttlAfterCompletion": "30m", "jobConfig": {"ttlSecondsAfterFailed": 7}});
        assert_eq!(stays(said.clone(), "Completed"), 1800);
        assert_eq!(stays(said, "Failed"), 7);
        assert_eq!(stays(json!({}), "Completed"), 3600);
        assert_eq!(stays(json!({}), "Failed"), 43_200);
    }
}
