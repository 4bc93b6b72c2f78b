//! Swap restores: a new database takes the target's place, at once or not at all, and the old one can come back.

mod carried;
mod killed;
mod refusals;

use super::testbed::postgres::shared;
use super::testbed::programs::{Ended, Prepared, Running, backuper, restorer};
use super::testbed::{Env, env, folder, unique, wait_for};
use super::workers::{Stage, var, with};

/// A database whose backup says `backup`, and that says `later` by now.
fn stage(prefix: &str) -> Stage {
    let stage = Stage::new(prefix);
    changed(&stage);
    stage
}

/// Makes it one.
fn changed(stage: &Stage) {
    stage.database.sql("CREATE TABLE t AS SELECT 'backup' AS v");
    stage.back_up(&env([]));
    stage.database.sql("UPDATE t SET v = 'later'");
}

/// What it says.
fn says(stage: &Stage) -> String {
    stage.database.sql("SELECT v FROM t")
}

fn swapping(stage: &Stage, more: &Env) -> Prepared {
    restorer(&with(
        &with(&stage.env(), &var("RESTORE_MODE", "swap")),
        more,
    ))
}

fn swap(stage: &Stage, more: &Env) -> Ended {
    swapping(stage, more).run()
}

fn swap_back(stage: &Stage, more: &Env) -> Ended {
    let task = var("RESTORER_TASK", "swap-back");
    restorer(&with(&with(&stage.database.env(), &task), more)).run()
}

/// The databases beside it that a swap has made (`new`) or kept (`old`).
fn beside(stage: &Stage, kind: &str) -> Vec<String> {
    let name = stage.database.name();
    let sql = format!(
        "SELECT datname FROM pg_database WHERE starts_with(datname, '{name}_{kind}_') ORDER BY 1"
    );
    let found = stage.database.cluster().sql("postgres", &sql);
    found.lines().map(str::to_owned).collect()
}

#[track_caller]
fn one(names: &[String]) -> &str {
    let [name] = names else { panic!("{names:?}") };
    name
}

/// What the server knows of a database under any name.
fn oid(stage: &Stage) -> String {
    let name = stage.database.name();
    let sql = format!("SELECT oid FROM pg_database WHERE datname = '{name}'");
    stage.database.cluster().sql("postgres", &sql)
}

/// Watches that always exactly one database has the name.
struct Watch {
    running: Running,
    until: String,
}

impl Watch {
    fn of(stage: &Stage) -> Self {
        let (name, until) = (stage.database.name(), unique("stop_"));
        let sql = format!(
            "DO $$ BEGIN
               WHILE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{until}') LOOP
                 IF (SELECT count(*) FROM pg_database WHERE datname = '{name}') <> 1 THEN
                   RAISE EXCEPTION 'nobody has the name';
                 END IF;
                 PERFORM pg_sleep(0.002);
               END LOOP;
             END $$"
        );
        let running = shared().tool("psql", "postgres").args(["-c", &sql]).start();
        Self { running, until }
    }

    #[track_caller]
    fn end(self) {
        shared().sql("postgres", &format!("CREATE ROLE {}", self.until));
        self.running.wait().expect_code(0);
        shared().sql("postgres", &format!("DROP ROLE {}", self.until));
    }
}

/// Restores of what was backed up with it wait at their end, for as long as there is a role of this name.
struct Hold(String);

impl Hold {
    /// For a database that is not backed up yet; nothing waits so far.
    fn prepared(stage: &Stage) -> Self {
        let role = unique("hold_");
        stage.database.sql(&format!(
            "CREATE FUNCTION hold() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
               WHILE EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') LOOP
                 PERFORM pg_catalog.pg_sleep(0.01);
               END LOOP;
               RETURN 1;
             END $$;
             CREATE MATERIALIZED VIEW held AS SELECT public.hold() AS n"
        ));
        Self(role)
    }

    fn begin(&self) {
        shared().sql("postgres", &format!("CREATE ROLE {}", self.0));
    }

    /// Waits until a load waits, and gives the new database's name.
    fn wait(&self, stage: &Stage) -> String {
        let name = stage.database.name();
        let sql = format!(
            "SELECT datname FROM pg_stat_activity
              WHERE wait_event = 'PgSleep' AND starts_with(datname, '{name}_new_')"
        );
        wait_for("the load is held", || {
            let found = shared().sql("postgres", &sql);
            (!found.is_empty()).then_some(found)
        })
    }

    fn end(&self) {
        shared().sql("postgres", &format!("DROP ROLE {}", self.0));
    }
}

/// A psql that stays in a database, in a transaction after this SQL.
struct Session(Running, String);

