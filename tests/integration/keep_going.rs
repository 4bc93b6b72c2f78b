//! `RESTORE_KEEP_GOING=true`, for the worst day: all rows, and the names of what could not be made.

use std::time::Duration;

use super::testbed::core::{Core, Mood};
use super::testbed::postgres::{Database, shared};
use super::testbed::programs::Ended;
use super::testbed::{env, unique, wait_for};
use super::unfinished::{is_silent, objects, restoring};
use super::workers::{Stage, var};

/// What cannot be restored, in all sections but that of the rows, beside what can. Each has depended
/// on something that a restore does not have: a search_path, a row that an index does not know, the
/// name of the program that makes it.
const BROKEN: &str = "
    CREATE TABLE people (id int, name text, CONSTRAINT people_pkey PRIMARY KEY (id));
    INSERT INTO people SELECT n, 'n' || n FROM generate_series(1, 1000) n;
    COMMENT ON CONSTRAINT people_pkey ON people IS 'its key';
    CREATE TABLE orders (id int PRIMARY KEY, person int REFERENCES people);
    INSERT INTO orders SELECT n, n FROM generate_series(1, 1000) n;
    CREATE INDEX orders_person ON orders (person);
    CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
    CREATE FUNCTION louder(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN shout($1); END';
    CREATE INDEX people_louder ON people (louder(name));
    CREATE INDEX people_louder_too ON people (louder(name) DESC);
    COMMENT ON INDEX people_louder IS 'loud';
    CREATE FUNCTION amount() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM people); END';
    CREATE MATERIALIZED VIEW counted AS SELECT amount() AS n;
    CREATE MATERIALIZED VIEW fine AS SELECT count(*) AS n FROM people;
    CREATE FUNCTION at_home(text[], oid) RETURNS void LANGUAGE plpgsql AS
      $$ BEGIN IF current_setting('application_name') LIKE 'restorer%' AND cardinality($1) > 0 THEN RAISE 'not here'; END IF; END $$;
    CREATE FOREIGN DATA WRAPPER wrapper VALIDATOR at_home;
    CREATE SERVER afar FOREIGN DATA WRAPPER wrapper OPTIONS (password 'hunter2');
    COMMENT ON SERVER afar IS 'far away';
    CREATE USER MAPPING FOR PUBLIC SERVER afar OPTIONS (password 'hunter2');
    GRANT USAGE ON FOREIGN SERVER afar TO PUBLIC;";

const NAMES: [&str; 8] = [
    "SERVER afar",
    "USER MAPPING public SERVER afar",
    "CONSTRAINT public.people people_pkey",
    "FK CONSTRAINT public.orders orders_person_fkey",
    "INDEX public.people_louder,",
    "INDEX public.people_louder_too",
    "MATERIALIZED VIEW DATA public.counted",
    "7 statements",
];

/// A backup of [`BROKEN`], with a row in it that its key forbids.
fn broken(prefix: &str) -> (Stage, String) {
    let stage = Stage::new(prefix);
    stage.database.sql(BROKEN);
    let blind = |is: bool| {
        format!(
            "UPDATE pg_index SET indisready = {is}, indisvalid = {is} WHERE indexrelid = 'people_pkey'::regclass"
        )
    };
    stage.database.sql(&blind(false));
    stage.database.sql("INSERT INTO people VALUES (1, 'twice')");
    stage.database.sql(&blind(true));
    let folder = stage.back_up(&env([]));
    (stage, folder)
}

#[track_caller]
fn all_rows_and_what_works_are_there(target: &Database, ended: &Ended) {
    ended.expect_code(3);
    assert!(ended.last_line().contains("restored, but"), "{ended}");
    for name in NAMES {
        assert!(ended.last_line().contains(name), "{name}: {ended}");
    }
    is_silent(ended, "hunter2");
    let found = target.sql(
        "SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM orders), (SELECT n FROM fine),
                (SELECT count(*) FROM pg_class WHERE relname IN ('orders_person', 'orders_pkey')),
                (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'oiler%')",
    );
    assert_eq!(found, "1001|1000|1001|2|0");
}

/// F23: with RESTORE_KEEP_GOING all rows come back, and all that failed is named.
#[test]
fn all_rows_come_back_and_what_cannot_be_made_is_named() {
    let (stage, folder) = broken("keepgoing");
    let core = Core::start(Mood::Recording);
    let missing = shared().existing(&unique("keepgoing_missing"));
    for (target, jobs) in [(shared().database("keepgoing_empty"), "4"), (missing, "1")] {
        let more = env([
            ("RESTORE_KEEP_GOING", "true"),
            ("RESTORE_JOBS", jobs),
            ("CORE_ADDR", &core.address()),
        ]);
        let ended = restoring(&stage, &folder, &target, &more).run();
        all_rows_and_what_works_are_there(&target, &ended);
    }
    let reports = core.restores();
    assert_eq!(reports.len(), 2);
    assert!(reports.iter().all(|it| !it.success), "{reports:?}");
}

