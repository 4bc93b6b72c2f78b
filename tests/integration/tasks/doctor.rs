//! What would make a backup or a restore fail is found before it does, and nothing is changed for that.

use std::time::{Duration, Instant};

use backuper::doctor::{self, Check, Outcome, Subject};

use super::super::cluster::kept_by;
use super::super::testbed::pgbouncer::Pgbouncer;
use super::super::testbed::postgres::{Cluster, Database, free_port, shared, shared_with_tls};
use super::super::testbed::programs::{Prepared, backuper};
use super::super::testbed::s3::S3;
use super::super::testbed::s3_faults::{Fault, Faults};
use super::super::testbed::{Env, env, folder, unique, wait_for};
use super::super::workers::{Stage, var, with};

/// What is asked, and how long it may take.
const LIMIT: Duration = Duration::from_secs(12);

/// The checks of a database, as its owner.
fn of_database(database: &Database<'_>) -> Env {
    let port = database.cluster().port();
    env([
        (
            "BACKUP_SOURCE",
            &format!("127.0.0.1:{port}/{}", database.name()),
        ),
        ("CHECK_USER", "postgres"),
        ("DB_PASSWORD", database.cluster().password()),
    ])
}

#[track_caller]
fn checked(env: &Env) -> Vec<Check> {
    let begun = Instant::now();
    let ended = backuper(&with(env, &var("BACKUPER_TASK", "check"))).run();
    ended.expect_code(0);
    assert!(begun.elapsed() < LIMIT, "{:?}: {ended}", begun.elapsed());
    let secrets = ["DB_PASSWORD", "S3_SECRET_KEY"];
    for (name, value) in env
        .iter()
        .filter(|(name, _)| secrets.contains(&name.as_str()))
    {
        let is_told = value.len() > 3 && ended.printed().contains(value);
        assert!(!is_told, "{name}: {ended}");
    }
    let checks = doctor::parse(ended.stdout.lines());
    for check in &checks {
        assert_eq!(check.sentence.lines().count(), 1, "{check:?}");
    }
    checks
}

#[track_caller]
fn found<'a>(checks: &'a [Check], subject: Subject, name: &str) -> &'a Check {
    let check = checks
        .iter()
        .find(|it| it.subject == subject && it.name == name);
    check.unwrap_or_else(|| panic!("{subject:?} {name}: {checks:#?}"))
}

#[track_caller]
fn says(checks: &[Check], subject: Subject, name: &str, outcome: Outcome, words: &[&str]) {
    let check = found(checks, subject, name);
    assert_eq!(check.outcome, outcome, "{check:?}");
    for word in words {
        assert!(check.sentence.contains(word), "{word}: {check:?}");
    }
}

/// All after this one were not tried.
#[track_caller]
fn nothing_else_was_tried(checks: &[Check], subject: Subject, but: &[&str]) {
    for check in checks.iter().filter(|it| it.subject == subject) {
        if !but.contains(&check.name.as_str()) {
            assert_eq!(check.outcome, Outcome::Unknown, "{check:?}");
            assert!(check.sentence.starts_with("not tried, since"), "{check:?}");
        }
    }
}

#[test]
fn where_all_is_well_nothing_is_wrong_and_nothing_is_left() {
    let stage = Stage::new("well");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    let before = (stage.s3.objects(), stage.database.dump());
    let checks = checked(&with(&of_database(&stage.database), &stage.s3.env()));
    for check in &checks {
        let expected = match (check.subject, check.name.as_str()) {
            // Both cannot be known without a change, or without the store's telling it.
            (Subject::Store, "delete") => Outcome::Unknown,
            _ => Outcome::Ok,
        };
        assert_eq!(check.outcome, expected, "{check:?}");
    }
    for subject in [Subject::Database, Subject::Store, Subject::Machine] {
        assert!(checks.iter().any(|it| it.subject == subject));
    }
    says(
        &checks,
        Subject::Database,
        "version",
        Outcome::Ok,
        &["pg_dump"],
    );
    says(&checks, Subject::Store, "read", Outcome::Ok, &["1 backups"]);
    assert_eq!((stage.s3.objects(), stage.database.dump()), before);
    assert_eq!(stage.s3.uploads_under_way(), 0);
}

#[test]
fn what_is_not_named_is_not_checked() {
    let checks = checked(&env([]));
    assert!(checks.iter().all(|it| it.subject == Subject::Machine));
    let stage = Stage::new("half");
    let checks = checked(&stage.s3.env());
    assert!(!checks.iter().any(|it| it.subject == Subject::Database));
    says(
        &checks,
        Subject::Store,
        "read",
        Outcome::Unknown,
        &["no database is named"],
    );
    says(&checks, Subject::Store, "write", Outcome::Ok, &[]);
    let mut without = of_database(&stage.database);
    without.retain(|(name, _)| name != "CHECK_USER");
    let checks = checked(&without);
    says(&checks, Subject::Database, "address", Outcome::Ok, &[]);
    nothing_else_was_tried(&checks, Subject::Database, &["address"]);
}

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
        (("DB_PASSWORD", "not-the-password"), "check DB_USER and DB_PASSWORD"),
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

