//! No Kubernetes: schedules and runs in one SQLite file, workers as child processes.
//!
//! ```text
//! calls ─▶ store ◀─ work: what is due becomes a waiting run, a waiting run becomes a child
//! ```
//!
//! A run is kept before its worker is started and its end after the worker has ended, so a crash
//! in between leaves a run that has not succeeded. The children die with us.

mod changes;
mod clock;
mod directories;
mod drills;
mod lines;
mod logs;
mod question;
mod secrets;
mod store;
mod supervisor;
mod work;

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::drills::Drills;
use crate::domain::limits::Limits;
use crate::domain::name::Name;
use crate::domain::question::{About, Question};
use crate::domain::restore::Restore;
use crate::domain::run::{Component, Run, State};
use crate::domain::schedule::Schedule;
use crate::domain::store::{Place, Store as Bucket};
use crate::engine::{
    self, Change, Engine, Error, Kind, Lines, Put, Secrets, Started, Tidied, Whose,
};
use crate::workers::Workers;
use changes::Changes;
pub use clock::Clock;
use store::{Restored, Store, Written};
use supervisor::Programs;
use work::Cancelling;

/// The namespace of all that is on this machine.
pub const NAMESPACE: &str = "local";

/// What an administrator decides about workers on this machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Holds the file and what the workers leave.
    pub data_dir: PathBuf,
    /// Below it requests may name directories as stores; none: nowhere.
    pub file_root: Option<PathBuf>,
    /// How many workers run side by side.
    pub max_workers: usize,
    /// The backuper's program.
    pub backuper: PathBuf,
    /// The restorer's program.
    pub restorer: PathBuf,
    /// What workers are told.
    pub workers: Workers,
    /// How long runs may take.
    pub limits: Limits,
    /// How long to wait before a backup's second and third try.
    pub backoff: [Duration; 2],
    /// What time it is.
    pub clock: Clock,
}

/// The engine.
#[derive(Clone, Debug)]
pub struct Local {
    store: Store,
    programs: Programs,
    workers: Workers,
    limits: Limits,
    file_root: Option<PathBuf>,
    max_workers: usize,
    backoff: [Duration; 2],
    clock: Clock,
    asked: Arc<Notify>,
    changes: Changes,
    cancelling: Cancelling,
}

impl Local {
    /// Opens what there is, and makes it when there is nothing.
    ///
    /// # Errors
    /// When the folder or its file cannot be used, or another scheduler uses it.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let Settings {
            data_dir,
            file_root,
            max_workers,
            backuper,
            restorer,
            workers,
            limits,
            backoff,
            clock,
        } = settings;
        let store = Store::open(&data_dir)?;
        let folder = |name: &str| {
            let path = data_dir.join(name);
            private(&path).map_err(|error| {
                let doing = format!("make {}", path.display());
                Error::new(doing, Kind::Precondition, error)
            })?;
            Ok::<_, Error>(path)
        };
        let programs = Programs {
            backuper,
            restorer,
            words: folder("last-words")?,
            logs: folder("logs")?,
        };
        programs
            .check()
            .map_err(|why| Error::new("find the workers' programs", Kind::Precondition, why))?;
        Ok(Self {
            store,
            programs,
            workers,
            limits,
            file_root,
            max_workers,
            backoff,
            clock,
            asked: Arc::default(),
            changes: Changes::default(),
            cancelling: Cancelling::default(),
        })
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    async fn tell_schedule(&self, name: &Name) -> Result<(), Error> {
        if let Some(scheduled) = self.store.schedule(name.to_string()).await? {
            self.changes.schedule(scheduled);
        }
        Ok(())
    }

    async fn tell_runs(&self, ids: Vec<i64>) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        for run in self.store.runs_of(ids).await? {
            self.changes.run(run);
        }
        Ok(())
    }

    async fn tell_run(&self, name: &str) -> Result<(), Error> {
        if let Some(run) = self.store.run(name.to_owned()).await? {
            self.changes.run(run);
        }
        Ok(())
    }
}

#[async_trait]
impl Engine for Local {
    fn namespace(&self) -> &str {
        NAMESPACE
    }

