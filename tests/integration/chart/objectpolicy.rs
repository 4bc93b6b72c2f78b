//! What the cluster refuses of the operator's objects, by the ValidatingAdmissionPolicy of its chart on a real API server.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use scheduler::operator::crd::Database;
use serde_json::{Value, json};

use super::{documents, of_kind, operators_chart, render_of};
use crate::cluster::{Namespace, eventually};
use crate::operator::define;

const NAME: &str = "postgres-db-operator";

/// The documents of a release, with these values and on this Kubernetes.
fn release(version: &str, values: &[&str]) -> Vec<serde_yaml_ng::Value> {
    let rendered = render_of(&operators_chart(), (NAME, NAME), version, values);
    documents(&rendered.expect_code(0).stdout)
}

fn policies(documents: &[serde_yaml_ng::Value]) -> Vec<&serde_yaml_ng::Value> {
    let all = documents.iter();
    all.filter(|it| it["kind"] == "ValidatingAdmissionPolicy")
        .collect()
}

#[test]
fn the_policy_is_there_unless_it_is_switched_off_or_kubernetes_is_older() {
    let of = |version, values: &[&str]| release(version, values);
    let validations = |documents: &[serde_yaml_ng::Value]| {
        let all = policies(documents)[0]["spec"]["validations"].clone();
        all.as_sequence().unwrap().len()
    };
    assert_eq!(validations(&of("1.34.0", &[])), 2);
    assert_eq!(validations(&of("1.30.0", &["operator.force=anyone"])), 1);
    assert!(policies(&of("1.29.0", &[])).is_empty());
    assert!(policies(&of("1.34.0", &["operator.admissionPolicy=false"])).is_empty());
    assert!(policies(&of("1.34.0", &["operator.enabled=false"])).is_empty());
}

fn database(name: &str, annotations: &Value) -> Database {
    let object = json!({
        "apiVersion": "dbtether.io/v1alpha1", "kind": "Database",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"clusterRef": {"name": "there-is-none"}},
    });
    serde_json::from_value(object).unwrap()
}

/// Lets a user do this with the Databases of a namespace.
async fn permit(namespace: &Namespace, user: &str, verbs: &[&str]) {
    let metadata = || ObjectMeta {
        name: Some("tenant".to_owned()),
        ..ObjectMeta::default()
    };
    let role = Role {
        metadata: metadata(),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec!["dbtether.io".to_owned()]),
            resources: Some(vec!["databases".to_owned()]),
            verbs: verbs.iter().map(|it| (*it).to_owned()).collect(),
            ..PolicyRule::default()
        }]),
    };
    let binding = RoleBinding {
        metadata: metadata(),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: "tenant".to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "User".to_owned(),
            name: user.to_owned(),
            namespace: None,
        }]),
    };
    let params = PatchParams::apply("it").force();
    let (roles, bindings): (Api<Role>, Api<RoleBinding>) = (namespace.api(), namespace.api());
    let role = roles.patch("tenant", &params, &Patch::Apply(&role)).await;
    role.unwrap();
    let binding = bindings
        .patch("tenant", &params, &Patch::Apply(&binding))
        .await;
    binding.unwrap();
}

/// operator.md, W1: who only changes objects takes nothing over, and what is protected is not deleted by mistake.
#[test]
fn what_is_protected_is_not_deleted_and_force_is_for_who_may_use_it() {
    crate::cluster::Cluster::shared().within(async |namespace| {
        define(namespace.cluster).await;
        let documents = release("1.34.0", &[]);
        let params = PostParams::default();
        let policy: ValidatingAdmissionPolicy = of_kind(&documents, "ValidatingAdmissionPolicy");
        let binding: ValidatingAdmissionPolicyBinding =
            of_kind(&documents, "ValidatingAdmissionPolicyBinding");
        let all = Api::all(namespace.cluster.client());
        all.create(&params, &policy).await.unwrap();
        let all = Api::all(namespace.cluster.client());
        all.create(&params, &binding).await.unwrap();
        let user = format!("tenant-of-{}", namespace.name);
        let verbs = ["create", "get", "patch", "delete"];
        permit(&namespace, &user, &verbs).await;
        let client = namespace.cluster.client_as(&user);
        let api: Api<Database> = Api::namespaced(client, &namespace.name);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let forced = json!({"dbtether.io/force-adopt": "true"});
        eventually("the policy holds", async || {
            let refused = api.create(&dry, &database("a", &forced)).await.err()?;
            refused.to_string().contains("the verb").then_some(())
        })
        .await;
        // What does not force is nobody's business, and what stands there already stays.
        let harmless =
            json!({"dbtether.io/force-adopt": "false", "dbtether.io/deletion-protection": "true"});
        api.create(&params, &database("a", &harmless))
            .await
            .unwrap();
        let force = Patch::Merge(json!({"metadata": {"annotations": forced}}));
        let params = PatchParams::default();
        let said = api.patch("a", &params, &force).await.unwrap_err();
        assert!(said.to_string().contains("the verb"), "{said}");
        permit(
            &namespace,
            &user,
            &["create", "get", "patch", "delete", "force"],
        )
        .await;
        eventually("who may force does", async || {
            api.patch("a", &params, &force).await.ok()
        })
        .await;
        permit(&namespace, &user, &verbs).await;
        let label = Patch::Merge(json!({"metadata": {"labels": {"team": "a"}}}));
        api.patch("a", &params, &label).await.unwrap();
        let said = api.delete("a", &DeleteParams::default()).await.unwrap_err();
        assert!(said.to_string().contains("deletion-protection"), "{said}");
        let free = json!({"dbtether.io/deletion-protection": null});
        let free = Patch::Merge(json!({"metadata": {"annotations": free}}));
        api.patch("a", &params, &free).await.unwrap();
        api.delete("a", &DeleteParams::default()).await.unwrap();
        eventually("it is gone", async || {
            api.get_opt("a").await.unwrap().is_none().then_some(())
        })
        .await;
    });
}
