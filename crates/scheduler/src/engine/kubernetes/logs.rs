//! What workers have said: the logs of a Job's pods.

use std::collections::HashSet;
use std::time::Duration;

use futures::AsyncBufReadExt as _;
use futures::stream::{self, BoxStream, StreamExt as _, unfold};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::LogParams;

use super::Kubernetes;
use super::jobs::is_finished;
use crate::domain::run::Component;
use crate::engine::{Error, Kind, Lines};

/// How much of a log is read, from its end.
const LOG_LINES: i64 = 2_000;
const LOG_BYTES: i64 = 1024 * 1024;
/// How much of an answer is read.
const ANSWER_BYTES: i64 = 16 * LOG_BYTES;
/// Before a Job whose pod does not run yet is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

impl Kubernetes {
    pub(super) async fn lines_of(&self, name: &str, follow: bool) -> Result<Lines, Error> {
        if follow {
            return self.follow(name).await;
        }
        let Some(pod) = self.pods(name).await?.pop() else {
            let why = "none of its pods is there any more";
            return Err(Error::new(doing(name), Kind::NotFound, why));
        };
        let params = LogParams {
            limit_bytes: Some(LOG_BYTES),
            ..from_the_end(&pod)
        };
        let log = self.objects.log(&pod.name_any(), &params).await?;
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        Ok(stream::iter(lines).map(Ok).boxed())
    }

    /// All that the one pod of a Job has said, however much: an answer is in it.
    pub(super) async fn all_lines_of(&self, name: &str) -> Result<Vec<String>, Error> {
        let Some(pod) = self.pods(name).await?.pop() else {
            let why = "none of its pods is there any more";
            return Err(Error::new(doing(name), Kind::NotFound, why));
        };
        let params = LogParams {
            container: worker(&pod),
            limit_bytes: Some(ANSWER_BYTES),
            ..LogParams::default()
        };
        let log = self.objects.log(&pod.name_any(), &params).await?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    /// One pod after another: a Job that tries again has several.
    async fn follow(&self, name: &str) -> Result<Lines, Error> {
        let Some(job) = self.objects.job(name).await? else {
            return Err(Error::new(doing(name), Kind::NotFound, "there is none"));
        };
        if is_finished(&job) {
            return Box::pin(self.lines_of(name, false)).await;
        }
        let following = Following {
            engine: self.clone(),
            job: name.to_owned(),
            read: HashSet::new(),
            open: None,
        };
        let lines = unfold(Some(following), |following| async move {
            let mut following = following?;
            match following.next().await {
                Ok(line) => line.map(|it| (Ok(it), Some(following))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(lines.boxed())
    }

    /// The pods of a Job, the newest last.
    async fn pods(&self, job: &str) -> Result<Vec<Pod>, Error> {
        let mut pods = self.objects.pods_of(job).await?;
        pods.sort_by_key(|it| it.creation_timestamp());
        Ok(pods)
    }
}

struct Following {
    engine: Kubernetes,
    job: String,
    /// The pods that are read to their ends.
    read: HashSet<String>,
    open: Option<BoxStream<'static, std::io::Result<String>>>,
}

impl Following {
    async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(open) = &mut self.open {
                match open.next().await {
                    Some(Ok(line)) => return Ok(Some(line)),
                    Some(Err(error)) => {
                        return Err(Error::new(doing(&self.job), Kind::Unavailable, error));
                    }
                    None => self.open = None,
                }
            }
            // Looked at first: what ends after that has said everything by the next look.
            let job = self.engine.objects.job(&self.job).await?;
            let is_over = job.is_none_or(|it| is_finished(&it));
            if self.open_next().await? {
                continue;
            }
            if is_over {
                return Ok(None);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Opens the log of a pod that was not read yet and that has begun; whether there is one.
    async fn open_next(&mut self) -> Result<bool, Error> {
        for pod in self.engine.pods(&self.job).await? {
            let name = pod.name_any();
            if self.read.contains(&name) || !has_begun(&pod) {
                continue;
            }
            let params = LogParams {
                follow: true,
                ..from_the_end(&pod)
            };
            let log = self.engine.objects.follow_log(&name, &params).await?;
            self.open = Some(log.lines().boxed());
            self.read.insert(name);
            return Ok(true);
        }
        Ok(false)
    }
}

fn from_the_end(pod: &Pod) -> LogParams {
    LogParams {
        container: worker(pod),
        tail_lines: Some(LOG_LINES),
        ..LogParams::default()
    }
}

fn has_begun(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    phase.is_some_and(|it| it != "Pending")
}

/// The worker's container: an administrator may have put others beside it.
fn worker(pod: &Pod) -> Option<String> {
    let containers = pod.spec.iter().flat_map(|it| &it.containers);
    containers.map(|it| it.name.clone()).find(|it| {
        [Component::Backup, Component::Restore]
            .iter()
            .any(|component| super::render::containers(*component).0 == it)
    })
}

fn doing(job: &str) -> String {
    format!("read the log of Job {job}")
}
