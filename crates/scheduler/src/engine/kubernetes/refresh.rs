//! What a new version does at its start: what exists is brought up to date, and what a crash has
//! left is removed.

use std::collections::BTreeSet;

use futures::stream::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;
use tokio_util::sync::CancellationToken;

use crate::engine::{Error, Refreshed};

use super::apply::{FIELD_MANAGER, RESTARTS};
use super::drift::has_drifted;
use super::error::{is_expired, is_lost_race};
use super::{Kubernetes, has_started, is_finished, record, render};

/// How many CronJobs are brought up to date side by side.
const AT_ONCE: usize = 8;

impl Kubernetes {
    pub(super) async fn refresh_all(&self) -> Result<Refreshed, Error> {
        let mut restarts = 0;
        let schedules = loop {
            match self.refresh_pages().await {
                // What the pages are of is too old for another one; what was done stays done.
                Err(error) if is_expired(&error) && restarts < RESTARTS => restarts += 1,
                outcome => break outcome?,
            }
        };
        self.remove_unstarted().await.map(|it| schedules.and(it))
    }

    async fn refresh_pages(&self) -> Result<Refreshed, Error> {
        let mut refreshed = Refreshed::default();
        let mut page = String::new();
        loop {
            let (cron_jobs, next) = self.objects.cron_jobs(&page).await?;
            let outcomes = futures::stream::iter(cron_jobs)
                .map(|it| async move { Box::pin(self.refresh_one(&it)).await })
                .buffer_unordered(AT_ONCE);
            refreshed = outcomes
                .fold(refreshed, async |sum, one| sum.and(one))
                .await;
            page = next;
            if page.is_empty() {
                return Ok(refreshed);
            }
        }
    }

    /// What an older version or a person has written since is put right within minutes, and what
    /// could not be written before is tried again.
    pub(super) async fn refresh_regularly(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.settings.refresh_every) => {}
            }
            let refreshed = tokio::select! {
                () = stop.cancelled() => return,
                refreshed = Box::pin(self.refresh_all()) => refreshed,
            };
            match refreshed {
                Ok(it) if it.updated + it.removed + it.left > 0 => {
                    tracing::info!(refreshed = ?it, "the schedules are up to date");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "trying again later"
                    );
                }
            }
        }
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

    /// What one object meets stops no other.
    async fn refresh_one(&self, found: &CronJob) -> Refreshed {
        let plan = found.name_any();
        let mut outcome = self.try_refresh(&plan, found).await;
        if outcome.as_ref().is_err_and(is_lost_race) {
            // The CronJob controller writes its status whenever it starts a Job.
            outcome = match self.objects.cron_job(&plan).await {
                Ok(Some(found)) => self.try_refresh(&plan, &found).await,
                Ok(None) => Ok(Refreshed::default()),
                Err(error) => Err(error),
            };
        }
        outcome.unwrap_or_else(|error| {
            tracing::warn!(%plan, error = &error as &dyn std::error::Error, "it stays as it was");
            left()
        })
    }

    async fn try_refresh(&self, name: &str, found: &CronJob) -> Result<Refreshed, Error> {
        let Some(rendered) = found.annotations().get(render::RENDERED) else {
            tracing::info!(plan = %name, "removing a CronJob that was never completed");
            return removed(self.objects.remove_cron_job(found).await);
        };
        let Some(parameters) = record::recover(found) else {
            tracing::warn!(plan = %name, "its parameters are unreadable; the next Update mends it");
            return Ok(left());
        };
        let retired = render::retired(found);
        let still_read = self.remove_retired(found, &retired).await;
        let wanted = render::cron_job(&self.settings, name, &parameters);
        let is_new = wanted.annotations().get(render::RENDERED) != Some(rendered);
        let is_edited = !is_new && has_drifted(&wanted, found);
        let mut refreshed = Refreshed {
            removed: retired.len() - still_read.len(),
            ..Refreshed::default()
        };
        if !is_new && !is_edited && still_read == retired {
            refreshed.unchanged = 1;
            return Ok(refreshed);
        }
        let wanted = render::remembering(wanted, still_read);
        let wanted = render::replacing(wanted, found);
        let applied = self.objects.apply_cron_job(wanted).await?;
        let has_changed = applied.resource_version() != found.resource_version();
        if is_edited && has_changed {
            tracing::warn!(plan = %name, "somebody has edited it; it is put right, and an Update is what changes it");
        }
        let is_updated = (is_new || is_edited) && has_changed;
        refreshed.updated = usize::from(is_updated);
        refreshed.unchanged = usize::from(!is_updated);
        Ok(refreshed)
    }

    /// Removes the Secrets of earlier renderings that no Job reads any more; gives those that stay.
    async fn remove_retired(
        &self,
        found: &CronJob,
        retired: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        if retired.is_empty() {
            return BTreeSet::new();
        }
        self.try_remove_retired(found, retired)
            .await
            .unwrap_or_else(|error| {
                let plan = found.name_any();
                tracing::warn!(%plan, error = &error as &dyn std::error::Error, "the Secrets of earlier renderings stay");
                retired.clone()
            })
    }

    async fn try_remove_retired(
        &self,
        found: &CronJob,
        retired: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Error> {
        let now = self.objects.time().await?;
        // The CronJob controller may still make a Job of the rendering that it has in its cache.
        let settled = rendered_at(found).is_some_and(|it| {
            it.duration_until(now).unsigned_abs() >= self.settings.abandoned_after
        });
        if !settled {
            return Ok(retired.clone());
        }
        let mut jobs = self.objects.jobs_of(&found.name_any()).await?;
        jobs.retain(|it| !is_finished(it));
        let (read, unread): (BTreeSet<_>, BTreeSet<_>) = retired
            .iter()
            .cloned()
            .partition(|secret| jobs.iter().any(|it| render::reads(it, secret)));
        for secret in unread {
            self.objects.remove_secret(&secret).await?;
        }
        Ok(read)
    }
}

/// When a CronJob was rendered last, by the API server's clock.
fn rendered_at(found: &CronJob) -> Option<Timestamp> {
    let ours = found.managed_fields().iter().filter(|it| {
        it.manager.as_deref() == Some(FIELD_MANAGER) && it.operation.as_deref() == Some("Apply")
    });
    ours.filter_map(|it| it.time.as_ref().map(|it| it.0)).max()
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
