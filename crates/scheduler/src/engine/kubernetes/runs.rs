//! Single runs: telling their ends, ending them, what they have said.

use std::collections::BTreeMap;

use backuper::text;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};

use super::changes::last_words;
use super::error::is_lost_race;
use super::jobs::{has_pod_succeeded, is_finished, waits};
use super::keys::{CANCELLED, Key, TOLD};
use super::{Kubernetes, is_managed};
use crate::domain::run::{Component, Ending, Run};
use crate::engine::{Error, Kind};

/// How much of an event's text Kubernetes takes, in bytes.
const NOTE: usize = 1024;

impl Kubernetes {
    /// The end goes into an annotation of the Job, where the next leader finds that it was told, and
    /// lists find what pods that are gone have said.
    pub(super) async fn remember_told(&self, run: &Run) -> Result<(), Error> {
        let Some(ending) = run.state.ending() else {
            return Ok(());
        };
        self.publish(run, ending).await;
        if run.component == Component::Restore {
            // Nobody reads it any more. Where it cannot be removed, it goes with its Job.
            if let Err(error) = self.objects.remove_secret(&run.name).await {
                tracing::warn!(run = %run.name, error = &error as &dyn std::error::Error, "its Secret stays until it goes itself");
            }
        }
        // It has texts as keys alone: nothing of it can fail.
        let ending = serde_json::to_string(ending).unwrap_or_default();
        self.annotate_what_is_there(run, annotation(TOLD, &ending))
            .await
    }

    /// The same of a Job that may be gone, or whose name another one has: nobody looks for it there again.
    pub(super) async fn annotate_what_is_there(
        &self,
        run: &Run,
        annotations: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        match self.annotate(run, annotations, None).await {
            Err(error) if is_lost_race(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// A Job that has pods is ended by its own deadline, and so stays to be looked at; one that waits says
    /// that it was cancelled, and goes.
    pub(super) async fn cancel_run(&self, name: &str) -> Result<(), Error> {
        let doing = || format!("cancel Job {name}");
        let found = self.objects.job(name).await?;
        let found = found.filter(|it| self.is_of_release(it));
        let Some(job) = found else {
            return Err(Error::new(doing(), Kind::NotFound, "there is none"));
        };
        if !is_managed(&job) {
            return Err(Error::new(
                doing(),
                Kind::Precondition,
                "it is not one of ours",
            ));
        }
        if is_finished(&job) || self.has_ended_well(&job).await? {
            return Ok(());
        }
        let at_once = (!waits(&job)).then(|| JobSpec {
            active_deadline_seconds: Some(1),
            ..JobSpec::default()
        });
        let run = Run {
            name: name.to_owned(),
            id: job.uid().unwrap_or_default(),
            ..self.run_of(&job, false).await
        };
        self.annotate(&run, annotation(CANCELLED, "true"), at_once)
            .await?;
        if !waits(&job) {
            return Ok(());
        }
        // A queue would let it go whatever it says.
        match self.objects.job(name).await? {
            Some(seen) if seen.uid() == job.uid() && waits(&seen) => {
                self.objects.remove_job(&seen).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether its worker has ended well, though its Job does not say so yet.
    async fn has_ended_well(&self, job: &Job) -> Result<bool, Error> {
        let pods = self.objects.pods_of(&job.name_any()).await?;
        Ok(has_pod_succeeded(job) || last_words(&pods).0 == Some(0))
    }

    async fn annotate(
        &self,
        run: &Run,
        annotations: BTreeMap<String, String>,
        spec: Option<JobSpec>,
    ) -> Result<(), Error> {
        let change = Job {
            metadata: ObjectMeta {
                uid: Some(run.id.clone()),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            spec,
            status: None,
        };
        self.objects.change_job(&run.name, &change).await.map(drop)
    }

    /// What has not gone well is an event of the Job, and of its CronJob, which people look at.
    async fn publish(&self, run: &Run, ending: &Ending) {
        let (reason, note) = match (ending, run.component) {
            (Ending::Succeeded { .. }, _) => return,
            (Ending::Failed { .. }, Component::Backup) => ("BackupFailed", sentence(ending)),
            (Ending::Failed { .. }, Component::Restore) => ("RestoreFailed", sentence(ending)),
            (Ending::Cancelled, Component::Backup) => ("Cancelled", "somebody has cancelled it".to_owned()),
            (Ending::Cancelled, Component::Restore) => (
                "Cancelled",
                "somebody has cancelled it; where its worker had begun, look at the database: nobody has said that it was complete".to_owned(),
            ),
            (Ending::Expired, _) => (
                "RestoreExpired",
                "it had waited longer than it may, and did not begin; ask for it again if it is still wanted".to_owned(),
            ),
        };
        let Ok(Some(job)) = self.objects.job(&run.name).await else {
            return;
        };
        let note = format!("{}: {}: {note}", run.database, run.name);
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(text::within(&note, NOTE).to_owned()),
            action: "Run".to_owned(),
            secondary: None,
        };
        let mut about = vec![job.object_ref(&())];
        about.extend(job.owner_references().iter().map(|it| ObjectReference {
            api_version: Some(it.api_version.clone()),
            kind: Some(it.kind.clone()),
            name: Some(it.name.clone()),
            namespace: job.namespace(),
            uid: Some(it.uid.clone()),
            ..ObjectReference::default()
        }));
        // What the core has put as an owner is of the whole cluster, and its events are not ours.
        about.retain(|it| matches!(it.kind.as_deref(), Some("Job" | "CronJob")));
        for object in about {
            if let Err(error) = self.events.publish(&event, &object).await {
                tracing::debug!(run = %run.name, error = &error as &dyn std::error::Error, "its end is no event");
            }
        }
    }
}

fn annotation(key: Key, value: &str) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    key.set(&mut annotations, value);
    annotations
}

fn sentence(ending: &Ending) -> String {
    match ending {
        Ending::Failed {
            reason,
            exit_code,
            message,
            attempts: _,
        } => {
            let code = exit_code.map_or_else(String::new, |it| format!(", exit code {it}"));
            let message = message.as_deref().unwrap_or("nobody has said why");
            format!("{reason}{code}: {message}")
        }
        Ending::Succeeded { .. } | Ending::Cancelled | Ending::Expired => String::new(),
    }
}
