//! Runs: to see, follow and end them.

use futures::stream::{self, BoxStream, StreamExt as _, unfold};
use tokio::sync::watch;

use super::ledger::{Behind, Wanted};
use super::{Service, may};
use crate::domain::callers::{Caller, Verb};
use crate::domain::progress::Progress;
use crate::domain::run::{Run, State};
use crate::engine::change::Things;
use crate::engine::{Error, Kind, Lines};

impl Service {
    /// The runs that are asked for and that a caller may see, the newest first, behind one of them; at
    /// most so many.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] while they are not known yet.
    pub async fn runs(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        behind: Option<Behind>,
        most: usize,
    ) -> Result<Vec<Run>, Error> {
        self.known(Things::Runs).await?;
        let is_seen = |it: &Run| may_see(caller, it);
        Ok(self.ledger.runs(wanted, behind, most, is_seen))
    }

    /// The newest run of a name.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is none that the caller may see.
    pub async fn run(&self, caller: &Caller, name: &str) -> Result<Run, Error> {
        self.known(Things::Runs).await?;
        let found = self.ledger.run(name).filter(|it| may_see(caller, it));
        found.ok_or_else(|| {
            let doing = format!("find run {name}");
            Error::new(doing, Kind::NotFound, "there is none that you may see")
        })
    }

    /// Ends a run.
    ///
    /// # Errors
    /// As [`Self::run`]; [`Kind::Denied`], and what the engine could not do.
    pub async fn cancel(&self, caller: &Caller, name: &str) -> Result<Run, Error> {
        let run = self.run(caller, name).await?;
        if !may_with(caller, Verb::Cancel, &run) {
            may(caller, Verb::Cancel, &run.database)?;
        }
        self.engine.cancel(&run.name).await?;
        Ok(self.ledger.run(name).unwrap_or(run))
    }

    /// What a run's worker has said, line by line; with `follow`, what it says from then on too, until
    /// the run has ended.
    ///
    /// # Errors
    /// As [`Self::run`], and what the engine could not do.
    pub async fn lines(&self, caller: &Caller, name: &str, follow: bool) -> Result<Lines, Error> {
        let run = self.run(caller, name).await?;
        self.engine.lines(&run.name, follow).await
    }

    /// A run as it is, and then each time that it changes or gets on, until it has ended or is gone.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn watch(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<BoxStream<'static, Watched>, Error> {
        let changed = self.ledger.changed();
        let run = self.run(caller, name).await?;
        let watching = Watching {
            service: self.clone(),
            changed,
            run,
            is_told: false,
            progress: None,
            said: None,
        };
        let watched = unfold(watching, |mut watching| async move {
            let watched = watching.next().await?;
            Some((watched, watching))
        });
        Ok(watched.boxed())
    }
}

/// A run as it is, and how far its worker is.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The run.
    pub run: Run,
    /// How far its worker is; none where it has not said so, or has ended.
    pub progress: Option<Progress>,
}

struct Watching {
    service: Service,
    changed: watch::Receiver<()>,
    run: Run,
    /// Whether the run as it is was told.
    is_told: bool,
    progress: Option<Progress>,
    /// What the worker says.
    said: Option<Lines>,
}

impl Watching {
    async fn next(&mut self) -> Option<Watched> {
        while self.is_told {
            if self.run.state.ending().is_some() {
                return None;
            }
            self.listen().await;
            let progress = tokio::select! {
                changed = self.changed.changed() => {
                    changed.ok()?;
                    let now = self.service.ledger.run_of_id(&self.run.id)?;
                    self.is_told = now.state == self.run.state && now.started == self.run.started;
                    self.run = now;
                    None
                }
                progress = said(&mut self.said) => progress,
            };
            if progress.is_some() {
                self.progress = progress;
                self.is_told = false;
            }
        }
        self.is_told = true;
        Some(Watched {
            run: self.run.clone(),
            progress: self.progress.filter(|_| self.run.state == State::Running),
        })
    }

    /// Begins to hear the worker, where there is one and that was not done.
    async fn listen(&mut self) {
        if self.said.is_some() || self.run.state != State::Running {
            return;
        }
        let lines = self.service.engine.lines(&self.run.name, true).await;
        self.said = Some(lines.unwrap_or_else(|error| {
            tracing::debug!(run = %self.run.name, error = error.chain(), "how far it is is not known");
            stream::empty().boxed()
        }));
    }
}

/// How far a worker is when it says so the next time.
async fn said(lines: &mut Option<Lines>) -> Option<Progress> {
    let Some(lines) = lines else {
        return std::future::pending().await;
    };
    while let Some(line) = lines.next().await {
        if let Some(progress) = line.ok().and_then(|it| Progress::parse(&it)) {
            return Some(progress);
        }
    }
    // It says nothing any more.
    std::future::pending().await
}

fn may_see(caller: &Caller, run: &Run) -> bool {
    may_with(caller, Verb::View, run)
}

fn may_with(caller: &Caller, verb: Verb, run: &Run) -> bool {
    run.places().any(|it| caller.may(verb, it).is_ok())
}
