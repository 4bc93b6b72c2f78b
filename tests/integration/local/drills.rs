//! Restore drills by commands, on one machine, with the real workers.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::file;
use super::operations::{command, made, request};
use super::process::{start, start_with};
use super::put::Scene;
use crate::testbed::postgres::{Database, free_port, shared};
use crate::testbed::programs::Running;
use crate::testbed::{block_on, env, folder, wait_for};

fn json(data: &Path, arguments: &[&str]) -> Value {
    let ended = command(data, &[arguments, &["-o", "json"]].concat());
    ended.expect_code(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// The cell below a heading in the first line of a table.
fn cell(table: &str, heading: &str) -> String {
    let mut lines = table.lines();
    let (head, first) = (lines.next().unwrap(), lines.next().unwrap());
    let from = head.find(heading).unwrap_or_else(|| panic!("{table}"));
    let rest: String = first.chars().skip(from).collect();
    rest.split("  ").next().unwrap().to_owned()
}

/// Issue 14, section 3: `scheduler verify` proves a backup, and whoever looks sees that it came back.
#[test]
fn a_backup_is_proved_by_a_command_and_whoever_looks_sees_what_came_of_it() {
    let database = shared().database("proved");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let (data, store) = (folder("data"), folder("store"));
    let (running, port) = start(&data);
    let name = block_on(made(port, request(&database, &store)));
    let call = |arguments: &[&str]| command(&data, arguments);
    let verified = |command: &[&str]| cell(&call(command).stdout, "VERIFIED");
    let none = call(&["verify", &name]);
    none.expect_code(2);
    assert!(none.stderr.contains("none at all"), "{none}");
    call(&["run", &name, "--wait"]).expect_code(0);
    assert_eq!(verified(&["ls"]), "-");
    assert_eq!(verified(&["backups", &name]), "-");
    // What is there by now is not what was backed up, and stays as it is.
    database.sql("DELETE FROM t");
    let only = call(&["verify", &name, "--validate-only"]);
    only.expect_code(0);
    assert!(only.stdout.contains("would be proved"), "{only}");

    let right = "SELECT count(*) = 1000 FROM t -- all";
    let sql = ["--sql", right, "--sql", "SELECT 1", "--request-id", "one"];
    let passed = call(&[&["verify", &name, "--wait"], &sql[..]].concat());
    passed.expect_code(0);
    for words in ["restore drill passed", "1 tables", "1000 rows"] {
        assert!(passed.stdout.contains(words), "{passed}");
    }
    assert!(verified(&["ls"]).ends_with(" ago"), "{}", call(&["ls"]));
    assert!(verified(&["backups", &name]).ends_with(" ago"));
    let backup = &json(&data, &["backups", &name])["backups"][0];
    assert_eq!(backup["verification"]["lastResult"], "PASSED");
    let run = &json(&data, &["runs", "--schedule", &name, "--kind", "restore"])["runs"][0];
    let drill = &run["drill"];
    assert_eq!(drill["result"], "PASSED");
    assert_eq!(drill["backup"], backup["key"]);
    assert_eq!(drill["source"], backup["source"]);
    assert_eq!(
        (&drill["tables"], &drill["rows"]),
        (&"1".into(), &"1000".into())
    );
    let shown = call(&["show", run["name"].as_str().unwrap()]);
    assert!(shown.stdout.contains("1 tables, 1000 rows"), "{shown}");
    let again = call(&[&["verify", &name], &sql[..]].concat());
    assert!(
        again.stdout.contains("by the same request before"),
        "{again}"
    );

    let wrong = "SELECT count(*) > 1000 FROM t";
    let failed = call(&["verify", &name, "--wait", "--sql", wrong]);
    failed.expect_code(3);
    assert!(failed.stdout.contains("restore drill failed"), "{failed}");
    for command in [&["ls"][..], &["backups", &name]] {
        let told = verified(command);
        assert!(told.starts_with("FAILED; passed "), "{told}");
    }
    let schedule = json(&data, &["show", &name]);
    let verification = &schedule["verification"];
    assert_eq!(verification["lastResult"], "FAILED");
    let why = verification["lastFailure"].as_str().unwrap();
    assert!(why.contains("says no"), "{why}");
    assert!(verification["lastVerifiedTime"].is_string());
    assert_eq!(schedule["protection"]["lastOutcome"], "SUCCEEDED");
    assert_eq!(database.sql("SELECT count(*) FROM t").trim(), "0");
    let nowhere = call(&["verify", &name, "--host", ":5432"]);
    nowhere.expect_code(2);
    assert!(nowhere.stderr.contains("HOST:PORT"), "{nowhere}");
    let log = running.printed();
    assert!(log.contains("VerifyBackup"), "{log}");
}

/// How far the drills of the one schedule are, as a scheduler that was stopped has kept it.
fn kept(data: &Path) -> Option<String> {
    let text = "SELECT drills FROM schedules";
    file(data).query_row(text, [], |row| row.get(0)).unwrap()
}

/// As if its times had been followed for years, and none of them had come.
fn followed_for_years(data: &Path) {
    let mut drills: Value = serde_json::from_str(&kept(data).unwrap()).unwrap();
    drills["followed"]["since"] = "2020-01-01T12:00:00Z".into();
    drills["followed"]["last"] = Value::Null;
    let update = "UPDATE schedules SET drills = ?1";
    file(data).execute(update, [drills.to_string()]).unwrap();
}

fn stop(running: Running) {
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
}

/// A schedule that is proved at times of its own.
struct Proved {
    scene: Scene,
    admin_port: String,
}

impl Proved {
    fn of(database: &Database<'_>) -> Self {
        Self {
            scene: Scene::of(database),
            admin_port: free_port().to_string(),
        }
    }

    fn data(&self) -> &Path {
        &self.scene.data
    }

    fn begin(&self) -> Running {
        start_with(self.data(), &env([("ADMIN_PORT", &self.admin_port)])).0
    }

    /// What a scrape shows of drills.
    fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin_port);
        let text = block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() });
        let ours = text.lines().filter(|it| it.contains("verif"));
        ours.map(|it| format!("{it}\n")).collect()
    }

    fn shows_in_metrics(&self, succeeded: &str) {
        wait_for("the gauge", || {
            let text = self.metrics();
            let of = "last_verification_succeeded{";
            let line = text.lines().find(|it| it.contains(of))?;
            line.ends_with(succeeded).then_some(())
        });
    }

    fn put(&self, password: Option<&str>, more: &[&str]) -> String {
        let of = ["put", "shop", "--database", &self.scene.of];
        let rest = ["--store", &self.scene.store, "--cron", "0 0 1 1 *"];
        let all = [&of[..], &rest, more].concat();
        let put = match password {
            Some(password) => self.scene.call_with_password(password, &all),
            None => self.scene.call(&all),
        };
        put.expect_code(0);
        put.stdout
    }

    fn put_with_sql(&self, password: Option<&str>, sql: &str) -> String {
        let verify = ["--verify", "0 0 1 1 *", "--verify-sql", sql];
        self.put(password, &verify)
    }

    fn show(&self) -> Value {
        json(self.data(), &["show", "shop"])
    }

    fn verified(&self) -> String {
        cell(&self.scene.call(&["ls"]).stdout, "VERIFIED")
    }

    fn drills(&self) -> Vec<Value> {
        let of = ["runs", "--schedule", "shop", "--kind", "restore"];
        let runs = json(self.data(), &of);
        runs["runs"].as_array().cloned().unwrap_or_default()
    }

    /// Until what a drill has shown is kept; then as if its times had been followed for years once more.
    fn stop_for_years(&self, running: Running) {
        wait_for("nothing is under way", || {
            (!kept(self.data())?.contains("under_way")).then_some(())
        });
        stop(running);
        followed_for_years(self.data());
    }
}

