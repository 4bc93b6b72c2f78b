//! What becomes of the Jobs: retried or not, seen and told once, also over a pause of the API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt as _;
use kube::api::{Api, ObjectMeta, PostParams};
use scheduler::domain::restore::Restore;
use scheduler::domain::run::{Attempts, Component, Ending, Run, State};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::template::Template;
use scheduler::engine::{Engine as _, Kind, Whose};
use scheduler::metrics::Metrics;

use super::{engine, limited_client, restore, schedule, settings};
use crate::cluster::{Cluster, Namespace, eventually};
use crate::told::Told;

const NAME: &str = "backup-0a1b2c3d-postgres";

/// Runs the schedule now, as `kubectl create job --from` does.
pub(super) async fn run_now(namespace: &Namespace, job: &str) {
    let cron_job: CronJob = namespace.api().get(NAME).await.expect("the CronJob");
    let template = cron_job.spec.expect("a spec").job_template;
    let job = Job {
        metadata: ObjectMeta {
            name: Some(job.to_owned()),
            ..template.metadata.expect("labels")
        },
        spec: template.spec,
        status: None,
    };
    let jobs = namespace.api::<Job>();
    jobs.create(&PostParams::default(), &job)
        .await
        .expect("new");
}

async fn pods_made(namespace: &Namespace, count: usize) -> Vec<String> {
    eventually("the pods", async || {
        let pods = namespace.pods().await;
        (pods.len() == count).then(|| pods.iter().map(|it| it.name_any()).collect())
    })
    .await
}

/// Waits until so many ends are told.
pub(super) async fn wait_for(told: &Told, count: usize) -> Vec<Run> {
    eventually("the Jobs are told", async || {
        let seen = told.seen();
        (seen.len() >= count).then_some(seen)
    })
    .await
}

#[test]
fn a_backup_that_cannot_help_itself_is_not_tried_again() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine.put(&schedule(NAME, "it"), Whose::Its).await.expect("made");
        let told = Told::by(Arc::new(engine.clone()));
        run_now(&namespace, "now").await;
        let pods = pods_made(&namespace, 1).await;
        namespace
            .end_pod(&pods[0], 2, "no such bucket: make it")
            .await;
        let seen = wait_for(&told, 1).await;
        assert_eq!(seen.len(), 1);
        let run = &seen[0];
        assert_eq!((run.component, run.name.as_str()), (Component::Backup, "now"));
        assert_eq!(run.schedule.as_deref(), Some(NAME));
        assert_eq!(run.database, "db.example:5432/price $(DB_HOST) in $$");
        let expected = Ending::Failed {
            reason: "PodFailurePolicy".to_owned(),
            exit_code: Some(2),
            message: Some("no such bucket: make it".to_owned()),
            attempts: Attempts {
                failed: Some(1),
                pod: Some(pods[0].clone()),
            },
        };
        assert_eq!(run.state, State::Ended(expected.clone()));
        let metrics = Metrics::new().expect("metrics");
        metrics.count(run, &expected);
        let line = r#"postgres_adapter_runs_finished_total{component="backup",database="",exit_code="2",outcome="failed",reason="PodFailurePolicy"} 1"#;
        let text = metrics.text(|| unreachable!("it does not lead"));
        assert!(text.expect("text").contains(line));
        assert_eq!(namespace.pods().await.len(), 1);
    });
}

