//! Restores that do not end, or end badly: nobody takes a half for the whole, nothing is left, nothing
//! outside of the target is touched, and what is said of it holds no statement.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};

use super::cluster::kept_by;
use super::testbed::postgres::{Cluster, Database, Version, shared};
use super::testbed::programs::{Ended, Prepared, Running, restorer};
use super::testbed::s3_faults::{Fault, Faults, Rule};
use super::testbed::{Env, env, unique, wait_for};
use super::workers::{Stage, var, with};

/// The mark of a database that is half restored.
const MARK: &str = "oiler_restore_incomplete";

/// What a stopped worker has from the signal to its end.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// A restore of a backup into another database.
pub(crate) fn restoring(stage: &Stage, folder: &str, target: &Database, more: &Env) -> Prepared {
    let manifest = format!("{folder}/manifest.json");
    let mut all = with(&stage.env(), &target.env());
    all.extend(var("BACKUP_REVISION", &manifest));
    restorer(&with(&all, more))
}

/// What anybody has made in a database, counted.
pub(crate) fn objects(database: &Database) -> String {
    database.sql(
        "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace >= 16384 OR relnamespace = 'public'::regnamespace)
              + (SELECT count(*) FROM pg_namespace WHERE oid >= 16384 AND nspname NOT LIKE 'pg\\_%')
              + (SELECT count(*) FROM pg_proc WHERE oid >= 16384)
              + (SELECT count(*) FROM pg_event_trigger) + (SELECT count(*) FROM pg_default_acl)
              + (SELECT count(*) FROM pg_largeobject_metadata)
              + (SELECT count(*) FROM pg_foreign_data_wrapper) + (SELECT count(*) FROM pg_publication)
              + (SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                  WHERE d.datname = current_database())",
    )
}

fn is_there(cluster: &Cluster, name: &str) -> bool {
    let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    cluster.sql("postgres", &count) == "1"
}

/// A database without this materialized view's rows has none: its query fails in every restore, since
/// it looks for a table where only a search_path would find it.
const FAILS_LATE: &str = "CREATE TABLE counted AS SELECT n FROM generate_series(1, 3) n;
    CREATE FUNCTION amount() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM counted); END';
    CREATE MATERIALIZED VIEW late AS SELECT amount() AS n;";

/// F01: what a killed restore leaves is no backup's source, and retention keeps the last good one.
#[test]
fn a_database_that_is_half_restored_is_not_backed_up() {
    let stage = Stage::new("half");
    stage.fill("a", 2);
    stage.fill("b", 2);
    let whole = stage.database.dump();
    let folder = stage.back_up(&var("BACKUP_JOBS", "2"));
    stage.database.sql("DROP TABLE a, b");
    let faults = Faults::start(stage.s3.port());
    let held = Fault::Wait(Duration::from_secs(120));
    faults.on("GET", "data-000", 1, held);
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let running = restorer(&with(&stage.env(), &through)).start();
    wait_for("the restore is held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    running.signal(Signal::SIGKILL);
    running.wait();
    let before = stage.s3.manifests();
    let ended = wait_for("the backup is let in", || {
        let ended = stage.backup(&var("MAX_BACKUP_COUNT", "1"));
        (!ended.last_line().contains("under way")).then_some(ended)
    });
    ended.expect_code(2);
    for words in ["not complete", &folder, "run the restore again", MARK] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    assert_eq!(stage.s3.manifests(), before);
    let refused = stage.restore(&var("RESTORE_MODE", "empty"));
    refused.expect_code(2);
    for words in ["left of a restore of", &folder, "RESTORE_MODE=auto"] {
        assert!(refused.last_line().contains(words), "{words}: {refused}");
    }
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == whole, "the contents have changed");
    stage.backup(&env([])).expect_code(0);
}

