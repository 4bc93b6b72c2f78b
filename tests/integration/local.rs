//! The local engine: its promises, its clock, its workers, and what a crash leaves.

mod access;
mod answers;
mod copies;
mod databases;
mod drills;
mod kept;
mod lines;
mod names;
mod operations;
mod options;
mod process;
mod put;
mod stores;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use scheduler::domain::limits::Limits;
use scheduler::domain::run::{Attempts, Component, Ending, Run, State};
use scheduler::domain::schedule::Schedule;
use scheduler::engine::conformance::{self, keeps_its_promises};
use scheduler::engine::local::{Clock, Local, Settings};
use scheduler::engine::{Engine, Kind, StartedBy, Whose};

use crate::testbed::disk::Disk;
use crate::testbed::{block_on, folder, wait_for};
use crate::told::Told;

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
        workers: conformance::workers(),
        limits: Limits::default(),
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
    let mut schedule = conformance::schedule(NAME);
    schedule.plan.cron = format!("@every {seconds}s").parse().unwrap();
    schedule
}

fn every_second() -> Schedule {
    every(1)
}

/// Waits until what was told is enough.
fn wait(told: &Told, enough: impl Fn(&[Run]) -> bool) {
    wait_for("the runs", || enough(&told.seen()).then_some(()));
}

/// Runs an engine until `enough` says so; gives what it told.
fn watch(engine: Arc<Local>, enough: impl Fn(&[Run]) -> bool) -> Vec<Run> {
    let told = Told::by(engine);
    wait(&told, enough);
    told.stop()
}

fn succeeded(run: &Run) -> bool {
    run.state.word() == "succeeded"
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
    block_on(engine.put(&every_second(), Whose::Its)).expect("kept");
    let seen = watch(engine, |it| it.len() >= 2);
    assert!(succeeded(&seen[0]), "{seen:?}");
    assert_eq!(seen[0].component, Component::Backup);
    assert_eq!(seen[0].schedule.as_deref(), Some(NAME));
    assert_ne!(seen[0].name, seen[1].name);
}

#[test]
fn a_worker_that_fails_is_told_with_its_code_and_its_last_sentence() {
    let script = worker("printf 'no bucket: make it' > \"$TERMINATION_MESSAGE_PATH\"; exit 2");
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.start(&conformance::restore("00000001", "0", 1))).expect("kept");
    let seen = watch(engine, |it| !it.is_empty());
    let expected = Ending::Failed {
        reason: "Failed".to_owned(),
        exit_code: Some(2),
        message: Some("no bucket: make it".to_owned()),
        attempts: Attempts {
            failed: Some(1),
            pod: None,
        },
    };
    assert_eq!(seen[0].state, State::Ended(expected));
    assert_eq!(seen[0].component, Component::Restore);
}

#[test]
fn a_worker_finds_its_settings_in_its_environment_and_nothing_else() {
    let out = folder("out").join("env");
    let script = worker(&format!("env > {}", out.display()));
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.start(&conformance::restore("00000001", "0", 1))).expect("kept");
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
    block_on(engine.put(&every_second(), Whose::Its)).expect("kept");
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
    block_on(engine.put(&every(100), Whose::Its)).expect("kept");
    drop(engine);
    time.pass(350);
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
    let at_work = Told::by(engine);
    wait(&at_work, |it| it.len() == 1);
    time.pass(99);
    a_few_ticks();
    assert_eq!(at_work.seen().len(), 1, "three were missed, one is made up");
    time.pass(1);
    wait(&at_work, |it| it.len() == 2);
    at_work.stop();
}