#[test]
fn a_backup_that_may_do_better_is_tried_again_and_a_drained_node_does_not_count() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        let told = Told::by(Arc::new(engine.clone()));
        run_now(&namespace, "now").await;
        let first = pods_made(&namespace, 1).await;
        namespace.disrupt_pod(&first[0]).await;
        let second = pods_made(&namespace, 2).await;
        let second = second
            .iter()
            .find(|it| **it != first[0])
            .expect("another")
            .clone();
        namespace.end_pod(&second, 1, "timed out").await;
        let third = eventually("a third pod, after the backoff", async || {
            let pods = namespace.pods().await;
            let mut names = pods.iter().map(|it| it.name_any());
            names.find(|it| *it != first[0] && *it != second)
        })
        .await;
        namespace.end_pod(&third, 0, "").await;
        let seen = wait_for(&told, 1).await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].state.word(), "succeeded");
        // What others look for on the Job; it is no error where that is gone, or another one's.
        let notes = [("dbtether.io/backup-path", "c/d/x.sql.gz")];
        let notes = notes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let notes = BTreeMap::from(notes);
        engine.note(&seen[0], &notes).await.expect("noted");
        let jobs: Api<Job> = namespace.api();
        let noted = jobs.get("now").await.expect("the Job");
        let found = noted.annotations().get("dbtether.io/backup-path");
        assert_eq!(found.map(String::as_str), Some("c/d/x.sql.gz"));
        let another = Run {
            id: "another".to_owned(),
            ..seen[0].clone()
        };
        let notes = BTreeMap::from([("x".to_owned(), "y".to_owned())]);
        engine.note(&another, &notes).await.expect("no error");
        let noted = jobs.get("now").await.expect("the Job");
        assert_eq!(noted.annotations().get("x"), None);
    });
}

#[test]
fn u44_a_template_that_asks_for_power_still_makes_pods_that_the_strictest_profile_lets_in() {
    Cluster::shared().within(async |namespace| {
        let mut settings = settings(&namespace);
        settings.template = Template::parse(super::golden::TEMPLATE).expect("a template");
        let engine = Kubernetes::new(limited_client(&namespace).await, settings);
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        run_now(&namespace, "now").await;
        pods_made(&namespace, 1).await;
    });
}

fn as_restore(number: usize) -> Restore {
    restore(&format!("{number:08x}"), "0")
}

async fn succeed(namespace: &Namespace, engine: &Kubernetes, number: usize) -> String {
    let job = engine
        .start(&as_restore(number))
        .await
        .expect("started")
        .name;
    let pod = namespace.pod_of(&job).await;
    namespace.end_pod(&pod.name_any(), 0, "").await;
    job
}

#[test]
fn an_api_server_that_stops_is_unavailable_within_seconds_and_all_goes_on_when_it_is_back() {
    Cluster::shared().alone(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        let told = Told::by(Arc::new(engine.clone()));
        let first = succeed(&namespace, &engine, 1).await;
        wait_for(&told, 1).await;

        namespace.cluster.stop_apiserver();
        let start = Instant::now();
        let error = engine
            .put(&schedule(NAME, "new"), Whose::Its)
            .await
            .expect_err("nobody answers");
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        let error = engine
            .start(&as_restore(2))
            .await
            .expect_err("nobody answers");
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{:?}",
            start.elapsed()
        );

        namespace.cluster.start_apiserver().await;
        engine
            .put(&schedule(NAME, "new"), Whose::Its)
            .await
            .expect("changed");
        let second = succeed(&namespace, &engine, 2).await;
        let seen = wait_for(&told, 2).await;
        let names: Vec<&str> = seen.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, [first, second], "each once");
    });
}

/// A restore that was complete before anybody could stop it has replaced the data.
#[test]
fn what_was_complete_when_somebody_cancelled_it_is_no_cancelled_run() {
    Cluster::shared().within(async |namespace| {
        let engine = Arc::new(engine(&namespace).await);
        let told = Told::by(engine.clone());
        let started = engine
            .start(&restore("cccc3333", "0"))
            .await
            .expect("started");
        let pod = namespace.pod_of(&started.name).await.name_any();
        namespace.end_pod(&pod, 0, "restore complete").await;
        engine.cancel(&started.name).await.expect("it has ended");
        let run = wait_for(&told, 1).await.remove(0);
        let expected = Ending::Succeeded {
            message: Some("restore complete".to_owned()),
        };
        assert_eq!(run.state, State::Ended(expected));
    });
}
