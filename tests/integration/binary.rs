//! Rows that a restore makes binary on their way are those that the backup has: issue 16, step 2.

use super::testbed::postgres::{Database, quoted, shared};
use super::testbed::programs::{Ended, restorer};
use super::testbed::{Env, env};
use super::versions;
use super::workers::{Stage, var, with};

/// Rows of each table: from so many on it is worth it.
const MANY: &str = "10000";
const VALUES: &str = include_str!("values.sql");
const TABLES: &str = "SELECT format('%I.%I', nspname, relname) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public' ORDER BY 1";

fn tables(database: &Database) -> Vec<String> {
    database.sql(TABLES).lines().map(str::to_owned).collect()
}

/// Sums over what the server itself has for each row, bit by bit: in its binary format.
fn sums(database: &Database) -> Vec<(String, String)> {
    let file = format!("{}.copy", database.name());
    let sum = |table: String| {
        let sql = format!(
            "SELECT current_setting('data_directory') || '/{file}' AS file \\gset\n\
             COPY (SELECT * FROM ONLY {table} t ORDER BY t::text) TO :'file' (FORMAT binary);\n\
             SELECT encode(sha256(pg_read_binary_file('{file}')), 'hex');"
        );
        let sum = database.sql(&sql);
        (table, sum)
    };
    tables(database).into_iter().map(sum).collect()
}

/// The `binary=` of all streams together.
fn binary(ended: &Ended) -> usize {
    let each = ended.stderr.split(" binary=").skip(1);
    let each = each.map(|it| it.split_whitespace().next().unwrap());
    each.map(|it| it.parse::<usize>().unwrap()).sum()
}

fn restored(stage: &Stage, folder: &str, target: &Database, more: &Env) -> Ended {
    let manifest = format!("{folder}/manifest.json");
    let all = with(&stage.env(), &target.env());
    let all = with(&with(&all, &var("BACKUP_REVISION", &manifest)), more);
    restorer(&all).run()
}

/// Whether all of its rows are frozen: none is written again when it is first read.
fn is_frozen(database: &Database, table: &str) -> bool {
    let sql = format!(
        "CREATE EXTENSION IF NOT EXISTS pg_visibility; \
         SELECT bool_and(all_frozen) FROM pg_visibility('{table}')"
    );
    database.sql(&sql).trim() == "t"
}

fn values(count: &str) -> String {
    VALUES.replace(":count", count)
}

/// What a restore says of what it finds, the first time and again.
const HOW: [&str; 2] = ["loading into an empty database", "in one transaction"];
/// Those of known types, those of others.
const KNOWN: usize = 24;
const OTHERS: usize = 1;

#[test]
fn every_value_of_every_type_comes_back_bit_by_bit() {
    let stage = Stage::new("binary");
    stage.database.sql(&values(MANY));
    // Its offsets have minutes and seconds, for the years in which it had a time of its own.
    let name = quoted(stage.database.name());
    let zone = format!("ALTER DATABASE {name} SET timezone = 'Europe/Amsterdam'");
    stage.database.sql(&zone);
    // What may be refused for want of other rows goes as text, and keeps no other table from being binary.
    stage.database.sql(
        "CREATE EXTENSION citext; CREATE TABLE w AS SELECT n::text::citext AS v FROM generate_series(1, 20000) n",
    );
    let before = sums(&stage.database);
    assert_eq!(before.len(), KNOWN + OTHERS + 1);
    let folder = stage.back_up(&env([]));
    let target = shared().database("binary_target");
    for how in HOW {
        let ended = restored(&stage, &folder, &target, &env([]));
        ended.expect_code(0);
        assert!(ended.stderr.contains(how), "{ended}");
        assert_eq!(binary(&ended), KNOWN, "{ended}");
        assert!(!ended.stderr.contains("went as text"), "{ended}");
        for (sum, wanted) in sums(&target).iter().zip(&before) {
            assert_eq!(sum, wanted, "{how}");
        }
        for table in ["v_int8", "v_bytea", "v_part_1", "v_other"] {
            assert!(is_frozen(&target, table), "{how}: {table}");
        }
        target.sql("DELETE FROM v_int8; DROP TABLE v_bytea");
    }
    let as_text = shared().database("binary_text");
    let ended = restored(
        &stage,
        &folder,
        &as_text,
        &var("RESTORE_COPY_FORMAT", "text"),
    );
    ended.expect_code(0);
    assert_eq!(binary(&ended), 0);
    assert_eq!(sums(&as_text), before);
    assert!(!is_frozen(&as_text, "v_int8"));
}