    fn permit(&self, _component: Component, store: &Bucket) -> Result<(), Error> {
        let Place::Directory { path, .. } = &store.place else {
            return Ok(());
        };
        let permitted = directories::permit(self.file_root.as_deref(), path);
        permitted.map_err(engine::not_a_store)
    }

    async fn put(&self, schedule: &Schedule, whose: Whose) -> Result<Put, Error> {
        let plan = &schedule.plan;
        self.permit(Component::Backup, &plan.store)?;
        let doing = format!("keep schedule {}", schedule.name);
        secrets::are_given(&doing, Some(&plan.source.password), Some(&plan.store.keys))?;
        let now = self.clock.now();
        let due = schedule.plan.cron.next_after(now).map(Timestamp::as_second);
        secrets::are_given(&doing, schedule.drills_password(), None)?;
        let own = secrets::of_schedule(schedule);
        let secrets = secrets::write(&self.workers.kept(schedule), &own);
        let times = [due, Some(now.as_second())];
        let name = &schedule.name;
        let written = self.store.put(schedule.clone(), secrets, times, whose);
        let (put, kept) = match written.await? {
            Written::Put(put, kept) => (put, kept),
            Written::Refused(error) => return Err(error),
            Written::Missing => {
                let doing = format!("update schedule {name}");
                return Err(Error::new(doing, Kind::NotFound, "there is none"));
            }
        };
        if let Some(kept) = kept {
            self.changes.tell(Change::Schedule(kept));
        }
        self.asked.notify_one();
        Ok(put)
    }

    async fn schedule(&self, name: &Name) -> Result<Option<Schedule>, Error> {
        let found = self.store.schedule(name.to_string()).await?;
        Ok(found.map(|it| it.schedule))
    }

    async fn secrets(&self, name: &Name) -> Result<Option<Secrets>, Error> {
        let kept = self.store.secrets(name.to_string()).await?;
        Ok(kept.and_then(|it| secrets::read(&it)))
    }

    async fn ask(&self, question: &Question) -> Result<Vec<String>, Error> {
        let Question { task, about } = question;
        let (given, kept, doing) = match about {
            About::Schedule { name, place, of } => {
                let found = self.store.schedule(name.to_string()).await?;
                let kept = self.store.secrets(name.to_string()).await?;
                let Some((found, kept)) = found.zip(kept) else {
                    return Err(engine::no_schedule(task.doing(), name));
                };
                let doing = engine::asked(task, &format!("schedule {name}"));
                let options = found.schedule.own();
                let plan = found.schedule.plan;
                if !place.is_empty() && plan.source.place() != *place {
                    return Err(engine::moved(&doing));
                }
                (plan.given(of.as_ref(), options), kept, doing)
            }
            About::Given(given) => {
                let kept = "{}".to_owned();
                (
                    given.as_ref().clone(),
                    kept,
                    engine::asked(task, "what the call names"),
                )
            }
        };
        if let Some(store) = &given.store {
            self.permit(Component::Backup, store)?;
        }
        let keys = given.store.as_ref().map(|it| &it.keys);
        let password = given.database.as_ref().map(|it| &it.password);
        secrets::are_given(&doing, password, keys)?;
        let vars = self.workers.question(task, &given);
        let vars = vars.ok_or_else(|| engine::of_no_database(&doing))?;
        self.programs.ask([&doing, &kept], vars, task.limit()).await
    }

    async fn delete(&self, name: &Name) -> Result<(), Error> {
        self.store.delete(name.to_string(), self.now()).await?;
        self.changes.tell(Change::ScheduleGone(name.clone()));
        for run in self.store.unfinished_or_untold(name.to_string()).await? {
            self.cancelling.cancel(&run.name);
            self.changes.run(run);
        }
        Ok(())
    }

    async fn suspend(&self, name: &Name, suspended: bool) -> Result<(), Error> {
        if !self.store.suspend(name.to_string(), suspended).await? {
            return Err(engine::no_schedule("suspend", name));
        }
        self.tell_schedule(name).await?;
        self.asked.notify_one();
        Ok(())
    }

