//! The local engine when many schedules are due in the same minute.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::stream::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::process::Process;
use super::testbed::{block_on, env, folder};
use super::{backup, count};

/// A worker that writes down when it began, and does nothing else: what is measured is the engine.
const WORKER: &str = "#!/bin/sh\ndate +%s%N >>$SEEN\n";
/// How many calls there are side by side.
const AT_ONCE: usize = 16;
/// How long the runs may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn measure() {
    let due = count("BENCH_DUE", "1000");
    println!("## {due} schedules of the local engine, due at once\n");
    println!(
        "| LOCAL_MAX_WORKERS | Backup a second, {AT_ONCE} at once | first start | half started | last start | engine's CPU | memory, at most | start with all of them |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for workers in ["2", "16"] {
        row(due, workers);
    }
    println!();
}

/// What a history costs: a start, a tick that finds nothing due, a scrape and memory, with as many schedules
/// and ended runs as a year of them leaves.
pub(crate) fn measure_history() {
    let (schedules, runs) = (
        count("BENCH_KEPT_SCHEDULES", "10000"),
        count("BENCH_KEPT_RUNS", "100000"),
    );
    println!("## {schedules} schedules and {runs} ended runs of the local engine\n");
    println!("| | start | a second without work | scrape | lines of it | memory, at most |");
    println!("|---|---|---|---|---|---|");
    let data = folder("data");
    history(&data, 1, 0);
    kept(&data, "1 schedule, no run");
    history(&data, schedules, runs);
    kept(&data, "all of them");
    println!();
}

fn kept(data: &Path, label: &str) {
    let process = start(data, Path::new("/bin/true"), "2");
    let restart = process.serving;
    std::thread::sleep(Duration::from_secs(3));
    let before = process.cpu();
    std::thread::sleep(Duration::from_secs(10));
    let tick = (process.cpu() - before) / 10.0;
    let (scrape, lines) = block_on(process.scrape());
    println!(
        "| {label} | {restart:.1?} | {:.1} ms of CPU | {scrape:.1?} | {lines} | {} MiB |",
        tick * 1000.0,
        process.memory().1
    );
    process.stop();
}

/// Writes a history as the engine would have, which would take it a while.
fn history(data: &Path, schedules: usize, runs: usize) {
    let process = start(data, Path::new("/bin/true"), "2");
    block_on(async {
        let client = process.client().await;
        let calls = futures::stream::iter(0..schedules).map(async |number| {
            let request = backup(format!("kept-{number}"), "0 0 1 1 *");
            client.clone().backup(request).await.map(drop)
        });
        let made = calls.buffer_unordered(AT_ONCE).try_collect::<()>();
        made.await.expect("schedules");
    });
    process.stop();
    let file = rusqlite::Connection::open(data.join("scheduler.sqlite")).unwrap();
    let each = runs / schedules;
    file.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO runs (name, component, schedule, place, vars, state, exit_code, message, created, started, ended, told)
         SELECT s.name || '-' || i, 'backup', s.name, 'db:5432/kept', '[]', 'succeeded', 0,
             'backup complete and verified: kept/x (3 tables, 50 bytes dumped, 7 bytes stored, 0.1 s)',
             unixepoch() - i * 3600, unixepoch() - i * 3600, unixepoch() - i * 3600 + 10, 1
         FROM schedules AS s, n WHERE ?1 > 0",
        [i64::try_from(each).unwrap()],
    )
    .unwrap();
}

fn row(due: usize, workers: &str) {
    let (data, programs) = (folder("data"), folder("programs"));
    let (worker, seen) = (programs.join("worker"), programs.join("seen"));
    let script = WORKER.replace("$SEEN", &seen.display().to_string());
    std::fs::write(&worker, script).unwrap();
    std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).unwrap();
    let process = start(&data, &worker, workers);
    // A minute that is far enough away for all calls.
    let minute = (Timestamp::now() + 2.minutes()).to_zoned(jiff::tz::TimeZone::UTC);
    let cron = format!("{} {} * * *", minute.minute(), minute.hour());
    let begun = Instant::now();
    block_on(async {
        let client = process.client().await;
        let calls = futures::stream::iter(0..due).map(async |number| {
            let request = backup(format!("due-{number}"), &cron);
            client.clone().backup(request).await.map(drop)
        });
        let made = calls.buffer_unordered(AT_ONCE).try_collect::<()>();
        made.await.expect("schedules");
    });
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let a_second = due as f64 / begun.elapsed().as_secs_f64();
    process.stop();
    let process = start(&data, &worker, workers);
    let restart = process.serving;
    let second = minute.timestamp().as_second() / 60 * 60;
    let due_at = Timestamp::from_second(second).unwrap();
    let before = wait_until(due_at, &process);
    let starts = starts(&seen, due);
    let cpu = process.cpu() - before;
    let after = |at: usize| {
        let start = Timestamp::from_nanosecond(starts[at]).unwrap();
        start.duration_since(due_at)
    };
    println!(
        "| {workers} | {a_second:.0} | {} | {} | {} | {cpu:.1} s | {} MiB | {restart:.1?} |",
        shown(after(0)),
        shown(after(due / 2)),
        shown(after(due - 1)),
        process.memory().1,
    );
    process.stop();
}

fn shown(duration: SignedDuration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn start(data: &Path, worker: &Path, workers: &str) -> Process {
    let worker = worker.to_str().unwrap();
    Process::start(env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().unwrap()),
        ("LOCAL_MAX_WORKERS", workers),
        ("BACKUPER_BINARY", worker),
        ("RESTORER_BINARY", worker),
    ]))
}

/// Waits until it is due; gives the CPU that the engine has had until then.
fn wait_until(due: Timestamp, process: &Process) -> f64 {
    let left = due.duration_since(Timestamp::now());
    assert!(left.is_positive(), "the calls took longer than two minutes");
    std::thread::sleep(left.unsigned_abs());
    process.cpu()
}

/// When each run began, in nanoseconds since 1970.
fn starts(seen: &Path, due: usize) -> Vec<i128> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(seen).unwrap_or_default();
        let mut starts: Vec<i128> = text.lines().map(|it| it.parse().unwrap()).collect();
        if starts.len() >= due {
            starts.sort_unstable();
            return starts;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{} of {due} began",
            starts.len()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