/// Of each server, with what it says of its types.
#[test]
fn every_value_comes_back_on_each_server() {
    let count = versions::values_of_each_type(300);
    for major in 13..=18 {
        let (stage, clients) = versions::stage_with_clients(major);
        stage.database.sql(&values(&count));
        let before = sums(&stage.database);
        let folder = stage.back_up(&clients);
        let target = stage.database.cluster().database("binary_target");
        let told = with(&clients, &var("RESTORE_COPY_FORMAT", "binary"));
        for how in HOW {
            let ended = restored(&stage, &folder, &target, &told);
            ended.expect_code(0);
            // The clients of 17 tell a server of 16 what it does not know, which takes one session.
            assert!(major == 16 || ended.stderr.contains(how), "{ended}");
            assert_eq!(binary(&ended), KNOWN, "{major}: {ended}");
            assert_eq!(sums(&target), before, "{major} {how}");
            target.sql("DELETE FROM v_int8; DROP TABLE v_bytea");
        }
        if major != 15 {
            stage.database.cluster().crash();
        }
    }
}

/// A row that is larger than what is gathered, rows of other servers' making, a type that the target has
/// another way: what is not taken ends the binary rows before it.
#[test]
fn what_is_not_taken_goes_as_text_with_what_follows() {
    let stage = Stage::new("binary_partly");
    stage.database.sql(
        "CREATE TABLE large AS SELECT n AS id, CASE n WHEN 40 THEN repeat('x', 5000000) ELSE 'small' END AS v \
             FROM generate_series(1, 90) n; \
         CREATE TABLE plain AS SELECT n AS id FROM generate_series(1, 90) n; \
         CREATE TABLE escaped AS SELECT n AS id, '\\x00ff5c'::bytea AS v FROM generate_series(1, 90) n; \
         CREATE TABLE empty (id int, v text); \
         CREATE TABLE of_no_columns ();
         CREATE TABLE \"o'd:d \\ \"\"x.\" AS SELECT n AS \"a'b :c \"\"d\"\"\", n::text AS \"from\" FROM generate_series(1, 90) n; \
         CREATE TABLE two_lines AS SELECT n AS \"of two
lines\" FROM generate_series(1, 90) n;",
    );
    let name = quoted(stage.database.name());
    let escape = format!("ALTER DATABASE {name} SET bytea_output = escape");
    stage.database.sql(&escape);
    let before = sums(&stage.database);
    let folder = stage.back_up(&env([]));
    let target = shared().database("binary_partly_target");
    // psql has no command of two lines.
    for (how, made) in HOW.into_iter().zip([6, 5]) {
        let format = var("RESTORE_COPY_FORMAT", "binary");
        let ended = restored(&stage, &folder, &target, &format);
        ended.expect_code(0);
        assert!(ended.stderr.contains(how), "{ended}");
        assert!(ended.stderr.contains("tables=2"), "{ended}");
        assert!(ended.stderr.contains("went as text"), "{ended}");
        assert_eq!(binary(&ended), made, "{ended}");
        assert_eq!(sums(&target), before, "{how}");
        target.sql("TRUNCATE large, plain, escaped");
    }
    // Small ones are not worth it by themselves.
    let small = shared().database("binary_small_target");
    let ended = restored(&stage, &folder, &small, &env([]));
    ended.expect_code(0);
    assert_eq!(binary(&ended), 0, "{ended}");
}

