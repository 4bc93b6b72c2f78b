//! What goes wrong in the middle: S3 that breaks off, PostgreSQL that dies, workers that are
//! stopped and killed, disks that are full. Afterwards nothing looks whole that is not, old data is
//! as it was, and the next run succeeds.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::testbed::disk::Disk;
use super::testbed::postgres::{Cluster, shared};
use super::testbed::programs::{Prepared, Running, backuper, restorer};
use super::testbed::proxy::Proxy;
use super::testbed::s3_faults::{Fault, Faults, Rule};
use super::testbed::{env, wait_for};
use super::workers::{Stage, var, with};

/// Longer than any test waits: what is held up stays so until somebody acts.
const HELD: Fault = Fault::Wait(Duration::from_secs(120));

/// What a stopped worker has from the signal to its end.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

fn through(faults: &Faults) -> super::testbed::Env {
    var("S3_ENDPOINT", &faults.endpoint())
}

#[test]
fn u11_a_connection_cut_in_the_middle_of_part_three_is_mended() {
    let stage = Stage::new("cutpart");
    stage.fill("t", 30);
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "partNumber=3", 2, Fault::CutRequest(50));
    stage.backup(&through(&faults)).expect_code(0);
    assert_eq!(faults.struck().len(), 2);
    let before = stage.database.dump();
    stage.database.sql("DELETE FROM t");
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == before, "the contents have changed");
}

#[test]
fn u11_a_part_that_never_arrives_fails_the_backup_and_leaves_nothing() {
    let stage = Stage::new("lostpart");
    stage.fill("t", 20);
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "partNumber=2", 100, Fault::Answer(400));
    let ended = stage.backup(&through(&faults));
    ended.expect_code(1);
    assert!(!faults.struck().is_empty());
    stage.nothing_is_stored();
    faults.heal();
    stage.backup(&through(&faults)).expect_code(0);
    assert_eq!(stage.s3.manifests().len(), 1);
}

#[test]
fn a_store_that_is_busy_five_times_is_asked_again() {
    let stage = Stage::new("busy");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "data-000", 5, Fault::Answer(503));
    stage.backup(&through(&faults)).expect_code(0);
    assert_eq!(faults.struck().len(), 5);
}

#[test]
fn u22_an_answer_that_is_cut_or_shortened_is_resumed_or_refused() {
    let stage = Stage::new("cutbody");
    stage.fill("t", 6);
    stage.back_up(&env([]));
    stage.database.sql("DELETE FROM t WHERE id > 2");
    let live = stage.database.dump();
    for per_cent in [10, 60, 99] {
        let faults = Faults::start(stage.s3.port());
        faults.on("GET", "data-000", 1, Fault::CutAnswer(per_cent));
        stage.restore(&through(&faults)).expect_code(0);
        assert_eq!(faults.struck().len(), 1);
        assert_eq!(stage.database.sql("SELECT count(*) FROM t").trim(), "96");
        stage.database.sql("DELETE FROM t WHERE id > 2");
    }
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-000", 100, Fault::ShortenAnswer(60));
    let ended = stage.restore(&through(&faults));
    assert_ne!(ended.code(), Some(0), "{ended}");
    assert!(!faults.struck().is_empty());
    assert!(stage.database.dump() == live, "the contents have changed");
}

#[test]
fn u43_a_lost_answer_to_the_manifest_is_a_backup_all_the_same() {
    let stage = Stage::new("lostanswer");
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "manifest.json", 1, Fault::LoseAnswer);
    stage.backup(&through(&faults)).expect_code(0);
    assert_eq!(stage.s3.manifests().len(), 1);
}

/// Starts a worker that stands still at a request.
fn held(program: fn(&super::testbed::Env) -> Prepared, stage: &Stage, faults: &Faults) -> Running {
    let running = program(&with(&stage.env(), &through(faults))).start();
    wait_for("the worker is held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    running
}

/// Requests at which a backup is held up: before it begins, in the middle, at the very end.
const POINTS_OF_A_BACKUP: [(&str, &str); 3] = [
    ("GET", "list-type=2"),
    ("PUT", "partNumber=2"),
    ("PUT", "manifest.json"),
];

#[test]
fn u14_a_backup_that_is_stopped_leaves_nothing_and_says_so() {
    let stage = Stage::new("stopbackup");
    stage.fill("t", 20);
    for (method, path) in POINTS_OF_A_BACKUP {
        for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
            let faults = Faults::start(stage.s3.port());
            faults.on(method, path, 1, HELD);
            let running = held(backuper, &stage, &faults);
            running.signal(signal);
            let ended = running.wait_within(STOPPED_WITHIN);
            ended.expect_code(code);
            assert!(ended.last_line().contains("stopped"), "{ended}");
            stage.nothing_is_stored();
        }
    }
    stage.back_up(&env([]));
}

