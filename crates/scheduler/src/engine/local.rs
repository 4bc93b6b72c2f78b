//! No Kubernetes: schedules and runs in one SQLite file, workers as child processes.
//!
//! ```text
//! calls ─▶ store ◀─ run: what is due becomes a waiting run, a waiting run becomes a child
//! ```
//!
//! A run is kept before its worker is started and its end after the worker has ended, so a crash
//! in between leaves a run that has not succeeded. The children die with us.

mod store;
mod supervisor;
mod vars;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::schedule::Cron;
use crate::engine::{Engine, Error, Finished, Kind, Refreshed, Restore, Running, Schedule};
use store::{Started, Store, Wanted};
use supervisor::Programs;

/// The namespace of all that is on this machine.
pub const NAMESPACE: &str = "local";
/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);

/// What an administrator decides about workers on this machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Holds the file and what the workers leave.
    pub data_dir: PathBuf,
    /// How many workers run side by side.
    pub max_workers: usize,
    /// The backuper's program.
    pub backuper: PathBuf,
    /// The restorer's program.
    pub restorer: PathBuf,
    /// How long to wait before a backup's second and third try.
    pub backoff: [Duration; 2],
}

/// The engine.
#[derive(Debug)]
pub struct Local {
    store: Store,
    programs: Programs,
    max_workers: usize,
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
            max_workers,
            backuper,
            restorer,
            backoff,
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
            backoff,
        };
        if let Err(error) = programs.prune(store::MEMORY) {
            tracing::warn!(%error, "old log files stay");
        }
        Ok(Self {
            store,
            programs,
            max_workers,
            asked: Arc::default(),
        })
    }

    async fn put(&self, schedule: &Schedule, only_existing: bool) -> Result<bool, Error> {
        let due = next(&schedule.cron, Timestamp::now())?;
        let Schedule { name, cron, vars } = schedule.clone();
        let row = [name, cron, vars::write(&vars)];
        let kept = self.store.put(row, due, only_existing).await?;
        self.asked.notify_one();
        Ok(kept)
    }

    /// What is due becomes a waiting run, once however often it was missed.
    async fn enqueue(&self) -> Result<(), Error> {
        let now = Timestamp::now();
        for due in self.store.due(now.as_second()).await? {
            let next = next(&due.cron, now)?;
            self.store.begin(due, next, now.as_second()).await?;
        }
        Ok(())
    }

    async fn start(
        &self,
        workers: &mut JoinSet<Option<Finished>>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.enqueue().await?;
        while workers.len() < self.max_workers
            && let Some(run) = self.store.take().await?
        {
            let (store, programs) = (self.store.clone(), self.programs.clone());
            workers.spawn(work(store, programs, run, stop.clone()));
        }
        Ok(())
    }
}

/// One run; gives nothing when its end could not be kept: then it has not been told.
async fn work(
    store: Store,
    programs: Programs,
    run: Started,
    stop: CancellationToken,
) -> Option<Finished> {
    tracing::info!(run = %run.name, plan = run.schedule.as_deref().unwrap_or_default(), "started");
    let ending = programs.run(&run, &stop).await;
    tracing::info!(run = %run.name, ?ending, "ended");
    let now = Timestamp::now().as_second();
    if let Err(error) = store.end(run.id, ending.clone(), now).await {
        tracing::error!(run = %run.name, error = &error as &dyn std::error::Error, "how it ended is lost");
        return None;
    }
    Some(Finished {
        component: run.component,
        run: run.name,
        schedule: run.schedule,
        ending,
    })
}

#[async_trait]
impl Engine for Local {
    fn namespace(&self) -> &str {
        NAMESPACE
    }

    async fn ensure(&self, schedule: &Schedule) -> Result<(), Error> {
        self.put(schedule, false).await.map(drop)
    }

    async fn update(&self, namespace: &str, schedule: &Schedule) -> Result<(), Error> {
        let doing = || format!("update schedule {namespace}/{}", schedule.name);
        if namespace != NAMESPACE {
            let why = format!("only {NAMESPACE} is served here");
            return Err(Error::new(doing(), Kind::Denied, why));
        }
        if self.put(schedule, true).await? {
            return Ok(());
        }
        Err(Error::new(doing(), Kind::NotFound, "there is none"))
    }

    async fn restore(&self, restore: &Restore) -> Result<Running, Error> {
        let wanted = Wanted {
            database: restore.database.clone(),
            request: vars::request(&restore.vars),
            vars: vars::write(&restore.vars),
        };
        let now = Timestamp::now().as_second();
        let running = self.store.restore(wanted, now).await?;
        self.asked.notify_one();
        running.ok_or_else(|| {
            let why = "something else is being restored into this database";
            Error::new("start a restore", Kind::Precondition, why)
        })
    }

    async fn refresh(&self) -> Result<Refreshed, Error> {
        let (unchanged, interrupted) = self.store.sweep(Timestamp::now().as_second()).await?;
        if interrupted > 0 {
            tracing::warn!(
                runs = interrupted,
                "did not end before the last stop: failed"
            );
        }
        Ok(Refreshed {
            unchanged,
            removed: interrupted,
            ..Refreshed::default()
        })
    }

    async fn ready(&self) -> Result<(), Error> {
        self.store.reach().await
    }

    async fn run(&self, stop: CancellationToken, tell: &(dyn Fn(Finished) + Send + Sync)) {
        let mut workers = JoinSet::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.start(&mut workers, &stop).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "trying again in a second"
                );
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = workers.join_next() => told(ended, tell),
                () = self.asked.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        while let Some(ended) = workers.join_next().await {
            told(ended, tell);
        }
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
