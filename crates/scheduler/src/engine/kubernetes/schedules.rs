//! Schedules: CronJobs that are made once, and changed in all they are.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use super::error::is_lost_race;
use super::jobs::is_finished;
use super::keys::{DRILLS, RENDERED};
use super::record::{self, Shown, Spec, Unknown};
use super::render::{self, About};
use super::{Kubernetes, contended, is_managed, owner, pause, uid};
use crate::domain::drills::Drills;
use crate::domain::kept::Unreadable;
use crate::domain::name::Name;
use crate::domain::run::Component;
use crate::domain::schedule::Schedule;
use crate::engine::{self, Error, Kind, Put, Started, StartedBy, Whose};

/// How often a lost race is run again.
const ATTEMPTS: u64 = 8;

impl Kubernetes {
    pub(super) async fn put_schedule(
        &self,
        schedule: &Schedule,
        whose: &Whose,
    ) -> Result<Put, Error> {
        let (mut attempt, mut written) = (0, BTreeSet::new());
        loop {
            attempt += 1;
            match Box::pin(self.try_put(schedule, whose, &mut written)).await {
                Err(error) if is_lost_race(&error) && !is_missing(&error, whose) => {
                    lost(attempt, schedule, error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    pub(super) async fn read_schedule(&self, name: &Name) -> Result<Option<Schedule>, Error> {
        let found = self.objects.cron_job(name.as_str()).await?;
        let found = found.filter(|it| self.is_ours(it));
        Ok(found.and_then(|it| Some(record::recover(&it).ok()?.schedule)))
    }

    /// With its Jobs, whose pods are stopped.
    pub(super) async fn delete_schedule(&self, name: &Name) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            let Some(found) = self.objects.cron_job(name.as_str()).await? else {
                return Ok(());
            };
            self.check_ours(&found)?;
            match self.objects.remove_cron_job(&found).await {
                Err(error) if is_lost_race(&error) => pause(attempt).await,
                outcome => return outcome,
            }
        }
        let why = "others keep changing it; ask again";
        Err(Error::new(
            format!("delete CronJob {name}"),
            Kind::Unavailable,
            why,
        ))
    }

    /// As `kubectl patch` does it: the field is no other's, so that what a person does there counts too.
    pub(super) async fn suspend_schedule(&self, name: &Name, suspended: bool) -> Result<(), Error> {
        let found = self.found("suspend", name).await?;
        let change = render::suspension(uid(&found), suspended);
        let changed = self.objects.change_cron_job(name.as_str(), &change).await;
        changed.map(drop)
    }

    /// Into an annotation that no rendering has: the next one leaves it.
    pub(super) async fn keep_drills_of(
        &self,
        name: &Name,
        known: &Drills,
        now: &Drills,
    ) -> Result<(), Error> {
        let found = self.found("keep how far the drills are of", name).await?;
        if engine::read_drills(DRILLS.of(found.annotations())) != *known {
            return Err(engine::others_drills(name));
        }
        let change = render::drills_kept(&found, engine::written_drills(now));
        let changed = self.objects.change_cron_job(name.as_str(), &change).await;
        changed.map(drop)
    }

    /// A Job as the CronJob would make it. The CronJob keeps count of it, and removes it with the others.
    pub(super) async fn run_schedule(
        &self,
        name: &Name,
        request_id: &str,
    ) -> Result<Started, Error> {
        let found = self.found("run", name).await?;
        let run = name.run_now(&engine::request_or_any(request_id));
        let jobs = self.objects.jobs_of(name.as_str()).await?;
        let known = jobs.iter().find(|it| it.name_any() == run);
        let under_way = || jobs.iter().find(|it| !is_finished(it));
        if let Some(job) = known.or_else(under_way) {
            return Ok(Started {
                name: job.name_any(),
                by: if is_finished(job) {
                    StartedBy::EarlierEnded
                } else {
                    StartedBy::Earlier
                },
            });
        }
        let started = |by| Started {
            name: run.clone(),
            by,
        };
        match self
            .objects
            .create_job(&render::run_now(&found, &run))
            .await
        {
            Ok(_) => Ok(started(StartedBy::ThisCall)),
            // The same request at the same time.
            Err(error) if error.kind() == Kind::Conflict => Ok(started(StartedBy::Earlier)),
            Err(error) => Err(error),
        }
    }

    /// A CronJob of ours that may run.
    pub(super) async fn found(&self, doing: &str, name: &Name) -> Result<CronJob, Error> {
        let found = self.objects.cron_job(name.as_str()).await?;
        let is_whole = |it: &CronJob| RENDERED.of(it.annotations()).is_some();
        let found = found.filter(is_whole);
        let found = found.ok_or_else(|| engine::no_schedule(doing, name))?;
        self.check_ours(&found)?;
        Ok(found)
    }

    async fn try_put(
        &self,
        schedule: &Schedule,
        whose: &Whose,
        written: &mut BTreeSet<String>,
    ) -> Result<Put, Error> {
        let name = &schedule.name;
        match self.objects.cron_job(name.as_str()).await? {
            Some(found) => {
                check_whose(&found, schedule, whose)?;
                self.complete(schedule, &found, written).await
            }
            None if whose.must_be_there() => Err(missing(name)),
            // Nothing half made is left for what cannot be completed.
            None if schedule.kept_of(None).is_none() => Err(engine::nothing_kept(name)),
            None => {
                // Its Secret has no name yet, and it reads none.
                let gate = render::gated(&self.render(&Spec {
                    schedule: schedule.clone(),
                    secret: name.to_string(),
                    held: BTreeMap::new(),
                }));
                let made = self.objects.create_cron_job(&gate).await?;
                self.complete(schedule, &made, written).await?;
                Ok(Put::Created)
            }
        }
    }

    fn render(&self, spec: &Spec) -> CronJob {
        render::cron_job(&self.settings, spec)
    }

    /// The Secret first, then the CronJob that may run: the very one that was found, as it was
    /// found, since it was checked like that. What this call has `written` for nothing, because a
    /// race was lost, is retired with the rest.
    async fn complete(
        &self,
        schedule: &Schedule,
        found: &CronJob,
        written: &mut BTreeSet<String>,
    ) -> Result<Put, Error> {
        self.check_ours(found)?;
        let is_whole = RENDERED.of(found.annotations()).is_some();
        let before = if is_whole {
            record::recover(found).ok()
        } else {
            None
        };
        let kept = before.as_ref().map(|it| &it.schedule);
        let schedule = schedule.clone().in_place_of(kept);
        let Some(stays) = schedule.kept_of(kept) else {
            return Err(engine::nothing_kept(&schedule.name));
        };
        let put = Put::of(&schedule, kept);
        // Nothing is given anew, and nobody needs another Secret.
        let is_declared_so = kept.is_some_and(|it| it.declared == schedule.declared);
        let is_given = schedule.has_at_hand();
        if put == Put::Unchanged && !stays.is_empty() && !is_given && is_declared_so {
            return Ok(put);
        }
        let spec = self.spec(schedule, found, before.as_ref(), &stays);
        let mut retired = render::retired(found);
        retired.extend(before.iter().map(|it| it.secret.clone()));
        retired.extend(before.iter().flat_map(|it| it.held.values().cloned()));
        retired.extend(written.iter().cloned());
        retired.retain(|it| *it != spec.secret && !spec.held.values().any(|held| held == it));
        let mut wanted = self.render(&spec);
        if !is_whole {
            wanted = render::released(wanted);
        }
        let owner = owner::<CronJob>(spec.schedule.name.as_str(), &uid(found));
        let about = About {
            component: Component::Backup,
            database: &spec.schedule.plan.source,
        };
        let vars = spec.own(self.settings.workers.kept(&spec.schedule));
        let content = render::secret(&self.settings, &spec.secret, owner, (&about, &vars));
        written.insert(spec.secret);
        self.objects.apply_secret(&content).await?;
        let wanted = render::remembering(wanted, retired);
        self.objects
            .apply_cron_job(render::replacing(wanted, found))
            .await?;
        Ok(put)
    }

    /// What a schedule is rendered from: what `stays` of its credentials is read on where it is.
    fn spec(
        &self,
        schedule: Schedule,
        found: &CronJob,
        before: Option<&Spec>,
        stays: &[&str],
    ) -> Spec {
        // What is written into it must not take the place of what stays.
        let secret = if stays.is_empty() {
            self.secret_for(&schedule, found, before)
        } else {
            render::secret_name(found, &schedule, stays)
        };
        let holder = |it: &&str| Some(((*it).to_owned(), before?.secret_of(it).0));
        Spec {
            held: stays.iter().filter_map(holder).collect(),
            secret,
            schedule,
        }
    }

    /// The Secret stays while all that it may be sent to stays: a new password is for the retries of a
    /// running Job as well. One that has its CronJob's own name is replaced, since another CronJob may
    /// have that name next.
    fn secret_for(&self, schedule: &Schedule, found: &CronJob, before: Option<&Spec>) -> String {
        let shown = |it: &Schedule| Shown::of(&self.settings.workers.backup(it).to_env());
        match before {
            Some(it)
                if shown(&it.schedule) == shown(schedule)
                    && has_drills_login(schedule, &it.schedule)
                    && it.secret != schedule.name.as_str()
                    && it.held.is_empty() =>
            {
                it.secret.clone()
            }
            _ => render::secret_name(found, schedule, &[]),
        }
    }

    /// Whether a CronJob is ours to change.
    fn check_ours(&self, found: &CronJob) -> Result<(), Error> {
        let doing = || format!("change CronJob {}", found.name_any());
        if !is_managed(found) {
            let why = "it is not one of ours";
            return Err(Error::new(doing(), Kind::Precondition, why));
        }
        if !self.is_of_release(found) {
            let why = "it is of another release of the adapter in this namespace";
            return Err(Error::new(doing(), Kind::Precondition, why));
        }
        if found.metadata.deletion_timestamp.is_some() {
            let why = "it is being deleted";
            return Err(Error::new(doing(), Kind::Unavailable, why));
        }
        Ok(())
    }
}

/// Whether the drills of both are on one server as one role, as far as they have one for themselves.
fn has_drills_login(one: &Schedule, other: &Schedule) -> bool {
    match (one.verify(), other.verify()) {
        (Some(verify), Some(its)) => verify.has_login_of(&one.plan.source, its, &other.plan.source),
        (one, other) => one.or(other).is_none_or(|it| it.server.is_none()),
    }
}

fn missing(name: &Name) -> Error {
    Error::new(
        format!("update CronJob {name}"),
        Kind::NotFound,
        "there is none",
    )
}

/// Whether nobody was quicker: what must be there was not there.
fn is_missing(error: &Error, whose: &Whose) -> bool {
    whose.must_be_there() && error.kind() == Kind::NotFound
}

/// Whoever loses a race looks again at what is there by now, but not for ever.
async fn lost(attempt: u64, schedule: &Schedule, error: Error) -> Result<(), Error> {
    if attempt >= ATTEMPTS {
        return Err(contended(
            &format!("write CronJob {}", schedule.name),
            error,
        ));
    }
    pause(attempt).await;
    Ok(())
}

/// Whether a CronJob is still whose the caller takes it for.
fn check_whose(found: &CronJob, schedule: &Schedule, whose: &Whose) -> Result<(), Error> {
    let is_whole = RENDERED.of(found.annotations()).is_some();
    match record::recover(found) {
        // What a crash has left is not there.
        Ok(_) if !is_whole && *whose == Whose::Nobodys => Ok(()),
        Ok(it) => whose.lets(&it.schedule, schedule),
        // A person's Update says all of it anew.
        Err(_) if *whose == Whose::Anybodys => Ok(()),
        Err(Unknown::Kept(newer @ Unreadable::Newer(_))) => {
            let doing = format!("make schedule {}", schedule.name);
            Err(Error::new(doing, Kind::Precondition, newer))
        }
        // What cannot be read is nobody's, and what was never completed is not there.
        Err(_) => Ok(()),
    }
}
