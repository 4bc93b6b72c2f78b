//! What workers say, in the scheduler's log and in the file of their run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use scheduler::api::proto::BackupRestore;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use serde_json::Value;
use tonic::transport::Endpoint;

use super::process::start_with;
use crate::testbed::postgres::shared;
use crate::testbed::programs::Running;
use crate::testbed::{Env, block_on, env, folder, wait_for};
use crate::workers::with;

const RAW: &str = "thread 'main' panicked at src/main.rs:1:1:";

/// Asks for a restore of what is not there; gives its run, and the scheduler's lines when it has ended.
fn restore(data: &Path, more: &Env) -> (String, String, Vec<String>, Running) {
    let (running, port) = start_with(data, more);
    let database = shared().database("lines");
    let own: std::collections::HashMap<_, _> = database.env().into_iter().collect();
    let store = folder("store");
    let request = BackupRestore {
        db_uri: own["DB_HOST"].clone(),
        db_port: own["DB_PORT"].parse().unwrap(),
        db_user: own["DB_USER"].clone(),
        db_pass: own["DB_PASSWORD"].clone(),
        db_name: own["DB_NAME"].clone(),
        database_type: "postgres".to_owned(),
        s3_endpoint: format!("file://{}", store.display()),
        backup_revision: "0".to_owned(),
        skip_checks: true,
        ..BackupRestore::default()
    };
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let run = block_on(async {
        let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
        let started = client.restore(request).await.expect("started");
        started.into_inner().job_name
    });
    wait_for("it has ended", || {
        let printed = running.printed();
        let ended = |it: &str| it.contains(&run) && it.contains("failed");
        printed.lines().any(ended).then_some(())
    });
    let lines = running.printed().lines().map(str::to_owned).collect();
    let place = format!("{}:{}/{}", own["DB_HOST"], own["DB_PORT"], own["DB_NAME"]);
    (run, place, lines, running)
}

fn log(data: &Path, run: &str) -> String {
    std::fs::read_to_string(data.join("logs/restores").join(format!("{run}.log"))).unwrap()
}

/// The one line with these words.
#[track_caller]
fn only<'a>(lines: &'a [String], words: &str) -> &'a str {
    let found: Vec<&String> = lines.iter().filter(|it| it.contains(words)).collect();
    assert_eq!(found.len(), 1, "{words}: {lines:#?}");
    found[0]
}

/// A worker that says what is no line of a worker's too.
fn strange() -> Env {
    let program = folder("strange").join("restorer");
    let line = r#"{"timestamp":"2020-01-01T00:00:00.5Z","level":"WARN","message":"it is slow","bytes":7,"database":"theirs","key":"a b"}"#;
    let text = format!("#!/bin/bash\necho '{line}' >&2\ncat >&2 <<'END'\n{RAW}\nEND\nexit 2\n");
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    env([("RESTORER_BINARY", program.to_str().unwrap())])
}

#[test]
fn a_workers_last_line_is_an_error_of_ours_with_its_run_and_its_database() {
    let data = folder("data");
    let (run, place, lines, _running) = restore(&data, &env([("LOG_FORMAT", "json")]));
    let read = |line: &String| serde_json::from_str::<Value>(line).expect(line);
    let lines: Vec<Value> = lines.iter().map(read).collect();
    let words = "there is none at all";
    let said = |it: &&Value| it["message"].as_str().is_some_and(|it| it.contains(words));
    let found: Vec<&Value> = lines.iter().filter(said).collect();
    assert_eq!(found.len(), 1, "{lines:#?}");
    assert_eq!(found[0]["level"], "ERROR");
    assert_eq!(found[0]["run"], run.as_str());
    assert_eq!(found[0]["database"], place.as_str());
    let log = log(&data, &run);
    let last = log.lines().last().unwrap();
    assert!(last.contains("Z ERROR no backup 0 of"), "{log}");
    assert!(!log.contains('{'), "{log}");
}

#[test]
fn a_workers_level_and_fields_become_ours_and_its_time_does_not() {
    let data = folder("data");
    let (run, place, lines, _running) = restore(&data, &strange());
    let line = only(&lines, "it is slow");
    let (time, rest) = line.split_once("  ").unwrap();
    assert!(!time.starts_with("2020"), "{line}");
    let wanted = format!("WARN it is slow run={run} database={place} bytes=7 key=\"a b\"");
    assert_eq!(rest, wanted);
    let line = only(&lines, RAW);
    let wanted = format!("  WARN {RAW} run={run} database={place}");
    assert!(line.ends_with(&wanted), "{line}");
    let wanted = format!(
        "2020-01-01T00:00:00.500000Z  WARN it is slow bytes=7 database=theirs key=\"a b\"\n{RAW}\n"
    );
    assert_eq!(log(&data, &run), wanted);
}

#[test]
fn what_is_no_line_of_a_workers_is_a_warning_in_json_too() {
    let more = with(&strange(), &env([("LOG_FORMAT", "json")]));
    let (run, _, lines, _running) = restore(&folder("data"), &more);
    let line: Value = serde_json::from_str(only(&lines, RAW)).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], RAW);
    assert_eq!(line["run"], run.as_str());
}

#[test]
fn settings_that_are_refused_are_told_in_the_format_that_is_set() {
    let ended = crate::testbed::programs::backuper(&env([("LOG_FORMAT", "json")])).run();
    ended.expect_code(2);
    let line: Value = serde_json::from_str(ended.last_line()).expect("JSON");
    assert_eq!(line["level"], "ERROR");
}