/// F01: nor is one that a killed restore has made and not filled.
#[test]
fn a_database_that_was_only_made_is_not_backed_up() {
    let stage = Stage::new("onlymade");
    stage.fill("a", 4);
    let whole = stage.database.dump();
    stage.back_up(&env([]));
    stage.s3.put("archive.dump", &stage.database.custom_dump());
    let name = stage.database.name();
    shared().sql("postgres", &format!("DROP DATABASE \"{name}\""));
    let faults = Faults::start(stage.s3.port());
    // A manifest beside it is looked for, and its head and its contents are read, before there is a database.
    faults.add(Rule {
        method: "GET",
        path: "archive.dump".to_owned(),
        skip: 3,
        times: 1,
        fault: Fault::Wait(Duration::from_secs(120)),
    });
    let through = env([
        ("S3_ENDPOINT", faults.endpoint().as_str()),
        ("BACKUP_REVISION", "archive.dump"),
    ]);
    let running = restorer(&with(&stage.env(), &through)).start();
    wait_for("the restore is held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    running.signal(Signal::SIGKILL);
    running.wait();
    let ended = wait_for("the backup is let in", || {
        let ended = stage.backup(&env([]));
        (!ended.last_line().contains("under way")).then_some(ended)
    });
    ended.expect_code(2);
    assert!(
        ended.last_line().contains("archive.dump was cut short"),
        "{ended}"
    );
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == whole, "the contents have changed");
    stage.backup(&env([])).expect_code(0);
}

/// What a database has for itself: privileges, limit, settings, and its comment.
const ITS_OWN: &str = "
    SELECT concat_ws('|', datacl, datconnlimit, shobj_description(d.oid, 'pg_database'),
                     (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid))
      FROM pg_database d WHERE datname = current_database()";

/// A database that everybody may enter is not the one that was backed up.
#[test]
fn a_restore_that_was_killed_at_any_moment_is_made_good_by_the_next_one() {
    let stage = Stage::new("itsown");
    stage.fill("a", 2);
    let name = stage.database.name();
    shared().sql(
        "postgres",
        &format!(
            "REVOKE CONNECT, TEMPORARY ON DATABASE \"{name}\" FROM PUBLIC;
             ALTER DATABASE \"{name}\" CONNECTION LIMIT 17;
             ALTER DATABASE \"{name}\" SET work_mem = '7MB';
             ALTER ROLE postgres IN DATABASE \"{name}\" SET work_mem = '9MB';
             COMMENT ON DATABASE \"{name}\" IS 'ours'"
        ),
    );
    let own = stage.database.sql(ITS_OWN);
    assert_eq!(own.matches("work_mem").count(), 2, "{own}");
    let whole = stage.database.dump();
    stage.back_up(&env([]));
    let kill = |restoring: Running| {
        restoring.signal(Signal::SIGKILL);
        restoring.wait();
    };
    let comes_back = |when: &str| {
        let ended = wait_for("the restore is let in", || {
            let ended = stage.restore(&env([]));
            (!ended.last_line().contains("under way")).then_some(ended)
        });
        ended.expect_code(0);
        assert_eq!(stage.database.sql(ITS_OWN), own, "{when}: {ended}");
        assert!(stage.database.dump() == whole, "{when}: {ended}");
    };
    let dropped = || {
        shared().sql(
            "postgres",
            &format!("DROP DATABASE \"{name}\" WITH (FORCE)"),
        )
    };
    // While its rows are on their way.
    dropped();
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-000", 1, Fault::Wait(Duration::from_secs(120)));
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let running = restorer(&with(&stage.env(), &through)).start();
    wait_for("the restore is held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    kill(running);
    comes_back("in the middle");
    // When all rows are there, and its settings are not.
    dropped();
    let lock = "BEGIN; LOCK pg_db_role_setting IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(120)";
    let holding = std::thread::spawn(move || shared().sql("postgres", lock));
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'pg_db_role_setting'::regclass AND mode = 'ShareRowExclusiveLock' AND granted";
    wait_for("the lock is held", || {
        (shared().sql("postgres", held) == "1").then_some(())
    });
    let running = restorer(&stage.env()).start();
    let waits = format!(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
          WHERE relation = 'pg_db_role_setting'::regclass AND NOT granted AND datname = '{name}'"
    );
    wait_for("its settings are being set", || {
        (shared().sql("postgres", &waits) == "1").then_some(())
    });
    kill(running);
    shared().sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' AND pid <> pg_backend_pid()",
    );
    drop(holding.join());
    comes_back("at the end");
}

