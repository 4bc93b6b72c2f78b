//! The local engine: its promises, its clock, its workers, and what a crash leaves.

mod process;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scheduler::engine::conformance::{self, keeps_its_promises};
use scheduler::engine::local::{Local, Settings};
use scheduler::engine::{Component, Ending, Engine, Finished, Kind, Schedule};
use tokio_util::sync::CancellationToken;

use crate::testbed::{block_on, folder, wait_for};

const NAME: &str = "backup-0a1b2c3d-postgres";

/// A worker made of a few lines of shell.
fn worker(lines: &str) -> PathBuf {
    let path = folder("worker").join("worker");
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn open(data: &Path, worker: &Path) -> Local {
    Local::open(Settings {
        data_dir: data.to_owned(),
        max_workers: 2,
        backuper: worker.to_owned(),
        restorer: worker.to_owned(),
        backoff: [Duration::from_millis(10); 2],
    })
    .expect("opened")
}

fn every_second() -> Schedule {
    Schedule {
        cron: "@every 1s".to_owned(),
        ..conformance::schedule(NAME)
    }
}

/// Runs an engine until `enough` says so; gives what it told.
fn watch(engine: Arc<Local>, enough: impl Fn(&[Finished]) -> bool) -> Vec<Finished> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let stop = CancellationToken::new();
    let (told, stopped) = (seen.clone(), stop.clone());
    let running = crate::testbed::runtime().spawn(async move {
        let tell = |it| told.lock().unwrap().push(it);
        engine.run(stopped, &tell).await;
    });
    wait_for("the runs", || enough(&seen.lock().unwrap()).then_some(()));
    stop.cancel();
    block_on(running).unwrap();
    let seen = seen.lock().unwrap();
    seen.clone()
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
    let data = folder("data");
    let engine = open(&data, Path::new("/bin/true"));
    let schedule = Schedule {
        cron: "@every 3s".to_owned(),
        ..conformance::schedule(NAME)
    };
    block_on(engine.ensure(&schedule)).expect("kept");
    drop(engine);
    std::thread::sleep(Duration::from_secs(7));
    let engine = Arc::new(open(&data, Path::new("/bin/true")));
    block_on(engine.refresh()).expect("refreshed");
    let begun = std::time::Instant::now();
    watch(engine.clone(), |it| !it.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(2), "at once");
    let begun = std::time::Instant::now();
    watch(engine, |it| !it.is_empty());
    assert!(begun.elapsed() > Duration::from_secs(1), "and only once");
}

#[test]
fn a_stop_tells_the_workers_and_calls_no_run_a_success() {
    let out = folder("out").join("began");
    let script = worker(&format!("touch {}; exec sleep 60", out.display()));
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.restore(&conformance::restore("00000001", "0", 1))).expect("kept");
    let begun = std::time::Instant::now();
    let seen = watch(engine, |_| out.exists());
    assert!(begun.elapsed() < Duration::from_secs(10));
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
        data_dir: data,
        max_workers: 1,
        backuper: "/bin/true".into(),
        restorer: "/bin/true".into(),
        backoff: [Duration::from_millis(10); 2],
    });
    assert_eq!(second.expect_err("in use").kind(), Kind::Unavailable);
}

/// How often a worker that ends like this was started, for one run.
fn tries(ending: &str, restore: bool) -> usize {
    let out = folder("out").join("tries");
    let script = worker(&format!("echo t >> {}; {ending}", out.display()));
    let engine = Arc::new(open(&folder("data"), &script));
    if restore {
        block_on(engine.restore(&conformance::restore("00000001", "0", 1))).expect("kept");
    } else {
        let schedule = Schedule {
            cron: "@every 5s".to_owned(),
            ..conformance::schedule(NAME)
        };
        block_on(engine.ensure(&schedule)).expect("kept");
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
fn a_backup_that_a_stop_interrupted_is_run_again_at_once() {
    let data = folder("data");
    let out = folder("out").join("began");
    let script = worker(&format!("touch {}; exec sleep 60", out.display()));
    let schedule = Schedule {
        cron: "@every 4s".to_owned(),
        ..conformance::schedule(NAME)
    };
    let engine = Arc::new(open(&data, &script));
    block_on(engine.ensure(&schedule)).expect("kept");
    let seen = watch(engine, |_| out.exists());
    assert_ne!(seen[0].ending, Ending::Succeeded);
    let engine = Arc::new(open(&data, Path::new("/bin/true")));
    block_on(engine.refresh()).expect("refreshed");
    let begun = std::time::Instant::now();
    watch(engine, |it| !it.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(2), "at once");
}
