//! What there is and what changes, told to any number of listeners.

use std::collections::VecDeque;
use std::time::Duration;

use backuper::text;
use futures::stream::{BoxStream, StreamExt as _, unfold};
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

use super::store::Store;
use crate::domain::run::Run;
use crate::engine::change::Things;
use crate::engine::{Change, Error, Scheduled};

/// How far a listener may be behind before it is told everything anew.
const BEHIND: usize = 4_096;
/// Before the store is read again after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Where changes are told.
#[derive(Clone, Debug)]
pub(super) struct Changes(Sender<Change>);

impl Default for Changes {
    fn default() -> Self {
        Self(channel(BEHIND).0)
    }
}

impl Changes {
    pub(super) fn schedule(&self, scheduled: Scheduled) {
        self.tell(Change::Schedule(Box::new(scheduled)));
    }

    pub(super) fn run(&self, run: Run) {
        self.tell(Change::Run(Box::new(run)));
    }

    pub(super) fn tell(&self, change: Change) {
        // Where nobody listens, nobody misses it.
        drop(self.0.send(change));
    }

    /// All there is, and what changes from then on.
    pub(super) fn all(&self, store: Store) -> BoxStream<'static, Change> {
        let listener = Listener {
            sender: self.0.clone(),
            store,
            receiver: None,
            waiting: VecDeque::new(),
        };
        unfold(listener, |mut listener| async move {
            let change = listener.next().await?;
            Some((change, listener))
        })
        .boxed()
    }
}

struct Listener {
    sender: Sender<Change>,
    store: Store,
    receiver: Option<Receiver<Change>>,
    waiting: VecDeque<Change>,
}

impl Listener {
    async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Some(change);
            }
            let Some(receiver) = &mut self.receiver else {
                // What changes while the store is read is told after it.
                self.receiver = Some(self.sender.subscribe());
                self.waiting = self.list().await;
                continue;
            };
            match receiver.recv().await {
                Ok(change) => return Some(change),
                Err(RecvError::Lagged(_)) => self.receiver = None,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn list(&self) -> VecDeque<Change> {
        loop {
            match self.try_list().await {
                Ok(all) => return all,
                Err(error) => {
                    tracing::warn!(error = text::chain(&error), "the schedules are read again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn try_list(&self) -> Result<VecDeque<Change>, Error> {
        let schedules = self.store.schedules().await?;
        let runs = self.store.runs().await?;
        let mut all = VecDeque::with_capacity(schedules.len() + runs.len() + 4);
        all.push_back(Change::Listing(Things::Schedules));
        all.extend(schedules.into_iter().map(Box::new).map(Change::Schedule));
        all.push_back(Change::Listed(Things::Schedules));
        all.push_back(Change::Listing(Things::Runs));
        all.extend(runs.into_iter().map(Box::new).map(Change::Run));
        all.push_back(Change::Listed(Things::Runs));
        Ok(all)
    }
}
