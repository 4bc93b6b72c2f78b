//! Whatever fails, is stopped or is killed, one database has the name, and it is a whole one.

use nix::sys::signal::Signal;

use super::{
    Hold, Session, Watch, beside, oid, one, says, shared, stage, swap, swapping, wait_for,
};
use crate::testbed::env;
use crate::testbed::programs::Running;
use crate::workers::Stage;

/// Kills it, and waits until the server has done with it, and others are let in.
fn kill(stage: &Stage, running: Running) {
    running.signal(Signal::SIGKILL);
    running.wait();
    let name = stage.database.name();
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
          WHERE (datname = '{name}' AND application_name LIKE 'restorer%')
             OR (datname IN ('postgres', 'template1') AND query LIKE '%{name}%' AND query LIKE '%RENAME%' AND state <> 'idle' AND pid <> pg_backend_pid())"
    );
    wait_for("the server has done with it", || {
        (shared().sql("postgres", &sql) == "0").then_some(())
    });
}

#[test]
fn a_load_that_fails_leaves_the_target_and_nothing_else() {
    let stage = Stage::new("failing");
    // Its query fails in every restore: it looks for a table where only a search_path would find it.
    stage.database.sql(
        "CREATE TABLE counted AS SELECT 1 AS n;
         CREATE FUNCTION amount() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM counted); END';
         CREATE MATERIALIZED VIEW late AS SELECT amount() AS n",
    );
    super::changed(&stage);
    let before = (oid(&stage), stage.database.dump());
    let ended = swap(&stage, &env([]));
    assert_ne!(ended.code(), Some(0), "{ended}");
    assert!(
        before == (oid(&stage), stage.database.dump()),
        "it has changed"
    );
    for kind in ["new", "old"] {
        assert_eq!(beside(&stage, kind), Vec::<String>::new(), "{ended}");
    }
}