impl Session {
    fn begin(database: &str, role: Option<&str>, sql: &str) -> Self {
        let tag = unique("session_");
        let psql = shared().tool("psql", database);
        let psql = match role {
            Some(role) => psql.env("PGUSER", role),
            None => psql,
        };
        let sql = format!("BEGIN; {sql}; SELECT pg_sleep(300) /* {tag} */");
        let running = psql.args(["-X", "-c", &sql]).start();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{tag}%' AND wait_event = 'PgSleep'"
        );
        wait_for("the session is there", || {
            (shared().sql("postgres", &sql) == "1").then_some(())
        });
        Self(running, tag)
    }

    fn end(self) {
        let Self(running, tag) = self;
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE query LIKE '%{tag}%' AND pid <> pg_backend_pid()"
        );
        shared().sql("postgres", &sql);
        running.wait();
    }
}

#[test]
fn a_swap_ends_the_sessions_and_puts_the_backup_into_the_targets_place_and_one_command_brings_it_back()
 {
    let stage = stage("swapped");
    let name = stage.database.name();
    stage
        .database
        .sql(&format!("COMMENT ON DATABASE \"{name}\" IS 'ours'"));
    let before = oid(&stage);
    let watch = Watch::of(&stage);
    let reading = Session::begin(name, None, "SELECT v FROM t");
    let writing = Session::begin(name, None, "UPDATE t SET v = 'lost'");

    let ended = swap(&stage, &env([]));
    ended.expect_code(0);
    for session in [reading, writing] {
        let ended = session.0.wait();
        assert!(ended.stderr.contains("terminating connection"), "{ended}");
    }
    assert_eq!(says(&stage), "backup");
    assert_ne!(oid(&stage), before);
    let old = beside(&stage, "old");
    let kept = one(&old);
    for words in [kept, "RESTORER_TASK=swap-back", "restore complete"] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    assert_eq!(beside(&stage, "new"), Vec::<String>::new());
    let state = format!(
        "SELECT datallowconn, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{kept}'"
    );
    let state = shared().sql("postgres", &state);
    assert!(state.starts_with("f|It was database"), "{state}");
    let comment = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'"
    );
    assert_eq!(shared().sql("postgres", &comment), "ours");

    // Back, with somebody in the new one.
    stage.database.sql("UPDATE t SET v = 'newer'");
    let reading = Session::begin(name, None, "SELECT v FROM t");
    let ended = swap_back(&stage, &env([]));
    ended.expect_code(0);
    reading.0.wait();
    assert_eq!((says(&stage), oid(&stage)), ("later".to_owned(), before));
    assert_eq!(shared().sql("postgres", &comment), "ours");
    let newer = beside(&stage, "old");
    let newer = one(&newer);
    assert!(ended.last_line().contains(newer), "{ended}");

    // And back again, by its name.
    let other = swap_back(&stage, &var("SWAP_BACK_TO", "nobody"));
    other.expect_code(2);
    assert!(other.last_line().contains(newer), "{other}");
    swap_back(&stage, &var("SWAP_BACK_TO", newer)).expect_code(0);
    assert_eq!(says(&stage), "newer");
    watch.end();

    // Also where nobody has the name any more.
    let dropped = format!("DROP DATABASE \"{name}\"");
    shared().sql("postgres", &dropped);
    swap_back(&stage, &env([])).expect_code(0);
    assert_eq!(says(&stage), "later");
    assert_eq!(shared().sql("postgres", &comment), "ours");
    let none = swap_back(&stage, &env([]));
    none.expect_code(2);
    assert!(none.last_line().contains("no database is kept"), "{none}");
    assert_eq!(says(&stage), "later");
}

#[test]
fn what_is_missing_or_empty_is_restored_into_as_ever_and_in_place_is_what_is_done_unasked() {
    let stage = stage("unswapped");
    let before = oid(&stage);
    for more in [
        env([]),
        var("RESTORE_MODE", "in-place"),
        var("RESTORE_MODE", "auto"),
    ] {
        stage.database.sql("UPDATE t SET v = 'later'");
        stage.restore(&more).expect_code(0);
        assert_eq!(
            (says(&stage), oid(&stage)),
            ("backup".to_owned(), before.clone())
        );
    }
    // Empty.
    stage.database.sql("DROP TABLE t");
    swap(&stage, &env([])).expect_code(0);
    assert_eq!((says(&stage), oid(&stage)), ("backup".to_owned(), before));
    // Missing.
    let name = stage.database.name();
    shared().sql("postgres", &format!("DROP DATABASE \"{name}\""));
    swap(&stage, &env([])).expect_code(0);
    assert_eq!(says(&stage), "backup");
    for kind in ["new", "old"] {
        assert_eq!(beside(&stage, kind), Vec::<String>::new());
    }
    let wrong = stage.restore(&var("RESTORE_MODE", "swop"));
    wrong.expect_code(2);
    for word in ["RESTORE_MODE", "auto", "in-place", "empty", "swap"] {
        assert!(wrong.last_line().contains(word), "{wrong}");
    }
}

