//! Rows that a backup reads by COPYs of its own are those that pg_dump writes: issue 16, step 3.

mod split;

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use super::testbed::postgres::{Database, quoted, shared, shared_with_tls};
use super::testbed::programs::{Ended, Running, backuper, restorer};
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::{Env, env, folder as folder_of, wait_for};
use super::versions;
use super::workers::{Stage, var, with};

const VALUES: &str = include_str!("values.sql");
/// A table of each kind that has rows of its own, and columns that have none.
const KINDS: &str = r#"
    CREATE TABLE "Odd ""name" ("FROM stdin;" int, "ä ö" text, gone int, double int GENERATED ALWAYS AS ("FROM stdin;" * 2) STORED);
    ALTER TABLE "Odd ""name" DROP gone;
    INSERT INTO "Odd ""name" SELECT n, E'\\.\n\t\b\\N' FROM generate_series(1, 50) n;
    CREATE TABLE without_columns ();
    INSERT INTO without_columns DEFAULT VALUES;
    INSERT INTO without_columns DEFAULT VALUES;
    CREATE TABLE parent (id int GENERATED ALWAYS AS IDENTITY, v text);
    CREATE TABLE child (more int) INHERITS (parent);
    INSERT INTO parent (v) VALUES ('of the parent');
    INSERT INTO child VALUES (7, 'of the child', 1);
    CREATE TABLE parted (id int, v text) PARTITION BY RANGE (id);
    CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
    CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (100);
    INSERT INTO parted SELECT n, n FROM generate_series(1, 50) n;
    CREATE UNLOGGED TABLE unlogged AS SELECT n FROM generate_series(1, 5) n;
    CREATE TABLE empty_now (id int);
    INSERT INTO empty_now VALUES (1);
    DELETE FROM empty_now;
    CREATE SCHEMA "Another"; CREATE TABLE "Another".t AS SELECT 'parent'::regclass AS v, 'pg_class'::regclass AS r FROM generate_series(1, 3);
    CREATE TABLE secured AS SELECT n FROM generate_series(1, 9) n;
    CREATE DOMAIN bytes AS bytea; CREATE DOMAIN label AS mood; CREATE DOMAIN moment AS timestamptz;
    CREATE TABLE domains AS SELECT '\x00ff'::bytes AS v, 'sad'::label AS l, '2001-02-03 04:05:06.7+05:30'::moment AS m;
    CREATE TABLE more_types AS SELECT n::oid AS o, ('n"\' || n)::name AS m, -n::numeric AS x, (n % 2 = 0) AS b FROM generate_series(1, 9) n;
    INSERT INTO more_types VALUES (4294967295, 'ä', 'NaN', NULL);
    ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
"#;
/// What would give values another text.
const STYLES: [&str; 5] = [
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'iso_8601'",
    "extra_float_digits = 0",
    "timezone = 'Europe/Amsterdam'",
    "search_path = 'Another', public",
];

fn styled(database: &Database) {
    let name = quoted(database.name());
    for style in STYLES {
        database.sql(&format!("ALTER DATABASE {name} SET {style}"));
    }
}

/// The rows of each table as stock pg_restore reads them, by its COPY statement.
fn rows(stage: &Stage, folder: &str) -> BTreeMap<String, String> {
    let keys = stage.s3.keys();
    let data = keys
        .iter()
        .filter(|it| it.starts_with(&format!("{folder}/data-")));
    let mut all = BTreeMap::new();
    for key in data {
        let archive = zstd::decode_all(stage.s3.read(key).as_slice()).unwrap();
        let file = folder_of("copied").join("archive");
        std::fs::write(&file, archive).unwrap();
        let tool = stage.database.cluster().tool("pg_restore", "postgres");
        let script = tool.args(["-f", "-"]).arg(&file).succeed().stdout;
        for part in script.split("\nCOPY ").skip(1) {
            let (statement, rest) = part.split_once('\n').unwrap();
            let (rows, _) = rest.split_once("\\.\n\n").unwrap_or((rest, ""));
            all.insert(statement.to_owned(), rows.to_owned());
        }
    }
    all
}

/// How many of its streams a COPY has read.
fn by_copy(ended: &Ended) -> usize {
    ended
        .stderr
        .matches("rows are read by a COPY of ours")
        .count()
}

fn left_to_pg_dump(ended: &Ended) -> usize {
    ended
        .stderr
        .matches("rows are read by pg_dump, since")
        .count()
}

/// The `binary=` of all streams together.
fn in_binary(ended: &Ended) -> usize {
    let each = ended.stderr.split(" binary=").skip(1);
    let each = each.map(|it| it.split_whitespace().next().unwrap());
    each.map(|it| it.parse::<usize>().unwrap()).sum()
}

fn backed_up(stage: &Stage, more: &Env) -> (Ended, String) {
    let before = stage.s3.manifests();
    let ended = stage.backup(more);
    ended.expect_code(0);
    let new = stage.s3.manifests();
    let made = new.iter().find(|it| !before.contains(it)).unwrap();
    (ended, made.trim_end_matches("/manifest.json").to_owned())
}

fn copying(jobs: &str) -> Env {
    env([("BACKUP_ROWS", "copy"), ("BACKUP_JOBS", jobs)])
}

#[test]
fn the_rows_of_every_kind_of_table_are_byte_for_byte_those_of_pg_dump() {
    for major in [13, 18] {
        let stage = versions::empty_stage(major);
        let clients = with(
            &versions::clients(&[major]),
            &var("BACKUP_COPY_FORMAT", "text"),
        );
        stage.database.sql(&VALUES.replace(":count", "300"));
        stage.database.sql(KINDS);
        styled(&stage.database);
        let pg_dump = with(&clients, &var("BACKUP_ROWS", "pg_dump"));
        let (ended, by_pg_dump) = backed_up(&stage, &pg_dump);
        assert_eq!(by_copy(&ended), 0);
        let (ended, ours) = backed_up(&stage, &with(&clients, &copying("2")));
        assert!(by_copy(&ended) >= 1, "{major}: {ended}");
        assert_eq!(left_to_pg_dump(&ended), 0, "{ended}");
        let (wanted, found) = (rows(&stage, &by_pg_dump), rows(&stage, &ours));
        assert_eq!(
            wanted.keys().collect::<Vec<_>>(),
            found.keys().collect::<Vec<_>>()
        );
        for (statement, rows) in &wanted {
            assert!(found[statement] == *rows, "{major}: {statement}");
        }
        let sums = stage.database.checksums();
        let target = stage.database.cluster().database("copied_out");
        let manifest = format!("{ours}/manifest.json");
        let told = with(&clients, &var("BACKUP_REVISION", &manifest));
        restorer(&with(&with(&stage.env(), &target.env()), &told))
            .run()
            .expect_code(0);
        styled(&target);
        assert_eq!(target.checksums(), sums, "{major}");
        counts_are_true(&stage, &ours);
        stage.database.cluster().crash();
    }
}

/// The tables of known types: all but those of floats, arrays and the like.
const BINARY: usize = 32;

/// Values whose text is ours are the server's own text, byte by byte: issue 16, step 5. Timestamps with time zone are
/// in UTC, whatever the session's zone is.
#[test]
fn rows_that_come_in_binary_are_stored_as_the_text_of_the_server() {
    for major in 13..=18 {
        let (stage, clients) = versions::stage_with_clients(major);
        let count = versions::values_of_each_type(2_000);
        stage.database.sql(&VALUES.replace(":count", &count));
        stage.database.sql(KINDS);
        if major > 13 {
            let ends = "INSERT INTO v_numeric VALUES (0, 'Infinity'), (0, '-Infinity')";
            stage.database.sql(ends);
        }
        let name = quoted(stage.database.name());
        let zone = |zone| {
            let sql = format!("ALTER DATABASE {name} SET timezone = '{zone}'");
            stage.database.sql(&sql);
        };
        zone("UTC");
        let pg_dump = with(&clients, &var("BACKUP_ROWS", "pg_dump"));
        let (_, by_pg_dump) = backed_up(&stage, &pg_dump);
        zone("America/St_Johns");
        let binary = with(&copying("2"), &var("BACKUP_COPY_FORMAT", "binary"));
        let (ended, ours) = backed_up(&stage, &with(&clients, &binary));
        let (wanted, found) = (rows(&stage, &by_pg_dump), rows(&stage, &ours));
        for (statement, rows) in &wanted {
            assert!(found[statement] == *rows, "{major}: {statement}");
        }
        assert_eq!(in_binary(&ended), BINARY, "{ended}");
        // Of itself those that have a bytea.
        let (ended, _) = backed_up(&stage, &with(&clients, &copying("2")));
        assert_eq!(in_binary(&ended), 2, "{ended}");
        let sums = stage.database.checksums();
        let target = stage.database.cluster().database("copied_binary");
        let manifest = format!("{ours}/manifest.json");
        let told = with(&clients, &var("BACKUP_REVISION", &manifest));
        restorer(&with(&with(&stage.env(), &target.env()), &told))
            .run()
            .expect_code(0);
        let zone = format!(
            "ALTER DATABASE {} SET timezone = 'America/St_Johns'",
            quoted(target.name())
        );
        target.sql(&zone);
        assert_eq!(target.checksums(), sums, "{major}");
        if major != 15 {
            stage.database.cluster().crash();
        }
    }
}

/// In binary it comes; as the text that pg_dump asks for it could not, and no COPY would take it back.
#[test]
fn a_row_that_has_no_text_is_refused_with_its_table() {
    let stage = Stage::new("endless");
    let half = "convert_to(repeat('a', 270000000), 'UTF8')";
    stage.database.sql(&format!(
        "CREATE TABLE huge (a bytea, b bytea);
         ALTER TABLE huge ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
         INSERT INTO huge VALUES ({half}, {half})"
    ));
    let ended = stage.backup(&copying("2"));
    ended.expect_code(2);
    let why = "table public.huge: a row is longer than 1 GiB as text";
    assert!(ended.last_line().contains(why), "{ended}");
    stage.nothing_is_stored();
}

/// A value of regclass is the name of a table, as that is called when it is read.
#[test]
fn what_is_renamed_while_values_may_name_it_fails_the_backup() {
    for renamed in [
        "ALTER SCHEMA api RENAME TO old_api",
        "ALTER FUNCTION api.f() RENAME TO g",
    ] {
        let before = "ALTER TABLE live.b ADD r regprocedure[]; CREATE SCHEMA api;
                      CREATE FUNCTION api.f() RETURNS int LANGUAGE sql AS 'SELECT 1'";
        let (stage, running, faults) = held_up_with("copy", before);
        stage.database.sql(renamed);
        faults.heal();
        let ended = running.wait();
        ended.expect_code(1);
        let why = "something was renamed while rows were read";
        assert!(ended.last_line().contains(why), "{ended}");
        stage.nothing_is_stored();
    }
}

/// What is set for a role ends no session that is to read, and is no other moment in the manifest.
#[test]
fn what_a_role_sets_keeps_no_copy_from_reading() {
    let stage = Stage::new("setting");
    stage.fill("t", 1);
    let name = quoted(stage.database.name());
    for set in [
        "statement_timeout = '1ms'",
        "idle_session_timeout = '1ms'",
        "lock_timeout = '1ms'",
        "extra_float_digits = -15",
    ] {
        let set = format!("ALTER DATABASE {name} SET {set}");
        stage.database.cluster().sql("postgres", &set);
    }
    let (ended, folder) = backed_up(&stage, &copying("2"));
    assert_eq!(
        (by_copy(&ended), left_to_pg_dump(&ended)),
        (1, 0),
        "{ended}"
    );
    assert!(!ended.stderr.contains("clock"), "{ended}");
    let manifest = stage.s3.read(&format!("{folder}/manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let taken_at: jiff::Timestamp = manifest["snapshot_at"].as_str().unwrap().parse().unwrap();
    let apart = jiff::Timestamp::now().duration_since(taken_at);
    assert!(
        apart.abs() < jiff::SignedDuration::from_mins(5),
        "{taken_at}"
    );
}

/// Partitions by the hash of an enum go by their root, since its labels may hash to others where they are restored.
#[test]
fn partitions_that_are_loaded_by_their_root_are_left_to_pg_dump() {
    let stage = Stage::new("byroot");
    stage.database.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TABLE moods (m mood, v text) PARTITION BY HASH (m);
         CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO moods SELECT (enum_range(NULL::mood))[n % 3 + 1], md5(n::text) FROM generate_series(1, 9000) n",
    );
    let all = "SELECT count(*), md5(string_agg(m || v, ',' ORDER BY v)) FROM moods";
    let before = stage.database.sql(all);
    let (ended, _) = backed_up(&stage, &copying("2"));
    assert_eq!(by_copy(&ended), 0, "{ended}");
    stage.database.sql("DROP TABLE moods; DROP TYPE mood");
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql(all), before);
}

/// What the manifest says of each table.
fn counts_are_true(stage: &Stage, folder: &str) {
    let manifest = stage.s3.read(&format!("{folder}/manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let mut counted = 0;
    for stream in manifest["streams"].as_array().unwrap() {
        let Some(rows) = stream["rows"].as_array() else {
            continue;
        };
        for (table, rows) in stream["tables"].as_array().unwrap().iter().zip(rows) {
            let table = table.as_str().unwrap();
            let there = stage
                .database
                .sql(&format!("SELECT count(*) FROM ONLY {table}"));
            assert_eq!(there.trim(), rows.to_string(), "{table}");
            counted += 1;
        }
    }
    assert!(counted > 20, "{counted}");
}

/// Rows go in the database's own encoding; a name that ours cannot say in it is pg_dump's.
#[test]
fn rows_of_every_encoding_are_its_bytes() {
    for (encoding, bytes) in [
        ("LATIN1", "\\xe4f6"),
        ("EUC_JP", "\\xc6fccbdc"),
        ("SQL_ASCII", "\\xff80e4"),
        ("WIN1251", "\\xcff0e8"),
    ] {
        let stage = Stage {
            database: shared().encoded("copy", encoding),
            s3: super::testbed::s3::S3::start(),
        };
        let filled = format!(
            "CREATE TABLE t AS SELECT n, convert_from('{bytes}', '{encoding}') AS v FROM generate_series(1, 9000) n"
        );
        stage.database.sql(&filled);
        let sums = stage.database.checksums();
        let (ended, folder) = backed_up(&stage, &copying("2"));
        assert_eq!(
            (by_copy(&ended), left_to_pg_dump(&ended)),
            (1, 0),
            "{encoding}: {ended}"
        );
        let found = rows_raw(&stage, &folder);
        let row = [&b"1\t"[..], &hex(bytes), b"\n"].concat();
        assert!(found.windows(row.len()).any(|it| it == row), "{encoding}");
        stage.database.sql("DROP TABLE t");
        stage.restore(&env([])).expect_code(0);
        assert_eq!(stage.database.checksums(), sums, "{encoding}");
    }
    let stage = Stage {
        database: shared().encoded("names", "LATIN1"),
        s3: super::testbed::s3::S3::start(),
    };
    stage.database.sql("CREATE TABLE \"ä\" AS SELECT 'ö' AS v");
    let sums = stage.database.checksums();
    let (ended, _) = backed_up(&stage, &copying("2"));
    assert_eq!(by_copy(&ended), 0, "{ended}");
    stage.database.sql("DROP TABLE \"ä\"");
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.checksums(), sums);
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.trim_start_matches("\\x").as_bytes();
    let pairs = digits.chunks(2).map(|it| std::str::from_utf8(it).unwrap());
    pairs
        .map(|it| u8::from_str_radix(it, 16).unwrap())
        .collect()
}

fn rows_raw(stage: &Stage, folder: &str) -> Vec<u8> {
    let keys = stage.s3.keys();
    let data = keys
        .iter()
        .filter(|it| it.starts_with(&format!("{folder}/data-")));
    let all = data.map(|it| zstd::decode_all(stage.s3.read(it).as_slice()).unwrap());
    all.collect::<Vec<_>>().concat()
}

/// Two streams that are held up at the store, and one whose turn has not come.
fn held_up(stage: &Stage) -> (Running, Faults) {
    for table in ["a", "b", "c"] {
        stage.fill(table, 40);
    }
    let faults = Faults::start(stage.s3.port());
    for stream in ["data-001", "data-002"] {
        faults.on("PUT", stream, 1_000, Fault::Hold);
    }
    let told = with(&copying("2"), &var("S3_ENDPOINT", &faults.endpoint()));
    let running = backuper(&with(&stage.env(), &told)).start();
    wait_for("two COPYs are held up", || {
        (faults.struck().len() >= 2 && sessions(&stage.database, "backuper copy") == 2)
            .then_some(())
    });
    (running, faults)
}

fn sessions(database: &Database, application: &str) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = '{application}'"
    );
    database.sql(&sql).trim().parse().unwrap()
}

