//! More streams than are read at once: each has its locks from the start, and all arrive.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::testbed::postgres::shared;
use super::testbed::programs::{Running, backuper, restorer};
use super::testbed::proxy::Proxy;
use super::testbed::{env, wait_for};
use super::workers::{Stage, with};

/// Three tables of 40 MiB that do not compress, worth three streams where two are read.
const ROWS: &str = "\
    CREATE EXTENSION pgcrypto; \
    CREATE TABLE one AS SELECT n, (SELECT string_agg(gen_random_bytes(1024), '') FROM generate_series(1, 40 + 0 * n)) AS bytes \
        FROM generate_series(1, 1024) n; \
    CREATE TABLE two AS TABLE one; \
    CREATE TABLE three AS TABLE one; \
    CREATE TABLE small AS SELECT 1 AS n";

/// A backup that stands still in the middle of its first streams.
fn standing_still(stage: &Stage, proxy: &Proxy) -> Running {
    stage.database.sql(ROWS);
    let endpoint = format!("http://127.0.0.1:{}", proxy.port());
    let mut all = with(&stage.env(), &stage.s3.env_at(&endpoint));
    all.extend(env([("BACKUP_JOBS", "2")]));
    let run = backuper(&all).start();
    wait_for("some of it has passed", || {
        (proxy.sent() > 4 << 20).then_some(())
    });
    proxy.stall(true);
    run
}

/// The sessions that are at rows: pg_dumps, apart from the one that locks all for the schema, and COPYs of ours.
fn streams(stage: &Stage) -> usize {
    let sql = "SELECT count(DISTINCT pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name IN ('backuper pg_dump', 'backuper copy') \
                     AND query LIKE 'COPY%'";
    stage.database.sql(sql).trim().parse().unwrap()
}

#[test]
fn a_stream_that_waits_has_its_locks_and_arrives() {
    let stage = Stage::new("turns");
    let proxy = Proxy::start(stage.s3.port());
    let run = standing_still(&stage, &proxy);
    let before = stage.database.dump();
    wait_for("three streams are at their rows", || {
        (streams(&stage) >= 3).then_some(())
    });
    let name = stage.database.name().to_owned();
    let altering = std::thread::spawn(move || {
        for table in ["one", "two", "three"] {
            let sql = format!("ALTER TABLE {table} ADD COLUMN more int");
            shared().sql(&name, &sql);
        }
    });
    wait_for("the ALTER TABLE waits", || {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
        (stage.database.sql(waiting).trim() != "0").then_some(())
    });
    proxy.stall(false);
    run.wait().expect_code(0);
    altering.join().unwrap();

    let target = shared().database("turns_target");
    let mut all = with(&stage.env(), &target.env());
    all.extend(env([("BACKUP_REVISION", &stage.s3.manifests()[0])]));
    restorer(&all).run().expect_code(0);
    assert_eq!(before, target.dump());
}

#[test]
fn a_stop_ends_those_that_wait_too() {
    let stage = Stage::new("turns");
    let proxy = Proxy::start(stage.s3.port());
    let run = standing_still(&stage, &proxy);
    wait_for("three streams are at their rows", || {
        (streams(&stage) >= 3).then_some(())
    });
    proxy.stall(false);
    run.signal(Signal::SIGTERM);
    let ended = run.wait_within(Duration::from_secs(30));
    assert_ne!(ended.status.code(), Some(0), "{ended}");
    stage.nothing_is_stored();
}
