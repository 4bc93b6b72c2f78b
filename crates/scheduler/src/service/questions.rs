//! What workers find out: backups, one by one and all of them, and what would fail.

use std::collections::HashMap;

use backuper::archive::key::Published;
use backuper::catalog::is_gone;
use backuper::deletion::pin::{self, Pinned};
use backuper::deletion::{self, Deleted};
use backuper::doctor::{self, Check};
use backuper::job::{BackupSource, RetentionSettings};
use backuper::listing::{self, Listed, Shown};
use backuper::preview::{self, Retained};
use jiff::Timestamp;
use tokio::sync::{Mutex, Semaphore};

use super::{Service, databases, may};
use crate::domain::access::Named;
use crate::domain::callers::{Caller, Verb};
use crate::domain::drilled::Verification;
use crate::domain::question::{About, Given, Question, Task};
use crate::domain::run::Component;
use crate::domain::schedule::Schedule;
use crate::domain::store::Store;
use crate::engine::change::Things;
use crate::engine::{Error, Kind};

/// Answers that are found at once: each is a worker.
static WORKERS: Semaphore = Semaphore::const_new(4);
/// Held by who deletes a backup.
static DELETING: Mutex<()> = Mutex::const_new(());

impl Service {
    /// The backups of databases of a name in a store, the newest first, as far as the caller may see the
    /// database that each is of.
    ///
    /// # Errors
    /// As [`Self::overview`], and what the engine or its worker could not do.
    pub async fn backups(
        &self,
        caller: &Caller,
        of: About,
    ) -> Result<Vec<(Listed, Verification)>, Error> {
        let of = self.may_ask(caller, Verb::View, of, &Task::List).await?;
        let mut verified = self.verified(&of);
        let lines = self.answer(Task::List, of).await?;
        let mut backups = listing::parse(lines.iter().map(String::as_str));
        backups.retain(|it| may_see(caller, it));
        let with = |it: Listed| {
            let verification = verified.remove(&it.key).unwrap_or_default();
            (it, verification)
        };
        Ok(backups.into_iter().map(with).collect())
    }

    /// One backup, with its manifest and its objects.
    ///
    /// # Errors
    /// As [`Self::backups`].
    pub async fn backup(
        &self,
        caller: &Caller,
        of: About,
        key: String,
    ) -> Result<(Shown, Verification), Error> {
        let doing = format!("look at backup {key}");
        let task = Task::Show { key };
        let of = self.may_ask(caller, Verb::View, of, &task).await?;
        let mut verified = self.verified(&of);
        let lines = self.answer(task, of).await?;
        let shown = listing::parse_shown(lines.iter().map(String::as_str));
        let shown = shown.ok_or_else(|| unheard(&doing))?;
        if !may_see(caller, &shown.backup) {
            let why = "there is none that you may see";
            return Err(Error::new(doing, Kind::NotFound, why));
        }
        let verification = verified.remove(&shown.backup.key).unwrap_or_default();
        Ok((shown, verification))
    }

    /// What drills have shown of the backups in the store that is asked about.
    fn verified(&self, of: &About) -> HashMap<String, Verification> {
        let store = match of {
            About::Schedule { name, .. } => {
                let known = self.ledger.overview(name, Timestamp::now());
                known.map(|it| it.schedule.plan.store.place())
            }
            About::Given(given) => given.store.as_ref().map(Store::place),
        };
        store.map_or_else(HashMap::new, |it| self.ledger.verified_in(&it))
    }

    /// Deletes one backup, or says what would be deleted. One after another: of two that are deleted at
    /// once each would be the other's successor.
    ///
    /// # Errors
    /// [`Kind::Precondition`] while something is being restored or the database is being backed up, and
    /// as [`Self::backups`].
    pub async fn delete_backup(
        &self,
        caller: &Caller,
        of: About,
        task: Task,
    ) -> Result<Deleted, Error> {
        let of = self.may_ask(caller, Verb::Delete, of, &task).await?;
        self.may_touch(caller, &of, &task)?;
        self.delete_alone(of, task).await
    }

