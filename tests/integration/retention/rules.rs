//! Retention by age and calendar, pins, and restores that are under way.

use std::time::Duration;

use jiff::{Span, Timestamp};

use super::{copied_to, is_there, keep, written};
use crate::testbed::s3_faults::{Fault, Faults};
use crate::testbed::{Env, env};
use crate::workers::{Stage, var, with};

fn hours_ago(hours: i64) -> Timestamp {
    Timestamp::now() - Span::new().hours(hours)
}

#[test]
fn the_rules_keep_in_union_what_any_of_them_keeps_and_a_pin_keeps_the_rest() {
    let stage = Stage::new("union");
    let first = stage.back_up(&env([]));
    let copies: Vec<String> = [2, 26, 50, 51, 24 * 10, 24 * 40, 24 * 70]
        .into_iter()
        .map(|it| copied_to(&stage, &first, hours_ago(it)))
        .collect();
    stage.s3.put(&format!("{}/pinned", copies[5]), b"");
    let published = format!("{}/2020-01-02-03-04-05-backup.sql", stage.database.name());
    stage.s3.put(&published, b"old");
    // 51 hours ago may be of another day than 50.
    let rules = env([
        ("RETENTION_DAYS", "2"),
        ("KEEP_MONTHLY", "1"),
        ("RETENTION_TIME_ZONE", "Europe/Berlin"),
    ]);
    let ended = stage.backup(&with(&rules, &keep("1")));
    ended.expect_code(0);
    let there: Vec<bool> = copies.iter().map(|it| is_there(&stage, it)).collect();
    assert!(there[0] && there[1] && !there[2] && !there[3], "{ended}");
    assert_eq!(there[5..], [true, false], "{ended}");
    // What it was not told of stays.
    assert_eq!(stage.s3.read(&published), b"old");
    let ended = stage.backup(&with(&keep("3"), &var("RETENTION_OBJECTS", "true")));
    ended.expect_code(0);
    assert!(!stage.s3.keys().contains(&published), "{ended}");
}

#[test]
fn at_least_as_many_stay_as_are_said_however_old_they_are() {
    let stage = Stage::new("least");
    let first = stage.back_up(&env([]));
    let copies: Vec<String> = (1..5)
        .map(|it| copied_to(&stage, &first, hours_ago(it * 24 * 30)))
        .collect();
    stage.s3.remove(&format!("{first}/manifest.json"));
    let rules = env([("RETENTION_DAYS", "7"), ("KEEP_AT_LEAST", "3")]);
    stage.backup(&rules).expect_code(0);
    let there: Vec<bool> = copies.iter().map(|it| is_there(&stage, it)).collect();
    assert_eq!(there, [true, true, false, false]);
    for (name, value) in [("KEEP_AT_LEAST", "0"), ("RETENTION_TIME_ZONE", "Berlin")] {
        let ended = stage.backup(&var(name, value));
        ended.expect_code(2);
        assert!(ended.last_line().contains(name), "{ended}");
    }
}

/// As of a clock that has jumped: only the newest is of this year.
#[test]
fn nothing_is_removed_by_age_after_a_long_time_without_a_backup() {
    let stage = Stage::new("gap");
    let first = stage.back_up(&env([]));
    let year = 24 * 365;
    let copies: Vec<String> = (0..4)
        .map(|it| copied_to(&stage, &first, hours_ago(year + it * 24)))
        .collect();
    stage.s3.remove(&format!("{first}/manifest.json"));
    let days = var("RETENTION_DAYS", "30");
    let ended = stage.backup(&days);
    ended.expect_code(0);
    assert!(ended.printed().contains("a clock has jumped"), "{ended}");
    assert!(copies.iter().all(|it| is_there(&stage, it)), "{ended}");
    stage.backup(&days).expect_code(0);
    assert!(!copies.iter().any(|it| is_there(&stage, it)), "the next");
}

#[test]
fn while_a_backup_is_restored_nothing_of_its_source_is_removed() {
    let stage = Stage::new("restored");
    let first = stage.back_up(&env([]));
    let second = stage.back_up(&env([]));
    stage.s3.put(&format!("{second}/restoring.1f"), b"");
    let ended = stage.backup(&keep("1"));
    ended.expect_code(0);
    assert!(ended.printed().contains("being restored"), "{ended}");
    assert!(is_there(&stage, &first) && is_there(&stage, &second));
    // Its restore has died.
    written(&stage, &second, Duration::from_secs(3_600));
    stage.backup(&keep("1")).expect_code(0);
    assert!(!is_there(&stage, &first) && !is_there(&stage, &second));
}

#[test]
fn a_restore_says_that_it_is_there_where_its_keys_may_write() {
    let stage = Stage::new("marked");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    let faults = Faults::start(stage.s3.port());
    let through: Env = var("S3_ENDPOINT", &faults.endpoint());
    let keys = stage.s3.keys();
    stage.restore(&through).expect_code(0);
    let said = |seen: &[String]| {
        let mark = |it: &&String| it.starts_with("PUT") && it.contains("/restoring.");
        seen.iter().filter(mark).count()
    };
    assert_eq!(said(&faults.seen()), 1, "{:?}", faults.seen());
    assert_eq!(stage.s3.keys(), keys, "it is withdrawn");
    // A key that may only read restores all the same, and warns of nothing.
    let denied = Fault::Refuse(403, "AccessDenied");
    faults.on("PUT", "restoring.", 9, denied);
    let ended = stage.restore(&through);
    ended.expect_code(0);
    assert!(!ended.printed().contains("could not say"), "{ended}");
    assert_eq!(stage.s3.keys(), keys);
    assert!(!faults.struck().is_empty());
}
