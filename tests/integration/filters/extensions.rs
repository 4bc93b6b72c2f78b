//! Parts of databases with extensions: their tables, of which only some rows are the backup's, and their schemas.

use super::*;

/// Makes a table that an extension marks by `pg_extension_config_dump`.
const SETTINGS: &str = "CREATE EXTENSION hstore; CREATE TABLE settings (v text PRIMARY KEY);
    ALTER EXTENSION hstore ADD TABLE settings;
    UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass::oid], extcondition = ARRAY['WHERE v <> ''builtin''']
     WHERE extname = 'hstore'; INSERT INTO settings VALUES ('builtin')";

/// Then all of its rows are the user's.
const ALL: &str = "UPDATE pg_extension SET extcondition = ARRAY[''] WHERE extname = 'hstore'";

/// The rows that an extension's own tables have stay where the backup has none for them.
#[test]
fn rows_of_an_extensions_table_that_are_left_out_stay() {
    let stage = Stage::new("filters_extension");
    stage
        .database
        .sql("CREATE EXTENSION hstore; CREATE TABLE t AS SELECT 1 AS a");
    stage.database.sql(
        "CREATE TABLE settings (v text); INSERT INTO settings VALUES ('old'); ALTER EXTENSION hstore ADD TABLE settings;
         UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'hstore'",
    );
    let folder = stage.back_up(&var("EXCLUDE_TABLE_DATA", "settings"));
    stage
        .database
        .sql("UPDATE settings SET v = 'newer'; UPDATE t SET a = 2");
    stage
        .restore(&var("BACKUP_REVISION", &folder))
        .expect_code(0);
    assert_eq!(stage.database.sql("SELECT v FROM settings").trim(), "newer");
    assert_eq!(stage.database.sql("SELECT a FROM t").trim(), "1");
}

/// The extension is there already, since no such part brings it.
#[test]
fn rows_of_an_extensions_table_in_a_part_that_names_it_replace_those_that_are_there() {
    let stage = Stage::new("filters_configuration");
    stage.database.sql(SETTINGS);
    stage
        .database
        .sql("INSERT INTO settings VALUES ('a'), ('b'); CREATE TABLE plain (a int)");
    let target = shared().database("filters_configuration");
    target.sql(SETTINGS);
    let rows = "SELECT string_agg(v, ' ' ORDER BY v) FROM settings";
    for filters in [
        var("INCLUDE_TABLES", "settings,plain"),
        var("INCLUDE_SCHEMAS", "public"),
    ] {
        let ended = stage.backup(&filters);
        ended.expect_code(0);
        let said = "table public.settings needs extension hstore";
        assert!(ended.printed().contains(said), "{ended}");
        let folder = stage.back_up(&filters);
        for target in [&stage.database, &target] {
            target.sql("DELETE FROM settings WHERE v = 'a'; INSERT INTO settings VALUES ('newer')");
            into(&stage, target.name(), &folder, &env([])).expect_code(0);
            assert_eq!(target.sql(rows), "a b builtin", "{filters:?}");
        }
    }
}

/// What an extension makes comes with it, its schema too; the archive says only who may use them.
#[test]
fn a_schema_that_an_extension_makes_is_not_missed() {
    let stage = filled(Stage::new("filters_of_extension"));
    stage.database.sql(
        "CREATE EXTENSION hstore; CREATE SCHEMA own; CREATE TABLE own.t (a int);
         ALTER EXTENSION hstore ADD SCHEMA own; ALTER EXTENSION hstore ADD TABLE own.t; GRANT SELECT ON own.t TO PUBLIC",
    );
    let folder = stage.back_up(&var("EXCLUDE_SCHEMAS", "secret"));
    let name = unique("filters_of_extension");
    into(&stage, &name, &folder, &env([])).expect_code(0);
}

/// What a restore that was killed has left is removed, and rows that it did not bring are none of that.
#[test]
fn rows_that_an_extension_came_with_outlive_the_half_of_a_part_without_them() {
    let stage = Stage::new("filters_half");
    let made = format!("{SETTINGS}; {ALL}; CREATE TABLE t AS SELECT 1 AS a");
    stage.database.sql(&made);
    let folder = stage.back_up(&var("EXCLUDE_TABLE_DATA", "settings"));
    let target = shared().database("filters_half");
    target.sql(&format!(
        "{SETTINGS}; {ALL}; CREATE SCHEMA oiler_restore_incomplete; COMMENT ON SCHEMA oiler_restore_incomplete IS
         'The contents are not complete: a restore of {folder}/ is under way here, or was cut short.'"
    ));
    into(&stage, target.name(), &folder, &env([])).expect_code(0);
    assert_eq!(target.sql("SELECT v FROM settings"), "builtin");
    assert_eq!(target.sql("SELECT a FROM t"), "1");
}
