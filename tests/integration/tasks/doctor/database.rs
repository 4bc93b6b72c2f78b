//! What is found at a database.

use backuper::doctor::{Outcome, Subject};

use super::{checked, found, nothing_else_was_tried, of_database, says};
use crate::cluster::kept_by;
use crate::testbed::pgbouncer::Pgbouncer;
use crate::testbed::postgres::{Cluster, Database, free_port, program, shared, shared_with_tls};
use crate::testbed::programs::Prepared;
use crate::testbed::{env, wait_for};
use crate::versions;
use crate::workers::{var, with};

#[test]
fn an_address_that_does_not_answer_is_found_and_nothing_after_it_is_tried() {
    let database = shared().database("nowhere");
    for (source, words) in [
        (format!("127.0.0.1:{}/shop", free_port()), "refused"),
        (
            "no-such-host.invalid:5432/shop".to_owned(),
            "no-such-host.invalid",
        ),
        // An address that is for documentation: nothing answers.
        ("192.0.2.1:5432/shop".to_owned(), ""),
    ] {
        let checks = checked(&with(
            &of_database(&database),
            &var("BACKUP_SOURCE", &source),
        ));
        let address = found(&checks, Subject::Database, "address");
        assert_ne!(address.outcome, Outcome::Ok, "{address:?}");
        assert!(address.sentence.contains(words), "{address:?}");
        nothing_else_was_tried(&checks, Subject::Database, &["address"]);
    }
}

#[test]
fn a_login_that_fails_says_what_mends_it() {
    let database = shared().database("login");
    let base = of_database(&database);
    for (more, words) in [
        (
            ("DB_PASSWORD", "not-the-password"),
            "check DB_USER and DB_PASSWORD",
        ),
        (("DB_PASSWORD", ""), "set DB_PASSWORD"),
        (("CHECK_USER", "nobody-there"), "check DB_USER"),
    ] {
        let checks = checked(&with(&base, &var(more.0, more.1)));
        says(&checks, Subject::Database, "address", Outcome::Ok, &[]);
        says(
            &checks,
            Subject::Database,
            "login",
            Outcome::Wrong,
            &[words],
        );
        nothing_else_was_tried(&checks, Subject::Database, &["address", "login"]);
    }
    let missing = format!("127.0.0.1:{}/not-there", shared().port());
    let checks = checked(&with(&base, &var("BACKUP_SOURCE", &missing)));
    says(
        &checks,
        Subject::Database,
        "login",
        Outcome::Wrong,
        &["not-there", "check DB_NAME"],
    );
}

#[test]
fn tls_is_told_by_what_it_proves() {
    let plain = shared().database("plain");
    let checks = checked(&with(&of_database(&plain), &var("DB_SSLMODE", "require")));
    says(
        &checks,
        Subject::Database,
        "tls",
        Outcome::Wrong,
        &["does not support TLS"],
    );
    let cluster = shared_with_tls();
    let database = cluster.database("tls");
    let base = of_database(&database);
    let checks = checked(&base);
    says(
        &checks,
        Subject::Database,
        "tls",
        Outcome::Ok,
        &["TLSv1", "verify-full"],
    );
    let root = cluster.authority().file();
    let root = root.display().to_string();
    let full = env([("DB_SSLMODE", "verify-full"), ("DB_SSLROOTCERT", &root)]);
    let checks = checked(&with(&base, &full));
    says(
        &checks,
        Subject::Database,
        "tls",
        Outcome::Ok,
        &["names the host"],
    );
    let checks = checked(&with(&base, &var("DB_SSLMODE", "verify-full")));
    says(
        &checks,
        Subject::Database,
        "tls",
        Outcome::Wrong,
        &["DB_SSLROOTCERT"],
    );
}

