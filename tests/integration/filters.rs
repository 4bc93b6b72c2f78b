//! Backups of a part of a database: what is in them, what is refused, and what a restore leaves alone.

mod extensions;
mod public;
mod refusals;
mod retention;
mod rows;

use serde_json::Value;

use super::encryption::Pair;
use super::testbed::postgres::{Database, shared};
use super::testbed::programs::{Ended, backuper, restorer};
use super::testbed::{Env, env, unique};
use super::versions;
use super::workers::{Stage, var, with};

/// A schema and a table whose names have all that a name may have.
const ODD: &str = r#""Odd, ""one"" *ü""#;
const ODD_TABLE: &str = r#""T?ble.ä""#;

const CONTENTS: &str = r#"
    CREATE SCHEMA shop; CREATE SCHEMA secret; CREATE SCHEMA "Odd, ""one"" *ü";
    CREATE TABLE shop.customers (id int PRIMARY KEY, name text);
    CREATE TABLE shop.orders (id serial PRIMARY KEY, customer int REFERENCES shop.customers);
    CREATE TABLE shop.log (line text);
    CREATE MATERIALIZED VIEW shop.lines AS SELECT count(*) AS n FROM shop.log;
    CREATE TABLE shop.events (day date) PARTITION BY RANGE (day);
    CREATE TABLE shop.events_24 PARTITION OF shop.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE shop.events_25 PARTITION OF shop.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE secret.keys (k text);
    CREATE TABLE "Odd, ""one"" *ü"."T?ble.ä" (v text);
    CREATE TABLE plain (a int);
    INSERT INTO shop.customers SELECT n, 'c' || n FROM generate_series(1, 4) n;
    INSERT INTO shop.orders (customer) SELECT n FROM generate_series(1, 3) n;
    INSERT INTO shop.log SELECT 'line' FROM generate_series(1, 5);
    INSERT INTO shop.events VALUES ('2024-05-05'), ('2025-05-05'), ('2025-06-06');
    INSERT INTO secret.keys VALUES ('k');
    INSERT INTO "Odd, ""one"" *ü"."T?ble.ä" VALUES ('v');
    INSERT INTO plain VALUES (1), (2)"#;