/// By then pg_dump has ended, and the upload is about to become an object.
#[test]
fn a_backup_that_is_stopped_while_its_last_part_arrives_leaves_no_upload() {
    let stage = Stage::new("lastpart");
    stage.fill("t", 10);
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "partNumber=1&", 1, HELD);
    let running = held(backuper, &stage, &faults);
    wait_for("the last part has been sent", || {
        let seen = faults.seen();
        seen.iter()
            .any(|it| it.contains("partNumber=2&"))
            .then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.wait_within(STOPPED_WITHIN).expect_code(143);
    stage.nothing_is_stored();
}

#[test]
fn u14_a_backup_that_is_killed_leaves_nothing_that_looks_whole() {
    let stage = Stage::new("killbackup");
    stage.fill("t", 20);
    for (method, path) in POINTS_OF_A_BACKUP {
        let faults = Faults::start(stage.s3.port());
        faults.on(method, path, 1, HELD);
        let running = held(backuper, &stage, &faults);
        running.signal(Signal::SIGKILL);
        assert_ne!(running.wait().code(), Some(0));
        assert_eq!(stage.s3.manifests(), Vec::<String>::new());
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backuper%'
                       AND datname = current_database()";
        wait_for("its pg_dump ends with it", || {
            (stage.database.sql(left).trim() == "0").then_some(())
        });
    }
    stage.back_up(&env([]));
    assert_eq!(stage.restore(&env([])).code(), Some(0));
}

/// A database with two streams, and contents that have changed since its backup.
fn changed(prefix: &str) -> (Stage, String) {
    let stage = Stage::new(prefix);
    stage.fill("a", 20);
    stage.fill("b", 20);
    stage.back_up(&var("BACKUP_JOBS", "2"));
    stage
        .database
        .sql("DELETE FROM a WHERE id > 3; DROP TABLE b; CREATE TABLE newer (x int)");
    let live = stage.database.dump();
    (stage, live)
}

const POINTS_OF_A_RESTORE: [&str; 3] = ["manifest.json", "data-000", "data-001"];

#[test]
fn u23_u30_a_restore_that_is_stopped_or_killed_leaves_the_old_contents() {
    let (stage, live) = changed("stoprestore");
    for path in POINTS_OF_A_RESTORE {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let faults = Faults::start(stage.s3.port());
            faults.on("GET", path, 1, HELD);
            let running = held(restorer, &stage, &faults);
            running.signal(signal);
            let ended = running.wait_within(STOPPED_WITHIN);
            if signal == Signal::SIGTERM {
                ended.expect_code(143);
            } else {
                assert_ne!(ended.code(), Some(0));
            }
            let left =
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'restorer%'
                           AND datname = current_database()";
            wait_for("its sessions end with it", || {
                (stage.database.sql(left).trim() == "0").then_some(())
            });
            assert!(stage.database.dump() == live, "{path} {signal}");
        }
    }
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql("SELECT count(*) FROM b").trim(), "320");
}

#[test]
fn a_load_into_an_empty_database_that_is_killed_does_not_look_whole_and_is_replaced() {
    let stage = Stage::new("killload");
    stage.fill("a", 20);
    stage.fill("b", 20);
    let whole = stage.database.dump();
    stage.back_up(&var("BACKUP_JOBS", "2"));
    stage.database.sql("DROP TABLE a, b");
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-001", 1, HELD);
    let running = held(restorer, &stage, &faults);
    running.signal(Signal::SIGKILL);
    running.wait();
    let marked = "SELECT count(*) FROM pg_namespace WHERE nspname = 'oiler_restore_incomplete'";
    assert_eq!(stage.database.sql(marked).trim(), "1");
    wait_for("the next restore is let in", || {
        (stage.restore(&env([])).code() == Some(0)).then_some(())
    });
    assert!(stage.database.dump() == whole, "the contents have changed");
}