fn end_sessions(database: &Database, application: &str) -> String {
    database.sql(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = '{application}'"
    ))
}

/// What keeps the COPY of the table whose turn has not come from its beginning; gives what is to be waited for.
type Hinder = fn(&Database) -> Vec<Running>;

fn wait_for_each(database: &Database) -> Vec<Running> {
    let waiting = ["a", "b", "c"].map(|table| {
        let alter = format!("ALTER TABLE {table} ADD w int");
        let psql = database.cluster().tool("psql", database.name());
        psql.args(["-qXc", &alter]).start()
    });
    wait_for("each table has somebody who waits for it", || {
        let sql = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE d.datname = current_database() AND NOT granted";
        (database.sql(sql).trim() == "3").then_some(())
    });
    waiting.into()
}

fn shut(database: &Database) -> Vec<Running> {
    let name = quoted(database.name());
    let shut = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
    database.cluster().sql("postgres", &shut);
    Vec::new()
}

fn forget_the_snapshot(database: &Database) -> Vec<Running> {
    assert_eq!(end_sessions(database, "backuper snapshot").trim(), "1");
    Vec::new()
}

#[test]
fn where_no_copy_comes_about_pg_dump_goes_on() {
    let hindrances: [(&str, Hinder); 3] = [
        ("could not obtain lock", wait_for_each),
        ("not currently accepting connections", shut),
        ("invalid snapshot identifier", forget_the_snapshot),
    ];
    for (why, hinder) in hindrances {
        let stage = Stage::new("hindered");
        let (running, faults) = held_up(&stage);
        let sums = stage.database.checksums();
        let waiting = hinder(&stage.database);
        faults.heal();
        let ended = running.wait();
        ended.expect_code(0);
        let (copied, left) = (by_copy(&ended), left_to_pg_dump(&ended));
        assert_eq!((copied, left), (2, 1), "{why}: {ended}");
        assert!(ended.stderr.contains(why), "{ended}");
        for running in waiting {
            running.wait().expect_code(0);
        }
        let target = shared().database("hindered_target");
        let folder = stage.s3.manifests().remove(0);
        let told = with(&target.env(), &var("BACKUP_REVISION", &folder));
        restorer(&with(&stage.env(), &told)).run().expect_code(0);
        assert_eq!(target.checksums(), sums, "{why}");
        let name = quoted(stage.database.name());
        let open = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
        shared().sql("postgres", &open);
    }
}

