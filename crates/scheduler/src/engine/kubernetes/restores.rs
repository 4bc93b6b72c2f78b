//! Restores: of all that are asked for into one database, one at a time is let go.
//!
//! Every call makes a suspended Job with a name of its own, and looks again before it lets it go:
//! only one that is alone is let go. Of two Jobs the one that was created later is seen beside the
//! other, so two are never let go. Where two see each other, the one with the higher uid goes and
//! the other waits for that. A Job that nobody lets go for long is a crash's; it is removed, and
//! never adopted: it has the variables of the call that made it, such as the time whose newest
//! backup comes back.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::error::is_lost_race;
use super::jobs::{has_started, has_succeeded, is_finished};
use super::keys::REQUEST;
use super::record::{self, Spec};
use super::render::{self, About};
use super::{Kubernetes, contended, owner, pause, uid};
use crate::domain::restore::Restore;
use crate::domain::run::Component;
use crate::engine::{self, Error, Kind, Started, StartedBy};

/// How long a restore that has ended well answers the same request again, where that has no name.
const JUST_ENDED: SignedDuration = SignedDuration::from_mins(1);
/// How long the first status of a Job is waited for.
const FIRST_STATUS: Duration = Duration::from_secs(3);
/// Between two looks at it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(30);
/// How often a Job that changes while it is removed is removed again.
const WITHDRAWALS: u64 = 4;
const DOING: &str = "start a restore";

