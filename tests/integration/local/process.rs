//! The scheduler's own process on one machine, with the real backuper.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, UpdateBackupRequest};
use tonic::transport::Endpoint;

use crate::testbed::postgres::{free_port, shared};
use crate::testbed::programs::{Prepared, Running, scheduler};
use crate::testbed::{Env, block_on, env, folder, wait_for};
use crate::workers::with;

pub(super) fn start(data: &Path) -> (Running, u16) {
    start_with(data, &env([]))
}

pub(super) fn start_with(data: &Path, more: &Env) -> (Running, u16) {
    start_as(scheduler, data, more)
}

pub(super) fn start_as(
    program: impl FnOnce(&Env) -> Prepared,
    data: &Path,
    more: &Env,
) -> (Running, u16) {
    let (port, admin_port) = (free_port(), free_port());
    let own = env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().unwrap()),
        ("FILE_ROOT", "/tmp"),
        ("PORT", &port.to_string()),
        ("ADMIN_PORT", &admin_port.to_string()),
    ]);
    let mut running = program(&with(&own, more)).start();
    running.wait_until_it_prints("serving");
    (running, port)
}

/// How many complete backups there are below a folder.
fn manifests(store: &Path) -> usize {
    let folders = |path: &Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|it| it.path()).collect()
    };
    let backups = folders(store).into_iter().flat_map(|it| folders(&it));
    backups
        .filter(|it| it.join("manifest.json").is_file())
        .count()
}

#[test]
fn a_backup_after_an_update_to_another_database_gets_a_schedule_of_its_own() {
    let (running, port) = start(&folder("data"));
    let shop = BackupRequest {
        db_uri: "db.example".to_owned(),
        db_port: 5432,
        db_user: "u".to_owned(),
        db_name: "shop".to_owned(),
        schedule: "0 0 1 1 *".to_owned(),
        s3_endpoint: "file:///tmp/nowhere".to_owned(),
        skip_checks: true,
        ..BackupRequest::default()
    };
    let crm = BackupRequest {
        db_name: "crm".to_owned(),
        ..shop.clone()
    };
    block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
        let first = client.backup(shop.clone()).await.unwrap().into_inner();
        let update = UpdateBackupRequest {
            request: Some(crm),
            cronjob_name: first.cronjob_name.clone(),
            cronjob_namespace: first.cronjob_namespace,
        };
        client.update(update).await.unwrap();
        let mut names = Vec::new();
        for _ in 0..2 {
            let answer = client.backup(shop.clone()).await.unwrap();
            names.push(answer.into_inner().cronjob_name);
        }
        assert_ne!(names[0], first.cronjob_name, "it is crm's now");
        assert_eq!(names[0], names[1]);
    });
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
}

#[test]
fn a_killed_scheduler_loses_no_schedule() {
    let database = shared().database("local");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let value = |name: &str| {
        let found = database.env().into_iter().find(|(it, _)| it == name);
        found.unwrap().1
    };
    let (data, store) = (folder("data"), folder("store"));
    let request = BackupRequest {
        db_uri: value("DB_HOST"),
        db_port: value("DB_PORT").parse().unwrap(),
        db_user: value("DB_USER"),
        db_pass: value("DB_PASSWORD"),
        db_name: value("DB_NAME"),
        schedule: "@every 2s".to_owned(),
        s3_endpoint: format!("file://{}", store.display()),
        ..BackupRequest::default()
    };
    let (running, port) = start(&data);
    let answer = block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
        client.backup(request).await.unwrap().into_inner()
    });
    assert_eq!(answer.cronjob_namespace, "local");
    wait_for("the first backup", || {
        (manifests(&store) >= 1).then_some(())
    });
    running.signal(Signal::SIGKILL);
    assert_eq!(running.wait().signal(), Some(9));
    let (running, _port) = start(&data);
    // The run that was killed is repeated, and tells its second attempt in the log it has.
    wait_for("two runs that tell their end", || {
        let logs = logs(&data);
        (logs.iter().filter(|log| is_whole(log)).count() >= 2).then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
    only_the_schedulers_user_reads_logs(&data);
}

fn logs(data: &Path) -> Vec<PathBuf> {
    let entries = |path: PathBuf| {
        std::fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().path())
    };
    entries(data.join("logs")).flat_map(entries).collect()
}

fn is_whole(log: &Path) -> bool {
    let text = std::fs::read_to_string(log).unwrap();
    text.contains("backup complete and verified")
}

fn only_the_schedulers_user_reads_logs(data: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for log in logs(data) {
        let mode = std::fs::metadata(&log).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", log.display());
    }
}

/// S36.
#[test]
fn a_run_that_a_kill_cut_short_is_named_at_the_next_start() {
    let (data, began) = (folder("data"), folder("out").join("began"));
    let script = super::worker(&format!("touch {}; sleep 60", began.display()));
    let more = env([("BACKUPER_BINARY", script.to_str().unwrap())]);
    let (running, port) = start_with(&data, &more);
    let request = BackupRequest {
        db_uri: "db.example".to_owned(),
        db_port: 5432,
        db_user: "u".to_owned(),
        db_name: "shop".to_owned(),
        schedule: "@every 1s".to_owned(),
        s3_endpoint: "file:///tmp/nowhere".to_owned(),
        skip_checks: true,
        ..BackupRequest::default()
    };
    let name = block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
        client
            .backup(request)
            .await
            .unwrap()
            .into_inner()
            .cronjob_name
    });
    wait_for("the worker", || began.exists().then_some(()));
    running.signal(Signal::SIGKILL);
    running.wait();
    let (mut running, _port) = start_with(&data, &more);
    running.wait_until_it_prints("did not end before");
    let printed = running.printed();
    let line = printed.lines().find(|it| it.contains("did not end before"));
    let line = line.unwrap_or_else(|| panic!("{printed}"));
    for word in ["ERROR", name.as_str(), "db.example:5432/shop", "made again"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
}

