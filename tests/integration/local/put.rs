//! Schedules that are put, asked about and restored from a store, on one machine, by the commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::{start, start_with};
use crate::testbed::postgres::{Database, quoted, shared};
use crate::testbed::programs::{Ended, scheduler};
use crate::testbed::{Env, env, folder, wait_for};

/// How a database is named in arguments, and the variable with its password.
pub(super) fn login(database: &Database<'_>) -> (String, String, Env) {
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

pub(super) fn command(data: &Path, beside: &Env, arguments: &[&str]) -> Ended {
    let mut all = env([("DATA_DIR", data.to_str().unwrap())]);
    all.extend(beside.iter().cloned());
    scheduler(&all).args(arguments).run()
}

/// A database, a store, and a scheduler that knows neither.
pub(super) struct Scene {
    pub(super) data: PathBuf,
    pub(super) store: String,
    pub(super) of: String,
    pub(super) place: String,
    pub(super) secret: Env,
}

impl Scene {
    pub(super) fn of(database: &Database<'_>) -> Self {
        let (of, place, secret) = login(database);
        Self {
            data: folder("data"),
            store: format!("file://{}", folder("store").display()),
            of,
            place,
            secret,
        }
    }

    pub(super) fn call(&self, arguments: &[&str]) -> Ended {
        command(&self.data, &Env::default(), arguments)
    }

    pub(super) fn call_with_password(&self, password: &str, arguments: &[&str]) -> Ended {
        let beside = env([("ADAPTER_DB_PASSWORD", password)]);
        command(&self.data, &beside, arguments)
    }

    pub(super) fn password(&self) -> &str {
        &self.secret[0].1
    }

    fn put(&self, more: &[&str]) -> Vec<String> {
        let put = [
            "put",
            "shop",
            "--database",
            &self.of,
            "--store",
            &self.store,
        ];
        let all = [&put[..], more].concat();
        all.into_iter().map(str::to_owned).collect()
    }
}

pub(super) fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// From a schedule under a name to its backups, one by one, and back without the schedule.
#[test]
fn a_schedule_is_put_asked_about_and_restored_from_its_store() {
    let database = shared().database("put");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let scene = Scene::of(&database);
    let (_running, _port) = start(&scene.data);
    it_is_put_as_it_is_said(&scene);
    it_is_changed_without_its_password(&scene);
    what_is_wrong_with_it_is_found(&scene);
    backups_are_shown_and_deleted(&scene);
    its_backup_comes_back_without_it(&scene);
}

fn it_is_put_as_it_is_said(scene: &Scene) {
    let berlin = ["--cron", "0 3 * * *", "--time-zone", "Europe/Berlin"];
    let put = scene.put(&[&berlin[..], &["--label", "team=web"]].concat());
    let wrong = scene.call_with_password("no", &words(&put));
    wrong.expect_code(2);
    let why = "password authentication failed";
    assert!(wrong.stderr.contains(why), "{wrong}");
    let only_said = [&words(&put)[..], &["--validate-only"]].concat();
    let would = scene.call_with_password(scene.password(), &only_said);
    would.expect_code(0);
    assert!(would.stdout.starts_with("shop would be created"), "{would}");
    let none = scene.call(&["ls"]);
    assert!(none.stdout.contains("there are no schedules"), "{none}");
    let made = scene.call_with_password(scene.password(), &words(&put));
    made.expect_code(0);
    let created = "shop created; the next run is at ";
    assert!(made.stdout.starts_with(created), "{made}");
    assert!(made.stdout.contains("the store can be listed"), "{made}");
    let shown = scene.call(&["show", "shop", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["timeZone"], "Europe/Berlin");
    assert_eq!(shown["labels"]["team"], "web");
    let next = shown["nextRunTime"].as_str().unwrap();
    assert!(
        next.contains("T01:00:00") || next.contains("T02:00:00"),
        "{next}"
    );
}

/// With other times nothing else changes.
fn it_is_changed_without_its_password(scene: &Scene) {
    let hourly = scene.put(&["--cron", "@hourly", "--label", "team=web"]);
    let changed = scene.call(&words(&hourly));
    changed.expect_code(0);
    let what = "shop changed: schedule, time_zone;";
    assert!(changed.stdout.starts_with(what), "{changed}");
    let again = scene.call(&words(&hourly));
    assert!(again.stdout.starts_with("shop unchanged"), "{again}");
    scene.call(&["run", "shop", "--wait"]).expect_code(0);
    let elsewhere = format!("{}2", scene.of);
    let (store, of) = (scene.store.as_str(), elsewhere.as_str());
    let moved = ["put", "shop", "--database", of, "--store", store];
    let only_said = ["--cron", "@hourly", "--skip-checks", "--validate-only"];
    let moved = scene.call(&[&moved[..], &only_said].concat());
    let what = "would be changed: database";
    assert!(moved.stdout.contains(what), "{moved}");
}

fn what_is_wrong_with_it_is_found(scene: &Scene) {
    let checked = scene.call(&["doctor", "shop"]);
    checked.expect_code(0);
    for what in ["login", "list", "write"] {
        let is_ok = |it: &str| it.starts_with("ok") && it.contains(what);
        assert!(checked.stdout.lines().any(is_ok), "{what}: {checked}");
    }
    let of_database = ["doctor", "--database", &scene.of];
    let checked = scene.call_with_password("no", &of_database);
    checked.expect_code(3);
    let why = "password authentication failed";
    assert!(checked.stdout.contains(why), "{checked}");
}

/// The schedule is gone, and its backup is not.
fn its_backup_comes_back_without_it(scene: &Scene) {
    let Scene { store, place, .. } = scene;
    scene.call(&["delete", "shop"]).expect_code(0);
    let found = scene.call(&["backups", "--store", store]);
    assert!(found.stdout.contains(place), "{found}");
    let into = format!("{place}_back");
    let user = scene.of.split('@').next().unwrap();
    let from = ["restore", "--store", store, "--source", place];
    let to = ["--into", &into, "--user", user, "--mode", "empty", "--wait"];
    let back = [&from[..], &to].concat();
    let restored = scene.call_with_password(scene.password(), &back);
    restored.expect_code(0);
    let again = scene.call_with_password(scene.password(), &back);
    again.expect_code(3);
    assert!(again.stdout.contains("RESTORE_MODE"), "{again}");
    let name = into.rsplit('/').next().unwrap();
    shared().sql("postgres", &format!("DROP DATABASE {}", quoted(name)));
}

fn backups_are_shown_and_deleted(scene: &Scene) {
    let Scene { store, place, .. } = scene;
    let listed = scene.call(&["backups", "shop"]);
    let line = listed
        .stdout
        .lines()
        .nth(1)
        .unwrap_or_else(|| panic!("{listed}"));
    let first = line.split_whitespace().next().unwrap().to_owned();
    let shown = scene.call(&["backup", "shop", &first]);
    shown.expect_code(0);
    assert!(shown.stdout.contains("manifest.json"), "{shown}");
    let json = scene.call(&["backup", "shop", &first, "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_str(json["manifest"].as_str().unwrap()).unwrap();
    assert!(manifest["streams"].is_array(), "{manifest}");
    let last = scene.call(&["delete-backup", "shop", &first]);
    last.expect_code(2);
    assert!(last.stderr.contains("only complete"), "{last}");
    scene.call(&["run", "shop", "--wait"]).expect_code(0);
    let pinned = scene.call(&["pin", "shop", &first]);
    pinned.expect_code(0);
    let kept = scene.call(&["delete-backup", "shop", &first]);
    kept.expect_code(2);
    assert!(kept.stderr.contains("unpin it"), "{kept}");
    let listed = scene.call(&["backups", "shop"]);
    assert!(listed.stdout.contains("verified, pinned"), "{listed}");
    let judged = scene.call(&["retention", "shop", "--keep", "1"]);
    judged.expect_code(0);
    assert!(judged.stdout.contains("pinned"), "{judged}");
    assert!(judged.stdout.contains("0 of 2 would go"), "{judged}");
    scene.call(&["unpin", "shop", &first]).expect_code(0);
    let judged = scene.call(&["retention", "shop", "--keep", "1"]);
    assert!(judged.stdout.contains("not one of the last 1"), "{judged}");
    assert!(judged.stdout.contains("1 of 2 would go"), "{judged}");
    let would = scene.call(&["delete-backup", "shop", &first, "--validate-only"]);
    assert!(would.stdout.contains("nothing is deleted"), "{would}");
    let of_store = ["--store", store, "--source", place];
    let deleted = scene.call(&[&["delete-backup", &first][..], &of_store].concat());
    deleted.expect_code(0);
    let listed = scene.call(&[&["backups"][..], &of_store].concat());
    assert!(!listed.stdout.contains(&first), "{listed}");
    assert_eq!(listed.stdout.lines().count(), 2, "{listed}");
    scene.call(&["backup", "shop", &first]).expect_code(2);
}

fn lists(call: &dyn Fn(&[&str]) -> Ended, expected: &[&str]) {
    wait_for("the schedules are those of the file", || {
        let json = call(&["ls", "-o", "json"]);
        let json: serde_json::Value = serde_json::from_str(&json.stdout).ok()?;
        let all = json["schedules"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = all.iter().filter_map(|it| it["name"].as_str()).collect();
        (names == expected).then_some(())
    });
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
    let listed = |expected: &[&str]| lists(&call, expected);
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
    // Nor is anything taken over that a call has made for another database.
    let elsewhere = format!("{place_of_store}/other");
    std::fs::create_dir(folder.join("other")).unwrap();
    let theirs = ["put", "their-own", "--database", &of, "--store", &elsewhere];
    let theirs = [&theirs[..], &["--cron", "@daily", "--skip-checks"]].concat();
    call(&theirs).expect_code(0);
    write(format!(
        "schedules:\n{}{}{}",
        one("night"),
        one("nights"),
        one("their-own")
    ));
    running.wait_until_it_prints("a call has made a schedule of that name");
    let kept = call(&["show", "their-own"]);
    assert!(kept.stdout.contains(&elsewhere), "{kept}");
    call(&["delete", "their-own"]).expect_code(0);
    // A file that is wrong anywhere changes nothing.
    write(format!("schedules:\n{}- name: Wrong\n", one("night")));
    running.wait_until_it_prints("the schedules stay as they are");
    listed(&["night", "nights"]);
    std::fs::remove_file(&path).unwrap();
    running.wait_until_it_prints("No such file");
    // What is not there any more is removed after two minutes, and no sooner.
    write(format!("schedules:\n{}", one("night")));
    std::thread::sleep(Duration::from_secs(110));
    listed(&["night", "nights"]);
    std::thread::sleep(Duration::from_secs(10));
    listed(&["night"]);
    assert!(call(&["show", "night"]).stdout.contains("suspended"));
    let found = call(&["backups", "--store", &place_of_store]);
    assert!(found.stdout.contains(&place), "{found}");
}

/// What was secret of a schedule goes with it.
#[test]
fn a_password_is_in_no_file_once_its_schedule_is_deleted() {
    let database = shared().database("forgotten");
    let scene = Scene::of(&database);
    let (_running, _port) = start(&scene.data);
    let put = scene.put(&["--cron", "@daily", "--skip-checks"]);
    let password = "a-password-that-is-nowhere-else";
    scene
        .call_with_password(password, &words(&put))
        .expect_code(0);
    let holds = || {
        let files = std::fs::read_dir(&scene.data).unwrap().flatten();
        let files = files.filter(|it| it.file_type().is_ok_and(|it| it.is_file()));
        let mut texts = files.map(|it| std::fs::read(it.path()).unwrap());
        let wanted = password.as_bytes();
        texts.any(|it| it.windows(wanted.len()).any(|it| it == wanted))
    };
    assert!(holds());
    scene.call(&["delete", "shop"]).expect_code(0);
    assert!(!holds());
}

/// Who backs up may read all and write nothing: whoever restores over it is another one.
#[test]
fn another_role_restores_over_the_schedules_own_database() {
    let database = shared().database("in_place");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 10) n");
    let mut scene = Scene::of(&database);
    let reader = shared().role("reader", "IN ROLE pg_read_all_data");
    let (user, place) = scene.of.split_once('@').unwrap();
    let (user, at) = (user.to_owned(), format!("{reader}@{place}"));
    let owner = scene.password().to_owned();
    scene.of = at;
    let (_running, _port) = start(&scene.data);
    let put = scene.put(&["--cron", "@daily"]);
    scene.call_with_password("p", &words(&put)).expect_code(0);
    scene.call(&["run", "shop", "--wait"]).expect_code(0);
    database.sql("DELETE FROM t");
    let name = database.name();
    let over = ["restore", "shop", "--into", name, "--user", &user];
    let refused = scene.call_with_password(&owner, &over);
    refused.expect_code(2);
    assert!(refused.stderr.contains("--in-place"), "{refused}");
    assert_eq!(database.sql("SELECT count(*) FROM t").trim(), "0");
    let over = ["restore", "shop", "--in-place", "--user", &user, "--wait"];
    scene.call_with_password(&owner, &over).expect_code(0);
    assert_eq!(database.sql("SELECT count(*) FROM t").trim(), "10");
}
