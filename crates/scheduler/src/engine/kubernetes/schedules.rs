//! Schedules: CronJobs that are made once, and changed in all they are.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use super::error::is_lost_race;
use super::record::{self, Parameters, Shown};
use super::{Kubernetes, contended, owner, pause, render, uid};
use crate::engine::{self, Component, Error, Kind, Schedule};

/// How often a lost race is run again.
const ATTEMPTS: u64 = 8;

impl Kubernetes {
    pub(super) async fn ensure_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        let (mut attempt, mut written) = (0, BTreeSet::new());
        loop {
            attempt += 1;
            match Box::pin(self.try_ensure(schedule, &mut written)).await {
                Err(error) if is_lost_race(&error) => {
                    lost(attempt, "make", schedule, error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    pub(super) async fn update_schedule(
        &self,
        namespace: &str,
        schedule: &Schedule,
    ) -> Result<(), Error> {
        let doing = || format!("update CronJob {namespace}/{}", schedule.name);
        if namespace != self.settings.namespace {
            let why = format!("only {} is served here", self.settings.namespace);
            return Err(Error::new(doing(), Kind::Denied, why));
        }
        let (mut attempt, mut written) = (0, BTreeSet::new());
        loop {
            attempt += 1;
            let Some(found) = self.objects.cron_job(&schedule.name).await? else {
                return Err(Error::new(doing(), Kind::NotFound, "there is none"));
            };
            match Box::pin(self.complete(schedule, &found, &mut written)).await {
                Err(error) if is_lost_race(&error) => {
                    lost(attempt, "update", schedule, error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_ensure(
        &self,
        schedule: &Schedule,
        written: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let name = &schedule.name;
        let found = match self.objects.cron_job(name).await? {
            Some(found) => {
                check_place(&found, schedule)?;
                found
            }
            None => {
                // Its Secret has no name yet, and it reads none.
                let gate = render::gated(&self.render(schedule, name.clone()));
                self.objects.create_cron_job(&gate).await?
            }
        };
        self.complete(schedule, &found, written).await
    }

    fn render(&self, schedule: &Schedule, secret: String) -> CronJob {
        let parameters = Parameters {
            schedule: schedule.cron.clone(),
            vars: Shown::of(&schedule.vars),
            secret,
        };
        render::cron_job(&self.settings, &schedule.name, &parameters)
    }

    /// The Secret first, then the CronJob that may run: the very one that was found, as it was
    /// found, since it was checked like that. What this call has `written` for nothing, because a
    /// race was lost, is retired with the rest.
    async fn complete(
        &self,
        schedule: &Schedule,
        found: &CronJob,
        written: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        check_ours(found)?;
        let is_whole = found.annotations().contains_key(render::RENDERED);
        let before = is_whole.then(|| record::recover(found)).flatten();
        let secret = secret_for(schedule, found, before.as_ref());
        let mut retired = render::retired(found);
        retired.extend(before.map(|it| it.secret));
        retired.extend(written.iter().cloned());
        retired.remove(&secret);
        let mut wanted = self.render(schedule, secret.clone());
        if !is_whole {
            wanted = render::released(wanted);
        }
        let owner = owner::<CronJob>(&schedule.name, &uid(found));
        let content = render::secret(Component::Backup, &secret, owner, &schedule.vars);
        written.insert(secret);
        self.objects.apply_secret(&content).await?;
        let wanted = render::remembering(wanted, retired);
        self.objects
            .apply_cron_job(render::replacing(wanted, found))
            .await
            .map(drop)
    }
}

/// The Secret stays while all that it may be sent to stays: a new password is for the retries of a
/// running Job as well. One that has its CronJob's own name is replaced, since another CronJob may
/// have that name next.
fn secret_for(schedule: &Schedule, found: &CronJob, before: Option<&Parameters>) -> String {
    let shown = Shown::of(&schedule.vars);
    match before {
        Some(it) if it.vars == shown && it.secret != schedule.name => it.secret.clone(),
        _ => render::secret_name(found, &shown),
    }
}

/// Whoever loses a race looks again at what is there by now, but not for ever.
async fn lost(attempt: u64, verb: &str, schedule: &Schedule, error: Error) -> Result<(), Error> {
    if attempt >= ATTEMPTS {
        return Err(contended(
            &format!("{verb} CronJob {}", schedule.name),
            error,
        ));
    }
    pause(attempt).await;
    Ok(())
}

/// Whether a CronJob still serves the database and bucket that its name is for.
fn check_place(found: &CronJob, schedule: &Schedule) -> Result<(), Error> {
    let Some(parameters) = record::recover(found) else {
        return Ok(());
    };
    let shown = parameters
        .vars
        .iter()
        .filter_map(|it| Some((it.name.as_str(), it.value.as_deref()?)));
    if engine::places(shown) == engine::places_of(schedule) {
        Ok(())
    } else {
        Err(engine::occupied(&schedule.name))
    }
}

/// Whether a CronJob is ours to change.
fn check_ours(found: &CronJob) -> Result<(), Error> {
    let doing = || format!("change CronJob {}", found.name_any());
    if found.labels().get(render::MANAGED_BY).map(String::as_str) != Some(render::MANAGER) {
        let why = "it is not one of ours";
        return Err(Error::new(doing(), Kind::Precondition, why));
    }
    if found.metadata.deletion_timestamp.is_some() {
        let why = "it is being deleted";
        return Err(Error::new(doing(), Kind::Unavailable, why));
    }
    Ok(())
}
