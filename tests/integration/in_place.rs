//! A restore over what is there: byte for byte, in one transaction, and nothing else is touched.

use super::testbed::programs::{backuper, restorer};
use super::testbed::{env, unique};
use super::workers::{Stage, var, with};

/// F02: a line that begins with a transaction's word is no statement about transactions, wherever it
/// comes from.
#[test]
fn a_column_may_be_named_like_a_transactions_word() {
    let stage = Stage::new("builds");
    stage.database.sql(
        "CREATE TABLE builds (id int PRIMARY KEY, commit text, rollback boolean, begin int, abort date, \"end\" int, start int);
         CREATE VIEW words AS SELECT commit, rollback, begin, abort, \"end\" FROM builds;
         CREATE TYPE words_too AS (begin int, commit text);
         INSERT INTO builds VALUES (1, 'abc', true, 2, '2020-01-01', 3, 4)",
    );
    let before = stage.database.dump();
    stage.back_up(&env([]));
    let archive = stage.database.custom_dump();
    stage.s3.put("one.dump", &archive);
    stage.s3.put("one.sql", stage.database.dump().as_bytes());
    stage
        .database
        .sql("UPDATE builds SET commit = 'changed'; ALTER TABLE builds ADD more int");
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == before, "in place");
    stage
        .restore(&var("BACKUP_REVISION", "one.dump"))
        .expect_code(0);
    assert!(stage.database.dump() == before, "an archive by its key");
    stage
        .database
        .sql("DROP VIEW words; DROP TABLE builds; DROP TYPE words_too");
    stage
        .restore(&var("BACKUP_REVISION", "one.sql"))
        .expect_code(0);
    assert!(stage.database.dump() == before, "a script by its key");
}

/// F02: psql takes a function's name `begin` for the beginning of a body, and stock pg_dump's script
/// of it cannot be run; what pg_restore brings back, ours does too.
#[test]
fn a_function_may_be_named_begin() {
    let stage = Stage::new("begin");
    stage.database.sql(
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION commit() RETURNS int LANGUAGE sql AS 'SELECT begin()';
         COMMENT ON FUNCTION begin() IS 'it begins';
         CREATE TABLE t AS SELECT begin() AS a; ALTER TABLE t ALTER a SET DEFAULT begin()",
    );
    let before = stage.database.dump();
    stage.back_up(&env([]));
    stage
        .database
        .sql("DELETE FROM t; COMMENT ON FUNCTION begin() IS NULL");
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == before);
}

/// F07: a script cannot run a program here, nor pass for restored when it was not.
#[test]
fn a_script_with_a_command_of_psqls_is_refused_and_changes_nothing() {
    let stage = Stage::new("commands");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let before = stage.database.dump();
    let file = std::env::temp_dir().join(unique("ran-by-a-script-"));
    let shown = file.display();
    for (number, line) in [
        "\\set ON_ERROR_STOP off".to_owned(),
        format!("SELECT 1 \\g |touch {shown}"),
        format!("\\set x `touch {shown}`"),
        format!("SELECT 1 \\w |touch {shown}"),
        format!("\\! touch {shown}"),
        format!("COPY t FROM stdin;\n2\n\\.\n\\! touch {shown}"),
    ]
    .iter()
    .enumerate()
    {
        let key = format!("script-{number}.sql");
        let script = format!("UPDATE t SET a = 2;\n{line}\nSELECT nonsense;\n");
        stage.s3.put(&key, script.as_bytes());
        let ended = stage.restore(&var("BACKUP_REVISION", &key));
        ended.expect_code(2);
        assert!(
            ended.last_line().contains("its line 2") || ended.last_line().contains("its line 5"),
            "{ended}"
        );
        assert!(!file.exists(), "{line} was run");
        assert!(stage.database.dump() == before, "{line}");
    }
}

/// F08: COPY is known by its statement. F09: what a script prints is nobody's business.
#[test]
fn a_script_may_copy_with_options_and_print_much() {
    let stage = Stage::new("printing");
    let mut script = "CREATE TABLE t (a text);\nCOPY t FROM stdin WITH (FORMAT text);\nCOMMIT;\nit's\nROLLBACK\n\\.\n".to_owned();
    for _ in 0..4_000 {
        script
            .push_str("SELECT 'a line that nobody reads, and that is as long as forty letters';\n");
    }
    stage.s3.put("much.sql", script.as_bytes());
    stage
        .restore(&var("BACKUP_REVISION", "much.sql"))
        .expect_code(0);
    let rows = stage.database.sql("SELECT string_agg(a, '|') FROM t");
    assert_eq!(rows, "COMMIT;|it's|ROLLBACK");
}

