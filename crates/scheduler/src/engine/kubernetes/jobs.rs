//! How far a Job is.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use kube::ResourceExt as _;

use super::keys::{CANCELLED, STARTED};

/// Whether it is over. One that was cancelled before it began will not begin.
pub(super) fn is_finished(job: &Job) -> bool {
    has_condition(job, "Complete").is_some()
        || has_condition(job, "Failed").is_some()
        || (is_cancelled(job) && waits(job))
}

/// When it ended well, if it has.
pub(super) fn has_succeeded(job: &Job) -> Option<Timestamp> {
    has_condition(job, "Complete").and_then(when)
}

/// When a condition came.
pub(super) fn when(condition: &JobCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|it| it.0)
}

pub(super) fn has_condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|it| it.type_ == kind && it.status == "True")
}

pub(super) fn has_started(job: &Job) -> bool {
    STARTED.of(job.annotations()).is_some()
}

pub(super) fn is_cancelled(job: &Job) -> bool {
    CANCELLED.of(job.annotations()).is_some()
}

/// Whether one of its pods has ended well.
pub(super) fn has_pod_succeeded(job: &Job) -> bool {
    let succeeded = job.status.as_ref().and_then(|it| it.succeeded);
    succeeded > Some(0)
}

/// Whether no pod was made for it yet, and none is while it is suspended.
pub(super) fn waits(job: &Job) -> bool {
    let is_suspended = job.spec.as_ref().and_then(|it| it.suspend) == Some(true);
    let has_pods = job.status.as_ref().is_some_and(|it| it.active > Some(0));
    is_suspended && !has_pods
}
