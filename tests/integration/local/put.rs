//! Schedules that are put, asked about and restored from a store, on one machine, by the commands.

use std::path::Path;

use super::process::{start, start_with};
use crate::testbed::postgres::{Database, quoted, shared};
use crate::testbed::programs::{Ended, scheduler};
use crate::testbed::{Env, env, folder, wait_for};

/// How a database is named in arguments, and the variable with its password.
fn login(database: &Database<'_>) -> (String, String, Env) {
    let all = database.env();
    let value = |name: &str| {
        let found = all.iter().find(|(it, _)| it == name);
        found.unwrap().1.clone()
    };
    let place = format!(
        "{}:{}/{}",
        value("DB_HOST"),
        value("DB_PORT"),
        value("DB_NAME")
    );
    let password = value("DB_PASSWORD");
    let of = format!("{}@{place}", value("DB_USER"));
    (of, place, env([("ADAPTER_DB_PASSWORD", password.as_str())]))
}

fn command(data: &Path, beside: &Env, arguments: &[&str]) -> Ended {
    let mut all = env([("DATA_DIR", data.to_str().unwrap())]);
    all.extend(beside.iter().cloned());
    scheduler(&all).args(arguments).run()
}

/// From a schedule under a name to its backups, one by one, and back without the schedule.
#[test]
fn a_schedule_is_put_asked_about_and_restored_from_its_store() {
    let database = shared().database("put");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let (data, folder) = (folder("data"), folder("store"));
    let store = format!("file://{}", folder.display());
    let (_running, _port) = start(&data);
    let (of, place, secret) = login(&database);
    let call = |beside: &Env, arguments: &[&str]| command(&data, beside, arguments);
    let none = Env::default();
    let put = ["put", "shop", "--database", &of, "--store", &store];
    let full = [
        &put[..],
        &["--cron", "0 3 * * *", "--time-zone", "Europe/Berlin"],
    ]
    .concat();
    let labelled = [&full[..], &["--label", "team=web"]].concat();

    let wrong = call(&env([("ADAPTER_DB_PASSWORD", "no")]), &labelled);
    wrong.expect_code(2);
    assert!(
        wrong.stderr.contains("password authentication failed"),
        "{wrong}"
    );
    let would = call(&secret, &[&labelled[..], &["--validate-only"]].concat());
    would.expect_code(0);
    assert!(would.stdout.starts_with("shop would be created"), "{would}");
    assert!(
        call(&none, &["ls"])
            .stdout
            .contains("there are no schedules")
    );
    let made = call(&secret, &labelled);
    made.expect_code(0);
    assert!(
        made.stdout.starts_with("shop created; the next run is at "),
        "{made}"
    );
    assert!(made.stdout.contains("the store can be listed"), "{made}");
    let shown = call(&none, &["show", "shop", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["timeZone"], "Europe/Berlin");
    assert_eq!(shown["labels"]["team"], "web");
    let next = shown["nextRunTime"].as_str().unwrap();
    assert!(
        next.contains("T01:00:00") || next.contains("T02:00:00"),
        "{next}"
    );

    // Without the password it stays; with other times nothing else changes.
    let hourly = [&put[..], &["--cron", "@hourly", "--label", "team=web"]].concat();
    let changed = call(&none, &hourly);
    changed.expect_code(0);
    assert!(
        changed
            .stdout
            .starts_with("shop changed: schedule, time_zone;"),
        "{changed}"
    );
    assert!(call(&none, &hourly).stdout.starts_with("shop unchanged"));
    call(&none, &["run", "shop", "--wait"]).expect_code(0);
    let elsewhere = format!("{of}2");
    let moved = [
        "put",
        "shop",
        "--database",
        &elsewhere,
        "--store",
        &store,
        "--cron",
        "@hourly",
    ];
    let moved = call(
        &none,
        &[&moved[..], &["--skip-checks", "--validate-only"]].concat(),
    );
    assert!(
        moved.stdout.contains("would be changed: database"),
        "{moved}"
    );

    let checked = call(&none, &["doctor", "shop"]);
    checked.expect_code(0);
    for what in ["login", "rights"] {
        let is_ok = |it: &str| it.starts_with("ok") && it.contains(what);
        assert!(checked.stdout.lines().any(is_ok), "{what}: {checked}");
    }
    let checked = call(
        &env([("ADAPTER_DB_PASSWORD", "no")]),
        &["doctor", "--database", &of],
    );
    checked.expect_code(3);
    assert!(
        checked.stdout.contains("password authentication failed"),
        "{checked}"
    );

    backups_are_shown_and_deleted(&call, &place, &store);

    // The schedule is gone, and its backup is not.
    call(&none, &["delete", "shop"]).expect_code(0);
    let found = call(&none, &["backups", "--store", &store]);
    assert!(found.stdout.contains(&place), "{found}");
    let into = format!("{}_back", place);
    let user = of.split('@').next().unwrap();
    let back = [
        "restore", "--store", &store, "--source", &place, "--into", &into,
    ];
    let back = [&back[..], &["--user", user, "--mode", "empty", "--wait"]].concat();
    call(&secret, &back).expect_code(0);
    let again = call(&secret, &back);
    again.expect_code(3);
    assert!(again.stdout.contains("RESTORE_MODE"), "{again}");
    let name = into.rsplit('/').next().unwrap();
    shared().sql("postgres", &format!("DROP DATABASE {}", quoted(name)));
}

fn backups_are_shown_and_deleted(call: &dyn Fn(&Env, &[&str]) -> Ended, place: &str, store: &str) {
    let none = Env::default();
    let listed = call(&none, &["backups", "shop"]);
    let line = listed
        .stdout
        .lines()
        .nth(1)
        .unwrap_or_else(|| panic!("{listed}"));
    let first = line.split_whitespace().next().unwrap().to_owned();
    let shown = call(&none, &["backup", "shop", &first]);
    shown.expect_code(0);
    assert!(shown.stdout.contains("manifest.json"), "{shown}");
    let json = call(&none, &["backup", "shop", &first, "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_str(json["manifest"].as_str().unwrap()).unwrap();
    assert!(manifest["streams"].is_array(), "{manifest}");
    let last = call(&none, &["delete-backup", "shop", &first]);
    last.expect_code(2);
    assert!(last.stderr.contains("only complete"), "{last}");
    call(&none, &["run", "shop", "--wait"]).expect_code(0);
    let would = call(&none, &["delete-backup", "shop", &first, "--validate-only"]);
    assert!(would.stdout.contains("nothing is deleted"), "{would}");
    let of_store = ["--store", store, "--source", place];
    let deleted = call(&none, &[&["delete-backup", &first][..], &of_store].concat());
    deleted.expect_code(0);
    let listed = call(&none, &[&["backups"][..], &of_store].concat());
    assert!(!listed.stdout.contains(&first), "{listed}");
    assert_eq!(listed.stdout.lines().count(), 2, "{listed}");
    call(&none, &["backup", "shop", &first]).expect_code(2);
}

/// What the administrator has written is made, kept and removed.
#[test]
fn declared_schedules_are_those_of_the_file() {
    let database = shared().database("declared");
    let (data, folder) = (folder("data"), folder("store"));
    let (of, place, secret) = login(&database);
    let (user, password) = (of.split('@').next().unwrap(), &secret[0].1);
    let (server, name) = place.split_once('/').unwrap();
    let (host, port) = server.rsplit_once(':').unwrap();
    let store = folder.display().to_string();
    let place_of_store = format!("file://{store}");
    let one = |schedule: &str| {
        format!(
            "- name: {schedule}\n  database: {{host: {host}, port: {port}, dbname: {name}, user: {user}, password: \"{password}\"}}\n  store: {{endpoint: \"file://{store}\"}}\n  cron: \"{} 3 * * *\"\n  timeZone: Asia/Tokyo\n  maxBackupCount: 3\n",
            schedule.len()
        )
    };
    let path = data.join("schedules.yaml");
    let write = |text: String| std::fs::write(&path, text).unwrap();
    write(format!("schedules:\n{}{}", one("night"), one("nights")));
    let file = env([("SCHEDULES_FILE", path.to_str().unwrap())]);
    let (mut running, _port) = start_with(&data, &file);
    let none = Env::default();
    let call = |arguments: &[&str]| command(&data, &none, arguments);
    let listed = |expected: &[&str]| {
        wait_for("the schedules are those of the file", || {
            let json = call(&["ls", "-o", "json"]);
            let json: serde_json::Value = serde_json::from_str(&json.stdout).ok()?;
            let all = json["schedules"].as_array().cloned().unwrap_or_default();
            let names: Vec<_> = all.iter().filter_map(|it| it["name"].as_str()).collect();
            (names == expected).then_some(())
        });
    };
    listed(&["night", "nights"]);
    call(&["run", "night", "--wait"]).expect_code(0);
    for arguments in [
        &["delete", "night"][..],
        &[
            "put",
            "night",
            "--database",
            &of,
            "--store",
            &place_of_store,
            "--cron",
            "@daily",
        ],
    ] {
        let refused = call(arguments);
        refused.expect_code(2);
        assert!(refused.stderr.contains("SCHEDULES_FILE"), "{refused}");
    }
    call(&["suspend", "night"]).expect_code(0);
    // A file that is wrong anywhere changes nothing.
    write(format!("schedules:\n{}- name: Wrong\n", one("night")));
    running.wait_until_it_prints("the schedules stay as they are");
    listed(&["night", "nights"]);
    write(format!("schedules:\n{}", one("night")));
    listed(&["night"]);
    assert!(call(&["show", "night"]).stdout.contains("suspended"));
    std::fs::remove_file(&path).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(12));
    listed(&["night"]);
    write("schedules: []\n".to_owned());
    listed(&[]);
    let found = call(&["backups", "--store", &format!("file://{store}")]);
    assert!(found.stdout.contains(&place), "{found}");
}
