//! What there is and what changes: two watches, of CronJobs and of Jobs, told in the domain's words.
//! The watches are taken up again whatever happens to the API server.

use std::time::Duration;

use backuper::runtime::failure::{EXPIRED, UNCOPIED};
use backuper::summary::uncopied_by_exit_code;
use futures::stream::{BoxStream, Stream, StreamExt as _, select};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::watcher;

use super::Kubernetes;
use super::jobs::{has_condition, has_pod_succeeded, is_cancelled, is_finished, when};
use super::keys::{COMPONENT, DATABASE, DRILLS, PLACE, RENDERED, SCHEDULE, TOLD};
use super::record;
use super::select::selector;
use crate::domain::run::{Attempts, Component, Ending, Run, State};
use crate::engine::change::Things;
use crate::engine::{self, Change, Scheduled};

/// Before a watch that broke is taken up again, first; then twice as long each time, so often.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const DOUBLINGS: u32 = 6;
/// Objects of one page of a list.
const PAGE: u32 = 250;

impl Kubernetes {
    pub(super) fn watch(&self) -> BoxStream<'static, Change> {
        select(self.watch_schedules(), self.watch_runs()).boxed()
    }

    fn watch_schedules(&self) -> BoxStream<'static, Change> {
        let config = config(Some(Component::Backup));
        let events = watcher(self.objects.cron_jobs.clone(), config);
        let engine = self.clone();
        let changes = unbroken(events, "CronJobs")
            .filter_map(move |event| std::future::ready(engine.schedule_change(event)));
        changes.boxed()
    }

    fn schedule_change(&self, event: watcher::Event<CronJob>) -> Option<Change> {
        match event {
            watcher::Event::Init => Some(Change::Listing(Things::Schedules)),
            watcher::Event::InitDone => Some(Change::Listed(Things::Schedules)),
            watcher::Event::InitApply(it) | watcher::Event::Apply(it) => self.scheduled(&it),
            watcher::Event::Delete(it) => Some(Change::ScheduleGone(it.name_any().parse().ok()?)),
        }
    }

    fn scheduled(&self, found: &CronJob) -> Option<Change> {
        let is_whole = RENDERED.of(found.annotations()).is_some();
        if !is_whole || !self.is_of_release(found) {
            return None;
        }
        let spec = match record::recover(found) {
            Ok(spec) => spec,
            Err(why) => {
                let schedule = found.name_any();
                tracing::debug!(%schedule, %why, "what it is for cannot be read");
                return None;
            }
        };
        let status = found.status.as_ref();
        let last_success = status.and_then(|it| it.last_successful_time.as_ref());
        Some(Change::Schedule(Box::new(Scheduled {
            schedule: spec.schedule,
            created: found
                .creation_timestamp()
                .map(|it| it.0)
                .unwrap_or_default(),
            suspended: found.spec.as_ref().and_then(|it| it.suspend) == Some(true),
            last_success: last_success.map(|it| it.0),
            drills: engine::read_drills(DRILLS.of(found.annotations())),
        })))
    }

    fn watch_runs(&self) -> BoxStream<'static, Change> {
        let events = watcher(self.objects.jobs.clone(), config(None));
        let engine = self.clone();
        // Of the first list: what had ended then, and was made by a version that tells nothing of it.
        let mut is_first = true;
        let events = unbroken(events, "Jobs").map(move |event| {
            let first = is_first;
            is_first &= !matches!(event, watcher::Event::InitDone);
            (event, first)
        });
        let changes = events.filter_map(move |(event, first)| {
            let engine = engine.clone();
            async move { engine.run_change(event, first).await }
        });
        changes.boxed()
    }

    async fn run_change(&self, event: watcher::Event<Job>, first: bool) -> Option<Change> {
        match event {
            watcher::Event::Init => Some(Change::Listing(Things::Runs)),
            watcher::Event::InitDone => Some(Change::Listed(Things::Runs)),
            watcher::Event::InitApply(job) | watcher::Event::Apply(job) => {
                if !self.is_of_release(&job) {
                    return None;
                }
                Some(Change::Run(Box::new(self.run_of(&job, first).await)))
            }
            watcher::Event::Delete(job) => Some(Change::RunGone(job.uid()?)),
        }
    }

    pub(super) async fn run_of(&self, job: &Job, first: bool) -> Run {
        let annotations = job.annotations();
        let told: Option<Ending> = TOLD
            .of(annotations)
            .and_then(|it| serde_json::from_str(it).ok());
        let is_ours = SCHEDULE.is_new(job.labels()) || PLACE.is_new(job.labels());
        let is_finished = is_finished(job);
        let is_told = told.is_some() || (first && !is_ours && is_finished);
        let state = match (told, is_finished) {
            (Some(ending), _) => State::Ended(ending),
            (None, true) => State::Ended(self.ending(job, is_told).await),
            (None, false) => unfinished(job),
        };
        let has_begun = state != State::Waiting;
        let place = DATABASE.of(annotations).map(str::to_owned);
        let status = job.status.as_ref();
        Run {
            component: component(job),
            name: job.name_any(),
            id: job.uid().unwrap_or_default(),
            schedule: SCHEDULE.of(job.labels()).map(str::to_owned),
            database: place.or_else(|| record::place_of(job)).unwrap_or_default(),
            drilled: record::drilled(job),
            state,
            created: job.creation_timestamp().map(|it| it.0).unwrap_or_default(),
            started: status
                .and_then(|it| it.start_time.as_ref())
                .map(|it| it.0)
                .filter(|_| has_begun),
            ended: ended(job),
            told: is_told,
        }
    }

    /// Why it ended so stands in its pods, for as long as they are there.
    async fn ending(&self, job: &Job, is_old: bool) -> Ending {
        let failure = has_condition(job, "Failed");
        let pods = if is_old {
            Vec::new()
        } else {
            let run = job.name_any();
            self.objects.pods_of(&run).await.unwrap_or_else(|error| {
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "its pods do not tell how it ended");
                Vec::new()
            })
        };
        let (exit_code, message) = last_words(&pods);
        let attempts = attempts(job, &pods);
        let exit_code = exit_code.or_else(|| failure.and_then(exit_code_of));
        // A backup is complete where its copy is not, of which its last sentence and the metrics tell.
        if component(job) == Component::Backup && exit_code == Some(i32::from(UNCOPIED)) {
            // Where its pod is gone, that sentence is: the copy is missing all the same.
            let message = message.or_else(|| Some(uncopied_by_exit_code()));
            return Ending::Succeeded { message };
        }
        if is_cancelled(job) && (failure.is_some() || has_condition(job, "Complete").is_none()) {
            // What was complete before it could be stopped is complete, whatever its Job is called.
            return if exit_code == Some(0) || has_pod_succeeded(job) {
                Ending::Succeeded { message }
            } else {
                Ending::Cancelled
            };
        }
        match failure {
            None => Ending::Succeeded { message },
            Some(_) if exit_code == Some(i32::from(EXPIRED)) => Ending::Expired,
            Some(condition) => Ending::Failed {
                reason: condition.reason.clone().unwrap_or_default(),
                exit_code,
                message,
                attempts,
            },
        }
    }
}

