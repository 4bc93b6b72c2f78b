//! The BackupService over the wire: what is refused, what engines are asked for, what is answered.

mod callers;
mod crowds;
mod doors;
mod reach;
mod recording;
pub(crate) mod requests;
mod rights;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scheduler::api::authenticate::Authentication;
use scheduler::api::oiler::convert;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, BackupRestore, UpdateBackupRequest};
use scheduler::api::server::{self, Api};
use scheduler::api::status;
use scheduler::api::tls::Certificates;
use scheduler::engine::Kind;
use scheduler::listener::{IDLE, Limits, Listener};
use scheduler::metrics::Metrics;
use scheduler::service::ledger::Ledger;
use scheduler::service::{Checks, Service};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::testbed::block_on;
use recording::{HERE, Recording, plain, secret_names};

/// A server on loopback over an engine that only remembers.
pub(crate) struct Server {
    engine: Arc<Recording>,
    ledger: Ledger,
    metrics: Metrics,
    port: u16,
    stop: CancellationToken,
}

impl Server {
    async fn start(tls: Option<Certificates>) -> Self {
        let limits = Limits {
            connections: 1_000,
            idle: IDLE,
        };
        Self::start_within(tls, limits).await
    }

    async fn start_within(tls: Option<Certificates>, limits: Limits) -> Self {
        Self::start_for(tls, limits, Authentication::default()).await
    }

    pub(crate) async fn start_for(
        tls: Option<Certificates>,
        limits: Limits,
        authentication: Authentication,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let metrics = Metrics::new().unwrap();
        let listener = Listener::new(listener, limits, metrics.connections("grpc"));
        let started = Self {
            engine: Arc::default(),
            ledger: Ledger::default(),
            metrics,
            port: listener.local_addr().unwrap().port(),
            stop: CancellationToken::new(),
        };
        let api = Api::new(
            service(started.engine.clone(), started.ledger.clone()),
            started.metrics.clone(),
            authentication,
        );
        tokio::spawn(server::serve(listener, tls, api, started.stop.clone()));
        started
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(self.address()).unwrap()
    }

    pub(crate) async fn client(&self) -> BackupServiceClient<Channel> {
        BackupServiceClient::new(self.endpoint().connect().await.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn service(engine: Arc<Recording>, ledger: Ledger) -> Service {
    Service::new(engine, recording::workers(), ledger, Checks::Off)
}

/// The fields that `google.rpc.BadRequest` names.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("a BadRequest");
    let violations = details.field_violations.into_iter();
    violations.map(|it| it.field).collect()
}

#[test]
fn u33_update_applies_all_of_the_request() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        let made = client
            .backup(requests::backup())
            .await
            .unwrap()
            .into_inner();
        let changed = BackupRequest {
            schedule: "@hourly".to_owned(),
            max_backup_count: 2,
            db_uri: "elsewhere".to_owned(),
            db_port: 5433,
            core_addr: String::new(),
            ..requests::backup()
        };
        let update = requests::update(&made.cronjob_name, changed);
        let answer = client.update(update).await.unwrap().into_inner();
        assert_eq!(answer.cronjob_name, made.cronjob_name);
        assert_eq!(answer.cronjob_namespace, HERE);
        let schedule = server.engine.only_schedule();
        assert_eq!(schedule.plan.cron.to_string(), "@hourly");
        let vars = recording::workers().backup(&schedule).to_env();
        let var = |name| plain(&vars, name);
        assert_eq!(var("MAX_BACKUP_COUNT"), Some("2"));
        assert_eq!(var("DB_HOST"), Some("elsewhere"));
        assert_eq!(var("DB_PORT"), Some("5433"));
        assert_eq!(var("CORE_ADDR"), None);
        assert_eq!(var("S3_REGION"), Some("eu-west-1"), "the scheduler's own");
    });
}

