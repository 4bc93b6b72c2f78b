//! Jobs that another program has begun where ours are: what became of them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::changes::{attempts, ended, last_words, unfinished};
use super::jobs::{has_condition, is_finished};
use super::{Kubernetes, is_managed};
use crate::domain::labels::Labels;
use crate::domain::run::{Component, Ending, Inherited, Run, State};
use crate::engine::Error;

impl Kubernetes {
    pub(super) async fn inherited_runs(&self, labels: &Labels) -> Result<Vec<Inherited>, Error> {
        let mut all = Vec::new();
        for job in self.inherited_jobs(labels).await? {
            all.push(Inherited {
                run: self.inherited_run(&job).await?,
                labels: job.labels().clone(),
                annotations: job.annotations().clone(),
            });
        }
        Ok(all)
    }

    pub(super) async fn remove_inherited_run(&self, run: &Run) -> Result<(), Error> {
        match self.objects.job(&run.name).await? {
            Some(job) if job.uid().as_ref() == Some(&run.id) && !is_managed(&job) => {
                self.objects.remove_job(&job).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn inherited_jobs(&self, labels: &Labels) -> Result<Vec<Job>, Error> {
        let selector = labels.iter().map(|(key, value)| format!("{key}={value}"));
        let selector = selector.collect::<Vec<_>>().join(",");
        let params = ListParams::default().labels(&selector);
        let mut all = self.objects.jobs_by(params).await?;
        all.retain(|it| !is_managed(it));
        Ok(all)
    }

    async fn inherited_run(&self, job: &Job) -> Result<Run, Error> {
        let state = if is_finished(job) {
            let pods = self.objects.pods_of(&job.name_any()).await?;
            State::Ended(ending(job, &pods))
        } else {
            unfinished(job)
        };
        let started = job.status.as_ref().and_then(|it| it.start_time.as_ref());
        Ok(Run {
            component: Component::Backup,
            name: job.name_any(),
            id: job.uid().unwrap_or_default(),
            schedule: None,
            database: String::new(),
            state,
            created: job.creation_timestamp().map(|it| it.0).unwrap_or_default(),
            started: started.map(|it| it.0),
            ended: ended(job),
            told: true,
            drilled: None,
        })
    }
}

/// What the Job itself says. That a worker's exit code may mean more is between our workers and us.
fn ending(job: &Job, pods: &[Pod]) -> Ending {
    let (exit_code, message) = last_words(pods);
    match has_condition(job, "Failed") {
        None => Ending::Succeeded { message },
        Some(condition) => Ending::Failed {
            reason: condition.reason.clone().unwrap_or_default(),
            exit_code,
            message,
            attempts: attempts(job, pods),
        },
    }
}