pub(super) fn attempts(job: &Job, pods: &[Pod]) -> Attempts {
    Attempts {
        failed: job.status.as_ref().and_then(|it| it.failed),
        pod: newest(pods).map(kube::ResourceExt::name_any),
    }
}

fn newest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().max_by_key(|it| it.creation_timestamp())
}

/// What Kubernetes itself says of the container that ended the Job, whose pod may be gone with its node.
/// https://kubernetes.io/docs/tasks/job/pod-failure-policy/
fn exit_code_of(failure: &JobCondition) -> Option<i32> {
    if failure.reason.as_deref() != Some("PodFailurePolicy") {
        return None;
    }
    let message = failure.message.as_deref()?;
    let (_, after) = message.split_once(" failed with exit code ")?;
    after.split(' ').next()?.parse().ok()
}

fn config(component: Option<Component>) -> watcher::Config {
    watcher::Config::default()
        .labels(&selector(component))
        .page_size(PAGE)
}

/// A watch that is taken up again whatever breaks it, after a pause that grows, and with one line in the
/// log for each time that it breaks and heals.
fn unbroken<K: Send + 'static>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    what: &'static str,
) -> impl Stream<Item = watcher::Event<K>> + Send {
    let state = (events.boxed(), 0_u32);
    futures::stream::unfold(state, move |(mut events, mut errors)| async move {
        loop {
            match events.next().await? {
                Ok(event) => {
                    // That a list is begun says nothing of whether anybody answers.
                    if errors > 0 && !matches!(event, watcher::Event::Init) {
                        tracing::info!("the watch of {what} goes on");
                        errors = 0;
                    }
                    return Some((event, (events, errors)));
                }
                Err(error) => {
                    broke(&error, what, errors == 0);
                    tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(errors.min(DOUBLINGS))).await;
                    errors = errors.saturating_add(1);
                }
            }
        }
    })
}

fn broke(error: &watcher::Error, what: &str, is_first: bool) {
    let error = error as &dyn std::error::Error;
    if is_first {
        tracing::warn!(error, "the watch of {what} broke; taking it up again");
    } else {
        tracing::debug!(error, "the watch of {what} is broken still");
    }
}

fn component(job: &Job) -> Component {
    match job.labels().get(COMPONENT) {
        Some(word) if word == Component::Restore.word() => Component::Restore,
        _ => Component::Backup,
    }
}

/// A pod that waits for a node, an image or a Secret is none that runs; one that is being stopped does.
pub(super) fn unfinished(job: &Job) -> State {
    let status = job.status.as_ref();
    let counts = [
        status.and_then(|it| it.ready),
        status.and_then(|it| it.terminating),
    ];
    if counts.into_iter().any(|it| it > Some(0)) {
        State::Running
    } else {
        State::Waiting
    }
}

pub(super) fn ended(job: &Job) -> Option<jiff::Timestamp> {
    let conditions = ["Complete", "Failed"];
    conditions
        .iter()
        .find_map(|it| has_condition(job, it).and_then(when))
}

/// Of the pod that ended last.
pub(super) fn last_words(pods: &[Pod]) -> (Option<i32>, Option<String>) {
    let statuses = newest(pods).and_then(|it| it.status.as_ref()?.container_statuses.as_ref());
    let mut ends: Vec<_> = statuses
        .into_iter()
        .flatten()
        .filter_map(|it| it.state.as_ref()?.terminated.as_ref())
        .collect();
    // Beside a worker that has failed, other containers of a template may have ended well.
    ends.sort_by_key(|it| it.exit_code == 0);
    let end = ends.first();
    (
        end.map(|it| it.exit_code),
        end.and_then(|it| it.message.clone()),
    )
}
