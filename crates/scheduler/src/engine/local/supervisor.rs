//! Workers as child processes: one for each run, told apart from success by their exit code.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backuper::child::{Environment, Output, Program};
use backuper::runtime::failure::{EXPIRED, UNCOPIED};
use backuper::runtime::logging::LogFormat;
use tokio_util::sync::CancellationToken;

use super::store::{Taken, Work};
use super::{lines, secrets};
use crate::domain::run::{Component, Ending, Run};
use crate::workers::Workers;

/// How long a worker has from SIGTERM to SIGKILL: less than we have ourselves.
const GRACE: Duration = Duration::from_secs(7);

/// The worker could not be started.
const NOT_STARTED: &str = "NotStarted";
/// The worker was stopped, since it took longer than it may; Kubernetes' word for it.
const DEADLINE: &str = "DeadlineExceeded";
/// The worker ended, and not well.
const FAILED: &str = "Failed";
/// We were stopped, and so was it.
pub(super) const STOPPED: &str = Ending::STOPPED;

/// Where the workers' programs are, and where they leave their last sentence.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) backuper: PathBuf,
    pub(super) restorer: PathBuf,
    pub(super) words: PathBuf,
    pub(super) logs: PathBuf,
}

/// What ends a worker before it ends itself.
#[derive(Debug)]
pub(super) struct Until {
    /// We are stopped.
    pub(super) stop: CancellationToken,
    /// Somebody has cancelled the run.
    pub(super) cancelled: CancellationToken,
    /// How long it may take.
    pub(super) deadline: Duration,
}

impl Programs {
    /// Runs a worker to its end, or to ours; gives how it ended.
    pub(super) async fn run(&self, taken: &Taken, workers: &Workers, until: &Until) -> Ending {
        let run = &taken.run;
        let words = self.words.join(&run.name);
        // A worker writes into a file that is there, and makes none.
        if let Err(error) = std::fs::write(&words, "") {
            return failed(NOT_STARTED, None, error.to_string());
        }
        let ending = match environment(taken, workers) {
            Some(environment) => self.supervise(run, environment, &words, until).await,
            None => failed(
                NOT_STARTED,
                None,
                "what it is to do cannot be read, or its schedule is gone".to_owned(),
            ),
        };
        if let Err(error) = std::fs::remove_file(&words) {
            tracing::warn!(run = %run.name, %error, "its last words stay");
        }
        ending
    }

    async fn supervise(
        &self,
        run: &Run,
        mut environment: Environment,
        words: &Path,
        until: &Until,
    ) -> Ending {
        environment.set("TERMINATION_MESSAGE_PATH", words.as_os_str());
        // Whatever ours is: its lines become ours with their levels and fields.
        environment.set("LOG_FORMAT", LogFormat::Json.to_string());
        let program = Program {
            path: match run.component {
                Component::Backup => self.backuper.clone(),
                Component::Restore => self.restorer.clone(),
            },
            arguments: Vec::new(),
            environment,
            stdin: false,
            stdout: Output::Null,
        };
        let log = match self.log(run) {
            Ok(log) => log,
            Err(error) => return failed(NOT_STARTED, None, format!("its log file: {error}")),
        };
        let mut child = match program.start_listening(lines::of(run, log)) {
            Ok(child) => child.with_grace(GRACE),
            Err(error) => return failed(NOT_STARTED, None, error.to_string()),
        };
        let stop = until.stop.child_token();
        let ended_by_us = async {
            let ending = tokio::select! {
                () = until.cancelled.cancelled() => Ending::Cancelled,
                () = tokio::time::sleep(until.deadline) => failed(DEADLINE, None, "it took longer than it may (BACKUP_DEADLINE, RESTORE_DEADLINE), and was stopped".to_owned()),
            };
            stop.cancel();
            ending
        };
        let waiting = child.wait(&stop);
        tokio::pin!(waiting, ended_by_us);
        let (status, by_us) = tokio::select! {
            biased;
            status = &mut waiting => (status, None),
            ending = &mut ended_by_us => (waiting.await, Some(ending)),
        };
        let said = std::fs::read_to_string(words).unwrap_or_default();
        match (status, by_us) {
            (Ok(status), _) if is_complete(run.component, status.code()) => Ending::Succeeded {
                message: (!said.is_empty()).then_some(said),
            },
            (_, Some(ending)) => ending,
            (Ok(status), None) if status.code() == Some(i32::from(EXPIRED)) => Ending::Expired,
            (Ok(status), None) => {
                let said = match status.signal() {
                    Some(signal) if said.is_empty() => format!(
                        "the worker was ended by signal {signal}, and not by us; the system does that where memory is short"
                    ),
                    _ => said,
                };
                failed(FAILED, status.code(), said)
            }
            (Err(error), None) => failed(STOPPED, None, error.to_string()),
        }
    }
}

/// What a worker is told.
fn environment(taken: &Taken, workers: &Workers) -> Option<Environment> {
    match taken.work.as_ref()? {
        Work::Backup(schedule, kept) => {
            secrets::environment(workers.backup(schedule).to_env(), kept)
        }
        Work::Restore(restore, kept) => {
            secrets::environment(workers.restore(restore).to_env(), kept)
        }
    }
}

impl Programs {
    /// Whether both can be started.
    pub(super) fn check(&self) -> Result<(), String> {
        let programs = [
            ("BACKUPER_BINARY", &self.backuper),
            ("RESTORER_BINARY", &self.restorer),
        ];
        for (variable, program) in programs {
            let why = match std::fs::metadata(program) {
                Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => continue,
                Ok(_) => "it is no program".to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(format!("{variable}: {}: {why}", program.display()));
        }
        Ok(())
    }

    /// The run's log file, which holds every try; nobody else may read it.
    fn log(&self, run: &Run) -> std::io::Result<File> {
        let path = self.log_path(&run.name, run.schedule.as_deref());
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut options = File::options();
        options.create(true).append(true).mode(0o600).open(path)
    }

    pub(super) fn log_path(&self, run: &str, schedule: Option<&str>) -> PathBuf {
        let folder = self.logs.join(schedule.unwrap_or("restores"));
        folder.join(format!("{run}.log"))
    }

    /// Removes the log file of a run that is forgotten, and that of a version which had one folder
    /// for all of them.
    pub(super) fn forget(&self, run: &str, schedule: Option<&str>) {
        let flat = self.logs.join(format!("{run}.log"));
        for path in [self.log_path(run, schedule), flat] {
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an old log file stays");
                }
            }
        }
    }
}

/// A worker that was not started.
pub(super) fn not_started(why: String) -> Ending {
    failed(NOT_STARTED, None, why)
}

/// Whether what was asked for is there. A backup is where its copy is not, of which its last sentence and
/// the metrics tell.
fn is_complete(component: Component, exit_code: Option<i32>) -> bool {
    exit_code == Some(0)
        || (component == Component::Backup && exit_code == Some(i32::from(UNCOPIED)))
}

/// Exit code 1 and a signal may pass; a wrong request or a missing program stays what it is, and where some
/// of several databases are backed up (3) they are not backed up again. A restore is never repeated, since it may have changed something.
pub(super) fn may_try_again(component: Component, ending: &Ending) -> bool {
    let Ending::Failed {
        reason, exit_code, ..
    } = ending
    else {
        return false;
    };
    component == Component::Backup && reason == FAILED && matches!(exit_code, None | Some(1))
}

fn failed(reason: &str, exit_code: Option<i32>, message: String) -> Ending {
    Ending::failed(reason, exit_code, (!message.is_empty()).then_some(message))
}
