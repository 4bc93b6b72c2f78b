//! The local engine: its promises, its clock, its workers, and what a crash leaves.

mod access;
mod lines;
mod process;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scheduler::engine::conformance::{self, keeps_its_promises};
use scheduler::engine::local::{Clock, Local, Settings};
use scheduler::engine::{Component, Ending, Engine, Finished, Kind, Schedule};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::testbed::disk::Disk;
use crate::testbed::{block_on, folder, wait_for};

const NAME: &str = "backup-0a1b2c3d-postgres";

/// A worker made of a few lines of shell.
fn worker(lines: &str) -> PathBuf {
    let path = folder("worker").join("worker");
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn settings(data: &Path, worker: &Path) -> Settings {
    Settings {
        data_dir: data.to_owned(),
        file_root: None,
        max_workers: 2,
        backuper: worker.to_owned(),
        restorer: worker.to_owned(),
        backoff: [Duration::ZERO; 2],
        clock: Clock::System,
    }
}

fn open(data: &Path, worker: &Path) -> Local {
    Local::open(settings(data, worker)).expect("opened")
}

/// Time that a test sets.
struct Time(Arc<AtomicI64>);

impl Time {
    fn standing() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000)))
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn open(&self, data: &Path, worker: &Path) -> Local {
        Local::open(Settings {
            clock: Clock::Set(self.0.clone()),
            ..settings(data, worker)
        })
        .expect("opened")
    }
}

/// Long enough for the engine to look at the clock more than once.
fn a_few_ticks() {
    std::thread::sleep(Duration::from_millis(2500));
}

fn every(seconds: u32) -> Schedule {
    Schedule {
        cron: format!("@every {seconds}s"),
        ..conformance::schedule(NAME)
    }
}

fn every_second() -> Schedule {
    every(1)
}

/// An engine at work.
struct AtWork {
    seen: Arc<Mutex<Vec<Finished>>>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl AtWork {
    fn start(engine: Arc<Local>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let (told, stopped) = (seen.clone(), stop.clone());
        let running = crate::testbed::runtime().spawn(async move {
            let tell = |it| told.lock().unwrap().push(it);
            engine.run(stopped, &tell).await;
        });
        Self {
            seen,
            stop,
            running,
        }
    }

    fn seen(&self) -> Vec<Finished> {
        self.seen.lock().unwrap().clone()
    }

    fn wait(&self, enough: impl Fn(&[Finished]) -> bool) {
        wait_for("the runs", || enough(&self.seen()).then_some(()));
    }

    fn stop(self) -> Vec<Finished> {
        self.stop.cancel();
        block_on(self.running).unwrap();
        self.seen.lock().unwrap().clone()
    }
}

/// Runs an engine until `enough` says so; gives what it told.
fn watch(engine: Arc<Local>, enough: impl Fn(&[Finished]) -> bool) -> Vec<Finished> {
    let at_work = AtWork::start(engine);
    at_work.wait(enough);
    at_work.stop()
}

#[test]
fn the_local_engine_keeps_every_engines_promises() {
    block_on(async {
        let engine = open(&folder("data"), Path::new("/bin/true"));
        keeps_its_promises(Arc::new(engine)).await;
    });
}

#[test]
fn a_schedule_that_is_due_is_run_and_its_end_is_told() {
    let engine = Arc::new(open(&folder("data"), Path::new("/bin/true")));
    block_on(engine.ensure(&every_second())).expect("kept");
    let seen = watch(engine, |it| it.len() >= 2);
    assert_eq!(seen[0].ending, Ending::Succeeded);
    assert_eq!(seen[0].component, Component::Backup);
    assert_eq!(seen[0].schedule.as_deref(), Some(NAME));
    assert_ne!(seen[0].run, seen[1].run);
}

#[test]
fn a_worker_that_fails_is_told_with_its_code_and_its_last_sentence() {
    let script = worker("printf 'no bucket: make it' > \"$TERMINATION_MESSAGE_PATH\"; exit 2");
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.restore(&conformance::restore("00000001", "0", 1))).expect("kept");
    let seen = watch(engine, |it| !it.is_empty());
    let expected = Ending::Failed {
        reason: "Failed".to_owned(),
        exit_code: Some(2),
        message: Some("no bucket: make it".to_owned()),
    };
    assert_eq!(seen[0].ending, expected);
    assert_eq!(seen[0].component, Component::Restore);
}

#[test]
fn a_worker_finds_its_settings_in_its_environment_and_nothing_else() {
    let out = folder("out").join("env");
    let script = worker(&format!("env > {}", out.display()));
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.restore(&conformance::restore("00000001", "0", 1))).expect("kept");
    watch(engine, |it| !it.is_empty());
    let found = std::fs::read_to_string(out).unwrap();
    for line in [
        "DB_HOST=db.example",
        "BACKUP_REVISION=0",
        "DB_PASSWORD=conformance",
    ] {
        assert!(found.lines().any(|it| it == line), "{line}:\n{found}");
    }
    assert!(!found.contains("CARGO"), "{found}");
}

