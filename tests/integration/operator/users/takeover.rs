//! Databases and DatabaseUsers that dbtether 0.9.1 has served, taken over in place: operator.md, 1.2, 5.5 and 5.7.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::super::own::{self, Own, nothing_between};
use super::super::{Stage, named, served};
use crate::testbed::postgres::shared;
use crate::testbed::unique;

const PASSWORD: &str = "aB3._-x9Yq7.Zk2_";

/// What dbtether has left in the cluster and on the server, which nobody serves until somebody is started.
pub(in crate::operator) struct Left<'a> {
    pub(in crate::operator) stage: &'a Stage,
    pub(in crate::operator) label: String,
    pub(in crate::operator) cluster: String,
}

impl<'a> Left<'a> {
    pub(in crate::operator) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            label: unique("own"),
            cluster: unique("dbc-"),
        }
    }

    pub(in crate::operator) fn api(&self, kind: &str) -> (Api<DynamicObject>, ApiResource) {
        let gvk = GroupVersionKind::gvk("dbtether.io", "v1alpha1", kind);
        let resource = ApiResource::from_gvk(&gvk);
        let namespace = &self.stage.namespace;
        let client = namespace.cluster.client();
        let api = match kind {
            "DBCluster" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &namespace.name, &resource),
        };
        (api, resource)
    }

    /// An object as dbtether has it, and what its status says.
    pub(in crate::operator) async fn object(
        &self,
        (kind, name, finalizer): (&str, &str, Option<&str>),
        (spec, status): (Value, Value),
    ) -> DynamicObject {
        let (api, resource) = self.api(kind);
        let mut object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        object
            .labels_mut()
            .insert(own::LABEL.to_owned(), self.label.clone());
        object.metadata.finalizers = finalizer.map(|it| vec![it.to_owned()]);
        let object = api.create(&PostParams::default(), &object).await.unwrap();
        let mut status = status;
        if status.is_null() {
            return object;
        }
        status["observedGeneration"] = json!(1);
        let params = PatchParams::default();
        let status = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &params, &status).await.unwrap()
    }

    /// The DBCluster, which is the shared server.
    pub(in crate::operator) async fn server(&self) {
        let server = (
            self.stage.cluster_spec(self.stage.server.port()),
            json!({
                "phase": "Connected", "message": "connection successful",
                "postgresVersion": "PostgreSQL 15", "lastCheckTime": "2026-01-20T14:30:22Z",
            }),
        );
        self.object(("DBCluster", &self.cluster, None), server)
            .await;
    }

    /// A database that dbtether has made and marked.
    pub(in crate::operator) async fn database(
        &self,
        prefix: &str,
        policy: &str,
    ) -> (String, String) {
        let (object, name) = named(prefix);
        let namespace = &self.stage.namespace.name;
        shared().named(&name).sql("CREATE TABLE kept AS SELECT 1 a");
        let mark = format!("COMMENT ON DATABASE \"{name}\" IS 'dbtether:{namespace}/{object}'");
        shared().sql("postgres", &mark);
        let spec = json!({
            "clusterRef": {"name": self.cluster}, "deletionPolicy": policy,
            "revokePublicConnect": false,
        });
        let status = json!({
            "phase": "Ready", "message": "database is ready", "databaseName": name,
            "ownershipTracked": true,
        });
        let of = ("Database", object.as_str(), Some("dbtether.io/finalizer"));
        self.object(of, (spec, status)).await;
        (object, name)
    }

    /// A user whose role has no mark, with the Secret that it has by this template.
    async fn user(&self, name: &str, spec: Value, secrets: &[(&str, Value, Value)]) {
        let role = name.replace('-', "_");
        let (database, in_server) = (&spec["databases"][0]["name"], secrets[0].0);
        let sql = format!(
            "CREATE ROLE {role} LOGIN NOINHERIT PASSWORD '{PASSWORD}';
             GRANT CONNECT ON DATABASE \"{in_server}\" TO {role}"
        );
        shared().sql("postgres", &sql);
        shared().sql(
            in_server,
            &format!("GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
        );
        let ago = ago(10 * 86_400);
        let first = secrets[0].1["name"].as_str().unwrap();
        let status = json!({
            "phase": "Ready", "message": "user created with access to 1 database(s)",
            "clusterName": self.cluster, "username": role, "databasesSummary": in_server,
            "secretName": first, "passwordUpdatedAt": ago,
            "databases": [{"name": database, "databaseName": in_server, "phase": "Ready",
                           "privileges": "readonly"}],
        });
        let finalizer = Some("databaseusers.dbtether.io/finalizer");
        let of = ("DatabaseUser", name, finalizer);
        let made = self.object(of, (spec, status)).await;
        for (_, metadata, data) in secrets {
            let mut metadata = metadata.clone();
            metadata["annotations"]["dbtether.io/managed-by"] = json!(name);
            if metadata["annotations"]["dbtether.io/managed-keys"].is_null() {
                let keys: Vec<&str> = data
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(String::as_str)
                    .collect();
                metadata["annotations"]["dbtether.io/managed-keys"] = json!(keys.join(","));
            }
            metadata["ownerReferences"] = json!([{
                "apiVersion": "dbtether.io/v1alpha1", "kind": "DatabaseUser", "name": name,
                "uid": made.uid().unwrap(), "controller": true, "blockOwnerDeletion": true,
            }]);
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata,
                "stringData": data,
            });
            let secret: Secret = serde_json::from_value(secret).unwrap();
            let api: Api<Secret> = self.stage.namespace.api();
            api.create(&PostParams::default(), &secret).await.unwrap();
        }
    }

    /// A user of each template: object, role and Secret.
    async fn users(
        &self,
        first: (&str, &str),
        second: (&str, &str),
    ) -> Vec<(String, String, String)> {
        let ((object, name), (dropped, drops)) = (first, second);
        let tag = unique("");
        let mut known = Vec::new();
        for (user, secret, annotations, data) in users(self.stage.server.port(), name, drops) {
            let was = user.replace('-', "_");
            let (user, role) = (format!("{user}-{tag}"), format!("{was}_{tag}"));
            let data: Value = serde_json::from_str(&data.to_string().replace(&was, &role)).unwrap();
            let mut databases = vec![json!({"name": object})];
            if user.starts_with("of-two") {
                databases.push(json!({"name": dropped}));
            }
            let mut spec = json!({"databases": databases, "rotation": {"days": 30}, "deletionPolicy": "Delete"});
            if secret != json!({}) {
                spec["secret"] = secret;
            }
            let named = format!("{user}-credentials");
            let metadata = json!({"name": named, "annotations": annotations});
            self.user(&user, spec, &[(name, metadata, data)]).await;
            known.push((user, role, named));
        }
        known
    }
}

