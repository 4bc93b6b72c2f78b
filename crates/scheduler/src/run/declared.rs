//! The schedules that the administrator's file declares: made, and made again where they have changed.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::declared;
use crate::domain::name::Name;
use crate::engine::Error;
use crate::service::Service;
use crate::service::put::Wanted;

/// How often the file is looked at.
const LOOKING: Duration = Duration::from_secs(5);
/// After how many looks what it declares is made what it says, though it has not changed.
const ASSERTING: u32 = 60;
/// After how many looks what could not be made, or is not to be removed yet, is looked at again.
const AGAIN: u32 = 4;
/// How long a schedule is not declared any more before it is removed: longer than a kubelet takes to show a
/// pod what a ConfigMap has by now.
const MISSED: Duration = Duration::from_secs(120);

/// Makes what a file declares, as long as this scheduler leads.
pub(super) async fn follow(
    service: &Service,
    path: &Path,
    mut leads: watch::Receiver<bool>,
    stop: &CancellationToken,
) {
    let mut following = Following::default();
    loop {
        if !*leads.borrow() {
            // What another leader has done meanwhile is not known.
            following = Following::default();
        }
        let waited = tokio::select! {
            () = stop.cancelled() => return,
            leading = leads.wait_for(|it| *it) => leading.map(drop),
        };
        if waited.is_err() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = following.look(service, path) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOKING) => {}
        }
    }
}

/// What was found when the file was looked at last.
#[derive(Debug, Default)]
struct Following {
    /// What was in it; none: it could not be read.
    text: Option<String>,
    /// Whether that was not acted upon yet.
    is_new: bool,
    /// Whether that was done, all of it.
    is_done: bool,
    /// How often it was looked at since.
    looks: u32,
    /// What was wrong with it, which is told once.
    wrong: Option<String>,
    /// Since when these are not declared any more.
    missing: HashMap<Name, Instant>,
}

impl Following {
    async fn look(&mut self, service: &Service, path: &Path) {
        let text = tokio::fs::read_to_string(path).await;
        let text = text.map_err(|error| format!("{}: {error}", path.display()));
        self.looks += 1;
        // What is being written is looked at once more.
        let is_settled = self.text.as_deref() == text.as_deref().ok();
        self.text = text.as_ref().ok().cloned();
        self.is_new |= !is_settled;
        let wait = match (self.is_new, self.is_done) {
            (true, _) => 0,
            (false, true) if self.missing.is_empty() => ASSERTING,
            (false, _) => AGAIN,
        };
        if text.is_ok() && (!is_settled || self.looks < wait) {
            return;
        }
        self.is_new = false;
        self.looks = 0;
        let wanted = match text {
            Ok(text) => declared::wanted(path, &text).map_err(|it| it.sentence),
            Err(why) => Err(why),
        };
        match wanted {
            Ok(wanted) => self.make(service, wanted).await,
            Err(why) => {
                if self.wrong.as_ref() != Some(&why) {
                    tracing::error!(error = %why, "SCHEDULES_FILE: the schedules stay as they are");
                }
                self.wrong = Some(why);
                self.is_done = false;
            }
        }
    }

    async fn make(&mut self, service: &Service, wanted: Vec<Wanted>) {
        self.wrong = None;
        self.is_done = true;
        let names: Vec<Name> = wanted.iter().filter_map(|it| it.name.clone()).collect();
        service.declared().are(&names);
        for wanted in wanted {
            let name = wanted.name.clone();
            let schedule = name.as_ref().map(tracing::field::display);
            if let Err(error) = service.declare(wanted).await {
                tracing::error!(
                    schedule,
                    error = error.chain(),
                    "a declared schedule is not made; trying again soon"
                );
                self.is_done = false;
            }
        }
        if let Err(error) = self.remove(service, &names).await {
            tracing::error!(
                error = error.chain(),
                "what is not declared any more stays; trying again soon"
            );
            self.is_done = false;
        }
    }

    /// Removes what is not declared any more, once all else is as it is declared, and once that is so for a
    /// while: where the leader changes, its own copy of the file may be the older one.
    async fn remove(&mut self, service: &Service, stays: &[Name]) -> Result<(), Error> {
        let gone = service.declared_beside(stays).await?;
        self.missing.retain(|name, _| gone.contains(name));
        if !self.is_done {
            return Ok(());
        }
        for schedule in gone {
            let since = self.missing.entry(schedule.clone());
            if since.or_insert_with(Instant::now).elapsed() < MISSED {
                continue;
            }
            if service.undeclare(&schedule).await? {
                tracing::info!(%schedule, "it is not declared any more, and was removed; its backups stay");
            }
            self.missing.remove(&schedule);
        }
        Ok(())
    }
}