#[test]
fn two_runs_of_one_schedule_never_overlap() {
    let out = folder("out").join("times");
    let times = out.display();
    let script = worker(&format!("echo b >> {times}; sleep 2.2; echo e >> {times}"));
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.ensure(&every_second())).expect("kept");
    watch(engine, |it| it.len() >= 2);
    let found = std::fs::read_to_string(out).unwrap();
    let found: Vec<&str> = found.lines().collect();
    assert!(found.len() >= 4, "{found:?}");
    assert!(found.chunks(2).all(|it| it[0] == "b"), "{found:?}");
    assert!(
        found.chunks_exact(2).all(|it| it == ["b", "e"]),
        "{found:?}"
    );
}

#[test]
fn a_missed_run_is_caught_up_once_after_a_stop() {
    let (data, time) = (folder("data"), Time::standing());
    let engine = time.open(&data, Path::new("/bin/true"));
    block_on(engine.ensure(&every(100))).expect("kept");
    drop(engine);
    time.pass(350);
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
    block_on(engine.refresh()).expect("refreshed");
    let at_work = AtWork::start(engine);
    at_work.wait(|it| it.len() == 1);
    time.pass(99);
    a_few_ticks();
    assert_eq!(at_work.seen().len(), 1, "three were missed, one is made up");
    time.pass(1);
    at_work.wait(|it| it.len() == 2);
    at_work.stop();
}

#[test]
fn a_stop_tells_the_workers_and_calls_no_run_a_success() {
    let out = folder("out").join("began");
    let script = worker(&format!("touch {}; exec sleep 600", out.display()));
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.restore(&conformance::restore("00000001", "0", 1))).expect("kept");
    let seen = watch(engine, |_| out.exists());
    assert_eq!(seen.len(), 1);
    assert!(
        matches!(&seen[0].ending, Ending::Failed { reason, .. } if reason == "Stopped"),
        "{seen:?}"
    );
}

#[test]
fn one_folder_serves_one_scheduler() {
    let data = folder("data");
    let _first = open(&data, Path::new("/bin/true"));
    let second = Local::open(Settings {
        max_workers: 1,
        ..settings(&data, Path::new("/bin/true"))
    });
    let error = second.expect_err("in use");
    assert_eq!(error.kind(), Kind::Unavailable);
    let process = format!("process {}", std::process::id());
    assert!(error.chain().contains(&process), "{}", error.chain());
    assert_eq!(
        kept(&data, "SELECT count(*) FROM schedules"),
        0,
        "it can be read"
    );
}

/// How often a worker that ends like this was started, for one run.
fn tries(ending: &str, restore: bool) -> usize {
    let (out, time) = (folder("out").join("tries"), Time::standing());
    let script = worker(&format!("echo t >> {}; {ending}", out.display()));
    let engine = Arc::new(time.open(&folder("data"), &script));
    if restore {
        block_on(engine.restore(&conformance::restore("00000001", "0", 1))).expect("kept");
    } else {
        block_on(engine.ensure(&every(100))).expect("kept");
        time.pass(100);
    }
    watch(engine, |it| !it.is_empty());
    std::fs::read_to_string(out).unwrap().lines().count()
}

#[test]
fn a_backup_is_tried_three_times_unless_its_request_is_wrong() {
    assert_eq!(tries("exit 1", false), 3);
    assert_eq!(tries("kill -9 $$", false), 3);
    assert_eq!(tries("exit 2", false), 1);
}

#[test]
fn a_restore_is_never_repeated() {
    assert_eq!(tries("exit 1", true), 1);
    assert_eq!(tries("kill -9 $$", true), 1);
}

#[test]
fn a_run_that_waits_for_its_next_try_keeps_nobody_waiting_and_survives_a_stop() {
    let (data, time) = (folder("data"), Time::standing());
    let out = folder("out").join("tries");
    let script = worker(&format!("echo t >> {}; exit 1", out.display()));
    let slow = |worker: &Path| {
        Local::open(Settings {
            max_workers: 1,
            backoff: [Duration::from_secs(600); 2],
            clock: Clock::Set(time.0.clone()),
            restorer: "/bin/true".into(),
            ..settings(&data, worker)
        })
        .expect("opened")
    };
    let engine = Arc::new(slow(&script));
    block_on(engine.ensure(&every(100))).expect("kept");
    time.pass(100);
    let at_work = AtWork::start(engine.clone());
    wait_for("the first try", || out.exists().then_some(()));
    block_on(engine.restore(&conformance::restore("00000001", "0", 1))).expect("kept");
    at_work.wait(|it| it.len() == 1);
    let seen = at_work.stop();
    assert_eq!(seen[0].component, Component::Restore);
    drop(engine);
    time.pass(600);
    let engine = Arc::new(slow(Path::new("/bin/true")));
    block_on(engine.refresh()).expect("refreshed");
    let seen = watch(engine, |it| !it.is_empty());
    assert_eq!(seen[0].component, Component::Backup);
    assert_eq!(seen[0].ending, Ending::Succeeded);
    let tries = std::fs::read_to_string(out).unwrap();
    assert_eq!(tries, "t\n", "the second try was the other worker's");
}