#[test]
fn a_role_without_rights_is_told_which() {
    let database = shared().database("rights");
    database.sql(
        "CREATE TABLE kept (a int); SELECT lo_from_bytea(0, 'x');
         CREATE TABLE hidden (a int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
    );
    let role = shared().role("lowly_", "");
    let as_role = |database: &Database<'_>| {
        with(
            &of_database(database),
            &env([("CHECK_USER", &role), ("DB_PASSWORD", "p")]),
        )
    };
    let checks = checked(&as_role(&database));
    let denied = ["may not read", role.as_str()];
    says(
        &checks,
        Subject::Database,
        "tables",
        Outcome::Wrong,
        &[&denied[..], &["kept"]].concat(),
    );
    says(
        &checks,
        Subject::Database,
        "large_objects",
        Outcome::Wrong,
        &denied,
    );
    let hidden = ["may not see all rows", "hidden", "BYPASSRLS"];
    says(
        &checks,
        Subject::Database,
        "row_security",
        Outcome::Wrong,
        &hidden,
    );
    let needs = [
        "a restore over this database needs",
        "CREATE on the database",
        "the owner's rights on",
        "kept",
        "CREATEDB",
    ];
    says(
        &checks,
        Subject::Database,
        "restore_rights",
        Outcome::Warning,
        &needs,
    );
    database.sql(&format!("GRANT pg_read_all_data TO {role}"));
    let checks = checked(&as_role(&database));
    says(&checks, Subject::Database, "tables", Outcome::Ok, &[]);
}

#[test]
fn a_table_that_is_locked_is_told_with_who_holds_it() {
    let database = shared().database("locked");
    database.sql("CREATE TABLE t (a int)");
    let checks = checked(&of_database(&database));
    says(&checks, Subject::Database, "locks", Outcome::Ok, &[]);
    let script = "BEGIN; LOCK TABLE t; SELECT pg_sleep(60)";
    let mut holding = shared()
        .tool("psql", database.name())
        .env("PGAPPNAME", "a migration")
        .args(["-c", script])
        .start();
    let is_held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 't'::regclass";
    wait_for("the lock is held", || {
        (database.sql(is_held) == "1").then_some(())
    });
    let checks = checked(&of_database(&database));
    let words = ["table public.t", "a migration", "LOCK_WAIT_TIMEOUT"];
    says(
        &checks,
        Subject::Database,
        "locks",
        Outcome::Warning,
        &words,
    );
    assert!(!holding.ended());
    holding.signal(nix::sys::signal::Signal::SIGINT);
    holding.wait();
}

