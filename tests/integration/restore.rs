//! The restorer on a real PostgreSQL and a real S3 server.

use std::io::Write as _;

use super::testbed::core::{Core, Mood};
use super::testbed::postgres::{Cluster, Database, quoted, shared};
use super::testbed::programs::{backuper, restorer};
use super::testbed::s3::S3;
use super::testbed::{env, unique, wait_for};
use super::workers::{Stage, var, with};

/// A table whose rows say which backup they are of.
fn generations(stage: &Stage, count: u32) -> Vec<String> {
    stage.database.sql("CREATE TABLE generation (n int)");
    (0..count)
        .map(|number| {
            stage.database.sql(&format!(
                "TRUNCATE generation; INSERT INTO generation VALUES ({number})"
            ));
            stage.back_up(&env([]))
        })
        .collect()
}

#[track_caller]
fn generation(stage: &Stage, revision: &str) -> String {
    stage
        .restore(&var("BACKUP_REVISION", revision))
        .expect_code(0);
    stage
        .database
        .sql("SELECT n FROM generation")
        .trim()
        .to_owned()
}

#[test]
fn u28_u29_a_revision_is_a_number_a_name_a_key_or_a_time() {
    let stage = Stage::new("revision");
    let folders = generations(&stage, 3);
    assert_eq!(generation(&stage, "latest"), "2");
    assert_eq!(generation(&stage, "0"), "2");
    assert_eq!(generation(&stage, "2"), "0");
    let (_, name) = folders[1].split_once('/').unwrap();
    assert_eq!(generation(&stage, name), "1");
    assert_eq!(generation(&stage, &folders[0]), "0");
    let key = format!("{}/manifest.json", folders[1]);
    assert_eq!(generation(&stage, &key), "1");
    let part = format!("{}/schema.dump", folders[1]);
    let manifest = stage.s3.read(&format!("{}/manifest.json", folders[1]));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        generation(&stage, manifest["snapshot_at"].as_str().unwrap()),
        "1"
    );
    for (revision, words) in [
        ("3", "there are 3"),
        ("-1", "BACKUP_REVISION"),
        ("2001-01-01T00:00:00Z", "the oldest is"),
        ("nothing/here.sql", "no such object"),
        (&part, "only a part of a backup"),
    ] {
        let ended = stage.restore(&var("BACKUP_REVISION", revision));
        ended.expect_code(2);
        assert!(ended.last_line().contains(words), "{ended}");
    }
}

#[test]
fn u27_backups_that_finished_after_the_call_do_not_count() {
    let stage = Stage::new("asof");
    let folders = generations(&stage, 3);
    let manifest = stage.s3.read(&format!("{}/manifest.json", folders[1]));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let finished = manifest["finished_at"].as_str().unwrap();
    let asked = env([("BACKUP_REVISION", "0"), ("RESTORE_AS_OF", finished)]);
    stage.restore(&asked).expect_code(0);
    assert_eq!(stage.database.sql("SELECT n FROM generation").trim(), "1");
}

/// What is damaged may still decompress, into rows that no table takes.
#[test]
fn damaged_rows_are_not_blamed_on_the_rows() {
    let stage = Stage::new("flipped");
    stage
        .database
        .sql("CREATE TABLE t AS SELECT n, n AS m FROM generate_series(1, 500000) n");
    let folder = stage.back_up(&env([]));
    let data = stage.s3.keys().into_iter();
    let data = data.filter(|it| it.starts_with(&format!("{folder}/data-")));
    for key in data {
        let mut rows = zstd::decode_all(stage.s3.read(&key).as_slice()).unwrap();
        if let Some(at) = rows.windows(8).position(|it| it == b"500\t500\n") {
            rows[at + 3] = b'x';
            stage
                .s3
                .put(&key, &zstd::encode_all(rows.as_slice(), 1).unwrap());
        }
    }
    let before = stage.database.dump();
    let empty = shared().database("flipped_empty");
    for target in [&stage.database, &empty] {
        let whole = var("BACKUP_REVISION", &format!("{folder}/manifest.json"));
        let ended = stage.restore(&with(&target.env(), &whole));
        ended.expect_code(2);
        assert!(ended.last_line().contains("is damaged"), "{ended}");
    }
    assert!(stage.database.dump() == before);
}