/// Makes of a backup one as they were before the backuper refused half databases: a schema that is
/// named almost like the mark gets its name.
fn with_the_mark(stage: &Stage, folder: &str, almost: &str) {
    let key = format!("{folder}/schema.dump");
    let old = stage.s3.read(&key);
    let mut new = old.clone();
    let mut at = 0;
    while let Some(found) = new[at..]
        .windows(MARK.len())
        .position(|it| it == almost.as_bytes())
    {
        at += found;
        new[at..at + MARK.len()].copy_from_slice(MARK.as_bytes());
    }
    assert_ne!(old, new);
    stage.s3.put(&key, &new);
    let hash = |bytes: &[u8]| -> String {
        let digest = Sha256::digest(bytes);
        digest.iter().map(|it| format!("{it:02x}")).collect()
    };
    let key = format!("{folder}/manifest.json");
    let manifest = String::from_utf8(stage.s3.read(&key)).unwrap();
    let changed = manifest.replace(&hash(&old), &hash(&new));
    assert_ne!(manifest, changed);
    stage.s3.put(&key, changed.as_bytes());
}

/// F01: backups of half databases that were made before restore, without the mark and with a warning.
#[test]
fn a_backup_that_has_the_mark_in_it_restores_without_it() {
    let stage = Stage::new("oldhalf");
    let (role, almost) = (unique("marked_"), MARK.replace("complete", "complet3"));
    stage.database.sql(&format!(
        "CREATE ROLE {role}; CREATE TABLE t AS SELECT 1 AS a;
         CREATE SCHEMA {almost}; COMMENT ON SCHEMA {almost} IS 'The contents are not complete: a restore of x is under way here, or was cut short.';
         GRANT USAGE ON SCHEMA {almost} TO {role}"
    ));
    let folder = stage.back_up(&env([]));
    with_the_mark(&stage, &folder, &almost);
    stage
        .database
        .sql(&format!("DROP SCHEMA {almost}; UPDATE t SET a = 2"));
    let archive = {
        let database = shared().database("oldhalf_archive");
        database.sql(&format!(
            "CREATE TABLE t AS SELECT 1 AS a; CREATE SCHEMA {MARK}; COMMENT ON SCHEMA {MARK} IS 'x'"
        ));
        database.custom_dump()
    };
    stage.s3.put("archive.dump", &archive);

    let (empty, full) = (shared().database("oldhalf_empty"), &stage.database);
    let missing = shared().existing(&unique("oldhalf_missing"));
    let manifest = format!("{folder}/manifest.json");
    for (target, key) in [
        (&empty, &manifest),
        (&missing, &manifest),
        (full, &manifest),
        (&empty, &"archive.dump".to_owned()),
    ] {
        let ended = restoring(&stage, &folder, target, &var("BACKUP_REVISION", key)).run();
        ended.expect_code(0);
        let warns = |it: &&str| it.contains("WARN") && it.contains("was not complete");
        assert_eq!(ended.stderr.lines().filter(warns).count(), 1, "{ended}");
        let found = target.sql(&format!(
            "SELECT a, (SELECT count(*) FROM pg_namespace WHERE nspname = '{MARK}') FROM t"
        ));
        assert_eq!(found, "1|0", "{key}");
    }
}

/// A server that nobody should speak to.
struct Publisher {
    port: u16,
    calls: Arc<AtomicUsize>,
}

impl Publisher {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        std::thread::spawn(move || {
            for _call in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, calls }
    }

    /// A subscription to it, made as far as that goes without it.
    fn subscription(&self) -> String {
        format!(
            "CREATE SUBSCRIPTION following CONNECTION 'host=127.0.0.1 port={} user=me password=hunter2'
               PUBLICATION p WITH (connect = false, slot_name = 'theirs');",
            self.port
        )
    }

    #[track_caller]
    fn has_heard_nothing(&self) {
        assert_eq!(
            self.calls.load(Ordering::SeqCst),
            0,
            "its publisher was called"
        );
    }
}

