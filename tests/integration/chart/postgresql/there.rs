//! What objects that are there already do not agree with, by a real API server's.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::seeing;
use crate::cluster::{Cluster, Namespace};

/// A cluster of a release, as far as Helm looks at it.
async fn stateful_set(namespace: &Namespace, name: &str, release: &str) {
    let labels =
        json!({"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/instance": release});
    // Helm takes no object that it has not made.
    let mut all = labels.clone();
    all["app.kubernetes.io/managed-by"] = json!("Helm");
    let made = json!({"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace.name});
    let pod = json!({"containers": [{"name": "a", "image": "a:1"}]});
    let set = json!({
        "metadata": {"name": name, "labels": all, "annotations": made},
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

/// Values, the keys that their Secret `mine` has, and the one that it lacks.
const LACKING: &[(&[&str], &[&str], &str)] = &[
    (
        &["auth.existingSecret=mine"],
        &["postgres-password"],
        "replication-password",
    ),
    (
        &["auth.existingSecret=mine", "auth.username=salon"],
        &["postgres-password", "replication-password"],
        "password",
    ),
    (
        &[
            "auth.existingSecret=mine",
            "metrics.enabled=true",
            "auth.secretKeys.metricsPasswordKey=exporter",
        ],
        &["postgres-password", "replication-password"],
        "exporter",
    ),
    (
        &["failover.existingSecret=mine"],
        &["patroni-password", "rewind-password", "ca.crt"],
        "ca.key",
    ),
    (
        &["failover.existingSecret=mine", "pooler.enabled=true"],
        &["patroni-password", "rewind-password", "ca.crt", "ca.key"],
        "pooler-password",
    ),
    (
        &[
            "pgbackrest.enabled=true",
            "pgbackrest.s3.bucket=wal",
            "pgbackrest.s3.existingSecret=mine",
        ],
        &["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY",
    ),
    (
        &[
            "pgbackrest.enabled=true",
            "pgbackrest.s3.bucket=wal",
            "pgbackrest.s3.existingSecret=another",
            "pgbackrest.repo.cipher.existingSecret=mine",
        ],
        &["passphrase"],
        "cipher-pass",
    ),
    (
        &[
            "pgbackrest.enabled=true",
            "pgbackrest.s3.bucket=wal",
            "pgbackrest.s3.existingSecret=another",
            "pgbackrest.server.existingSecret=mine",
        ],
        &["ca.crt", "server.crt", "server.key", "client.crt"],
        "client.key",
    ),
    (
        &[
            "backup.enabled=true",
            "backup.s3.bucket=dumps",
            "backup.s3.existingSecret=mine",
        ],
        &["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY",
    ),
];

async fn set_secret(namespace: &Namespace, keys: &[&str]) {
    let data: BTreeMap<&str, &str> = keys.iter().map(|it| (*it, "a")).collect();
    let secret = json!({"metadata": {"name": "mine"}, "stringData": data});
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let secrets: Api<Secret> = namespace.api();
    let _before = secrets.delete("mine", &DeleteParams::default()).await;
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

/// Pods would wait for it without a word.
#[test]
fn a_secret_of_ones_own_that_lacks_a_key_ends_the_installation() {
    Cluster::shared().within(async |namespace| {
        let with = |values: &[&str]| seeing(namespace.cluster, &namespace.name, values);
        // One that is not there yet may still come.
        with(LACKING[0].0).expect_code(0);
        for (values, has, lacks) in LACKING {
            set_secret(&namespace, has).await;
            let ended = with(values);
            assert_ne!(ended.code(), Some(0), "{values:?}");
            let words = format!("the Secret mine has no key {lacks}: ");
            assert!(ended.stderr.contains(&words), "{}", ended.stderr);
            set_secret(&namespace, &[*has, &[*lacks]].concat()).await;
            with(values).expect_code(0);
        }
    });
}
