//! What objects of Kubernetes have for themselves: a schedule that never runs by itself, and its Jobs.

use std::sync::Arc;

use backuper::job::Format;
use kube::ResourceExt as _;
use kube::api::Api;
use scheduler::domain::options::{Options, OwnFormat, OwnLayout};
use scheduler::engine::{Engine, StartedBy, conformance};
use scheduler::metrics::Metrics;
use scheduler::observer::Observer;
use scheduler::service::ledger::Ledger;
use scheduler::service::put::Wanted;
use scheduler::service::{Checks, Service};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{engine, is_suspended};
use crate::cluster::{Cluster, Namespace, eventually};
use crate::testbed::runtime;

/// The use cases, and what ends their work in the background.
pub(crate) async fn service(namespace: &Namespace) -> (Service, DropGuard) {
    let engine: Arc<dyn Engine> = Arc::new(engine(namespace).await);
    let ledger = Ledger::awaiting();
    let (leading, leads) = watch::channel(true);
    let stop = CancellationToken::new();
    let observer = Observer {
        engine: engine.clone(),
        ledger: ledger.clone(),
        metrics: Metrics::new().unwrap(),
        leads,
    };
    let stopped = stop.clone();
    runtime().spawn(async move {
        observer.run(stopped).await;
        drop(leading);
    });
    let service = Service::new(engine, conformance::workers(), ledger, Checks::Off);
    (service, stop.drop_guard())
}

fn wanted() -> Wanted {
    let labels = [
        ("dbtether.io/backup", "nightly"),
        ("dbtether.io/spec-hash", "756cdc6370d072fb"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let template = "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz";
    Wanted {
        name: None,
        plan: conformance::schedule("object-1").plan,
        labels: labels.into(),
        options: Options {
            format: OwnFormat {
                format: Some(Format::SqlGz),
                ..OwnFormat::default()
            },
            layout: OwnLayout {
                key_template: template.parse().ok(),
                cluster_name: Some("prod".to_owned()),
            },
            ..Options::default()
        },
        verify: None,
        validate_only: false,
    }
}

/// operator.md, B4, B7, B10, B12 and W9: dbtether's labels are on the Job, and two objects may have schedules of one
/// database and store.
#[test]
fn an_object_has_a_schedule_that_rests_and_one_job_for_each_request() {
    Cluster::shared().within(async |namespace| {
        let (service, _working) = service(&namespace).await;
        let name = |text: &str| text.parse().unwrap();
        let run = async |of: &str, request: &str| {
            let started = service.run_for_object(name(of), wanted(), request).await;
            started.unwrap()
        };
        let first = run("object-1", "r1").await;
        assert_eq!(first.by, StartedBy::ThisCall);
        let cron_jobs = namespace.cron_jobs().await;
        assert!(cron_jobs.iter().all(is_suspended), "{cron_jobs:?}");
        let again = run("object-1", "r1").await;
        assert_eq!((&again.name, again.by), (&first.name, StartedBy::Earlier));
        let other = run("object-2", "r1").await;
        assert_ne!(other.name, first.name);
        let jobs: Api<k8s_openapi::api::batch::v1::Job> = namespace.api();
        let job = jobs.get(&first.name).await.unwrap();
        assert_eq!(job.labels()["dbtether.io/backup"], "nightly");
        assert_eq!(job.labels()["dbtether.io/spec-hash"], "756cdc6370d072fb");
        let pod = namespace.pod_of(&first.name).await;
        let env = pod.spec.clone().unwrap().containers[0].env.clone().unwrap();
        let value = |name: &str| {
            let found = env.iter().find(|it| it.name == name);
            found.and_then(|it| it.value.clone()).unwrap_or_default()
        };
        assert_eq!(value("FORMAT"), "sql.gz");
        assert_eq!(value("CLUSTER_NAME"), "prod");
        assert!(value("KEY_TEMPLATE").ends_with("/{{ .Timestamp }}.sql.gz"));
        let said =
            "backup complete and verified: x (1 tables, 2 bytes dumped, 1 bytes stored, 0.1 s)";
        namespace.end_pod(&pod.name_any(), 0, said).await;
        let ended = eventually("its end is known", async || {
            let run = service.ledger().run(&first.name)?;
            run.state.ending()?.message().map(str::to_owned)
        })
        .await;
        assert_eq!(ended, said);
        // It is found however it has ended, and is no second one.
        let late = run("object-1", "r1").await;
        assert_eq!(
            (&late.name, late.by),
            (&first.name, StartedBy::EarlierEnded)
        );
        let second = run("object-1", "r2").await;
        assert_eq!(second.by, StartedBy::ThisCall);
        // Nobody's schedule is taken for it, and it goes with its Jobs.
        let of_objects = service.of_objects().await.unwrap();
        assert_eq!(of_objects.len(), 2);
        assert!(
            service
                .ledger()
                .protections(jiff::Timestamp::now())
                .is_empty()
        );
        service.remove_for_object(&name("object-1")).await.unwrap();
        eventually("its Jobs are gone", async || {
            let left = namespace.jobs().await;
            left.iter()
                .all(|it| it.name_any() == other.name)
                .then_some(())
        })
        .await;
        assert_eq!(namespace.cron_jobs().await.len(), 1);
        service.remove_for_object(&name("object-1")).await.unwrap();
    });
}
