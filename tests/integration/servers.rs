//! Servers as people run them: behind a pooler, busy, small, standbys, in old encodings.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cluster::kept_by;
use super::testbed::pgbouncer::Pgbouncer;
use super::testbed::postgres::{Cluster, Database, shared};
use super::testbed::programs::backuper;
use super::testbed::proxy::Proxy;
use super::testbed::s3::S3;
use super::testbed::{Env, env, unique, wait_for};
use super::workers::{Stage, var, with};

fn kept() -> PathBuf {
    static KEPT: OnceLock<PathBuf> = OnceLock::new();
    KEPT.get_or_init(|| kept_by("postgres-servers.sh")).clone()
}

/// What a backup says where no pg_dump reads the rows.
const BY_COPY: &str = "rows are read by a COPY of ours";

fn own(settings: &str) -> &'static Cluster {
    Box::leak(Box::new(Cluster::with_settings(settings)))
}

/// F44: in session mode a client has its server connection to itself.
#[test]
fn pgbouncer_in_session_mode_is_as_good_as_the_server() {
    let stage = Stage::new("pooled");
    let pooler = Pgbouncer::start(&kept(), shared(), "session");
    let through = var("DB_PORT", &pooler.port().to_string());
    stage.fill("t", 10);
    stage
        .database
        .sql("CREATE TABLE small AS SELECT 1 AS n; CREATE VIEW v AS SELECT * FROM small");
    let whole = stage.database.dump();
    let roles = env([
        ("BACKUP_JOBS", "2"),
        ("BACKUP_ROWS", "copy"),
        ("BACKUP_SPLIT_TABLES", "always"),
        ("GLOBALS", "true"),
        ("GLOBALS_PASSWORDS", "none"),
    ]);
    let ended = stage.backup(&with(&through, &roles));
    ended.expect_code(0);
    assert!(ended.printed().contains(BY_COPY), "{ended}");
    assert!(ended.printed().contains(" sessions=2"), "{ended}");
    for before in [
        "DELETE FROM t WHERE id > 2; DROP VIEW v",
        "DROP VIEW IF EXISTS v; DROP TABLE t, small",
    ] {
        stage.database.sql(before);
        stage.restore(&through).expect_code(0);
        assert!(stage.database.dump() == whole, "{before}");
    }
}

/// F44: in the other modes a session's locks and settings are the next client's.
#[test]
fn pgbouncer_in_transaction_mode_is_refused_before_anything_is_locked() {
    let stage = Stage::new("shared");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS n");
    stage.back_up(&env([]));
    let stored = stage.s3.keys();
    for mode in ["transaction", "statement"] {
        let pooler = Pgbouncer::start(&kept(), shared(), mode);
        let through = var("DB_PORT", &pooler.port().to_string());
        // Whether the pooler has a server connection left from others or not.
        for round in 0..2 {
            for ended in [stage.backup(&through), stage.restore(&through)] {
                ended.expect_code(2);
                let last = ended.last_line();
                assert!(
                    last.contains("pool") && last.contains("session"),
                    "{mode} {round}: {ended}"
                );
                let locks =
                    "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                              WHERE datname = current_database() AND locktype = 'advisory'";
                assert_eq!(stage.database.sql(locks), "0", "a lock stays");
            }
        }
    }
    assert_eq!(stage.s3.keys(), stored);
}

/// Runs SQL again and again until it is dropped.
struct Busy {
    stop: &'static AtomicBool,
    thread: Option<std::thread::JoinHandle<u32>>,
}