/// F23: without it all is back or nothing, and whoever reads the last line learns of the other way.
#[test]
fn without_it_a_failure_leaves_nothing_and_names_the_way_out() {
    let (stage, folder) = broken("allornothing");
    let target = shared().database("allornothing_target");
    let ended = restoring(&stage, &folder, &target, &env([])).run();
    ended.expect_code(2);
    for words in ["SERVER afar", "not here", "RESTORE_KEEP_GOING=true"] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    is_silent(&ended, "hunter2");
    assert_eq!(objects(&target), "0");
}

/// F23: what goes well ends as it does without, and what keeps going is no excuse for lost rows.
#[test]
fn rows_that_have_no_place_are_a_failure() {
    let stage = Stage::new("noplace");
    stage.database.sql(
        "CREATE TABLE fine AS SELECT 1 AS n;
         CREATE FUNCTION checked(oid) RETURNS void LANGUAGE plpgsql AS
           $$ BEGIN IF current_setting('application_name') LIKE 'restorer%' THEN RAISE 'not here'; END IF; END $$",
    );
    let good = stage.back_up(&env([]));
    stage.database.sql(
        "CREATE LANGUAGE plother HANDLER plpgsql_call_handler VALIDATOR checked;
         CREATE FUNCTION answer() RETURNS int LANGUAGE plother AS 'BEGIN RETURN 42; END';
         CREATE TABLE lost (n int DEFAULT answer()); INSERT INTO lost VALUES (1)",
    );
    let bad = stage.back_up(&env([]));
    let target = shared().database("noplace_target");
    let keep_going = var("RESTORE_KEEP_GOING", "true");
    let ended = restoring(&stage, &bad, &target, &keep_going).run();
    ended.expect_code(1);
    for words in ["public\".\"lost", "plother"] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    assert_eq!(objects(&target), "0");
    restoring(&stage, &good, &target, &keep_going)
        .run()
        .expect_code(0);
    assert_eq!(target.sql("SELECT n FROM fine"), "1");
}

/// F23: a connection that is lost makes every statement after it fail; that is no restore.
#[test]
fn a_lost_connection_is_not_taken_for_statements_that_fail() {
    let stage = Stage::new("lostlink");
    stage.database.sql(
        "CREATE TABLE t AS SELECT 1 AS n;
         CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql AS
           $$ BEGIN IF current_setting('application_name') LIKE 'restorer%' THEN PERFORM pg_sleep(120); END IF; RETURN 1; END $$;
         CREATE MATERIALIZED VIEW a AS SELECT slow(); CREATE MATERIALIZED VIEW b AS SELECT 1 AS n",
    );
    let folder = stage.back_up(&env([]));
    let target = shared().database("lostlink_target");
    let more = env([("RESTORE_KEEP_GOING", "true"), ("RESTORE_JOBS", "1")]);
    let running = restoring(&stage, &folder, &target, &more).start();
    wait_for("the restore sleeps", || {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event = 'PgSleep'";
        (target.sql(end) == "1").then_some(())
    });
    let ended = running.wait_within(Duration::from_secs(60));
    ended.expect_code(1);
    let why = "has ended a session of this restore";
    assert!(ended.last_line().contains(why), "{ended}");
    assert_eq!(objects(&target), "0");
}

/// Jobs of pg_restore wait for each other now and then, stock ones too: the server ends one of them.
#[test]
fn what_a_deadlock_has_ended_is_made_again() {
    let stage = Stage::new("deadlock");
    stage.database.sql(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION once(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
             IF current_setting('application_name') LIKE 'restorer%' AND nextval('public.tries') = 1 THEN
                 RAISE 'deadlock detected' USING ERRCODE = 'deadlock_detected';
             END IF;
             RETURN $1;
         END $$;
         CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7);
         CREATE INDEX t_once ON t (once(id)); CREATE INDEX t_twice ON t (once(id) DESC);
         COMMENT ON INDEX t_once IS 'it comes with it'; COMMENT ON INDEX t_twice IS 'this too'",
    );
    let folder = stage.back_up(&env([]));
    for (jobs, keep_going) in [("4", "false"), ("1", "false"), ("4", "true")] {
        let target = shared().database("deadlock_target");
        let more = env([("RESTORE_JOBS", jobs), ("RESTORE_KEEP_GOING", keep_going)]);
        let ended = restoring(&stage, &folder, &target, &more).run();
        ended.expect_code(0);
        assert!(ended.printed().contains("a deadlock"), "{ended}");
        let found = target.sql(
            "SELECT string_agg(relname || ': ' || obj_description(oid), ', ' ORDER BY relname)
               FROM pg_class WHERE relname LIKE 't\\_%ce'",
        );
        assert_eq!(found, "t_once: it comes with it, t_twice: this too");
    }
}
