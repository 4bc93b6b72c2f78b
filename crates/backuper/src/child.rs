//! The only place that starts a program.
//!
//! A child gets a list of arguments, a cleared environment, a process group of its own and, where
//! `setpriv` is there, a death with us. Every line of its stderr goes to our log, and the last
//! ones into the error. A child that is dropped is killed.

pub mod pipe;
mod stderr;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use secrecy::{ExposeSecret, SecretString};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use stderr::Listener;
use stderr::{follow, reason};

/// How long a child may take to end after SIGTERM before it gets SIGKILL.
pub const GRACE: Duration = Duration::from_secs(10);

/// util-linux's, present in every Debian; it makes the kernel kill the child when we die, which
/// the standard library could only do with unsafe code.
const SETPRIV: &str = "/usr/bin/setpriv";

/// What a child finds in its environment. `Debug` shows names and hides values.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, SecretOrPlain)>);

#[derive(Clone)]
enum SecretOrPlain {
    Plain(OsString),
    Secret(SecretString),
}

impl Environment {
    /// Sets a variable; the last value counts.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0
            .push((name.to_owned(), SecretOrPlain::Plain(value.into())));
    }

    /// Sets a variable that is never shown.
    pub fn set_secret(&mut self, name: &str, value: &SecretString) {
        self.0
            .push((name.to_owned(), SecretOrPlain::Secret(value.clone())));
    }

    fn apply(&self, command: &mut Command) {
        for (name, value) in &self.0 {
            match value {
                SecretOrPlain::Plain(value) => command.env(name, value),
                SecretOrPlain::Secret(value) => command.env(name, value.expose_secret()),
            };
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        formatter.debug_set().entries(names).finish()
    }
}

/// Why a child did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("starting {program}: {source}")]
    Start {
        /// Its path.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with another status than 0.
    #[error("{program} {ending}{}", reason(.stderr))]
    Failed {
        /// Its name.
        program: String,
        /// `exited with status 1`, `was killed by signal 9`.
        ending: String,
        /// The last lines of its stderr, oldest first.
        stderr: Vec<String>,
    },
    /// We stopped it because we were asked to stop.
    #[error("{program} was stopped")]
    Stopped {
        /// Its name.
        program: String,
    },
}

/// What to start, and with what.
#[derive(Debug)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// Its arguments; never a secret among them.
    pub arguments: Vec<OsString>,
    /// Its whole environment but for `PATH` and the locale.
    pub environment: Environment,
    /// Whether we write to its stdin.
    pub stdin: bool,
    /// Where its stdout goes.
    pub stdout: Output,
}

/// Where a child's stdout goes.
#[derive(Debug)]
pub enum Output {
    /// We read it.
    Piped,
    /// Nowhere.
    Null,
    /// Into a file.
    File(std::fs::File),
}

/// A program that runs.
#[derive(Debug)]
pub struct Child {
    name: String,
    inner: tokio::process::Child,
    group: Option<Pid>,
    grace: Duration,
    stderr: JoinHandle<Vec<String>>,
}

