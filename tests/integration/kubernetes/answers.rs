//! What the API server says, and what callers hear of it.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams};
use kube::{Config, ResourceExt as _};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, Kind, Whose, conformance};
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{engine, restore, schedule};
use crate::cluster::Cluster;
use crate::testbed::block_on;

const NAME: &str = "backup-0a1b2c3d-postgres";
const CRON_JOBS: &str = "/apis/batch/v1/namespaces/backups/cronjobs";

/// An engine that speaks to a server that a test has taught what to say.
fn taught(server: &MockServer) -> Kubernetes {
    let config = Config::new(server.uri().parse().expect("a URL"));
    let settings = Settings {
        call_timeout: Duration::from_secs(2),
        ..Settings::new(
            "backups",
            "backuper:1",
            "restorer:1",
            conformance::workers(),
        )
    };
    Kubernetes::connect(config, settings).expect("a client")
}

fn refusal(code: u16, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Any", "code": code,
    }))
}

fn list(kind: &str, next: &str, items: &[Value]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "kind": kind, "apiVersion": "batch/v1", "items": items,
        "metadata": {"resourceVersion": "1", "continue": next},
    }))
}

#[test]
fn s26_an_api_server_that_stays_busy_is_heard_in_its_own_words() {
    block_on(async {
        let server = MockServer::start().await;
        let words = "storage is (re)initializing";
        for (code, words) in [(429, "too many requests for this flow"), (503, words)] {
            server.reset().await;
            Mock::given(path(format!("{CRON_JOBS}/{NAME}")))
                .respond_with(refusal(code, words))
                .mount(&server)
                .await;
            let error = taught(&server).put(&schedule(NAME, "it"), Whose::Its).await;
            let error = error.expect_err("it is busy");
            assert_eq!(error.kind(), Kind::Unavailable);
            assert!(error.chain().contains(words), "{}", error.chain());
        }
    });
}

#[test]
fn s26_an_api_server_that_is_busy_for_a_moment_is_asked_again() {
    block_on(async {
        let server = MockServer::start().await;
        Mock::given(path(CRON_JOBS))
            .respond_with(refusal(429, "too many requests"))
            .up_to_n_times(2)
            .mount(&server)
            .await;
        Mock::given(path(CRON_JOBS))
            .respond_with(list("CronJobList", "", &[]))
            .mount(&server)
            .await;
        taught(&server).ready().await.expect("the third time");
    });
}

#[test]
fn s26_a_missing_namespace_is_told_as_that() {
    Cluster::shared().within(async |namespace| {
        let settings = Settings::new(
            "nowhere",
            "backuper:1",
            "restorer:1",
            conformance::workers(),
        );
        let engine = Kubernetes::connect(namespace.cluster.config(), settings);
        let engine = engine.expect("a client");
        let made = engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .map(drop);
        let started = engine.start(&restore("aaaa1111", "0")).await.map(drop);
        for error in [made, started].map(|it| it.expect_err("no namespace")) {
            assert_eq!(error.kind(), Kind::Precondition, "{error:?}");
            let sentence = error.chain();
            let words = r#"namespaces "nowhere" not found"#;
            assert!(sentence.contains(words), "{sentence}");
        }
    });
}

#[test]
fn s26_a_restore_that_the_version_before_began_is_found_by_half_of_the_digits() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let old = restore("shop", "0");
        let name = engine.start(&old).await.expect("started").name;
        let jobs = namespace.api::<Job>();
        let half = &old.target.place_hash()[..8];
        let old_label = json!({"metadata": {"labels": {
            "postgres-adapter/database": half, "postgres-adapter.io/place": null}}});
        jobs.patch(&name, &PatchParams::default(), &Patch::Merge(old_label))
            .await
            .expect("labelled");
        let again = engine.start(&restore("shop", "0")).await;
        assert_eq!(again.expect("found").name, name);
        let error = engine.start(&restore("shop", "1")).await;
        let error = error.expect_err("another one is under way");
        assert_eq!(error.kind(), Kind::Precondition, "{error:?}");
        let stranger = engine.start(&restore("crm", "0")).await;
        assert_ne!(stranger.expect("started").name, name);
        assert_eq!(jobs.get(&name).await.expect("the Job").name_any(), name);
    });
}

#[test]
fn s21_a_list_that_expires_in_the_middle_is_begun_again() {
    block_on(async {
        let server = MockServer::start().await;
        let jobs = "/apis/batch/v1/namespaces/backups/jobs";
        for (place, kind) in [(CRON_JOBS, "CronJobList"), (jobs, "JobList")] {
            let first = || Mock::given(method("GET")).and(path(place));
            first()
                .and(query_param_is_missing("continue"))
                .respond_with(list(kind, "more", &[]))
                .up_to_n_times(1)
                .mount(&server)
                .await;
            first()
                .and(query_param("continue", "more"))
                .respond_with(refusal(410, "The provided continue parameter is too old"))
                .mount(&server)
                .await;
            first()
                .and(query_param_is_missing("continue"))
                .respond_with(list(kind, "", &[]))
                .mount(&server)
                .await;
        }
        taught(&server).tidy().await.expect("the second time");
    });
}

#[test]
fn s21_one_object_that_cannot_be_written_does_not_stop_the_others() {
    block_on(async {
        let server = MockServer::start().await;
        let cron_job = |name: &str| {
            json!({
                "metadata": {"name": name, "uid": name, "resourceVersion": "1",
                    "labels": {"app.kubernetes.io/managed-by": "postgres-adapter"},
                    "annotations": {
                        "postgres-adapter/parameters": r#"{"schedule":"0 0 * * *","env":[["DB_HOST","h"],["DB_NAME","shop"],["S3_BUCKET_NAME","backups"]]}"#,
                        "postgres-adapter/rendered": "before"}},
                "spec": {"schedule": "0 0 * * *", "jobTemplate": {}},
            })
        };
        let both = [cron_job("good"), cron_job("bad")];
        let mut written = cron_job("good");
        written["metadata"]["resourceVersion"] = "2".into();
        Mock::given(method("GET"))
            .and(path(CRON_JOBS))
            .respond_with(list("CronJobList", "", &both))
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .respond_with(list("JobList", "", &[]))
            .mount(&server)
            .await;
        Mock::given(method("PATCH"))
            .and(path(format!("{CRON_JOBS}/bad")))
            .respond_with(refusal(500, "a webhook does not answer"))
            .mount(&server)
            .await;
        Mock::given(method("PATCH"))
            .and(path(format!("{CRON_JOBS}/good")))
            .respond_with(ResponseTemplate::new(200).set_body_json(written))
            .mount(&server)
            .await;
        let tidied = taught(&server).tidy().await.expect("tidied");
        assert_eq!((tidied.updated, tidied.left), (1, 1), "{tidied:?}");
    });
}