/// S13: a restore that waited would take what was written meanwhile.
#[test]
fn a_restore_that_comes_too_late_does_not_begin() {
    let stage = Stage::new("late");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS n");
    stage.back_up(&env([]));
    stage.database.sql("UPDATE t SET n = 2");
    let late = stage.restore(&var("RESTORE_BEGIN_BY", "2026-01-01T00:00:00Z"));
    late.expect_code(4);
    assert!(late.last_line().contains("expired"), "{late}");
    assert_eq!(stage.database.sql("SELECT n FROM t"), "2");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(15);
    stage
        .restore(&var("RESTORE_BEGIN_BY", &soon.to_string()))
        .expect_code(0);
    assert_eq!(stage.database.sql("SELECT n FROM t"), "1");
}

#[test]
fn the_published_adapters_backups_count_and_restore() {
    let stage = Stage::new("published");
    let name = stage.database.name().to_owned();
    stage
        .database
        .sql("CREATE TABLE t AS SELECT 'old' AS a; SELECT lo_from_bytea(4711, 'abc')");
    let published = format!("{name}/2020-02-02-02-02-02-backup.sql");
    stage.s3.put(&published, &stage.database.custom_dump());
    stage.database.sql("UPDATE t SET a = 'new'");
    stage.back_up(&env([]));
    for (revision, wanted) in [("1", "old"), ("0", "new"), (published.as_str(), "old")] {
        stage
            .restore(&var("BACKUP_REVISION", revision))
            .expect_code(0);
        assert_eq!(stage.database.sql("SELECT a FROM t").trim(), wanted);
        let object = stage
            .database
            .sql("SELECT convert_from(lo_get(4711), 'UTF8')");
        assert_eq!(object.trim(), "abc");
    }
}

#[test]
fn scripts_restore_by_key_and_in_one_transaction() {
    let stage = Stage::new("script");
    stage
        .database
        .sql("CREATE TABLE t AS SELECT 1 AS a; SELECT lo_from_bytea(4712, 'abc')");
    let before = stage.database.dump();
    let script = stage.database.dump_with(&["--clean", "--if-exists"]);
    stage.s3.put("plain.sql", script.as_bytes());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(script.as_bytes()).unwrap();
    stage.s3.put("packed.sql.gz", &packed.finish().unwrap());
    stage.s3.put(
        "broken.sql",
        format!("{script}\nSELECT nonsense;\n").as_bytes(),
    );
    stage
        .s3
        .put("escaping.sql", format!("{script}\nROLLBACK;\n").as_bytes());
    stage.s3.put("ending.sql", b"SELECT 1; COMMIT; SELECT 2;\n");
    let begun = format!("BEGIN;\n{script}\nEND;\nSELECT nonsense;\n");
    stage.s3.put("begun.sql", begun.as_bytes());
    stage.database.sql("UPDATE t SET a = 2");
    for (key, code, rows) in [
        ("broken.sql", 2, "2"),
        ("escaping.sql", 2, "2"),
        ("begun.sql", 2, "2"),
        ("ending.sql", 0, "2"),
        ("plain.sql", 0, "1"),
        ("packed.sql.gz", 0, "1"),
    ] {
        let ended = stage.restore(&var("BACKUP_REVISION", key));
        assert_eq!(ended.code(), Some(code), "{key}: {ended}");
        assert_eq!(stage.database.sql("SELECT a FROM t").trim(), rows, "{key}");
    }
    assert!(stage.database.dump() == before, "the contents have changed");
}