#[test]
fn u34_u35_the_same_request_again_is_one_schedule_and_never_exists() {
    block_on(async {
        let server = Server::start(None).await;
        let mut statuses = Vec::new();
        let mut names = Vec::new();
        for _ in 0..3 {
            let mut client = server.client().await;
            let made = client
                .backup(requests::backup())
                .await
                .unwrap()
                .into_inner();
            names.push(made.cronjob_name);
            statuses.push(made.status);
            let run = client.restore(requests::restore("0")).await.unwrap();
            let run = run.into_inner();
            assert!(run.job_name.starts_with("restore-"), "{}", run.job_name);
            assert_eq!(run.job_namespace, HERE);
            statuses.push(run.status);
        }
        names.dedup();
        assert_eq!(names, [server.engine.only_schedule().name.to_string()]);
        for status in statuses {
            assert!(!status.is_empty() && !status.eq_ignore_ascii_case("exists"));
        }
    });
}

#[test]
fn u36_another_request_for_the_same_database_bucket_and_times_updates_the_one_schedule() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        let mut answers = Vec::new();
        for (uri, keep) in [("db.example", 7), ("DB.example", 7), ("db.example.", 9)] {
            let request = BackupRequest {
                max_backup_count: keep,
                db_pass: format!("of {uri}"),
                db_uri: uri.to_owned(),
                ..requests::backup()
            };
            let answer = client.backup(request).await.unwrap();
            answers.push(answer.into_inner().status);
        }
        let schedule = server.engine.only_schedule();
        assert_eq!(schedule.plan.keep.0, 9);
        assert!(!schedule.counts_apart);
        let said = ["created; ", "unchanged; ", "changed max_backup_count; "];
        for (status, words) in answers.iter().zip(said) {
            assert!(
                status.starts_with(&format!("scheduled: {words}the next run is at ")),
                "{status}"
            );
        }
        let elsewhere = BackupRequest {
            s3_bucket_name: "another".to_owned(),
            ..requests::backup()
        };
        client.backup(elsewhere).await.unwrap();
        assert_eq!(server.engine.schedules.lock().unwrap().len(), 2);
    });
}

#[test]
fn s17_two_requests_with_times_of_their_own_are_two_schedules_that_count_apart() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        let at = |schedule: &str, keep| BackupRequest {
            schedule: schedule.to_owned(),
            max_backup_count: keep,
            ..requests::backup()
        };
        let mut names = Vec::new();
        for _ in 0..2 {
            for request in [at("@hourly", 24), at("30 3 * * *", 30), at("@weekly", 5)] {
                let answer = client.backup(request).await.unwrap().into_inner();
                names.push(answer.cronjob_name);
            }
        }
        assert_eq!(names[..3], names[3..], "the core's repeated calls");
        names.truncate(3);
        let moved = requests::update(&names[1], at("@monthly", 30));
        client.update(moved).await.unwrap();
        let schedules = server.engine.schedules.lock().unwrap().clone();
        assert_eq!(schedules.len(), 3);
        for (name, keep, apart) in [
            (&names[0], 24, false),
            (&names[1], 30, true),
            (&names[2], 5, true),
        ] {
            let schedule = &schedules[&name.parse().unwrap()];
            assert_eq!(schedule.plan.keep.0, keep);
            let vars = recording::workers().backup(schedule).to_env();
            let counted = plain(&vars, "BACKUP_SCHEDULE");
            assert_eq!(counted, apart.then_some(name.as_str()));
        }
    });
}

#[test]
fn u37_what_an_engine_cannot_do_is_an_error_with_its_code_and_its_cause() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        for (kind, code) in [
            (Kind::NotFound, Code::NotFound),
            (Kind::Denied, Code::PermissionDenied),
            (Kind::Conflict, Code::Aborted),
            (Kind::Precondition, Code::FailedPrecondition),
            (Kind::Invalid, Code::InvalidArgument),
            (Kind::Unavailable, Code::Unavailable),
            (Kind::Internal, Code::Internal),
        ] {
            *server.engine.broken.lock().unwrap() = Some(kind);
            let update = requests::update("backup-00000000-postgres", requests::backup());
            for status in [
                client.backup(requests::backup()).await.unwrap_err(),
                client.update(update).await.unwrap_err(),
                client.restore(requests::restore("0")).await.unwrap_err(),
            ] {
                assert_eq!(status.code(), code, "{status:?}");
                assert_eq!(status.message(), "failed to do it: the cause of it");
            }
        }
    });
}

