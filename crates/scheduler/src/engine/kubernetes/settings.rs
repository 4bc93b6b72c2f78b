//! What an administrator decides about the pods of the workers.

use std::time::Duration;

use super::lease::LASTS;
use super::template::Template;
use crate::domain::limits::Limits;
use crate::workers::Workers;

/// What an administrator decides about workers on Kubernetes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace that holds all we make.
    pub namespace: String,
    /// Image of the backuper, whole reference.
    pub backuper_image: String,
    /// Image of the restorer, whole reference.
    pub restorer_image: String,
    /// Account of the pods; empty: the namespace's default. They get no token of it.
    pub service_account: Option<String>,
    /// Numeric user of the pods; empty: the image's own, which must be numeric and not 0.
    pub run_as_user: Option<i64>,
    /// How late a backup may start before it counts as missed.
    pub starting_deadline: Duration,
    /// How long runs may take.
    pub limits: Limits,
    /// What workers are told.
    pub workers: Workers,
    /// The release of the chart that we belong to; none: there is one adapter in the namespace.
    pub release: Option<String>,
    /// Our version, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// How many finished Jobs of a schedule are kept.
    pub successful_history: i32,
    /// How many failed Jobs of a schedule are kept.
    pub failed_history: i32,
    /// How long a finished restore Job is kept.
    pub restore_ttl: Duration,
    /// Queue of Kueue that Jobs wait in; none: they start at once.
    pub queue: Option<String>,
    /// What is merged under the pods.
    pub template: Template,
    /// How long one call to the API server may take.
    pub call_timeout: Duration,
    /// How old, by the API server's clock, a Job that was never started must be to count as a
    /// crash's; and how long a Secret of an earlier rendering stays at least.
    pub abandoned_after: Duration,
    /// How long a Lease lasts that its holder does not renew.
    pub lease: Duration,
    /// How long a call waits for what is in its way: another call, a Job that is being deleted.
    pub contention_timeout: Duration,
}

impl Settings {
    /// Sound defaults for a namespace and the two images.
    #[must_use]
    pub fn new(
        namespace: impl Into<String>,
        backuper_image: impl Into<String>,
        restorer_image: impl Into<String>,
        workers: Workers,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            backuper_image: backuper_image.into(),
            restorer_image: restorer_image.into(),
            service_account: None,
            run_as_user: Some(65532),
            starting_deadline: Duration::from_secs(3600),
            limits: Limits::default(),
            workers,
            release: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            successful_history: 3,
            failed_history: 3,
            restore_ttl: Duration::from_secs(7 * 24 * 3600),
            queue: None,
            template: Template::default(),
            call_timeout: Duration::from_secs(5),
            abandoned_after: Duration::from_secs(30),
            lease: LASTS,
            contention_timeout: Duration::from_secs(5),
        }
    }
}