#[test]
fn a_copy_that_is_cut_off_fails_the_backup_and_leaves_nothing() {
    let stage = Stage::new("cutcopy");
    let (running, _faults) = held_up(&stage);
    assert_eq!(end_sessions(&stage.database, "backuper copy").trim(), "2");
    let ended = running.wait();
    ended.expect_code(1);
    assert!(ended.last_line().contains("copying rows of"), "{ended}");
    stage.nothing_is_stored();
}

const SCHEMAS: [&str; 2] = ["live", "next"];

/// A backup whose rows are held up while the first of four tables is read, two in each schema.
fn held_up_in_schemas(rows: &str) -> (Stage, Running, Faults) {
    held_up_with(rows, "")
}

fn held_up_with(rows: &str, before: &str) -> (Stage, Running, Faults) {
    let stage = Stage::new("renamed");
    let types = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b int);
                 CREATE VIEW pairs AS SELECT 1 AS a; CREATE TABLE of_pairs (v pairs[])";
    stage.database.sql(types);
    for schema in SCHEMAS {
        stage.database.sql(&format!("CREATE SCHEMA {schema}"));
        for table in ["a", "b"] {
            let is_first = (schema, table) == ("live", "a");
            stage.fill(table, if is_first { 40 } else { 1 });
            let moved = format!("ALTER TABLE {table} SET SCHEMA {schema}");
            stage.database.sql(&moved);
        }
    }
    stage.database.sql(before);
    let faults = Faults::start(stage.s3.port());
    let stream = if rows == "copy" {
        "data-001"
    } else {
        "data-000"
    };
    faults.on("PUT", stream, 1_000, Fault::Hold);
    let told = env([("BACKUP_ROWS", rows), ("BACKUP_JOBS", "1")]);
    let told = with(&told, &var("S3_ENDPOINT", &faults.endpoint()));
    let running = backuper(&with(&stage.env(), &told)).start();
    wait_for("the rows are held up", || {
        let copies = sessions(&stage.database, "backuper copy");
        (!faults.struck().is_empty() && copies == usize::from(rows == "copy")).then_some(())
    });
    (stage, running, faults)
}