#[test]
fn index_builds_get_what_the_server_can_spare() {
    let stage = Stage::new("maintenance");
    // A restore fills it in the session that builds the indexes.
    stage.database.sql(
        "CREATE MATERIALIZED VIEW seen AS SELECT pg_size_bytes(current_setting('maintenance_work_mem')) AS memory, \
             current_setting('max_parallel_maintenance_workers') AS workers",
    );
    let folder = stage.back_up(&env([]));
    let seen = |database: &Database| database.sql("SELECT memory, workers FROM seen");
    let half = "SELECT pg_size_bytes(current_setting('shared_buffers')) / 2, 4";
    let half = stage.database.sql(half);
    assert_ne!(seen(&stage.database), half);
    stage.restore(&env([])).expect_code(0);
    assert_eq!(seen(&stage.database), half, "in place");

    let empty = shared().database("maintenance_empty");
    let mut all = with(&stage.env(), &empty.env());
    let manifest = format!("{folder}/manifest.json");
    all.extend(env([
        ("RESTORE_JOBS", "1"),
        ("BACKUP_REVISION", manifest.as_str()),
    ]));
    restorer(&all).run().expect_code(0);
    assert_eq!(seen(&empty), half, "into an empty database");
}

#[test]
fn u22_u23_a_damaged_backup_leaves_live_data_as_it_was() {
    let stage = Stage::new("damaged");
    stage.fill("t", 3);
    let folder = stage.back_up(&env([]));
    let key = format!("{folder}/data-000.dump.zst");
    let whole = stage.s3.read(&key);
    stage
        .database
        .sql("DELETE FROM t WHERE id > 3; CREATE TABLE newer (a int)");
    let before = stage.database.dump();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let cut = whole[..whole.len() * 6 / 10].to_vec();
    for damaged in [flipped, cut] {
        stage.s3.put(&key, &damaged);
        let ended = stage.restore(&env([]));
        ended.expect_code(2);
        assert!(ended.last_line().contains("damaged"), "{ended}");
        assert!(stage.database.dump() == before, "the contents have changed");
    }
    stage.s3.remove(&key);
    let ended = stage.restore(&env([]));
    assert!(ended.last_line().contains("missing"), "{ended}");
    stage.s3.put(&key, &whole);
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql("SELECT count(*) FROM t").trim(), "48");
}

#[test]
fn u24_an_empty_database_and_a_missing_one_are_filled() {
    let stage = Stage::new("fresh");
    stage.fill("t", 1);
    let before = stage.database.dump();
    stage.back_up(&env([]));
    let (name, cluster) = (stage.database.name(), shared());
    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == before, "the contents have changed");
    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    cluster.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == before, "the contents have changed");
}

#[test]
fn u18_databases_of_every_name_are_restored_missing_and_full() {
    let (s3, cluster) = (S3::start(), shared());
    for prefix in ["a=b ", "dbname=x host=evil ", "x' y\\ \"z\" ", "Größe%20/"] {
        let database = cluster.named(&unique(prefix));
        let environment = with(&database.env(), &s3.env());
        database.sql("CREATE TABLE t AS SELECT 1 AS a");
        backuper(&environment).succeed();
        let drop = format!("DROP DATABASE {}", quoted(database.name()));
        cluster.sql("postgres", &drop);
        restorer(&environment).succeed();
        database.sql("UPDATE t SET a = 2");
        restorer(&environment).succeed();
        assert_eq!(database.sql("SELECT a FROM t").trim(), "1", "{prefix}");
    }
}

#[test]
fn a_failed_load_leaves_an_empty_database_empty_and_a_missing_one_missing() {
    let stage = Stage::new("failedload");
    stage.fill("t", 2);
    stage.database.sql(
        "CREATE SCHEMA app; CREATE VIEW app.v AS SELECT id FROM t; SELECT lo_from_bytea(4713, 'x')",
    );
    let folder = stage.back_up(&env([]));
    let key = format!("{folder}/data-000.dump.zst");
    let mut damaged = stage.s3.read(&key);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    stage.s3.put(&key, &damaged);
    let (name, cluster) = (stage.database.name(), shared());
    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    stage.restore(&env([])).expect_code(2);
    let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(cluster.sql("postgres", &count).trim(), "0");
    cluster.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
    let empty = stage.database.dump();
    stage.restore(&env([])).expect_code(2);
    assert!(stage.database.dump() == empty, "the contents have changed");
}

