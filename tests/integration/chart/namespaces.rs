//! Workers in a namespace of their own: what goes there, and what stays with the scheduler.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::RoleBinding;
use serde_yaml_ng::Value;

use super::{documents, of_kind, render};

fn rendered(values: &[&str]) -> Vec<Value> {
    documents(&render("system", "1.34.0", values).expect_code(0).stdout)
}

/// S04.
#[test]
fn workers_may_have_a_namespace_that_the_scheduler_is_not_in() {
    let documents = rendered(&["workers.namespace=workers", "admissionPolicy.enabled=true"]);
    let there: Vec<String> = documents
        .iter()
        .filter(|it| it["metadata"]["namespace"] == "workers")
        .map(|it| {
            format!(
                "{} {}",
                it["kind"].as_str().unwrap(),
                it["metadata"]["name"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        there,
        [
            "NetworkPolicy adapter-postgres-adapter-workers",
            "ServiceAccount adapter-postgres-adapter-workers",
            "Role adapter-postgres-adapter",
            "RoleBinding adapter-postgres-adapter",
        ]
    );
    let binding: RoleBinding = of_kind(&documents, "RoleBinding");
    let subject = &binding.subjects.unwrap()[0];
    assert_eq!(subject.namespace.as_deref(), Some("system"));
    let deployment: Deployment = of_kind(&documents, "Deployment");
    let env = deployment.spec.unwrap().template.spec.unwrap().containers[0]
        .env
        .clone();
    let env = env.unwrap();
    let namespace = env.iter().find(|it| it.name == "SYSTEM_NAMESPACE").unwrap();
    assert_eq!(namespace.value.as_deref(), Some("workers"));
    let policy = documents
        .iter()
        .find(|it| it["kind"] == "ValidatingAdmissionPolicy")
        .unwrap();
    let policy = serde_yaml_ng::to_string(policy).unwrap();
    assert!(
        policy.contains("request.namespace == \"workers\""),
        "{policy}"
    );
    assert!(
        policy.contains("system:serviceaccount:system:adapter-postgres-adapter"),
        "{policy}"
    );
}

#[test]
fn releases_in_several_namespaces_share_no_object_that_is_in_none() {
    let names = |namespace: &str| {
        let values = ["admissionPolicy.enabled=true", "access.tokenReview=true"];
        let documents = documents(&render(namespace, "1.34.0", &values).stdout);
        let outside = documents
            .into_iter()
            .filter(|it| it["metadata"]["namespace"].is_null());
        outside
            .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (one, other) = (names("one"), names("other"));
    assert_eq!(one.len(), 4);
    assert!(
        one.iter().all(|it| !other.contains(it)),
        "{one:?} {other:?}"
    );
}