fn sums(database: &Database) -> Vec<String> {
    let of = |schema, table| {
        let rows = "SELECT count(*), md5(string_agg(md5(data), '' ORDER BY id)) FROM";
        database.sql(&format!("{rows} {schema}.{table}"))
    };
    let all = SCHEMAS.iter().flat_map(|it| [of(it, "a"), of(it, "b")]);
    all.collect()
}

/// Blue and green change places, and one is replaced by what nobody has dumped.
const RENAMED: [&str; 2] = [
    "ALTER SCHEMA live RENAME TO old; ALTER SCHEMA next RENAME TO live; ALTER SCHEMA old RENAME TO next;
     ALTER TYPE mood ADD VALUE 'new'",
    "ALTER SCHEMA live RENAME TO old; CREATE SCHEMA live;
     CREATE TABLE live.a (LIKE old.a); CREATE TABLE live.b (LIKE old.b)",
];

/// Other rows under a name would be what a restore brings back.
#[test]
fn schemas_that_are_renamed_while_copies_run_change_no_row() {
    for renamed in RENAMED {
        let (stage, running, faults) = held_up_in_schemas("copy");
        let wanted = sums(&stage.database);
        stage.database.sql(renamed);
        faults.heal();
        let ended = running.wait();
        ended.expect_code(0);
        assert_eq!(by_copy(&ended), 1, "{ended}");
        let target = shared().database("renamed_target");
        let told = var("BACKUP_REVISION", &stage.s3.manifests().remove(0));
        restorer(&with(&with(&stage.env(), &target.env()), &told))
            .run()
            .expect_code(0);
        assert_eq!(sums(&target), wanted, "{renamed}");
    }
}