/// Users of each template, each with the database that its first Secret names.
fn users(port: u16, database: &str, second: &str) -> Vec<(&'static str, Value, Value, Value)> {
    let port = port.to_string();
    let parts = |keys: [&str; 5], user: &str| {
        let values = ["127.0.0.1", &port, database, user, PASSWORD];
        let pairs = keys.iter().zip(values);
        let pairs: BTreeMap<_, _> = pairs.map(|(key, value)| (*key, value)).collect();
        json!(pairs)
    };
    let of = |prefix: &str, name: &str, user: &str| {
        let keys = ["HOST", "PORT", name, "USER", "PASSWORD"].map(|it| format!("{prefix}_{it}"));
        parts(keys.each_ref().map(String::as_str), user)
    };
    let raw = ["host", "port", "database", "username", "password"];
    let mut both = parts(raw, "of_two");
    both["databases"] = json!(format!("{database},{second}"));
    let mut merged = parts(raw, "of_merge");
    merged["theirs"] = json!("kept");
    let keys = json!({"host": "H", "username": "U", "password": "P"});
    let none = || json!({});
    let merge = json!({
        "dbtether.io/conflict-policy": "Merge",
        "dbtether.io/managed-keys": "database,host,password,port,username",
    });
    vec![
        ("of-raw", none(), none(), parts(raw, "of_raw")),
        (
            "of-db",
            json!({"template": "DB"}),
            none(),
            of("DB", "NAME", "of_db"),
        ),
        (
            "of-database",
            json!({"template": "DATABASE"}),
            none(),
            of("DATABASE", "NAME", "of_database"),
        ),
        (
            "of-postgres",
            json!({"template": "POSTGRES"}),
            none(),
            of("POSTGRES", "DATABASE", "of_postgres"),
        ),
        (
            "of-custom",
            json!({"template": "custom", "keys": keys}),
            none(),
            parts(["H", "port", "database", "U", "P"], "of_custom"),
        ),
        (
            "of-dsn",
            json!({"template": "dsn"}),
            none(),
            json!({"dsn": format!("postgres://of_dsn:{PASSWORD}@127.0.0.1:{port}/{database}")}),
        ),
        ("of-two", none(), none(), both),
        ("of-merge", json!({"onConflict": "Merge"}), merge, merged),
    ]
}

