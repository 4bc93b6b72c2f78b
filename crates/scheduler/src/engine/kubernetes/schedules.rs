//! Schedules: CronJobs that are made once, and changed in all they are.

use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use super::error::is_lost_race;
use super::record::{self, Shown};
use super::{Kubernetes, contended, owner, pause, render, uid};
use crate::engine::{self, Component, Error, Kind, Schedule};

/// How often a lost race is run again.
const ATTEMPTS: u64 = 8;

impl Kubernetes {
    pub(super) async fn ensure_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Box::pin(self.try_ensure(schedule)).await {
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
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Some(found) = self.objects.cron_job(&schedule.name).await? else {
                return Err(Error::new(doing(), Kind::NotFound, "there is none"));
            };
            match Box::pin(self.complete(schedule, &found)).await {
                Err(error) if is_lost_race(&error) => {
                    lost(attempt, "update", schedule, error).await?;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_ensure(&self, schedule: &Schedule) -> Result<(), Error> {
        let found = match self.objects.cron_job(&schedule.name).await? {
            Some(found) => {
                check_place(&found, schedule)?;
                found
            }
            None => {
                let shown = Shown::of(&schedule.vars);
                let cron = &schedule.cron;
                let wanted = render::cron_job(&self.settings, &schedule.name, cron, &shown);
                self.objects
                    .create_cron_job(&render::gated(&wanted))
                    .await?
            }
        };
        self.complete(schedule, &found).await
    }

    /// The Secret first, then the CronJob that may run: the very one that was found, as it was
    /// found, since it was checked like that.
    async fn complete(&self, schedule: &Schedule, found: &CronJob) -> Result<(), Error> {
        check_ours(found)?;
        let name = &schedule.name;
        let shown = Shown::of(&schedule.vars);
        let mut wanted = render::cron_job(&self.settings, name, &schedule.cron, &shown);
        if !found.annotations().contains_key(render::RENDERED) {
            wanted = render::released(wanted);
        }
        let owner = owner::<CronJob>(name, &uid(found));
        let secret = render::secret(Component::Backup, name, owner, &schedule.vars);
        self.objects.apply_secret(&secret).await?;
        self.objects
            .apply_cron_job(render::replacing(wanted, found))
            .await
            .map(drop)
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
    let Some((_, shown)) = record::recover(found) else {
        return Ok(());
    };
    let shown = shown
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