#[test]
fn u31_what_stands_in_the_way_is_named_and_nothing_changes() {
    let stage = Stage::new("obstacle");
    stage.database.sql(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);
         CREATE TABLE p (d date) PARTITION BY RANGE (d);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE parent (a int)",
    );
    stage.back_up(&env([]));
    stage.database.sql("INSERT INTO t VALUES (2)");
    for (make, unmake, named) in [
        (
            "CREATE TABLE newer (id int REFERENCES t)",
            "DROP TABLE newer",
            "newer",
        ),
        (
            "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
            "DROP TABLE p2",
            "public.p2",
        ),
        (
            "CREATE TABLE heir (b int) INHERITS (parent)",
            "DROP TABLE heir",
            "heir",
        ),
        (
            "CREATE VIEW look AS SELECT * FROM t",
            "DROP VIEW look",
            "look",
        ),
        (
            "CREATE PUBLICATION pub_x FOR TABLE t",
            "DROP PUBLICATION pub_x",
            "pub_x",
        ),
    ] {
        stage.database.sql(make);
        let before = stage.database.dump();
        let ended = stage.restore(&env([]));
        ended.expect_code(2);
        assert!(ended.last_line().contains(named), "{named}: {ended}");
        assert!(stage.database.dump() == before, "{named}");
        stage.database.sql(unmake);
    }
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql("SELECT count(*) FROM t").trim(), "1");
}

#[test]
fn what_the_backup_does_not_know_stays() {
    let stage = Stage::new("stays");
    stage
        .database
        .sql("CREATE SCHEMA app; CREATE TABLE app.t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    stage.database.sql(
        "CREATE TABLE app.mine AS SELECT 5 AS a; CREATE SCHEMA other; CREATE TABLE other.t (a int);
         SELECT lo_from_bytea(999, 'mine'); UPDATE app.t SET a = 2",
    );
    stage.restore(&env([])).expect_code(0);
    let rows = stage.database.sql(
        "SELECT (SELECT a FROM app.t), (SELECT a FROM app.mine), (SELECT count(*) FROM other.t),
                convert_from(lo_get(999), 'UTF8')",
    );
    assert_eq!(rows.trim(), "1|5|0|mine");
}

#[test]
fn a_grant_to_a_role_that_is_not_there_is_a_warning_that_names_it() {
    let stage = Stage::new("grants");
    let (gone, here) = (unique("gone_"), unique("here_"));
    stage.database.sql(&format!(
        "CREATE ROLE {gone}; CREATE ROLE {here}; CREATE TABLE t (a int);
         GRANT SELECT ON t TO {gone}; GRANT INSERT ON t TO {here}"
    ));
    stage.back_up(&env([]));
    stage
        .database
        .sql(&format!("DROP OWNED BY {gone}; DROP ROLE {gone}"));
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    let named = |it: &&str| it.contains("WARN") && it.contains(&gone);
    assert_eq!(ended.stderr.lines().filter(named).count(), 1, "{ended}");
    let may = format!("SELECT has_table_privilege('{here}', 't', 'INSERT')");
    assert_eq!(stage.database.sql(&may).trim(), "t");
}

#[test]
fn u25_a_core_without_the_call_does_not_fail_a_restore() {
    let stage = Stage::new("released");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    let core = Core::start(Mood::Released);
    let ended = stage.restore(&var("CORE_ADDR", &core.address()));
    ended.expect_code(0);
    let told = |it: &&str| it.contains("INFO") && it.contains("does not take reports");
    assert_eq!(ended.stderr.lines().filter(told).count(), 1, "{ended}");
    assert!(!ended.stderr.contains("WARN"), "{ended}");
    let core = Core::start(Mood::Recording);
    stage
        .restore(&var("CORE_ADDR", &core.address()))
        .expect_code(0);
    let reports = core.restores();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].success && reports[0].time_elapsed >= 0);
    assert!(reports[0].name.ends_with("-revision-0"), "{reports:?}");
}