/// F03: a subscription's publisher hears nothing, however the restore ends.
#[test]
fn no_restore_talks_to_a_publisher() {
    let (stage, publisher) = (Stage::new("publisher"), Publisher::start());
    stage.database.sql(&publisher.subscription());
    let good = stage.back_up(&env([]));
    stage.database.sql(FAILS_LATE);
    let bad = stage.back_up(&env([]));
    stage.database.sql(
        "DROP MATERIALIZED VIEW late; CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql AS
           $$ BEGIN IF current_setting('application_name') LIKE 'restorer%' THEN PERFORM pg_sleep(120); END IF; RETURN 1; END $$;
         CREATE MATERIALIZED VIEW late AS SELECT slow()",
    );
    let slow = stage.back_up(&env([]));
    let cluster = shared();
    let missing = |name: &str| cluster.existing(&unique(name));

    for target in [
        cluster.database("publisher_empty"),
        missing("publisher_missing"),
    ] {
        restoring(&stage, &good, &target, &env([]))
            .run()
            .expect_code(0);
        assert_eq!(target.sql("SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()"), "1");
    }
    publisher.has_heard_nothing();

    let target = cluster.database("publisher_failed");
    let ended = restoring(&stage, &bad, &target, &env([])).run();
    ended.expect_code(2);
    let last = ended.last_line();
    assert!(
        last.contains("MATERIALIZED VIEW DATA public.late"),
        "{ended}"
    );
    assert_eq!(objects(&target), "0");
    let target = missing("publisher_failed");
    restoring(&stage, &bad, &target, &env([]))
        .run()
        .expect_code(2);
    assert!(!is_there(cluster, target.name()), "it is still there");
    publisher.has_heard_nothing();

    for (target, existed) in [
        (cluster.database("publisher_stop"), true),
        (missing("publisher_stop"), false),
    ] {
        let running = restoring(&stage, &slow, &target, &env([])).start();
        let sleeps = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'",
            target.name()
        );
        wait_for("the restore sleeps", || {
            (cluster.sql("postgres", &sleeps) == "1").then_some(())
        });
        running.signal(Signal::SIGTERM);
        running.wait_within(STOPPED_WITHIN).expect_code(143);
        assert_eq!(is_there(cluster, target.name()), existed);
        if existed {
            assert_eq!(objects(&target), "0");
        }
    }
    publisher.has_heard_nothing();
}

/// F03: nor does the server of a foreign table, which ANALYZE of its parent would read.
#[test]
fn no_restore_talks_to_a_foreign_server() {
    let (stage, server) = (Stage::new("foreign"), Publisher::start());
    stage.database.sql(&format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER afar FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{}');
         CREATE USER MAPPING FOR PUBLIC SERVER afar OPTIONS (user 'me', password 'hunter2');
         CREATE TABLE parts (n int) PARTITION BY RANGE (n);
         CREATE TABLE near PARTITION OF parts FOR VALUES FROM (0) TO (1000);
         CREATE FOREIGN TABLE far PARTITION OF parts FOR VALUES FROM (1000) TO (2000) SERVER afar;
         INSERT INTO near SELECT n FROM generate_series(0, 999) n",
        server.port
    ));
    let folder = stage.back_up(&env([]));
    let target = shared().database("foreign_target");
    let ended = restoring(&stage, &folder, &target, &env([])).run();
    ended.expect_code(0);
    server.has_heard_nothing();
    assert!(!ended.printed().contains("ANALYZE failed"), "{ended}");
    let analyzed = "SELECT count(*) FROM pg_stats WHERE tablename = 'near'";
    assert_eq!(target.sql(analyzed), "1");
}

