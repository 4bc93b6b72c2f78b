//! The backuper on a real PostgreSQL and a real S3 server.

use std::time::Duration;

use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};

use super::testbed::core::{Core, Mood};
use super::testbed::postgres::{self, shared, shared_with_tls};
use super::testbed::programs::{Ended, backuper};
use super::testbed::s3::S3;
use super::testbed::tls::Authority;
use super::testbed::{env, folder, unique, wait_for};
use super::workers::{Stage, var, with};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

#[test]
fn u10_a_backup_is_what_its_manifest_says() {
    let stage = Stage::new("shape");
    stage.fill("big", 12);
    stage.fill("large", 10);
    stage.database.sql("CREATE TABLE small AS SELECT 1 AS a");
    let folder = stage.back_up(&var("BACKUP_JOBS", "2"));
    let manifest = stage.s3.read(&format!("{folder}/manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let streams = manifest["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 3, "{manifest:#}");
    for stream in streams {
        let stored = stage.s3.read(stream["key"].as_str().unwrap());
        assert_eq!(stream["stored_bytes"], stored.len());
        assert_eq!(stream["sha256"], hex(&Sha256::digest(&stored)));
    }
    let mut keys = stage.s3.keys();
    keys.retain(|it| !it.ends_with("manifest.json"));
    assert_eq!(keys.len(), streams.len());
    assert_eq!(stage.s3.uploads_under_way(), 0);
    let tables: Vec<_> = streams
        .iter()
        .flat_map(|it| it["tables"].as_array().unwrap())
        .collect();
    assert_eq!(tables.len(), 3, "every table is carried once");
}

#[test]
fn u01_no_count_keeps_every_backup() {
    let stage = Stage::new("keep");
    for count in ["", "0", "0"] {
        stage.back_up(&var("MAX_BACKUP_COUNT", count));
    }
    assert_eq!(stage.s3.manifests().len(), 3);
}

#[test]
fn u03_u04_retention_takes_the_oldest_of_this_source_and_nothing_else() {
    let stage = Stage::new("retain");
    let name = stage.database.name().to_owned();
    let other = format!("{name}/2020-01-01-00-00-00-backup-00000000/manifest.json");
    let foreign = [
        other,
        format!("{name}/2020-01-01-00-00-00-backup.sql"),
        format!("{name}/notes.txt"),
        "elsewhere/2020-01-01-00-00-00-backup.sql".to_owned(),
    ];
    for key in &foreign {
        stage.s3.put(key, b"not ours");
    }
    let made: Vec<String> = (0..4)
        .map(|_| stage.back_up(&var("MAX_BACKUP_COUNT", "2")))
        .collect();
    let kept = stage.s3.keys();
    for key in &foreign {
        assert!(kept.contains(key), "{key} is gone");
    }
    for (number, folder) in made.iter().enumerate() {
        let there = kept.iter().any(|it| it.starts_with(folder.as_str()));
        assert_eq!(there, number >= 2, "{folder}");
    }
}

#[test]
fn u06_the_newest_of_1500_backups_is_found_behind_the_first_page() {
    let stage = Stage::new("pages");
    let name = stage.database.name().to_owned();
    stage.database.sql("CREATE TABLE t AS SELECT 'new' AS v");
    for number in 0..1_500 {
        let (hour, minute) = (number / 60, number % 60);
        let key = format!(
            "{name}/2020-01-{:02}-{:02}-{minute:02}-00-backup.sql",
            1 + hour / 24,
            hour % 24
        );
        stage.s3.put(&key, b"PGDMP");
    }
    let made = stage.back_up(&var("MAX_BACKUP_COUNT", "1"));
    stage.database.sql("UPDATE t SET v = 'old'");
    stage.restore(&var("BACKUP_REVISION", "0")).expect_code(0);
    assert_eq!(stage.database.sql("SELECT v FROM t").trim(), "new");
    let again = stage.back_up(&var("MAX_BACKUP_COUNT", "1"));
    let kept = stage.s3.keys();
    let published = kept.iter().filter(|it| it.ends_with("-backup.sql"));
    assert_eq!(published.count(), 1_500);
    assert!(kept.iter().any(|it| it.starts_with(again.as_str())));
    assert!(
        !kept.iter().any(|it| it.starts_with(made.as_str())),
        "{made}"
    );
}

#[test]
fn u09_a_copied_bucket_keeps_its_history() {
    let stage = Stage::new("copied");
    let made: Vec<String> = (0..2).map(|_| stage.back_up(&env([]))).collect();
    // As a copy does: the older one's objects are the younger ones now.
    for key in stage.s3.keys() {
        if key.starts_with(made[0].as_str()) {
            let bytes = stage.s3.read(&key);
            stage.s3.put(&key, &bytes);
        }
    }
    stage.back_up(&var("MAX_BACKUP_COUNT", "2"));
    let kept = stage.s3.manifests();
    assert!(
        !kept.iter().any(|it| it.starts_with(made[0].as_str())),
        "{kept:?}"
    );
    assert!(
        kept.iter().any(|it| it.starts_with(made[1].as_str())),
        "{kept:?}"
    );
}

#[test]
fn u05_two_backups_that_start_together_get_two_folders() {
    let stage = Stage::new("together");
    let env = stage.env();
    let both = [backuper(&env).start(), backuper(&env).start()];
    for running in both {
        running.wait().expect_code(0);
    }
    assert_eq!(stage.s3.manifests().len(), 2);
}

#[test]
fn u12_a_core_that_does_not_take_the_report_changes_nothing() {
    let stage = Stage::new("deafcore");
    for mood in [Mood::Hanging, Mood::Released] {
        let core = Core::start(mood);
        stage
            .backup(&var("CORE_ADDR", &core.address()))
            .expect_code(0);
    }
    let nobody = format!("127.0.0.1:{}", postgres::free_port());
    let ended = stage.backup(&var("CORE_ADDR", &nobody));
    ended.expect_code(0);
    assert!(ended.printed().contains("WARN"), "{ended}");
}

#[test]
fn u13_u20_every_failure_is_reported_once_with_the_time_it_took() {
    let stage = Stage::new("report");
    let core = Core::start(Mood::Recording);
    let report = var("CORE_ADDR", &core.address());
    stage.backup(&report).expect_code(0);
    for broken in [
        env([("DB_NAME", "nobody has this")]),
        env([
            ("S3_ENDPOINT", "http://127.0.0.1:9"),
            ("S3_BUCKET_NAME", ""),
        ]),
    ] {
        stage.backup(&with(&report, &broken)).expect_code(2);
    }
    let reports = core.backups();
    assert_eq!(reports.len(), 3, "{reports:?}");
    for report in &reports {
        assert!(report.time_elapsed >= 0, "{report:?}");
    }
    let successes: Vec<bool> = reports.iter().map(|it| it.success).collect();
    assert_eq!(successes, [true, false, false]);
    let port = shared().port();
    let name = format!("127.0.0.1:{port}/{}", stage.database.name());
    assert_eq!(reports[0].name, name);
}

#[track_caller]
fn is_refused_before_it_dumps(ended: &Ended, words: &[&str]) {
    ended.expect_code(2);
    for word in words {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
    assert!(!ended.printed().contains("dumping"), "{ended}");
}

/// And U02: a negative count.
#[test]
fn what_is_configured_wrongly_is_refused_in_one_sentence() {
    let stage = Stage::new("wrong");
    for (name, value, words) in [
        ("DB_PASSWORD", "wrong", &["password", "DB_PASSWORD"][..]),
        ("DB_NAME", "nobody has this", &["does not exist", "DB_NAME"]),
        (
            "S3_BUCKET_NAME",
            "no-such-bucket",
            &["no-such-bucket", "S3_BUCKET_NAME"],
        ),
        ("S3_SECRET_KEY", "wrong", &["S3_SECRET_KEY"]),
        ("S3_ACCESS_KEY", "wrong", &["S3_ACCESS_KEY"]),
        ("MAX_BACKUP_COUNT", "-1", &["MAX_BACKUP_COUNT"]),
        ("DB_PORT", "none", &["DB_PORT"]),
        (
            "S3_ENDPOINT",
            "file:///no/such/directory",
            &["/no/such/directory"],
        ),
    ] {
        is_refused_before_it_dumps(&stage.backup(&var(name, value)), words);
    }
    stage.nothing_is_stored();
}

#[test]
fn a_table_that_stays_locked_fails_the_backup_and_a_stop_does_not_wait_for_it() {
    let stage = Stage::new("locked");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS n");
    let holder = stage
        .database
        .cluster()
        .tool("psql", stage.database.name())
        .args(["-c", "BEGIN; LOCK TABLE t; SELECT pg_sleep(100)"])
        .start();
    let locked = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock' AND granted";
    wait_for("the lock", || {
        (stage.database.sql(locked).trim() == "1").then_some(())
    });
    let ended = stage.backup(&var("LOCK_WAIT_TIMEOUT", "1s"));
    ended.expect_code(1);
    assert!(ended.last_line().contains("LOCK_WAIT_TIMEOUT"), "{ended}");
    let running = backuper(&stage.env()).start();
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'",
        stage.database.name()
    );
    wait_for("the backup waits", || {
        (stage.database.sql(&waiting).trim() == "1").then_some(())
    });
    running.signal(Signal::SIGTERM);
    running
        .wait_within(Duration::from_secs(30))
        .expect_code(143);
    stage.nothing_is_stored();
    holder.signal(Signal::SIGKILL);
    holder.wait();
}

#[test]
fn a_role_that_may_not_read_everything_is_told_what() {
    let stage = Stage::new("denied");
    let role = unique("reader_");
    stage.database.sql(&format!(
        "CREATE TABLE hidden (a int); CREATE ROLE {role} LOGIN PASSWORD 'p'"
    ));
    let ended = stage.backup(&env([("DB_USER", &role), ("DB_PASSWORD", "p")]));
    is_refused_before_it_dumps(&ended, &["public.hidden", "pg_read_all_data"]);
    stage
        .database
        .sql(&format!("GRANT pg_read_all_data TO {role}"));
    stage
        .backup(&env([("DB_USER", &role), ("DB_PASSWORD", "p")]))
        .expect_code(0);
}

#[test]
fn u18_database_names_of_every_kind_are_backed_up() {
    let s3 = S3::start();
    for prefix in [
        "a=b ",
        "dbname=x host=evil ",
        "it's/a \"name\" ",
        "Größe%20",
        "..x",
    ] {
        let database = shared().named(&unique(prefix));
        backuper(&with(&database.env(), &s3.env())).succeed();
    }
    let keys = s3.manifests();
    assert_eq!(keys.len(), 5);
    assert!(
        keys.iter().all(|it| it.matches('/').count() == 2),
        "{keys:?}"
    );
}

#[test]
fn u17_passwords_of_every_kind_are_taken_as_they_are() {
    let stage = Stage::new("password");
    for password in [
        "my pass",
        "it's",
        r"back\slash",
        "a=b@c#d%e",
        "$$ $(DB_HOST)",
        "größe",
    ] {
        let role = unique("role_");
        let quoted = password.replace('\'', "''");
        stage.database.sql(&format!(
            "CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{quoted}'"
        ));
        stage
            .backup(&env([("DB_USER", &role), ("DB_PASSWORD", password)]))
            .expect_code(0);
    }
}

#[test]
fn u16_tls_is_used_as_asked_and_never_downgraded() {
    let cluster = shared_with_tls();
    let stage = Stage::on(cluster, "tls");
    let authority = cluster.authority().file();
    let right = authority.to_str().unwrap();
    let stranger = Authority::new().file();
    let wrong = stranger.to_str().unwrap();
    for (mode, root, code) in [
        ("disable", "", 2),
        ("prefer", "", 0),
        ("require", "", 0),
        ("require", wrong, 2),
        ("verify-ca", right, 0),
        ("verify-full", right, 0),
        ("verify-full", wrong, 2),
    ] {
        let ended = stage.backup(&env([("DB_SSLMODE", mode), ("DB_SSLROOTCERT", root)]));
        assert_eq!(ended.code(), Some(code), "{mode} {root}: {ended}");
    }
}

#[test]
fn u42_the_stores_certificate_is_verified() {
    let authority = Authority::new();
    let stage = Stage {
        database: shared().database("s3tls"),
        s3: S3::start_with_tls(&authority),
    };
    let ended = stage.backup(&env([]));
    is_refused_before_it_dumps(&ended, &["S3_CA_FILE"]);
    let file = authority.file();
    let trusted = var("S3_CA_FILE", file.to_str().unwrap());
    stage.backup(&trusted).expect_code(0);
    let ended = stage.backup(&var("SECURE", "false"));
    ended.expect_code(0);
    assert!(ended.printed().contains("WARN"), "{ended}");
}

#[test]
fn a_directory_is_a_store() {
    let stage = Stage::new("directory");
    let root = folder("store");
    let endpoint = format!("file://{}", root.display());
    let store = var("S3_ENDPOINT", &endpoint);
    stage.database.sql("CREATE TABLE t AS SELECT 7 AS a");
    stage.backup(&store).expect_code(0);
    stage.database.sql("DROP TABLE t");
    stage.restore(&store).expect_code(0);
    assert_eq!(stage.database.sql("SELECT a FROM t").trim(), "7");
}

#[test]
fn a_table_that_changes_after_the_snapshot_is_found_out() {
    use super::testbed::block_on;
    use backuper::postgres::snapshot::{Shapes, Snapshot};
    let stage = Stage::new("rewritten");
    stage
        .database
        .sql("CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE u (a int, b int); CREATE TABLE v ()");
    let env = stage.env();
    let pairs = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let job: backuper::job::BackupJob = backuper::runtime::settings::read_from(pairs).unwrap();
    let target = job.database.target();
    let entrance = block_on(target.enter("backuper")).unwrap();
    let (holder, witness) = (&entrance.session, &entrance.witness);
    for (change, table) in [
        ("SELECT", None),
        ("CREATE TABLE new ()", None),
        ("TRUNCATE t", Some("t")),
        ("ALTER TABLE u DROP COLUMN b", Some("u")),
        ("ALTER TABLE u RENAME a TO c", Some("u")),
        (
            "ALTER TABLE v RENAME TO w; ALTER TABLE new RENAME TO v",
            Some("new"),
        ),
        ("DROP TABLE t", Some("t")),
    ] {
        block_on(Snapshot::take(holder, &target)).unwrap();
        let before = block_on(Shapes::seen_by(holder, &target)).unwrap();
        stage.database.sql(change);
        let now = block_on(Shapes::seen_by(witness, &target)).unwrap();
        let changed = before.changed(&now);
        let found = changed
            .as_deref()
            .map(|it| it.ends_with(&format!("\"{}\"", table.unwrap())));
        match table {
            None => assert_eq!(changed, None, "{change}"),
            // One of the two that have changed names.
            Some("new") => assert!(changed.is_some(), "{change}"),
            Some(_) => assert_eq!(found, Some(true), "{change}: {changed:?}"),
        }
    }
}
