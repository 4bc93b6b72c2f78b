//! Volumes that have to be encrypted, by a real API server's storage classes.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::{notes, rendered};
use crate::cluster::Cluster;
use crate::testbed::programs::Ended;
use crate::testbed::unique;

const REQUIRED: &str = "primary.persistence.requireEncryptedStorageClass=true";

fn seeing(cluster: &Cluster, values: &[&str]) -> Ended {
    super::seeing(cluster, "default", &[&[REQUIRED], values].concat())
}

async fn class(cluster: &Cluster, provisioner: &str, encrypted: Option<&str>) -> String {
    let name = unique("class");
    let parameters = encrypted.map(|it| json!({"encrypted": it}));
    let class =
        json!({"metadata": {"name": name}, "provisioner": provisioner, "parameters": parameters});
    let class: StorageClass = serde_json::from_value(class).unwrap();
    let classes: Api<StorageClass> = Api::all(cluster.client());
    classes
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
    name
}

/// 2.5.
#[test]
fn a_storage_class_that_is_not_known_to_encrypt_ends_the_installation() {
    Cluster::shared().within(async |namespace| {
        let cluster = namespace.cluster;
        let plain = class(cluster, "ebs.csi.aws.com", None).await;
        let secret = class(cluster, "ebs.csi.aws.com", Some("true")).await;
        let google = class(cluster, "pd.csi.storage.gke.io", None).await;
        let of = |name: &str| format!("primary.persistence.storageClass={name}");
        for name in [&secret, &google] {
            seeing(cluster, &[&of(name)]).expect_code(0);
        }
        let backup = [
            "backup.enabled=true",
            "backup.storage.enabled=true",
            &format!("backup.storage.storageClass={plain}"),
        ];
        for (values, words) in [
            (
                vec![of(&plain)],
                format!("the storage class {plain} (ebs.csi.aws.com) does not say"),
            ),
            (
                vec![format!("global.defaultStorageClass={plain}")],
                format!("the storage class {plain} "),
            ),
            (
                [&[of(&secret)], &backup.map(str::to_owned)[..]].concat(),
                format!("the storage class {plain} "),
            ),
            (
                vec![of("nowhere")],
                "the cluster has no storage class nowhere".to_owned(),
            ),
            (vec![of("-")], "volumes without a storage class".to_owned()),
            (
                vec![],
                "the cluster has no default storage class".to_owned(),
            ),
        ] {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            let ended = seeing(cluster, &values);
            assert!(
                ended.stderr.contains(&words),
                "{values:?}: {}",
                ended.stderr
            );
        }
        let classes: Api<StorageClass> = Api::all(cluster.client());
        for name in [plain, secret, google] {
            classes
                .delete(&name, &DeleteParams::default())
                .await
                .unwrap();
        }
    });
}

#[test]
fn helm_that_sees_no_cluster_says_that_nothing_was_looked_at() {
    assert!(!rendered(&[REQUIRED]).is_empty());
    let said = notes(&[REQUIRED]);
    assert!(
        said.contains("requireEncryptedStorageClass was not looked at"),
        "{said}"
    );
    let none = [REQUIRED, "primary.persistence.enabled=false"];
    super::is_refused(&none, "set one of them otherwise");
}
