//! The work in the background: what is due becomes a waiting run, a waiting run becomes a child.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Local;
use super::store::{Taken, Work};
use super::supervisor::{self, Until};
use crate::domain::cron::Cron;
use crate::domain::run::{Component, Ending};
use crate::engine::{Change, Engine as _, Error, Kind};

/// How often the clock is looked at, and what could not be kept is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How often old runs are forgotten, with their log files.
const FORGETTING: Duration = Duration::from_secs(3600);
/// How often schedules are compared with the clock, and an error that lasts is told again.
const MINUTE: Duration = Duration::from_secs(60);

/// The workers that are running, by their runs' names, each with what ends it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancelling(Arc<Mutex<HashMap<String, (Component, CancellationToken)>>>);

impl Cancelling {
    /// Ends a worker; whether there was one.
    pub(super) fn cancel(&self, run: &str) -> bool {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(run).inspect(|it| it.1.cancel()).is_some()
    }

    /// How many backups and how many restores are running.
    fn running(&self) -> [usize; 2] {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let backups = running.values().filter(|it| it.0 == Component::Backup);
        let backups = backups.count();
        [backups, running.len() - backups]
    }

    fn begin(&self, run: &str, component: Component) -> CancellationToken {
        let token = CancellationToken::new();
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(run.to_owned(), (component, token.clone()));
        token
    }

    fn end(&self, run: &str) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(run);
    }
}

impl Local {
    /// Until stopped; the workers have ended then.
    pub(super) async fn work_on(self, stop: &CancellationToken) {
        let mut workers = JoinSet::new();
        let mut forgetting = tokio::time::interval(FORGETTING);
        let mut recounting = tokio::time::interval(MINUTE);
        let mut trouble = Trouble::default();
        let mut is_swept = false;
        while !stop.is_cancelled() {
            if !is_swept {
                let swept = self.sweep().await;
                is_swept = swept.is_ok();
                trouble.tell(swept);
            }
            if is_swept {
                trouble.tell(self.start_waiting(&mut workers, stop).await);
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = workers.join_next() => lost(ended),
                () = self.asked.notified() => {}
                _ = recounting.tick() => trouble.tell(self.recount().await),
                _ = forgetting.tick() => trouble.tell(self.forget().await),
                () = tokio::time::sleep(TICK) => {}
            }
        }
        while let Some(ended) = workers.join_next().await {
            lost(ended);
        }
    }

    /// What the last process has left unfinished is nothing that runs.
    async fn sweep(&self) -> Result<(), Error> {
        let interrupted = self.store.sweep(self.now()).await?;
        self.tell_runs(interrupted).await
    }

