//! What objects that are there already do not agree with, by a real API server's.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::seeing;
use crate::cluster::{Cluster, Namespace};

/// A cluster of a release, as far as Helm looks at it.
async fn stateful_set(namespace: &Namespace, name: &str, release: &str) {
    let labels =
        json!({"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/instance": release});
    let pod = json!({"containers": [{"name": "a", "image": "a:1"}]});
    let set = json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 0, "serviceName": name, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    });
    let set: StatefulSet = serde_json::from_value(set).unwrap();
    let sets: Api<StatefulSet> = namespace.api();
    sets.create(&PostParams::default(), &set).await.unwrap();
}

#[test]
fn a_release_that_has_a_cluster_makes_no_other_one_under_another_name() {
    Cluster::shared().within(async |namespace| {
        stateful_set(&namespace, "of-others", "another").await;
        let with = |values: &[&str]| seeing(namespace.cluster, &namespace.name, values);
        with(&["fullnameOverride=db"]).expect_code(0);
        stateful_set(&namespace, "db", "postgresql").await;
        with(&["fullnameOverride=db"]).expect_code(0);
        for values in [&[][..], &["nameOverride=database"]] {
            let ended = with(values);
            assert_ne!(ended.code(), Some(0), "{values:?}");
            let words = "the release has the cluster db, and by these values all objects";
            assert!(ended.stderr.contains(words), "{}", ended.stderr);
        }
    });
}