/// F03: what is not waited for any more does not go on in the server, and what it leaves says so.
#[test]
fn a_cleanup_that_takes_too_long_is_canceled_in_the_server() {
    let stage = Stage::new("cancel");
    stage.database.sql(FAILS_LATE);
    let folder = stage.back_up(&env([]));
    stage
        .database
        .sql("DROP MATERIALIZED VIEW late; CREATE MATERIALIZED VIEW late AS SELECT 1 AS n");
    let good = stage.back_up(&env([]));
    let target = shared().database("cancel_target");
    // Rows may come, and the table may not go.
    let lock = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'counted') LOOP PERFORM pg_sleep(0.001); END LOOP; END $$;
        BEGIN; LOCK TABLE public.counted IN ACCESS SHARE MODE; SELECT pg_sleep(600)";
    let locker = shared()
        .tool("psql", target.name())
        .args(["-qc", lock])
        .start();
    let ended = restoring(&stage, &folder, &target, &env([])).run();
    ended.expect_code(2);
    assert!(ended.printed().contains("is still there"), "{ended}");
    wait_for("nothing of it goes on", || {
        let active = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'restorer%' AND datname = current_database()";
        (target.sql(active) == "0").then_some(())
    });
    let marked = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{MARK}'");
    assert_eq!(target.sql(&marked), "1", "{ended}");
    target.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()");
    drop(locker);
    restoring(&stage, &good, &target, &env([]))
        .run()
        .expect_code(0);
    assert_eq!(target.sql(&marked), "0");
}

/// What a load changes beside what it makes: no clean-up of objects would take that back.
const LASTING: &str = "COMMENT ON SCHEMA public IS 'ours'; REVOKE ALL ON SCHEMA public FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;";

/// F03, F10: a load that fails at its very end takes all of it back.
#[test]
fn a_load_that_fails_late_leaves_an_empty_database_as_it_was() {
    let stage = Stage::new("late");
    stage
        .database
        .sql(&format!("{FREEZE} {LASTING} {FAILS_LATE} {THAW}"));
    let folder = stage.back_up(&env([]));
    let target = shared().database("late_target");
    let before = target.dump();
    let ended = restoring(&stage, &folder, &target, &env([])).run();
    ended.expect_code(2);
    assert!(target.dump() == before, "{}\n{ended}", target.dump());
}

/// A schema freeze: no statement that changes the schema goes through any more.
const FREEZE: &str = "CREATE SCHEMA frozen;
    CREATE FUNCTION frozen.refuse() RETURNS event_trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'the schema is frozen: %', tg_tag; END $$;
    CREATE EVENT TRIGGER freeze_drops ON sql_drop EXECUTE FUNCTION frozen.refuse();
    CREATE EVENT TRIGGER freeze_start ON ddl_command_start EXECUTE FUNCTION frozen.refuse();
    COMMENT ON EVENT TRIGGER freeze_start IS 'until the audit is over';
    ALTER EVENT TRIGGER freeze_start DISABLE; ALTER EVENT TRIGGER freeze_drops DISABLE;";
const THAW: &str = "ALTER EVENT TRIGGER freeze_start ENABLE ALWAYS;";

/// F10: event triggers of the backup that refuse every statement meet none of ours.
#[test]
fn a_backup_with_a_schema_freeze_restores_and_is_frozen_again() {
    let stage = Stage::new("freeze");
    let role = unique("reader_");
    stage.database.sql(&format!(
        "{FREEZE} {LASTING} CREATE ROLE {role}; CREATE TABLE t (n int PRIMARY KEY, s text);
         INSERT INTO t SELECT n, n::text FROM generate_series(1, 1000) n; CREATE INDEX ON t (s);
         CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t; CREATE INDEX ON m (n);
         GRANT SELECT ON t, m TO {role}; {THAW}"
    ));
    let folder = stage.back_up(&env([]));
    let (before, sums) = (stage.database.dump(), stage.database.checksums());
    let cluster = shared();
    for target in [
        cluster.database("freeze_empty"),
        cluster.existing(&unique("freeze_missing")),
    ] {
        restoring(&stage, &folder, &target, &env([]))
            .run()
            .expect_code(0);
        assert!(target.dump() == before, "the contents have changed");
        assert_eq!(target.checksums(), sums);
        let analyzed = "SELECT count(*) FROM pg_stats WHERE schemaname = 'public'";
        assert_ne!(target.sql(analyzed), "0", "it is analyzed");
        let frozen =
            "DO $$ BEGIN CREATE TABLE u (); RAISE 'made'; EXCEPTION WHEN raise_exception THEN
            IF SQLERRM NOT LIKE '%frozen%' THEN RAISE; END IF; END $$";
        target.sql(frozen);
    }
}

