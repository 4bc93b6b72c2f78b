//! What the API server lets in.

use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::served;
use crate::testbed::unique;

/// What is said of an object: nothing where it is let in.
fn admitted(kind: &str, spec: Value) -> Result<Value, String> {
    served().within(async |namespace| {
        let gvk = GroupVersionKind::gvk("dbtether.io", "v1alpha1", kind);
        let resource = ApiResource::from_gvk(&gvk);
        let client = namespace.cluster.client();
        let api: Api<DynamicObject> = match kind {
            "DBCluster" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &namespace.name, &resource),
        };
        let mut object = DynamicObject::new(&unique("it-"), &resource);
        object.data = json!({});
        if !spec.is_null() {
            object.data["spec"] = spec;
        }
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let created = api.create(&dry, &object).await;
        created
            .map(|it| it.data["spec"].clone())
            .map_err(|error| error.to_string())
    })
}

#[test]
fn what_was_written_for_dbtether_is_admitted_and_nothing_of_it_is_lost() {
    let full = json!({
        "endpoint": "db.example", "port": 5433,
        "credentialsSecretRef": {"name": "a", "namespace": "b"},
        "credentialsFromEnv": {"username": "U", "password": "P"},
    });
    assert_eq!(admitted("DBCluster", full.clone()).unwrap(), full);
    let least = admitted("DBCluster", json!({"endpoint": "db"})).unwrap();
    assert_eq!(least, json!({"endpoint": "db", "port": 5432}));
    let full = json!({
        "clusterRef": {"name": "c"}, "databaseName": "my_app",
        "extensions": ["uuid-ossp"], "deletionPolicy": "Delete", "revokePublicConnect": true,
    });
    assert_eq!(admitted("Database", full.clone()).unwrap(), full);
    let least = admitted("Database", json!({"clusterRef": {"name": "c"}})).unwrap();
    assert_eq!(least["deletionPolicy"], "Retain");
    // dbtether lets an object without a spec in, and tells what it lacks.
    assert!(admitted("Database", Value::Null).is_ok());
}

#[test]
fn what_is_wrong_is_refused_with_the_field_that_is_wrong() {
    let wrong = [
        ("DBCluster", json!({"endpoint": ""}), "spec.endpoint"),
        (
            "DBCluster",
            json!({"endpoint": "x", "port": 0}),
            "spec.port",
        ),
        (
            "DBCluster",
            json!({"endpoint": "x", "credentialsSecretRef": {"name": "x"}}),
            "namespace",
        ),
        (
            "DBCluster",
            json!({"endpoint": "x", "tls": {"mode": "maybe"}}),
            "spec.tls.mode",
        ),
        ("Database", json!({}), "clusterRef"),
        (
            "Database",
            json!({"clusterRef": {"name": ""}}),
            "spec.clusterRef.name",
        ),
        (
            "Database",
            json!({"clusterRef": {"name": "c"}, "databaseName": "My-App"}),
            "spec.databaseName",
        ),
        (
            "Database",
            json!({"clusterRef": {"name": "c"}, "deletionPolicy": "Keep"}),
            "spec.deletionPolicy",
        ),
    ];
    for (kind, spec, field) in wrong {
        let refused = admitted(kind, spec.clone()).unwrap_err();
        assert!(refused.contains(field), "{spec}: {refused}");
    }
}
