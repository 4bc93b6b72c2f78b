//! What a new version does at its start: what exists is brought up to date, and what a crash has
//! left is removed.

use futures::stream::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use crate::engine::{Error, Kind, Refreshed};

use super::error::is_lost_race;
use super::{Kubernetes, has_started, is_finished, record, render};

/// How many CronJobs are brought up to date side by side.
const AT_ONCE: usize = 8;

impl Kubernetes {
    pub(super) async fn refresh_all(&self) -> Result<Refreshed, Error> {
        let mut refreshed = Refreshed::default();
        let mut page = String::new();
        loop {
            let (cron_jobs, next) = self.objects.cron_jobs(&page).await?;
            let outcomes = futures::stream::iter(cron_jobs)
                .map(|it| async move { self.refresh_one(&it).await })
                .buffer_unordered(AT_ONCE);
            refreshed = outcomes
                .try_fold(refreshed, async |sum, one| Ok(sum.and(one)))
                .await?;
            page = next;
            if page.is_empty() {
                break;
            }
        }
        self.remove_unstarted().await.map(|it| refreshed.and(it))
    }

    /// Restores that a crash has kept from being started.
    async fn remove_unstarted(&self) -> Result<Refreshed, Error> {
        let mut refreshed = Refreshed::default();
        let mut jobs = self.objects.restores(None).await?;
        jobs.retain(|it| !is_finished(it) && !has_started(it));
        if jobs.is_empty() {
            return Ok(refreshed);
        }
        let now = self.objects.time().await?;
        for job in jobs.iter().filter(|it| self.is_abandoned(it, now)) {
            refreshed = refreshed.and(removed(self.objects.remove_job(job).await)?);
        }
        Ok(refreshed)
    }

    async fn refresh_one(&self, found: &CronJob) -> Result<Refreshed, Error> {
        let name = found.name_any();
        let Some(rendered) = found.annotations().get(render::RENDERED) else {
            tracing::info!(plan = %name, "removing a CronJob that was never completed");
            return removed(self.objects.remove_cron_job(found).await);
        };
        let Some((schedule, vars)) = record::recover(found) else {
            tracing::warn!(plan = %name, "its parameters are unreadable; the next Update mends it");
            return Ok(left());
        };
        let wanted = render::cron_job(&self.settings, &name, &schedule, &vars);
        if wanted.annotations().get(render::RENDERED) == Some(rendered) {
            return Ok(Refreshed {
                unchanged: 1,
                ..Refreshed::default()
            });
        }
        match self
            .objects
            .apply_cron_job(render::replacing(wanted, found))
            .await
        {
            Ok(_) => Ok(Refreshed {
                updated: 1,
                ..Refreshed::default()
            }),
            Err(error) if error.kind() == Kind::Unavailable => Err(error),
            Err(error) => {
                tracing::warn!(plan = %name, error = &error as &dyn std::error::Error, "it stays as it was");
                Ok(left())
            }
        }
    }
}

/// One schedule that stays as it was.
fn left() -> Refreshed {
    Refreshed {
        left: 1,
        ..Refreshed::default()
    }
}

/// Somebody who has changed the object meanwhile is at work on it: it is theirs.
fn removed(outcome: Result<(), Error>) -> Result<Refreshed, Error> {
    match outcome {
        Ok(()) => Ok(Refreshed {
            removed: 1,
            ..Refreshed::default()
        }),
        Err(error) if is_lost_race(&error) => Ok(Refreshed::default()),
        Err(error) => Err(error),
    }
}