#[test]
fn a_server_with_too_little_room_is_told_which_setting_is_too_small() {
    let cluster = Cluster::with_settings(
        "max_locks_per_transaction = 10\nmax_connections = 12\nmax_prepared_transactions = 0",
    );
    let database = cluster.database("room");
    database.sql("DO $$ BEGIN FOR i IN 1..150 LOOP EXECUTE format('CREATE TABLE t%s (a int)', i); COMMIT; END LOOP; END $$");
    let checks = checked(&of_database(&database));
    let words = ["150 tables", "120 locks", "max_locks_per_transaction"];
    says(
        &checks,
        Subject::Database,
        "lock_table",
        Outcome::Warning,
        &words,
    );
    let jobs = var("BACKUP_JOBS", "16");
    let checks = checked(&with(&of_database(&database), &jobs));
    says(
        &checks,
        Subject::Database,
        "connections",
        Outcome::Warning,
        &["instead of 16"],
    );
    let role = cluster.role("two_", "CONNECTION LIMIT 2");
    let as_role = env([("CHECK_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    let checks = checked(&with(&of_database(&database), &as_role));
    let words = ["may open 0 more", "CONNECTION LIMIT"];
    says(
        &checks,
        Subject::Database,
        "connections",
        Outcome::Wrong,
        &words,
    );
}

#[test]
fn what_somebody_has_left_in_the_database_is_told() {
    let cluster = Cluster::with_settings("max_prepared_transactions = 2");
    let database = cluster.database("left");
    database.sql("CREATE TABLE t (a int)");
    // One by one: it must be no transaction of psql's.
    database.sql("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'forgotten'");
    database.sql("CREATE SCHEMA oiler_restore_incomplete");
    let checks = checked(&of_database(&database));
    let words = ["'forgotten'", "ROLLBACK PREPARED"];
    says(
        &checks,
        Subject::Database,
        "prepared_transactions",
        Outcome::Warning,
        &words,
    );
    let words = ["its contents are not complete", "drop the schema"];
    says(
        &checks,
        Subject::Database,
        "restore_mark",
        Outcome::Wrong,
        &words,
    );
}

#[test]
fn an_extension_whose_files_are_gone_is_told() {
    let database = shared().database("gone");
    database.sql(
        "SET allow_system_table_mods = on;
         INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
         VALUES (99999, 'long_gone', 10, 2200, false, '1.2')",
    );
    let checks = checked(&of_database(&database));
    let words = ["long_gone 1.2", "no files of it"];
    says(
        &checks,
        Subject::Database,
        "extensions",
        Outcome::Warning,
        &words,
    );
}

/// What keeps others out is looked at, and not taken.
#[test]
fn a_restore_that_is_under_way_is_told_and_not_disturbed() {
    let database = shared().database("gate");
    let holding = |kind: &str| {
        let sql = format!("SELECT pg_advisory_lock{kind}(x'6f696c72'::int, 1), pg_sleep(60)");
        let psql = shared().tool("psql", database.name()).args(["-c", &sql]);
        let running = psql.start();
        let is_held = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()";
        wait_for("the lock is held", || {
            (database.sql(is_held) == "1").then_some(())
        });
        running
    };
    for (kind, outcome, words) in [
        (
            "",
            Outcome::Wrong,
            "a restore into this database is under way",
        ),
        (
            "_shared",
            Outcome::Ok,
            "a backup of this database is under way",
        ),
    ] {
        let running = holding(kind);
        let checks = checked(&of_database(&database));
        says(&checks, Subject::Database, "runs", outcome, &[words]);
        running.signal(nix::sys::signal::Signal::SIGINT);
        running.wait();
    }
}

#[test]
fn a_standby_is_told_for_what_it_lacks() {
    let primary = Cluster::with_settings("wal_level = replica\nmax_wal_senders = 4");
    let database = primary.database("standby");
    database.sql("CREATE UNLOGGED TABLE cache (a int)");
    let standby = primary.standby("");
    primary.is_followed_by(&standby);
    let there = standby.existing(database.name());
    let checks = checked(&of_database(&there));
    says(
        &checks,
        Subject::Database,
        "unlogged_tables",
        Outcome::Warning,
        &["cache", "primary"],
    );
    says(
        &checks,
        Subject::Database,
        "restore_rights",
        Outcome::Warning,
        &["standby"],
    );
}

#[test]
fn a_pool_that_shares_sessions_is_refused_as_the_worker_refuses_it() {
    let cluster = shared();
    let database = cluster.database("pooled");
    let pooler = Pgbouncer::start(&kept_by("postgres-servers.sh"), cluster, "transaction");
    let source = format!("127.0.0.1:{}/{}", pooler.port(), database.name());
    let checks = checked(&with(
        &of_database(&database),
        &var("BACKUP_SOURCE", &source),
    ));
    let words = ["pooler in transaction or statement mode"];
    says(&checks, Subject::Database, "pooler", Outcome::Wrong, &words);
}

/// A pool that resets nothing hands the same process to the next client.
#[test]
fn a_session_that_goes_back_to_a_pool_is_as_it_came() {
    let cluster = shared();
    let database = cluster.database("pooled_as_is");
    let mode = "session\nserver_reset_query =";
    let pooler = Pgbouncer::start(&kept_by("postgres-servers.sh"), cluster, mode);
    let source = format!("127.0.0.1:{}/{}", pooler.port(), database.name());
    let checks = checked(&with(
        &of_database(&database),
        &var("BACKUP_SOURCE", &source),
    ));
    says(&checks, Subject::Database, "login", Outcome::Ok, &[]);
    let port = pooler.port().to_string();
    let sql = "CREATE TABLE t AS SELECT current_setting('search_path') AS a, current_setting('statement_timeout') AS b";
    let next = Prepared::new(program("psql"))
        .args(["-XAtq", "-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
        .args(["-d", database.name(), "-c", sql])
        .env("PGPASSWORD", cluster.password())
        .run();
    next.expect_code(0);
    let found = database.sql("SELECT a, b FROM t");
    assert_eq!(found, "\"$user\", public|0");
}

/// What is asked is asked of each major, and answered by the pg_dump that it needs.
#[test]
fn servers_of_the_oldest_and_the_newest_major_are_checked_alike() {
    for major in [13, 18] {
        let stage = versions::stage(major);
        let base = of_database(&stage.database);
        let checks = checked(&with(&base, &versions::clients(&[major])));
        for check in &checks {
            assert_eq!(check.outcome, Outcome::Ok, "{check:?}");
        }
        let dumped = format!("pg_dump {major}.");
        says(
            &checks,
            Subject::Database,
            "version",
            Outcome::Ok,
            &[&dumped],
        );
    }
    let stage = versions::stage(18);
    let checks = checked(&of_database(&stage.database));
    let words = [
        "no PostgreSQL client of version 18 or newer",
        "postgresql-client-18",
    ];
    says(
        &checks,
        Subject::Database,
        "version",
        Outcome::Wrong,
        &words,
    );
}