#[test]
fn a_swap_that_is_stopped_leaves_nothing_and_what_a_killed_one_leaves_the_next_one_removes() {
    let stage = Stage::new("stopped");
    let hold = Hold::prepared(&stage);
    super::changed(&stage);
    let before = oid(&stage);
    hold.begin();
    let running = swapping(&stage, &env([])).start();
    let new = hold.wait(&stage);
    // Others may use it as ever, and nobody else may restore into it.
    stage.database.sql("UPDATE t SET v = 'later still'");
    let other = swap(&stage, &env([]));
    other.expect_code(1);
    assert!(other.last_line().contains("under way"), "{other}");
    running.signal(Signal::SIGTERM);
    running.wait().expect_code(143);
    let none = Vec::<String>::new();
    assert_eq!(beside(&stage, "new"), none);

    let running = swapping(&stage, &env([])).start();
    let left = hold.wait(&stage);
    assert_ne!(left, new);
    kill(&stage, running);
    assert_eq!(
        (says(&stage), oid(&stage)),
        ("later still".to_owned(), before)
    );
    assert_eq!(beside(&stage, "new"), [left.as_str()]);
    // What only looks like it is nobody's to drop, also where it has another database's mark.
    let name = stage.database.name();
    let alike = format!("{name}_new_20200101_000000_0a1b2c3d");
    shared().sql(
        "postgres",
        &format!(
            "CREATE DATABASE \"{alike}\";
             DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE \"{alike}\" IS %L',
               (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{left}')); END $$"
        ),
    );
    let unmarked = format!("{name}_new_20200102_000000_0a1b2c3d");
    shared().sql("postgres", &format!("CREATE DATABASE \"{unmarked}\""));
    hold.end();
    let ended = swap(&stage, &env([]));
    ended.expect_code(0);
    assert!(ended.printed().contains("cut short has left it"), "{ended}");
    let warning = format!("database \"{unmarked}\" may be");
    assert!(ended.printed().contains(&warning), "{ended}");
    assert_eq!(beside(&stage, "new"), [alike, unmarked]);
    assert_eq!(says(&stage), "backup");
}

#[test]
fn a_swap_that_is_killed_at_any_step_leaves_one_whole_database_under_the_name() {
    let stage = Stage::new("anystep");
    let hold = Hold::prepared(&stage);
    super::changed(&stage);
    let name = stage.database.name();
    let watch = Watch::of(&stage);
    let whole = |step: &str| {
        let said = says(&stage);
        assert!(said == "later" || said == "backup", "{step}: {said}");
        said
    };
    for step in [
        "a swap: the database that is there stays",
        "created the database beside",
        "loading into an empty database",
        "the databases have changed names",
    ] {
        let mut running = swapping(&stage, &env([])).start();
        running.wait_until_it_prints(step);
        kill(&stage, running);
        whole(step);
    }
    assert_eq!(whole("the last one"), "backup");
    stage.database.sql("UPDATE t SET v = 'later'");

    // Between what is done in the server: each of the two databases is locked in turn, so that a rename waits.
    for of_new in [false, true] {
        for released in [false, true] {
            let before = oid(&stage);
            hold.begin();
            let running = swapping(&stage, &env([])).start();
            let new = hold.wait(&stage);
            let locked = if of_new { new.as_str() } else { name };
            let comment = format!("COMMENT ON DATABASE \"{locked}\" IS 'x'");
            let locking = Session::begin("postgres", None, &comment);
            hold.end();
            let waits = format!(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND classid = 'pg_database'::regclass
                    AND objid = (SELECT oid FROM pg_database WHERE datname = '{locked}')"
            );
            wait_for("a rename waits", || {
                (shared().sql("postgres", &waits) != "0").then_some(())
            });
            let step = format!("{of_new} {released}");
            if released {
                // The server goes on with what it was told, whether anybody waits for it or not.
                running.signal(Signal::SIGKILL);
                locking.end();
                kill(&stage, running);
                whole(&step);
                stage.database.sql("UPDATE t SET v = 'later'");
            } else {
                // Both are killed, the one here and the one in the server.
                running.signal(Signal::SIGKILL);
                let rename = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                      WHERE query LIKE '%{name}%' AND query LIKE '%RENAME%' AND pid <> pg_backend_pid()"
                );
                assert_eq!(shared().sql("postgres", &rename), "1");
                kill(&stage, running);
                locking.end();
                assert_eq!((whole(&step), oid(&stage)), ("later".to_owned(), before));
            }
        }
    }
    swap(&stage, &env([])).expect_code(0);
    assert_eq!(whole("the end"), "backup");
    assert_eq!(beside(&stage, "new"), Vec::<String>::new());
    watch.end();
}

#[test]
fn a_lock_that_passes_only_makes_a_swap_wait() {
    let stage = stage("waiting");
    let name = stage.database.name();
    let comment = format!("COMMENT ON DATABASE \"{name}\" IS 'x'");
    let locking = Session::begin("postgres", None, &comment);
    let mut running = swapping(&stage, &env([])).start();
    running.wait_until_it_prints("have not changed names");
    locking.end();
    running.wait().expect_code(0);
    assert_eq!(says(&stage), "backup");
    one(&beside(&stage, "old"));
}

/// The connection is lost when all has been told to the server: what has become of it is found out.
#[test]
fn a_swap_whose_connection_is_lost_is_tried_again() {
    let stage = stage("lost");
    let name = stage.database.name();
    let comment = format!("COMMENT ON DATABASE \"{name}\" IS 'x'");
    let locking = Session::begin("postgres", None, &comment);
    let running = swapping(&stage, &env([])).start();
    let rename = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE query LIKE '%{name}%' AND query LIKE '%RENAME%' AND wait_event_type = 'Lock'"
    );
    wait_for("a rename waits", || {
        (shared().sql("postgres", &rename) != "0").then_some(())
    });
    locking.end();
    let ended = running.wait();
    ended.expect_code(0);
    assert!(
        ended.printed().contains("have not changed names"),
        "{ended}"
    );
    assert_eq!(says(&stage), "backup");
}
