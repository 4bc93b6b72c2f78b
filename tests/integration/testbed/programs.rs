//! Our own programs, as they are built, and the stock tools that tests use.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Env;

/// How long any program of a test may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many lines of a program are shown where a test fails that it belongs to.
const LINES: usize = 40;

/// The backuper.
pub fn backuper(env: &Env) -> Prepared {
    ours("backuper", env)
}

/// The restorer.
pub fn restorer(env: &Env) -> Prepared {
    ours("restorer", env)
}

/// The scheduler.
pub fn scheduler(env: &Env) -> Prepared {
    ours("scheduler", env)
}

/// The scheduler on a machine that has this file as its `/etc/hosts`. Only root may mount it.
pub fn scheduler_with_hosts(hosts: &Path, env: &Env) -> Prepared {
    let mounted = "mount --bind \"$0\" /etc/hosts && exec setpriv --pdeathsig KILL -- \"$1\"";
    Prepared::new("unshare")
        .args(["--mount", "sh", "-c", mounted])
        .arg(hosts)
        .arg(folder().join("scheduler"))
        .envs(env)
}

/// Where the built programs are.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build)
}

/// Builds the programs, so that no test ever runs yesterday's.
fn build() -> PathBuf {
    let exe = std::env::current_exe().expect("our own path");
    // target/debug/deps/integration-… and target/debug/examples/demo
    let folder = exe.ancestors().nth(2).expect("target/debug").to_owned();
    let mut cargo = command(env!("CARGO"));
    cargo.args(["build", "--bins", "--quiet"]);
    cargo.args(["-p", "backuper", "-p", "restorer", "-p", "scheduler"]);
    // With any test beside them, cargo gives the crates that both use the features that tests ask
    // for. Without, it would build fifty crates once more, for four features without an effect.
    cargo.args(["--test", "architecture"]);
    cargo.current_dir(repository());
    cargo
        .arg("--target-dir")
        .arg(folder.parent().expect("target"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "cargo build: {status}");
    folder
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Ours die with the thread that started them, so that nothing runs on when a test is killed.
fn ours(name: &str, env: &Env) -> Prepared {
    Prepared::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(folder().join(name))
        .envs(env)
}

/// A program that is ready to be started: a cleared environment but for `PATH`, no stdin.
#[derive(Debug)]
pub struct Prepared(Command);

impl Prepared {
    /// A stock tool by its name or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = command(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        Self(command)
    }

    /// One variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Several variables.
    pub fn envs(mut self, env: &Env) -> Self {
        self.0.envs(env.iter().map(|(name, value)| (name, value)));
        self
    }

    /// Takes a variable away.
    pub fn without(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    /// One argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    /// Several arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.args(arguments);
        self
    }

    /// The folder to run in.
    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// What the program finds on its stdin.
    pub fn stdin(mut self, file: std::fs::File) -> Self {
        self.0.stdin(file);
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        self.start().wait()
    }

    /// Runs it to its end, which must be good.
    pub fn succeed(self) -> Ended {
        let shown = format!("{:?}", self.0.get_program());
        let ended = self.run();
        assert!(ended.status.success(), "{shown}: {ended}");
        ended
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let mut child = self.0.spawn().expect("the program starts");
        let stdout = gather(child.stdout.take());
        let stderr = gather(child.stderr.take());
        Running {
            child,
            stdout,
            stderr,
            since: Instant::now(),
        }
    }
}

/// The one place of the tests that starts a program.
#[expect(
    clippy::disallowed_methods,
    reason = "backuper::child belongs to the programs; tests look at them from outside"
)]
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

type Gathered = std::sync::Arc<std::sync::Mutex<Vec<u8>>>;

struct Gathering {
    text: Gathered,
    thread: JoinHandle<()>,
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> Gathering {
    let text = Gathered::default();
    let sink = text.clone();
    let mut pipe = pipe.expect("a pipe");
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let mut sink = sink.lock().expect("no reader panics");
            sink.extend_from_slice(&buffer[..count]);
        }
    });
    Gathering { text, thread }
}

impl Gathering {
    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("no reader panics")).into_owned()
    }

    /// A grandchild may hold the pipe, so the end of the program is not the end of the pipe.
    fn all(self) -> String {
        let limit = Instant::now() + Duration::from_secs(5);
        while !self.thread.is_finished() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.so_far()
    }
}

/// A program that runs. Dropped, it is killed with all it started.
pub struct Running {
    child: Child,
    stdout: Gathering,
    stderr: Gathering,
    since: Instant,
}

impl Running {
    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is there");
    }

    /// What it has printed until now, stderr after stdout.
    pub fn printed(&self) -> String {
        format!("{}{}", self.stdout.so_far(), self.stderr.so_far())
    }

    /// Waits until it has printed this.
    pub fn wait_until_it_prints(&mut self, text: &str) {
        let start = Instant::now();
        while !self.printed().contains(text) {
            let ended = self.child.try_wait().expect("a status").is_some();
            assert!(
                !ended && start.elapsed() < Duration::from_secs(60),
                "{text:?} was not printed:\n{}",
                self.printed()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_some()
    }

    /// Waits for the end.
    pub fn wait(self) -> Ended {
        self.wait_within(PATIENCE)
    }

    /// Waits for the end, which must come in this time.
    pub fn wait_within(mut self, limit: Duration) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            if start.elapsed() > limit {
                let printed = self.printed();
                self.kill_group();
                panic!("still there after {limit:?}:\n{printed}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = self.since.elapsed();
        let nothing = || Gathering {
            text: Gathered::default(),
            thread: std::thread::spawn(|| {}),
        };
        Ended {
            status,
            stdout: std::mem::replace(&mut self.stdout, nothing()).all(),
            stderr: std::mem::replace(&mut self.stderr, nothing()).all(),
            took,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    fn kill_group(&mut self) {
        // Its children may outlive it, so the group is asked even when it has ended.
        if let Err(error) = nix::sys::signal::killpg(self.pid(), Signal::SIGKILL)
            && error != nix::errno::Errno::ESRCH
        {
            eprintln!("killing {}: {error}", self.child.id());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that waits in vain for it does not say why.
        if std::thread::panicking() {
            let printed = self.printed();
            let lines: Vec<&str> = printed.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES)..];
            eprintln!("{} printed last:\n{}", self.child.id(), last.join("\n"));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill_group();
            if let Err(error) = self.child.wait() {
                eprintln!("waiting for {}: {error}", self.child.id());
            }
        }
    }
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Ended {
    /// The exit code; a program that died of a signal has none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal it died of.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The last line that it printed.
    pub fn last_line(&self) -> &str {
        self.stderr
            .lines()
            .chain(self.stdout.lines())
            .rfind(|it| !it.trim().is_empty())
            .unwrap_or("")
    }

    /// All that it printed.
    pub fn printed(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "{self}");
        self
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}\n{}", self.status, self.printed())
    }
}