/// F10: the target's event triggers hear of nothing, and those that the backup does not know are what
/// they were.
#[test]
fn an_event_trigger_that_refuses_everything_does_not_hinder_a_restore() {
    let stage = Stage::new("frozen");
    let freeze = "CREATE FUNCTION frozen() RETURNS event_trigger LANGUAGE plpgsql AS
         $$BEGIN RAISE EXCEPTION 'the schema is frozen'; END$$;";
    stage.database.sql(&format!(
        "{freeze} CREATE TABLE t AS SELECT 1 AS a; GRANT SELECT ON t TO PUBLIC;
         CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
         CREATE EVENT TRIGGER no_change ON ddl_command_start EXECUTE FUNCTION frozen();
         COMMENT ON EVENT TRIGGER no_change IS 'nobody changes anything'"
    ));
    let before = stage.database.dump();
    stage.back_up(&env([]));
    stage.database.sql(
        "DELETE FROM t; ALTER EVENT TRIGGER no_change DISABLE;
         CREATE FUNCTION mine() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'mine'; END$$;
         CREATE EVENT TRIGGER mine ON sql_drop EXECUTE FUNCTION mine();
         ALTER EVENT TRIGGER mine ENABLE ALWAYS; ALTER EVENT TRIGGER no_change ENABLE",
    );
    stage.restore(&env([])).expect_code(0);
    let mine = "SELECT evtenabled FROM pg_event_trigger WHERE evtname = 'mine'";
    assert_eq!(stage.database.sql(mine), "A");
    stage.database.sql("DROP EVENT TRIGGER mine");
    stage.database.sql("ALTER EVENT TRIGGER no_change DISABLE; DROP FUNCTION mine(); ALTER EVENT TRIGGER no_change ENABLE");
    assert!(stage.database.dump() == before);
}

/// F12: the texts of statements stay out of the log, since they hold passwords.
#[test]
fn a_statement_that_fails_is_named_and_not_shown() {
    let stage = Stage::new("silent");
    let role = unique("mapped_");
    stage.database.sql(&format!(
        "CREATE ROLE {role}; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (password 'hunter2');
         CREATE USER MAPPING FOR {role} SERVER s OPTIONS (password 'hunter2'); CREATE TABLE t (a int)"
    ));
    stage.s3.put("one.dump", &stage.database.custom_dump());
    stage.database.sql(&format!(
        "DROP USER MAPPING FOR {role} SERVER s; DROP ROLE {role}"
    ));
    let ended = stage.restore(&var("BACKUP_REVISION", "one.dump"));
    assert_ne!(ended.code(), Some(0), "{ended}");
    assert!(!ended.printed().contains("hunter2"), "{ended}");
    assert!(
        ended.printed().contains("USER MAPPING") || ended.printed().contains("user mapping"),
        "{ended}"
    );
}