#[test]
fn a_stop_tells_the_workers_and_calls_no_run_a_success() {
    let out = folder("out").join("began");
    let script = worker(&format!("touch {}; exec sleep 600", out.display()));
    let engine = Arc::new(open(&folder("data"), &script));
    block_on(engine.start(&conformance::restore("00000001", "0", 1))).expect("kept");
    let seen = watch(engine, |_| out.exists());
    assert_eq!(seen.len(), 1);
    assert!(
        matches!(&seen[0].state, State::Ended(Ending::Failed { reason, .. }) if reason == "Stopped"),
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
        block_on(engine.start(&conformance::restore("00000001", "0", 1))).expect("kept");
    } else {
        block_on(engine.put(&every(100), Whose::Its)).expect("kept");
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
    block_on(engine.put(&every(100), Whose::Its)).expect("kept");
    time.pass(100);
    let at_work = Told::by(engine.clone());
    wait_for("the first try", || out.exists().then_some(()));
    block_on(engine.start(&conformance::restore("00000001", "0", 1))).expect("kept");
    wait(&at_work, |it| it.len() == 1);
    let seen = at_work.stop();
    assert_eq!(seen[0].component, Component::Restore);
    drop(engine);
    time.pass(600);
    let engine = Arc::new(slow(Path::new("/bin/true")));
    let seen = watch(engine, |it| !it.is_empty());
    assert_eq!(seen[0].component, Component::Backup);
    assert!(succeeded(&seen[0]), "{seen:?}");
    let tries = std::fs::read_to_string(out).unwrap();
    assert_eq!(tries, "t\n", "the second try was the other worker's");
}

#[test]
fn a_backup_that_a_stop_interrupted_is_run_again_at_once() {
    let (data, time) = (folder("data"), Time::standing());
    let out = folder("out").join("began");
    let script = worker(&format!("touch {}; exec sleep 600", out.display()));
    let engine = Arc::new(time.open(&data, &script));
    block_on(engine.put(&every(100), Whose::Its)).expect("kept");
    time.pass(100);
    let seen = watch(engine, |_| out.exists());
    assert!(!succeeded(&seen[0]), "{seen:?}");
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
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
        block_on(engine.start(&restore)).expect("kept");
    }
    let at_work = Told::by(engine);
    let under_way = || std::fs::read_dir(&began).map_or(0, Iterator::count);
    wait_for("two workers", || (under_way() == 2).then_some(()));
    a_few_ticks();
    assert_eq!(under_way(), 2);
    std::fs::write(release, "").unwrap();
    wait(&at_work, |it| it.len() == 5);
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
    block_on(engine.start(&restore)).expect("kept");
    block_on(engine.ready()).expect("ready");
    let at_work = Told::by(engine.clone());
    wait_for("the worker", || began.exists().then_some(()));
    disk.fill_up_to(0);
    wait_for("the engine notices", || block_on(engine.ready()).err());
    std::fs::write(release, "").unwrap();
    a_few_ticks();
    assert_eq!(at_work.seen(), [], "told before it is kept");
    disk.give_room();
    wait(&at_work, |it| it.len() == 1);
    assert!(succeeded(&at_work.stop()[0]));
    let again = block_on(engine.start(&restore)).expect("kept");
    assert_eq!(again.by, StartedBy::EarlierEnded);
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
    block_on(engine.put(&every(60), Whose::Its)).unwrap();
    let at_work = Told::by(engine);
    time.pass(60);
    wait(&at_work, |it| it.len() == 1);
    time.pass(YEARS);
    wait(&at_work, |it| it.len() == 2);
    at_work.stop();
    time.pass(-YEARS);
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
    let at_work = Told::by(engine);
    a_few_ticks();
    time.pass(60);
    wait(&at_work, |it| it.len() == 1);
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
    let at_work = Told::by(Arc::new(time.open(&data, Path::new("/bin/true"))));
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
    block_on(engine.put(&every(60), Whose::Its)).unwrap();
    drop(engine);
    file(&data)
        .execute(
            "INSERT INTO schedules (name, cron, vars, due) VALUES ('a', 'of a later version', '?', 0)",
            [],
        )
        .unwrap();
    let at_work = Told::by(Arc::new(time.open(&data, Path::new("/bin/true"))));
    time.pass(60);
    wait(&at_work, |it| it.len() == 1);
    assert!(succeeded(&at_work.stop()[0]));
}

/// What the first version wrote, and what the second one added to it.
const FIRST: &str = r#"
    CREATE TABLE schedules (name TEXT PRIMARY KEY, cron TEXT NOT NULL, vars TEXT NOT NULL, due INTEGER);
    CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, component TEXT NOT NULL,
        schedule TEXT, database TEXT, request TEXT, vars TEXT NOT NULL, state TEXT NOT NULL,
        reason TEXT, exit_code INTEGER, message TEXT, created INTEGER NOT NULL, ended INTEGER);
    INSERT INTO schedules VALUES ('backup-1-postgres', '@every 60s',
        '[["DB_HOST","db.example",false],["DB_PORT","5433",false],["DB_USER","me",false],["DB_NAME","shop",false],
          ["DB_PASSWORD","hunter2",true],["S3_ENDPOINT","https://s3.example",false],["S3_BUCKET_NAME","backups",false],
          ["S3_ACCESS_KEY","key",true],["S3_SECRET_KEY","secret",true],["MAX_BACKUP_COUNT","7",false]]', 1800000000);
    INSERT INTO runs (name, component, schedule, vars, state, created, ended)
        VALUES ('old', 'backup', 'backup-1-postgres', '[]', 'succeeded', 1, 2);
    INSERT INTO runs (name, component, database, request, vars, state, created)
        VALUES ('restore-1-postgres', 'restore', '0011223344556677', 'a',
        '[["DB_HOST","db.example",false],["DB_NAME","crm",false],["DB_USER","me",false],["DB_PASSWORD","hunter2",true],
          ["S3_ENDPOINT","https://s3.example",false],["S3_BUCKET_NAME","backups",false],["BACKUP_REVISION","7",false],
          ["RESTORE_AS_OF","2027-01-15T08:00:00Z",false],["RESTORE_BEGIN_BY","2027-01-15T08:15:00Z",false]]',
        'waiting', 1799999990);
    PRAGMA user_version = 1;"#;
