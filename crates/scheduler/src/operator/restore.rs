//! Restore: a backup that comes back into a Database, once for each spec.
//!
//! ```text
//! Pending (for its backup, its database) ─▶ Running ─▶ Completed | Failed ─▶ another spec: Pending
//! ```

mod inherited;
pub(super) mod source;
mod told;

use std::sync::Arc;
use std::time::Duration;

use backuper::catalog::Revision;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use restorer::job::Mode;

use super::crd::{Chosen, Restore, RestoreStatus};
use super::dependencies::{self, Lack, Source};
use super::object::{self, Namespaced, Phased};
use super::objects::{Objects, later};
use super::runs::{self, Next, Observed};
use super::waiting::{self, Stop as Halt, Waiting};
use super::{Error, Guarded, Operator, about, go, keys, now, spec_hash};
use crate::domain::callers::Caller;
use crate::domain::credential::Credential;
use crate::domain::restore::{Restore as Wanted, Wishes};
use crate::domain::run::{Ending, Run, State};
use crate::domain::store::Store;
use crate::engine::{Kind, Started};
use source::{Found, Stop};

/// Before what an object waits for is looked at again, if nobody tells of it.
const WAITING: Duration = Duration::from_secs(30);
/// The same of its run, and of a backup that is being made.
const RUNNING: Duration = Duration::from_secs(10);
/// Before a run that is not known yet is looked for again.
const UNKNOWN: Duration = Duration::from_secs(15);
/// Before an object that was changed while it ran is run again.
const RERUN: Duration = Duration::from_secs(1);
/// Seconds that the end of a run is there to be seen, also by an operator that is being started.
const SHORTEST: i64 = 300;

pub(super) async fn reconcile(
    object: Arc<Guarded<Restore>>,
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
        namespace: object.namespace().unwrap_or_default(),
    };
    if object.metadata.deletion_timestamp.is_some() {
        return working.remove().await;
    }
    operator.hold(object).await?;
    working.go_on().await
}

/// A Restore that is worked on.
struct Working<'a> {
    operator: &'a Operator,
    objects: &'a Objects,
    object: &'a Restore,
    before: RestoreStatus,
    namespace: String,
}