/// F10: a trigger on login of the backup meets no session of ours, from PostgreSQL 17 on.
#[test]
fn a_login_trigger_of_the_backup_never_fires_for_a_restore() {
    let bin = kept_by("postgres-versions.sh").join("17/usr/lib/postgresql/17/bin");
    let cluster: &'static Cluster =
        Box::leak(Box::new(Cluster::of(Version::at(&bin, None), false)));
    let stage = Stage::on(cluster, "login");
    stage.database.sql(
        "CREATE TABLE logins (who text); CREATE TABLE a AS SELECT 1 AS n; CREATE TABLE b AS SELECT 1 AS n; CREATE TABLE c AS SELECT 1 AS n;
         CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           IF current_setting('application_name') LIKE 'restorer%' THEN INSERT INTO public.logins VALUES (current_setting('application_name')); END IF; END $$;
         CREATE EVENT TRIGGER note ON login EXECUTE FUNCTION note(); ALTER EVENT TRIGGER note ENABLE ALWAYS",
    );
    let clients = var("PG_BIN_DIRS", bin.to_str().unwrap());
    let folder = stage.back_up(&clients);
    let target = cluster.database("login_target");
    let more = with(&clients, &var("RESTORE_JOBS", "4"));
    restoring(&stage, &folder, &target, &more)
        .run()
        .expect_code(0);
    assert_eq!(
        target.sql("SELECT count(*), (SELECT count(*) FROM pg_event_trigger) FROM logins"),
        "0|1"
    );
    cluster.crash();
}

/// No word of this is in what a program says.
#[track_caller]
pub(crate) fn is_silent(ended: &Ended, secret: &str) {
    let said = ended.printed();
    let line = said.lines().find(|it| it.contains(secret));
    assert_eq!(line, None, "{ended}");
    assert!(!said.contains("Command was"), "{ended}");
}

/// F12: a statement that fails is named, and not printed: it may hold passwords.
#[test]
fn a_statement_that_fails_is_named_and_not_printed() {
    let (stage, publisher) = (Stage::new("named"), Publisher::start());
    let role = unique("plain_");
    stage.database.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; CREATE TABLE t AS SELECT 1 AS n; {}",
        publisher.subscription()
    ));
    let folder = stage.back_up(&env([]));
    let target = shared().database("named_target");
    target.sql(&format!(
        "GRANT CREATE ON DATABASE \"{}\" TO {role}; GRANT ALL ON SCHEMA public TO {role}",
        target.name()
    ));
    let plain = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    let ended = restoring(&stage, &folder, &target, &plain).run();
    // Found before the first statement: such a role may make none.
    ended.expect_code(2);
    assert!(
        ended.last_line().contains("subscription following"),
        "{ended}"
    );
    is_silent(&ended, "hunter2");
    assert_eq!(objects(&target), "0");
}

/// F12: nor are rows, which may hold anything.
#[test]
fn a_row_that_does_not_go_in_is_not_printed() {
    let stage = Stage::new("unprinted");
    stage.database.sql(
        "CREATE FUNCTION at_home(text) RETURNS bool LANGUAGE plpgsql AS
           $$ BEGIN RETURN current_setting('application_name') NOT LIKE 'restorer%'; END $$;
         CREATE TABLE secrets (word text CHECK (at_home(word))); INSERT INTO secrets VALUES ('hunter2')",
    );
    let folder = stage.back_up(&env([]));
    let target = shared().database("unprinted_target");
    let ended = restoring(&stage, &folder, &target, &env([])).run();
    ended.expect_code(1);
    let last = ended.last_line();
    assert!(last.contains("TABLE DATA public.secrets"), "{ended}");
    is_silent(&ended, "hunter2");
    assert_eq!(objects(&target), "0");
}