const SECOND: &str = "
    ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE pulse (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL);
    CREATE INDEX runs_schedule ON runs (schedule, state);
    PRAGMA user_version = 2;";

/// S34: also what it had begun to change when it was killed. A restore that waits over the update begins
/// with what its own version was told.
/// A supervisor begins the next one while the last one ends.
#[test]
fn a_folder_that_is_about_to_be_let_go_is_waited_for() {
    let (data, script) = (folder("data"), worker("true"));
    let first = Time::standing().open(&data, &script);
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(first);
    });
    drop(Time::standing().open(&data, &script));
    ending.join().unwrap();
}

#[test]
fn a_file_of_the_versions_before_is_taken_over() {
    for more in [
        "",
        "ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0",
        SECOND,
    ] {
        let (data, out) = (folder("data"), folder("out").join("env"));
        let time = Time::standing();
        let script = worker(&format!("env >> {}", out.display()));
        file(&data)
            .execute_batch(&format!("{FIRST}{more}"))
            .unwrap();
        let seen = watch(Arc::new(time.open(&data, &script)), |it| it.len() == 2);
        assert!(seen.iter().all(succeeded), "{seen:?}");
        assert_eq!(kept(&data, "SELECT count(*) FROM runs"), 3, "{more}");
        let found = std::fs::read_to_string(out).unwrap();
        for line in [
            "DB_NAME=shop",
            "DB_PORT=5433",
            "S3_SECRET_KEY=secret",
            "MAX_BACKUP_COUNT=7",
            "DB_NAME=crm",
            "BACKUP_REVISION=7",
            "RESTORE_AS_OF=2027-01-15T08:00:00Z",
            "RESTORE_BEGIN_BY=2027-01-15T08:15:00Z",
            "DB_PASSWORD=hunter2",
        ] {
            assert!(found.lines().any(|it| it == line), "{line}:\n{found}");
        }
        let copies = std::fs::read_dir(&data).unwrap().filter(|it| {
            let name = it.as_ref().unwrap().file_name().into_string().unwrap();
            let mode = it
                .as_ref()
                .unwrap()
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            name.starts_with("scheduler.sqlite.v") && mode & 0o777 == 0o600
        });
        assert_eq!(copies.count(), 1, "the older version can go back to it");
        let engine = time.open(&data, &script);
        let name = conformance::named("backup-1-postgres");
        let schedule = block_on(engine.schedule(&name)).unwrap().expect("read");
        assert_eq!(schedule.plan.source.place(), "db.example:5433/shop");
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
        let mut schedule = every(60);
        schedule.name = conformance::named(&format!("backup-{number}-postgres"));
        block_on(engine.put(&schedule, Whose::Its)).unwrap();
    }
    time.pass(60);
    block_on(engine.start(&conformance::restore("00000001", "7", 1))).unwrap();
    let at_work = Told::by(engine);
    wait(&at_work, |it| it.len() == 4);
    at_work.stop();
    let order = std::fs::read_to_string(out).unwrap();
    assert_eq!(order.lines().next(), Some("7"), "{order}");
}

/// S31: the same word as on Kubernetes.
#[test]
fn a_worker_that_takes_longer_than_it_may_is_stopped() {
    let script = worker("exec sleep 600");
    let engine = Local::open(Settings {
        limits: Limits {
            backup: Some(Duration::from_secs(1)),
            restore: Duration::from_secs(1),
        },
        ..settings(&folder("data"), &script)
    });
    let engine = Arc::new(engine.unwrap());
    block_on(engine.put(&every_second(), Whose::Its)).unwrap();
    block_on(engine.start(&conformance::restore("one", "0", 1))).unwrap();
    let seen = watch(engine, |it| it.len() >= 2);
    for run in &seen[..2] {
        assert!(
            matches!(&run.state, State::Ended(Ending::Failed { reason, .. }) if reason == "DeadlineExceeded"),
            "{run:?}"
        );
    }
}

