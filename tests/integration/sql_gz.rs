//! Dumps in plain SQL: made, listed, counted and restored like our archives, and by stock tools.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::testbed::postgres::{Cluster, shared};
use super::testbed::programs::{Prepared, backuper, restorer, scheduler};
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::{Env, env, folder, unique, wait_for};
use super::workers::{Stage, var, with};

const PROD: &str = "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz";

fn sql_gz() -> Env {
    var("FORMAT", "sql.gz")
}

/// As dbtether has them.
fn in_prod() -> Env {
    env([
        ("FORMAT", "sql.gz"),
        ("KEY_TEMPLATE", PROD),
        ("CLUSTER_NAME", "prod"),
    ])
}

/// The dumps in a bucket that have a manifest.
fn dumps(stage: &Stage) -> Vec<String> {
    let keys = stage.s3.keys().into_iter();
    let of = |it: String| it.strip_suffix(".manifest.json").map(str::to_owned);
    keys.filter_map(of).collect()
}

#[track_caller]
fn back_up(stage: &Stage, more: &Env) -> String {
    let before = dumps(stage);
    stage.backup(more).expect_code(0);
    let mut new = dumps(stage);
    new.retain(|it| !before.contains(it));
    assert_eq!(new.len(), 1, "{new:?}");
    new.remove(0)
}

pub(crate) fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    // One member: what follows it would be left.
    let mut one = flate2::read::GzDecoder::new(bytes);
    one.read_to_string(&mut text).unwrap();
    assert!(one.into_inner().is_empty());
    text
}

pub(crate) fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn listed(stage: &Stage, more: &Env) -> Vec<Value> {
    let source = format!(
        "127.0.0.1:{}/{}",
        stage.database.cluster().port(),
        stage.database.name()
    );
    let task = env([
        ("BACKUPER_TASK", "list"),
        ("BACKUP_SOURCE", source.as_str()),
    ]);
    let ended = backuper(&with(&with(&stage.s3.env(), &task), more)).run();
    ended.expect_code(0);
    let printed = ended.printed();
    let lines = printed.lines().filter_map(|it| {
        let line: Value = serde_json::from_str(it).ok()?;
        line.get("backup").cloned()
    });
    lines.collect()
}

/// R9: all that a database may hold, by our restorer into a new database and by stock tools.
#[test]
fn a_dump_in_plain_sql_is_restored_by_us_and_by_gunzip_and_psql() {
    let stage = Stage::new("sql_gz ü");
    stage.database.sql(include_str!("../demo/shop.sql"));
    stage.database.sql(
        "COMMENT ON EXTENSION pgcrypto IS 'of ours'; SELECT lo_from_bytea(4713, '\\x00ff');
         CREATE FUNCTION tricky() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN '
COMMENT ON EXTENSION pgcrypto IS ''x'';
SET transaction_timeout = 0;
COMMIT;'; END$$;
         CREATE TABLE words (w text); INSERT INTO words VALUES ('a' || chr(10) || 'COMMIT;'), ('\\.'), (chr(9) || '\\N'), (NULL)",
    );
    let key = back_up(&stage, &sql_gz());
    let script = unpacked(&stage.s3.read(&key));
    assert!(!script.contains("OWNER TO"), "owners are left out");
    let manifest = stage.s3.read(&format!("{key}.manifest.json"));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["format_version"], 2);
    assert_eq!(manifest["streams"][0]["content"], "script");
    assert_eq!(manifest["streams"][0]["key"], key.as_str());
    assert_eq!(stage.s3.keys().len(), 2, "nothing else is left");

    let name = unique("sql_gz_back");
    let target = with(&stage.env(), &var("DB_NAME", &name));
    let ended = restorer(&with(&target, &var("BACKUP_REVISION", &key))).run();
    ended.expect_code(0);
    let back = shared().existing(&name);
    assert_eq!(back.checksums(), stage.database.checksums());
    assert_eq!(
        back.dump_with(&["--no-owner"]),
        stage.database.dump_with(&["--no-owner"])
    );
    // What is there stays: a script says nothing of what it would have to take away.
    let before = back.dump();
    let again = restorer(&with(&target, &var("BACKUP_REVISION", &key))).run();
    again.expect_code(2);
    assert!(again.last_line().contains("already exists"), "{again}");
    assert!(back.dump() == before);

    let copy = folder("sql_gz");
    std::fs::write(copy.join("dump.sql.gz"), stage.s3.read(&key)).unwrap();
    let hand = shared().database("sql_gz_hand");
    Prepared::new("bash")
        .args([
            "-euo",
            "pipefail",
            "-c",
            "gunzip -c dump.sql.gz | \"$PSQL\" -v ON_ERROR_STOP=1 -q",
        ])
        .env(
            "PSQL",
            &super::testbed::postgres::program("psql")
                .display()
                .to_string(),
        )
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", &shared().port().to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", shared().password())
        .env("PGDATABASE", hand.name())
        .current_dir(&copy)
        .succeed();
    assert_eq!(hand.checksums(), stage.database.checksums());
}

