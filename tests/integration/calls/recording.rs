//! An engine that only remembers: what the door and the use cases make of a call.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use backuper::job::{Value, Var};
use backuper::listing::Listed;
use backuper::runtime::settings::read_from;
use futures::StreamExt as _;
use futures::stream::{BoxStream, pending};
use scheduler::config::Config;
use scheduler::domain::drills::Drills;
use scheduler::domain::name::Name;
use scheduler::domain::question::Question;
use scheduler::domain::restore::Restore;
use scheduler::domain::run::{Component, Run};
use scheduler::domain::schedule::Schedule;
use scheduler::domain::store::Store;
use scheduler::engine::{
    Change, Engine, Error, Kind, Lines, Put, Secrets, Started, StartedBy, Tidied, Whose,
};
use scheduler::workers::Workers;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// The namespace that it says it has.
pub(crate) const HERE: &str = "oiler-backup-system";

/// What was asked of it.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) schedules: Mutex<BTreeMap<Name, Schedule>>,
    pub(crate) restores: Mutex<Vec<Restore>>,
    /// What its workers list.
    pub(crate) backups: Mutex<Vec<Listed>>,
    /// What its workers were asked.
    pub(crate) questions: Mutex<Vec<Question>>,
    /// What every verb answers with instead.
    pub(crate) broken: Mutex<Option<Kind>>,
    /// A schedule that is there and cannot be read.
    pub(crate) unreadable: Mutex<Option<Name>>,
    /// How long it takes to make a schedule.
    pub(crate) delay: Mutex<Duration>,
    /// Told when a schedule is asked for.
    pub(crate) asked: Notify,
}

/// What workers are told beside a request.
pub(crate) fn workers() -> Workers {
    let config: Config = read_from([("S3_REGION", "eu-west-1")]).expect("settings");
    config.workers()
}

impl Recording {
    fn check(&self) -> Result<(), Error> {
        match *self.broken.lock().unwrap() {
            Some(kind) => Err(Error::new("do it", kind, "the cause of it")),
            None => Ok(()),
        }
    }

    /// The one schedule that there is.
    #[track_caller]
    pub(crate) fn only_schedule(&self) -> Schedule {
        let schedules = self.schedules.lock().unwrap();
        assert_eq!(schedules.len(), 1, "{schedules:?}");
        schedules.values().next().unwrap().clone()
    }
}

/// The plain value of a variable.
pub(crate) fn plain<'a>(vars: &'a [Var], name: &str) -> Option<&'a str> {
    vars.iter().find_map(|it| match &it.value {
        Value::Plain(text) if it.name == name => Some(text.as_str()),
        Value::Plain(_) | Value::Secret(_) => None,
    })
}

/// The names of the variables that are secrets.
pub(crate) fn secret_names(vars: &[Var]) -> Vec<&str> {
    let secret = |it: &&Var| matches!(it.value, Value::Secret(_));
    vars.iter().filter(secret).map(|it| it.name).collect()
}

#[async_trait]
impl Engine for Recording {
    fn namespace(&self) -> &str {
        HERE
    }

    fn permit(&self, _component: Component, _store: &Store) -> Result<(), Error> {
        Ok(())
    }

    async fn put(&self, schedule: &Schedule, whose: Whose) -> Result<Put, Error> {
        self.check()?;
        self.asked.notify_one();
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let mut schedules = self.schedules.lock().unwrap();
        let before = schedules.get(&schedule.name);
        let wanted = schedule.clone().in_place_of(before);
        match schedules.insert(wanted.name.clone(), wanted) {
            None if whose == Whose::Anybodys => {
                schedules.remove(&schedule.name);
                Err(Error::new("update", Kind::NotFound, "there is none"))
            }
            None => Ok(Put::Created),
            Some(before)
                if whose == Whose::Its && !before.plan.is_same_schedule(&schedule.plan) =>
            {
                schedules.insert(before.name.clone(), before);
                Err(Error::new("make", Kind::Occupied, "it is another's"))
            }
            Some(before) => Ok(match schedule.changes_from(&before) {
                changes if changes.is_empty() => Put::Unchanged,
                changes => Put::Changed(changes),
            }),
        }
    }

    async fn schedule(&self, name: &Name) -> Result<Option<Schedule>, Error> {
        if self.unreadable.lock().unwrap().as_ref() == Some(name) {
            return Ok(None);
        }
        Ok(self.schedules.lock().unwrap().get(name).cloned())
    }

    async fn ask(&self, question: &Question) -> Result<Vec<String>, Error> {
        self.check()?;
        self.questions.lock().unwrap().push(question.clone());
        let line = |backup: &Listed| serde_json::json!({ "backup": backup }).to_string();
        Ok(self.backups.lock().unwrap().iter().map(line).collect())
    }

    async fn secrets(&self, _name: &Name) -> Result<Option<Secrets>, Error> {
        self.check().map(|()| None)
    }

    async fn delete(&self, name: &Name) -> Result<(), Error> {
        self.schedules.lock().unwrap().remove(name);
        Ok(())
    }

    async fn start(&self, restore: &Restore) -> Result<Started, Error> {
        self.check()?;
        let mut restores = self.restores.lock().unwrap();
        let place = restore.target.place();
        let name = format!("restore-{}-postgres", restore.target.place_hash());
        let under_way = restores.iter().find(|it| it.target.place() == place);
        let by = match under_way {
            Some(other) if other.request() == restore.request() => StartedBy::Earlier,
            Some(_) => return Err(Error::new("restore", Kind::Precondition, "another")),
            None => StartedBy::ThisCall,
        };
        restores.push(restore.clone());
        Ok(Started { name, by })
    }

    async fn cancel(&self, _run: &str) -> Result<(), Error> {
        self.check()
    }

    async fn suspend(&self, _name: &Name, _suspended: bool) -> Result<(), Error> {
        self.check()
    }

    async fn keep_drills(&self, _name: &Name, _known: &Drills, _now: &Drills) -> Result<(), Error> {
        self.check()
    }

    async fn run(&self, name: &Name, request_id: &str) -> Result<Started, Error> {
        let name = name.run_now(request_id);
        let by = StartedBy::ThisCall;
        self.check().map(|()| Started { name, by })
    }

    async fn lines(&self, _run: &str, _follow: bool) -> Result<Lines, Error> {
        self.check().map(|()| futures::stream::empty().boxed())
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        pending().boxed()
    }

    async fn acknowledge(&self, _run: &Run) -> Result<(), Error> {
        self.check()
    }

    async fn tidy(&self) -> Result<Tidied, Error> {
        self.check().map(|()| Tidied::default())
    }

    async fn ready(&self) -> Result<(), Error> {
        self.check()
    }

    async fn work(&self, stop: CancellationToken, _leads: watch::Sender<bool>) {
        stop.cancelled().await;
    }
}
