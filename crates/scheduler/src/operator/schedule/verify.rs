//! Whether a schedule's backups come back: at times of its own the newest one is restored into a database that is made
//! for it, compared, and thrown away.
//!
//! ```text
//! due ─▶ waits (for a backup, a server, a storage) ─▶ Running ─▶ Passed | Failed ─▶ the next time: due
//! ```
//!
//! Which backup is restored is kept before anything is, so that whoever asks again asks for the same run.

mod plan;
mod told;

use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::events::EventType;

use super::Working;
use crate::domain::callers::Caller;
use crate::domain::run::{Run, State};
use crate::engine::{self, Kind};
use crate::operator::crd::{
    Backup, BackupSchedule, BackupScheduleStatus, BackupStatus, Chosen, Verification, Verify,
};
use crate::operator::dependencies::{self, Lack};
use crate::operator::runs::{self, Observed};
use crate::operator::{Error, REPAIR, about, now, status};
use crate::service::drills::{Proof, Server};
use plan::{Next, Occasion};

/// Before what a drill waits for is looked at again, if nobody tells of it.
const WAITING: Duration = Duration::from_secs(30);
/// The same of its run.
const RUNNING: Duration = Duration::from_secs(10);
/// Before a schedule whose drill has passed is looked at again: by then what was written is seen.
const SOON: Duration = Duration::from_secs(1);

/// Whether a schedule is to be looked at whenever something has changed.
pub(in crate::operator) fn waits(object: &BackupSchedule) -> bool {
    let status = object.status.as_ref();
    let verification = status.and_then(|it| it.verification.as_ref());
    verification
        .is_some_and(|it| it.result.as_deref() == Some("Running") || it.waiting_since.is_some())
}

/// What the status is then, and when to look again.
pub(super) async fn go_on(
    working: &Working<'_>,
) -> Result<(BackupScheduleStatus, Option<Duration>), Error> {
    let Some(spec) = &working.object.spec.verify else {
        end(working).await?;
        let after = told::without(&working.before);
        working.write(&after).await?;
        return Ok((after, None));
    };
    let verification = working.before.verification.clone().unwrap_or_default();
    let verifying = Verifying {
        working,
        spec,
        before: verification,
    };
    verifying.go_on().await
}

/// Shows in the metrics what is known of the schedule's drills; one that rests or goes shows nothing.
pub(super) fn show(working: &Working<'_>, status: &BackupScheduleStatus) {
    let object = working.object;
    let is_there = !object.spec.suspend && object.metadata.deletion_timestamp.is_none();
    let shown = plan::shown(object, status, &working.own).filter(|_| is_there);
    let ledger = working.objects.service.ledger();
    ledger.verify(&plan::key(object), shown);
}

/// Ends a drill that is under way: nobody asks for it any more.
pub(super) async fn end(working: &Working<'_>) -> Result<(), Error> {
    let verification = working.before.verification.as_ref();
    let running = verification.filter(|it| it.result.as_deref() == Some("Running"));
    let Some(run) = running.and_then(|it| it.run.as_ref()) else {
        return Ok(());
    };
    match working
        .objects
        .service
        .cancel(&Caller::operator(), run)
        .await
    {
        Err(error) if error.kind() != Kind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

impl Working<'_> {
    async fn write(&self, after: &BackupScheduleStatus) -> Result<bool, Error> {
        let api = self.operator.beside(self.object);
        status::write(&api, self.object, &self.before, after).await
    }
}

/// What has become of a schedule's drills, and when to look again.
type Turn = (BackupScheduleStatus, Option<Duration>);

struct Verifying<'a> {
    working: &'a Working<'a>,
    spec: &'a Verify,
    before: Verification,
}