#[test]
fn a_dump_that_drops_what_it_makes_is_restored_over_what_is_there() {
    let stage = Stage::new("sql_clean");
    let role = shared().role("owner", "");
    stage.database.sql(&format!(
        "CREATE TABLE t AS SELECT 'old' AS v; ALTER TABLE t OWNER TO {role}; GRANT SELECT ON t TO PUBLIC"
    ));
    let more = env([
        ("FORMAT", "sql.gz"),
        ("SQL_CLEAN", "true"),
        ("SQL_OWNERS", "true"),
    ]);
    let before = stage.database.dump();
    back_up(&stage, &more);
    stage
        .database
        .sql("UPDATE t SET v = 'new'; ALTER TABLE t OWNER TO postgres; CREATE TABLE other (a int)");
    stage.restore(&env([])).expect_code(0);
    stage.database.sql("DROP TABLE other");
    assert_eq!(stage.database.dump(), before);
}

/// Each is counted with the archives, and by where dbtether would have put it.
#[test]
fn dumps_are_listed_counted_resolved_and_expire_like_archives() {
    let stage = Stage::new("sql_gz_counted");
    let name = stage.database.name();
    stage.database.sql("CREATE TABLE generation (n int)");
    let mut keys = Vec::new();
    for number in 0..4 {
        stage.database.sql(&format!(
            "TRUNCATE generation; INSERT INTO generation VALUES ({number})"
        ));
        keys.push(match number {
            1 => stage.back_up(&env([])),
            _ => back_up(&stage, &in_prod()),
        });
    }
    let form = regex::Regex::new(&format!("^prod/{name}/[0-9]{{8}}-[0-9]{{6}}.sql.gz$")).unwrap();
    assert!(form.is_match(&keys[0]), "{keys:?}");
    // Those that are not ours: of another cluster, of dbtether's, of a person's, of another database.
    let script = packed("CREATE TABLE generation (n int);\nINSERT INTO generation VALUES (99);\n");
    let dbtether = format!("prod/{name}/20200101-000000.sql.gz");
    let foreign = [
        format!("staging/{name}/20200101-000000.sql.gz"),
        format!("prod/{name}/manual.sql.gz"),
        format!("prod/{name}2/20200101-000000.sql.gz"),
        format!("{}.old", keys[0]),
    ];
    for key in foreign.iter().chain([&dbtether]) {
        stage.s3.put(key, &script);
    }
    let layout = with(&in_prod(), &env([]));
    let shown = listed(&stage, &layout);
    let shown: Vec<&str> = shown.iter().filter_map(|it| it["key"].as_str()).collect();
    let newest_first: Vec<&str> = keys.iter().rev().map(String::as_str).collect();
    assert_eq!(shown[..4], newest_first);
    assert_eq!(shown[4..], [dbtether.as_str()]);
    for (revision, wanted) in [("0", "3"), ("1", "2"), ("2", "1"), ("3", "0"), ("4", "99")] {
        let back = unique("sql_gz_counted_back");
        let target = env([
            ("DB_NAME", back.as_str()),
            (
                "BACKUP_SOURCE",
                &format!("127.0.0.1:{}/{name}", shared().port()),
            ),
            ("BACKUP_REVISION", revision),
        ]);
        let all = with(&with(&stage.env(), &layout), &target);
        restorer(&all).run().expect_code(0);
        let there = shared().existing(&back);
        assert_eq!(there.sql("SELECT n FROM generation"), wanted);
    }
    // Two of ours stay, and all that is not ours.
    stage
        .backup(&with(&in_prod(), &var("MAX_BACKUP_COUNT", "2")))
        .expect_code(0);
    let left = dumps(&stage);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&keys[3]), "{left:?}");
    let there = stage.s3.keys();
    assert!(
        foreign
            .iter()
            .chain([&dbtether])
            .all(|it| there.contains(it)),
        "{there:?}"
    );
    assert!(
        !there
            .iter()
            .any(|it| it.starts_with(&keys[1]) || *it == keys[2]),
        "{there:?}"
    );
}

