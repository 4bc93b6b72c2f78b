//! Operations and commands on one machine, with the real workers.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, v1};
use tonic::transport::Endpoint;

use super::process::{start, start_with};
use crate::operations;
use crate::testbed::postgres::{Database, shared};
use crate::testbed::programs::{Ended, scheduler};
use crate::testbed::{block_on, env, folder, wait_for};

pub(super) fn request(database: &Database<'_>, store: &Path) -> BackupRequest {
    let all = database.env();
    let value = |name: &str| {
        let found = all.iter().find(|(it, _)| it == name);
        found.unwrap().1.clone()
    };
    BackupRequest {
        db_uri: value("DB_HOST"),
        db_port: value("DB_PORT").parse().unwrap(),
        db_user: value("DB_USER"),
        db_pass: value("DB_PASSWORD"),
        db_name: value("DB_NAME"),
        schedule: "0 0 1 1 *".to_owned(),
        s3_endpoint: format!("file://{}", store.display()),
        max_backup_count: 3,
        ..BackupRequest::default()
    }
}

pub(super) async fn made(port: u16, request: BackupRequest) -> String {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
    let answer = client.backup(request).await.unwrap();
    answer.into_inner().cronjob_name
}

fn place(request: &BackupRequest) -> String {
    let BackupRequest {
        db_uri,
        db_port,
        db_name,
        ..
    } = request;
    format!("{db_uri}:{db_port}/{db_name}")
}

#[test]
fn a_schedule_is_seen_and_changed_and_what_is_wrong_is_named() {
    let database = shared().database("operations");
    let (running, port) = start(&folder("data"));
    let request = request(&database, &folder("store"));
    let database = place(&request);
    block_on(async {
        let name = made(port, request).await;
        let mut client = operations::client(port).await;
        operations::what_is_wrong_is_named(&mut client).await;
        operations::a_schedule_is_seen_and_changed(&mut client, &name, &database).await;
    });
    let log = running.printed();
    assert!(
        log.contains("method=\"SuspendSchedule\"") || log.contains("method=SuspendSchedule"),
        "{log}"
    );
    assert!(
        !log.contains("GetSchedule\" code"),
        "reads are no changes: {log}"
    );
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
}