#[test]
fn what_a_killed_load_of_another_backup_left_is_taken_away() {
    let stage = Stage::new("killother");
    stage.fill("new", 20);
    let whole = stage.database.dump();
    stage.back_up(&env([]));
    stage.database.sql("DROP TABLE new");
    stage.fill("old", 20);
    stage.fill("older", 20);
    stage.database.sql(
        "CREATE SCHEMA attic; CREATE TABLE attic.t (n int); CREATE EXTENSION pgcrypto; CREATE VIEW v AS SELECT * FROM old",
    );
    stage.back_up(&var("BACKUP_JOBS", "2"));
    stage.database.sql(
        "DROP VIEW v; DROP TABLE old, older, attic.t; DROP SCHEMA attic; DROP EXTENSION pgcrypto",
    );
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-001", 1, HELD);
    let running = held(restorer, &stage, &faults);
    running.signal(Signal::SIGKILL);
    running.wait();
    let left = "SELECT count(*) FROM pg_class WHERE relname IN ('old', 'older', 'v')";
    assert_eq!(stage.database.sql(left).trim(), "3");
    wait_for("the next restore is let in", || {
        (stage.restore(&var("BACKUP_REVISION", "1")).code() == Some(0)).then_some(())
    });
    assert!(stage.database.dump() == whole, "the contents have changed");
}

#[test]
fn u30_a_load_that_is_stopped_takes_away_what_it_made() {
    let stage = Stage::new("stopload");
    stage.fill("a", 20);
    stage.fill("b", 20);
    let whole = stage.database.dump();
    stage.back_up(&var("BACKUP_JOBS", "2"));
    let (name, cluster) = (stage.database.name(), shared());
    let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    for (path, existed) in [("data-000", "0"), ("data-001", "1")] {
        let faults = Faults::start(stage.s3.port());
        faults.on("GET", path, 1, HELD);
        let running = held(restorer, &stage, &faults);
        running.signal(Signal::SIGTERM);
        running.wait_within(STOPPED_WITHIN).expect_code(143);
        assert_eq!(cluster.sql("postgres", &there).trim(), existed);
        if existed == "0" {
            cluster.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
            continue;
        }
        let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(stage.database.sql(left).trim(), "0");
    }
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == whole, "the contents have changed");
}

#[test]
fn a_restore_that_comes_second_never_drops_what_the_first_one_loads() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
    let stage = Stage::on(cluster, "createrace");
    stage.fill("t", 4);
    let whole = stage.database.dump();
    stage.back_up(&env([]));
    let name = stage.database.name();
    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    // CREATE DATABASE waits for its template, and looks only then whether the name is free.
    let holder = cluster
        .tool("psql", "postgres")
        .args([
            "-c",
            "BEGIN; COMMENT ON DATABASE template0 IS 'held'; SELECT pg_sleep(100)",
        ])
        .start();
    wait_for("the template is held", || {
        let held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        (cluster.sql("postgres", held).trim() == "1").then_some(())
    });
    let second = restorer(&stage.env()).start();
    wait_for("the second restore creates", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                        WHERE query LIKE 'CREATE DATABASE%' AND wait_event_type = 'Lock'";
        (cluster.sql("postgres", waiting).trim() == "1").then_some(())
    });
    let create = format!("CREATE DATABASE \"{name}\" TEMPLATE template1");
    cluster.sql("postgres", &create);
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-000", 1, Fault::Hold);
    let first = held(restorer, &stage, &faults);
    cluster.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
    );
    holder.wait();
    let refused = second.wait();
    refused.expect_code(1);
    assert!(refused.last_line().contains("under way"), "{refused}");
    faults.heal();
    first.wait().expect_code(0);
    assert!(stage.database.dump() == whole, "the contents have changed");
    cluster.crash();
}

#[test]
fn a_wrong_row_in_the_middle_of_a_replacement_changes_nothing() {
    let stage = Stage::new("wrongrow");
    stage.fill("a", 20);
    // A row that was right, and is wrong where there is a newer table.
    stage.database.sql(
        "CREATE FUNCTION alone() RETURNS boolean LANGUAGE plpgsql AS
           $$ BEGIN RETURN to_regclass('public.newer') IS NULL; END $$;
         CREATE TABLE b (n int CONSTRAINT right_row CHECK (alone())); INSERT INTO b VALUES (1)",
    );
    stage.back_up(&env([]));
    stage
        .database
        .sql("DELETE FROM a WHERE id > 3; DELETE FROM b; CREATE TABLE newer (x int)");
    let live = stage.database.dump();
    let ended = stage.restore(&env([]));
    ended.expect_code(2);
    assert!(ended.last_line().contains("right_row"), "{ended}");
    assert!(stage.database.dump() == live, "the contents have changed");
}