/// What a call for a restore does next.
#[derive(Debug)]
enum Next<'a> {
    /// It is under way.
    Adopt(&'a Job),
    /// It has ended well, and was asked for again: the answer to the first call may have been lost.
    Answer(&'a Job),
    /// A different one is under way.
    Refuse(&'a Job),
    /// Somebody else has to end first.
    Wait(Error),
    /// We give way to another call.
    GiveWay(&'a Job),
    /// What another call has not started: removed, if that was long ago.
    Doubt(Vec<&'a Job>),
    Create,
    Begin(&'a Job),
}

/// What one turn came to.
enum Turn {
    Done(Started),
    /// The next turn finds something else.
    Again,
    Wait(Error),
}

impl Kubernetes {
    pub(super) async fn restore_within_time(&self, restore: &Restore) -> Result<Started, Error> {
        let name = render::restore_name(uuid::Uuid::new_v4().as_bytes());
        let until = Instant::now() + self.settings.contention_timeout;
        let mut attempt = 0;
        loop {
            let why = match Box::pin(self.try_restore(&name, restore)).await {
                Ok(Turn::Done(started)) => return Ok(started),
                Ok(Turn::Again) => None,
                Ok(Turn::Wait(why)) => Some(why),
                Err(error) if is_lost_race(&error) => Some(contended(DOING, error)),
                Err(error) => {
                    self.withdraw(&name, restore).await;
                    return Err(error);
                }
            };
            let Some(why) = why else { continue };
            if Instant::now() >= until {
                self.withdraw(&name, restore).await;
                return Err(why);
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    async fn try_restore(&self, name: &str, restore: &Restore) -> Result<Turn, Error> {
        let jobs = self.restores(restore).await?;
        let request = restore.request();
        let ended = self.just_ended(&jobs, &request, restore).await?;
        match ended.map_or_else(|| next(name, &request, &jobs), Next::Answer) {
            Next::Adopt(job) => self.adopted(name, job).await.map(Turn::Done),
            Next::Answer(job) => Ok(Turn::Done(Started {
                name: job.name_any(),
                by: StartedBy::EarlierEnded,
            })),
            Next::Refuse(job) => Err(engine::different(&format!("Job {}", job.name_any()))),
            Next::Wait(why) => Ok(Turn::Wait(why)),
            Next::GiveWay(job) => {
                self.objects.remove_job(job).await?;
                Ok(Turn::Wait(starting(name)))
            }
            Next::Doubt(others) => self.doubt(&others).await,
            Next::Create => {
                // The pods of a Job that was deleted have 30 seconds and more to end, and write.
                let place = restore.target.place_hash();
                if let Some(pod) = self.objects.pod_restoring(&place).await? {
                    return Ok(Turn::Wait(still_running(&pod)));
                }
                let lender = self.lender(restore).await?;
                let wanted = render::restore_job(&self.settings, name, restore, lender.as_ref());
                self.objects.create_job(&wanted).await?;
                Ok(Turn::Again)
            }
            Next::Begin(job) => self.begin(job, restore).await,
        }
    }

    /// The schedule that lends a restore its credentials, as it is now.
    async fn lender(&self, restore: &Restore) -> Result<Option<Spec>, Error> {
        let Some(lent) = &restore.lent else {
            return Ok(None);
        };
        let found = self.objects.cron_job(lent.by.as_str()).await?;
        let spec = found.filter(|it| self.is_ours(it));
        let spec = spec.and_then(|it| record::recover(&it).ok());
        let spec = spec.ok_or_else(|| {
            let why = format!(
                "schedule {}, which was to lend its credentials, is gone",
                lent.by
            );
            Error::new(DOING, Kind::NotFound, why)
        })?;
        if !restore.may_borrow_of(&spec.schedule) {
            return Err(engine::moved(DOING));
        }
        Ok(Some(spec))
    }

    /// All restores into a database.
    async fn restores(&self, restore: &Restore) -> Result<Vec<Job>, Error> {
        let place = restore.target.place_hash();
        self.objects.restores(Some(&place)).await
    }

    /// The same request's restore that has ended: well and just now, or however and whenever it was where
    /// the request has a name. Only where nothing is under way. One that the core has put its object on was
    /// answered, and heard; the core has no names for requests, and each of its objects is one.
    async fn just_ended<'a>(
        &self,
        jobs: &'a [Job],
        request: &str,
        restore: &Restore,
    ) -> Result<Option<&'a Job>, Error> {
        if jobs.iter().any(|it| !is_finished(it)) {
            return Ok(None);
        }
        let same = jobs.iter().filter(|it| is_same(it, request));
        if !restore.request_id.is_empty() {
            // However it has ended: whoever has cancelled it does not want it to come with a repeated call.
            return Ok(same.max_by_key(|it| it.creation_timestamp()));
        }
        let ended = same.filter_map(|it| Some((has_succeeded(it)?, it)));
        let Some((at, job)) = ended.max_by_key(|(at, _)| *at) else {
            return Ok(None);
        };
        let was_heard = !job.owner_references().is_empty();
        let is_answer = !was_heard && {
            let now = self.objects.time().await?;
            at.duration_until(now).abs() < JUST_ENDED
        };
        Ok(is_answer.then_some(job))
    }

    /// Removes what nobody has let go for long. Its age is told by the clock that dated it: ours
    /// may be ahead, and another caller's Job would be taken for a crash's.
    async fn doubt(&self, others: &[&Job]) -> Result<Turn, Error> {
        let now = self.objects.time().await?;
        let mut waits_for = None;
        for other in others {
            if self.is_abandoned(other, now) {
                tracing::info!(run = %other.name_any(), "removing a restore that was never started");
                self.objects.remove_job(other).await?;
            } else {
                waits_for = Some(other.name_any());
            }
        }
        Ok(waits_for.map_or(Turn::Again, |it| Turn::Wait(starting(&it))))
    }

    /// The Secret first, then this very Job may run.
    async fn begin(&self, job: &Job, restore: &Restore) -> Result<Turn, Error> {
        let name = job.name_any();
        let owner = owner::<Job>(&name, &uid(job));
        let about = About {
            component: Component::Restore,
            database: &restore.target,
        };
        let mut vars = self.settings.workers.restore(restore).to_env();
        // What others' Secrets have is read there.
        vars.retain(|it| restore.named(it.name).is_none());
        let secret = render::secret(&self.settings, &name, owner, (&about, &vars));
        self.objects.apply_secret(&secret).await?;
        let started = render::started(&self.settings, uid(job));
        let started = self.objects.change_job(&name, &started).await?;
        if started.metadata.deletion_timestamp.is_some() {
            return Ok(Turn::Wait(being_deleted(&started)));
        }
        self.adopted(&name, &started).await.map(Turn::Done)
    }

    /// One that is under way; `name` is the call's own.
    async fn adopted(&self, name: &str, job: &Job) -> Result<Started, Error> {
        self.first_status(job).await;
        let by = if job.name_any() == name {
            StartedBy::ThisCall
        } else {
            StartedBy::Earlier
        };
        Ok(Started {
            name: job.name_any(),
            by,
        })
    }

    /// The released core reads the Job right after our answer and puts all of it back: a status
    /// that is written in between makes that a conflict, which it takes for a failed restore. So
    /// the Job controller goes first. A restore that gets no pod, for the lack of quota, has
    /// nevertheless begun; and a queue decides itself when it lets a Job go.
    async fn first_status(&self, job: &Job) {
        if self.settings.queue.is_some() {
            return;
        }
        let name = job.name_any();
        let until = Instant::now() + FIRST_STATUS;
        let mut status = job.status.clone();
        while !has_run(status.as_ref()) && Instant::now() < until {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            status = match self.objects.job(&name).await {
                Ok(Some(job)) => job.status,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(run = %name, error = &error as &dyn std::error::Error, "its status is not waited for");
                    return;
                }
            };
        }
    }

    /// What this call has made and not started goes with it. Whether it has is asked anew, since
    /// an answer may have been lost; what cannot be removed now is removed as a crash's.
    async fn withdraw(&self, name: &str, restore: &Restore) {
        let mut removed = self.try_withdraw(name, restore).await;
        for attempt in 0..WITHDRAWALS {
            match &removed {
                // Its controller has just written its first status.
                Err(error) if is_lost_race(error) => pause(attempt).await,
                _ => break,
            }
            removed = self.try_withdraw(name, restore).await;
        }
        if let Err(error) = removed {
            tracing::debug!(
                run = name,
                error = &error as &dyn std::error::Error,
                "it stays until it counts as a crash's"
            );
        }
    }

    async fn try_withdraw(&self, name: &str, restore: &Restore) -> Result<(), Error> {
        let jobs = self.restores(restore).await?;
        let mine = jobs
            .iter()
            .find(|it| it.name_any() == name && !has_started(it));
        match mine {
            Some(job) => self.objects.remove_job(job).await,
            None => Ok(()),
        }
    }

    /// Whether a Job that was not started is a crash's.
    pub(super) fn is_abandoned(&self, job: &Job, now: Timestamp) -> bool {
        let made = job.creation_timestamp();
        made.is_some_and(|it| self.is_old(it.0, now))
    }
}

/// Decides from all restores into a database; `name` is the call's own.
fn next<'a>(name: &str, request: &str, jobs: &'a [Job]) -> Next<'a> {
    let under_way = || jobs.iter().filter(|it| !is_finished(it));
    let started = |it: &&Job| has_started(it);
    let deleted = |it: &&Job| it.metadata.deletion_timestamp.is_some();
    if let Some(job) = under_way().find(|it| started(it) && !deleted(it)) {
        return if is_same(job, request) {
            Next::Adopt(job)
        } else {
            Next::Refuse(job)
        };
    }
    if let Some(job) = under_way().find(|it| started(it)) {
        return Next::Wait(being_deleted(job));
    }
    // One that was deleted before it was started will not run: no pods are made for it.
    let waiting = under_way().filter(|it| !deleted(it));
    let (mine, others): (Vec<&Job>, Vec<&Job>) = waiting.partition(|it| it.name_any() == name);
    match (mine.first(), others.as_slice()) {
        (None, []) => Next::Create,
        (Some(job), []) => Next::Begin(job),
        (Some(job), others) if others.iter().any(|it| it.uid() < job.uid()) => Next::GiveWay(job),
        (_, _) => Next::Doubt(others),
    }
}

fn has_run(status: Option<&JobStatus>) -> bool {
    status.is_some_and(|it| {
        let counts = [it.active, it.ready, it.succeeded, it.failed];
        counts.iter().flatten().any(|count| *count > 0)
    })
}

fn is_same(job: &Job, request: &str) -> bool {
    REQUEST.of(job.annotations()) == Some(request)
}

fn being_deleted(job: &Job) -> Error {
    let why = format!(
        "Job {} is being deleted and may still write into this database; ask again when it is gone",
        job.name_any()
    );
    Error::new(DOING, Kind::Unavailable, why)
}

fn still_running(pod: &str) -> Error {
    let why = format!(
        "pod {pod} of a Job that was deleted may still write into this database; ask again when it is gone"
    );
    Error::new(DOING, Kind::Unavailable, why)
}

fn starting(job: &str) -> Error {
    let why = format!("another call is starting Job {job} for this database; ask again");
    Error::new(DOING, Kind::Unavailable, why)
}