    /// What is due becomes a waiting run, once however often it was missed.
    async fn enqueue(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for due in self.store.due(now.as_second()).await? {
            match next(&due.cron, now) {
                Ok(next) => self.store.begin(due, next, now.as_second()).await?,
                Err(error) => {
                    // The others go on; this one is looked at again every minute.
                    tracing::error!(schedule = %due.name, error = error.chain(), "this schedule cannot be read and does not run; make it anew");
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
        let longest = self.backoff.iter().max().copied().unwrap_or_default();
        let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
        self.store.hurry(now.as_second(), longest).await?;
        let mut wrong = Vec::new();
        for (schedule, due) in self.store.all_due().await? {
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

    async fn start_waiting(
        &self,
        workers: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let expired = self.store.expire(self.now()).await?;
        self.tell_runs(expired).await?;
        self.enqueue().await?;
        while let Some(restores_alone) = self.free_place()
            && let Some(taken) = self.store.take(self.now(), restores_alone).await?
        {
            let component = taken.run.component;
            let cancelled = self.cancelling.begin(&taken.run.name, component);
            let engine = self.clone();
            let stop = stop.clone();
            workers.spawn(async move {
                engine.finish(&taken, [stop, cancelled]).await;
                engine.cancelling.end(&taken.run.name);
            });
        }
        Ok(())
    }

    /// Whether a worker may be started, and whether only for a restore. One restore more than there are
    /// places may run: backups that hang, and be they of somebody else's database, keep none waiting.
    fn free_place(&self) -> Option<bool> {
        let [backups, restores] = self.cancelling.running();
        match backups + restores {
            running if running < self.max_workers => Some(false),
            running => (running == self.max_workers && restores == 0).then_some(true),
        }
    }

    /// One try of a run, to its end and until that is kept; when we are stopped before that, the next
    /// start finds it interrupted.
    async fn finish(&self, taken: &Taken, [stop, cancelled]: [CancellationToken; 2]) {
        let run = &taken.run;
        let schedule = run.schedule.as_deref().unwrap_or_default();
        tracing::info!(run = %run.name, schedule, database = %run.database, attempt = taken.attempt, "started");
        self.changes.run(run.clone());
        let until = Until {
            stop: stop.clone(),
            cancelled,
            deadline: self.time_left(taken),
        };
        let mut ending = match self.permits(taken) {
            Ok(()) => self.programs.run(taken, &self.workers, &until).await,
            Err(error) => supervisor::not_started(error.chain()),
        };
        if until.cancelled.is_cancelled() && !matches!(ending, Ending::Succeeded { .. }) {
            // It may have ended by itself in the same moment, and is not tried again.
            ending = Ending::Cancelled;
        }
        let pause = self.pause(taken, &ending);
        let kept = loop {
            let now = self.now();
            let kept = match pause {
                Some(pause) => {
                    let not_before = now.saturating_add_unsigned(pause.as_secs());
                    self.store.again(taken.id, not_before).await
                }
                None => self.store.end(taken.id, ending.clone(), now).await,
            };
            let error = match kept {
                Ok(kept) => break kept,
                Err(error) => error,
            };
            tracing::error!(run = %run.name, schedule, database = %run.database, error = error.chain(), "how it ended is not kept yet; trying again in a second");
            if stop.is_cancelled() {
                return;
            }
            tokio::time::sleep(TICK).await;
        };
        if let (Some(pause), Ending::Failed { message, .. }) = (pause, &ending) {
            tracing::warn!(run = %run.name, schedule, database = %run.database, ?pause, error = message.as_deref().unwrap_or_default(), "it failed, and is tried again");
        }
        if let Some(kept) = kept {
            self.changes.run(kept);
        }
    }

    /// Links below FILE_ROOT may lead elsewhere by now than when the call was made.
    fn permits(&self, taken: &Taken) -> Result<(), Error> {
        match &taken.work {
            Some(Work::Backup(it, _)) => self.permit(Component::Backup, &it.plan.store),
            Some(Work::Restore(it, _)) => self.permit(Component::Restore, &it.store),
            None => Ok(()),
        }
    }

    /// How long a run may still take, all its tries together.
    fn time_left(&self, taken: &Taken) -> Duration {
        let all = match &taken.work {
            Some(Work::Backup(schedule, _)) => {
                let own = schedule.own().tries.limit();
                own.unwrap_or_else(|| self.limits.of_backup(&schedule.plan.cron))
            }
            Some(Work::Restore(..)) | None => self.limits.restore,
        };
        let began = taken.run.started.map_or(0, Timestamp::as_second);
        let used = self.now().saturating_sub(began).max(0);
        all.saturating_sub(Duration::from_secs(used.unsigned_abs()))
    }

    /// How long to wait before this run is tried again; none when it is not.
    fn pause(&self, taken: &Taken, ending: &Ending) -> Option<Duration> {
        if !supervisor::may_try_again(taken.run.component, ending) {
            return None;
        }
        let tries = usize::try_from(taken.attempt).unwrap_or(usize::MAX);
        let own = match &taken.work {
            Some(Work::Backup(schedule, _)) => schedule.own().tries.again,
            Some(Work::Restore(..)) | None => None,
        };
        pause_after(tries, own, &self.backoff)
    }

    async fn forget(&self) -> Result<(), Error> {
        loop {
            let forgotten = self.store.forget(self.now()).await?;
            if forgotten.is_empty() {
                return Ok(());
            }
            for run in forgotten {
                self.programs.forget(&run.name, run.schedule.as_deref());
                self.changes.tell(Change::RunGone(run.id.to_string()));
            }
        }
    }
}

/// When a schedule is due next, in seconds.
fn next(cron: &str, now: Timestamp) -> Result<Option<i64>, Error> {
    let cron: Cron = cron
        .parse()
        .map_err(|error| Error::new(format!("read the schedule {cron:?}"), Kind::Invalid, error))?;
    Ok(cron.next_after(now).map(Timestamp::as_second))
}

/// How long to wait after so many tries; a schedule that wants more of them than there are pauses has the last one
/// again.
fn pause_after(tries: usize, own: Option<u8>, pauses: &[Duration]) -> Option<Duration> {
    let again = own.map_or(pauses.len(), usize::from);
    let pause = pauses.get(tries.saturating_sub(1)).or(pauses.last());
    pause.copied().filter(|_| tries <= again)
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

fn lost(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a run was lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_may_be_tried_more_often_or_less_than_others_are() {
        let pauses = [1, 2].map(Duration::from_secs);
        let of = |own| -> Vec<u64> {
            let all = (1..=9).map_while(|tries| pause_after(tries, own, &pauses));
            all.map(|it| it.as_secs()).collect()
        };
        assert_eq!(of(None), [1, 2]);
        assert!(of(Some(0)).is_empty());
        assert_eq!(of(Some(1)), [1]);
        assert_eq!(of(Some(4)), [1, 2, 2, 2]);
    }
}
