//! Workers in a namespace of their own: what goes there, and what stays with the scheduler.

use super::{documents, env_of, of_kind, render, rendered};
use k8s_openapi::api::rbac::v1::RoleBinding;

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
    let namespace = env_of(&documents, "SYSTEM_NAMESPACE");
    assert_eq!(namespace.as_deref(), Some("workers"));
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

/// A chart of which this one is a part has a namespace of its own for it.
#[test]
fn everything_moves_into_another_namespace_than_the_releases() {
    let values = [
        "namespaceOverride=elsewhere",
        "admissionPolicy.enabled=true",
        "access.tokenReview=true",
        "tls.enabled=true",
        "tls.certManager.issuerRef.name=ca",
    ];
    let rendered = render("system", "1.34.0", &values)
        .expect_code(0)
        .stdout
        .clone();
    for words in ["namespace: system\n", ".system", ":system:adapter"] {
        assert!(!rendered.contains(words), "{words}: {rendered}");
    }
    let documents = documents(&rendered);
    let namespaces = documents.iter().map(|it| &it["metadata"]["namespace"]);
    assert!(namespaces.clone().any(|it| *it == "elsewhere"));
    assert!(
        namespaces
            .into_iter()
            .all(|it| it.is_null() || *it == "elsewhere")
    );
    assert_eq!(
        env_of(&documents, "SYSTEM_NAMESPACE").as_deref(),
        Some("elsewhere")
    );
    for words in [
        "adapter-postgres-adapter.elsewhere.svc:50051",
        "system:serviceaccount:elsewhere:adapter-postgres-adapter",
    ] {
        assert!(rendered.contains(words), "{words}: {rendered}");
    }
}
