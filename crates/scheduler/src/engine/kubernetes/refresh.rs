//! What a new version does at its start: what exists is brought up to date, and what a crash has
//! left is removed.

use futures::stream::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use super::error::{Error, Kind};
use super::{Kubernetes, has_started, is_finished, record, render};

/// How many CronJobs are brought up to date side by side.
const AT_ONCE: usize = 8;

/// What [`Kubernetes::refresh`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// CronJobs that were as they should be.
    pub unchanged: usize,
    /// CronJobs that were brought up to date.
    pub updated: usize,
    /// Leavings of a crash that were removed.
    pub removed: usize,
    /// Objects that could not be brought up to date; each is in the log.
    pub left: usize,
}

impl Kubernetes {
    /// Brings what exists up to date with this version and these settings, and removes what a
    /// crash has left. For the start, before calls are served.
    ///
    /// # Errors
    /// When the cluster does not answer; what concerns a single object is logged and counted.
    pub async fn refresh(&self) -> Result<Refreshed, Error> {
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
        for job in self.objects.restores(None).await? {
            if !is_finished(&job) && !has_started(&job) {
                refreshed = refreshed.and(removed(self.objects.remove_job(&job).await)?);
            }
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
            return Ok(Refreshed::left());
        };
        let mut wanted = render::cron_job(&self.settings, &name, &schedule, &vars);
        if wanted.annotations().get(render::RENDERED) == Some(rendered) {
            return Ok(Refreshed {
                unchanged: 1,
                ..Refreshed::default()
            });
        }
        wanted.metadata.uid = found.uid();
        match self.objects.apply_cron_job(&wanted).await {
            Ok(_) => Ok(Refreshed {
                updated: 1,
                ..Refreshed::default()
            }),
            Err(error) if error.kind() == Kind::Unavailable => Err(error),
            Err(error) => {
                tracing::warn!(plan = %name, error = &error as &dyn std::error::Error, "it stays as it was");
                Ok(Refreshed::left())
            }
        }
    }
}

impl Refreshed {
    fn left() -> Self {
        Self {
            left: 1,
            ..Self::default()
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            unchanged: self.unchanged + other.unchanged,
            updated: self.updated + other.updated,
            removed: self.removed + other.removed,
            left: self.left + other.left,
        }
    }
}

/// Somebody who has changed the object meanwhile is at work on it: it is theirs.
fn removed(outcome: Result<(), Error>) -> Result<Refreshed, Error> {
    match outcome {
        Ok(()) => Ok(Refreshed {
            removed: 1,
            ..Refreshed::default()
        }),
        Err(error) if error.is_lost_race() => Ok(Refreshed::default()),
        Err(error) => Err(error),
    }
}
