//! What a child process and all that it starts need.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// How often memory and scratch space are looked at.
const LOOK: Duration = Duration::from_millis(25);

/// What one run needed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of CPU of the client and all its children.
    pub(crate) client_cpu: f64,
    /// Seconds of CPU of PostgreSQL's server processes.
    pub(crate) server_cpu: f64,
    /// Bytes: the largest resident set of the client's processes together.
    pub(crate) memory: u64,
    /// Bytes: that of the first process alone.
    pub(crate) own_memory: u64,
    /// Bytes on disk in the client's own folder, at most.
    pub(crate) scratch: u64,
    /// Bytes in the bucket.
    pub(crate) stored: u64,
}

/// Runs a command to its end, which must be good, and measures it.
pub(crate) fn measured(mut command: Command, scratch: &Path, log: &Path) -> Figures {
    let output = fs::File::create(log).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let peaks = Arc::new(Peaks::default());
    let watch = {
        let (peaks, scratch, pid) = (peaks.clone(), scratch.to_owned(), child.id());
        std::thread::spawn(move || {
            while !peaks.over.load(Ordering::Relaxed) {
                peaks.look(pid, &scratch);
                std::thread::sleep(LOOK);
            }
        })
    };
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    // It is not reaped yet: a zombie's figures can still be read, its children's among them.
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    let wall = begun.elapsed().as_secs_f64();
    let client_cpu = cpu_of(child.id(), true);
    peaks.over.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    let status = child.wait().unwrap();
    assert!(
        status.success(),
        "{command:?}: {status}\n{}",
        fs::read_to_string(log).unwrap_or_default()
    );
    Figures {
        wall,
        client_cpu,
        memory: peaks.memory.load(Ordering::Relaxed),
        own_memory: peaks.own_memory.load(Ordering::Relaxed),
        scratch: peaks.scratch.load(Ordering::Relaxed),
        ..Figures::default()
    }
}

#[derive(Default)]
struct Peaks {
    over: AtomicBool,
    memory: AtomicU64,
    own_memory: AtomicU64,
    scratch: AtomicU64,
}

impl Peaks {
    fn look(&self, pid: u32, scratch: &Path) {
        let tree = tree(pid);
        let memory = tree.iter().map(|it| resident(*it)).sum();
        self.memory.fetch_max(memory, Ordering::Relaxed);
        self.own_memory
            .fetch_max(high_water(pid), Ordering::Relaxed);
        self.scratch
            .fetch_max(bytes_below(scratch), Ordering::Relaxed);
    }
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = tasks
        .flatten()
        .filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
    lists
        .flat_map(|it| {
            it.split_whitespace()
                .filter_map(|it| it.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// A process and all below it.
fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while next < all.len() {
        all.extend(children(all[next]));
        next += 1;
    }
    all
}

fn resident(pid: u32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|it| it.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

fn high_water(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|it| {
        it.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    kilobytes.unwrap_or(0) * 1024
}

/// Seconds; with those of the children that it has reaped, if asked for. proc(5): fields 14 to 17 of
/// `/proc/PID/stat`, in ticks of a hundredth.
fn cpu_of(pid: u32, children: bool) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may have anything in it.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return 0.0;
    };
    let fields: Vec<f64> = rest
        .split_whitespace()
        .map(|it| it.parse().unwrap_or(0.0))
        .collect();
    let last = if children { 14 } else { 12 };
    fields[11..=last].iter().sum::<f64>() / 100.0
}

/// A server with all it has started: those that are there, and those that have ended.
pub(crate) fn cpu_with_children(pid: u32) -> f64 {
    let living = tree(pid).into_iter().skip(1).map(|it| cpu_of(it, true));
    cpu_of(pid, true) + living.sum::<f64>()
}

/// The bytes of all files below a folder, or of the file.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries.flatten().map(|it| bytes_below(&it.path())).sum()
}
