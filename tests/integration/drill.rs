//! Restore drills, and the numbers of rows that they compare: those that a manifest says were dumped.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::testbed::postgres::{Cluster, shared};
use crate::testbed::programs::{Ended, restorer};
use crate::testbed::{Env, env};
use crate::versions::{clients, empty_stage};
use crate::workers::{Stage, var, with};

/// Tables of every kind that rows can be in, and values that look like more rows than there are.
const TABLES: &str = r#"
    CREATE SCHEMA "Odd, ""schema""";
    CREATE TABLE "Odd, ""schema"""."ta*ble" (a text);
    INSERT INTO "Odd, ""schema"""."ta*ble" VALUES (E'one\ntwo\n\\.\n'), (NULL), ('');
    CREATE TABLE empty (a int);
    CREATE TABLE no_columns ();
    INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
    CREATE TABLE parted (a int) PARTITION BY RANGE (a);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (100);
    INSERT INTO parted SELECT generate_series(1, 50);
    CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
    INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 2), (3, 4);
    CREATE TABLE wide AS SELECT i, repeat('x', 70000) AS data FROM generate_series(1, 5) i;
    CREATE TABLE large AS SELECT i FROM generate_series(1, 100000) i;
    SELECT lo_from_bytea(0, '\x0a0a0a0a'), lo_from_bytea(0, '\x0a');
"#;

/// How many rows a manifest says of each table.
fn counted(stage: &Stage, manifest: &str) -> BTreeMap<String, Value> {
    let manifest = stage.s3.read(manifest);
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let mut all = BTreeMap::new();
    for stream in manifest["streams"].as_array().unwrap() {
        let tables = stream["tables"].as_array().unwrap().iter();
        let rows = stream["rows"].as_array().cloned().unwrap_or_default();
        let names = tables.map(|it| it.as_str().unwrap().to_owned());
        all.extend(names.zip(rows));
    }
    all
}

