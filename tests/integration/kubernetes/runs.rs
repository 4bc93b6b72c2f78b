//! What becomes of the Jobs: retried or not, seen and told once, also over a pause of the API server.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;
use kube::api::{ObjectMeta, PostParams};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::template::Template;
use scheduler::engine::{Component, Ending, Engine as _, Finished, Kind, Restore};
use scheduler::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use super::{engine, limited_client, restore, schedule, settings};
use crate::cluster::{Cluster, Namespace, eventually};

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
        (pods.len() == count).then(|| pods.iter().map(ResourceExt::name_any).collect())
    })
    .await
}

/// What an engine tells of finished Jobs.
pub(super) struct Told {
    seen: Arc<Mutex<Vec<Finished>>>,
    stop: CancellationToken,
}

impl Told {
    pub(super) fn by(engine: &Kubernetes) -> Self {
        let told = Self {
            seen: Arc::default(),
            stop: CancellationToken::new(),
        };
        let (engine, seen, stop) = (engine.clone(), told.seen.clone(), told.stop.clone());
        tokio::spawn(async move {
            engine
                .run(stop, &|it| seen.lock().expect("unpoisoned").push(it))
                .await;
        });
        told
    }

    fn so_far(&self) -> Vec<Finished> {
        self.seen.lock().expect("unpoisoned").clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<Finished> {
        eventually("the Jobs are told", async || {
            let seen = self.so_far();
            (seen.len() >= count).then_some(seen)
        })
        .await
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[test]
fn a_backup_that_cannot_help_itself_is_not_tried_again() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine.ensure(&schedule(NAME, "it")).await.expect("made");
        let told = Told::by(&engine);
        run_now(&namespace, "now").await;
        let pods = pods_made(&namespace, 1).await;
        namespace
            .end_pod(&pods[0], 2, "no such bucket: make it")
            .await;
        let seen = told.wait_for(1).await;
        let expected = Finished {
            component: Component::Backup,
            run: "now".to_owned(),
            schedule: Some(NAME.to_owned()),
            ending: Ending::Failed {
                reason: "PodFailurePolicy".to_owned(),
                exit_code: Some(2),
                message: Some("no such bucket: make it".to_owned()),
            },
        };
        assert_eq!(seen, [expected]);
        let metrics = Metrics::new().expect("metrics");
        seen.iter().for_each(|it| metrics.count(it));
        let line = r#"postgres_adapter_runs_finished_total{component="backup",exit_code="2",outcome="failed",reason="PodFailurePolicy"} 1"#;
        assert!(metrics.text().expect("text").contains(line));
        assert_eq!(namespace.pods().await.len(), 1);
    });
}

#[test]
fn a_backup_that_may_do_better_is_tried_again_and_a_drained_node_does_not_count() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine.ensure(&schedule(NAME, "it")).await.expect("made");
        let told = Told::by(&engine);
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
            let mut names = pods.iter().map(ResourceExt::name_any);
            names.find(|it| *it != first[0] && *it != second)
        })
        .await;
        namespace.end_pod(&third, 0, "").await;
        let seen = told.wait_for(1).await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].ending, Ending::Succeeded);
    });
}

#[test]
fn u44_a_template_that_asks_for_power_still_makes_pods_that_the_strictest_profile_lets_in() {
    Cluster::shared().within(async |namespace| {
        let mut settings = settings(&namespace);
        settings.template = Template::parse(super::golden::TEMPLATE).expect("a template");
        let engine = Kubernetes::new(limited_client(&namespace).await, settings);
        engine.ensure(&schedule(NAME, "it")).await.expect("made");
        run_now(&namespace, "now").await;
        pods_made(&namespace, 1).await;
    });
}

fn as_restore(number: usize) -> Restore {
    restore(&format!("{number:08x}"), "0")
}

async fn succeed(namespace: &Namespace, engine: &Kubernetes, number: usize) -> String {
    let job = engine
        .restore(&as_restore(number))
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
        engine.ensure(&schedule(NAME, "it")).await.expect("made");
        let told = Told::by(&engine);
        let first = succeed(&namespace, &engine, 1).await;
        told.wait_for(1).await;

        namespace.cluster.stop_apiserver();
        let start = Instant::now();
        let error = engine
            .ensure(&schedule(NAME, "new"))
            .await
            .expect_err("nobody answers");
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        let error = engine
            .restore(&as_restore(2))
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
            .ensure(&schedule(NAME, "new"))
            .await
            .expect("changed");
        let second = succeed(&namespace, &engine, 2).await;
        let seen = told.wait_for(2).await;
        let names: Vec<&str> = seen.iter().map(|it| it.run.as_str()).collect();
        assert_eq!(names, [first, second], "each once");
    });
}