/// S31.
#[test]
fn a_worker_whose_run_is_cancelled_is_stopped() {
    let began = folder("out").join("began");
    let script = worker(&format!("touch {}; exec sleep 600", began.display()));
    let engine = Arc::new(open(&folder("data"), &script));
    let run = block_on(engine.start(&conformance::restore("one", "0", 1)))
        .unwrap()
        .name;
    let told = Told::by(engine.clone());
    wait_for("the worker", || began.exists().then_some(()));
    block_on(engine.cancel(&run)).unwrap();
    wait(&told, |it| it.len() == 1);
    assert_eq!(told.stop()[0].state, State::Ended(Ending::Cancelled));
    let other = block_on(engine.start(&conformance::restore("one", "1", 1)));
    assert_ne!(other.expect("nothing is under way").name, run);
}

/// S13: it waits for its turn, over a stop of the scheduler too.
#[test]
fn a_restore_that_has_waited_too_long_expires() {
    let (data, time) = (folder("data"), Time::standing());
    let engine = time.open(&data, Path::new("/bin/true"));
    let mut wanted = conformance::restore("one", "0", 1);
    wanted.begin_by = Some(jiff::Timestamp::from_second(1_800_000_900).unwrap());
    block_on(engine.start(&wanted)).unwrap();
    drop(engine);
    time.pass(901);
    let engine = Arc::new(time.open(&data, Path::new("/bin/false")));
    let seen = watch(engine.clone(), |it| it.len() == 1);
    assert_eq!(seen[0].state, State::Ended(Ending::Expired));
    block_on(engine.start(&wanted)).expect("it can be asked for again");
}

/// S24: it is told once, and not again by the next process.
#[test]
fn an_end_that_nobody_has_heard_is_told_at_the_next_start() {
    let data = folder("data");
    let engine = Arc::new(open(&data, Path::new("/bin/true")));
    block_on(engine.start(&conformance::restore("one", "0", 1))).unwrap();
    assert_eq!(watch(engine, |it| it.len() == 1).len(), 1);
    let seen = watch(Arc::new(open(&data, Path::new("/bin/true"))), |_| {
        a_few_ticks();
        true
    });
    assert!(seen.is_empty(), "{seen:?}");
    file(&data).execute("UPDATE runs SET told = 0", []).unwrap();
    watch(Arc::new(open(&data, Path::new("/bin/true"))), |it| {
        it.len() == 1
    });
}