#[test]
fn u38_update_without_a_request_is_refused() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        let status = client.update(UpdateBackupRequest::default()).await;
        let status = status.expect_err("there is nothing in it");
        assert_eq!(
            fields(&status),
            ["cronjob_name", "cronjob_namespace", "request"]
        );
        client
            .backup(requests::backup())
            .await
            .expect("still there");
    });
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "\\PC{0,20}",
        "[\\x00-\\x7f]{0,80}",
        Just("30 3 * * *".to_owned()),
        Just("file:///x".to_owned()),
        Just("backups".to_owned()),
        "x{60,70}",
    ]
}

fn backups() -> impl Strategy<Value = BackupRequest> {
    let texts = proptest::collection::vec(texts(), 11);
    (texts, any::<i64>(), any::<i64>()).prop_map(|(texts, db_port, max_backup_count)| {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap();
        BackupRequest {
            db_uri: text(),
            db_port: if db_port % 3 == 0 { 5432 } else { db_port },
            db_user: text(),
            db_pass: text(),
            db_name: text(),
            database_type: text(),
            schedule: text(),
            s3_endpoint: text(),
            s3_access_key: text(),
            s3_secret_key: text(),
            s3_bucket_name: text(),
            core_addr: text(),
            max_backup_count,
            skip_checks: false,
        }
    })
}

#[test]
fn u38_no_message_makes_the_scheduler_panic() {
    let server = block_on(Server::start(None));
    let client = block_on(server.client());
    let mut runner = TestRunner::new(Config::with_cases(200));
    let input = (backups(), texts(), texts(), any::<bool>());
    let outcome = runner.run(&input, |(request, one, other, whole)| {
        let update = UpdateBackupRequest {
            request: whole.then(|| request.clone()),
            cronjob_name: one.clone(),
            cronjob_namespace: other,
        };
        let restore = BackupRestore {
            db_uri: request.db_uri.clone(),
            db_port: request.db_port,
            backup_revision: one,
            ..requests::restore("0")
        };
        let mut client = client.clone();
        let codes = block_on(async {
            [
                client.backup(request).await.err(),
                client.update(update).await.err(),
                client.restore(restore).await.err(),
            ]
        });
        for status in codes.into_iter().flatten() {
            let expected = [
                Code::InvalidArgument,
                Code::NotFound,
                Code::PermissionDenied,
                Code::FailedPrecondition,
            ];
            // A panic would end the stream: Unknown, Internal or Cancelled.
            prop_assert!(expected.contains(&status.code()), "{:?}", status);
        }
        Ok(())
    });
    outcome.unwrap();
}

type Spoil = fn(&mut BackupRequest);

/// What is wrong, and the field that is named for it.
const WRONG: [(&str, Spoil); 22] = [
    ("db_uri", |it| it.db_uri = String::new()),
    ("db_uri", |it| it.db_uri = "postgres://db".to_owned()),
    ("db_uri", |it| it.db_uri = "db:5432".to_owned()),
    ("db_port", |it| it.db_port = 0),
    ("db_port", |it| it.db_port = -1),
    ("db_port", |it| it.db_port = 65536),
    ("db_user", |it| it.db_user = String::new()),
    ("db_user", |it| it.db_user = "a\0b".to_owned()),
    ("db_pass", |it| it.db_pass = "hunter2\0".to_owned()),
    ("db_name", |it| it.db_name = String::new()),
    ("db_name", |it| it.db_name = "é".repeat(32)),
    ("schedule", |it| it.schedule = String::new()),
    ("schedule", |it| it.schedule = "* * * * 7".to_owned()),
    ("schedule", |it| it.schedule = "TZ=UTC * * * * *".to_owned()),
    ("s3_endpoint", |it| it.s3_endpoint = "ftp://x".to_owned()),
    ("s3_bucket_name", |it| it.s3_bucket_name = String::new()),
    ("s3_bucket_name", |it| it.s3_bucket_name = "a/b".to_owned()),
    ("s3_secret_key", |it| it.s3_secret_key = String::new()),
    ("s3_access_key", |it| it.s3_access_key = String::new()),
    ("core_addr", |it| it.core_addr = "no port".to_owned()),
    ("max_backup_count", |it| it.max_backup_count = -1),
    ("max_backup_count", |it| it.max_backup_count = i64::MAX),
];

