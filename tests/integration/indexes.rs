//! Indexes that are built while other streams still load are those that were there.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::testbed::postgres::{Database, shared};
use super::testbed::programs::{Ended, Prepared, restorer};
use super::testbed::{env, wait_for};
use super::workers::{Stage, with};

/// What a restore says when it has built some.
const BUILT: &str = "indexes of its tables are built";

/// To tables that are worth streams of their own, a small one that is loaded with the last. The others have an index
/// that looks into it.
const INDEXES: &str = "\
    CREATE TABLE codes (n int PRIMARY KEY, word text); \
    INSERT INTO codes SELECT n, 'word ' || n FROM generate_series(1, 1000) n; \
    CREATE FUNCTION lookup(int) RETURNS text LANGUAGE plpgsql IMMUTABLE \
        AS 'BEGIN RETURN (SELECT word FROM public.codes WHERE n = $1); END'; \
    CREATE INDEX large_3_lookup ON large_3 (lookup(id)); \
    CREATE INDEX large_2_lookup ON large_2 (lookup(id)); \
    CREATE UNIQUE INDEX large_1_both ON large_1 (id DESC) INCLUDE (id); \
    ALTER TABLE large_1 CLUSTER ON large_1_both; \
    ALTER TABLE large_2 ADD CONSTRAINT to_1 FOREIGN KEY (id) REFERENCES large_1 NOT VALID, REPLICA IDENTITY USING INDEX large_2_pkey; \
    COMMENT ON INDEX large_1_both IS 'both'; \
    COMMENT ON INDEX large_3_lookup IS 'words'; \
    COMMENT ON CONSTRAINT large_1_pkey ON large_1 IS 'its key'; \
    COMMENT ON CONSTRAINT to_1 ON large_2 IS 'not checked'";

fn large(prefix: &str) -> Stage {
    let stage = Stage::new(prefix);
    for (table, mebibytes) in [("large_1", 20), ("large_2", 24), ("large_3", 21)] {
        stage.fill(table, mebibytes);
    }
    stage
}

fn restored(stage: &Stage, target: &Database) -> Ended {
    restoring(stage, target).run()
}

fn restoring(stage: &Stage, target: &Database) -> Prepared {
    let folder = stage.back_up(&env([("BACKUP_JOBS", "4")]));
    let manifest = format!("{folder}/manifest.json");
    let mut all = with(&stage.env(), &target.env());
    all.extend(env([
        ("RESTORE_JOBS", "2"),
        ("BACKUP_REVISION", manifest.as_str()),
        // A table that is emptied first would wait for the lock that only an index is to wait for.
        ("RESTORE_COPY_FORMAT", "text"),
    ]));
    restorer(&all)
}

#[test]
fn indexes_that_are_built_early_are_whole() {
    let stage = large("indexes");
    stage.database.sql(INDEXES);
    let before = stage.database.dump();
    let target = shared().database("indexes_target");
    let ended = restored(&stage, &target);
    ended.expect_code(0);
    assert!(ended.stderr.contains(BUILT), "{ended}");
    assert!(before == target.dump(), "the contents have changed");
    for table in ["large_2", "large_3"] {
        let found = target.sql(&format!(
            "SET enable_seqscan = off; SELECT count(*) FROM {table} WHERE lookup(id) = 'word 7'"
        ));
        assert_eq!(found.trim(), "1", "{table}: its index was built too early");
    }
}

#[test]
fn an_index_that_cannot_be_built_early_leaves_nothing() {
    let stage = large("indexes_broken");
    // An index that does not know of a row: what is restored is not what a unique index can have.
    stage.database.sql(
        "UPDATE pg_index SET indisready = false, indisvalid = false WHERE indexrelid = 'large_1_pkey'::regclass",
    );
    stage
        .database
        .sql("INSERT INTO large_1 VALUES (1, 'twice')");
    stage.database.sql(
        "UPDATE pg_index SET indisready = true, indisvalid = true WHERE indexrelid = 'large_1_pkey'::regclass",
    );
    let target = shared().database("indexes_broken_target");
    let ended = restored(&stage, &target);
    assert_ne!(ended.code(), Some(0), "{ended}");
    assert!(ended.last_line().contains("large_1_pkey"), "{ended}");
    let tables =
        target.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace");
    assert_eq!(tables.trim(), "0");
}

#[test]
fn a_stop_while_an_index_is_built_early_leaves_nothing() {
    let stage = large("indexes_stopped");
    let target = shared().database("indexes_stopped_target");
    let run = restoring(&stage, &target).start();
    // Rows may still come, and no index: the build waits for this lock.
    let lock = "DO $$ BEGIN \
        WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'large_2') LOOP PERFORM pg_sleep(0.001); END LOOP; END $$; \
        BEGIN; LOCK TABLE public.large_2 IN ROW EXCLUSIVE MODE; SELECT pg_sleep(600)";
    let locker = shared()
        .tool("psql", target.name())
        .args(["-qc", lock])
        .start();
    wait_for("an index waits while rows are loaded", || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND query LIKE '%large_2_pkey%'";
        (target.sql(sql).trim() != "0").then_some(())
    });
    run.signal(Signal::SIGTERM);
    wait_for("it has heard of it", || {
        run.printed().contains("asked to stop").then_some(())
    });
    target.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()");
    drop(locker);
    let ended = run.wait_within(Duration::from_secs(30));
    assert_eq!(ended.code(), Some(143), "{ended}");
    let left = target.sql(
        "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace) + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'oiler%')",
    );
    assert_eq!(left.trim(), "0", "{ended}");
}
