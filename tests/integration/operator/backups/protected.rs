//! What the cluster keeps.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::super::served;
use super::Nightly;
use crate::cluster::eventually;
use crate::testbed::unique;

/// A policy of the cluster's that keeps a Backup from being deleted, as the chart's does, is told by the schedule that
/// waits for it.
#[test]
fn a_schedule_says_which_of_its_backups_the_cluster_keeps() {
    served().within(async |namespace| {
        let nightly = Nightly::new(namespace).await;
        let scene = &nightly.scene;
        let (made, _) = nightly.first().await;
        let client = scene.stage.namespace.cluster.client();
        let name = unique("keeps-");
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client);
        let policy = json!({
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {
                        "kubernetes.io/metadata.name": scene.stage.namespace.name,
                    }},
                    "resourceRules": [{
                        "apiGroups": ["dbtether.io"], "apiVersions": ["*"],
                        "operations": ["DELETE"], "resources": ["backups"],
                    }],
                },
                "validations": [{"expression": "false", "message": "the team keeps it"}],
            },
        });
        let binding = json!({
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        let params = PostParams::default();
        let policy = serde_json::from_value(policy).unwrap();
        policies.create(&params, &policy).await.unwrap();
        let binding = serde_json::from_value(binding).unwrap();
        bindings.create(&params, &binding).await.unwrap();
        let tried = DeleteParams {
            dry_run: true,
            ..DeleteParams::default()
        };
        let backup = made.metadata.name.unwrap();
        eventually("the policy holds", async || {
            nightly.backups.delete(&backup, &tried).await.err()
        })
        .await;
        let (schedules, _) = scene.api("BackupSchedule");
        schedules
            .delete("s", &DeleteParams::default())
            .await
            .unwrap();
        let failed = scene.phase("BackupSchedule", "s", "Failed").await;
        let said = failed["message"].as_str().unwrap();
        assert!(
            said.contains(&backup) && said.contains("the team keeps it"),
            "{said}"
        );
        let params = DeleteParams::default();
        bindings.delete(&name, &params).await.unwrap();
        policies.delete(&name, &params).await.unwrap();
        eventually("the schedule goes", async || {
            nightly.look_if_there().await.then_some(())
        })
        .await;
        // A Backup that is deleted goes when its own controller lets it.
        eventually("its Backup goes too", async || {
            (nightly.count().await == 0).then_some(())
        })
        .await;
    });
}
