//! What is done in the cluster, one call each: no decisions.

use std::fmt::Debug;
use std::time::Duration;

use futures::AsyncBufRead;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{
    Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::client::Body;
use kube::core::Request;
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use tokio::time::Instant;

use crate::domain::run::Component;
use crate::engine::{Error, Kind};

use super::error::{answered, is_busy, is_expired, silent};
use super::keys::SCHEDULE;
use super::select::{into, labelled, selected};

/// The one field manager of all that we apply.
pub(super) const FIELD_MANAGER: &str = "postgres-adapter";
/// The field manager of what is the administrator's in the Secrets of requests.
const SETTINGS_MANAGER: &str = "postgres-adapter-settings";
/// How many objects one page of a list has.
const PAGE: u32 = 250;
/// How often a list is begun again.
pub(super) const RESTARTS: u32 = 3;
/// Before an API server that is busy is asked again, first; then twice as long each time.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The kinds of objects that we work with, in our namespace.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(super) cron_jobs: Api<CronJob>,
    pub(super) jobs: Api<Job>,
    pods: Api<Pod>,
    secrets: Api<Secret>,
    pub(super) leases: Api<Lease>,
    call_timeout: Duration,
}

impl Objects {
    pub(crate) fn new(client: Client, namespace: &str, call_timeout: Duration) -> Self {
        Self {
            cron_jobs: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client.clone(), namespace),
            leases: Api::namespaced(client, namespace),
            call_timeout,
        }
    }

    pub(crate) async fn cron_job(&self, name: &str) -> Result<Option<CronJob>, Error> {
        self.call(
            || format!("read CronJob {name}"),
            || self.cron_jobs.get_opt(name),
        )
        .await
    }

    pub(crate) async fn cron_jobs(&self, page: &str) -> Result<(Vec<CronJob>, String), Error> {
        let mut params = selected(Component::Backup).limit(PAGE);
        params.continue_token = Some(page.to_owned()).filter(|it| !it.is_empty());
        let list = self
            .call(
                || "list CronJobs".to_owned(),
                || self.cron_jobs.list(&params),
            )
            .await?;
        Ok((list.items, list.metadata.continue_.unwrap_or_default()))
    }

    /// The cheapest call that shows that the cluster answers and lets us in.
    pub(crate) async fn reach(&self) -> Result<(), Error> {
        let params = selected(Component::Backup).limit(1);
        self.call(
            || "reach the cluster".to_owned(),
            || self.cron_jobs.list_metadata(&params),
        )
        .await
        .map(drop)
    }

    /// A [`Kind::Conflict`] when there is one of that name.
    pub(crate) async fn create_cron_job(&self, cron_job: &CronJob) -> Result<CronJob, Error> {
        let params = creating();
        self.call(
            || format!("create CronJob {}", cron_job.name_any()),
            || self.cron_jobs.create(&params, cron_job),
        )
        .await
    }

    /// Server-side apply to the very object and version that it names.
    pub(crate) async fn apply_cron_job(&self, cron_job: CronJob) -> Result<CronJob, Error> {
        let (name, params) = (cron_job.name_any(), applying());
        let patch = Patch::Apply(&cron_job);
        self.call(
            || format!("apply CronJob {name}"),
            || self.cron_jobs.patch(&name, &params, &patch),
        )
        .await
    }

    /// A [`Kind::Conflict`] when the CronJob of that name is another one by now than the change names.
    pub(crate) async fn change_cron_job<T: Serialize + Debug>(
        &self,
        name: &str,
        change: &T,
    ) -> Result<CronJob, Error> {
        let (params, patch) = (changing(), Patch::Merge(change));
        self.call(
            || format!("change CronJob {name}"),
            || self.cron_jobs.patch(name, &params, &patch),
        )
        .await
    }

    pub(crate) async fn apply_secret(&self, secret: &Secret) -> Result<Secret, Error> {
        let (name, params) = (secret.name_any(), applying());
        let patch = Patch::Apply(secret);
        self.call(
            || format!("apply Secret {name}"),
            || self.secrets.patch(&name, &params, &patch),
        )
        .await
    }

    /// Writes some of a Secret beside what else is in it, as a manager of its own.
    pub(crate) async fn add_to_secret(&self, some: &Secret) -> Result<Secret, Error> {
        let name = some.name_any();
        let params = PatchParams::apply(SETTINGS_MANAGER).force();
        let patch = Patch::Apply(some);
        self.call(
            || format!("apply Secret {name}"),
            || self.secrets.patch(&name, &params, &patch),
        )
        .await
    }

    /// Removes a Secret, whose name no other one ever has. One that is gone is success.
    pub(crate) async fn remove_secret(&self, name: &str) -> Result<(), Error> {
        let params = DeleteParams::default();
        let answer = self
            .call(
                || format!("remove Secret {name}"),
                || self.secrets.delete(name, &params),
            )
            .await;
        gone_is_fine(answer)
    }

    pub(crate) async fn create_job(&self, job: &Job) -> Result<Job, Error> {
        let params = creating();
        self.call(
            || format!("create Job {}", job.name_any()),
            || self.jobs.create(&params, job),
        )
        .await
    }

    /// A [`Kind::Conflict`] when the Job of that name is another one by now than the change names.
    pub(crate) async fn change_job(&self, name: &str, change: &Job) -> Result<Job, Error> {
        let (params, patch) = (changing(), Patch::Merge(change));
        self.call(
            || format!("change Job {name}"),
            || self.jobs.patch(name, &params, &patch),
        )
        .await
    }

    /// A Job, by a list: what may be listed need not be readable one by one as well.
    pub(crate) async fn job(&self, name: &str) -> Result<Option<Job>, Error> {
        let params = ListParams::default().fields(&format!("metadata.name={name}"));
        let list = self
            .call(|| format!("read Job {name}"), || self.jobs.list(&params))
            .await?;
        Ok(list.items.into_iter().next())
    }

    /// What time it is by the clock that dates the cluster's objects.
    pub(crate) async fn time(&self) -> Result<Timestamp, Error> {
        let doing = || "ask the cluster for its time".to_owned();
        let params = ListParams::default().limit(1);
        let client = self.jobs.clone().into_client();
        let answer = self
            .call(doing, || async {
                let request = Request::new(self.jobs.resource_url()).list(&params);
                let request = request.map_err(kube::Error::BuildRequest)?;
                client.send(request.map(Body::from)).await
            })
            .await?;
        let date = answer.headers().get("date").map(|it| it.as_bytes());
        date.and_then(|it| DateTimeParser::new().parse_timestamp(it).ok())
            .ok_or_else(|| Error::new(doing(), Kind::Unavailable, "its answers have no date"))
    }

    /// The name of a pod that may still write into a database.
    pub(crate) async fn pod_restoring(&self, database: &str) -> Result<Option<String>, Error> {
        let unfinished = "status.phase!=Succeeded,status.phase!=Failed";
        let params = into(database, selected(Component::Restore)).fields(unfinished);
        let list = self
            .call(
                || "list the pods of restores".to_owned(),
                || self.pods.list(&params),
            )
            .await?;
        Ok(list.items.iter().map(|it| it.name_any()).next())
    }

    /// All restores into a database, or into any.
    pub(crate) async fn restores(&self, database: Option<&str>) -> Result<Vec<Job>, Error> {
        let params = selected(Component::Restore);
        self.jobs_by(match database {
            Some(database) => into(database, params),
            None => params,
        })
        .await
    }

    /// All Jobs of a schedule.
    pub(crate) async fn jobs_of(&self, schedule: &str) -> Result<Vec<Job>, Error> {
        let params = labelled(SCHEDULE, &[schedule], selected(Component::Backup));
        self.jobs_by(params).await
    }

    pub(crate) async fn jobs_by(&self, params: ListParams) -> Result<Vec<Job>, Error> {
        let mut params = params.limit(PAGE);
        let mut jobs = Vec::new();
        let mut restarts = 0;
        loop {
            let list = self
                .call(|| "list Jobs".to_owned(), || self.jobs.list(&params))
                .await;
            params.continue_token = match list {
                Ok(list) => {
                    jobs.extend(list.items);
                    list.metadata.continue_.filter(|it| !it.is_empty())
                }
                // What the pages are of is too old for another one.
                Err(error) if is_expired(&error) && restarts < RESTARTS => {
                    restarts += 1;
                    jobs.clear();
                    params.continue_token = None;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if params.continue_token.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// Removes a Job as it was seen, with its pods; one that has changed since stays and is a
    /// [`Kind::Conflict`]. One that is gone is success.
    pub(crate) async fn remove_job(&self, seen: &Job) -> Result<(), Error> {
        let name = seen.name_any();
        let params = exactly(seen);
        let answer = self
            .call(
                || format!("remove Job {name}"),
                || self.jobs.delete(&name, &params),
            )
            .await;
        gone_is_fine(answer)
    }

    /// Removes a CronJob as it was seen, like [`Objects::remove_job`].
    pub(crate) async fn remove_cron_job(&self, seen: &CronJob) -> Result<(), Error> {
        let name = seen.name_any();
        let params = exactly(seen);
        let answer = self
            .call(
                || format!("remove CronJob {name}"),
                || self.cron_jobs.delete(&name, &params),
            )
            .await;
        gone_is_fine(answer)
    }

    pub(crate) async fn pods_of(&self, job: &str) -> Result<Vec<Pod>, Error> {
        let params = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let list = self
            .call(
                || format!("list the pods of Job {job}"),
                || self.pods.list(&params),
            )
            .await?;
        Ok(list.items)
    }

    pub(crate) async fn log(&self, pod: &str, params: &LogParams) -> Result<String, Error> {
        self.call(
            || format!("read the log of pod {pod}"),
            || self.pods.logs(pod, params),
        )
        .await
    }

    /// What a pod has said, and what it says from then on, until it has ended.
    pub(crate) async fn follow_log(
        &self,
        pod: &str,
        params: &LogParams,
    ) -> Result<impl AsyncBufRead + Send + use<>, Error> {
        self.call(
            || format!("read the log of pod {pod}"),
            || self.pods.log_stream(pod, params),
        )
        .await
    }

    /// An API server that has too much to do, or is just starting, is asked again as long as there
    /// is time. When there is none left, its own words are the answer.
    pub(super) async fn call<T, F: Future<Output = kube::Result<T>>>(
        &self,
        doing: impl FnOnce() -> String,
        call: impl Fn() -> F,
    ) -> Result<T, Error> {
        let until = Instant::now() + self.call_timeout;
        let mut refused = None;
        let mut delay = FIRST_DELAY;
        loop {
            let answer = match tokio::time::timeout_at(until, call()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if is_busy(&error) => error,
                Ok(Err(error)) => return Err(answered(doing(), error)),
                Err(_elapsed) => {
                    let doing = doing();
                    return Err(match refused {
                        Some(error) => answered(doing, error),
                        None => silent(doing, self.call_timeout),
                    });
                }
            };
            if Instant::now() + delay >= until {
                return Err(answered(doing(), answer));
            }
            refused = Some(answer);
            tokio::time::sleep(delay).await;
            delay *= 2;
        }
    }
}

pub(super) fn creating() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn changing() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn applying() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

fn exactly<K: Resource>(seen: &K) -> DeleteParams {
    DeleteParams::background().preconditions(Preconditions {
        resource_version: seen.resource_version(),
        uid: seen.uid(),
    })
}

fn gone_is_fine<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
