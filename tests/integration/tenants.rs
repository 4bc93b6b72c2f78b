//! Owners of schemas, operators and databases who mean harm: nothing of theirs is called as the role of a backup or a
//! restore, and nothing that they say is believed.

use super::owners::drop_database;
use super::testbed::postgres::{quoted, shared};
use super::testbed::programs::restorer;
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::{env, wait_for};
use super::workers::{Stage, var, with};

/// What our own statements use; one that fits the very types wins, wherever it stands in a path.
/// PostgreSQL manual, 10.2: operator type resolution.
const OPERATORS: [(&str, &str, &str, &str); 8] = [
    ("||", "text", "boolean", "text"),
    ("||", "text", "integer", "text"),
    ("||", "text", "text", "text"),
    ("||", "integer[]", "integer", "integer[]"),
    ("<>", "text", "text", "boolean"),
    ("=", "text", "text", "boolean"),
    ("=", "name", "name", "boolean"),
    ("*", "numeric", "integer", "numeric"),
];

#[test]
fn an_operator_that_stands_first_in_a_path_is_not_called() {
    let stage = Stage::new("tenant");
    stage.fill("t", 1);
    stage.database.sql("CREATE SCHEMA evil");
    for (number, (operator, left, right, result)) in OPERATORS.iter().enumerate() {
        stage.database.sql(&format!(
            "CREATE FUNCTION evil.f{number}({left}, {right}) RETURNS {result} LANGUAGE plpgsql AS
               $$ BEGIN RAISE 'taken over'; END $$;
             CREATE OPERATOR evil.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.f{number})"
        ));
    }
    let name = quoted(stage.database.name());
    stage.database.sql(&format!(
        "ALTER DATABASE {name} SET search_path = evil, public, pg_catalog"
    ));
    let whole = stage.database.dump();
    stage.backup(&env([])).expect_code(0);
    // Something that keeps what is to be removed.
    stage
        .database
        .sql("CREATE VIEW public.held AS TABLE public.t");
    let refused = stage.restore(&env([]));
    assert!(!refused.printed().contains("taken over"), "{refused}");
    assert!(refused.printed().contains("held"), "{refused}");
    stage.database.sql("DROP VIEW public.held");
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == whole, "the contents have changed");
}

/// What a mark names is removed by the next restore.
#[test]
fn a_mark_that_anybody_may_have_made_is_not_believed() {
    let stage = Stage::new("forged");
    stage.fill("t", 1);
    let folder = stage.back_up(&env([]));
    let tenant = shared().role("tenant", "");
    let mark = "oiler_restore_incomplete";
    stage.database.sql(&format!(
        "CREATE SCHEMA {mark} AUTHORIZATION {tenant};
         COMMENT ON SCHEMA {mark} IS 'The contents are not complete: a restore of {folder}/ is under way here, or was cut short.'"
    ));
    let refused = stage.restore(&env([]));
    refused.expect_code(2);
    assert!(
        refused.last_line().contains("belongs neither to"),
        "{refused}"
    );
    assert_eq!(stage.database.sql("SELECT count(*) > 0 FROM t"), "t");
    stage.database.sql(&format!("DROP SCHEMA {mark}"));
    stage.restore(&env([])).expect_code(0);
}

/// A role that may make things in the schema `public`.
fn tenant_of(stage: &Stage) -> String {
    let tenant = shared().role("tenant", "");
    let grant = format!("GRANT CREATE ON SCHEMA public TO {tenant}");
    stage.database.sql(&grant);
    tenant
}