/// It reads each table by its name, and has no means to see whose rows those are.
#[test]
fn a_schema_that_takes_anothers_name_while_pg_dump_reads_fails_the_backup() {
    let back = "ALTER SCHEMA live RENAME TO old; ALTER SCHEMA next RENAME TO live;
                ALTER SCHEMA live RENAME TO next; ALTER SCHEMA old RENAME TO live";
    for renamed in RENAMED.into_iter().chain([back]) {
        let (stage, running, faults) = held_up_in_schemas("pg_dump");
        // Who is to see it is gone; another is asked.
        end_sessions(&stage.database, "backuper witness");
        stage.database.sql(renamed);
        faults.heal();
        let ended = running.wait();
        ended.expect_code(1);
        let why = "the name live leads, or has led for a while, to another schema";
        assert!(ended.last_line().contains(why), "{ended}");
        stage.nothing_is_stored();
    }
    // Once more it changes nothing, and is written all the same.
    let granted = "GRANT USAGE ON SCHEMA live TO PUBLIC";
    let (stage, running, faults) = held_up_with("pg_dump", granted);
    stage.database.sql(granted);
    faults.heal();
    running.wait().expect_code(0);
}

/// Whoever reads: a value is written as its type is by then, and the schema has the type as it was.
#[test]
fn a_type_that_is_altered_while_rows_are_read_fails_the_backup() {
    for (rows, altered, name) in [
        (
            "copy",
            "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
            "mood",
        ),
        ("pg_dump", "ALTER TYPE pair ADD ATTRIBUTE c int", "pair"),
        (
            "copy",
            "CREATE OR REPLACE VIEW pairs AS SELECT 1 AS a, 2 AS b",
            "pairs",
        ),
    ] {
        let (stage, running, faults) = held_up_in_schemas(rows);
        stage.database.sql(altered);
        faults.heal();
        let ended = running.wait();
        ended.expect_code(1);
        let why = format!("type public.{name} was altered while rows were read");
        assert!(ended.last_line().contains(&why), "{ended}");
        stage.nothing_is_stored();
    }
}

