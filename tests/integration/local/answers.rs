//! What the answers of the scheduler's own process say, and what it refuses before it begins.

use std::time::Duration;

use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, BackupRestore, UpdateBackupRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::a_few_ticks;
use super::process::start;
use crate::testbed::postgres::{Database, shared};
use crate::testbed::programs::Running;
use crate::testbed::{block_on, folder, wait_for};

fn value(database: &Database, name: &str) -> String {
    let found = database.env().into_iter().find(|(it, _)| it == name);
    found.expect("it is set").1
}

fn backup(database: &Database, store: &str) -> BackupRequest {
    BackupRequest {
        db_uri: value(database, "DB_HOST"),
        db_port: value(database, "DB_PORT").parse().unwrap(),
        db_user: value(database, "DB_USER"),
        db_pass: value(database, "DB_PASSWORD"),
        db_name: value(database, "DB_NAME"),
        schedule: "@every 1s".to_owned(),
        s3_endpoint: store.to_owned(),
        max_backup_count: 3,
        ..BackupRequest::default()
    }
}

fn restore(database: &Database, store: &str, revision: &str) -> BackupRestore {
    let it = backup(database, store);
    BackupRestore {
        db_uri: it.db_uri,
        db_port: it.db_port,
        db_user: it.db_user,
        db_pass: it.db_pass,
        db_name: it.db_name,
        s3_endpoint: it.s3_endpoint,
        backup_revision: revision.to_owned(),
        ..BackupRestore::default()
    }
}

fn client(port: u16) -> BackupServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    BackupServiceClient::new(block_on(endpoint.connect()).unwrap())
}

#[track_caller]
fn refused(status: &Status, words: &[&str]) {
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    for word in words {
        assert!(status.message().contains(word), "{word}: {status}");
    }
}

fn stop(running: Running) {
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(10)).expect_code(0);
}

/// S16: what would surely fail is refused in the worker's words, unless the caller says otherwise.
#[test]
fn what_would_surely_fail_is_refused_before_the_answer() {
    let database = shared().database("answers");
    let store = format!("file://{}", folder("store").display());
    let (running, port) = start(&folder("data"));
    let mut client = client(port);
    block_on(async {
        let wrong = BackupRequest {
            db_pass: "wrong".to_owned(),
            ..backup(&database, &store)
        };
        let status = client.backup(wrong.clone()).await.unwrap_err();
        refused(&status, &["failed to schedule backups", "password"]);
        assert!(!status.message().contains("wrong"), "{status}");
        let missing = BackupRequest {
            db_name: "nowhere".to_owned(),
            ..backup(&database, &store)
        };
        let status = client.backup(missing).await.unwrap_err();
        refused(&status, &["nowhere"]);
        let no_store = backup(&database, "file:///tmp/nowhere-at-all");
        let status = client.backup(no_store).await.unwrap_err();
        refused(&status, &["/tmp/nowhere-at-all"]);
        let status = client.restore(restore(&database, &store, "0")).await;
        refused(
            &status.unwrap_err(),
            &["failed to start a restore", "none at all"],
        );
        let anyway = BackupRequest {
            skip_checks: true,
            ..wrong
        };
        let answer = client.backup(anyway).await.unwrap().into_inner();
        assert!(
            answer
                .status
                .starts_with("scheduled: created; the next run is at "),
            "{answer:?}"
        );
    });
    stop(running);
}

/// S16, S14.
#[test]
fn a_restores_answer_names_the_backup_and_a_repeated_call_restores_nothing_twice() {
    let database = shared().database("answers");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 100) n");
    let store = folder("store");
    let place = format!("file://{}", store.display());
    let (running, port) = start(&folder("data"));
    let mut client = client(port);
    let answer = block_on(client.backup(backup(&database, &place)))
        .unwrap()
        .into_inner();
    assert!(
        answer.status.contains("older than 3s"),
        "a short history: {answer:?}"
    );
    wait_for("a backup", || {
        running
            .printed()
            .contains("backup complete and verified")
            .then_some(())
    });
    // No other backup comes in between.
    let yearly = UpdateBackupRequest {
        request: Some(BackupRequest {
            schedule: "0 0 1 1 *".to_owned(),
            ..backup(&database, &place)
        }),
        cronjob_name: answer.cronjob_name,
        cronjob_namespace: answer.cronjob_namespace,
    };
    let changed = block_on(client.update(yearly)).unwrap().into_inner();
    assert!(
        changed.status.starts_with("updated: changed schedule; "),
        "{changed:?}"
    );
    // One that was due before the change has begun by then, and no restore begins beside it.
    a_few_ticks();
    wait_for("all backups have ended", || {
        let printed = running.printed();
        let count = |words: &str| printed.matches(words).count();
        (count(" started run=backup-") == count("backup succeeded")).then_some(())
    });
    database.sql("DELETE FROM t");
    let call = BackupRestore {
        request_id: "monday".to_owned(),
        ..restore(&database, &place, "0")
    };
    let started = block_on(client.restore(call.clone())).unwrap().into_inner();
    let name = value(&database, "DB_NAME");
    let words = format!("restore started: {name}/");
    assert!(started.status.starts_with(&words), "{started:?}");
    assert!(started.status.contains("bytes comes back"), "{started:?}");
    wait_for("the restore", || {
        running
            .printed()
            .contains("restore succeeded")
            .then_some(())
    });
    database.sql("DELETE FROM t");
    let again = block_on(client.restore(call)).unwrap().into_inner();
    assert_eq!(again.job_name, started.job_name);
    assert!(
        again.status.contains("was begun before and has ended"),
        "{again:?}"
    );
    assert_eq!(
        database.sql("SELECT count(*) FROM t").trim(),
        "0",
        "nothing came back"
    );
    let status = block_on(client.restore(restore(&database, &place, "99"))).unwrap_err();
    refused(&status, &["99"]);
    stop(running);
}