/// How many rows the tables have.
fn tables() -> BTreeMap<String, Value> {
    let all = [
        (r#""Odd, ""schema"""."ta*ble""#, 3),
        (r#""public"."child""#, 2),
        (r#""public"."empty""#, 0),
        (r#""public"."large""#, 100_000),
        (r#""public"."no_columns""#, 2),
        (r#""public"."parent""#, 1),
        (r#""public"."parted_1""#, 9),
        (r#""public"."parted_2""#, 41),
        (r#""public"."wide""#, 5),
    ];
    all.map(|(name, rows)| (name.to_owned(), Value::from(rows)))
        .into()
}

/// The key of the manifest beside the one dump in plain SQL.
fn manifest_of_sql(stage: &Stage) -> String {
    let mut keys = stage.s3.keys();
    keys.retain(|it| it.ends_with(".sql.gz.manifest.json"));
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.remove(0)
}

fn drill(stage: &Stage, more: &Env) -> Ended {
    let mut all = with(&stage.env(), &var("RESTORE_DRILL", stage.database.name()));
    all.retain(|(it, _)| it != "DB_NAME");
    restorer(&with(&all, more)).run()
}

fn drills_there(cluster: &Cluster) -> String {
    let sql = "SELECT string_agg(datname, ',') FROM pg_database WHERE datname ~ '^restore_drill_[0-9]{8}_'";
    cluster.sql("postgres", sql)
}

#[track_caller]
fn comes_back(stage: &Stage, programs: &Env) -> String {
    stage.database.sql(TABLES);
    let before = stage.database.dump();
    let key = stage.back_up(&with(programs, &var("BACKUP_JOBS", "3")));
    assert_eq!(counted(stage, &format!("{key}/manifest.json")), tables());
    let ended = drill(stage, programs);
    ended.expect_code(0);
    for words in ["restore drill passed", &key, "9 tables", "100063 rows"] {
        assert!(ended.last_line().contains(words), "{ended}");
    }
    assert_eq!(stage.database.dump(), before, "a drill touches nothing");
    key
}

#[test]
fn a_drill_restores_compares_and_leaves_nothing() {
    let stage = Stage::new("drill");
    let key = comes_back(&stage, &env([]));
    // What a drill that was killed has left, and what is somebody else's.
    let (left, theirs) = (
        "restore_drill_20200101_000000_0a1b2c3d",
        "restore_drill_results",
    );
    let _theirs = shared().named(theirs);
    shared().sql("postgres", &format!("CREATE DATABASE {left}"));
    let asking = |sql: &str| drill(&stage, &var("RESTORE_DRILL_SQL", sql));
    asking("SELECT 1; SELECT count(*) = 100000 FROM large").expect_code(0);
    let there = "SELECT string_agg(datname, ',') FROM pg_database WHERE starts_with(datname, 'restore_drill_')";
    let there = shared().sql("postgres", there);
    assert!(there.contains(theirs) && !there.contains(left), "{there}");
    for (sql, why) in [
        ("SELECT count(*) > 100000 FROM large", "false or null"),
        (
            "SELECT false; SELECT true; CREATE TABLE x (a int)",
            "false or null",
        ),
        ("SELECT * FROM missing", "\"missing\" does not exist"),
    ] {
        let ended = asking(sql);
        ended.expect_code(3);
        for words in ["restore drill failed", &key, why] {
            assert!(ended.last_line().contains(words), "{ended}");
        }
    }
    // A backup that is not what it says: the manifest tells of rows that the archive does not have.
    let path = format!("{key}/manifest.json");
    let manifest = String::from_utf8(stage.s3.read(&path)).unwrap();
    let mut told: Value = serde_json::from_str(&manifest).unwrap();
    for stream in told["streams"].as_array_mut().unwrap() {
        let names = stream["tables"].as_array().unwrap();
        let large = names.iter().position(|it| it == r#""public"."large""#);
        if let Some(number) = large {
            stream["rows"][number] = 100_001.into();
        }
    }
    stage.s3.put(&path, told.to_string().as_bytes());
    let ended = drill(&stage, &env([]));
    ended.expect_code(3);
    for words in [
        "large",
        "has 100000 rows, and 100001 were dumped",
        "make another one",
    ] {
        assert!(ended.last_line().contains(words), "{ended}");
    }
    assert_eq!(
        drills_there(shared()),
        "",
        "a drill that fails leaves nothing either"
    );
}

#[test]
fn rows_are_counted_by_the_oldest_and_the_newest_pg_dump() {
    let newest = Stage::new("drill18");
    let oldest = empty_stage(13);
    for (stage, programs) in [(&newest, clients(&[18])), (&oldest, env([]))] {
        comes_back(stage, &programs);
        let sql = with(&programs, &var("FORMAT", "sql.gz"));
        stage.backup(&sql).expect_code(0);
        assert_eq!(counted(stage, &manifest_of_sql(stage)), tables());
    }
    assert_eq!(drills_there(oldest.database.cluster()), "");
}

#[test]
fn a_drill_of_plain_sql_and_of_encrypted_names_says_what_it_knows() {
    let stage = Stage::new("drillsql");
    // Of one of the tables a function has what looks like its rows.
    stage.database.sql(
        r"CREATE TABLE t AS SELECT generate_series(1, 7) AS a;
          CREATE TABLE u AS SELECT generate_series(1, 2) AS a;
          DO $do$ BEGIN EXECUTE format($f$CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $b$ SELECT '
--
-- TOC entry 1 (class 0 OID %s)
-- Data for Name: u; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.u (a) FROM stdin;
\.
' $b$ $f$, 'u'::regclass::oid); END $do$;",
    );
    stage.backup(&var("FORMAT", "sql.gz")).expect_code(0);
    let ended = drill(&stage, &env([]));
    ended.expect_code(0);
    for words in [
        "2 tables are there with 9 rows; of 1 of them",
        "does not say how many",
    ] {
        assert!(ended.last_line().contains(words), "{ended}");
    }
    // A backup that is not what it says.
    let path = manifest_of_sql(&stage);
    let told = String::from_utf8(stage.s3.read(&path)).unwrap();
    let mut told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["streams"][0]["rows"], serde_json::json!([7, null]));
    told["streams"][0]["rows"][0] = 8.into();
    stage.s3.put(&path, told.to_string().as_bytes());
    let ended = drill(&stage, &env([]));
    ended.expect_code(3);
    assert!(
        ended.last_line().contains("has 7 rows, and 8 were dumped"),
        "{ended}"
    );
    let both = stage.restore(&var("RESTORE_DRILL", "app"));
    both.expect_code(2);
    assert!(
        both.last_line().contains("only one of them may be"),
        "{both}"
    );
}
