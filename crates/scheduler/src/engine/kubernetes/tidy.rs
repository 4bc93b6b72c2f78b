//! What the leader does every few minutes: what exists is brought up to date with this version and its
//! settings, and what a crash has left is removed.

use std::collections::BTreeSet;

use futures::stream::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;
use semver::Version;

use crate::domain::run::Component;
use crate::engine::{Error, Tidied};

use super::apply::{FIELD_MANAGER, RESTARTS};
use super::drift::has_drifted;
use super::error::{is_expired, is_lost_race};
use super::jobs::{has_started, is_finished};
use super::keys::{RENDERED, VERSION};
use super::record::{self, Spec};
use super::render::{self, About};
use super::{Kubernetes, owner, uid};

/// How many CronJobs are brought up to date side by side.
const AT_ONCE: usize = 8;

impl Kubernetes {
    pub(super) async fn tidy_all(&self) -> Result<Tidied, Error> {
        let mut restarts = 0;
        let schedules = loop {
            match self.tidy_schedules().await {
                // What the pages are of is too old for another one; what was done stays done.
                Err(error) if is_expired(&error) && restarts < RESTARTS => restarts += 1,
                outcome => break outcome?,
            }
        };
        self.remove_unstarted().await.map(|it| schedules.and(it))
    }

    async fn tidy_schedules(&self) -> Result<Tidied, Error> {
        let mut tidied = Tidied::default();
        let mut page = String::new();
        loop {
            let (mut cron_jobs, next) = self.objects.cron_jobs(&page).await?;
            cron_jobs.retain(|it| self.is_of_release(it));
            let outcomes = futures::stream::iter(cron_jobs)
                .map(|it| async move { Box::pin(self.tidy_one(&it)).await })
                .buffer_unordered(AT_ONCE);
            tidied = outcomes.fold(tidied, async |sum, one| sum.and(one)).await;
            page = next;
            if page.is_empty() {
                return Ok(tidied);
            }
        }
    }

    /// Restores that a crash has kept from being started.
    async fn remove_unstarted(&self) -> Result<Tidied, Error> {
        let mut tidied = Tidied::default();
        let mut jobs = self.objects.restores(None).await?;
        jobs.retain(|it| self.is_of_release(it) && !is_finished(it) && !has_started(it));
        if jobs.is_empty() {
            return Ok(tidied);
        }
        let now = self.objects.time().await?;
        for job in jobs.iter().filter(|it| self.is_abandoned(it, now)) {
            tidied = tidied.and(removed(self.objects.remove_job(job).await)?);
        }
        Ok(tidied)
    }

    /// What one object meets stops no other.
    async fn tidy_one(&self, found: &CronJob) -> Tidied {
        let schedule = found.name_any();
        let mut outcome = self.try_tidy(&schedule, found).await;
        if outcome.as_ref().is_err_and(is_lost_race) {
            // The CronJob controller writes its status whenever it starts a Job.
            outcome = match self.objects.cron_job(&schedule).await {
                Ok(Some(found)) => self.try_tidy(&schedule, &found).await,
                Ok(None) => Ok(Tidied::default()),
                Err(error) => Err(error),
            };
        }
        outcome.unwrap_or_else(|error| {
            tracing::warn!(%schedule, error = &error as &dyn std::error::Error, "it stays as it was");
            left()
        })
    }