    /// Deletes what the backup of an object has stored, under the keys that are given, though it is the only
    /// one: who deletes such an object has said that this goes too. What is gone already is success.
    ///
    /// # Errors
    /// As [`Self::delete_backup`].
    pub async fn delete_for_object(&self, given: Given, key: String) -> Result<Deleted, Error> {
        let operator = Caller::operator();
        self.may_ask_given(&operator, Verb::Delete, &given).await?;
        let task = Task::Delete {
            key: key.clone(),
            last: true,
            validate_only: false,
        };
        let deleted = self.delete_alone(About::Given(Box::new(given)), task).await;
        match deleted {
            Err(error) if error.kind() == Kind::Precondition && is_gone(&error.chain()) => {
                Ok(Deleted {
                    key,
                    objects: 0,
                    bytes: 0,
                    validate_only: false,
                })
            }
            deleted => deleted,
        }
    }

    async fn delete_alone(&self, of: About, task: Task) -> Result<Deleted, Error> {
        self.known(Things::Runs).await?;
        let is_only_said = matches!(
            task,
            Task::Delete {
                validate_only: true,
                ..
            }
        );
        let alone = if is_only_said {
            None
        } else {
            Some(DELETING.lock().await)
        };
        if alone.is_some() {
            self.is_left_alone(&of)?;
        }
        let service = self.clone();
        // Half a deletion is no better than none: what has begun goes on where the caller does not.
        let deleting = tokio::spawn(async move {
            let _alone = alone;
            service.answer(task, of).await
        });
        let lines = deleting.await.map_err(|error| {
            let doing = "delete a backup";
            Error::new(doing, Kind::Internal, error)
        })??;
        let deleted = deletion::parse(lines.iter().map(String::as_str));
        deleted.ok_or_else(|| unheard("delete a backup"))
    }

    /// Pins one backup, or takes its pin away, as far as the caller may delete it.
    ///
    /// # Errors
    /// As [`Self::backups`].
    pub async fn pin_backup(
        &self,
        caller: &Caller,
        of: About,
        task: Task,
    ) -> Result<Pinned, Error> {
        let of = self.may_ask(caller, Verb::Delete, of, &task).await?;
        self.may_touch(caller, &of, &task)?;
        let doing = task.doing();
        // It does not come between a deletion's look and its end.
        let _alone = DELETING.lock().await;
        let lines = self.answer(task, of).await?;
        pin::parse(lines.iter().map(String::as_str)).ok_or_else(|| unheard(doing))
    }

    /// What retention would remove, and why: by these rules, or by the schedule's own.
    ///
    /// # Errors
    /// As [`Self::backups`].
    pub async fn preview_retention(
        &self,
        caller: &Caller,
        of: About,
        rules: Option<RetentionSettings>,
    ) -> Result<Vec<Retained>, Error> {
        let schedule = match &of {
            About::Schedule { name, .. } => Some(self.overview(caller, name).await?.schedule),
            About::Given(_) => None,
        };
        let own = schedule.as_ref().map(|it| self.workers.retention(it));
        let task = Task::Retention {
            schedule: schedule.as_ref().and_then(Schedule::counted_as),
            rules: Box::new(rules.or(own).unwrap_or_default()),
        };
        let of = self.may_ask(caller, Verb::View, of, &task).await?;
        let lines = self.answer(task, of).await?;
        Ok(preview::parse(lines.iter().map(String::as_str)))
    }

    /// Tries everything that would make a backup or a restore fail.
    ///
    /// # Errors
    /// As [`Self::backups`].
    pub async fn diagnose(&self, caller: &Caller, of: About) -> Result<Vec<Check>, Error> {
        let of = self.may_ask(caller, Verb::Run, of, &Task::Check).await?;
        let lines = self.answer(Task::Check, of).await?;
        let checks = doctor::parse(lines.iter().map(String::as_str));
        if checks.is_empty() {
            return Err(unheard("check what would fail"));
        }
        Ok(checks)
    }

    async fn answer(&self, task: Task, about: About) -> Result<Vec<String>, Error> {
        // Nobody closes it.
        let _place = WORKERS.acquire().await;
        self.engine.ask(&Question { task, about }).await
    }

    /// Whether nothing is under way that reads backups, or makes and deletes those of this database.
    fn is_left_alone(&self, of: &About) -> Result<(), Error> {
        let (place, one) = match of {
            About::Schedule { place, of, .. } => (Some(place.clone()), of.as_ref()),
            About::Given(given) => (None, given.source.as_ref()),
        };
        let places = place.into_iter().chain(one.map(ToString::to_string));
        let places: Vec<String> = places.collect();
        let why = if self.ledger.may_be_read(&places) {
            "a restore is under way and may read it; ask again when that has ended"
        } else if places.iter().any(|it| self.ledger.is_backing_up(it)) {
            "the database is being backed up; ask again when that has ended"
        } else {
            return Ok(());
        };
        Err(Error::new("delete a backup", Kind::Precondition, why))
    }