#[test]
fn what_a_worker_has_said_can_be_read() {
    let script = worker("echo '{\"level\":\"INFO\",\"message\":\"it dumps\"}' >&2; exit 1");
    let engine = Arc::new(open(&folder("data"), &script));
    let run = block_on(engine.start(&conformance::restore("one", "0", 1)))
        .unwrap()
        .name;
    watch(engine.clone(), |it| it.len() == 1);
    let lines = block_on(async {
        let lines = engine.lines(&run, false).await.unwrap();
        lines.map(Result::unwrap).collect::<Vec<String>>().await
    });
    assert!(
        lines.len() == 1 && lines[0].contains("it dumps"),
        "{lines:?}"
    );
    let error = block_on(engine.lines("restore-00000000-postgres", false)).map(drop);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

/// What is secret of the administrator's settings is nobody's request, and reaches what is kept.
#[test]
fn a_setting_that_is_made_or_changed_reaches_the_schedules_and_restores_that_wait() {
    let (data, out) = (folder("data"), folder("out").join("env"));
    let script = worker(&format!("env >> {}", out.display()));
    let with = |url: Option<&str>| {
        let mut settings = settings(&data, &script);
        let url = url.map(|it| it.parse().unwrap());
        settings.workers.settings.pushgateway_url = url;
        Arc::new(Local::open(settings).unwrap())
    };
    let engine = with(None);
    block_on(engine.put(&every_second(), Whose::Its)).unwrap();
    block_on(engine.start(&conformance::restore("one", "0", 1))).unwrap();
    drop(engine);
    for url in [
        "http://user:first@gateway:9091",
        "http://user:second@gateway:9091",
    ] {
        let seen = watch(with(Some(url)), |it| it.len() >= 2);
        assert!(seen.iter().all(succeeded), "{seen:?}");
        let found = std::fs::read_to_string(&out).unwrap();
        assert!(found.contains(url), "{found}");
    }
}

/// S30's kind: neither a try that was put off nor an end by a clock that ran ahead outlasts it.
#[test]
fn what_a_clock_that_ran_ahead_has_dated_is_not_believed() {
    const YEAR: i64 = 365 * 24 * 3600;
    let (data, time) = (folder("data"), Time::standing());
    let failing = worker("exit 1");
    let slow = Local::open(Settings {
        backoff: [Duration::from_secs(10); 2],
        clock: Clock::Set(time.0.clone()),
        restorer: "/bin/true".into(),
        ..settings(&data, &failing)
    });
    let engine = Arc::new(slow.unwrap());
    time.pass(YEAR);
    block_on(engine.put(&every(60), Whose::Its)).unwrap();
    let first = block_on(engine.start(&conformance::restore("one", "0", 1))).unwrap();
    time.pass(60);
    let told = Told::by(engine.clone());
    wait(&told, |it| it.len() == 1);
    let waits = "SELECT count(*) FROM runs WHERE not_before > 1831536000";
    wait_for("a try that is put off", || {
        (kept(&data, waits) == 1).then_some(())
    });
    told.stop();
    drop(engine);
    time.pass(-YEAR - 60);
    let engine = Arc::new(time.open(&data, Path::new("/bin/true")));
    let seen = watch(engine.clone(), |it| !it.is_empty());
    assert_eq!(seen[0].component, Component::Backup);
    let again = block_on(engine.start(&conformance::restore("one", "0", 2))).unwrap();
    assert_eq!(again.by, StartedBy::ThisCall);
    assert_ne!(again.name, first.name);
}

/// A restore that is cut short past its commit is complete, and nobody knows it: its name is not taken for
/// a wish to have it once more.
#[test]
fn a_restore_that_a_kill_cut_short_is_not_begun_again_by_its_name() {
    let data = folder("data");
    let engine = open(&data, Path::new("/bin/true"));
    let named = |id: &str| {
        let mut restore = conformance::restore("one", "0", 1);
        restore.request_id = id.to_owned();
        restore
    };
    let first = block_on(engine.start(&named("late"))).unwrap();
    drop(engine);
    // As a process that was killed leaves it.
    file(&data)
        .execute("UPDATE runs SET state = 'running'", [])
        .unwrap();
    let engine = Arc::new(open(&data, Path::new("/bin/true")));
    let seen = watch(engine.clone(), |it| it.len() == 1);
    let said = seen[0].state.ending().and_then(Ending::message).unwrap();
    assert!(said.contains("whether it was complete"), "{said}");
    let error = block_on(engine.start(&named("late"))).unwrap_err();
    assert_eq!(error.kind(), Kind::Precondition);
    assert!(error.chain().contains(&first.name), "{}", error.chain());
    let other = block_on(engine.start(&named("later"))).unwrap();
    assert_eq!(other.by, StartedBy::ThisCall);
}

/// Backups that hang keep no restore waiting.
#[test]
fn a_restore_finds_a_place_though_backups_have_them_all() {
    let out = folder("out");
    let began = out.join("began");
    let script = worker(&format!("touch {}; exec sleep 600", began.display()));
    let settings = Settings {
        max_workers: 2,
        restorer: "/bin/true".into(),
        ..settings(&folder("data"), &script)
    };
    let engine = Arc::new(Local::open(settings).unwrap());
    for number in 1..4 {
        let mut schedule = every_second();
        schedule.name = conformance::named(&format!("backup-{number}-postgres"));
        block_on(engine.put(&schedule, Whose::Its)).unwrap();
    }
    let told = Told::by(engine.clone());
    wait_for("a backup", || began.exists().then_some(()));
    a_few_ticks();
    block_on(engine.start(&conformance::restore("one", "0", 1))).unwrap();
    wait(&told, |it| it.len() == 1);
    let seen = told.stop();
    assert_eq!(seen[0].component, Component::Restore);
    assert!(succeeded(&seen[0]), "{seen:?}");
}

/// Pages that are damaged would look like fewer schedules.
#[test]
fn a_damaged_file_is_told_at_the_start() {
    let data = folder("data");
    let engine = open(&data, Path::new("/bin/true"));
    for number in 0..200 {
        let mut schedule = every(3_600);
        schedule.name = conformance::named(&format!("backup-{number}-postgres"));
        block_on(engine.put(&schedule, Whose::Its)).unwrap();
    }
    drop(engine);
    let path = data.join("scheduler.sqlite");
    file(&data)
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4_096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = Local::open(settings(&data, Path::new("/bin/true"))).unwrap_err();
    assert_eq!(error.kind(), Kind::Precondition, "{}", error.chain());
}
