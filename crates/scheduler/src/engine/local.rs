//! No Kubernetes: schedules and runs in one SQLite file, workers as child processes.
//!
//! ```text
//! calls ─▶ store ◀─ run: what is due becomes a waiting run, a waiting run becomes a child
//! ```
//!
//! A run is kept before its worker is started and its end after the worker has ended, so a crash
//! in between leaves a run that has not succeeded. The children die with us.

mod clock;
mod directories;
mod lines;
mod store;
mod supervisor;
mod vars;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backuper::job::Var;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::schedule::Cron;
use crate::engine::{
    self, Component, Ending, Engine, Error, Finished, Kind, Refreshed, Restore, Running, Schedule,
};
pub use clock::Clock;
use store::{Started, Store, Wanted, Whose};
use supervisor::Programs;

/// The namespace of all that is on this machine.
pub const NAMESPACE: &str = "local";
/// How often the clock is looked at, and what could not be kept is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How often old runs are forgotten, with their log files.
const FORGETTING: Duration = Duration::from_secs(3600);
/// How often schedules are compared with the clock, and an error that lasts is told again.
const MINUTE: Duration = Duration::from_secs(60);

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
    /// How long to wait before a backup's second and third try.
    pub backoff: [Duration; 2],
    /// What time it is.
    pub clock: Clock,
}

/// The engine.
#[derive(Debug)]
pub struct Local {
    store: Store,
    programs: Programs,
    file_root: Option<PathBuf>,
    max_workers: usize,
    backoff: [Duration; 2],
    clock: Clock,
    asked: Arc<Notify>,
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
            backoff,
            clock,
        } = settings;
        let store = Store::open(&data_dir)?;
        let folder = |name: &str| {
            let path = data_dir.join(name);
            std::fs::create_dir_all(&path).map_err(|error| {
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
            file_root,
            max_workers,
            backoff,
            clock,
            asked: Arc::default(),
        })
    }

    /// A directory as the store must be one that requests may name.
    fn permit(&self, vars: &[Var]) -> Result<(), Error> {
        let Some(directory) = engine::directory(vars) else {
            return Ok(());
        };
        let permitted = directories::permit(self.file_root.as_deref(), directory);
        permitted.map_err(engine::not_a_store)
    }

    async fn put(&self, schedule: &Schedule, whose: Whose) -> Result<bool, Error> {
        self.permit(&schedule.vars)?;
        let due = next(&schedule.cron, self.clock.now())?;
        let Schedule { name, cron, vars } = schedule.clone();
        let row = [name, cron, vars::write(&vars)];
        let kept = self.store.put(row, due, whose).await?;
        self.asked.notify_one();
        Ok(kept)
    }

    /// What is due becomes a waiting run, once however often it was missed.
    async fn enqueue(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for due in self.store.due(now.as_second()).await? {
            match next(&due.cron, now) {
                Ok(next) => self.store.begin(due, next, now.as_second()).await?,
                Err(error) => {
                    // The others go on; this one is looked at again every minute.
                    tracing::error!(plan = %due.name, error = error.chain(), "this schedule cannot be read and does not run; make it anew");
                    self.store.set_due(vec![(due, None)]).await?;
                }
            }
        }
        Ok(())
    }

    /// A clock that once ran ahead has put off what is due; and what could not be read may be readable
    /// by this version.
    async fn recount(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let mut wrong = Vec::new();
        for (schedule, due) in self.store.schedules().await? {
            let Ok(next) = next(&schedule.cron, now) else {
                continue;
            };
            if due.is_none() || next.is_some_and(|next| due > Some(next)) {
                wrong.push((schedule, next));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            schedules = wrong.len(),
            "the clock was set back, or ran ahead before: when these schedules are due is counted from now"
        );
        self.store.set_due(wrong).await
    }

    async fn start(
        &self,
        workers: &mut JoinSet<Option<Finished>>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.enqueue().await?;
        while workers.len() < self.max_workers
            && let Some(run) = self.store.take(self.clock.now().as_second()).await?
        {
            let work = Work {
                store: self.store.clone(),
                programs: self.programs.clone(),
                backoff: self.backoff,
                clock: self.clock.clone(),
                run,
            };
            workers.spawn(work.finish(stop.clone()));
        }
        Ok(())
    }

    async fn forget(&self) -> Result<(), Error> {
        loop {
            let forgotten = self.store.forget(self.clock.now().as_second()).await?;
            if forgotten.is_empty() {
                return Ok(());
            }
            for run in forgotten {
                self.programs.forget(&run.name, run.schedule.as_deref());
            }
        }
    }
}

/// One try of a run.
struct Work {
    store: Store,
    programs: Programs,
    backoff: [Duration; 2],
    clock: Clock,
    run: Started,
}

impl Work {
    /// Gives how the run ended, once that is kept; nothing when it is to be tried again, or when
    /// we were stopped before its end could be kept: the next start finds it interrupted.
    async fn finish(self, stop: CancellationToken) -> Option<Finished> {
        let Self { store, run, .. } = &self;
        tracing::info!(run = %run.name, plan = run.schedule.as_deref().unwrap_or_default(), attempt = run.attempt, "started");
        let (ending, said) = self.programs.run(run, &stop).await;
        tracing::info!(run = %run.name, ?ending, %said, "ended");
        let pause = self.pause(&ending);
        loop {
            let now = self.clock.now().as_second();
            let kept = match pause {
                Some(pause) => {
                    let not_before = now.saturating_add_unsigned(pause.as_secs());
                    store.again(run.id, not_before).await
                }
                None => store.end(run.id, ending.clone(), said.clone(), now).await,
            };
            let Err(error) = kept else { break };
            tracing::error!(run = %run.name, error = error.chain(), "how it ended is not kept yet; trying again in a second");
            if stop.is_cancelled() {
                return None;
            }
            tokio::time::sleep(TICK).await;
        }
        if let Some(pause) = pause {
            tracing::warn!(run = %run.name, ?pause, "waiting to be tried again");
            return None;
        }
        Some(Finished {
            component: run.component,
            run: run.name.clone(),
            schedule: run.schedule.clone(),
            ending,
        })
    }

