//! What a backuper does beside backups: it lists, shows and deletes them, and checks what a backup would
//! meet. The real binary, as an engine starts it.

mod deletion;
mod doctor;
mod only_empty;

use backuper::job::{BackupSource, ListJob, ShowJob, StoreSettings, Value, Var};
use backuper::listing;
use backuper::runtime::settings::read_from;
use clap::{Args as _, Command, FromArgMatches as _};
use secrecy::ExposeSecret as _;

use super::testbed::postgres::shared;
use super::testbed::programs::{Ended, backuper};
use super::testbed::{Env, env, folder};
use super::workers::{Stage, var, with};

/// The variables of a job, as an engine puts them into a process.
fn given(vars: Vec<Var>) -> Env {
    vars.into_iter()
        .map(|it| {
            let value = match it.value {
                Value::Plain(value) => value,
                Value::Secret(value) => value.expose_secret().to_owned(),
            };
            (it.name.to_owned(), value)
        })
        .collect()
}

/// A job of these variables, written and read back by the contract.
fn task(name: &str, store: &Env, more: &Env) -> Ended {
    backuper(&with(&with(store, &var("BACKUPER_TASK", name)), more)).run()
}

/// How a source is named.
fn source(stage: &Stage) -> String {
    let port = stage.database.cluster().port();
    format!("127.0.0.1:{port}/{}", stage.database.name())
}

fn listed(ended: &Ended) -> Vec<listing::Listed> {
    ended.expect_code(0);
    listing::parse(ended.stdout.lines())
}

#[test]
fn somebody_who_has_only_the_bucket_is_told_of_each_database_in_it() {
    let stage = Stage::new("lost");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    let newest = stage.back_up(&env([]));
    let other = shared().database("also lost/");
    let theirs = with(&other.env(), &stage.s3.env());
    backuper(&theirs).succeed();
    stage
        .s3
        .put("old one/2020-11-19-21-05-27-backup.sql", b"old");
    stage.s3.put("notes/today.txt", b"x");
    let all = listed(&task("list", &stage.s3.env(), &env([])));
    let databases: Vec<&str> = all.iter().map(|it| it.database.as_str()).collect();
    assert_eq!(databases, [other.name(), stage.database.name(), "old one"]);
    assert_eq!(all[1].key, newest);
    assert_eq!(all[1].source, Some(source(&stage)));
    assert!(all.iter().all(|it| it.problem.is_none()), "{all:?}");
    // With a source it lists all of that, as it did before.
    let own = var("BACKUP_SOURCE", &source(&stage));
    let own = listed(&task("list", &stage.s3.env(), &own));
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|it| it.database == stage.database.name()));
}

#[test]
fn a_directory_tells_of_its_databases_too() {
    let stage = Stage::new("disk");
    let store = format!("file://{}", folder("store").display());
    let store = var("S3_ENDPOINT", &store);
    backuper(&with(&stage.database.env(), &store)).succeed();
    let all = listed(&task("list", &store, &env([])));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].database, stage.database.name());
}

#[test]
fn a_backup_is_shown_with_its_manifest_and_its_objects() {
    let stage = Stage::new("shown");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let made = stage.back_up(&env([]));
    let of = |key: &str| {
        let more = env([("BACKUP_SOURCE", &source(&stage)), ("BACKUP_KEY", key)]);
        task("show", &stage.s3.env(), &more)
    };
    let shown = listing::parse_shown(of(&made).expect_code(0).stdout.lines()).unwrap();
    let manifest = shown.manifest.expect("it is complete");
    assert_eq!(manifest.source.database, stage.database.name());
    let keys: Vec<String> = shown.objects.iter().map(|it| it.key.clone()).collect();
    assert_eq!(keys, stage.s3.keys());
    let sum: u64 = shown.objects.iter().map(|it| it.size).sum();
    assert_eq!(
        (shown.backup.key, shown.backup.stored_bytes),
        (made.clone(), sum)
    );

    let name = stage.database.name();
    let published = format!("{name}/2020-11-19-21-05-27-backup.sql");
    stage.s3.put(&published, b"old");
    let shown = listing::parse_shown(of(&published).expect_code(0).stdout.lines()).unwrap();
    assert_eq!((shown.manifest, shown.objects.len()), (None, 1));

    for (key, words) in [
        (format!("{made}/manifest.json"), "a part of a backup"),
        (
            format!("{name}/2020-11-19-21-05-27-backup-1f3a9c0e"),
            "no such folder",
        ),
        (
            "elsewhere/2020-11-19-21-05-27-backup.sql".to_owned(),
            "none of the backups of",
        ),
    ] {
        let ended = of(&key);
        ended.expect_code(2);
        assert!(ended.last_line().contains(words), "{ended}");
        assert!(
            listing::parse_shown(ended.stdout.lines()).is_none(),
            "{ended}"
        );
    }
}

/// An engine that starts an older image gets no backup in the place of an answer: nothing of these jobs
/// is a login by the names that a backup reads.
#[test]
fn no_task_looks_like_a_backup_to_a_backuper_that_does_not_know_it() {
    let stage = Stage::new("older");
    let source: BackupSource = source(&stage).parse().unwrap();
    let matches = StoreSettings::augment_args(Command::new("x")).get_matches_from(["x"]);
    let store = StoreSettings::from_arg_matches(&matches).unwrap();
    let pairs = [("BACKUP_SOURCE", source.to_string())];
    let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    let list: ListJob = read_from(pairs).unwrap();
    let reporting = list.reporting.clone();
    let show = ShowJob {
        layout: backuper::job::LayoutSettings::default(),
        source: source.clone(),
        key: "x".to_owned(),
        store: store.clone(),
        reporting: reporting.clone(),
    };
    let delete = backuper::job::DeleteJob {
        layout: backuper::job::LayoutSettings::default(),
        source: source.clone(),
        key: "x".to_owned(),
        last: true,
        validate_only: true,
        store,
        reporting,
    };
    let check: backuper::job::CheckJob = read_from([
        ("BACKUP_SOURCE", "db:5432/shop"),
        ("CHECK_USER", "me"),
        ("DB_PASSWORD", "p"),
        ("BACKUP_JOBS", "2"),
    ])
    .unwrap();
    for vars in [
        list.to_env(),
        show.to_env(),
        delete.to_env(),
        check.to_env(),
    ] {
        let vars = given(vars);
        let value = |name: &str| {
            vars.iter()
                .find(|(it, _)| it == name)
                .map(|it| it.1.clone())
        };
        for login in ["DB_HOST", "DB_USER", "DB_NAME", "DB_PORT"] {
            assert_eq!(value(login), None, "{vars:?}");
        }
        let ended = backuper(&with(&vars, &var("BACKUPER_TASK", ""))).run();
        ended.expect_code(2);
        assert!(ended.last_line().contains("DB_HOST"), "{ended}");
        assert!(ended.last_line().contains("must be set"), "{ended}");
    }
}

#[test]
fn a_task_that_nobody_knows_is_refused_with_those_that_there_are() {
    let stage = Stage::new("notask");
    let ended = stage.backup(&var("BACKUPER_TASK", "destroy"));
    ended.expect_code(2);
    for word in ["BACKUPER_TASK", "backup", "list", "show", "delete", "check"] {
        assert!(ended.last_line().contains(word), "{ended}");
    }
    stage.nothing_is_stored();
}