impl Verifying<'_> {
    async fn go_on(self) -> Result<Turn, Error> {
        if self.before.result.as_deref() == Some("Running") {
            return match (&self.before.run, self.before.chosen.clone()) {
                (Some(run), _) => self.observe(run).await,
                (None, Some(chosen)) => self.resume(&chosen).await,
                (None, None) => {
                    self.refuse(("Lost", "what it was to restore is not known any more"))
                        .await
                }
            };
        }
        let spec = &self.working.object.spec;
        if spec.suspend {
            return Ok((self.working.before.clone(), None));
        }
        let cron = match plan::times(spec, self.spec) {
            Ok(cron) => cron,
            Err(why) => {
                let why = format!("Invalid cron schedule: verify: {why}");
                return self.fail(self.before.clone(), (told::INVALID, &why)).await;
            }
        };
        let is_resumed = self.working.before.phase.as_deref() == Some("Suspended");
        let annotations = self.working.object.annotations();
        let asked = annotations.get(crate::operator::keys::VERIFY);
        let (before, next) = plan::next(&self.before, &cron, (is_resumed, asked), now());
        match next {
            Next::Rest(next) => {
                let after = told::resting(self.working.object, &self.working.before, before);
                self.working.write(&after).await?;
                Ok((after, Some(super::until(next, now()))))
            }
            Next::Begin(occasion) => self.begin(before, &occasion).await,
        }
    }

    async fn begin(&self, before: Verification, occasion: &Occasion) -> Result<Turn, Error> {
        let Some((backup, found)) = plan::newest(&self.working.own) else {
            let why = "there is no complete Backup of this schedule to verify yet";
            return self.wait(before, ("NoBackup", why)).await;
        };
        let uid = self.working.object.uid().unwrap_or_default();
        let chosen = Chosen {
            request: runs::request(&uid, &occasion.word(), before.run.as_deref()),
            path: found.path,
            storage: found.storage,
            is_recorded: true,
            stored: found.stored,
        };
        let after = plan::chosen(before.clone(), occasion, &backup.name_any(), &chosen);
        // What it needs is there before anything is said to have begun.
        match self.depend(&chosen).await {
            Ok(proof) => self.start(after, proof).await,
            Err(Lack::NotAllowed(why)) => self.fail(after, ("NotAllowed", &why)).await,
            Err(lack) => self.wait(before, (lack.reason(), &lack.of_backup())).await,
        }
    }

    /// The server and the store of a drill, where it may have both.
    async fn depend(&self, chosen: &Chosen) -> Result<Proof, Lack> {
        let object = self.working.object;
        let namespace = object.namespace().unwrap_or_default();
        let operator = self.working.operator;
        let of = format!("{namespace}_{}", object.name_any());
        let storage = operator.storage(&namespace, &chosen.storage).await?;
        let server = match (&self.spec.cluster_ref, &self.spec.image) {
            (Some(cluster), None) => {
                let named = (cluster.name.as_str(), of.as_str());
                Server::Named(Box::new(operator.on_cluster(named, &namespace).await?))
            }
            (None, Some(image)) => {
                let images = storage.spec.verify_images.clone().unwrap_or_default();
                if !plan::permits(&images, image) {
                    return Err(Lack::NotAllowed(format!(
                        "image {image} may not verify backups: an administrator permits it with verifyImages in backup storage {}",
                        chosen.storage
                    )));
                }
                Server::Image(image.clone())
            }
            _ => {
                let why = "verify: exactly one of clusterRef and image must be specified";
                return Err(Lack::NotAllowed(why.to_owned()));
            }
        };
        let stored = chosen.stored.as_ref();
        let prefix = match stored {
            Some(stored) => stored.prefix.clone(),
            None => Some(storage.store.place.prefix().to_string()),
        };
        let below = dependencies::below(storage.store, prefix.as_deref(), &chosen.path);
        let (store, key) = below.map_err(Lack::NotAllowed)?;
        let layout = stored.map(dependencies::layout).transpose();
        Ok(Proof {
            of,
            server,
            store,
            key,
            source: stored
                .map(|it| it.source.clone())
                .filter(|it| !it.is_empty()),
            layout: layout.map_err(Lack::NotAllowed)?.unwrap_or_default(),
            sql: self.spec.sql.clone(),
            request_id: chosen.request.clone(),
        })
    }

    /// Begins what was to begin, or finds it begun: nobody could tell.
    async fn resume(&self, chosen: &Chosen) -> Result<Turn, Error> {
        match self.depend(chosen).await {
            Ok(proof) => self.start(self.before.clone(), proof).await,
            Err(Lack::NotAllowed(why)) => self.refuse(("NotAllowed", &why)).await,
            Err(lack) => {
                tracing::debug!(why = lack.of_backup(), "a drill begins later");
                Ok((self.working.before.clone(), Some(WAITING)))
            }
        }
    }

    /// Keeps what is begun, and begins it.
    async fn start(&self, after: Verification, proof: Proof) -> Result<Turn, Error> {
        let running = told::running(self.working.object, &self.working.before, after.clone());
        self.working.write(&running).await?;
        match self.working.objects.service.drill_for_object(proof).await {
            Ok(started) => {
                let after = Verification {
                    run: Some(started.name),
                    started_at: Some(runs::second(now())),
                    ..after
                };
                let after = told::running(self.working.object, &running, after);
                self.working.write(&after).await?;
                Ok((after, Some(RUNNING)))
            }
            Err(error) => self.unstarted(after, running, &error).await,
        }
    }

    /// What will not do another time has failed; all else is tried again.
    async fn unstarted(
        &self,
        after: Verification,
        running: BackupScheduleStatus,
        error: &engine::Error,
    ) -> Result<Turn, Error> {
        match error.kind() {
            Kind::Denied | Kind::Precondition | Kind::Invalid => {
                self.fail(after, ("NotBegun", &error.chain())).await
            }
            Kind::NotFound
            | Kind::Conflict
            | Kind::Occupied
            | Kind::Unavailable
            | Kind::Internal => {
                tracing::warn!(error = error.chain(), "a drill begins later");
                Ok((running, Some(RUNNING)))
            }
        }
    }

    async fn observe(&self, run: &str) -> Result<Turn, Error> {
        let service = &self.working.objects.service;
        let began = self.before.started_at.as_ref();
        match runs::observe(service, run, began, now()).await? {
            Observed::Awaited => Ok((self.working.before.clone(), Some(RUNNING))),
            Observed::Lost => {
                self.refuse(("RunNotFound", "the drill's run was deleted"))
                    .await
            }
            Observed::Run(run) => match &run.state {
                State::Waiting | State::Running => Ok((self.working.before.clone(), Some(RUNNING))),
                State::Ended(ending) => match plan::why(ending) {
                    None => self.pass(&run, ending.message()).await,
                    Some((reason, why)) => self.refuse((reason, &why)).await,
                },
            },
        }
    }

    async fn pass(&self, run: &Run, said: Option<&str>) -> Result<Turn, Error> {
        let at = runs::second(run.ended.unwrap_or_else(now));
        self.mark(&at).await?;
        let after = told::passed(
            self.working.object,
            &self.working.before,
            &self.before,
            (said, at),
        );
        let message = told::message(&after);
        if self.working.write(&after).await? {
            self.publish(EventType::Normal, "Verified", &message).await;
        }
        Ok((after, Some(SOON)))
    }

    /// The Backup says so too, if it is still what was restored.
    async fn mark(
        &self,
        at: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time,
    ) -> Result<(), Error> {
        let mut own = self.working.own.iter();
        let found = own.find(|it| {
            let status = it.status.as_ref();
            Some(it.name_any()) == self.before.backup
                && status.is_some_and(|it| it.path.is_some() && it.path == self.before.path)
        });
        let Some(backup) = found else {
            return Ok(());
        };
        let before = backup.status.clone().unwrap_or_default();
        let after = BackupStatus {
            verified_at: Some(at.clone()),
            ..before.clone()
        };
        let api: Api<Backup> = self.working.backups();
        match status::write(&api, backup, &before, &after).await {
            // It goes, or another one has its name.
            Err(Error::Api { source, .. }) if matches!(source.as_ref(), kube::Error::Api(it) if it.code == 404 || it.code == 409) => {
                Ok(())
            }
            written => written.map(drop),
        }
    }

    async fn wait(&self, before: Verification, why: (&str, &str)) -> Result<Turn, Error> {
        let (object, whole) = (self.working.object, &self.working.before);
        let after = told::waiting(object, whole, before, (why, now()));
        self.working.write(&after).await?;
        Ok((after, Some(about(WAITING, &object.metadata))))
    }

    async fn refuse(&self, why: (&str, &str)) -> Result<Turn, Error> {
        self.fail(self.before.clone(), why).await
    }

    async fn fail(&self, verification: Verification, why: (&str, &str)) -> Result<Turn, Error> {
        let (object, whole) = (self.working.object, &self.working.before);
        let after = told::failed(object, whole, verification, why);
        if self.working.write(&after).await? {
            self.publish(EventType::Warning, "VerificationFailed", why.1)
                .await;
        }
        Ok((after, Some(REPAIR)))
    }

    async fn publish(&self, type_: EventType, reason: &str, note: &str) {
        let backup = self.before.backup.as_deref();
        tracing::info!(
            namespace = self.working.object.namespace(), schedule = %self.working.object.name_any(),
            backup, reason, note, "a drill has ended"
        );
        let object = self.working.object;
        self.working
            .operator
            .publish(object, type_, reason, note)
            .await;
    }
}