/// What is in a database: tables and materialized views with the number of their rows.
fn contents(database: &Database<'_>) -> Vec<String> {
    let counted = database.sql(
        "SELECT format('%s.%s %s', n.nspname, c.relname,
                       (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', n.nspname, c.relname), false, true, '')))[1])
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
          ORDER BY 1",
    );
    counted.lines().map(str::to_owned).collect()
}

fn filled(stage: Stage) -> Stage {
    stage.database.sql(CONTENTS);
    // Large enough for a stream of its own.
    stage.fill("shop.big", 9);
    stage
}

fn manifest(stage: &Stage, folder: &str) -> Value {
    serde_json::from_slice(&stage.s3.read(&format!("{folder}/manifest.json"))).unwrap()
}

fn into(stage: &Stage, name: &str, key: &str, more: &Env) -> Ended {
    let target = env([("DB_NAME", name), ("BACKUP_REVISION", key)]);
    restorer(&with(&with(&stage.env(), &target), more)).run()
}

fn listed(settings: &[(&str, &str)]) -> Env {
    let text = |it: &str| it.to_owned();
    settings
        .iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

#[track_caller]
fn is_refused(ended: &Ended, words: &[&str]) {
    ended.expect_code(2);
    for word in words {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
}

/// What each filter leaves of [`CONTENTS`], and how it is said.
fn cases() -> Vec<(Env, Vec<String>, String)> {
    let shop = |log: u32, big: u32| -> Vec<String> {
        let counted = [
            ("big", big),
            ("customers", 4),
            ("events_24", 1),
            ("events_25", 2),
            ("lines", 1),
            ("log", log),
            ("orders", 3),
        ];
        counted
            .map(|(name, rows)| format!("shop.{name} {rows}"))
            .to_vec()
    };
    let others = || {
        [
            "Odd, \"one\" *ü.T?ble.ä 1",
            "public.plain 2",
            "secret.keys 1",
        ]
        .map(str::to_owned)
    };
    let all = |shop: Vec<String>| [&others()[..], &shop].concat();
    let without = |all: Vec<String>, these: &[&str]| -> Vec<String> {
        let stays = |it: &String| !these.iter().any(|word| it.starts_with(word));
        all.into_iter().filter(stays).collect()
    };
    let both = format!("secret,\n{ODD}");
    vec![
        (
            var("INCLUDE_SCHEMAS", "Shop"),
            shop(5, 144),
            "only schema Shop".to_owned(),
        ),
        (
            var("EXCLUDE_SCHEMAS", &both),
            without(all(shop(5, 144)), &["Odd", "secret"]),
            format!("without schemas secret, {ODD}"),
        ),
        (
            var("INCLUDE_TABLES", "plain"),
            vec!["public.plain 2".to_owned()],
            "only table plain".to_owned(),
        ),
        (
            var("EXCLUDE_TABLES", "shop.l*, shop.big"),
            without(all(shop(5, 144)), &["shop.l", "shop.big"]),
            "without tables shop.l*, shop.big".to_owned(),
        ),
        (
            env([
                ("EXCLUDE_TABLE_DATA", "shop.log,shop.b?g"),
                ("EXCLUDE_SCHEMAS", "secret"),
            ]),
            without(all(shop(0, 0)), &["secret"]),
            "without schema secret, without rows of shop.log, shop.b?g".to_owned(),
        ),
    ]
}

/// Both formats; the database that a backup is restored into is missing before.
fn each_filter_holds(stage: &Stage, clients: &Env) {
    for (filters, wanted, said) in cases() {
        for format in ["archive", "sql.gz"] {
            let before = stage.s3.keys();
            let more = env([("FORMAT", format), ("BACKUP_JOBS", "2")]);
            let made = stage.backup(&with(&with(&filters, &more), clients));
            made.expect_code(0);
            assert!(
                made.last_line()
                    .ends_with(&format!(", a part of the database: {said}")),
                "{made}"
            );
            let new = stage
                .s3
                .keys()
                .into_iter()
                .filter(|it| !before.contains(it));
            let manifest = new
                .into_iter()
                .find(|it| it.ends_with("manifest.json"))
                .unwrap();
            let read: Value = serde_json::from_slice(&stage.s3.read(&manifest)).unwrap();
            assert_eq!(
                read["format_version"], 4,
                "no older restorer takes it for the whole"
            );
            let key = manifest
                .trim_end_matches("manifest.json")
                .trim_end_matches(['/', '.']);
            let name = unique("filters_back");
            let ended = into(stage, &name, key, clients);
            ended.expect_code(0);
            assert!(
                ended
                    .last_line()
                    .ends_with(&format!(", a part of the database: {said}")),
                "{ended}"
            );
            let back = stage.database.cluster().existing(&name);
            assert_eq!(contents(&back), wanted, "{format} {filters:?}");
        }
    }
}

#[test]
fn each_filter_brings_what_it_says_and_no_more_on_13() {
    let stage = filled(versions::empty_stage(13));
    each_filter_holds(&stage, &versions::clients(&[13]));
    stage.database.cluster().crash();
}

#[test]
fn each_filter_brings_what_it_says_and_no_more_on_18() {
    let stage = filled(versions::empty_stage(18));
    each_filter_holds(&stage, &versions::clients(&[18]));
    stage.database.cluster().crash();
}

#[test]
fn a_table_by_its_odd_name_comes_back_where_its_schema_is() {
    let stage = filled(Stage::new("filters_odd"));
    let pattern = format!("{ODD}.{ODD_TABLE}");
    let folder = stage.back_up(&var("INCLUDE_TABLES", &pattern));
    assert_eq!(
        manifest(&stage, &folder)["part"]["include_tables"][0],
        pattern.as_str()
    );
    let name = unique("filters_odd");
    let refused = into(&stage, &name, &folder, &env([]));
    is_refused(&refused, &["CREATE SCHEMA", "Odd", "nothing was changed"]);
    let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(
        shared().sql("postgres", &count).trim(),
        "0",
        "it is not left behind"
    );
    let target = shared().database("filters_odd");
    target.sql(&format!("CREATE SCHEMA {ODD}"));
    into(&stage, target.name(), &folder, &env([])).expect_code(0);
    assert_eq!(contents(&target), ["Odd, \"one\" *ü.T?ble.ä 1"]);
}

/// pg_dump speaks UTF-8 for names and the database's encoding for rows.
#[test]
fn a_pattern_with_an_umlaut_is_found_in_a_database_of_another_encoding() {
    let database = shared().encoded("filters_latin", "LATIN1");
    database.sql(
        "SET client_encoding = 'UTF8'; CREATE TABLE \"Bücher\" (t text); INSERT INTO \"Bücher\" VALUES ('ä');
         CREATE TABLE other AS SELECT 1 AS a",
    );
    // As LATIN1 has it, whatever psql makes of a line.
    let kept = "SELECT string_agg((relname = 'B' || chr(252) || 'cher')::text, ' ') FROM pg_class
                 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let rows = "SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I', relname), false, true, '')))[1]
                  FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let stage = Stage {
        database,
        ..Stage::new("filters_unused")
    };
    for pattern in ["public.\"Bücher\"", "\"Bücher\""] {
        let folder = stage.back_up(&var("INCLUDE_TABLES", pattern));
        let name = unique("filters_latin_back");
        into(&stage, &name, &folder, &env([])).expect_code(0);
        let back = shared().existing(&name);
        assert_eq!(back.sql(kept).trim(), "true", "that table and no other");
        assert_eq!(back.sql(rows).trim(), "1");
    }
}

#[test]
fn what_a_part_needs_and_does_not_bring_is_named() {
    let stage = filled(Stage::new("filters_needs"));
    stage.database.sql(
        "CREATE TYPE secret.mood AS ENUM ('good'); CREATE FUNCTION secret.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
         ALTER TABLE shop.log ADD mood secret.mood, ADD f int DEFAULT secret.f()",
    );
    let ended = stage.backup(&env([(
        "INCLUDE_TABLES",
        "shop.log\nshop.orders*\nshop.events_24",
    )]));
    ended.expect_code(0);
    for need in [
        "what is dumped needs schema shop",
        "table shop.log needs type secret.mood",
        "table shop.log needs function secret.f()",
        "table shop.orders needs table shop.customers",
        "table shop.events_24 needs table shop.events",
    ] {
        assert!(ended.printed().contains(need), "{need}: {ended}");
    }
    let whole = stage.backup(&env([("EXCLUDE_TABLES", "shop.big")]));
    whole.expect_code(0);
    assert!(!whole.printed().contains(" needs "), "{whole}");
}

#[test]
fn in_place_a_part_touches_nothing_that_it_does_not_have() {
    let stage = filled(Stage::new("filters_in_place"));
    let before = contents(&stage.database);
    let folder = stage.back_up(&var("INCLUDE_SCHEMAS", "shop"));
    let key = var("BACKUP_REVISION", &folder);
    stage.database.sql(
        "DELETE FROM shop.orders; DROP TABLE shop.big; UPDATE secret.keys SET k = 'newer'; INSERT INTO plain VALUES (3)",
    );
    stage.restore(&key).expect_code(0);
    let wanted: Vec<String> = before
        .into_iter()
        .map(|it| it.replace("public.plain 2", "public.plain 3"))
        .collect();
    assert_eq!(contents(&stage.database), wanted);
    assert_eq!(
        stage.database.sql("SELECT k FROM secret.keys").trim(),
        "newer"
    );

    let whole = |stage: &Stage| stage.database.dump();
    for (made, gone, words) in [
        (
            "CREATE VIEW secret.seen AS SELECT * FROM shop.orders",
            "DROP VIEW secret.seen",
            &["view secret.seen depends on table shop.orders"][..],
        ),
        (
            "ALTER TABLE plain ADD c int REFERENCES shop.customers",
            "ALTER TABLE plain DROP c",
            &["constraint plain_c_fkey", "shop.customers"],
        ),
        (
            "CREATE TABLE secret.events_26 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
            "DROP TABLE secret.events_26",
            &["secret.events_26, a partition of shop.events"],
        ),
        (
            "CREATE PUBLICATION p FOR TABLE shop.orders",
            "DROP PUBLICATION p",
            &["publication p"],
        ),
        (
            "CREATE STATISTICS secret.s ON id, customer FROM shop.orders",
            "DROP STATISTICS secret.s",
            &["would lose", "statistics secret.s"],
        ),
    ] {
        stage.database.sql(made);
        let before = whole(&stage);
        let refused = stage.restore(&key);
        is_refused(&refused, words);
        assert!(
            refused.last_line().contains("nothing was changed"),
            "{refused}"
        );
        assert!(whole(&stage) == before, "{made}");
        stage.database.sql(gone);
    }
    stage.restore(&key).expect_code(0);
}

/// What attaches a partition makes its indexes.
#[test]
fn a_partition_comes_back_without_its_partitioned_table() {
    let stage = Stage::new("partitions");
    stage.database.sql(
        "CREATE TABLE p (id int PRIMARY KEY, v text, w int) PARTITION BY RANGE (id); CREATE INDEX ON p (v);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100) PARTITION BY LIST (id);
         CREATE TABLE p11 PARTITION OF p1 DEFAULT; CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
         CREATE INDEX own ON p11 (w); COMMENT ON INDEX p11_v_idx IS 'kept';
         INSERT INTO p SELECT i, i, i FROM generate_series(1, 150) i",
    );
    let whole = stage.database.dump();
    for tables in ["public.p1,public.p11", "public.p11", "public.p2"] {
        stage.backup(&var("INCLUDE_TABLES", tables)).expect_code(0);
        let one = tables.rsplit(',').next().unwrap();
        for before in [
            format!("DELETE FROM {one}"),
            format!("DROP TABLE {}", &tables.split(',').next().unwrap()),
        ] {
            stage.database.sql(&before);
            stage.restore(&env([])).expect_code(0);
            assert!(stage.database.dump() == whole, "{before}");
        }
    }
    // What is said of the index in the statement that makes it is not said where ATTACH makes it.
    stage
        .database
        .sql("ALTER TABLE p2 REPLICA IDENTITY USING INDEX p2_pkey");
    stage
        .backup(&var("INCLUDE_TABLES", "public.p2"))
        .expect_code(0);
    let ended = stage.restore(&env([]));
    ended.expect_code(3);
    let lost = "REPLICA IDENTITY of CONSTRAINT public.p2 p2_pkey";
    assert!(ended.printed().contains(lost), "{ended}");
    // The partitioned table has no such index any more.
    let rows = "SELECT count(*), min(v), max(w) FROM p2";
    let wanted = stage.database.sql(rows);
    stage.database.sql(
        "DELETE FROM p2; ALTER TABLE p DETACH PARTITION p2; DROP INDEX p_v_idx; DROP TABLE p2",
    );
    stage.restore(&env([])).expect_code(3);
    assert_eq!(stage.database.sql(rows), wanted);
    let index = "SELECT count(*) FROM pg_indexes WHERE indexname = 'p2_v_idx'";
    assert_eq!(stage.database.sql(index), "1");
}

#[test]
fn in_place_no_table_is_emptied_whose_rows_the_backup_does_not_have() {
    let stage = filled(Stage::new("filters_rows"));
    let folder = stage.back_up(&var("EXCLUDE_TABLE_DATA", "shop.log,shop.big"));
    let key = var("BACKUP_REVISION", &folder);
    stage.database.sql("UPDATE shop.log SET line = 'newer'");
    let before = stage.database.dump();
    let refused = stage.restore(&key);
    is_refused(
        &refused,
        &[
            "the rows of table shop.big",
            "the rows of table shop.log",
            "nothing was changed",
        ],
    );
    assert!(stage.database.dump() == before);
    stage
        .database
        .sql("TRUNCATE shop.log, shop.big; DELETE FROM shop.orders");
    let ended = stage.restore(&key);
    ended.expect_code(0);
    assert!(
        ended
            .last_line()
            .ends_with("without rows of shop.log, shop.big"),
        "{ended}"
    );
    assert_eq!(
        stage
            .database
            .sql("SELECT count(*) FROM shop.orders")
            .trim(),
        "3"
    );

    // One partition that is left out, and is there.
    let folder = stage.back_up(&var("EXCLUDE_TABLES", "shop.events_24"));
    let before = stage.database.dump();
    let refused = stage.restore(&var("BACKUP_REVISION", &folder));
    is_refused(&refused, &["shop.events_24, a partition of shop.events"]);
    assert!(stage.database.dump() == before);
}

#[test]
fn an_encrypted_manifest_does_not_tell_what_a_part_is_called() {
    let stage = filled(Stage::new("filters_hidden"));
    let one = Pair::new();
    let settings = env([
        ("ENCRYPT_TO", one.public.as_str()),
        ("ENCRYPT_MANIFEST", "true"),
        ("INCLUDE_SCHEMAS", "secret"),
        ("EXCLUDE_TABLES", "\"Odd*\".*"),
    ]);
    is_refused(
        &stage.backup(&settings),
        &["EXCLUDE_TABLES", "matches no table"],
    );
    let settings = with(&settings, &var("EXCLUDE_TABLES", ""));
    let folder = stage.back_up(&settings);
    let text = String::from_utf8(stage.s3.read(&format!("{folder}/manifest.json"))).unwrap();
    assert!(text.contains("\"part\": {}"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let source = format!("127.0.0.1:{}/{}", shared().port(), stage.database.name());
    let listing = env([
        ("BACKUPER_TASK", "list"),
        ("BACKUP_SOURCE", source.as_str()),
    ]);
    let listed = backuper(&with(&stage.s3.env(), &listing)).succeed();
    assert!(
        listed.stdout.contains("whose names are encrypted"),
        "{listed}"
    );
    let ended = into(&stage, &unique("filters_shown"), &folder, &one.env());
    ended.expect_code(0);
    assert!(ended.last_line().ends_with("only schema secret"), "{ended}");
}

/// Least privilege is why many want a part.
#[test]
fn a_role_that_may_read_no_more_than_the_part_backs_it_up() {
    let stage = filled(Stage::new("filters_rights"));
    let role = unique("reader_");
    stage.database.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA shop TO {role};
         GRANT SELECT ON shop.log TO {role}; SELECT lo_from_bytea(0, 'large')"
    ));
    let with_role = |settings: &[(&str, &str)]| {
        let login = [("DB_USER", role.as_str()), ("DB_PASSWORD", "p")];
        stage.backup(&listed(&[settings, &login].concat()))
    };
    with_role(&[("INCLUDE_TABLES", "shop.log")]).expect_code(0);
    let more = with_role(&[("INCLUDE_TABLES", "shop.log,shop.customers")]);
    is_refused(&more, &["may not read table shop.customers;"]);
    let without = with_role(&[("EXCLUDE_SCHEMAS", "secret")]);
    is_refused(&without, &["may not read sequence"]);
    stage.database.sql(&format!(
        "GRANT pg_read_all_data TO {role}; REVOKE ALL ON ALL TABLES IN SCHEMA shop FROM {role}"
    ));
    let objects = with_role(&[("EXCLUDE_TABLES", "shop.log")]);
    is_refused(&objects, &["may not read large object"]);
}