/// What is in pages is each in one of them.
#[test]
fn lists_have_pages() {
    let (_running, port) = start(&folder("data"));
    block_on(async {
        let mut names = Vec::new();
        for number in 0..5 {
            let request = BackupRequest {
                db_uri: "db.example".to_owned(),
                db_port: 5432,
                db_user: "u".to_owned(),
                db_name: format!("shop-{number}"),
                schedule: "0 0 1 1 *".to_owned(),
                s3_endpoint: "file:///tmp/nowhere".to_owned(),
                skip_checks: true,
                ..BackupRequest::default()
            };
            names.push(made(port, request).await);
        }
        names.sort();
        let mut client = operations::client(port).await;
        for name in &names {
            let name = name.clone();
            let request_id = String::new();
            let request = v1::RunScheduleRequest { name, request_id };
            client.run_schedule(request).await.unwrap();
        }
        let mut request = v1::ListSchedulesRequest {
            page_size: 2,
            ..v1::ListSchedulesRequest::default()
        };
        let (mut seen, mut pages) = (Vec::new(), Vec::new());
        loop {
            let answer = client.list_schedules(request.clone()).await.unwrap();
            let answer = answer.into_inner();
            pages.push(answer.schedules.len());
            seen.extend(answer.schedules.into_iter().map(|it| it.name));
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!((seen, pages), (names.clone(), vec![2, 2, 1]));
        let mut request = v1::ListRunsRequest {
            page_size: 2,
            ..v1::ListRunsRequest::default()
        };
        let mut seen = Vec::new();
        loop {
            let answer = client.list_runs(request.clone()).await.unwrap();
            let answer = answer.into_inner();
            seen.extend(answer.runs.into_iter().map(|it| it.schedule));
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, names);
    });
}

pub(super) fn command(data: &Path, arguments: &[&str]) -> Ended {
    let env = env([("DATA_DIR", data.to_str().unwrap())]);
    scheduler(&env).args(arguments).run()
}

/// Without an address: by the socket in DATA_DIR.
#[test]
fn commands_reach_the_scheduler_of_this_machine_and_show_what_there_is() {
    let database = shared().database("commands");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let (data, store) = (folder("data"), folder("store"));
    let (running, port) = start(&data);
    let call = |arguments: &[&str]| command(&data, arguments);
    let none = call(&["ls"]);
    none.expect_code(0);
    assert!(none.stdout.contains("there are no schedules"), "{none}");
    let request = request(&database, &store);
    let place = place(&request);
    let name = block_on(made(port, request));
    let listed = call(&["ls"]);
    assert!(listed.stdout.contains("no run yet"), "{listed}");
    let waited = call(&["run", &name, "--wait"]);
    waited.expect_code(0);
    assert!(
        waited
            .stdout
            .contains("succeeded: backup complete and verified"),
        "{waited}"
    );
    let listed = call(&["ls", "--database", "*:*/*"]);
    let line = listed.stdout.lines().find(|it| it.contains(&name));
    let line = line.unwrap_or_else(|| panic!("{listed}"));
    assert!(
        line.contains(&place) && line.trim_end().ends_with("ok"),
        "{line}"
    );
    let json = call(&["ls", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let first = &json["schedules"][0];
    assert_eq!(first["name"], name);
    assert_eq!(first["protection"]["lastOutcome"], "SUCCEEDED");
    let yaml = call(&["show", &name, "-o", "yaml"]);
    assert!(yaml.stdout.contains(&format!("name: {name}")), "{yaml}");
    let shown = call(&["show", &name]);
    assert!(shown.stdout.contains("Last backup:"), "{shown}");
    let runs = call(&["runs", "--schedule", &name, "--state", "succeeded"]);
    let line = runs
        .stdout
        .lines()
        .nth(1)
        .unwrap_or_else(|| panic!("{runs}"));
    let run = line.split_whitespace().next().unwrap().to_owned();
    let shown = call(&["show", &run]);
    assert!(shown.stdout.contains("succeeded"), "{shown}");
    let log = call(&["logs", &run]);
    assert!(log.stdout.contains("backup complete and verified"), "{log}");
    let json = call(&["logs", &run, "-o", "json"]);
    let first: serde_json::Value =
        serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap();
    assert!(first["text"].is_string(), "{json}");
    let followed = call(&["logs", "--follow", &run]);
    assert_eq!(followed.stdout, log.stdout);
    call(&["suspend", &name]).expect_code(0);
    wait_for("it rests", || {
        call(&["ls"]).stdout.contains("suspended").then_some(())
    });
    call(&["resume", &name]).expect_code(0);
    call(&["delete", &name]).expect_code(0);
    call(&["delete", &name]).expect_code(2);
    let missing = call(&["show", &name]);
    missing.expect_code(2);
    assert!(
        missing.stderr.contains("there is none that you may see"),
        "{missing}"
    );
    let probed = call(&["probe"]);
    probed.expect_code(0);
    assert!(probed.stdout.contains("backup.BackupService"), "{probed}");
    assert!(
        running.printed().contains("caller=\"this machine\""),
        "{}",
        running.printed()
    );
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
    assert!(!data.join("scheduler.sock").exists());
    let gone = command(&data, &["ls", "--address", &format!("127.0.0.1:{port}")]);
    gone.expect_code(1);
    assert!(gone.stderr.contains("does not answer"), "{gone}");
}

/// What fails is told with its sentence, wherever one looks.
#[test]
fn a_run_that_fails_is_seen_with_its_sentence() {
    let database = shared().database("commands");
    let (data, store) = (folder("data"), folder("store"));
    let (_running, port) = start_with(&data, &env([("CHECK_REQUESTS", "false")]));
    let wrong = BackupRequest {
        db_pass: "wrong".to_owned(),
        ..request(&database, &store)
    };
    let name = block_on(made(port, wrong));
    let waited = command(&data, &["run", &name, "--wait"]);
    waited.expect_code(3);
    assert!(
        waited.stdout.contains("password authentication failed"),
        "{waited}"
    );
    let listed = command(&data, &["ls"]);
    assert!(listed.stdout.contains("FAILED: "), "{listed}");
    assert!(
        listed.stdout.contains("password authentication failed"),
        "{listed}"
    );
    let runs = command(&data, &["runs", "--state", "failed", "--since", "1h"]);
    assert!(
        runs.stdout.contains("password authentication failed"),
        "{runs}"
    );
    block_on(async {
        let mut client = operations::client(port).await;
        let all = v1::ListRunsRequest::default();
        let runs = client.list_runs(all).await.unwrap().into_inner().runs;
        let failure = runs[0].failure.clone().unwrap();
        assert_eq!(
            (failure.reason.as_str(), failure.exit_code),
            ("Failed", Some(2))
        );
        let seen = operations::watched(&mut client, &runs[0].name).await;
        assert_eq!(seen, [runs[0].clone()], "it has ended");
    });
}

/// Nobody types credentials again on the worst day of the year.
#[test]
fn a_schedules_backup_comes_back_with_the_schedules_credentials() {
    let cluster = shared();
    let database = cluster.database("commands");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let (data, store) = (folder("data"), folder("store"));
    let (running, port) = start(&data);
    let name = block_on(made(port, request(&database, &store)));
    let call = |arguments: &[&str]| command(&data, arguments);
    let none = call(&["restore", &name, "--in-place"]);
    none.expect_code(2);
    assert!(none.stderr.contains("none at all"), "{none}");
    call(&["run", &name, "--wait"]).expect_code(0);
    let key = &newest(&data, &name, &place(&request(&database, &store)));
    database.sql("DELETE FROM t");
    let only = call(&["restore", &name, "--in-place", "--validate-only"]);
    only.expect_code(0);
    let words = format!(
        "nothing is restored; into {}",
        place(&request(&database, &store))
    );
    assert!(only.stdout.contains(&words), "{only}");
    let folder = format!("{}/", database.name());
    assert!(only.stdout.contains(&folder), "it names the backup: {only}");
    let count = |database: &Database<'_>| database.sql("SELECT count(*) FROM t");
    assert_eq!(count(&database).trim(), "0");
    let back = call(&["restore", &name, "--in-place", "--wait", "--backup", key]);
    back.expect_code(0);
    assert!(
        back.stdout.contains("succeeded: restore complete"),
        "{back}"
    );
    assert_eq!(count(&database).trim(), "1000");

    comes_back_elsewhere(&data, &name, &format!("{}_copy", database.name()));
    refused_restores(&data, &name);
    let gone = call(&["restore", "backup-ffffffff-postgres", "--in-place"]);
    gone.expect_code(2);
    let log = running.printed();
    assert!(
        log.contains("method=RestoreBackup") || log.contains("method=\"RestoreBackup\""),
        "{log}"
    );
}

fn comes_back_elsewhere(data: &Path, name: &str, copy: &str) {
    let into = command(
        data,
        &[
            "restore",
            name,
            "--into",
            copy,
            "--wait",
            "--request-id",
            "one",
        ],
    );
    into.expect_code(0);
    assert_eq!(
        shared().existing(copy).sql("SELECT count(*) FROM t").trim(),
        "1000"
    );
    let untried = command(
        data,
        &[
            "restore",
            name,
            "--into",
            "127.0.0.1:1/x",
            "--validate-only",
        ],
    );
    untried.expect_code(1);
    assert!(
        untried.stderr.contains("it could not be tried"),
        "{untried}"
    );
    // Each command is a restore of its own.
    shared().existing(copy).sql("DROP TABLE t");
    command(data, &["restore", name, "--into", copy, "--wait"]).expect_code(0);
    assert_eq!(
        shared().existing(copy).sql("SELECT count(*) FROM t").trim(),
        "1000"
    );
    let again = command(
        data,
        &["restore", name, "--into", copy, "--request-id", "one"],
    );
    again.expect_code(0);
    assert!(
        again
            .stdout
            .contains("was begun by the same request before"),
        "{again}"
    );
}

/// The newest backup, as it is listed.
fn newest(data: &Path, name: &str, place: &str) -> String {
    let listed = command(data, &["backups", name]);
    listed.expect_code(0);
    let line = listed
        .stdout
        .lines()
        .nth(1)
        .unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains(place), "{line}");
    assert!(line.trim_end().ends_with("verified"), "{line}");
    let listed = command(data, &["backups", name, "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["backups"][0]["tables"], "1");
    listed["backups"][0]["key"].as_str().unwrap().to_owned()
}

fn refused_restores(data: &Path, name: &str) {
    for (arguments, words) in [
        (&["--in-place", "--backup", "99"][..], "99"),
        (&["--in-place", "--backup", ""], "backup: it is empty"),
        (&[], "--in-place"),
        (&["--in-place", "--into", "x"], "cannot be used with"),
        // What a variable that is not set leaves of a place is none.
        (&["--into", ""], "HOST:PORT/DBNAME is needed"),
        (&["--into", "127.0.0.1:5432/"], "HOST:PORT/DBNAME is needed"),
        (&["--into", ":5432/x"], "HOST:PORT/DBNAME is needed"),
        (&["--into", "127.0.0.1:0/x"], "HOST:PORT/DBNAME is needed"),
        (&["--into", "x:y/z"], "HOST:PORT/DBNAME is needed"),
        // Another's backup is none of the schedule's, though its keys can read it.
        (
            &[
                "--in-place",
                "--backup",
                "other/2026-11-26-12-44-52-backup-d727f5ed",
            ],
            "none of the backups of",
        ),
        (&["--in-place", "--password-file", "/dev/null"], "--into"),
        (
            &["--into", "x", "--password-file", "/dev/null"],
            "it is empty",
        ),
        // The schedule's password is for its own role alone.
        (&["--into", "x", "--user", "somebody"], "password"),
    ] {
        let mut all = vec!["restore", name];
        all.extend(arguments);
        let refused = command(data, &all);
        refused.expect_code(2);
        assert!(refused.stderr.contains(words), "{words}: {refused}");
    }
}

#[test]
fn a_command_that_is_wrong_says_so_with_exit_code_2() {
    let data = folder("data");
    for arguments in [
        vec!["lss"],
        vec!["ls", "--password", "x"],
        vec!["show"],
        vec!["runs", "--since", "yesterday"],
        vec!["ls", "--address", "ftp://x:1"],
    ] {
        let ended = command(&data, &arguments);
        ended.expect_code(2);
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
    let help = command(&data, &["help"]);
    help.expect_code(0);
    for command in ["ls", "runs", "suspend", "Exit codes:", "ADAPTER_ADDRESS"] {
        assert!(help.stdout.contains(command), "{command}: {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = command(&data, &["completions", shell]);
        script.expect_code(0);
        assert!(script.stdout.contains("suspend"), "{shell}: {script}");
    }
}

#[test]
fn settings_of_commands_that_are_empty_are_unset_and_tokens_are_not_shown_to_everybody() {
    let data = folder("data");
    let (_running, _port) = start(&data);
    let empty = env([
        ("DATA_DIR", data.to_str().unwrap()),
        ("ADAPTER_ADDRESS", ""),
        ("ADAPTER_CA", ""),
        ("ADAPTER_CERT", ""),
        ("ADAPTER_KEY", ""),
        ("ADAPTER_TOKEN", ""),
        ("ADAPTER_TOKEN_FILE", ""),
        ("PORT", ""),
    ]);
    scheduler(&empty).args(["ls"]).run().expect_code(0);
    let plain = env([
        ("ADAPTER_ADDRESS", "http://192.0.2.1:50051"),
        ("ADAPTER_TOKEN", "hunter2"),
    ]);
    let refused = scheduler(&plain).args(["ls"]).run();
    refused.expect_code(2);
    assert!(refused.stderr.contains("over TLS alone"), "{refused}");
    assert!(!refused.printed().contains("hunter2"), "{refused}");
}

/// It does not run at the time that an answer would promise.
#[test]
fn a_suspended_schedule_is_answered_as_one() {
    let database = shared().database("operations");
    let (_running, port) = start(&folder("data"));
    let request = request(&database, &folder("store"));
    block_on(async {
        let name = made(port, request.clone()).await;
        let mut client = operations::client(port).await;
        let suspend = v1::SuspendScheduleRequest { name };
        client.suspend_schedule(suspend).await.unwrap();
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let mut oiler = BackupServiceClient::new(endpoint.connect().await.unwrap());
        let changed = BackupRequest {
            max_backup_count: 9,
            ..request
        };
        let answer = oiler.backup(changed).await.unwrap().into_inner();
        assert!(answer.status.contains("it is suspended"), "{answer:?}");
        assert!(!answer.status.contains("next run"), "{answer:?}");
    });
}