#[test]
fn what_is_no_whole_dump_is_refused_before_and_leaves_nothing() {
    let stage = Stage::new("sql_gz_bad");
    stage.database.sql("CREATE TABLE kept AS SELECT 1 AS n");
    let before = stage.database.dump();
    let name = stage.database.name();
    let good = "CREATE TABLE t (a int);\nSELECT pg_catalog.lo_create('4714');\n";
    let long = format!("{good}COPY t FROM stdin;\n{}\\.\n", "7\n".repeat(3_000_000));
    let packed_long = packed(&long);
    let cut = &packed_long[..packed_long.len() - 9];
    let sql = |end: &str| packed(&format!("{good}{end}"));
    let bad = [
        (Vec::new(), "neither a pg_dump archive nor SQL"),
        (packed(""), "is empty"),
        (cut.to_vec(), "is damaged"),
        (sql("")[..40].to_vec(), "no whole gzip"),
        (
            [sql(""), b"DROP TABLE kept;".to_vec()].concat(),
            "no whole gzip",
        ),
        ([sql(""), packed("\\! rm x\n")].concat(), "command of psql"),
        (sql("\\connect postgres\n"), "command of psql"),
        (sql("\\copy t from /etc/passwd\n"), "command of psql"),
        (sql("SELECT 1/0;\n"), "division by zero"),
        (sql("CREATE TABEL x;\n"), "syntax error"),
        (sql("COMMIT;\nSELECT 1/0;\n"), "division by zero"),
    ];
    let key = format!("{name}/20260120-143022.sql.gz");
    for (bytes, words) in bad {
        stage.s3.put(&key, &bytes);
        let ended = stage.restore(&var("BACKUP_REVISION", "0"));
        assert_eq!(ended.code(), Some(2), "{words}: {ended}");
        assert!(ended.last_line().contains(words), "{words}: {ended}");
        assert!(stage.database.dump() == before, "changed: {words}");
    }
    // The refusal says what is there in its place, and skips what cannot be taken either.
    let whole = format!("{name}/20260118-143022.sql.gz");
    stage.s3.put(&whole, &packed(&format!("{good}{good}")));
    stage.s3.put(&format!("{name}/20260119-143022.sql.gz"), b"");
    for bytes in [&[][..], cut] {
        stage.s3.put(&key, bytes);
        let ended = stage.restore(&var("BACKUP_REVISION", "0"));
        ended.expect_code(2);
        let older = format!("the next older one is {whole}, of 2026-01-18T14:30:22Z");
        assert!(ended.last_line().contains(&older), "{ended}");
        assert!(stage.database.dump() == before, "changed");
    }
    // An archive in a gzip is one of those too.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&stage.database.custom_dump()).unwrap();
    stage.s3.put("x.sql.gz", &encoder.finish().unwrap());
    let ended = stage.restore(&var("BACKUP_REVISION", "x.sql.gz"));
    ended.expect_code(2);
    assert!(ended.last_line().contains("archive in gzip"), "{ended}");
}

