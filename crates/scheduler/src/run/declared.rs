//! The schedules that the administrator's file declares: made, and made again where they have changed.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::declared;
use crate::service::Service;

/// How often the file is looked at.
const LOOKING: Duration = Duration::from_secs(10);
/// How often what it declares is made what it says, though it has not changed.
const ASSERTING: u32 = 30;

/// Makes what a file declares, as long as this scheduler leads.
pub(super) async fn follow(
    service: &Service,
    path: &Path,
    mut leads: watch::Receiver<bool>,
    stop: &CancellationToken,
) {
    let mut following = Following::default();
    loop {
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
    /// Whether all of it is done.
    is_done: bool,
    /// How often it was looked at since.
    looks: u32,
    /// What was wrong with it, which is told once.
    wrong: Option<String>,
}

impl Following {
    async fn look(&mut self, service: &Service, path: &Path) {
        let text = tokio::fs::read_to_string(path).await.ok();
        self.looks += 1;
        let has_changed = text != self.text;
        if !has_changed && self.is_done && self.looks < ASSERTING {
            return;
        }
        self.text = text;
        self.looks = 0;
        let wanted = match declared::wanted(path) {
            Ok(wanted) => wanted,
            Err(failure) => {
                if self.wrong.as_ref() != Some(&failure.sentence) {
                    tracing::error!(
                        error = failure.sentence,
                        "SCHEDULES_FILE: the schedules stay as they are"
                    );
                }
                self.wrong = Some(failure.sentence);
                self.is_done = false;
                return;
            }
        };
        self.wrong = None;
        let names: Vec<_> = wanted.iter().filter_map(|it| it.name.clone()).collect();
        self.is_done = true;
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
        match service.undeclare(&names).await {
            Ok(removed) => {
                for schedule in removed {
                    tracing::info!(%schedule, "it is not declared any more, and was removed; its backups stay");
                }
            }
            Err(error) => {
                tracing::error!(
                    error = error.chain(),
                    "what is not declared any more stays; trying again soon"
                );
                self.is_done = false;
            }
        }
    }
}
