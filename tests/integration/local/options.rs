//! Schedules with a format, keys and rules of their own, on one machine, by the commands.

use super::process::{start, start_with};
use super::put::Scene;
use crate::encryption::Pair;
use crate::testbed::postgres::{quoted, shared};
use crate::testbed::programs::Ended;
use crate::testbed::{env, folder};

const TEMPLATE: &str =
    "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}-{{ .RunID }}.sql.gz";

fn put(scene: &Scene, name: &str, more: &[&str]) -> Ended {
    let of = [
        "put",
        name,
        "--database",
        &scene.of,
        "--store",
        &scene.store,
    ];
    scene.call_with_password(scene.password(), &[&of[..], more].concat())
}

fn well(ended: Ended) -> Ended {
    ended.expect_code(0);
    ended
}

/// The keys of the backups that a schedule's list has, the newest first.
fn keys(scene: &Scene, schedule: &str) -> Vec<String> {
    let listed = well(scene.call(&["backups", schedule, "-o", "json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let all = listed["backups"].as_array().cloned().unwrap_or_default();
    let keys = all.iter().filter_map(|it| it["key"].as_str());
    keys.map(str::to_owned).collect()
}

fn run(scene: &Scene, schedule: &str) {
    scene.call(&["run", schedule, "--wait"]).expect_code(0);
}

/// How many rows a restore into a database of its own brings back.
fn rows_back(scene: &Scene, restore: &[&str]) -> String {
    let (_, name) = scene.place.split_once('/').unwrap();
    let into = format!("{name}_back");
    let to = ["--into", &into, "--mode", "empty", "--wait"];
    let all = [&["restore"][..], restore, &to].concat();
    scene.call(&all).expect_code(0);
    let rows = shared().sql(&into, "SELECT count(*) FROM t");
    shared().sql("postgres", &format!("DROP DATABASE {}", quoted(&into)));
    rows.trim().to_owned()
}

/// One database, twice in one store: neither list, preview, restore, deletion nor retention takes the other's.
#[test]
fn two_formats_of_one_database_are_each_their_own_schedules() {
    let database = shared().database("größe");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let scene = Scene::of(&database);
    let fleet = env([("RETENTION_DAYS", "30")]);
    let (_running, _port) = start_with(&scene.data, &fleet);
    put(&scene, "shop", &["--cron", "@daily", "--keep", "1"]).expect_code(0);
    let plain = [
        "--cron",
        "@weekly",
        "--keep",
        "1",
        "--days",
        "0",
        "--format",
        "sql.gz",
        "--sql-clean",
        "true",
        "--key-template",
        TEMPLATE,
        "--cluster-name",
        "prod 1",
    ];
    put(&scene, "shop-sql", &plain).expect_code(0);
    it_is_shown(&scene);
    for schedule in ["shop", "shop-sql", "shop", "shop-sql"] {
        run(&scene, schedule);
        database.sql("INSERT INTO t SELECT generate_series(1, 10)");
    }
    let archives = keys(&scene, "shop");
    assert_eq!(
        archives.len(),
        2,
        "the fleet keeps all of 30 days: {archives:?}"
    );
    assert!(archives.iter().all(|it| it.contains("-backup-")));
    let all = keys(&scene, "shop-sql");
    let dumps: Vec<&String> = all
        .iter()
        .filter(|it| it.starts_with("prod%201/"))
        .collect();
    assert_eq!(
        (all.len(), dumps.len()),
        (3, 1),
        "its own rules keep one: {all:?}"
    );
    each_is_judged_by_its_own_rules(&scene);
    assert_eq!(rows_back(&scene, &["shop"]), "1020");
    assert_eq!(rows_back(&scene, &["shop-sql"]), "1030");
    let dump = dumps[0].as_str();
    scene.call(&["delete-backup", "shop", dump]).expect_code(2);
    other_keys_find_it_no_more_and_leave_it(&scene, dump, &plain);
    scene
        .call(&["delete-backup", "shop-sql", dump])
        .expect_code(0);
    assert_eq!(keys(&scene, "shop-sql"), archives);
}

/// One restore asks for it, on a scheduler that has no mode of its own.
#[test]
fn a_restore_may_ask_for_a_swap() {
    let database = shared().database("swapped");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let scene = Scene::of(&database);
    let (_running, _port) = start_with(&scene.data, &env([]));
    put(&scene, "shop", &["--cron", "@daily"]).expect_code(0);
    run(&scene, "shop");
    database.sql("DELETE FROM t WHERE n > 7");
    let over = ["restore", "shop", "--backup", "0", "--in-place"];
    let swapped = scene.call(&[&over[..], &["--mode", "swap", "--wait"]].concat());
    swapped.expect_code(0);
    assert_eq!(database.sql("SELECT count(*) FROM t"), "1000");
    let old = format!(
        "SELECT datname FROM pg_database WHERE starts_with(datname, '{}_old_')",
        database.name()
    );
    let old = shared().sql("postgres", &old).trim().to_owned();
    // Nobody is to be in it by mistake.
    let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", quoted(&old));
    shared().sql("postgres", &open);
    let rows = shared().sql(&old, "SELECT count(*) FROM t");
    assert_eq!(rows.trim(), "7", "what was there is kept");
    shared().sql("postgres", &format!("DROP DATABASE {}", quoted(&old)));
}

fn it_is_shown(scene: &Scene) {
    let shown = well(scene.call(&["show", "shop-sql"]));
    for words in [
        "sql.gz, clean",
        TEMPLATE,
        "prod 1",
        "beside them:   nothing",
    ] {
        assert!(shown.stdout.contains(words), "{words}: {shown}");
    }
    let shown = well(scene.call(&["show", "shop"]));
    assert!(shown.stdout.contains("as set for all"), "{shown}");
}

fn each_is_judged_by_its_own_rules(scene: &Scene) {
    for (schedule, words) in [("shop", "0 of 2 would go"), ("shop-sql", "0 of 1 would go")] {
        let judged = well(scene.call(&["retention", schedule]));
        assert!(judged.stdout.contains(words), "{schedule}: {judged}");
    }
    let own = ["--cron", "@daily", "--keep", "1", "--keep-at-least", "1"];
    let changed = well(put(scene, "shop", &own));
    assert!(changed.stdout.contains("changed: retention;"), "{changed}");
    let judged = well(scene.call(&["retention", "shop"]));
    assert!(judged.stdout.contains("1 of 2 would go"), "{judged}");
}

/// What lies under the earlier keys is not lost.
fn other_keys_find_it_no_more_and_leave_it(scene: &Scene, dump: &str, plain: &[&str]) {
    let elsewhere: Vec<&str> = plain
        .iter()
        .map(|it| if *it == "prod 1" { "prod-2" } else { it })
        .collect();
    let changed = well(put(scene, "shop-sql", &elsewhere));
    assert!(changed.stdout.contains("changed: format;"), "{changed}");
    assert!(
        changed
            .stdout
            .contains("before a schedule has those keys again"),
        "{changed}"
    );
    assert!(!keys(scene, "shop-sql").iter().any(|it| it == dump));
    let by_key = ["restore", "shop-sql", "--backup", dump, "--into", "nowhere"];
    let refused = scene.call(&by_key);
    refused.expect_code(2);
    assert!(refused.stderr.contains("none of the backups"), "{refused}");
    let back = well(put(scene, "shop-sql", plain));
    assert!(back.stdout.contains("changed: format;"), "{back}");
    assert_eq!(rows_back(scene, &["shop-sql", "--backup", dump]), "1030");
}

/// A key of the schedule's own opens its backups, and those of no other.
#[test]
fn a_schedules_own_key_opens_its_backups() {
    let database = shared().database("own_key");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 10) n");
    let scene = Scene::of(&database);
    let (fleets, own) = (Pair::new(), Pair::new());
    let fleet = env([("ENCRYPT_TO", fleets.public.as_str())]);
    let (_running, _port) = start_with(&scene.data, &fleet);
    let daily = ["--cron", "@daily", "--encrypt-to", &own.public];
    put(&scene, "shop", &daily).expect_code(0);
    run(&scene, "shop");
    for pair in [&own, &fleets] {
        let file = folder("keys").join("backup.key");
        std::fs::write(&file, &pair.file).unwrap();
        let with = ["shop", "--identity-file", file.to_str().unwrap()];
        assert_eq!(rows_back(&scene, &with), "10");
    }
    // Plain SQL too.
    let plain = [&daily[..], &["--format", "sql.gz"]].concat();
    put(&scene, "shop", &plain).expect_code(0);
    run(&scene, "shop");
    let file = folder("keys").join("backup.key");
    std::fs::write(&file, &own.file).unwrap();
    let with = ["shop", "--identity-file", file.to_str().unwrap()];
    assert_eq!(rows_back(&scene, &with), "10");
}

/// What could never be, and what would take another's.
#[test]
fn what_a_schedule_cannot_have_of_its_own_is_refused_when_it_is_put() {
    let database = shared().database("refused");
    let scene = Scene::of(&database);
    let (_running, _port) = start(&scene.data);
    let unnamed = "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .RunID }}";
    let daily = ["--cron", "@daily", "--skip-checks"];
    for (own, words) in [
        (
            &["--key-template", unnamed][..],
            "CLUSTER_NAME is here --cluster-name",
        ),
        (
            &["--key-template", "{{ .DatabaseName }}"],
            "format.key_template",
        ),
        (
            &["--format", "archive", "--sql-owners", "true"],
            "format.sql_owners",
        ),
        (&["--retention-time-zone", "Berlin"], "retention.time_zone"),
        (
            &["--encrypt-to", "AGE-SECRET-KEY-1HUNTER2"],
            "encryption.recipients",
        ),
        (&["--encrypt-manifest"], "ENCRYPT_MANIFEST is here"),
        (&["--include-schema", "a.b"], "filters.include_schemas"),
        (
            &["--include-table", "a.b", "--exclude-schema", "c"],
            "INCLUDE_TABLES is here --include-table",
        ),
        (&["--globals-passwords", "md5"], "globals.passwords"),
    ] {
        let refused = put(&scene, "shop", &[&daily[..], own].concat());
        refused.expect_code(2);
        assert!(refused.stderr.contains(words), "{own:?}: {refused}");
        assert!(!refused.stderr.contains("HUNTER2"), "{refused}");
    }
    put(&scene, "shop", &daily).expect_code(0);
    let further = ["--cron", "@hourly", "--skip-checks", "--retention-objects"];
    let refused = put(&scene, "shop-2", &further);
    refused.expect_code(2);
    assert!(
        refused.stderr.contains("those of schedule shop"),
        "{refused}"
    );
    // A list has its database too.
    let server = scene.of.rsplit_once('/').unwrap().0;
    let all = format!("{server}/*");
    let to = ["put", "every", "--database", &all, "--store", &scene.store];
    let refused = scene.call_with_password(scene.password(), &[&to[..], &further].concat());
    refused.expect_code(2);
    assert!(
        refused.stderr.contains("those of schedule shop"),
        "{refused}"
    );
    // Filters are tried with the database.
    let misspelt = ["--cron", "@hourly", "--exclude-table", "nope.*"];
    let refused = put(&scene, "shop-2", &misspelt);
    refused.expect_code(2);
    assert!(refused.stderr.contains("matches no table"), "{refused}");
    let alone = [&daily[..], &["--retention-objects"]].concat();
    put(&scene, "shop", &alone).expect_code(0);
}