/// Issue 14, section 3, for schedules of the operations API: a drill at its time, told when it fails, made up for
/// once, and not made twice after a restart.
#[test]
fn a_schedule_proves_its_newest_backup_at_its_times_and_no_time_twice() {
    let database = shared().database("drilled");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let proved = Proved::of(&database);
    let running = proved.begin();
    let password = proved.scene.password();
    proved.put_with_sql(Some(password), "SELECT count(*) = 1000 FROM t");
    let shown = proved.scene.call(&["show", "shop"]).stdout;
    assert!(shown.contains("0 0 1 1 *, asking 1 statement"), "{shown}");
    assert_eq!(proved.show()["verify"]["cron"], "0 0 1 1 *");
    wait_for("its times are followed", || kept(proved.data()));
    proved.scene.call(&["run", "shop", "--wait"]).expect_code(0);
    assert!(proved.drills().is_empty(), "none was due");
    proved.stop_for_years(running);

    let running = proved.begin();
    wait_for("the time that was missed is made up for", || {
        proved.verified().ends_with(" ago").then_some(())
    });
    let all = proved.drills();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["drill"]["result"], "PASSED");
    let into = all[0]["database"].as_str().unwrap();
    assert!(into.ends_with("/restore_drill_shop"), "{into}");
    proved.shows_in_metrics(" 1");
    wait_for("nothing is under way", || {
        (!kept(proved.data())?.contains("under_way")).then_some(())
    });
    stop(running);

    // Its password stays, and the time that was made up for is not made up for again.
    let running = proved.begin();
    let wrong = proved.put_with_sql(None, "SELECT count(*) > 1000 FROM t");
    assert!(wrong.contains("changed: verify"), "{wrong}");
    proved.shows_in_metrics(" 1");
    proved.stop_for_years(running);
    let running = proved.begin();
    wait_for("it has failed", || {
        let told = proved.verified();
        told.starts_with("FAILED; passed ").then_some(())
    });
    let all = proved.drills();
    assert_eq!(all.len(), 2, "{all:?}");
    let why = proved.show()["verification"]["lastFailure"].clone();
    assert!(why.as_str().unwrap().contains("says no"), "{why}");
    proved.shows_in_metrics(" 0");

    // Put again without.
    assert!(proved.put(None, &[]).contains("changed: verify"));
    assert!(proved.show()["verify"].is_null());
    let nothing = || kept(proved.data()).is_none().then_some(());
    wait_for("nothing is kept", nothing);
    assert_eq!(proved.metrics(), "");
    assert_eq!(database.sql("SELECT count(*) FROM t").trim(), "1000");
    stop(running);
}