#[test]
fn postgres_that_dies_while_it_is_dumped_and_restored_takes_nothing_with_it() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
    let stage = Stage::on(cluster, "crash");
    stage.fill("a", 48);
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "partNumber=1", 1, Fault::Hold);
    let running = held(backuper, &stage, &faults);
    cluster.crash();
    faults.heal();
    running.wait().expect_code(1);
    stage.nothing_is_stored();
    cluster.boot();
    stage.back_up(&env([]));

    // The test cluster does not wait for the disk unless it is told to.
    stage
        .database
        .sql("SET synchronous_commit = on; DELETE FROM a WHERE id > 5");
    let live = stage.database.dump();
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-000", 1, Fault::Hold);
    let running = held(restorer, &stage, &faults);
    cluster.crash();
    faults.heal();
    running.wait().expect_code(1);
    cluster.boot();
    assert!(stage.database.dump() == live, "the old contents are gone");
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql("SELECT count(*) FROM a").trim(), "768");
    cluster.crash();
}

#[test]
fn a_network_that_breaks_while_rows_are_read_fails_the_backup() {
    let stage = Stage::new("network");
    stage.fill("a", 10);
    let proxy = Proxy::start(shared().port());
    proxy.cut_after_receiving(5 << 20);
    let port = proxy.port().to_string();
    let ended = stage.backup(&var("DB_PORT", &port));
    ended.expect_code(1);
    stage.nothing_is_stored();
    stage.backup(&var("DB_PORT", &port)).expect_code(0);
}

#[test]
fn a_full_disk_fails_the_backup_and_gets_its_room_back() {
    let stage = Stage::new("fulldisk");
    stage.fill("a", 12);
    let disk = Disk::of(8);
    let store = env([
        ("S3_ENDPOINT", &format!("file://{}", disk.path().display())),
        ("S3_BUCKET_NAME", ""),
    ]);
    let ended = stage.backup(&store);
    ended.expect_code(1);
    assert!(ended.last_line().contains("make room"), "{ended}");
    let left = Prepared::new("find")
        .arg(disk.path())
        .args(["-type", "f"])
        .succeed();
    assert_eq!(left.stdout, "");
    stage
        .database
        .sql("DELETE FROM a WHERE id > 32; VACUUM FULL a");
    stage.backup(&store).expect_code(0);
    stage.restore(&store).expect_code(0);
}

#[test]
fn a_full_disk_of_the_server_fails_the_restore_and_changes_nothing() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
    let stage = Stage::on(cluster, "fullserver");
    let disk = Disk::of(64);
    let place = disk.path().join("tablespace");
    cluster.make_folder(&place);
    let name = stage.database.name();
    cluster.sql(
        "postgres",
        &format!("CREATE TABLESPACE small LOCATION '{}'", place.display()),
    );
    cluster.sql(
        "postgres",
        &format!("ALTER DATABASE \"{name}\" SET TABLESPACE small"),
    );
    stage.fill("a", 12);
    let whole = stage.database.dump();
    stage.back_up(&env([]));
    let fails = || {
        disk.fill_up_to(6);
        let ended = stage.restore(&env([]));
        ended.expect_code(1);
        let last = ended.last_line();
        assert!(last.contains("No space left on device"), "{ended}");
        disk.give_room();
    };
    stage.database.sql("DELETE FROM a WHERE id > 100");
    let changed = stage.database.dump();
    fails();
    assert!(
        stage.database.dump() == changed,
        "the old contents are hurt"
    );
    stage.database.sql("DROP TABLE a");
    fails();
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(stage.database.sql(left).trim(), "0");
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == whole, "the contents have changed");
    cluster.crash();
}

#[test]
fn u07_u08_a_deletion_that_is_denied_is_a_warning() {
    let stage = Stage::new("undeletable");
    for _ in 0..2 {
        stage.back_up(&env([]));
    }
    let faults = Faults::start(stage.s3.port());
    // The probe's own object may go; the first backup's manifest may not.
    let oldest = stage.s3.manifests()[0].clone();
    faults.add(Rule {
        method: "DELETE",
        path: oldest.rsplit('/').nth(1).expect("a folder").to_owned(),
        skip: 0,
        times: 100,
        fault: Fault::Answer(403),
    });
    let ended = stage.backup(&with(&through(&faults), &var("MAX_BACKUP_COUNT", "1")));
    ended.expect_code(0);
    assert!(ended.printed().contains("could not delete"), "{ended}");
    assert!(stage.s3.manifests().contains(&oldest));
    stage.backup(&var("MAX_BACKUP_COUNT", "1")).expect_code(0);
    assert_eq!(stage.s3.manifests().len(), 1);
}
