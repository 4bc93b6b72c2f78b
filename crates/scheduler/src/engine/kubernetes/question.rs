//! A Job that answers a question: the scheduler cannot read the credentials of a schedule, and a pod can.

use std::time::Duration;

use backuper::job::{BackupSource, Var};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use tokio::time::Instant;

use super::changes::last_words;
use super::jobs::{has_succeeded, is_finished};
use super::record::Shown;
use super::render::Asking;
use super::{Kubernetes, owner, record, render, uid};
use crate::domain::name::Name;
use crate::domain::question::{About, Given, Question, Task};
use crate::domain::run::Component;
use crate::domain::store::referenced;
use crate::engine::{self, Error, Kind};

/// Between two looks at it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

impl Kubernetes {
    pub(super) async fn answer(&self, question: &Question) -> Result<Vec<String>, Error> {
        let Question { task, about } = question;
        let call = uuid::Uuid::new_v4().to_string();
        let (job, doing) = match about {
            About::Schedule { name, place, of } => {
                let doing = engine::asked(task, &format!("schedule {name}"));
                let job = self.ask_of((name, place, of.as_ref()), task, [&call, &doing]);
                (job.await?, doing)
            }
            About::Given(given) => {
                let doing = engine::asked(task, "what the call names");
                (self.ask_given(given, task, [&call, &doing]).await?, doing)
            }
        };
        let outcome = self.answered(&job, &doing, task.limit()).await;
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

    /// Makes the Job of a question about a schedule; it reads the schedule's own Secrets.
    async fn ask_of(
        &self,
        (name, place, of): (&Name, &str, Option<&BackupSource>),
        task: &Task,
        [call, doing]: [&str; 2],
    ) -> Result<String, Error> {
        let found = self.found(task.doing(), name).await?;
        let spec = record::recover(&found);
        let spec = spec.map_err(|error| Error::new(doing, Kind::Precondition, error))?;
        let job = name.question(call);
        let mut owner = owner::<CronJob>(name.as_str(), &uid(&found));
        // It goes with the CronJob, which does not count it among its runs.
        owner.controller = None;
        let plan = &spec.schedule.plan;
        if !place.is_empty() && plan.source.place() != place {
            return Err(engine::moved(doing));
        }
        let given = plan.clone().given(of, spec.schedule.own());
        let vars = self.settings.workers.question(task, &given);
        let vars = vars.ok_or_else(|| engine::of_no_database(doing))?;
        let asking = Asking {
            vars: &Shown::of(&vars),
            secret: &|variable| spec.secret_of(variable),
            schedule: Some(&spec.schedule),
            limit: task.limit(),
        };
        let wanted = render::question_job(&self.settings, &job, &asking, Some(owner));
        self.objects.create_job(&wanted).await?;
        Ok(job)
    }

    /// Makes the Job of a question about what a caller has given. Its pod does not start before its Secret
    /// is there, which goes with it; and it ends by itself, whatever becomes of us.
    async fn ask_given(
        &self,
        given: &Given,
        task: &Task,
        [call, doing]: [&str; 2],
    ) -> Result<String, Error> {
        if let Some(store) = &given.store {
            engine::Engine::permit(self, Component::Backup, store)?;
        }
        let job = render::question_name(call);
        let vars = self.settings.workers.question(task, given);
        let vars = vars.ok_or_else(|| engine::of_no_database(doing))?;
        let password = given.database.as_ref().map(|it| &it.password);
        let named = |variable: &str| referenced(variable, password, given.store.as_ref());
        let asking = Asking {
            vars: &Shown::of(&vars),
            secret: &|variable| match named(variable) {
                Some((secret, key)) => (secret.to_owned(), key.to_owned()),
                None => (job.clone(), variable.to_owned()),
            },
            schedule: None,
            limit: task.limit(),
        };
        let wanted = render::question_job(&self.settings, &job, &asking, None);
        let made = self.objects.create_job(&wanted).await?;
        let owner = owner::<Job>(&job, &uid(&made));
        let own: Vec<Var> = vars
            .into_iter()
            .filter(|it| named(it.name).is_none())
            .collect();
        let secret = render::secret_of_question(&self.settings, &job, owner, &own);
        self.objects.apply_secret(&secret).await?;
        Ok(job)
    }

    async fn answered(
        &self,
        job: &str,
        doing: &str,
        limit: Duration,
    ) -> Result<Vec<String>, Error> {
        let until = Instant::now() + limit;
        let failed = |kind, why: String| Err(Error::new(doing, kind, why));
        let ended = loop {
            match self.objects.job(job).await? {
                Some(seen) if is_finished(&seen) => break seen,
                Some(_) if Instant::now() < until => {}
                Some(_) => {
                    let why = format!("its pod has not ended within {} s", limit.as_secs());
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
        self.all_lines_of(job).await
    }
}