/// S38.
#[test]
fn settings_that_cannot_work_are_told_at_the_start() {
    for (variable, value) in [
        ("BACKUPER_BINARY", "/nope"),
        ("RESTORER_BINARY", "/etc/passwd"),
    ] {
        let data = folder("data");
        let own = env([
            ("ENGINE", "local"),
            ("DATA_DIR", data.to_str().unwrap()),
            ("LISTEN_ADDRESS", "127.0.0.1"),
            ("PORT", &free_port().to_string()),
            ("ADMIN_PORT", &free_port().to_string()),
            (variable, value),
        ]);
        let ended = scheduler(&own).run();
        ended.expect_code(2);
        for word in [variable, value] {
            assert!(ended.last_line().contains(word), "{word}: {ended}");
        }
    }
}

/// S02.
#[test]
fn a_request_names_no_directory_but_below_the_one_that_is_set() {
    let (running, port) = start(&folder("data"));
    let request = |endpoint: &str| BackupRequest {
        db_uri: "db.example".to_owned(),
        db_port: 5432,
        db_user: "u".to_owned(),
        db_name: "shop".to_owned(),
        schedule: "@daily".to_owned(),
        s3_endpoint: endpoint.to_owned(),
        skip_checks: true,
        ..BackupRequest::default()
    };
    block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
        for outside in ["file:///etc", "file:///tmp/../etc", "file:///"] {
            let status = client.backup(request(outside)).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::PermissionDenied, "{status}");
            assert!(
                status.message().contains("FILE_ROOT") || status.message().contains(".."),
                "{status}"
            );
        }
        client.backup(request("file:///tmp/backups")).await.unwrap();
    });
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
}

/// S01.
#[test]
fn no_address_of_the_network_is_served_to_everybody_by_mistake() {
    let data = folder("data");
    let own = env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().unwrap()),
        ("LISTEN_ADDRESS", "0.0.0.0"),
        ("PORT", &free_port().to_string()),
        ("ADMIN_PORT", &free_port().to_string()),
    ]);
    let ended = scheduler(&own).run();
    ended.expect_code(2);
    for word in ["LISTEN_ADDRESS", "GRPC_TLS_CLIENT_CA", "ALLOW_ANYONE"] {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
    let mut running = scheduler(&with(&own, &env([("ALLOW_ANYONE", "true")]))).start();
    running.wait_until_it_prints("serving");
    let printed = running.printed();
    assert!(
        printed
            .lines()
            .any(|it| it.contains("WARN") && it.contains("ALLOW_ANYONE")),
        "{printed}"
    );
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
}

/// S01: who, what, from where, and how it ended.
#[test]
fn each_call_leaves_a_line_that_says_who_made_it() {
    let (data, list) = (folder("data"), folder("access").join("callers.yaml"));
    // printf %s test | sha256sum
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let text = format!("callers: [{{name: ci, token: 'sha256:{hash}', role: operator}}]");
    std::fs::write(&list, text).unwrap();
    let (running, port) = start_with(&data, &env([("ACCESS_FILE", list.to_str().unwrap())]));
    let request = BackupRequest {
        db_uri: "db.example".to_owned(),
        db_port: 5432,
        db_user: "u".to_owned(),
        db_pass: "hunter2".to_owned(),
        db_name: "shop".to_owned(),
        schedule: "@daily".to_owned(),
        s3_endpoint: "file:///tmp/nowhere".to_owned(),
        skip_checks: true,
        ..BackupRequest::default()
    };
    block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
        let mut forged = request.clone();
        forged.db_name.push_str("\nINFO answered caller=\"root\"");
        client.backup(forged).await.expect_err("nobody");
        let mut call = tonic::Request::new(request);
        let token = "Bearer test".parse().unwrap();
        call.metadata_mut().insert("authorization", token);
        client.backup(call).await.expect("ci");
    });
    running.signal(Signal::SIGTERM);
    let printed = running.wait_within(Duration::from_secs(10)).printed();
    let line = printed.lines().find(|it| it.contains("refused"));
    let line = line.unwrap_or_else(|| panic!("{printed}"));
    let of_both = [
        "address=127.0.0.1:",
        "method=\"Backup\"",
        r#"database="db.example:5432/shop"#,
    ];
    for word in [r#"caller="nobody""#, "Unauthenticated"]
        .iter()
        .chain(&of_both)
    {
        assert!(line.contains(word), "{word}: {line}");
    }
    let line = printed.lines().find(|it| it.contains(" INFO answered"));
    let line = line.unwrap_or_else(|| panic!("{printed}"));
    for word in [r#"caller="ci""#, "code=\"OK\""].iter().chain(&of_both) {
        assert!(line.contains(word), "{word}: {line}");
    }
    let forged = printed.lines().any(|it| it.starts_with("INFO answered"));
    assert!(!forged, "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}
