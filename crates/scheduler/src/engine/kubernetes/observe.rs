//! Which Jobs have finished, and how: a watch, each Job told once.

use std::collections::HashSet;
use std::pin::pin;

use futures::TryStreamExt as _;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio_util::sync::CancellationToken;

use crate::engine::{Component, Ending, Finished};

use super::apply::selector;
use super::render::{COMPONENT, SCHEDULE};
use super::{Kubernetes, is_finished};

impl Kubernetes {
    /// What had finished before is not news. The watch is taken up again whatever happens to the
    /// API server.
    pub(super) async fn watch(
        &self,
        stop: CancellationToken,
        tell: &(dyn Fn(Finished) + Send + Sync),
    ) {
        let config = watcher::Config::default()
            .labels(&selector(None))
            .page_size(250);
        let events = watcher(self.objects.jobs.clone(), config).default_backoff();
        let mut events = pin!(events);
        let mut known = Known::default();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.try_next() => event,
            };
            match event {
                Ok(Some(event)) => {
                    if let Some((job, is_news)) = known.finished(event) {
                        if is_news {
                            tell(self.finished(&job).await);
                        }
                        self.remove_secret_of(&job).await;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the watch of Jobs broke; taking it up again"
                    );
                }
            }
        }
    }

    /// The Secret of a restore, which nobody reads any more. Where it cannot be removed, it goes
    /// with its Job.
    async fn remove_secret_of(&self, job: &Job) {
        if !is_restore(job) {
            return;
        }
        let run = job.name_any();
        if let Err(error) = self.objects.remove_secret(&run).await {
            tracing::warn!(%run, error = &error as &dyn std::error::Error, "its Secret stays until it goes itself");
        }
    }

    async fn finished(&self, job: &Job) -> Finished {
        let name = job.name_any();
        let labels = job.labels();
        let ending = match failure(job) {
            None => Ending::Succeeded,
            Some(condition) => {
                let pods = self.objects.pods_of(&name).await.unwrap_or_else(|error| {
                    tracing::warn!(run = %name, error = &error as &dyn std::error::Error, "its pods do not tell why it failed");
                    Vec::new()
                });
                let (exit_code, message) = last_words(&pods);
                Ending::Failed {
                    reason: condition.reason.clone().unwrap_or_default(),
                    exit_code,
                    message,
                }
            }
        };
        Finished {
            component: if is_restore(job) {
                Component::Restore
            } else {
                Component::Backup
            },
            schedule: labels.get(SCHEDULE).cloned(),
            run: name,
            ending,
        }
    }
}

fn is_restore(job: &Job) -> bool {
    let component = job.labels().get(COMPONENT).map(String::as_str);
    component == Some(Component::Restore.word())
}

fn failure(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|it| it.type_ == "Failed" && it.status == "True")
}

/// Of the pod that ended last.
fn last_words(pods: &[Pod]) -> (Option<i32>, Option<String>) {
    let newest = pods.iter().max_by_key(|it| it.creation_timestamp());
    let statuses = newest.and_then(|it| it.status.as_ref()?.container_statuses.as_ref());
    let mut ends = statuses
        .into_iter()
        .flatten()
        .filter_map(|it| it.state.as_ref()?.terminated.as_ref());
    let end = ends.find(|it| it.exit_code != 0);
    (
        end.map(|it| it.exit_code),
        end.and_then(|it| it.message.clone()),
    )
}

/// Which finished Jobs have been told.
#[derive(Debug, Default)]
struct Known {
    told: HashSet<String>,
    listed: HashSet<String>,
    /// Whether the first list is through: what it holds had finished before we looked.
    complete: bool,
}

impl Known {
    /// A finished Job that was not seen before, and whether it has finished since we look.
    fn finished(&mut self, event: watcher::Event<Job>) -> Option<(Job, bool)> {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(job) => {
                if is_finished(&job) {
                    let uid = job.uid()?;
                    self.listed.insert(uid.clone());
                    if self.told.insert(uid) {
                        return Some((job, self.complete));
                    }
                }
            }
            watcher::Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.told.retain(|it| listed.contains(it));
                self.complete = true;
            }
            watcher::Event::Apply(job) => {
                if is_finished(&job) && self.told.insert(job.uid()?) {
                    return Some((job, true));
                }
            }
            watcher::Event::Delete(job) => {
                self.told.remove(&job.uid()?);
            }
        }
        None
    }
}