#[test]
fn a_backup_that_a_stop_interrupted_is_run_again_at_once() {
    let (data, time) = (folder("data"), Time::standing());
    let out = folder("out").join("began");
    let script = worker(&format!("touch {}; exec sleep 600", out.display()));
    let engine = Arc::new(time.open(&data, &script));
    block_on(engine.ensure(&every(100))).expect("kept");
    time.pass(100);
    let seen = watch(engine, |_| out.exists());
    assert_ne!(seen[0].ending, Ending::Succeeded);
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
    block_on(engine.refresh()).expect("refreshed");
    watch(engine, |it| !it.is_empty());
}

#[test]
fn no_more_workers_run_at_once_than_are_allowed() {
    let out = folder("out");
    let (began, most, release) = (out.join("began"), out.join("most"), out.join("release"));
    let script = worker(&format!(
        "mkdir -p {began}; touch {began}/$$; ls {began} | wc -l >> {most}
         while [ ! -e {release} ]; do sleep 0.05; done; rm {began}/$$",
        began = began.display(),
        most = most.display(),
        release = release.display(),
    ));
    let engine = Arc::new(open(&folder("data"), &script));
    for n in 1..=5 {
        let restore = conformance::restore(&format!("0000000{n}"), "0", 1);
        block_on(engine.restore(&restore)).expect("kept");
    }
    let at_work = AtWork::start(engine);
    let under_way = || std::fs::read_dir(&began).map_or(0, Iterator::count);
    wait_for("two workers", || (under_way() == 2).then_some(()));
    a_few_ticks();
    assert_eq!(under_way(), 2);
    std::fs::write(release, "").unwrap();
    at_work.wait(|it| it.len() == 5);
    at_work.stop();
    let counts = std::fs::read_to_string(most).unwrap();
    assert!(counts.lines().all(|it| it.trim() <= "2"), "{counts}");
}

#[test]
fn a_full_disk_delays_the_end_of_a_run_and_loses_nothing() {
    let (disk, out) = (Disk::of(2), folder("out"));
    let (began, release) = (out.join("began"), out.join("release"));
    let script = worker(&format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.05; done",
        began.display(),
        release.display()
    ));
    let engine = Arc::new(open(&disk.path().join("data"), &script));
    let restore = conformance::restore("00000001", "0", 1);
    block_on(engine.restore(&restore)).expect("kept");
    block_on(engine.ready()).expect("ready");
    let at_work = AtWork::start(engine.clone());
    wait_for("the worker", || began.exists().then_some(()));
    disk.fill_up_to(0);
    wait_for("the engine notices", || block_on(engine.ready()).err());
    std::fs::write(release, "").unwrap();
    a_few_ticks();
    assert_eq!(at_work.seen(), [], "told before it is kept");
    disk.give_room();
    at_work.wait(|it| it.len() == 1);
    assert_eq!(at_work.stop()[0].ending, Ending::Succeeded);
    let again = block_on(engine.restore(&restore)).expect("kept");
    assert!(!again.adopted, "the first one has ended");
}

/// The file, as an administrator looks at it.
fn file(data: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(data.join("scheduler.sqlite")).unwrap()
}

fn kept(data: &Path, query: &str) -> i64 {
    file(data).query_row(query, [], |row| row.get(0)).unwrap()
}

/// S30.
#[test]
fn a_clock_that_once_ran_ahead_stops_no_schedule_and_takes_no_history() {
    const YEARS: i64 = 10 * 365 * 24 * 3600;
    let (data, time) = (folder("data"), Time::standing());
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
    block_on(engine.ensure(&every(60))).unwrap();
    let at_work = AtWork::start(engine);
    time.pass(60);
    at_work.wait(|it| it.len() == 1);
    time.pass(YEARS);
    at_work.wait(|it| it.len() == 2);
    at_work.stop();
    time.pass(-YEARS);
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
    let at_work = AtWork::start(engine);
    a_few_ticks();
    time.pass(60);
    at_work.wait(|it| it.len() == 1);
    at_work.stop();
    assert_eq!(kept(&data, "SELECT count(*) FROM runs"), 3);
}

