//! An engine that only remembers: what the door and the use cases make of a call.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use backuper::job::{Value, Var};
use scheduler::engine::{Engine, Error, Finished, Kind, Refreshed, Restore, Running, Schedule};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The namespace that it says it has.
pub(crate) const HERE: &str = "oiler-backup-system";

/// What was asked of it.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) schedules: Mutex<BTreeMap<String, Schedule>>,
    pub(crate) restores: Mutex<Vec<Restore>>,
    /// What every verb answers with instead.
    pub(crate) broken: Mutex<Option<Kind>>,
    /// How long it takes to make a schedule.
    pub(crate) delay: Mutex<Duration>,
    /// Told when a schedule is asked for.
    pub(crate) asked: Notify,
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

fn same(one: &Restore, other: &Restore) -> bool {
    let request = |it: &Restore| -> Vec<String> {
        let times = ["RESTORE_AS_OF", "RESTORE_BEGIN_BY"];
        let counted = it.vars.iter().filter(|it| !times.contains(&it.name));
        counted.map(|it| format!("{it:?}")).collect()
    };
    request(one) == request(other)
}

#[async_trait]
impl Engine for Recording {
    fn namespace(&self) -> &str {
        HERE
    }

    async fn ensure(&self, schedule: &Schedule) -> Result<(), Error> {
        self.check()?;
        self.asked.notify_one();
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let mut schedules = self.schedules.lock().unwrap();
        schedules.insert(schedule.name.clone(), schedule.clone());
        Ok(())
    }

    async fn update(&self, namespace: &str, schedule: &Schedule) -> Result<(), Error> {
        self.check()?;
        if namespace != HERE {
            return Err(Error::new("update", Kind::Denied, "not here"));
        }
        if !self.schedules.lock().unwrap().contains_key(&schedule.name) {
            return Err(Error::new("update", Kind::NotFound, "there is none"));
        }
        self.ensure(schedule).await
    }

    async fn database_of(&self, schedule: &str) -> Result<Option<String>, Error> {
        let schedules = self.schedules.lock().unwrap();
        let Some(schedule) = schedules.get(schedule) else {
            return Ok(None);
        };
        let value = |name| plain(&schedule.vars, name);
        let (host, port, name) = (value("DB_HOST"), value("DB_PORT"), value("DB_NAME"));
        let all = host.zip(port).zip(name);
        Ok(all.map(|((host, port), name)| format!("{host}:{port}/{name}")))
    }

    async fn restore(&self, restore: &Restore) -> Result<Running, Error> {
        self.check()?;
        let mut restores = self.restores.lock().unwrap();
        let name = format!("restore-{}-postgres", restore.database);
        let under_way = restores.iter().find(|it| it.database == restore.database);
        let adopted = match under_way {
            Some(other) if same(other, restore) => true,
            Some(_) => return Err(Error::new("restore", Kind::Precondition, "another")),
            None => false,
        };
        restores.push(restore.clone());
        Ok(Running { name, adopted })
    }

    async fn refresh(&self) -> Result<Refreshed, Error> {
        self.check().map(|()| Refreshed::default())
    }

    async fn ready(&self) -> Result<(), Error> {
        self.check()
    }

    async fn run(&self, stop: CancellationToken, _tell: &(dyn Fn(Finished) + Send + Sync)) {
        stop.cancelled().await;
    }
}