    async fn try_tidy(&self, name: &str, found: &CronJob) -> Result<Tidied, Error> {
        let Some(rendered) = RENDERED.of(found.annotations()) else {
            return self.remove_unfinished(found).await;
        };
        if self.is_of_newer(found) {
            tracing::debug!(schedule = %name, "a newer scheduler keeps it");
            return Ok(unchanged());
        }
        let spec = match record::recover(found) {
            Ok(spec) => spec,
            Err(why) => {
                tracing::warn!(schedule = %name, %why, "what it is for cannot be read, so it stays as it is; an Update mends it");
                return Ok(left());
            }
        };
        let retired = render::retired(found);
        let still_read = self.remove_retired(found, &retired).await;
        let wanted = render::cron_job(&self.settings, &spec);
        let is_new = RENDERED.of(wanted.annotations()) != Some(rendered);
        let is_edited = !is_new && has_drifted(&wanted, found);
        let mut tidied = Tidied {
            removed: retired.len() - still_read.len(),
            ..Tidied::default()
        };
        if !is_new && !is_edited && still_read == retired {
            tidied.unchanged = 1;
            return Ok(tidied);
        }
        self.write_own_secrets(found, &spec).await?;
        let wanted = render::remembering(wanted, still_read);
        let wanted = render::replacing(wanted, found);
        let applied = self.objects.apply_cron_job(wanted).await?;
        let has_changed = applied.resource_version() != found.resource_version();
        if is_edited && has_changed {
            tracing::warn!(schedule = %name, "somebody has edited it; it is put right, and an Update is what changes it");
        }
        let is_updated = (is_new || is_edited) && has_changed;
        tidied.updated = usize::from(is_updated);
        tidied.unchanged = usize::from(!is_updated);
        Ok(tidied)
    }

    /// What is secret of the administrator's settings is part of a rendering; the request's own secrets
    /// beside it, which nobody reads back, stay as they are.
    async fn write_own_secrets(&self, found: &CronJob, spec: &Spec) -> Result<(), Error> {
        let own = self.settings.workers.own_secrets();
        if own.is_empty() {
            return Ok(());
        }
        let about = About {
            component: Component::Backup,
            database: &spec.schedule.plan.source,
        };
        let owner = owner::<CronJob>(&found.name_any(), &uid(found));
        let content = render::secret(&self.settings, &spec.secret, owner, (&about, &own));
        self.objects.add_to_secret(&content).await.map(drop)
    }

    /// A CronJob that was never completed, unless its call is still at it.
    async fn remove_unfinished(&self, found: &CronJob) -> Result<Tidied, Error> {
        let made = found.creation_timestamp().map(|it| it.0);
        let now = self.objects.time().await?;
        if made.is_some_and(|it| !self.is_old(it, now)) {
            return Ok(Tidied::default());
        }
        tracing::info!(schedule = %found.name_any(), "removing a CronJob that was never completed");
        removed(self.objects.remove_cron_job(found).await)
    }

    /// Whether a newer version than ours has rendered it: while an update rolls, what it writes is not
    /// written over.
    fn is_of_newer(&self, found: &CronJob) -> bool {
        let version = |text: &str| text.parse::<Version>().ok();
        let theirs = VERSION.of(found.annotations()).and_then(version);
        let ours = version(&self.settings.version);
        theirs.zip(ours).is_some_and(|(theirs, ours)| theirs > ours)
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
                let schedule = found.name_any();
                tracing::warn!(%schedule, error = &error as &dyn std::error::Error, "the Secrets of earlier renderings stay");
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
        let settled = rendered_at(found).is_some_and(|it| self.is_old(it, now));
        if !settled {
            return Ok(retired.clone());
        }
        let mut jobs = self.objects.jobs_of(&found.name_any()).await?;
        // A schedule lends its credentials.
        jobs.extend(self.objects.restores(None).await?);
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

fn unchanged() -> Tidied {
    Tidied {
        unchanged: 1,
        ..Tidied::default()
    }
}

/// One schedule that stays as it was.
fn left() -> Tidied {
    Tidied {
        left: 1,
        ..Tidied::default()
    }
}

/// Somebody who has changed the object meanwhile is at work on it: it is theirs.
fn removed(outcome: Result<(), Error>) -> Result<Tidied, Error> {
    match outcome {
        Ok(()) => Ok(Tidied {
            removed: 1,
            ..Tidied::default()
        }),
        Err(error) if is_lost_race(&error) => Ok(Tidied::default()),
        Err(error) => Err(error),
    }
}