/// S33: and no more of it than anybody reads.
#[test]
fn old_runs_are_forgotten_but_for_the_newest_with_their_logs() {
    let (data, time) = (folder("data"), Time::standing());
    let logs = data.join("logs").join(NAME);
    drop(time.open(&data, Path::new("/bin/true")));
    std::fs::create_dir_all(&logs).unwrap();
    let rows = file(&data);
    for number in 0..1_500 {
        let run = format!("{NAME}-{number}");
        rows.execute(
            "INSERT INTO runs (name, component, schedule, vars, state, created, ended)
             VALUES (?1, 'backup', ?2, '[]', 'succeeded', ?3, ?3)",
            rusqlite::params![run, NAME, number],
        )
        .unwrap();
    }
    for number in [0, 1_479, 1_480, 1_499] {
        std::fs::write(logs.join(format!("{NAME}-{number}.log")), "").unwrap();
    }
    drop(rows);
    let at_work = AtWork::start(Arc::new(time.open(&data, Path::new("/bin/true"))));
    wait_for("they are forgotten", || {
        (kept(&data, "SELECT count(*) FROM runs") == 20).then_some(())
    });
    at_work.stop();
    assert_eq!(kept(&data, "SELECT min(created) FROM runs"), 1_480);
    let left = std::fs::read_dir(&logs).unwrap().count();
    assert_eq!(left, 2);
}

/// S34.
#[test]
fn a_row_that_cannot_be_read_stops_no_other() {
    let (data, time) = (folder("data"), Time::standing());
    let engine = time.open(&data, Path::new("/bin/true"));
    block_on(engine.ensure(&every(60))).unwrap();
    drop(engine);
    file(&data)
        .execute(
            "INSERT INTO schedules (name, cron, vars, due) VALUES ('a', 'of a later version', '?', 0)",
            [],
        )
        .unwrap();
    let at_work = AtWork::start(Arc::new(time.open(&data, Path::new("/bin/true"))));
    time.pass(60);
    at_work.wait(|it| it.len() == 1);
    assert_eq!(at_work.stop()[0].ending, Ending::Succeeded);
}

/// S34: what the first version wrote, and what it had begun to change when it was killed.
#[test]
fn a_file_of_the_first_version_is_taken_over() {
    const FIRST: &str = "
        CREATE TABLE schedules (name TEXT PRIMARY KEY, cron TEXT NOT NULL, vars TEXT NOT NULL, due INTEGER);
        CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, component TEXT NOT NULL,
            schedule TEXT, database TEXT, request TEXT, vars TEXT NOT NULL, state TEXT NOT NULL,
            reason TEXT, exit_code INTEGER, message TEXT, created INTEGER NOT NULL, ended INTEGER);
        INSERT INTO schedules VALUES ('backup-1-postgres', '@every 60s', '[]', 1800000000);
        INSERT INTO runs (name, component, schedule, vars, state, created, ended)
            VALUES ('old', 'backup', 'backup-1-postgres', '[]', 'succeeded', 1, 2);
        PRAGMA user_version = 1;";
    for begun in [
        "",
        "ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0",
    ] {
        let (data, time) = (folder("data"), Time::standing());
        file(&data)
            .execute_batch(&format!("{FIRST}{begun}"))
            .unwrap();
        let at_work = AtWork::start(Arc::new(time.open(&data, Path::new("/bin/true"))));
        at_work.wait(|it| it.len() == 1);
        at_work.stop();
        assert_eq!(kept(&data, "SELECT count(*) FROM runs"), 2, "{begun}");
    }
}

/// S31.
#[test]
fn a_restore_waits_for_no_backup_that_waits_too() {
    let (data, time, out) = (
        folder("data"),
        Time::standing(),
        folder("out").join("order"),
    );
    let script = worker(&format!(
        "echo \"${{BACKUP_REVISION:-backup}}\" >> {}",
        out.display()
    ));
    let engine = Arc::new(
        Local::open(Settings {
            max_workers: 1,
            clock: Clock::Set(time.0.clone()),
            ..settings(&data, &script)
        })
        .unwrap(),
    );
    for number in 1..4 {
        let schedule = Schedule {
            cron: "@every 60s".to_owned(),
            ..conformance::schedule(&format!("backup-{number}-postgres"))
        };
        block_on(engine.ensure(&schedule)).unwrap();
    }
    time.pass(60);
    block_on(engine.restore(&conformance::restore("00000001", "7", 1))).unwrap();
    let at_work = AtWork::start(engine);
    at_work.wait(|it| it.len() == 4);
    at_work.stop();
    let order = std::fs::read_to_string(out).unwrap();
    assert_eq!(order.lines().next(), Some("7"), "{order}");
}
