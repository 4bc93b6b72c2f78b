//! A schedule of several databases on one machine, by the commands.

use std::path::PathBuf;

use super::process::start;
use crate::testbed::postgres::{quoted, shared};
use crate::testbed::programs::{Ended, scheduler};
use crate::testbed::{env, folder, unique};

struct Scene {
    data: PathBuf,
    /// What all its databases begin with.
    prefix: String,
    server: String,
    store: String,
}

impl Scene {
    fn call(&self, arguments: &[&str]) -> Ended {
        let all = env([
            ("DATA_DIR", self.data.to_str().unwrap()),
            ("ADAPTER_DB_PASSWORD", shared().password()),
        ]);
        scheduler(&all).args(arguments).run()
    }

    fn put(&self, databases: &str) -> Ended {
        let of = format!("postgres@{}/{databases}", self.server);
        let (database, store) = (["--database", &of], ["--store", &self.store]);
        let cron = ["--cron", "@yearly", "--keep", "7"];
        self.call(&[&["put", "all"][..], &database, &store, &cron].concat())
    }

    /// The databases of the backups that are listed, with their keys.
    fn backups(&self, more: &[&str]) -> Vec<(String, String)> {
        let ended = self.call(&[&["backups", "all", "-o", "json"][..], more].concat());
        ended.expect_code(0);
        let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let all = answer["backups"].as_array().cloned().unwrap_or_default();
        let text = |it: &serde_json::Value, name| it[name].as_str().unwrap_or_default().to_owned();
        let mut pairs: Vec<_> = all
            .iter()
            .map(|it| (text(it, "dbname"), text(it, "key")))
            .collect();
        pairs.sort();
        pairs
    }

    fn source(&self, name: &str) -> String {
        format!("{}/{}{name}", self.server, self.prefix)
    }
}

#[track_caller]
fn refused(ended: &Ended, why: &str) {
    assert_ne!(ended.code(), Some(0), "{ended}");
    assert!(ended.stderr.contains(why), "{why}: {ended}");
}

#[test]
fn a_schedule_of_several_databases_is_put_run_listed_and_restored_from() {
    let prefix = unique("sev");
    let scene = Scene {
        data: folder("data"),
        server: format!("127.0.0.1:{}", shared().port()),
        store: format!("file://{}", folder("store").display()),
        prefix: prefix.clone(),
    };
    for name in ["a", "b,"] {
        let database = shared().named(&format!("{prefix}{name}"));
        database.sql(&format!("CREATE TABLE t AS SELECT '{name}'::text AS name"));
    }
    let (_running, _port) = start(&scene.data);
    it_is_put_for_what_there_is(&scene);
    scene.call(&["run", "all", "--wait"]).expect_code(0);
    its_backups_are_listed_by_database(&scene);
    each_database_comes_back(&scene);
    one_that_fails_is_a_failure_and_nothing_is_done_twice(&scene);
}

fn it_is_put_for_what_there_is(scene: &Scene) {
    let prefix = &scene.prefix;
    refused(
        &scene.put(&format!("{prefix}x*")),
        "DB_NAME means no database of",
    );
    refused(&scene.put("!x"), "only what is left out");
    let made = scene.put(&format!("{prefix}*"));
    made.expect_code(0);
    let found = format!("2 databases are meant now: {prefix}a, \"{prefix}b,\"; whether");
    assert!(made.stdout.contains(&found), "{made}");
    let shown = scene.call(&["show", "all"]);
    assert!(shown.stdout.contains(&scene.source("*")), "{shown}");
    refused(&scene.call(&["doctor", "all"]), "one at a time is tried");
}

fn its_backups_are_listed_by_database(scene: &Scene) {
    let prefix = &scene.prefix;
    let all = scene.backups(&[]);
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [format!("{prefix}a"), format!("{prefix}b,")]);
    let of_b = scene.source("b,");
    assert_eq!(scene.backups(&["--source", &of_b]), all[1..]);
    let (_, key) = &all[1];
    let shown = scene.call(&["backup", "all", key]);
    shown.expect_code(0);
    assert!(shown.stdout.contains(&of_b), "{shown}");
    // Its schedule counts its own backups alone.
    assert!(shown.stdout.contains("all"), "{shown}");
    refused(&scene.call(&["retention", "all"]), "several databases");
    let judged = scene.call(&["retention", "all", "--source", &of_b]);
    judged.expect_code(0);
    assert!(
        judged.stdout.contains("one of the last 7") || judged.stdout.contains("newest"),
        "{judged}"
    );
    scene.call(&["pin", "all", key]).expect_code(0);
    refused(
        &scene.call(&["delete-backup", "all", key, "--last"]),
        "pinned",
    );
    scene.call(&["unpin", "all", key]).expect_code(0);
    let elsewhere = format!("{}/postgres", scene.server);
    let other = ["backups", "all", "--source", &elsewhere];
    refused(&scene.call(&other), "none of the schedule's databases");
}

fn each_database_comes_back(scene: &Scene) {
    let prefix = &scene.prefix;
    let into = format!("{prefix}back");
    let without = ["restore", "all", "--into", &into, "--wait"];
    refused(&scene.call(&without), "say in source which one is meant");
    refused(
        &scene.call(&["restore", "all", "--in-place"]),
        "say in source which one is meant",
    );
    let source = scene.source("a");
    let named = [&without[..], &["--source", &source]].concat();
    scene.call(&named).expect_code(0);
    assert_eq!(shared().sql(&into, "SELECT name FROM t"), "a");
    shared().sql("postgres", &format!("DROP DATABASE {}", quoted(&into)));
    // The key says it, and over its own database it is meant.
    let b = format!("{prefix}b,");
    shared().sql(&b, "UPDATE t SET name = 'lost'");
    let (_, key) = &scene.backups(&[])[1];
    let over = ["restore", "all", "--backup", key, "--in-place", "--wait"];
    scene.call(&over).expect_code(0);
    assert_eq!(shared().sql(&b, "SELECT name FROM t"), "b,");
    assert_eq!(
        shared().sql(&format!("{prefix}a"), "SELECT name FROM t"),
        "a"
    );
}

fn one_that_fails_is_a_failure_and_nothing_is_done_twice(scene: &Scene) {
    let prefix = &scene.prefix;
    scene.put(&format!("{prefix}*,{prefix}gone")).expect_code(0);
    let before = scene.backups(&[]).len();
    let ended = scene.call(&["run", "all", "--wait"]);
    ended.expect_code(3);
    let said = format!("{ended}");
    assert!(said.contains("2 of 3 databases are backed up"), "{said}");
    assert_eq!(
        scene.backups(&[]).len(),
        before + 2,
        "what is done is not done again"
    );
}
