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
            "DBCluster" | "BackupStorage" => Api::all_with(client, &resource),
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

/// operator.md, C1 and C2 among others: what is written is kept.
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
fn what_was_written_of_backups_for_dbtether_is_admitted_too() {
    let full = json!({
        "s3": {"bucket": "b", "region": "r", "endpoint": "http://minio:9000"},
        "pathTemplate": "{{ .Year }}/{{ .DatabaseName }}",
        "credentialsSecretRef": {"name": "a", "namespace": "b"},
        "allowAnyPath": false,
    });
    assert_eq!(admitted("BackupStorage", full.clone()).unwrap(), full);
    let of = json!({"databaseRef": {"name": "d"}, "storageRef": {"name": "s"}});
    let with = |beside: Value| with(of.clone(), &beside);
    let full = with(json!({
        "filenameTemplate": "x-{{ .RunID }}.sql.gz", "trigger": "1", "ttlAfterCompletion": "168h",
        "jobConfig": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "ttlSecondsAfterFailed": 1},
        "deletionPolicy": "Retain",
    }));
    assert_eq!(admitted("Backup", full.clone()).unwrap(), full);
    let least = admitted("Backup", with(json!({"jobConfig": {}}))).unwrap();
    assert_eq!(least["filenameTemplate"], "{{ .Timestamp }}.sql.gz");
    assert_eq!(least["jobConfig"]["backoffLimit"], 3);
    let full = with(json!({
        "schedule": "0 2 * * *", "filenameTemplate": "x", "suspend": true, "deletionPolicy": "Retain",
        "retention": {"keepLast": 7, "keepDaily": 0, "keepWeekly": 4, "keepMonthly": 12},
    }));
    assert_eq!(admitted("BackupSchedule", full.clone()).unwrap(), full);
    let full = json!({
        "source": {
            "backupRef": {"name": "b", "namespace": "n"},
            "latestFrom": {"databaseRef": {"name": "d"}, "namespace": "n"},
            "path": "p", "storageRef": {"name": "s"},
        },
        "target": {"databaseRef": {"name": "d"}}, "onConflict": "overwrite", "ttlAfterCompletion": "1h",
    });
    assert_eq!(admitted("Restore", full.clone()).unwrap(), full);
}

/// A spec with some fields beside others.
fn with(mut spec: Value, beside: &Value) -> Value {
    let fields = spec.as_object_mut().unwrap();
    fields.extend(beside.as_object().unwrap().clone());
    spec
}

fn are_refused(wrong: impl IntoIterator<Item = (&'static str, Value, &'static str)>) {
    for (kind, spec, field) in wrong {
        let refused = admitted(kind, spec.clone()).unwrap_err();
        assert!(refused.contains(field), "{spec}: {refused}");
    }
}

/// operator.md, S6; with dbtether's own words where it has some.
#[test]
fn a_storage_that_is_nowhere_or_has_keys_that_nobody_takes_is_refused() {
    let s3 = json!({"bucket": "b", "region": "r"});
    let gcs = json!({"bucket": "b", "project": "p"});
    let azure = json!({"container": "c", "storageAccount": "a"});
    let secret = json!({"name": "a", "namespace": "b"});
    let nowhere = "one of s3, gcs, or azure must be specified";
    let keys = "credentialsSecretRef";
    are_refused([
        ("BackupStorage", json!({}), nowhere),
        (
            "BackupStorage",
            json!({"gcs": gcs, "credentialsSecretRef": secret}),
            keys,
        ),
        (
            "BackupStorage",
            json!({"azure": azure, "credentialsSecretRef": secret}),
            keys,
        ),
        ("BackupStorage", json!({"s3": {"bucket": "b"}}), "region"),
        (
            "BackupStorage",
            json!({"s3": s3, "format": "tar"}),
            "spec.format",
        ),
    ]);
    // Two providers are told by the status, and not refused.
    assert!(admitted("BackupStorage", json!({"s3": s3, "gcs": gcs})).is_ok());
}

/// operator.md, K2, K10, R7 and W21.
#[test]
fn what_is_wrong_with_backups_is_refused_with_the_field_that_is_wrong() {
    let of = |beside: &Value| {
        let spec = json!({"databaseRef": {"name": "d"}, "storageRef": {"name": "s"}});
        with(spec, beside)
    };
    let backup = |beside: Value, field| ("Backup", of(&beside), field);
    let job = |beside: Value, field| backup(json!({"jobConfig": beside}), field);
    let times = |beside: Value, field| {
        let spec = with(of(&json!({"schedule": "0 2 * * *"})), &beside);
        ("BackupSchedule", spec, field)
    };
    are_refused([
        backup(
            json!({"ttlAfterCompletion": "7d"}),
            "spec.ttlAfterCompletion",
        ),
        backup(json!({"trigger": "x".repeat(254)}), "spec.trigger"),
        job(json!({"backoffLimit": 11}), "spec.jobConfig.backoffLimit"),
        job(
            json!({"activeDeadlineSeconds": 59}),
            "spec.jobConfig.activeDeadlineSeconds",
        ),
        backup(json!({"deletionPolicy": "Keep"}), "spec.deletionPolicy"),
        times(json!({"schedule": "invalid cron"}), "spec.schedule"),
        times(json!({"schedule": "@daily"}), "spec.schedule"),
        times(json!({"retention": {}}), "spec.retention"),
        times(
            json!({"retention": {"keepLast": 0, "keepDaily": 0}}),
            "spec.retention",
        ),
    ]);
    let restore = |target: Value, conflict: &str| json!({"source": {}, "target": {"databaseRef": target}, "onConflict": conflict});
    let elsewhere = "target database must be in the Restore's namespace";
    let other = json!({"name": "d", "namespace": "n"});
    are_refused([
        ("Restore", restore(other, "fail"), elsewhere),
        (
            "Restore",
            restore(json!({"name": "d"}), "merge"),
            "spec.onConflict",
        ),
    ]);
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
        of_user(json!({"external": true}), "external needs username"),
        of_user(
            json!({"external": true, "username": "a@b", "rotation": {"days": 3}}),
            "external forbids secret",
        ),
        of_user(
            json!({"external": true, "username": "a@b", "privileges": "owner"}),
            "external forbids privileges owner",
        ),
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

#[test]
fn an_authority_is_refused_where_nothing_is_verified() {
    let tls = json!({"mode": "prefer", "caSecretRef": {"name": "a", "namespace": "b"}});
    let spec = json!({"endpoint": "db", "tls": tls});
    are_refused([("DBCluster", spec, "caSecretRef needs mode")]);
}
