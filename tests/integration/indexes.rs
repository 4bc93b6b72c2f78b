//! Indexes that are built while other streams still load are those that were there.

use super::testbed::env;
use super::testbed::postgres::{Database, shared};
use super::testbed::programs::{Ended, restorer};
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
    let folder = stage.back_up(&env([("BACKUP_JOBS", "4")]));
    let manifest = format!("{folder}/manifest.json");
    let mut all = with(&stage.env(), &target.env());
    all.extend(env([
        ("RESTORE_JOBS", "2"),
        ("BACKUP_REVISION", manifest.as_str()),
    ]));
    restorer(&all).run()
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
