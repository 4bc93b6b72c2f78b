//! A Job that lists backups: the scheduler cannot read the keys of a store, and a pod can.

use std::time::Duration;

use backuper::listing::{self, Listed};
use tokio::time::Instant;

use super::changes::last_words;
use super::jobs::{has_succeeded, is_finished};
use super::{Kubernetes, owner, record, render, uid};
use crate::domain::name::Name;
use crate::engine::{Error, Kind};

/// How long it may take: a call waits for it.
const LIMIT: Duration = Duration::from_secs(45);
/// Between two looks at it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

impl Kubernetes {
    pub(super) async fn list_backups(&self, name: &Name) -> Result<Vec<Listed>, Error> {
        let doing = || format!("list the backups of schedule {name}");
        let found = self.found("list the backups of", name).await?;
        let spec = record::recover(&found);
        let spec = spec.map_err(|error| Error::new(doing(), Kind::Precondition, error))?;
        let job = name.listing(&uuid::Uuid::new_v4().to_string());
        let mut owner = owner::<k8s_openapi::api::batch::v1::CronJob>(name.as_str(), &uid(&found));
        // It goes with the CronJob, which does not count it among its runs.
        owner.controller = None;
        let wanted = render::listing_job(&self.settings, &job, &spec, owner);
        self.objects.create_job(&wanted).await?;
        let outcome = self.listed(&job, &doing()).await;
        // Whoever does not come to this leaves it to its time to live.
        let removed = async {
            match self.objects.job(&job).await? {
                Some(seen) => self.objects.remove_job(&seen).await,
                None => Ok(()),
            }
        };
        if let Err(error) = removed.await {
            tracing::debug!(
                job,
                error = &error as &dyn std::error::Error,
                "it goes by itself in a minute"
            );
        }
        outcome
    }

    async fn listed(&self, job: &str, doing: &str) -> Result<Vec<Listed>, Error> {
        let until = Instant::now() + LIMIT;
        let failed = |kind, why: String| Err(Error::new(doing, kind, why));
        let ended = loop {
            match self.objects.job(job).await? {
                Some(seen) if is_finished(&seen) => break seen,
                Some(_) if Instant::now() < until => {}
                Some(_) => {
                    let why = format!("its pod has not ended within {} s", LIMIT.as_secs());
                    return failed(Kind::Unavailable, why);
                }
                None => return failed(Kind::Unavailable, "its Job was removed".to_owned()),
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        };
        let pods = self.objects.pods_of(job).await?;
        if has_succeeded(&ended).is_none() {
            let (_, said) = last_words(&pods);
            return match said {
                Some(said) => failed(Kind::Precondition, said),
                None => failed(Kind::Unavailable, "its pod has not said why".to_owned()),
            };
        }
        let lines = self.lines_of(job, false).await?;
        let lines: Vec<String> = futures::TryStreamExt::try_collect(lines).await?;
        Ok(listing::parse(lines.iter().map(String::as_str)))
    }
}