/// What the proof relies on is switched off.
#[test]
fn where_a_server_counts_nothing_pg_dump_reads() {
    let stage = Stage::new("uncounted");
    stage.fill("t", 1);
    let name = quoted(stage.database.name());
    let uncounted = format!("ALTER DATABASE {name} SET track_counts = off");
    stage.database.sql(&uncounted);
    let (ended, _) = backed_up(&stage, &copying("2"));
    assert_eq!(
        (by_copy(&ended), left_to_pg_dump(&ended)),
        (0, 1),
        "{ended}"
    );
    assert!(ended.stderr.contains("track_counts is off"), "{ended}");
}

#[test]
fn a_backup_that_is_stopped_or_killed_while_copies_run_leaves_no_session() {
    for (signal, code) in [(Signal::SIGTERM, Some(143)), (Signal::SIGKILL, None)] {
        let stage = Stage::new("stopcopy");
        let (running, _faults) = held_up(&stage);
        running.signal(signal);
        assert_eq!(running.wait().code(), code);
        assert_eq!(stage.s3.manifests(), [] as [String; 0]);
        if code.is_some() {
            stage.nothing_is_stored();
        }
        wait_for("its sessions end with it", || {
            let sql = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'backuper%'";
            (stage.database.sql(sql).trim() == "0").then_some(())
        });
    }
}