/// One whose bytes are not those that were stored, though they are a gzip.
#[test]
fn a_dump_that_was_changed_in_the_store_is_not_restored() {
    let stage = Stage::new("sql_gz_changed");
    stage.database.sql("CREATE TABLE t AS SELECT 'true' AS v");
    let key = back_up(&stage, &sql_gz());
    let whole = stage.s3.read(&key);
    let script = unpacked(&whole).replace("true", "lies");
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(script.as_bytes()).unwrap();
    let mut changed = encoder.finish().unwrap();
    let target = shared().database("sql_gz_changed_target");
    let asked = with(&target.env(), &var("BACKUP_REVISION", &key));
    let ended = {
        stage.s3.put(&key, &changed);
        stage.restore(&asked)
    };
    ended.expect_code(2);
    assert!(ended.last_line().contains("should have"), "{ended}");
    // Of the right size too.
    if changed.len() < whole.len() {
        let missing = whole.len() - changed.len();
        let comment = vec![b'x'; missing.saturating_sub(1)];
        let mut encoder = flate2::GzBuilder::new()
            .comment(comment)
            .write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(script.as_bytes()).unwrap();
        changed = encoder.finish().unwrap();
    }
    if changed.len() == whole.len() {
        stage.s3.put(&key, &changed);
        let ended = stage.restore(&asked);
        ended.expect_code(2);
        assert!(ended.last_line().contains("SHA-256"), "{ended}");
    }
    assert!(!target.dump().contains("lies"));
    stage.s3.remove(&key);
    let ended = stage.restore(&with(&asked, &var("BACKUP_REVISION", "0")));
    ended.expect_code(2);
}

/// R9: the role of an application, which owns no extension.
#[test]
fn a_role_that_is_no_superuser_restores_a_dump_with_extensions() {
    let cluster = Cluster::start(false);
    let source = cluster.database("source");
    source.sql("CREATE EXTENSION pgcrypto; COMMENT ON EXTENSION pgcrypto IS 'ours'; CREATE TABLE t AS SELECT 7 AS n; SELECT lo_from_bytea(4715, 'abc')");
    let store = folder("sql_gz_role");
    let endpoint = format!("file://{}", store.display());
    let at = var("S3_ENDPOINT", &endpoint);
    let all = with(&with(&source.env(), &at), &sql_gz());
    backuper(&all).run().expect_code(0);
    let role = cluster.role("app", "");
    let target = cluster.database("target");
    target.sql(&format!(
        "CREATE EXTENSION pgcrypto; GRANT ALL ON DATABASE {} TO {role}; GRANT ALL ON SCHEMA public TO {role}",
        super::testbed::postgres::quoted(target.name())
    ));
    let from = format!("127.0.0.1:{}/{}", cluster.port(), source.name());
    let asked = env([
        ("DB_USER", role.as_str()),
        ("DB_PASSWORD", "p"),
        ("BACKUP_SOURCE", from.as_str()),
    ]);
    let ended = restorer(&with(&with(&target.env(), &at), &asked)).run();
    ended.expect_code(0);
    assert_eq!(target.sql("SELECT n FROM t"), "7");
    assert_eq!(
        target.sql("SELECT convert_from(lo_get(4715), 'UTF8')"),
        "abc"
    );
    assert_eq!(
        target.sql("SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto'"),
        "1"
    );
}