    /// How long to wait before this run is tried again; none when it is not.
    fn pause(&self, ending: &Ending) -> Option<Duration> {
        if !supervisor::may_try_again(self.run.component, ending) {
            return None;
        }
        let tries = usize::try_from(self.run.attempt).unwrap_or(usize::MAX);
        self.backoff.get(tries.saturating_sub(1)).copied()
    }
}

#[async_trait]
impl Engine for Local {
    fn namespace(&self) -> &str {
        NAMESPACE
    }

    async fn ensure(&self, schedule: &Schedule) -> Result<(), Error> {
        if self.put(schedule, Whose::Its).await? {
            return Ok(());
        }
        Err(engine::occupied(&schedule.name))
    }

    async fn update(&self, namespace: &str, schedule: &Schedule) -> Result<(), Error> {
        let doing = || format!("update schedule {namespace}/{}", schedule.name);
        if namespace != NAMESPACE {
            let why = format!("only {NAMESPACE} is served here");
            return Err(Error::new(doing(), Kind::Denied, why));
        }
        if self.put(schedule, Whose::Anybodys).await? {
            return Ok(());
        }
        Err(Error::new(doing(), Kind::NotFound, "there is none"))
    }

    async fn database_of(&self, schedule: &str) -> Result<Option<String>, Error> {
        let vars = self.store.vars_of(schedule.to_owned()).await?;
        Ok(vars.and_then(|it| vars::database(&it)))
    }

    async fn restore(&self, restore: &Restore) -> Result<Running, Error> {
        self.permit(&restore.vars)?;
        let wanted = Wanted {
            database: restore.database.clone(),
            request: vars::request(&restore.vars),
            vars: vars::write(&restore.vars),
        };
        let now = self.clock.now().as_second();
        let running = self.store.restore(wanted, now).await?;
        self.asked.notify_one();
        running.ok_or_else(|| {
            let why = "something else is being restored into this database";
            Error::new("start a restore", Kind::Precondition, why)
        })
    }

    async fn refresh(&self) -> Result<Refreshed, Error> {
        let (unchanged, interrupted) = self.store.sweep(self.clock.now().as_second()).await?;
        for run in &interrupted {
            let (name, database) = (&run.name, &run.database);
            match run.component {
                Component::Backup => {
                    tracing::warn!(run = %name, %database, "this backup did not end before the scheduler did: nothing of it counts, and it is made again");
                }
                Component::Restore => {
                    tracing::warn!(run = %name, %database, "this restore did not end before the scheduler did: a database that held something is as it was before, one that was empty or missing is not complete; ask for the restore again");
                }
            }
        }
        Ok(Refreshed {
            unchanged,
            removed: interrupted.len(),
            ..Refreshed::default()
        })
    }

    async fn ready(&self) -> Result<(), Error> {
        self.store.reach(self.clock.now().as_second()).await
    }

    async fn run(&self, stop: CancellationToken, tell: &(dyn Fn(Finished) + Send + Sync)) {
        let mut workers = JoinSet::new();
        let mut forgetting = tokio::time::interval(FORGETTING);
        let mut recounting = tokio::time::interval(MINUTE);
        let mut trouble = Trouble::default();
        while !stop.is_cancelled() {
            trouble.tell(self.start(&mut workers, &stop).await);
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = workers.join_next() => told(ended, tell),
                () = self.asked.notified() => {}
                _ = recounting.tick() => trouble.tell(self.recount().await),
                _ = forgetting.tick() => trouble.tell(self.forget().await),
                () = tokio::time::sleep(TICK) => {}
            }
        }
        while let Some(ended) = workers.join_next().await {
            told(ended, tell);
        }
    }
}

/// An error that comes every second is told once, and then every minute.
#[derive(Debug, Default)]
struct Trouble(Option<(String, Instant)>);

impl Trouble {
    fn tell(&mut self, outcome: Result<(), Error>) {
        let Err(error) = outcome else { return };
        let text = error.chain();
        let known = self.0.as_ref();
        if known.is_some_and(|(known, since)| *known == text && since.elapsed() < MINUTE) {
            return;
        }
        tracing::error!(error = %text, "trying again every second");
        self.0 = Some((text, Instant::now()));
    }
}

fn told(
    ended: Result<Option<Finished>, tokio::task::JoinError>,
    tell: &(dyn Fn(Finished) + Send + Sync),
) {
    match ended {
        Ok(Some(finished)) => tell(finished),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "a run was lost"),
    }
}

/// When a schedule is due next, in seconds.
fn next(cron: &str, now: Timestamp) -> Result<Option<i64>, Error> {
    let cron: Cron = cron
        .parse()
        .map_err(|error| Error::new(format!("read the schedule {cron:?}"), Kind::Invalid, error))?;
    Ok(cron.next_after(now).map(Timestamp::as_second))
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}
