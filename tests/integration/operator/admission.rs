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
    // operator.md, U2, U25, U27, U28, 0.1: of 0.4, of 0.5 and of 0.9.
    let full = json!({
        "databases": [{"name": "d", "namespace": "other", "privileges": "owner"}, {"name": "e"}],
        "username": "app", "privileges": "admin", "schemas": ["public", "app"],
        "additionalGrants": [{"tables": ["Orders"], "privileges": ["SELECT", "USAGE"]}],
        "password": {"length": 24}, "rotation": {"days": 30}, "connectionLimit": 5,
        "idleInTransactionTimeout": "5m", "deletionPolicy": "Retain",
        "secret": {"name": "s", "template": "custom", "onConflict": "Merge",
            "keys": {"host": "h", "port": "p", "database": "d", "user": "u", "username": "n", "password": "w"}},
        "secretGeneration": "primary",
    });
    assert_eq!(admitted("DatabaseUser", full.clone()).unwrap(), full);
    let least = admitted("DatabaseUser", json!({"database": {"name": "d"}})).unwrap();
    assert_eq!(
        least,
        json!({"database": {"name": "d"}, "privileges": "readonly", "schemas": ["public"], "additionalGrants": [],
            "connectionLimit": -1, "deletionPolicy": "Delete", "secretGeneration": "primary"})
    );
    for old in [
        json!({"databaseRef": {"name": "d"}}),
        json!({"database": {"name": "d"}, "secret": {"template": "dsn"}}),
        json!({"database": {"name": "d"}, "connectionLimit": -1, "privileges": "readwrite"}),
        json!({"databases": [{"name": "d"}], "secretGeneration": "perDatabase", "secret": {"template": "DB"}}),
        serde_json::Value::Null,
    ] {
        assert!(admitted("DatabaseUser", old.clone()).is_ok(), "{old}");
    }
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
    are_refused(wrong);
}

/// operator.md, U2, U8, U25, §5.1.
#[test]
fn what_is_wrong_of_a_user_is_refused_with_what_helps() {
    let of_user = |spec: Value, field| {
        let mut whole = json!({"database": {"name": "d"}});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        ("DatabaseUser", whole, field)
    };
    are_refused([
        (
            "DatabaseUser",
            json!({}),
            "exactly one of database or databases must be set",
        ),
        of_user(
            json!({"databases": [{"name": "e"}]}),
            "exactly one of database or databases must be set",
        ),
        of_user(json!({"privileges": "root"}), "spec.privileges"),
        of_user(
            json!({"database": {"name": "d", "privileges": "root"}}),
            "spec.database.privileges",
        ),
        of_user(json!({"username": "My-User"}), "spec.username"),
        of_user(json!({"password": {"length": 8}}), "spec.password.length"),
        of_user(json!({"rotation": {"days": 0}}), "spec.rotation.days"),
        of_user(
            json!({"connectionLimit": 0}),
            "connectionLimit 0 is not supported; use -1 for unlimited or >= 1 to cap",
        ),
        of_user(json!({"connectionLimit": -2}), "spec.connectionLimit"),
        of_user(
            json!({"idleInTransactionTimeout": "1us"}),
            "idleInTransactionTimeout must be at least 1ms",
        ),
        of_user(
            json!({"idleInTransactionTimeout": "7d"}),
            "idleInTransactionTimeout",
        ),
        of_user(
            json!({"additionalGrants": [{"tables": ["t; DROP"], "privileges": ["SELECT"]}]}),
            "spec.additionalGrants[0].tables[0]",
        ),
        of_user(
            json!({"additionalGrants": [{"tables": ["t"], "privileges": ["ALL"]}]}),
            "spec.additionalGrants[0].privileges[0]",
        ),
        of_user(
            json!({"secretGeneration": "perDatabase", "secret": {"name": "s"}}),
            "secret.name is forbidden",
        ),
        of_user(
            json!({"secretGeneration": "perDatabase", "secret": {"onConflict": "Adopt"}}),
            "secret.onConflict other than Fail is forbidden",
        ),
        of_user(
            json!({"secret": {"template": "xml"}}),
            "spec.secret.template",
        ),
    ]);
}

#[track_caller]
fn are_refused<const N: usize>(wrong: [(&str, Value, &str); N]) {
    for (kind, spec, field) in wrong {
        let refused = admitted(kind, spec.clone()).unwrap_err();
        assert!(refused.contains(field), "{spec}: {refused}");
    }
}
