//! Restore drills by commands, on one machine, with the real workers.

use std::path::Path;

use serde_json::Value;

use super::operations::{command, made, request};
use super::process::start;
use crate::testbed::postgres::shared;
use crate::testbed::{block_on, folder};

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