impl Working<'_> {
    async fn go_on(&self) -> Result<Action, Error> {
        let hash = match spec_hash::of_restore(&self.object.spec) {
            Ok(hash) => hash,
            Err(why) => return self.refuse(None, "InvalidSpec", &why).await,
        };
        let before = &self.before;
        match runs::next(before.phase(), before.spec_hash.as_deref(), &hash) {
            Next::Nothing => {
                self.tell(&told::seen(self.object, before)).await?;
                Ok(Action::await_change())
            }
            Next::Observe => self.observe(&hash).await,
            Next::Begin => self.begin(&hash).await,
        }
    }

    async fn tell(&self, after: &RestoreStatus) -> Result<(), Error> {
        let told = self.operator.tell(self.object, &self.before, after).await;
        told.map(drop)
    }

    /// Waits, for ever or for as long as an object may wait for what it depends on: a restore that nobody
    /// expects any more would take what was written meanwhile.
    async fn wait(&self, hash: &str, message: String, again: Duration) -> Result<Action, Error> {
        let waiting = Waiting {
            phase: "Pending",
            message,
            again,
        };
        let since = self.before.pending_since.as_ref().map(|it| it.0);
        let (phase, message, since) = waiting::told(&waiting, since, now());
        if phase == "Failed" {
            return self.refuse(Some(hash), "Timeout", &message).await;
        }
        let after = told::pending(self.object, &self.before, &message, Some(since));
        self.tell(&after).await?;
        Ok(Action::requeue(about(again, &self.object.metadata)))
    }

    async fn wait_for_source(&self, message: &str) -> Result<Action, Error> {
        let after = told::pending(self.object, &self.before, message, None);
        self.tell(&after).await?;
        Ok(Action::requeue(RUNNING))
    }

    async fn refuse(&self, hash: Option<&str>, reason: &str, why: &str) -> Result<Action, Error> {
        let after = told::refused(self.object, &self.before, hash, (reason, why));
        self.tell(&after).await?;
        Ok(Action::await_change())
    }

    async fn begin(&self, hash: &str) -> Result<Action, Error> {
        if let Some(found) = self.inherited_before_its_status().await? {
            return self.take_over(&found, hash).await;
        }
        let found = match self.chosen(hash) {
            Some(chosen) => Ok(chosen),
            None => source::resolve(&self.object.spec.source, &self.namespace, self.objects),
        };
        let found = match found {
            Ok(found) => found,
            Err(Stop::Waits(message)) => return self.wait_for_source(&message).await,
            Err(Stop::Missing(message)) => return self.wait(hash, message, WAITING).await,
            Err(Stop::Refused(why)) => {
                let why = format!("failed to resolve source: {why}");
                return self.refuse(Some(hash), "InvalidSource", &why).await;
            }
        };
        if let Some((namespace, database)) = &found.of {
            let of = (namespace.as_str(), database.as_str());
            if let Err(Halt::Refused(reason, why)) =
                self.operator.admits(of, &self.namespace).await?
            {
                return self.refuse(Some(hash), reason, &why).await;
            }
        }
        let target = &self.object.spec.target.database_ref.name;
        let target = match self.operator.source(&self.namespace, target).await {
            Ok(target) => target,
            Err(lack) => return self.lacks(hash, &lack).await,
        };
        let storage = match self.operator.storage(&self.namespace, &found.storage).await {
            Ok(storage) => storage,
            Err(lack) => return self.lacks(hash, &lack).await,
        };
        if !found.is_recorded && !storage.spec.allow_any_path {
            let why = format!(
                "failed to resolve source: no Backup of namespace {} has written {}; an administrator may allow other paths with allowAnyPath in backup storage {}",
                self.namespace, found.path, found.storage
            );
            return self.refuse(Some(hash), "NotAllowed", &why).await;
        }
        let own = storage.store.place.prefix();
        let prefix = match &found.stored {
            Some(stored) => stored.prefix.clone(),
            None => Some(own.to_string()),
        };
        let below = dependencies::below(storage.store, prefix.as_deref(), &found.path);
        match below {
            Ok((store, key)) => self.start(hash, &found, (store, key), target).await,
            Err(why) => self.refuse(Some(hash), "InvalidSource", &why).await,
        }
    }

    /// What tells the run of a spec from others.
    fn request(&self, hash: &str) -> String {
        let uid = self.object.uid().unwrap_or_default();
        runs::request(&uid, hash, self.before.last_run.as_deref())
    }

    /// The backup that this run was to restore when it was begun before, and nobody could tell of it.
    fn chosen(&self, hash: &str) -> Option<Found> {
        let chosen = self.before.chosen.clone()?;
        (chosen.request == self.request(hash)).then_some(Found {
            path: chosen.path,
            storage: chosen.storage,
            stored: chosen.stored,
            is_recorded: chosen.is_recorded,
            // It was asked before it was chosen.
            of: None,
        })
    }

    /// Keeps which backup is restored before anything is: whoever asks again asks for the same one.
    async fn choose(&self, hash: &str, found: &Found) -> Result<(), Error> {
        let after = RestoreStatus {
            chosen: Some(Chosen {
                request: self.request(hash),
                path: found.path.clone(),
                storage: found.storage.clone(),
                is_recorded: found.is_recorded,
                stored: found.stored.clone(),
            }),
            ..self.before.clone()
        };
        self.tell(&after).await
    }

    async fn lacks(&self, hash: &str, lack: &Lack) -> Result<Action, Error> {
        match lack {
            Lack::NotAllowed(why) => self.refuse(Some(hash), "NotAllowed", why).await,
            lack => self.wait(hash, lack.of_restore(), WAITING).await,
        }
    }

    async fn start(
        &self,
        hash: &str,
        found: &Found,
        (store, key): (Store, String),
        target: Source,
    ) -> Result<Action, Error> {
        let layout = match found.stored.as_ref().map(dependencies::layout).transpose() {
            Ok(layout) => layout.unwrap_or_default(),
            Err(why) => return self.refuse(Some(hash), "InvalidSource", &why).await,
        };
        let wanted = Wanted {
            target: target.database,
            store,
            revision: Revision::Named(key),
            identity: Credential::Ambient,
            core: None,
            request_id: self.request(hash),
            as_of: None,
            begin_by: None,
            source: None,
            lent: None,
            wishes: wishes(&self.object.spec.on_conflict),
            layout,
            drill: None,
            ttl: ttl(self.object.spec.ttl_after_completion.as_deref()),
        };
        self.choose(hash, found).await?;
        match self.objects.service.restore_for_object(wanted, now()).await {
            Ok(started) => self.started(&started, hash, &found.path).await,
            Err(error) => match error.kind() {
                Kind::Denied => self.refuse(Some(hash), "NotAllowed", &error.chain()).await,
                Kind::Invalid => {
                    self.refuse(Some(hash), "InvalidJobSpec", &error.chain())
                        .await
                }
                // Another one into this database is under way.
                Kind::Precondition => self.wait_for_source(&error.chain()).await,
                Kind::NotFound
                | Kind::Conflict
                | Kind::Occupied
                | Kind::Unavailable
                | Kind::Internal => self.wait(hash, error.chain(), RUNNING).await,
            },
        }
    }

    async fn started(&self, started: &Started, hash: &str, path: &str) -> Result<Action, Error> {
        let begun = (started.name.as_str(), hash, Some(path));
        let after = told::running(self.object, &self.before, begun, runs::second(now()));
        self.tell(&after).await?;
        Ok(Action::requeue(RUNNING))
    }

    async fn observe(&self, hash: &str) -> Result<Action, Error> {
        let before = &self.before;
        let name = before.job_name.clone().unwrap_or_default();
        let service = &self.objects.service;
        let began = before.started_at.as_ref();
        if before.phase() == Some("Granting") {
            return self.conclude(&told::landed(before), hash).await;
        }
        let observed = runs::observe(service, &name, began, now()).await?;
        let after = match self.or_inherited(observed, &name).await? {
            Observed::Awaited => return Ok(Action::requeue(UNKNOWN)),
            Observed::Lost => told::failed(before, ("JobNotFound", "restore job was deleted")),
            Observed::Run(run) => match &run.state {
                State::Waiting | State::Running => return Ok(Action::requeue(RUNNING)),
                State::Ended(ending) => self.ended(&run, ending),
            },
        };
        self.conclude(&after, hash).await
    }

    /// Tells how it has ended; one that was changed meanwhile is run again.
    async fn conclude(&self, after: &RestoreStatus, hash: &str) -> Result<Action, Error> {
        self.tell(after).await?;
        if after.phase() == Some("Completed") {
            let target = &self.object.spec.target.database_ref.name;
            self.operator
                .wake_users_of_database(&self.namespace, target);
        }
        if after.spec_hash.as_deref() == Some(hash) {
            return Ok(Action::await_change());
        }
        Ok(Action::requeue(RERUN))
    }

    fn ended(&self, run: &Run, ending: &Ending) -> RestoreStatus {
        let at = runs::second(run.ended.unwrap_or_else(now));
        match (ending, runs::failure(ending)) {
            (_, None) => told::completed(&self.before, runs::duration(run, 1000), at),
            (Ending::Failed { message: None, .. }, Some((reason, _))) => {
                told::failed(&self.before, (reason, "restore job failed"))
            }
            (_, Some((reason, why))) => told::failed(&self.before, (reason, &why)),
        }
    }

    /// Ends a run that is under way; what it has done to the database stays.
    async fn remove(&self) -> Result<Action, Error> {
        if !object::is_held(self.object) {
            return Ok(Action::await_change());
        }
        let is_running = self.before.phase() == Some("Running");
        let ended = self.end_inherited().await?;
        let note = match &self.before.job_name {
            _ if ended.is_some() => ended.unwrap_or_default(),
            Some(run) if is_running => {
                let operator = Caller::operator();
                match self.objects.service.cancel(&operator, run).await {
                    Err(error) if error.kind() != Kind::NotFound => return Err(error.into()),
                    _ => format!("{run} was under way and is cancelled: look at the database"),
                }
            }
            _ if self.before.chosen.is_some() && self.before.phase() == Some("Pending") => {
                "it may have begun, and nobody could tell: look at the database".to_owned()
            }
            _ => "nothing was under way".to_owned(),
        };
        let type_ = if is_running {
            EventType::Warning
        } else {
            EventType::Normal
        };
        self.operator
            .let_go(self.object, type_, "Removed", &note)
            .await
    }
}

