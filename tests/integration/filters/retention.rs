//! A part of a database stands for no whole one: not for retention, not for a number, not for the last one.

use super::*;

fn is_there(stage: &Stage, folder: &str) -> bool {
    let manifest = format!("{folder}/manifest.json");
    stage.s3.keys().contains(&manifest)
}

#[test]
fn a_part_lets_no_whole_backup_go_and_no_number_means_it() {
    let stage = Stage::new("filters_retention");
    stage.database.sql("CREATE SCHEMA shop; CREATE TABLE shop.t AS SELECT 'old' AS v; CREATE TABLE plain AS SELECT 'old' AS v");
    let keep = |more: &[(&str, &str)]| {
        let all = [&[("MAX_BACKUP_COUNT", "1")][..], more].concat();
        stage.back_up(&listed(&all))
    };
    let shop = [("INCLUDE_SCHEMAS", "shop")];
    let whole = keep(&[]);
    let first = keep(&shop);
    let other = keep(&[("EXCLUDE_TABLES", "plain")]);
    let second = keep(&shop);
    let there = |all: [&String; 4]| all.map(|it| is_there(&stage, it));
    assert_eq!(
        there([&whole, &first, &other, &second]),
        [true, false, true, true],
        "each part is counted by itself"
    );

    stage
        .database
        .sql("UPDATE shop.t SET v = 'new'; UPDATE plain SET v = 'new'");
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    assert!(ended.last_line().contains(&whole), "{ended}");
    assert!(!ended.last_line().contains("a part"), "{ended}");
    assert!(
        ended
            .printed()
            .contains("a part of the database alone, so it does not count"),
        "{ended}"
    );
    assert_eq!(stage.database.sql("SELECT v FROM plain").trim(), "old");

    let source = format!("127.0.0.1:{}/{}", shared().port(), stage.database.name());
    let delete = |key: &str| {
        let task = env([
            ("BACKUPER_TASK", "delete"),
            ("BACKUP_SOURCE", source.as_str()),
            ("BACKUP_KEY", key),
        ]);
        backuper(&with(&stage.s3.env(), &task)).run()
    };
    is_refused(&delete(&whole), &["the only complete backup"]);
    let task = env([
        ("BACKUPER_TASK", "retention"),
        ("BACKUP_SOURCE", source.as_str()),
        ("MAX_BACKUP_COUNT", "1"),
    ]);
    let preview = backuper(&with(&stage.s3.env(), &task)).succeed();
    assert!(preview.printed().contains("of 3 backups"), "{preview}");
    assert!(preview.printed().contains(" 0 would go"), "{preview}");

    let newer = keep(&[]);
    assert_eq!(
        there([&whole, &newer, &other, &second]),
        [false, true, true, true]
    );
    delete(&other).expect_code(0);
}

#[test]
fn where_there_are_only_parts_a_number_means_one_and_says_so() {
    let stage = Stage::new("filters_only_parts");
    stage
        .database
        .sql("CREATE SCHEMA shop; CREATE TABLE shop.t AS SELECT 1 AS v");
    stage.back_up(&var("INCLUDE_SCHEMAS", "shop"));
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    assert!(
        ended
            .last_line()
            .ends_with("a part of the database: only schema shop"),
        "{ended}"
    );
}

/// Whoever copies a backup elsewhere may lose what stands beside its streams.
#[test]
fn a_part_that_has_lost_its_mark_stands_for_no_whole_one() {
    let stage = Stage::new("filters_mark");
    stage
        .database
        .sql("CREATE SCHEMA shop; CREATE TABLE shop.t AS SELECT 1 AS v");
    let whole = stage.back_up(&env([]));
    let part = stage.back_up(&var("INCLUDE_SCHEMAS", "shop"));
    let marks: Vec<String> = stage.s3.keys();
    let mark = marks.iter().find(|it| it.contains("/part.")).unwrap();
    stage.s3.remove(mark);
    let source = format!("127.0.0.1:{}/{}", shared().port(), stage.database.name());
    let task = env([
        ("BACKUPER_TASK", "delete"),
        ("BACKUP_SOURCE", source.as_str()),
        ("BACKUP_KEY", whole.as_str()),
    ]);
    let refused = backuper(&with(&stage.s3.env(), &task)).run();
    is_refused(&refused, &["the only complete backup"]);
    let third = stage.back_up(&var("MAX_BACKUP_COUNT", "1"));
    for (folder, stays) in [(&whole, false), (&part, true), (&third, true)] {
        assert_eq!(is_there(&stage, folder), stays, "{folder}");
    }
}