    async fn keep_drills(&self, name: &Name, known: &Drills, now: &Drills) -> Result<(), Error> {
        self.keep_drills_of(name, [known, now]).await
    }

    async fn run(&self, name: &Name, request_id: &str) -> Result<Started, Error> {
        let run = name.run_now(&engine::request_or_any(request_id));
        let begun = self.store.begin_now(name.to_string(), run, self.now());
        let Some(started) = begun.await? else {
            return Err(engine::no_schedule("run", name));
        };
        self.tell_run(&started.name).await?;
        self.asked.notify_one();
        Ok(started)
    }

    async fn start(&self, restore: &Restore) -> Result<Started, Error> {
        self.permit(Component::Restore, &restore.store)?;
        let Restore {
            target,
            store,
            identity,
            drill,
            ..
        } = restore;
        let doing = "start a restore";
        if let Some(image) = drill.as_ref().and_then(|it| it.image.as_ref()) {
            let why = format!(
                "{image} is an image, and without Kubernetes there are no containers: name a server that the drill may use"
            );
            return Err(Error::new(doing, Kind::Invalid, why));
        }
        secrets::are_given(doing, Some(&target.password), Some(&store.keys))?;
        secrets::are_given(doing, Some(identity), None)?;
        let own = secrets::of_restore(restore);
        let secrets = secrets::write(&self.workers.restore(restore).to_env(), &own);
        let kept = self.store.restore(restore.clone(), secrets, self.now());
        match kept.await? {
            Restored::Started(started) => {
                self.tell_run(&started.name).await?;
                self.asked.notify_one();
                Ok(started)
            }
            Restored::Moved => Err(engine::moved("start a restore")),
            Restored::NothingToLend(schedule) => {
                let why =
                    format!("schedule {schedule}, which was to lend its credentials, is gone");
                Err(Error::new("start a restore", Kind::NotFound, why))
            }
            Restored::Different(run) => Err(engine::different(&run)),
            Restored::Interrupted(run) => {
                let why = format!(
                    "{run} of this request_id did not end before the scheduler did, and may have been complete: look at the database, and give another request_id if it is to be restored"
                );
                Err(Error::new("start a restore", Kind::Precondition, why))
            }
        }
    }

    async fn cancel(&self, run: &str) -> Result<(), Error> {
        let was_waiting = self.store.cancel(run.to_owned(), self.now()).await?;
        if !was_waiting && !self.cancelling.cancel(run) {
            return match self.store.run(run.to_owned()).await? {
                Some(found) if matches!(found.state, State::Ended(_)) => Ok(()),
                // It is between two states: taken, and its worker not started yet.
                Some(_) => {
                    let why = "it is just being started; ask again";
                    Err(Error::new(format!("cancel {run}"), Kind::Unavailable, why))
                }
                None => {
                    let why = "there is none";
                    Err(Error::new(format!("cancel {run}"), Kind::NotFound, why))
                }
            };
        }
        self.tell_run(run).await
    }

    async fn lines(&self, run: &str, follow: bool) -> Result<Lines, Error> {
        self.read_lines(run, follow).await
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.changes.all(self.store.clone())
    }

    async fn acknowledge(&self, run: &Run) -> Result<(), Error> {
        let id = run.id.parse().map_err(|error: std::num::ParseIntError| {
            Error::new(format!("remember run {}", run.name), Kind::Internal, error)
        })?;
        if let Some(run) = self.store.told(id).await? {
            self.changes.run(run);
        }
        Ok(())
    }

    /// There is nothing to do beside the work: a request is kept as it is, and what a worker is told
    /// is derived when it is started.
    async fn tidy(&self) -> Result<Tidied, Error> {
        let schedules = self.store.schedules().await?;
        Ok(Tidied {
            unchanged: schedules.len(),
            ..Tidied::default()
        })
    }

    async fn ready(&self) -> Result<(), Error> {
        self.store.reach(self.now()).await
    }

    async fn work(&self, stop: CancellationToken, leads: watch::Sender<bool>) {
        // The file is ours alone.
        leads.send_replace(true);
        self.clone().work_on(&stop).await;
    }
}

/// Makes a folder that is nobody else's to read.
fn private(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}
