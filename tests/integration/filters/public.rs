//! The schema `public`, which is in every database, and is in a part only where that says so.

use super::*;

/// What is said of it.
const PUBLIC: &str = "SELECT nspacl, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'public'";

/// As nobody else has it.
const OURS: &str =
    "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC;
    COMMENT ON SCHEMA public IS 'ours'";

#[test]
fn a_part_without_the_schema_public_leaves_its_privileges_and_its_comment() {
    let stage = filled(Stage::new("filters_public"));
    for filters in [
        var("INCLUDE_SCHEMAS", "shop"),
        var("INCLUDE_TABLES", "plain"),
        var("EXCLUDE_SCHEMAS", "secret,pub*"),
    ] {
        let folder = stage.back_up(&filters);
        let empty = shared().database("filters_public");
        for target in [&stage.database, &empty] {
            target.sql(OURS);
            let before = target.sql(PUBLIC);
            into(&stage, target.name(), &folder, &env([])).expect_code(0);
            assert_eq!(target.sql(PUBLIC), before, "{filters:?}");
        }
        stage
            .database
            .sql("REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC");
    }
}

#[test]
fn a_part_that_has_the_schema_public_brings_what_is_said_of_it() {
    let stage = filled(Stage::new("filters_public_too"));
    for filters in [
        var("INCLUDE_SCHEMAS", "public,shop"),
        var("EXCLUDE_SCHEMAS", "secret"),
        var("EXCLUDE_TABLES", "shop.l*"),
    ] {
        let before = stage.database.sql(PUBLIC);
        let folder = stage.back_up(&filters);
        stage.database.sql(OURS);
        let restored = into(&stage, stage.database.name(), &folder, &env([]));
        restored.expect_code(0);
        assert_eq!(stage.database.sql(PUBLIC), before, "{filters:?}");
        let name = unique("filters_public_made");
        into(&stage, &name, &folder, &env([])).expect_code(0);
        let made = shared().existing(&name);
        assert_eq!(made.sql(PUBLIC), before, "{filters:?}");
    }
}

#[test]
fn what_is_said_of_a_database_that_is_to_be_empty_is_true_of_a_part() {
    let stage = filled(Stage::new("filters_empty"));
    let empty = var("RESTORE_MODE", "empty");
    let folder = stage.back_up(&var("INCLUDE_TABLES", "shop.log"));
    let target = shared().database("filters_empty");
    let refused = into(&stage, target.name(), &folder, &empty);
    is_refused(&refused, &["CREATE SCHEMA", "again with RESTORE_MODE=auto"]);
    target.sql("CREATE SCHEMA shop");
    let refused = into(&stage, target.name(), &folder, &empty);
    is_refused(
        &refused,
        &[
            "is not empty",
            "what this part of a database has (only table shop.log) and leaves all else",
        ],
    );
    into(&stage, target.name(), &folder, &env([])).expect_code(0);
    let refused = into(&stage, &unique("filters_empty"), &folder, &empty);
    is_refused(&refused, &["create the database, make them in it"]);
}