/// How the target is treated: with `fail` nothing is restored over anything. `overwrite` is of dbtether before 0.9.
fn wishes(on_conflict: &str) -> Wishes {
    Wishes {
        mode: match on_conflict {
            "drop" | "overwrite" => Mode::Auto,
            _ => Mode::Empty,
        },
        ..Wishes::default()
    }
}

/// Seconds that its run stays after its end. The spec is hashed before, and no hash has one that is no duration.
fn ttl(text: Option<&str>) -> Option<i32> {
    let asked = go::duration(text.filter(|it| !it.is_empty())?).ok()?;
    let seconds = asked.as_secs().clamp(SHORTEST, i64::from(i32::MAX));
    i32::try_from(seconds).ok()
}

/// Since when an object waits, as its status keeps it.
fn since(time: Option<Timestamp>) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    time.map(runs::second)
}

impl Phased for RestoreStatus {
    fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl Namespaced for Restore {
    const FINALIZER: &'static str = keys::RESTORE_FINALIZER;
    const WARNINGS: &'static [&'static str] = &["Failed"];

    fn event(phase: &str) -> &str {
        match phase {
            "Running" => "RestoreStarted",
            "Completed" => "RestoreCompleted",
            "Failed" => "RestoreFailed",
            phase => phase,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_says_so_has_what_is_there_replaced() {
        for (word, mode) in [
            ("fail", Mode::Empty),
            ("", Mode::Empty),
            ("anything", Mode::Empty),
            ("drop", Mode::Auto),
            ("overwrite", Mode::Auto),
        ] {
            assert_eq!(wishes(word).mode, mode, "{word}");
        }
    }

    /// operator.md, §9.1. One that is gone before anybody has seen how it ended would be told as failed.
    #[test]
    fn a_run_stays_as_long_as_the_spec_says_and_is_seen() {
        for (text, seconds) in [
            (None, None),
            (Some(""), None),
            (Some("2h"), Some(7200)),
            (Some("0s"), Some(300)),
            (Some("-1h"), Some(300)),
            (Some("1000000h"), Some(i32::MAX)),
        ] {
            assert_eq!(ttl(text), seconds, "{text:?}");
        }
    }
}