/// Names, keys and checks of a table are the server's own to judge, and a refused row is told with its table,
/// its line and its column, and leaves nothing.
#[test]
fn a_row_that_the_target_refuses_is_told_with_its_line() {
    let stage = Stage::new("binary_refused");
    // A check that is not valid for what is there: the backup has rows that it refuses.
    stage.database.sql(
        "CREATE TABLE checked AS SELECT n AS id, n::text AS v FROM generate_series(1, 20000) n; \
         ALTER TABLE checked ALTER v TYPE varchar(5); \
         ALTER TABLE checked ADD CONSTRAINT small CHECK (id < 20000) NOT VALID; \
         UPDATE pg_constraint SET convalidated = true WHERE conname = 'small'",
    );
    let folder = stage.back_up(&env([]));
    let target = shared().database("binary_refused_target");
    let ended = restored(&stage, &folder, &target, &env([]));
    assert_ne!(ended.code(), Some(0), "{ended}");
    let last = ended.last_line();
    assert!(last.contains("checked") && last.contains("small"), "{last}");
    assert_eq!(tables(&target), Vec::<String>::new(), "nothing stays");
    target.sql("CREATE TABLE checked AS SELECT 1 AS id, 'mine' AS v");
    let ended = restored(&stage, &folder, &target, &env([]));
    assert_ne!(ended.code(), Some(0), "{ended}");
    let last = ended.last_line();
    assert!(last.contains("checked") && last.contains("small"), "{last}");
    assert_eq!(target.sql("TABLE checked"), "1|mine", "nothing was changed");
}

/// Two statements could leave a part of rows that are refused, and are loaded again when others are there.
#[test]
fn what_may_be_refused_for_want_of_other_rows_comes_once() {
    let stage = Stage::new("binary_again");
    stage.database.sql(
        "CREATE TABLE z AS SELECT 1 AS n; \
         CREATE FUNCTION known(int) RETURNS bool LANGUAGE plpgsql STABLE \
             AS 'BEGIN RETURN $1 < 4 OR EXISTS (SELECT FROM public.z); END'; \
         CREATE TABLE a (id int CHECK (known(id)), v text); \
         INSERT INTO a SELECT n, CASE n WHEN 3 THEN repeat('x', 5000000) END FROM generate_series(1, 9) n",
    );
    let before = sums(&stage.database);
    let folder = stage.back_up(&env([]));
    let target = shared().database("binary_again_target");
    let format = var("RESTORE_COPY_FORMAT", "binary");
    let ended = restored(&stage, &folder, &target, &format);
    ended.expect_code(0);
    assert!(ended.stderr.contains("rows were refused"), "{ended}");
    assert_eq!(binary(&ended), 1, "z alone: {ended}");
    assert_eq!(sums(&target), before);
}

/// PostgreSQL freezes no rows while a cursor is open, which a check of another table may have opened.
#[test]
fn what_keeps_rows_from_being_frozen_in_place_lets_them_go_as_text() {
    let stage = Stage::new("binary_cursor");
    stage.database.sql(
        "CREATE FUNCTION leaves(int) RETURNS bool LANGUAGE plpgsql AS $$ DECLARE it refcursor := 'left'; BEGIN
             IF NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'left') THEN OPEN it FOR SELECT 1; END IF;
             RETURN true; END $$;
         CREATE TABLE a (n int CHECK (leaves(n))); INSERT INTO a VALUES (1);
         CREATE TABLE z AS SELECT n FROM generate_series(1, 20000) n",
    );
    let before = sums(&stage.database);
    let one = env([("BACKUP_JOBS", "1"), ("BACKUP_ROWS", "pg_dump")]);
    stage.back_up(&one);
    stage.database.sql("DELETE FROM z WHERE n > 7");
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    assert!(ended.stderr.contains("COPY FREEZE"), "{ended}");
    assert_eq!(sums(&stage.database), before);
    assert!(!is_frozen(&stage.database, "z"));
}