/// F25: an object is dropped as what it is, whatever it was.
#[test]
fn a_migrated_database_is_rolled_back() {
    let stage = Stage::new("migrated");
    stage.database.sql(
        "CREATE TABLE users (id serial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('one');
         CREATE VIEW report AS SELECT count(*) AS n FROM users;
         CREATE FUNCTION tidy(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
         CREATE TYPE state AS ENUM ('a', 'b'); CREATE DOMAIN positive AS int CHECK (value > 0);
         CREATE SEQUENCE numbers; CREATE TABLE logs (at timestamptz, state state)",
    );
    let before = stage.database.dump();
    stage.back_up(&env([]));
    for migration in [
        "ALTER TABLE users ALTER id DROP DEFAULT; DROP SEQUENCE users_id_seq;
         ALTER TABLE users ALTER id ADD GENERATED ALWAYS AS IDENTITY",
        "DROP VIEW report; CREATE MATERIALIZED VIEW report AS SELECT count(*) AS n FROM users",
        "DROP VIEW report; CREATE TABLE report (n int)",
        "DROP FUNCTION tidy(int); CREATE PROCEDURE tidy(int) LANGUAGE sql AS 'SELECT $1'",
        "DROP FUNCTION tidy(int); CREATE AGGREGATE tidy(int) (sfunc = int4pl, stype = int)",
        "DROP TABLE logs; DROP TYPE state; CREATE TABLE state (id int)",
        "DROP DOMAIN positive; CREATE TYPE positive AS (a int)",
        "DROP SEQUENCE numbers; CREATE VIEW numbers AS SELECT 1 AS n",
        "DROP TABLE logs; CREATE VIEW logs AS SELECT now() AS at",
        "DROP TABLE logs; CREATE TABLE logs (at timestamptz) PARTITION BY RANGE (at)",
    ] {
        stage.database.sql(migration);
        let ended = stage.restore(&env([]));
        assert_eq!(ended.code(), Some(0), "{migration}: {ended}");
        assert!(stage.database.dump() == before, "{migration}");
    }
    stage
        .database
        .sql("ALTER TABLE users RENAME TO users_old; ALTER VIEW report RENAME TO report_old; CREATE VIEW users AS SELECT 1 AS id");
    let changed = stage.database.dump();
    let ended = stage.restore(&env([]));
    ended.expect_code(2);
    assert!(ended.last_line().contains("users_old"), "{ended}");
    assert!(stage.database.dump() == changed);
}

/// F27: a name may hold any tag of a quotation.
#[test]
fn a_name_may_hold_the_tags_that_we_quote_with() {
    let stage = Stage::new("tags");
    stage.database.sql(
        "CREATE TABLE \"$oiler$; SELECT 1; $oiler$\" AS SELECT 1 AS \"$oiler1$\";
         GRANT SELECT ON \"$oiler$; SELECT 1; $oiler$\" TO PUBLIC;
         COMMENT ON TABLE \"$oiler$; SELECT 1; $oiler$\" IS '$oiler$'",
    );
    let before = stage.database.dump();
    stage.back_up(&env([]));
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == before);
}

