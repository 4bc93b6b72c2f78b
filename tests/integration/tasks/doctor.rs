//! What would make a backup or a restore fail is found before it does, and nothing is changed for that.

mod database;
mod store;

use std::time::{Duration, Instant};

use backuper::doctor::{self, Check, Outcome, Subject};

use crate::testbed::postgres::Database;
use crate::testbed::programs::backuper;
use crate::testbed::{Env, env};
use crate::workers::{Stage, var, with};

/// What is asked, and how long it may take.
const LIMIT: Duration = Duration::from_secs(12);

/// The checks of a database, as its owner.
fn of_database(database: &Database<'_>) -> Env {
    let port = database.cluster().port();
    env([
        (
            "BACKUP_SOURCE",
            &format!("127.0.0.1:{port}/{}", database.name()),
        ),
        ("CHECK_USER", "postgres"),
        ("DB_PASSWORD", database.cluster().password()),
    ])
}

#[track_caller]
fn checked(env: &Env) -> Vec<Check> {
    let begun = Instant::now();
    let ended = backuper(&with(env, &var("BACKUPER_TASK", "check"))).run();
    ended.expect_code(0);
    assert!(begun.elapsed() < LIMIT, "{:?}: {ended}", begun.elapsed());
    let secrets = ["DB_PASSWORD", "S3_SECRET_KEY"];
    for (name, value) in env
        .iter()
        .filter(|(name, _)| secrets.contains(&name.as_str()))
    {
        let is_told = value.len() > 3 && ended.printed().contains(value);
        assert!(!is_told, "{name}: {ended}");
    }
    let checks = doctor::parse(ended.stdout.lines());
    for check in &checks {
        assert_eq!(check.sentence.lines().count(), 1, "{check:?}");
    }
    checks
}

#[track_caller]
fn found<'a>(checks: &'a [Check], subject: Subject, name: &str) -> &'a Check {
    let check = checks
        .iter()
        .find(|it| it.subject == subject && it.name == name);
    check.unwrap_or_else(|| panic!("{subject:?} {name}: {checks:#?}"))
}

#[track_caller]
fn says(checks: &[Check], subject: Subject, name: &str, outcome: Outcome, words: &[&str]) {
    let check = found(checks, subject, name);
    assert_eq!(check.outcome, outcome, "{check:?}");
    for word in words {
        assert!(check.sentence.contains(word), "{word}: {check:?}");
    }
}

/// All after this one were not tried.
#[track_caller]
fn nothing_else_was_tried(checks: &[Check], subject: Subject, but: &[&str]) {
    for check in checks.iter().filter(|it| it.subject == subject) {
        if !but.contains(&check.name.as_str()) {
            assert_eq!(check.outcome, Outcome::Unknown, "{check:?}");
            assert!(check.sentence.starts_with("not tried, since"), "{check:?}");
        }
    }
}

#[test]
fn where_all_is_well_nothing_is_wrong_and_nothing_is_left() {
    let stage = Stage::new("well");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    let before = (stage.s3.objects(), stage.database.dump());
    let checks = checked(&with(&of_database(&stage.database), &stage.s3.env()));
    for check in &checks {
        let expected = match (check.subject, check.name.as_str()) {
            // Both cannot be known without a change, or without the store's telling it.
            (Subject::Store, "delete") => Outcome::Unknown,
            _ => Outcome::Ok,
        };
        assert_eq!(check.outcome, expected, "{check:?}");
    }
    for subject in [Subject::Database, Subject::Store, Subject::Machine] {
        assert!(checks.iter().any(|it| it.subject == subject));
    }
    says(
        &checks,
        Subject::Database,
        "version",
        Outcome::Ok,
        &["pg_dump"],
    );
    says(&checks, Subject::Store, "read", Outcome::Ok, &["1 backups"]);
    assert_eq!((stage.s3.objects(), stage.database.dump()), before);
    assert_eq!(stage.s3.uploads_under_way(), 0);
}

#[test]
fn what_is_not_named_is_not_checked() {
    let checks = checked(&env([]));
    assert!(checks.iter().all(|it| it.subject == Subject::Machine));
    let stage = Stage::new("half");
    let checks = checked(&stage.s3.env());
    assert!(!checks.iter().any(|it| it.subject == Subject::Database));
    says(
        &checks,
        Subject::Store,
        "read",
        Outcome::Unknown,
        &["no database is named"],
    );
    says(
        &checks,
        Subject::Store,
        "write",
        Outcome::Unknown,
        &["not tried, since no database is named"],
    );
    let mut without = of_database(&stage.database);
    without.retain(|(name, _)| name != "CHECK_USER");
    let checks = checked(&without);
    says(&checks, Subject::Database, "address", Outcome::Ok, &[]);
    nothing_else_was_tried(&checks, Subject::Database, &["address"]);
}