    /// Whether a caller may change what the published adapter has made: nothing says of which server it is, so
    /// it may be that of a schedule whose database has the same name, and that the caller may not even see.
    fn may_touch(&self, caller: &Caller, of: &About, task: &Task) -> Result<(), Error> {
        let (place, name) = match of {
            About::Schedule { name, of, .. } => {
                let found = self.ledger.overview(name, Timestamp::now());
                let plan = found.map(|it| it.schedule.plan);
                let own = plan.as_ref().map(|it| it.source.name.clone());
                let one = of.as_ref().map(|it| it.database.clone());
                (plan.map(|it| it.store.place()), one.or(own))
            }
            About::Given(given) => (
                given.store.as_ref().map(Store::place),
                given.source.as_ref().map(|it| it.database.clone()),
            ),
        };
        let (Some(place), Some(name), Some(key)) = (place, name, task.key()) else {
            return Ok(());
        };
        if caller.may_everything() || Published::parse_key(&name, key).is_err() {
            return Ok(());
        }
        let is_hidden = |it: &Schedule| {
            let database = it.plan.source.place();
            let is_seen = caller.may(Verb::View, &database).is_ok();
            it.plan.has(&name) && it.plan.store.place() == place && !is_seen
        };
        if self.ledger.schedules_where(is_hidden).is_empty() {
            return Ok(());
        }
        let why = format!(
            "nothing in {key} says of which server it is, and another schedule has a database {name} in this store; ask whoever may do everything"
        );
        Err(Error::new(task.doing(), Kind::Denied, why))
    }

    /// What a caller may ask about: a schedule as it was when that was allowed, or what it has given.
    async fn may_ask(
        &self,
        caller: &Caller,
        verb: Verb,
        of: About,
        task: &Task,
    ) -> Result<About, Error> {
        match of {
            About::Schedule { name, of, .. } => {
                let overview = self.overview(caller, &name).await?;
                let place = overview.protection.database;
                may(caller, verb, &place)?;
                let of = databases::asked(&overview.schedule.plan, of, task)?;
                Ok(About::Schedule { name, place, of })
            }
            About::Given(mut given) => {
                self.may_ask_given(caller, verb, &given).await?;
                if let (Some(source), Some(store), false) =
                    (&given.source, &given.store, given.several)
                {
                    given.options.layout = self.layout_for(source, store).await?;
                }
                Ok(About::Given(given))
            }
        }
    }

    /// What is given is reached from where the workers are: who may do that is who may restore from it, and
    /// beside that has to be allowed what is asked.
    async fn may_ask_given(&self, caller: &Caller, verb: Verb, given: &Given) -> Result<(), Error> {
        let Given {
            source,
            several: _,
            database,
            store,
            options: _,
        } = given;
        let of_store = store.is_some().then(|| place_of(source.as_ref()));
        let of_database = database.as_ref().map(|it| it.place());
        for place in of_store.into_iter().chain(of_database) {
            may(caller, Verb::Restore, &place)?;
            may(caller, verb, &place)?;
        }
        let password = database.as_ref().map(|it| &it.password);
        let keys = store.as_ref().map(|it| &it.keys);
        self.may_name_references(caller, password, keys)?;
        let named = Named {
            database: database.as_ref(),
            store: store.as_ref(),
            core: None,
        };
        self.permit_places(named).await?;
        match store {
            Some(store) => self.engine.permit(Component::Backup, store),
            None => Ok(()),
        }
    }
}

/// What a worker leads to that has ended well and said nothing.
fn unheard(doing: &str) -> Error {
    let why = "its worker has ended well and has not said what it did; ask again";
    Error::new(doing, Kind::Internal, why)
}

/// Whose backups are meant; of nobody in particular means of all.
fn place_of(source: Option<&BackupSource>) -> String {
    source.map_or_else(|| "*:*/*".to_owned(), ToString::to_string)
}

/// A backup that does not say whose it is hides nothing but its size.
fn may_see(caller: &Caller, backup: &Listed) -> bool {
    let source = backup.source.as_ref();
    source.is_none_or(|it| caller.may(Verb::View, it).is_ok())
}