#[test]
fn a_second_restore_at_the_same_time_is_refused() {
    let stage = Stage::new("twice");
    stage.fill("t", 1);
    stage.back_up(&env([]));
    // Somebody's open transaction holds the first one up.
    let holder = shared()
        .tool("psql", stage.database.name())
        .args(["-c", "BEGIN; LOCK TABLE t; SELECT pg_sleep(30)"])
        .start();
    let locked = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                   WHERE c.relname = 't' AND l.mode = 'AccessExclusiveLock' AND l.granted";
    wait_for("the lock", || {
        (stage.database.sql(locked).trim() == "1").then_some(())
    });
    let mut first = restorer(&stage.env()).start();
    first.wait_until_it_prints("replacing");
    let second = stage.restore(&env([]));
    second.expect_code(1);
    assert!(second.last_line().contains("under way"), "{second}");
    let backup = stage.backup(&env([]));
    backup.expect_code(1);
    assert!(backup.last_line().contains("restore"), "{backup}");
    holder.signal(nix::sys::signal::Signal::SIGKILL);
    stage.database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
    );
    first.wait().expect_code(0);
}

#[test]
fn a_newer_servers_backup_and_a_missing_extension_are_refused_beforehand() {
    let stage = Stage::new("beforehand");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let folder = stage.back_up(&env([]));
    let key = format!("{folder}/manifest.json");
    let manifest = String::from_utf8(stage.s3.read(&key)).unwrap();
    let before = stage.database.dump();
    for (from, to, words) in [
        (
            "\"server_version_num\": 15",
            "\"server_version_num\": 99",
            "older server",
        ),
        (
            "\"extensions\": [",
            "\"extensions\": [{\"name\": \"nosuch\", \"version\": \"1\"},",
            "nosuch",
        ),
        (
            "\"format_version\": 1",
            "\"format_version\": 99",
            "newer version",
        ),
    ] {
        let changed = manifest.replacen(from, to, 1);
        assert_ne!(changed, manifest, "{from}");
        stage.s3.put(&key, changed.as_bytes());
        let ended = stage.restore(&env([]));
        ended.expect_code(2);
        assert!(ended.last_line().contains(words), "{ended}");
    }
    assert!(stage.database.dump() == before, "the contents have changed");
    let denied = unique("guest_");
    stage
        .database
        .sql(&format!("CREATE ROLE {denied} LOGIN PASSWORD 'p'"));
    stage.s3.put(&key, manifest.as_bytes());
    let ended = stage.restore(&with(
        &env([("DB_USER", &denied)]),
        &env([("DB_PASSWORD", "p")]),
    ));
    ended.expect_code(2);
    assert!(ended.last_line().contains(&denied), "{ended}");
}

#[test]
fn more_tables_than_a_transaction_can_lock_are_refused_with_what_to_do() {
    let cluster = Cluster::start(false);
    cluster.sql(
        "postgres",
        "ALTER SYSTEM SET max_locks_per_transaction = 10",
    );
    cluster.sql("postgres", "ALTER SYSTEM SET max_connections = 20");
    cluster.sql("postgres", "ALTER SYSTEM SET max_prepared_transactions = 0");
    cluster.sql("postgres", "ALTER SYSTEM SET max_wal_senders = 0");
    cluster.sql("postgres", "ALTER SYSTEM SET max_replication_slots = 0");
    // A crash takes what was not waited for, the password among it.
    cluster.sql("postgres", "CHECKPOINT");
    cluster.crash();
    cluster.boot();
    let database = cluster.database("locks");
    let make = |numbers: &str| {
        database.sql(&format!(
            "SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, name text)', n) FROM generate_series({numbers}) n \\gexec"
        ));
    };
    let s3 = S3::start();
    let mut all = database.env();
    all.extend(s3.env());
    // Each table is one lock for pg_dump, and four for whoever drops it.
    make("1, 100");
    backuper(&all).run().expect_code(0);
    let ended = restorer(&all).run();
    ended.expect_code(2);
    let said = ended.last_line();
    assert!(said.contains("max_locks_per_transaction"), "{ended}");
    assert!(said.contains("nothing was changed"), "{ended}");
    let count = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    assert_eq!(database.sql(count), "100");
    make("101, 1500");
    let ended = backuper(&all).run();
    ended.expect_code(2);
    let said = ended.last_line();
    assert!(said.contains("max_locks_per_transaction"), "{ended}");
}
