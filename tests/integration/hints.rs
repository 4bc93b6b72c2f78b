//! The last line says what to do, and what looks wrong is told of before it does harm.

use std::collections::BTreeSet;

use backuper::runtime::settings::{misspelt, names_of};

use super::testbed::postgres::shared;
use super::testbed::s3_faults::{Fault, Faults, Rule};
use super::testbed::{env, unique};
use super::workers::{Stage, var, with};

#[track_caller]
fn says(ended: &super::testbed::programs::Ended, code: i32, words: &[&str]) {
    ended.expect_code(code);
    for word in words {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
}

#[test]
fn whoever_gives_no_password_is_told_which_variable_takes_it() {
    let stage = Stage::new("nopassword");
    let none = var("DB_PASSWORD", "");
    says(
        &stage.backup(&none),
        2,
        &["password missing", "set DB_PASSWORD"],
    );
    says(
        &stage.restore(&none),
        2,
        &["password missing", "set DB_PASSWORD"],
    );
}

#[test]
fn a_role_that_a_setting_makes_of_ours_is_named() {
    let stage = Stage::new("acting");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    let role = unique("lowly_");
    let name = stage.database.name();
    let set = format!("CREATE ROLE {role}; ALTER DATABASE \"{name}\" SET role = '{role}'");
    stage.database.sql(&set);
    for ended in [stage.backup(&env([])), stage.restore(&env([]))] {
        says(&ended, 2, &["may not", &role, "the setting `role`"]);
    }
}

#[test]
fn whoever_meets_a_limit_of_connections_is_told_which_to_raise() {
    let stage = Stage::new("limited");
    let role = unique("limited_");
    let sql = format!("CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 0");
    stage.database.sql(&sql);
    let limited = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    let ended = stage.backup(&limited);
    says(&ended, 1, &["too many connections", "CONNECTION LIMIT"]);
}

#[test]
fn whoever_must_have_tls_is_told_that_the_server_has_none() {
    let stage = Stage::new("notls");
    for more in [
        env([("DB_SSLMODE", "require")]),
        env([("DB_SSLMODE", "verify-full"), ("DB_SSLROOTCERT", "system")]),
    ] {
        let ended = stage.backup(&more);
        says(&ended, 2, &["does not support TLS", "DB_SSLMODE"]);
    }
}

#[test]
fn a_role_that_may_not_create_the_missing_database_is_told_what_helps() {
    let stage = Stage::new("nocreatedb");
    stage.back_up(&env([]));
    let role = unique("nocreatedb_");
    let sql = format!("CREATE ROLE {role} LOGIN PASSWORD 'p'");
    shared().sql("postgres", &sql);
    let name = stage.database.name();
    shared().sql("postgres", &format!("DROP DATABASE \"{name}\""));
    let ended = stage.restore(&env([("DB_USER", &role), ("DB_PASSWORD", "p")]));
    says(
        &ended,
        2,
        &[&role, "CREATEDB", "create the database by hand"],
    );
}

#[test]
fn a_number_that_is_out_of_range_is_told_the_range() {
    let stage = Stage::new("range");
    for (name, value, range) in [
        ("BACKUP_JOBS", "0", "1 to 65535"),
        ("BACKUP_JOBS", "70000", "1 to 65535"),
        ("MAX_BACKUP_COUNT", "99999999999", "4294967295"),
        ("MAX_BACKUP_COUNT", "seven", "0 or more"),
        ("COMPRESSION_LEVEL", "20", "1 to 19"),
        ("DB_PORT", "65536", "1 to 65535"),
        ("S3_FORCE_PATH_STYLE", "maybe", "true or false"),
    ] {
        says(&stage.backup(&var(name, value)), 2, &[name, range]);
    }
    for (name, value, range) in [
        ("RESTORE_JOBS", "0", "1 to 65535"),
        (
            "RESTORE_AS_OF",
            "2026-11-25",
            "such as 2026-11-20T21:05:27Z",
        ),
    ] {
        says(&stage.restore(&var(name, value)), 2, &[name, range]);
    }
    stage.nothing_is_stored();
}

#[test]
fn what_is_no_revision_is_told_what_it_may_be() {
    let stage = Stage::new("norevision");
    for (revision, words) in [
        ("newest", "0 or latest"),
        ("2026-11-25", "2026-11-25T23:59:59Z"),
        ("2026-11-25T21:05:27", "2026-11-25T21:05:27Z if it is UTC"),
        ("-1", "the newest is 0"),
    ] {
        let ended = stage.restore(&var("BACKUP_REVISION", revision));
        says(&ended, 2, &["BACKUP_REVISION", words]);
    }
}

#[test]
fn whoever_finds_nothing_to_restore_is_told_what_the_store_holds() {
    let stage = Stage::new("holds");
    says(&stage.restore(&env([])), 2, &["there is none at all"]);
    stage.database.sql("CREATE TABLE t AS SELECT 7 AS n");
    let made = stage.back_up(&env([]));
    let other = unique("renamed");
    let ended = stage.restore(&var("DB_NAME", &other));
    says(
        &ended,
        2,
        &[stage.database.name(), &made, "DB_NAME", "BACKUP_REVISION"],
    );
    let asked = with(&var("DB_NAME", &other), &var("BACKUP_REVISION", &made));
    stage.restore(&asked).expect_code(0);
    assert_eq!(shared().sql(&other, "SELECT n FROM t"), "7");
}

/// Keys that may not list the bucket's root get the plain sentence, and no other error.
#[test]
fn nothing_to_restore_is_said_also_where_the_root_may_not_be_listed() {
    let stage = Stage::new("rootless");
    let faults = Faults::start(stage.s3.port());
    faults.add(Rule {
        method: "GET",
        path: "list-type=2".to_owned(),
        // The probe, and the database's own folders.
        skip: 2,
        times: 10,
        fault: Fault::Answer(403),
    });
    let ended = stage.restore(&var("S3_ENDPOINT", &faults.endpoint()));
    says(&ended, 2, &["there is none at all"]);
    assert_eq!(faults.struck().len(), 1);
}

/// F56.
#[test]
fn a_misspelt_variable_is_told_of_with_the_nearest_name() {
    let stage = Stage::new("misspelt");
    let secret = unique("hunter");
    let ended = stage.backup(&env([
        ("DB_PASS", &secret),
        ("MAX_BACKUPS", "3"),
        ("S3_BUCKET", "x"),
        // What Kubernetes sets for Services of these names.
        ("DB_SERVICE_HOST", "10.0.0.1"),
        ("DB_PORT_5432_TCP", "tcp://10.0.0.1:5432"),
        ("BACKUP_PORT", "tcp://10.0.0.1:80"),
        // Of another of our programs.
        ("RESTORE_JOBS", "2"),
    ]));
    ended.expect_code(0);
    let printed = ended.printed();
    let warnings: Vec<&str> = printed
        .lines()
        .filter(|it| it.contains("none of the settings"))
        .collect();
    assert_eq!(warnings.len(), 3, "{ended}");
    for (warning, (name, meant)) in warnings.iter().zip([
        ("DB_PASS", "DB_PASSWORD"),
        ("MAX_BACKUPS", "MAX_BACKUP_COUNT"),
        ("S3_BUCKET", "S3_BUCKET_NAME"),
    ]) {
        assert!(warning.contains(&format!("{name} is none")), "{warning}");
        assert!(warning.contains(&format!("is {meant} meant")), "{warning}");
    }
    assert!(!printed.contains(&secret), "{ended}");
}

/// F56: one file of variables may be meant for all three programs.
#[test]
fn the_list_of_settings_is_that_of_all_programs() {
    let all: BTreeSet<String> = [
        names_of::<backuper::job::BackupJob>(),
        names_of::<backuper::job::ListJob>(),
        names_of::<backuper::job::ShowJob>(),
        names_of::<backuper::job::DeleteJob>(),
        names_of::<backuper::job::CheckJob>(),
        vec!["BACKUPER_TASK".to_owned()],
        names_of::<restorer::job::RestoreJob>(),
        names_of::<restorer::job::SwapBackJob>(),
        vec!["RESTORER_TASK".to_owned()],
        names_of::<scheduler::config::Config>(),
    ]
    .concat()
    .into_iter()
    .collect();
    let listed: BTreeSet<String> = misspelt::NAMES.iter().map(ToString::to_string).collect();
    assert_eq!(listed, all);
}
