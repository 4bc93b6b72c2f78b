//! Owners of schemas, operators and databases who mean harm: nothing of theirs is called as the role of a backup or a
//! restore, and nothing that they say is believed.

use super::testbed::env;
use super::testbed::postgres::{quoted, shared};
use super::workers::Stage;

/// What our own statements use; one that fits the very types wins, wherever it stands in a path.
/// PostgreSQL manual, 10.2: operator type resolution.
const OPERATORS: [(&str, &str, &str, &str); 8] = [
    ("||", "text", "boolean", "text"),
    ("||", "text", "integer", "text"),
    ("||", "text", "text", "text"),
    ("||", "integer[]", "integer", "integer[]"),
    ("<>", "text", "text", "boolean"),
    ("=", "text", "text", "boolean"),
    ("=", "name", "name", "boolean"),
    ("*", "numeric", "integer", "numeric"),
];

#[test]
fn an_operator_that_stands_first_in_a_path_is_not_called() {
    let stage = Stage::new("tenant");
    stage.fill("t", 1);
    stage.database.sql("CREATE SCHEMA evil");
    for (number, (operator, left, right, result)) in OPERATORS.iter().enumerate() {
        stage.database.sql(&format!(
            "CREATE FUNCTION evil.f{number}({left}, {right}) RETURNS {result} LANGUAGE plpgsql AS
               $$ BEGIN RAISE 'taken over'; END $$;
             CREATE OPERATOR evil.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.f{number})"
        ));
    }
    let name = quoted(stage.database.name());
    stage.database.sql(&format!(
        "ALTER DATABASE {name} SET search_path = evil, public, pg_catalog"
    ));
    let whole = stage.database.dump();
    stage.backup(&env([])).expect_code(0);
    // Something that keeps what is to be removed.
    stage
        .database
        .sql("CREATE VIEW public.held AS TABLE public.t");
    let refused = stage.restore(&env([]));
    assert!(!refused.printed().contains("taken over"), "{refused}");
    assert!(refused.printed().contains("held"), "{refused}");
    stage.database.sql("DROP VIEW public.held");
    stage.restore(&env([])).expect_code(0);
    assert!(stage.database.dump() == whole, "the contents have changed");
}

/// What a mark names is removed by the next restore.
#[test]
fn a_mark_that_anybody_may_have_made_is_not_believed() {
    let stage = Stage::new("forged");
    stage.fill("t", 1);
    let folder = stage.back_up(&env([]));
    let tenant = shared().role("tenant", "");
    let mark = "oiler_restore_incomplete";
    stage.database.sql(&format!(
        "CREATE SCHEMA {mark} AUTHORIZATION {tenant};
         COMMENT ON SCHEMA {mark} IS 'The contents are not complete: a restore of {folder}/ is under way here, or was cut short.'"
    ));
    let refused = stage.restore(&env([]));
    refused.expect_code(2);
    assert!(
        refused.last_line().contains("belongs neither to"),
        "{refused}"
    );
    assert_eq!(stage.database.sql("SELECT count(*) > 0 FROM t"), "t");
    stage.database.sql(&format!("DROP SCHEMA {mark}"));
    stage.restore(&env([])).expect_code(0);
}