impl Program {
    /// Starts the program.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn start(self) -> Result<Child, Error> {
        self.spawn(None)
    }

    /// Starts the program; `listener` gets each line of its stderr first.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn start_listening(self, listener: Listener) -> Result<Child, Error> {
        self.spawn(Some(listener))
    }

    fn spawn(self, listener: Option<Listener>) -> Result<Child, Error> {
        let Self {
            path,
            arguments,
            environment,
            stdin,
            stdout,
        } = self;
        let name = name_of(&path);
        let mut command = command(&path);
        command.args(arguments);
        environment.apply(&mut command);
        command
            .stdin(if stdin { Stdio::piped() } else { Stdio::null() })
            .stdout(match stdout {
                Output::Piped => Stdio::piped(),
                Output::Null => Stdio::null(),
                Output::File(file) => Stdio::from(file),
            })
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut inner = command.spawn().map_err(|source| Error::Start {
            program: path.display().to_string(),
            source,
        })?;
        let group = inner
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let stderr = inner.stderr.take();
        Ok(Child {
            stderr: tokio::spawn(follow(name.clone(), stderr, listener).in_current_span()),
            grace: GRACE,
            name,
            inner,
            group,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that starts a program"
)]
fn command(path: &Path) -> Command {
    let mut command = if Path::new(SETPRIV).exists() {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL", "--"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        // Messages that we read must be in the language that we read.
        .env("LC_ALL", "C.UTF-8")
        .env("LC_MESSAGES", "C");
    command
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

impl Child {
    /// The program's name, without its path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.inner.id()
    }

    /// The same child with another time between SIGTERM and SIGKILL than [`GRACE`].
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Its stdin, once.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin.take()
    }

    /// Its stdout, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// Waits for the end, or stops the child when `stop` is cancelled. Success is status 0.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Stopped`].
    pub async fn finish(mut self, stop: &CancellationToken) -> Result<(), Error> {
        self.ended(stop).await
    }

    /// As [`Child::finish`], of a child that is still needed.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Stopped`].
    pub async fn ended(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let status = self.wait(stop).await?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed {
            program: self.name.clone(),
            ending: ending(status),
            stderr: self.last_words().await,
        })
    }

    /// Waits for the end, or stops the child when `stop` is cancelled; gives any status.
    ///
    /// # Errors
    /// [`Error::Stopped`], and [`Error::Failed`] when the system cannot say how it ended.
    pub async fn wait(&mut self, stop: &CancellationToken) -> Result<ExitStatus, Error> {
        let waited = tokio::select! {
            biased;
            status = self.inner.wait() => Some(status),
            () = stop.cancelled() => None,
        };
        match waited {
            Some(Ok(status)) => Ok(status),
            Some(Err(error)) => Err(Error::Failed {
                program: self.name.clone(),
                ending: format!("ended, and the system cannot say how: {error}"),
                stderr: Vec::new(),
            }),
            None => {
                self.stop().await;
                Err(Error::Stopped {
                    program: self.name.clone(),
                })
            }
        }
    }

    /// Stops the child and all it started: SIGTERM, and SIGKILL after its grace.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(self.grace, self.inner.wait())
            .await
            .is_err()
        {
            tracing::warn!(program = %self.name, "still there after SIGTERM; killing it");
            self.signal(Signal::SIGKILL);
            if let Err(error) = self.inner.kill().await {
                tracing::warn!(program = %self.name, %error, "cannot be killed");
            }
        }
    }

    /// Sends a signal to the child's process group.
    pub fn signal(&self, signal: Signal) {
        // Without an id it has ended and been waited for: its number may be somebody else's.
        if self.inner.id().is_none() {
            return;
        }
        let Some(group) = self.group else { return };
        if let Err(error) = killpg(group, signal) {
            tracing::debug!(program = %self.name, %error, "the signal was not delivered");
        }
    }

    async fn last_words(&mut self) -> Vec<String> {
        // A grandchild may keep the pipe open; the words that count are there already.
        let reading = tokio::time::timeout(Duration::from_secs(1), &mut self.stderr).await;
        match reading {
            Ok(Ok(lines)) => lines,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }
}

/// Runs a program to its end and gives what it printed, for questions such as `--version`.
///
/// # Errors
/// As [`Child::finish`].
pub async fn ask(path: &Path, arguments: &[&str]) -> Result<String, Error> {
    use tokio::io::AsyncReadExt as _;
    let mut child = Program {
        path: path.to_owned(),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: Environment::default(),
        stdin: false,
        stdout: Output::Piped,
    }
    .start()?;
    let mut answer = Vec::new();
    if let Some(mut stdout) = child.take_stdout()
        && let Err(source) = stdout.read_to_end(&mut answer).await
    {
        return Err(Error::Start {
            program: path.display().to_string(),
            source,
        });
    }
    child.finish(&CancellationToken::new()).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