/// Whoever plans a query of a table evaluates what its owner has written into its indexes.
#[test]
fn no_query_of_a_tenants_table_is_planned() {
    let stage = Stage::new("planned");
    let tenant = tenant_of(&stage);
    stage.database.sql(&format!(
        "SET ROLE {tenant};
         CREATE TABLE log (id int PRIMARY KEY, at int, of int GENERATED ALWAYS AS (nullif(at, 1)) STORED);
         INSERT INTO log VALUES (1, 1), (2, 2);
         CREATE TABLE parted (id int) PARTITION BY LIST (id);
         CREATE TABLE part PARTITION OF parted DEFAULT;
         INSERT INTO parted VALUES (1);
         CREATE TABLE kept (id int, a int, b int, FOREIGN KEY (a) REFERENCES log);
         INSERT INTO kept VALUES (1, NULL, 1);
         CREATE FUNCTION harmless(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
           $$ BEGIN IF current_user <> '{tenant}' THEN RAISE 'taken over'; END IF; RETURN true; END $$;
         CREATE INDEX ON log (at) WHERE harmless(1);
         CREATE INDEX ON part (id) WHERE harmless(1);
         CREATE INDEX ON kept (b) WHERE harmless(1)"
    ));
    let planned = "DO $$ BEGIN PERFORM FROM kept; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END $$; SELECT 1";
    let shown = shared()
        .tool("psql", stage.database.name())
        .args(["-c", planned])
        .run();
    assert!(
        shown.printed().contains("taken over"),
        "a query would: {shown}"
    );
    let without = var("EXCLUDE_TABLE_DATA", "log,parted,part");
    stage.backup(&without).expect_code(0);
    let refused = stage.restore(&env([]));
    refused.expect_code(2);
    for words in ["the rows of table public.log", "public.part", "TRUNCATE"] {
        assert!(refused.last_line().contains(words), "{words}: {refused}");
    }
    assert!(!refused.last_line().contains("public.kept"), "{refused}");
    // Another column of the row is NULL, and this key is whole.
    for (change, key) in [
        ("UPDATE kept SET a = 2", "kept_a_fkey"),
        (
            "UPDATE kept SET a = NULL; ALTER TABLE log ADD UNIQUE (of);
             ALTER TABLE kept ADD c int GENERATED ALWAYS AS (b + 1) STORED REFERENCES log (of)",
            "kept_c_fkey",
        ),
    ] {
        stage.database.sql(&format!("SET ROLE {tenant}; {change}"));
        let refused = stage.backup(&without);
        refused.expect_code(2);
        assert!(refused.last_line().contains(key), "{refused}");
    }
}

/// In a database that others are in while it is loaded.
#[test]
fn what_runs_with_its_owners_rights_never_runs_with_those_of_a_restore() {
    let stage = Stage::new("definer");
    let tenant = tenant_of(&stage);
    stage.database.sql(&format!(
        "SET ROLE {tenant};
         CREATE FUNCTION whose(\"a;\" int DEFAULT 1) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user';
         CREATE PROCEDURE does() LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         CREATE TABLE late (id int DEFAULT 1)"
    ));
    let whole = stage.database.dump();
    let folder = stage.back_up(&env([]));
    let target = shared().database("definer_target");
    // What is made before tables is there then, and whose it is has not been said of tables yet.
    let lock = "BEGIN; LOCK TABLE pg_catalog.pg_attrdef IN SHARE MODE; SELECT pg_sleep(600)";
    let locker = shared().tool("psql", target.name()).args(["-qc", lock]);
    let locker = locker.start();
    let waits = |what: &str| {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {what}"
        );
        target.sql(&sql).trim() != "0"
    };
    wait_for("the lock", || {
        waits("query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'").then_some(())
    });
    let manifest = format!("{folder}/manifest.json");
    let more = with(&target.env(), &var("BACKUP_REVISION", &manifest));
    let running = restorer(&with(&stage.env(), &more)).start();
    wait_for("a table that waits", || {
        waits("wait_event_type = 'Lock' AND query LIKE '%CREATE TABLE%'").then_some(())
    });
    let owners = "SELECT string_agg(proname || ' ' || pg_get_userbyid(proowner), ', ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace";
    let meanwhile = target.sql(owners);
    target.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()");
    drop(locker);
    running.wait().expect_code(0);
    assert_eq!(meanwhile, stage.database.sql(owners));
    assert!(target.dump() == whole, "the contents have changed");
}

/// Whom the database kept out is not let in while it is loaded either.
#[test]
fn a_database_that_is_made_has_its_privileges_before_its_rows() {
    let stage = Stage::new("keptout");
    stage.fill("t", 1);
    let name = quoted(stage.database.name());
    stage
        .database
        .sql(&format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"));
    stage.back_up(&env([]));
    drop_database(&stage.database);
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-000", 1, Fault::Hold);
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let running = restorer(&with(&stage.env(), &through)).start();
    wait_for("the load is held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    let lets_in = "SELECT has_database_privilege('public', current_database(), 'CONNECT')";
    let meanwhile = stage.database.sql(lets_in);
    faults.heal();
    running.wait().expect_code(0);
    assert_eq!(
        (meanwhile.as_str(), stage.database.sql(lets_in).as_str()),
        ("f", "f")
    );
}