#[test]
fn rows_come_over_tls_and_without_it_as_the_mode_says() {
    for (cluster, modes) in [
        (shared_with_tls(), &["require", "prefer", "allow"][..]),
        (shared(), &["prefer", "allow", "disable"]),
    ] {
        let stage = Stage::on(cluster, "copytls");
        stage.fill("t", 3);
        for mode in modes {
            let told = with(&copying("2"), &var("DB_SSLMODE", mode));
            let (ended, _) = backed_up(&stage, &told);
            assert_eq!(
                (by_copy(&ended), left_to_pg_dump(&ended)),
                (1, 0),
                "{mode}: {ended}"
            );
        }
        let sums = stage.database.checksums();
        stage.database.sql("DROP TABLE t");
        stage.restore(&env([])).expect_code(0);
        assert_eq!(stage.database.checksums(), sums);
    }
}

#[test]
fn small_tables_are_left_to_pg_dump_unless_it_is_asked_otherwise() {
    let stage = Stage::new("smallcopy");
    stage.fill("t", 9);
    let jobs = var("BACKUP_JOBS", "2");
    assert_eq!(by_copy(&backed_up(&stage, &jobs).0), 0);
    stage.fill("large", 40);
    assert_eq!(by_copy(&backed_up(&stage, &jobs).0), 1);
    let never = with(&jobs, &var("BACKUP_ROWS", "pg_dump"));
    assert_eq!(by_copy(&backed_up(&stage, &never).0), 0);
    let refused = stage.backup(&var("BACKUP_ROWS", "psql"));
    refused.expect_code(2);
    assert!(
        refused.printed().contains("auto, copy and pg_dump"),
        "{refused}"
    );
}