impl Busy {
    fn with(cluster: &'static Cluster, database: &str, sql: &str) -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::default());
        let (database, sql) = (database.to_owned(), sql.to_owned());
        let thread = std::thread::spawn(move || {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                cluster.sql(&database, &sql);
                rounds += 1;
            }
            rounds
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    fn rounds(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |it| it.join().unwrap())
    }
}

/// F40: staging tables and caches of applications.
#[test]
fn tables_that_come_and_go_six_times_a_second_fail_no_backup() {
    let stage = Stage::new("busy");
    for table in 0..20 {
        stage
            .database
            .sql(&format!("CREATE TABLE t{table} AS SELECT 1 AS n"));
    }
    stage.fill("large_1", 9);
    stage.fill("large_2", 9);
    let name = stage.database.name();
    let busy = Busy::with(
        shared(),
        name,
        "DROP TABLE IF EXISTS staging_new; CREATE TABLE staging_new AS SELECT 1 AS n;
         SELECT pg_sleep(0.08);
         TRUNCATE t3; INSERT INTO t3 VALUES (1);
         DROP TABLE IF EXISTS staging; ALTER TABLE staging_new RENAME TO staging;
         SELECT pg_sleep(0.08)",
    );
    for _ in 0..5 {
        stage.backup(&var("BACKUP_JOBS", "2")).expect_code(0);
    }
    assert!(busy.rounds() > 5);
    assert_eq!(stage.s3.manifests().len(), 5);
}

/// F53: each stream has a connection of its own.
#[test]
fn more_jobs_than_the_server_has_connections_are_fewer() {
    let cluster = own("max_connections = 14\nsuperuser_reserved_connections = 3");
    let stage = Stage::on(cluster, "crowded");
    let role = cluster.role("few_", "");
    let name = stage.database.name();
    let owner = format!("ALTER DATABASE \"{name}\" OWNER TO {role}");
    cluster.sql("postgres", &owner);
    stage.database.sql(&format!(
        "GRANT ALL ON SCHEMA public TO {role}; SET ROLE {role};
         SELECT format('CREATE TABLE t%s AS SELECT n FROM generate_series(1, 5) n', n) FROM generate_series(1, 14) n
         \\gexec"
    ));
    // Pages without a row: large tables by their size, and soon read.
    let data = cluster.sql("postgres", "SHOW data_directory");
    let files = stage.database.sql(
        "CHECKPOINT; SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind = 'r' AND relowner <> 10",
    );
    for file in files.lines() {
        let path = PathBuf::from(&data).join(file);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(100 << 20).unwrap();
    }
    let sums = stage.database.checksums();
    let many = var("BACKUP_JOBS", "1000");
    let little = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    for who in [&env([]), &little] {
        let folder = stage.back_up(&with(&many, who));
        let streams = stage.s3.keys().into_iter();
        let streams = streams.filter(|it| it.starts_with(&folder)).count();
        assert!(streams > 4, "some side by side: {streams}");
    }
    stage.database.sql("UPDATE t7 SET n = 8");
    stage.restore(&var("RESTORE_JOBS", "1000")).expect_code(0);
    assert_eq!(stage.database.checksums(), sums);
    cluster.crash();
}

/// F54: a standby has no rows of them.
#[test]
fn a_standbys_unlogged_tables_are_named_and_not_in_the_manifest() {
    let primary = own("max_wal_senders = 4");
    let there = primary.database("unlogged");
    there.sql(
        "CREATE UNLOGGED TABLE cache AS SELECT 1 AS n; CREATE TABLE kept AS SELECT 7 AS n;
         CREATE UNLOGGED TABLE parts (n int) PARTITION BY LIST (n);
         CREATE UNLOGGED TABLE part PARTITION OF parts FOR VALUES IN (1)",
    );
    let standby: &'static Cluster = Box::leak(Box::new(primary.standby("")));
    primary.is_followed_by(standby);
    let stage = Stage {
        database: standby.existing(there.name()),
        s3: S3::start(),
    };
    let ended = stage.backup(&env([]));
    ended.expect_code(0);
    let printed = ended.printed();
    let warning = printed
        .lines()
        .find(|it| it.contains("no rows of unlogged tables"));
    let warning = warning.unwrap_or_else(|| panic!("{printed}"));
    assert!(warning.contains("WARN"), "{warning}");
    assert!(warning.contains("cache"), "{warning}");
    let manifest = stage.s3.manifests()[0].clone();
    let manifest = String::from_utf8(stage.s3.read(&manifest)).unwrap();
    assert!(manifest.contains("kept"), "{manifest}");
    assert!(!manifest.contains("cache"), "{manifest}");
    assert!(!manifest.contains("part"), "{manifest}");
    let target = primary.database("unlogged_target");
    let into = with(
        &target.env(),
        &var("BACKUP_REVISION", &stage.s3.manifests()[0]),
    );
    let ended = super::testbed::programs::restorer(&with(&stage.env(), &into)).run();
    ended.expect_code(0);
    assert_eq!(target.sql("SELECT n FROM kept"), "7");
    standby.crash();
    primary.crash();
}

/// Issue 15, section 3: the Service of a primary's replicas, where each connection is with another server.
#[test]
fn a_host_of_several_standbys_is_one_of_them_for_a_whole_backup() {
    let primary = own("max_wal_senders = 8");
    let there = primary.database("by_turns");
    there.sql(
        "CREATE TABLE a AS SELECT generate_series(1, 5000) AS n;
         CREATE TABLE b AS SELECT md5(n::text) AS m FROM generate_series(1, 5000) n;
         CREATE TABLE c AS SELECT 7 AS n",
    );
    let standbys = [(); 3].map(|()| primary.standby(""));
    for standby in &standbys {
        primary.is_followed_by(standby);
    }
    let [first, others @ ..] = standbys.each_ref().map(Cluster::port);
    let turns = Proxy::start(first);
    turns.lead_also_to(&others);
    let s3 = S3::start();
    let by_turns = var("DB_PORT", &turns.port().to_string());
    let all = with(&with(&there.env(), &s3.env()), &by_turns);
    let copying = env([
        ("BACKUP_JOBS", "3"),
        ("BACKUP_ROWS", "copy"),
        ("BACKUP_SPLIT_TABLES", "always"),
    ]);
    let ended = backuper(&with(&all, &copying)).succeed();
    assert!(ended.printed().contains(BY_COPY), "{ended}");
    assert!(ended.printed().contains(" sessions=3"), "{ended}");
    let manifest = s3.manifests()[0].clone();
    backuper(&with(&all, &var("FORMAT", "sql.gz"))).succeed();
    let target = primary.database("by_turns_back");
    let back = with(&s3.env(), &var("BACKUP_REVISION", &manifest));
    super::testbed::programs::restorer(&with(&target.env(), &back)).succeed();
    assert_eq!(target.checksums(), there.checksums());
    // Where a primary is among them nobody knows which was meant; a standby that answers first is one, and the next
    // time the primary does.
    turns.lead_also_to(&[primary.port()]);
    let ended = [(); 2].map(|()| backuper(&all).run().printed());
    let refused = ended.map(|it| it.contains("leads to several servers by turns"));
    assert!(refused.contains(&true), "{refused:?}");
    for standby in &standbys {
        standby.crash();
    }
    primary.crash();
}

/// F54: what the server says comes last, after pg_dump's own words.
#[test]
fn a_recovery_conflict_is_the_cause_that_the_last_line_names() {
    let primary = own("max_wal_senders = 4");
    let there = primary.database("conflict");
    // What hardly compresses: at the highest level that takes longer than anything that follows.
    there.sql(
        "CREATE TABLE t (id int, data text); ALTER TABLE t ALTER data SET STORAGE PLAIN;
         INSERT INTO t SELECT i, (SELECT string_agg(md5((i * 1000 + n)::text), '') FROM generate_series(1, 220) n)
           FROM generate_series(1, 5000) i",
    );
    let standby: &'static Cluster =
        Box::leak(Box::new(primary.standby("max_standby_streaming_delay = 0")));
    primary.is_followed_by(standby);
    let stage = Stage {
        database: standby.existing(there.name()),
        s3: S3::start(),
    };
    let slowly = with(&stage.env(), &var("COMPRESSION_LEVEL", "19"));
    let mut running = backuper(&slowly).start();
    // Before that it would begin again.
    running.wait_until_it_prints(" dumping ");
    wait_for("it is at its rows", || {
        let copying = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND query LIKE 'COPY public.t %'";
        (stage.database.sql(copying) == "1").then_some(())
    });
    there.sql("TRUNCATE t");
    let ended = running.wait();
    ended.expect_code(1);
    let last = ended.last_line();
    assert!(last.contains("conflict with recovery"), "{ended}");
    assert!(last.contains("max_standby_streaming_delay"), "{ended}");
    stage.nothing_is_stored();
    standby.crash();
    primary.crash();
}

/// A database that is not in UTF-8, with names that are not in ASCII.
fn encoded(encoding: &str) -> Stage {
    let stage = Stage {
        database: shared().encoded("encoded", encoding),
        s3: S3::start(),
    };
    let role = unique("reader_");
    stage.database.sql(&format!(
        "SET client_encoding = 'UTF8'; CREATE ROLE {role};
         CREATE SCHEMA \"Straße\";
         CREATE TABLE \"Straße\".\"größe\" (\"länge\" int PRIMARY KEY, data text);
         ALTER TABLE \"Straße\".\"größe\" ALTER data SET STORAGE PLAIN;
         INSERT INTO \"Straße\".\"größe\" SELECT n, repeat('äöü', 2000) FROM generate_series(1, 1500) n;
         CREATE TABLE \"maß\" AS SELECT * FROM \"Straße\".\"größe\";
         GRANT SELECT (\"länge\") ON \"Straße\".\"größe\" TO {role}; GRANT SELECT ON \"maß\" TO {role};
         CREATE FUNCTION \"fläche\"() RETURNS text LANGUAGE sql AS $$ SELECT 'ß' $$;
         COMMENT ON TABLE \"maß\" IS 'so groß'"
    ));
    stage
}

/// What the tables hold, as the bytes that are there.
fn bytes(database: &Database<'_>) -> String {
    database.sql(
        "SET client_encoding = 'UTF8';
         SELECT md5(string_agg(encode(convert_to(data, getdatabaseencoding()), 'hex'), ',')) FROM \"maß\"",
    )
}

/// F24: as UTF-8 is.
#[test]
fn a_database_in_another_encoding_comes_back_with_its_names() {
    for encoding in ["LATIN1", "WIN1252"] {
        let stage = encoded(encoding);
        let utf8 = || stage.database.dump_with(&["--encoding=UTF8"]);
        let (whole, rows) = (utf8(), bytes(&stage.database));
        stage.back_up(&var("BACKUP_JOBS", "2"));
        let manifest = stage.s3.read(&stage.s3.manifests()[0]);
        let manifest = String::from_utf8(manifest).unwrap();
        assert!(manifest.contains("größe"), "{manifest}");
        for before in [
            "DELETE FROM \"maß\" WHERE \"länge\" > 2; DROP FUNCTION \"fläche\"()",
            "DROP SCHEMA \"Straße\" CASCADE; DROP TABLE \"maß\"; DROP FUNCTION \"fläche\"()",
        ] {
            let sql = format!("SET client_encoding = 'UTF8'; {before}");
            stage.database.sql(&sql);
            stage.restore(&env([])).expect_code(0);
            assert_eq!(utf8(), whole, "{encoding} {before}");
            assert_eq!(bytes(&stage.database), rows, "{encoding} {before}");
        }
    }
}

/// F24: bytes that no encoding gives a meaning.
#[test]
fn rows_with_bytes_that_no_other_encoding_knows_come_back() {
    let stage = Stage {
        database: shared().encoded("raw", "SQL_ASCII"),
        s3: S3::start(),
    };
    let wide = Stage {
        database: shared().encoded("wide", "WIN1252"),
        s3: S3::start(),
    };
    stage.database.sql(
        "CREATE TABLE t AS SELECT n, convert_from(decode('ff80fe41', 'hex'), 'SQL_ASCII') AS x
           FROM generate_series(1, 3) n; CREATE TABLE \"größe\" AS SELECT * FROM t",
    );
    // 0x81 is no character of WIN1252, and yet PostgreSQL takes it.
    wide.database.sql(
        "SET client_encoding = 'WIN1252';
         CREATE TABLE t AS SELECT n, convert_from(decode('8141', 'hex'), 'WIN1252') AS x FROM generate_series(1, 3) n",
    );
    for stage in [stage, wide] {
        let rows = "SELECT string_agg(encode(x::bytea, 'escape'), ',' ORDER BY n) FROM t";
        let whole = stage.database.sql(rows);
        stage.back_up(&env([]));
        for before in ["DELETE FROM t WHERE n > 1", "DROP TABLE t"] {
            stage.database.sql(before);
            stage.restore(&env([])).expect_code(0);
            assert_eq!(stage.database.sql(rows), whole, "{before}");
        }
    }
}

/// F24: a manifest is text, and so is what a restore says.
#[test]
fn names_of_bytes_that_are_no_text_are_refused() {
    let stage = Stage {
        database: shared().encoded("bytes", "SQL_ASCII"),
        s3: S3::start(),
    };
    stage.database.sql(
        "DO $$ BEGIN EXECUTE 'CREATE TABLE ' || quote_ident(convert_from('\\xff41', 'SQL_ASCII')) || ' ()'; END $$",
    );
    let ended: super::testbed::programs::Ended = stage.backup(&Env::new());
    ended.expect_code(2);
    let last = ended.last_line();
    assert!(
        last.contains("SQL_ASCII") && last.contains("name"),
        "{ended}"
    );
    stage.nothing_is_stored();
}

/// What our sessions and pg_dump's names are in has no conversion to it.
#[test]
fn an_encoding_that_has_no_conversion_to_utf8_is_refused() {
    let stage = Stage {
        database: shared().encoded("mule", "MULE_INTERNAL"),
        s3: S3::start(),
    };
    let ended = stage.backup(&Env::new());
    ended.expect_code(2);
    let last = ended.last_line();
    for words in ["MULE_INTERNAL", "by pg_dump and pg_restore alone"] {
        assert!(last.contains(words), "{ended}");
    }
    stage.nothing_is_stored();
}