/// F35: what stands in the way always has a name. F36: what would be lost without a word is one.
#[test]
fn what_stands_in_the_way_is_named() {
    let stage = Stage::new("named");
    stage.database.sql(
        "CREATE EXTENSION hstore; CREATE TABLE t (a int); CREATE TABLE u (b int);
         CREATE TYPE number;
         CREATE FUNCTION number_in(cstring) RETURNS number LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
         CREATE FUNCTION number_out(number) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
         CREATE TYPE number (INPUT = number_in, OUTPUT = number_out, LIKE = int4);
         CREATE FUNCTION twice(number) RETURNS number LANGUAGE sql AS 'SELECT $1'",
    );
    stage.back_up(&env([]));
    for (make, unmake, named) in [
        (
            "ALTER EXTENSION hstore ADD TABLE t",
            "ALTER EXTENSION hstore DROP TABLE t",
            "hstore",
        ),
        (
            "CREATE SEQUENCE counter OWNED BY u.b",
            "DROP SEQUENCE counter",
            "sequence public.counter",
        ),
        (
            "CREATE TABLE strange (n number)",
            "DROP TABLE strange",
            "column n of table public.strange depends on type public.number",
        ),
        (
            "CREATE TABLE strange (n number[])",
            "DROP TABLE strange",
            "column n of table public.strange depends on type public.number[]",
        ),
        (
            "CREATE VIEW strange AS SELECT number_out('1') IS NULL AS x",
            "DROP VIEW strange",
            "view public.strange depends on",
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
}

/// F36: with a name that the backup has for something else, too.
#[test]
fn what_belongs_to_a_table_that_took_another_name_is_not_lost() {
    let stage = Stage::new("took");
    stage.database.sql(
        "CREATE TABLE m (id int, y int NOT NULL); CREATE VIEW v AS SELECT * FROM m;
         CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a; CREATE SEQUENCE s; CREATE INDEX ix ON m (id);
         CREATE DOMAIN d AS int; CREATE TABLE t (a int)",
    );
    stage.back_up(&env([]));
    let partitioned = "(id int, y int NOT NULL) PARTITION BY LIST (y)";
    let part = "CREATE TABLE stranger PARTITION OF";
    for (make, unmake, named) in [
        (
            format!(
                "DROP VIEW v; CREATE TABLE v {partitioned}; {part} v FOR VALUES IN (1); INSERT INTO v VALUES (1, 1)"
            ),
            "DROP TABLE v",
            "table public.stranger, a partition of public.v",
        ),
        (
            format!(
                "DROP MATERIALIZED VIEW mv; CREATE TABLE mv {partitioned}; {part} mv FOR VALUES IN (1)"
            ),
            "DROP TABLE mv",
            "public.stranger",
        ),
        (
            "DROP SEQUENCE s; CREATE TABLE s AS SELECT 1 AS id; CREATE SEQUENCE mine OWNED BY s.id"
                .to_owned(),
            "DROP TABLE s",
            "sequence public.mine",
        ),
        (
            "DROP INDEX ix; CREATE TABLE ix AS SELECT 1 AS id".to_owned(),
            "DROP TABLE ix",
            "table public.ix, which has the name of an index",
        ),
        (
            "DROP VIEW IF EXISTS v; CREATE TABLE v (a int); CREATE PUBLICATION theirs FOR TABLE v"
                .to_owned(),
            "DROP PUBLICATION theirs; DROP TABLE v",
            "publication theirs",
        ),
    ] {
        stage.database.sql(&make);
        let before = stage.database.dump();
        let ended = stage.restore(&env([]));
        ended.expect_code(2);
        assert!(ended.last_line().contains("conflict"), "{ended}");
        assert!(ended.last_line().contains(named), "{named}: {ended}");
        assert!(stage.database.dump() == before, "{named}");
        stage.database.sql(unmake);
    }
    stage.restore(&env([])).expect_code(0);
}

/// F23: all rows on the worst day, and what failed after them by its name.
#[test]
fn what_fails_after_the_rows_is_left_out_when_asked_for() {
    let stage = Stage::new("worst");
    stage.database.sql(
        "CREATE TABLE terms (n int); INSERT INTO terms VALUES (1);
         CREATE FUNCTION term(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
           $$BEGIN RETURN (SELECT n FROM terms LIMIT 1); END$$;
         CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y');
         CREATE INDEX by_term ON t (term(a)); CREATE INDEX by_b ON t (b);
         CREATE MATERIALIZED VIEW m AS SELECT term(a) FROM t",
    );
    stage.back_up(&env([]));
    stage.database.sql("UPDATE t SET b = 'changed'");
    let before = stage.database.dump();
    let ended = stage.restore(&env([]));
    ended.expect_code(2);
    assert!(stage.database.dump() == before, "all or nothing");
    let ended = stage.restore(&var("RESTORE_KEEP_GOING", "true"));
    ended.expect_code(3);
    for word in [
        "restored, but",
        "by_term",
        "MATERIALIZED VIEW DATA public.m",
    ] {
        assert!(ended.printed().contains(word), "{word}: {ended}");
    }
    assert!(ended.last_line().contains("restored, but"), "{ended}");
    let rows = "SELECT string_agg(b, ',' ORDER BY a) FROM t";
    assert_eq!(stage.database.sql(rows), "x,y");
    let indexes = "SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE tablename = 't'";
    assert_eq!(stage.database.sql(indexes), "by_b,t_pkey");
}

/// A restored database is what the server says it is: the archive of another version of ours, a key
/// that is named, a target that another source has backed up.
#[test]
fn a_restore_over_a_database_of_another_source_touches_what_the_backup_knows() {
    let stage = Stage::new("other");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let folder = stage.back_up(&env([]));
    let other = stage.database.cluster().existing(&unique("other_target"));
    stage
        .database
        .cluster()
        .sql("postgres", &format!("CREATE DATABASE \"{}\"", other.name()));
    other.sql("CREATE TABLE mine AS SELECT 2 AS b");
    let mut all = with(&stage.env(), &other.env());
    all.extend(env([("BACKUP_REVISION", folder.as_str())]));
    restorer(&all).run().expect_code(0);
    assert_eq!(other.sql("SELECT a, b FROM t, mine"), "1|2");
    backuper(&with(&stage.env(), &other.env()))
        .run()
        .expect_code(0);
}
