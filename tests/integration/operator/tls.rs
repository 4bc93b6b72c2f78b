//! A DBCluster whose server shows a certificate of its own authority.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{Stage, backups, message, named, readiness, served};
use crate::testbed::postgres::shared_with_tls;
use crate::testbed::tls::Authority;

async fn trust(stage: &Stage, pem: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "authority"},
        "stringData": {"ca.crt": pem},
    });
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let api: Api<Secret> = stage.namespace.api();
    let params = PatchParams::apply("it").force();
    let patch = Patch::Apply(&secret);
    api.patch("authority", &params, &patch).await.unwrap();
}

/// Asks for this way, and gives what the DBCluster says of it.
async fn asked(stage: &Stage, tls: serde_json::Value, phase: &str) -> String {
    let patch = Patch::Merge(json!({"spec": {"tls": tls}}));
    let params = PatchParams::default();
    let api = stage.clusters();
    api.patch(&stage.cluster, &params, &patch).await.unwrap();
    let found = stage.cluster_phase(phase).await;
    found.status.unwrap().message.unwrap()
}

/// The operator's own sessions and the workers trust whom the DBCluster names, and nobody else.
#[test]
fn a_server_is_trusted_by_the_authority_that_its_dbcluster_names() {
    let server = shared_with_tls();
    served().within(async |namespace| {
        let stage = Stage::on(namespace, server, ("postgres", server.password())).await;
        stage.cluster_phase("Connected").await;
        let alone = json!({"mode": "verify-full"});
        let said = asked(&stage, alone, "Failed").await;
        assert!(said.contains("tls.caSecretRef"), "{said}");
        let named_by = |key: &str| {
            json!({"mode": "verify-full", "caSecretRef": {
                "name": "authority", "namespace": stage.namespace.name, "key": key,
            }})
        };
        let said = asked(&stage, named_by("other"), "Failed").await;
        assert!(said.contains("authority not found"), "{said}");
        trust(&stage, Authority::new().pem()).await;
        let said = asked(&stage, named_by("another"), "Failed").await;
        assert!(said.contains(r#"must contain "another""#), "{said}");
        // The key that is the default, in the object too.
        let said = asked(&stage, named_by("ca.crt"), "Failed").await;
        assert!(said.starts_with("connection failed: "), "{said}");
        trust(&stage, server.authority().pem()).await;
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"look": "again"}}}));
        let params = PatchParams::default();
        let clusters = stage.clusters();
        clusters
            .patch(&stage.cluster, &params, &patch)
            .await
            .unwrap();
        stage.cluster_phase("Connected").await;
        let (object, _) = named("tls");
        stage.database(&object, json!({})).await;
        let ready = stage.phase(&object, "Ready").await;
        assert_eq!(readiness(&ready).0, "True", "{}", message(&ready));
        backups::goes_and_comes_back(stage, &object).await;
    });
}