#[test]
fn a_store_that_is_not_as_its_settings_say_is_found() {
    let s3 = S3::start();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for (more, name, words) in [
        (
            ("S3_ENDPOINT", nobody.as_str()),
            "address",
            "check S3_ENDPOINT",
        ),
        (
            ("S3_ACCESS_KEY", "AKNOBODY"),
            "keys",
            "correct S3_ACCESS_KEY",
        ),
        (
            ("S3_SECRET_KEY", "another"),
            "keys",
            "correct S3_SECRET_KEY",
        ),
        (("S3_SECRET_KEY", ""), "keys", "go together"),
        (
            ("S3_BUCKET_NAME", "no-such-bucket"),
            "bucket",
            "create the bucket",
        ),
        (("S3_BUCKET_NAME", ""), "bucket", "S3_BUCKET_NAME is empty"),
    ] {
        let checks = checked(&with(&s3.env(), &var(more.0, more.1)));
        says(&checks, Subject::Store, name, Outcome::Wrong, &[words]);
        for check in &checks {
            let known = check.outcome != Outcome::Unknown;
            let before = ["address", "tls", "keys", "bucket"];
            assert!(
                !known
                    || check.subject == Subject::Machine
                    || before.contains(&check.name.as_str()),
                "{check:?}"
            );
            assert!(!check.sentence.contains(s3.secret_key()), "{check:?}");
        }
    }
    let https = s3.endpoint().replace("http://", "https://");
    let checks = checked(&with(&s3.env(), &var("S3_ENDPOINT", &https)));
    says(
        &checks,
        Subject::Store,
        "tls",
        Outcome::Wrong,
        &["write http://"],
    );
}

#[test]
fn keys_that_may_only_read_are_found_without_a_write() {
    let stage = Stage::new("readonly");
    stage.back_up(&env([]));
    let faults = Faults::start(stage.s3.port());
    for (method, path) in [("POST", "uploads"), ("PUT", "/"), ("DELETE", "/")] {
        faults.on(method, path, 99, Fault::Refuse(403, "AccessDenied"));
    }
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let base = with(&of_database(&stage.database), &stage.s3.env());
    let checks = checked(&with(&base, &through));
    says(&checks, Subject::Store, "list", Outcome::Ok, &[]);
    says(&checks, Subject::Store, "read", Outcome::Ok, &[]);
    let words = ["AccessDenied", "allow it to the owner of S3_ACCESS_KEY"];
    says(&checks, Subject::Store, "write", Outcome::Wrong, &words);
    faults.heal();
    faults.on(
        "GET",
        "manifest.json",
        9,
        Fault::Refuse(403, "AccessDenied"),
    );
    let checks = checked(&with(&base, &through));
    says(
        &checks,
        Subject::Store,
        "read",
        Outcome::Wrong,
        &["AccessDenied"],
    );
    // What is tried is an upload, and no object at any time.
    let written = faults.seen();
    let put: Vec<&String> = written.iter().filter(|it| it.starts_with("PUT")).collect();
    assert!(put.iter().all(|it| it.contains("uploadId")), "{put:?}");
    assert_eq!(stage.s3.uploads_under_way(), 0);
}

#[test]
fn keys_for_one_databases_folder_are_enough() {
    let database = shared().database("below");
    let s3 = S3::start_for_keys_below(&format!("{}/", database.name()));
    let checks = checked(&with(&of_database(&database), &s3.env()));
    says(&checks, Subject::Store, "write", Outcome::Ok, &[]);
    let checks = checked(&s3.env());
    says(
        &checks,
        Subject::Store,
        "list",
        Outcome::Unknown,
        &["name a database"],
    );
}

#[test]
fn a_store_that_does_not_answer_is_not_waited_for() {
    let stage = Stage::new("slow");
    let faults = Faults::start(stage.s3.port());
    faults.on(
        "GET",
        "list-type=2",
        99,
        Fault::Wait(Duration::from_secs(60)),
    );
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let checks = checked(&with(
        &with(&of_database(&stage.database), &stage.s3.env()),
        &through,
    ));
    says(
        &checks,
        Subject::Store,
        "address",
        Outcome::Wrong,
        &["no answer within 4 s"],
    );
    says(&checks, Subject::Database, "login", Outcome::Ok, &[]);
}

#[test]
fn a_directory_is_checked_for_room_and_rights() {
    let stage = Stage::new("directory");
    let store = folder("store");
    let endpoint = var("S3_ENDPOINT", &format!("file://{}", store.display()));
    let base = with(&of_database(&stage.database), &endpoint);
    let checks = checked(&base);
    for name in ["directory", "list", "write", "space", "leftovers"] {
        says(&checks, Subject::Store, name, Outcome::Ok, &[]);
    }
    says(
        &checks,
        Subject::Store,
        "space",
        Outcome::Ok,
        &["has room for"],
    );
    let left = std::fs::read_dir(&store).unwrap().flatten().count();
    assert_eq!(left, 0, "nothing was changed");
    let missing = format!("file://{}", store.join(unique("volume")).display());
    let checks = checked(&with(&base, &var("S3_ENDPOINT", &missing)));
    says(
        &checks,
        Subject::Store,
        "directory",
        Outcome::Wrong,
        &["mkdir it"],
    );
    nothing_else_was_tried(&checks, Subject::Store, &["directory"]);
}

/// What a crashed run left a day ago, and what is being written now.
#[test]
fn leftovers_are_counted() {
    let stage = Stage::new("leftovers");
    let name = stage.database.name();
    for (folder, hours) in [("2026-01-01-00-00-00", 30), ("2026-01-02-00-00-00", 0)] {
        let key = format!("{name}/{folder}-backup-1f3a9c0e/schema.dump");
        stage.s3.put(&key, b"half");
        let ago = format!("-{hours} hours");
        Prepared::new("touch")
            .args(["-d", &ago])
            .arg(stage.s3.path(&key))
            .succeed();
    }
    let checks = checked(&with(&of_database(&stage.database), &stage.s3.env()));
    let words = [
        "2 folders",
        "1 of them are being written",
        "1 are older than a day",
    ];
    says(
        &checks,
        Subject::Store,
        "leftovers",
        Outcome::Warning,
        &words,
    );
}
