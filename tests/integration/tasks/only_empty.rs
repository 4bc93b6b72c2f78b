//! A restore that may fill a database and replace nothing in one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use crate::testbed::postgres::{program, shared};
use crate::testbed::programs::restorer;
use crate::testbed::{env, folder};
use crate::workers::{Stage, var, with};

#[test]
fn a_restore_that_may_only_fill_refuses_what_is_not_empty() {
    let stage = Stage::new("onlyempty");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let made = stage.back_up(&env([]));
    stage.database.sql("CREATE TABLE later (b int)");
    let before = stage.database.dump();
    let only = var("RESTORE_MODE", "empty");
    let ended = stage.restore(&only);
    ended.expect_code(2);
    for words in ["is not empty", "RESTORE_MODE", "nothing was changed"] {
        assert!(ended.last_line().contains(words), "{ended}");
    }
    assert_eq!(stage.database.dump(), before);
    let empty = shared().database("filled");
    let missing = format!("{}-missing", stage.database.name());
    for name in [empty.name(), &missing] {
        let more = env([("DB_NAME", name), ("BACKUP_REVISION", &made)]);
        stage.restore(&with(&only, &more)).expect_code(0);
        assert_eq!(shared().sql(name, "SELECT a FROM t"), "1");
        // What it has filled is not empty any more.
        stage.restore(&with(&only, &more)).expect_code(2);
    }
    let ended = stage.restore(&var("RESTORE_MODE", "careful"));
    ended.expect_code(2);
    assert!(
        ended
            .last_line()
            .contains("auto (or in-place), empty or swap is needed"),
        "{ended}"
    );
    // As an engine tells it, and as nobody means it.
    let told = |name: &str| {
        let mut all = with(&stage.env(), &var("RESTORE_INTO_EMPTY", name));
        all.retain(|(it, _)| it != "DB_NAME");
        restorer(&with(&all, &var("BACKUP_REVISION", &made))).run()
    };
    let ended = told(stage.database.name());
    ended.expect_code(2);
    assert!(ended.last_line().contains("is not empty"), "{ended}");
    let missing = format!("{missing}-too");
    told(&missing).expect_code(0);
    assert_eq!(shared().sql(&missing, "SELECT a FROM t"), "1");
    let both = stage.restore(&var("RESTORE_INTO_EMPTY", &missing));
    both.expect_code(2);
    for words in ["DB_NAME", "RESTORE_INTO_EMPTY", "only one"] {
        assert!(both.last_line().contains(words), "{both}");
    }
}

/// Between the first look and the load a restorer asks its programs for their version: one of them makes
/// a table then.
#[test]
fn what_somebody_makes_meanwhile_is_not_replaced_where_only_an_empty_database_may_be() {
    let stage = Stage::new("meanwhile");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let made = stage.back_up(&env([]));
    let target = shared().database("meanwhile_target");
    let bin = folder("meanwhile");
    std::fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nPGPASSWORD='{}' {} -qX -h 127.0.0.1 -p {} -U postgres -d '{}' -c 'CREATE TABLE IF NOT EXISTS t AS SELECT 2 AS a' >&2\nexec {} \"$@\"\n",
        shared().password(),
        program("psql").display(),
        shared().port(),
        target.name(),
        program("pg_dump").display(),
    );
    for name in ["pg_dump", "pg_restore", "psql"] {
        let path = bin.join(name);
        std::fs::write(&path, &script).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let more = env([
        ("DB_NAME", target.name()),
        ("BACKUP_REVISION", &made),
        ("RESTORE_MODE", "empty"),
        ("PG_BIN_DIRS", bin.to_str().unwrap()),
    ]);
    let ended = stage.restore(&more);
    ended.expect_code(2);
    assert!(ended.last_line().contains("is not empty"), "{ended}");
    assert_eq!(target.sql("SELECT a FROM t"), "2");
}