#[test]
fn a_template_that_cannot_be_is_refused_with_its_place() {
    let stage = Stage::new("sql_gz_template");
    for (more, words) in [
        (
            var("KEY_TEMPLATE", "{{ .DatabaseName }}/{{ .Foo }}"),
            "no field .Foo (at character 21)",
        ),
        (
            var("KEY_TEMPLATE", "{{ .DatabaseName }}/x"),
            "needs {{ .Timestamp }}",
        ),
        (
            var("KEY_TEMPLATE", "../{{ .DatabaseName }}/{{ .RunID }}"),
            "no part \"..\"",
        ),
        (var("KEY_TEMPLATE", PROD), "CLUSTER_NAME is empty"),
        (var("FORMAT", "zip"), "archive or sql.gz"),
    ] {
        let ended = stage.backup(&with(&sql_gz(), &more));
        ended.expect_code(2);
        assert!(ended.printed().contains(words), "{ended}");
    }
    stage.nothing_is_stored();
    // A scheduler that would make nothing but such backups does not begin.
    let data = folder("sql_gz_scheduler");
    let settings = env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().unwrap()),
        ("KEY_TEMPLATE", PROD),
    ]);
    let ended = scheduler(&settings).run();
    ended.expect_code(2);
    assert!(
        ended.last_line().contains("CLUSTER_NAME is empty"),
        "{ended}"
    );
}

/// operator.md, T11: of its time a key of a run's letters says nothing.
#[test]
fn dumps_without_a_time_in_their_keys_expire_the_oldest_first() {
    let stage = Stage::new("sql_gz_timeless");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let layout = env([
        ("FORMAT", "sql.gz"),
        ("KEY_TEMPLATE", "{{ .DatabaseName }}/{{ .RunID }}.sql.gz"),
    ]);
    let keys = [(); 3].map(|()| {
        // Of two within a second nobody could say which is older.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        back_up(&stage, &layout)
    });
    let shown = listed(&stage, &layout);
    let shown: Vec<&str> = shown.iter().filter_map(|it| it["key"].as_str()).collect();
    let newest_first: Vec<&str> = keys.iter().rev().map(String::as_str).collect();
    assert_eq!(shown, newest_first);
    let newest = back_up(&stage, &with(&layout, &var("MAX_BACKUP_COUNT", "2")));
    let mut left = dumps(&stage);
    left.sort();
    let mut wanted = [keys[2].clone(), newest];
    wanted.sort();
    assert_eq!(left, wanted);
}

/// Nothing half-written looks whole.
#[test]
fn a_dump_that_is_stopped_killed_or_cut_off_is_no_backup() {
    let stage = Stage::new("sql_gz_killed");
    // More than may lie between pg_dump and a store that takes nothing.
    stage.fill("t", 64);
    let pg_dump = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'backuper pg_dump' AND datname = current_database()";
    for (path, how, code) in [
        ("partNumber=2", "stop", 143),
        ("manifest.json", "stop", 143),
        ("partNumber=2", "cut", 1),
        ("partNumber=2", "kill", 0),
    ] {
        let faults = Faults::start(stage.s3.port());
        faults.on("PUT", path, 1, Fault::Wait(Duration::from_secs(120)));
        let at = var("S3_ENDPOINT", &faults.endpoint());
        let running = backuper(&with(&with(&stage.env(), &in_prod()), &at)).start();
        wait_for("the backup is held up", || {
            (!faults.struck().is_empty()).then_some(())
        });
        match how {
            "stop" => running.signal(Signal::SIGTERM),
            "kill" => running.signal(Signal::SIGKILL),
            _ => drop(stage.database.sql(pg_dump)),
        }
        let ended = running.wait();
        if how == "kill" {
            assert_ne!(ended.code(), Some(0));
            // Whose it was, by which a later run removes it.
            let left = stage.s3.keys();
            assert!(
                left.len() == 1 && left[0].ends_with(".sql.gz.running"),
                "{left:?}"
            );
        } else {
            ended.expect_code(code);
            stage.nothing_is_stored();
        }
    }
    back_up(&stage, &in_prod());
}