#[test]
fn what_was_kept_long_enough_is_dropped_by_the_next_swap_and_nothing_else_is() {
    let stage = stage("expired");
    let name = stage.database.name();
    // What only looks like ours.
    let alike = format!("{name}_old_20200101_000000");
    shared().sql("postgres", &format!("CREATE DATABASE \"{alike}\""));
    // What somebody has renamed, or commented on, since.
    swap(&stage, &var("KEEP_OLD", "1s")).expect_code(0);
    let mut kept = beside(&stage, "old");
    kept.retain(|it| *it != alike);
    let renamed = format!("{name}_mine");
    let sql = format!("ALTER DATABASE \"{}\" RENAME TO \"{renamed}\"", one(&kept));
    shared().sql("postgres", &sql);
    swap(&stage, &var("KEEP_OLD", "1s")).expect_code(0);
    let mut kept = beside(&stage, "old");
    kept.retain(|it| *it != alike);
    let expired = one(&kept).to_owned();
    shared().sql("postgres", "SELECT pg_sleep(1.1)");
    // Somebody is in it: it stays.
    let open = format!("ALTER DATABASE \"{expired}\" ALLOW_CONNECTIONS true");
    shared().sql("postgres", &open);
    let session = Session::begin(&expired, None, "SELECT 1");
    let ended = swap(&stage, &env([]));
    ended.expect_code(0);
    assert!(ended.printed().contains("somebody is connected"), "{ended}");
    let all = beside(&stage, "old");
    assert!(all.contains(&expired), "{all:?}");
    let later = all.iter().find(|it| **it != expired && **it != alike);
    let drop = format!("DROP DATABASE \"{}\"", later.expect("one more"));
    shared().sql("postgres", &drop);
    session.end();
    let ended = swap(&stage, &env([]));
    ended.expect_code(0);
    assert!(ended.printed().contains("kept as long as"), "{ended}");
    let all = beside(&stage, "old");
    assert!(!all.contains(&expired) && all.contains(&alike), "{all:?}");
    assert_eq!(all.len(), 2, "{all:?}");
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{renamed}'");
    assert_eq!(shared().sql("postgres", &sql), "1");
}

/// What is not whole takes the place, as it was asked to; what it leaves is then the only whole one.
#[test]
fn the_old_database_is_kept_where_something_was_left_out() {
    let stage = Stage::new("swap_partly");
    stage.database.sql(
        "CREATE TABLE z (id int PRIMARY KEY); CREATE TABLE t (id int REFERENCES z); \
         ALTER TABLE t DISABLE TRIGGER ALL; INSERT INTO t VALUES (1); ALTER TABLE t ENABLE TRIGGER ALL",
    );
    stage.back_up(&env([]));
    let more = env([("RESTORE_KEEP_GOING", "true"), ("KEEP_OLD", "0")]);
    let ended = swap(&stage, &more);
    ended.expect_code(3);
    assert!(ended.stderr.contains("t_id_fkey"), "{ended}");
    assert!(ended.stderr.contains("something was left out"), "{ended}");
    let old = beside(&stage, "old");
    let sql = format!("DROP DATABASE \"{}\"", one(&old));
    stage.database.cluster().sql("postgres", &sql);
}

#[test]
fn a_name_may_be_as_long_as_it_can_be_and_of_any_script() {
    let cluster = shared();
    let mut name = format!("{}数\"ü", unique("l"));
    while name.len() < 63 {
        name.push_str(if name.len() < 61 { "数" } else { "x" });
    }
    let database = cluster.named(&name);
    let store = format!("file://{}", folder("store").display());
    let all = with(&database.env(), &var("S3_ENDPOINT", &store));
    database.sql("CREATE TABLE t AS SELECT 'backup' AS v");
    backuper(&all).succeed();
    database.sql("UPDATE t SET v = 'later'");
    restorer(&with(&all, &var("RESTORE_MODE", "swap"))).succeed();
    assert_eq!(database.sql("SELECT v FROM t"), "backup");
    restorer(&with(&all, &var("RESTORER_TASK", "swap-back"))).succeed();
    assert_eq!(database.sql("SELECT v FROM t"), "later");
    let sql = format!(
        "SELECT count(*) FROM pg_database WHERE starts_with(datname, '{}')",
        &name[..13]
    );
    assert_eq!(cluster.sql("postgres", &sql), "2", "{name}");
}
