//! Jobs that wait in a queue of Kueue, which lets them go itself.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{Patch, PatchParams};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, StartedBy, Whose};
use serde_json::json;

use super::{limited_config, nothing_runs_without_its_secret, restore, schedule, settings};
use crate::cluster::{Cluster, Namespace};

const LABEL: &str = "kueue.x-k8s.io/queue-name";

async fn queued(namespace: &Namespace) -> Kubernetes {
    let settings = Settings {
        queue: Some("nightly".to_owned()),
        ..settings(namespace)
    };
    Kubernetes::connect(limited_config(namespace).await, settings).expect("a client")
}

fn queue(labels: Option<&BTreeMap<String, String>>) -> Option<&str> {
    Some(labels?.get(LABEL)?.as_str())
}

#[test]
fn the_jobs_of_a_schedule_are_made_for_the_queue() {
    Cluster::shared().within(async |namespace| {
        let wanted = schedule("backup-0a1b2c3d-postgres", "hunter2");
        queued(&namespace)
            .await
            .put(&wanted, Whose::Its)
            .await
            .unwrap();
        let api = namespace.api::<CronJob>();
        let spec = api.get(wanted.name.as_str()).await.unwrap().spec.unwrap();
        let made = spec.job_template.metadata.unwrap();
        assert_eq!(queue(made.labels.as_ref()), Some("nightly"));
    });
}

#[test]
fn a_restore_is_handed_to_the_queue_and_runs_when_that_lets_it_go() {
    Cluster::shared().within(async |namespace| {
        let engine = queued(&namespace).await;
        let wanted = restore("aaaa1111", "0");
        let name = engine.start(&wanted).await.expect("handed over").name;
        let api = namespace.api::<Job>();
        let job = api.get(&name).await.unwrap();
        assert_eq!(queue(job.metadata.labels.as_ref()), Some("nightly"));
        let spec = job.spec.unwrap();
        assert_eq!(spec.suspend, Some(true), "Kueue would take it back");
        let again = engine.start(&wanted).await.expect("the one that waits");
        assert_eq!((again.by, again.name), (StartedBy::Earlier, name.clone()));
        engine.tidy().await.expect("brought up to date");
        let lets_go = Patch::Merge(json!({"spec": {"suspend": false}}));
        api.patch(&name, &PatchParams::default(), &lets_go)
            .await
            .expect("what waits in the queue is not taken away");
        namespace.pod_of(&name).await;
        nothing_runs_without_its_secret(&namespace).await;
    });
}
