//! Servers and clean-up that are tied to the life of this process.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::programs::command;

/// Starts a server that lives as long as this process: the kernel sends it SIGQUIT when we end,
/// however that happens, which PostgreSQL takes to stop at once with all its children. It is started by a thread that never ends, since for the kernel the
/// parent is the thread and not the process.
pub fn start(user: Option<&str>, program: &Path, arguments: &[&str], log: std::fs::File) -> Server {
    static STARTER: OnceLock<Sender<Box<dyn FnOnce() + Send>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, work) = channel::<Box<dyn FnOnce() + Send>>();
        std::thread::spawn(move || work.into_iter().for_each(|it| it()));
        sender
    });
    // A shell that starts us in the background lets its children ignore SIGQUIT.
    let mut command = command("env");
    command.args(["--default-signal=QUIT", "setpriv", "--pdeathsig", "QUIT"]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command
        .arg("--")
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0);
    let (answer, answered) = channel();
    let start = Box::new(move || {
        let child = command.spawn().expect("the server starts");
        answer.send(child).expect("somebody waits for the server");
    });
    starter.send(start).expect("the starter lives");
    Server(answered.recv().expect("the server starts"))
}

/// A server of [`start`]. Dropped, it is killed.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// The process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.0.try_wait().expect("a status").is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL would leave a server's own children behind.
        let id = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        if matches!(self.0.try_wait(), Ok(None))
            && let Err(error) = kill(id, Signal::SIGQUIT)
        {
            eprintln!("stopping {id}: {error}");
        }
        if let Err(error) = self.0.wait() {
            eprintln!("waiting for {id}: {error}");
        }
    }
}

/// Removes a folder when this process ends: xargs waits for the end of its stdin, which is ours
/// to close, and the kernel does that even after SIGKILL.
pub fn remove_when_we_end(folder: &Path) {
    static REMOVER: OnceLock<Child> = OnceLock::new();
    REMOVER.get_or_init(|| {
        let mut command = command("xargs");
        command
            .args(["-d", "\n", "rm", "-rf", "--"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().expect("xargs starts");
        let stdin = child.stdin.as_mut().expect("a pipe");
        // Thrice: servers that end with us may still write while the first look is taken.
        for _ in 0..3 {
            writeln!(stdin, "{}", folder.display()).expect("xargs reads");
        }
        child
    });
}