/// And U02: a negative count.
#[test]
fn u39_each_wrong_field_is_named() {
    for (field, spoil) in WRONG {
        let mut request = requests::backup();
        spoil(&mut request);
        let wrong = convert::plan(request.clone(), None).expect_err(field);
        let status = status::invalid(&wrong);
        let found = fields(&status);
        assert_eq!(found, [field]);
        assert!(!format!("{status:?}").contains("hunter2"), "{status:?}");
        let update = requests::update("backup-00000000-postgres", request);
        let wrong = convert::change(update, None).expect_err(field);
        assert_eq!(wrong[0].field, format!("request.{}", found[0]));
    }
}

#[test]
fn u39_all_that_is_wrong_is_said_at_once() {
    let wrong = convert::plan(BackupRequest::default(), None).expect_err("nothing is in it");
    let expected = [
        "db_name",
        "db_uri",
        "db_port",
        "db_user",
        "schedule",
        "s3_bucket_name",
    ];
    assert_eq!(fields(&status::invalid(&wrong)), expected);
    for revision in ["", "-1", "99999999999999", "/x", "a\nb"] {
        let wrong = convert::restore(requests::restore(revision), None).expect_err(revision);
        assert_eq!(fields(&status::invalid(&wrong)), ["backupRevision"]);
    }
}

#[test]
fn u39_update_takes_neither_another_namespace_nor_a_schedule_that_is_not_there() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        let made = client
            .backup(requests::backup())
            .await
            .unwrap()
            .into_inner();
        let update = UpdateBackupRequest {
            cronjob_namespace: "kube-system".to_owned(),
            ..requests::update(&made.cronjob_name, requests::backup())
        };
        let status = client.update(update).await.expect_err("not ours");
        assert_eq!(status.code(), Code::PermissionDenied);
        let update = requests::update("backup-gone", requests::backup());
        let status = client.update(update).await.expect_err("gone");
        assert_eq!(status.code(), Code::NotFound);
        let update = requests::update("../etc/passwd", requests::backup());
        let status = client.update(update).await.expect_err("no name");
        assert_eq!(fields(&status), ["cronjob_name"]);
    });
}

#[test]
fn a_count_travels_with_the_time_of_the_call_and_a_name_does_not() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        let before = jiff::Timestamp::now();
        client.restore(requests::restore("2")).await.unwrap();
        let other = BackupRestore {
            db_name: "another".to_owned(),
            ..requests::restore("2026-11-20-21-05-27-backup-1f3a9c0e")
        };
        client.restore(other).await.unwrap();
        let restores = server.engine.restores.lock().unwrap().clone();
        let as_of = restores[0].as_of.expect("a time");
        assert!(as_of >= before && as_of <= jiff::Timestamp::now());
        let begin_by = restores[0].begin_by.expect("a time");
        assert_eq!(begin_by.duration_since(as_of).as_mins(), 15);
        assert!(restores[1].begin_by.is_some());
        assert_eq!(restores[0].revision.to_string(), "2");
        assert_eq!(restores[1].as_of, None);
        assert_ne!(restores[0].target.place(), restores[1].target.place());
    });
}

#[test]
fn a_different_restore_into_the_same_database_is_refused() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        client.restore(requests::restore("0")).await.unwrap();
        let status = client.restore(requests::restore("1")).await;
        let status = status.expect_err("one is under way");
        assert_eq!(status.code(), Code::FailedPrecondition);
    });
}

#[test]
fn u40_engines_are_told_which_values_are_secrets() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        client.backup(requests::backup()).await.unwrap();
        let schedule = server.engine.only_schedule();
        let vars = recording::workers().backup(&schedule).to_env();
        assert_eq!(
            secret_names(&vars),
            ["DB_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"]
        );
        assert!(!format!("{schedule:?}").contains("hunter2"));
    });
}