/// No password changes, nothing is dropped, and Secrets stay byte for byte.
#[test]
fn what_dbtether_has_served_is_taken_over_as_it_is() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let left = Left::new(&stage);
        left.server().await;
        let (object, name) = left.database("served", "Retain").await;
        let (dropped, drops) = left.database("drops", "Delete").await;
        let known = left.users((&object, &name), (&dropped, &drops)).await;
        let mut before = Vec::new();
        for (user, role, secret) in &known {
            let status = stage.users().get(user).await.unwrap().status.unwrap();
            let secret = stage.secret_of(secret).await.unwrap();
            before.push((stage.verifier(role), secret, status.password_updated_at));
        }
        let cluster = stage.namespace.cluster;
        let own = Own::start(cluster, &left.label, &nothing_between());
        for ((user, role, named), (verifier, secret, updated)) in known.iter().zip(&before) {
            let taken = |it: &scheduler::operator::crd::DatabaseUserStatus| {
                it.kept.is_some() && it.phase.as_deref() == Some("Ready")
            };
            let status = stage.user_with(user, "is taken over", taken).await;
            assert_eq!(&status.password_updated_at, updated, "{user}");
            assert_eq!(&stage.verifier(role), verifier, "{user}");
            let after = stage.secret_of(named).await.unwrap();
            assert_eq!(
                (after.uid(), &after.data),
                (secret.uid(), &secret.data),
                "{user}"
            );
            let mark = format!("SELECT shobj_description('{role}'::regrole, 'pg_authid')");
            assert!(
                stage.server.sql("postgres", &mark).starts_with("dbtether:"),
                "{user}"
            );
        }
        for (object, name) in [(&object, &name), (&dropped, &drops)] {
            let found = stage.databases().get(object).await.unwrap().status.unwrap();
            assert_eq!(found.kept.unwrap().origin, "adopted");
            let mark = format!("dbtether:{}/{object}", stage.namespace.name);
            assert_eq!(stage.comment(name), mark);
        }
        // Each goes by its policy from then on; what was there before us is not ours to drop.
        for (user, role, secret) in &known {
            stage.delete_user(user).await;
            assert!(!stage.has_role(role), "{user}");
            let left = stage.secret_of(secret).await;
            let theirs = left.map(|it| super::texts(&it).into_keys().collect::<Vec<_>>());
            let expected = user
                .starts_with("of-merge")
                .then(|| vec!["theirs".to_owned()]);
            assert_eq!(theirs, expected, "{user}");
        }
        let force = json!({"metadata": {"annotations": {"dbtether.io/force-adopt": "true"}}});
        stage.change(&dropped, force).await;
        for (object, name, stays) in [(&object, &name, true), (&dropped, &drops, false)] {
            stage.delete(object).await;
            assert_eq!(stage.has(name), stays);
        }
        assert_eq!(stage.server.sql(&name, "SELECT count(*) FROM kept"), "1");
        own.kill().await;
    });
}

/// A time as Kubernetes has it: in seconds.
pub(in crate::operator) fn ago(seconds: i64) -> String {
    let at = Timestamp::now().as_second() - seconds;
    Timestamp::from_second(at).unwrap().to_string()
}
