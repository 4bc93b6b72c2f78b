//! Backups in the clouds beside S3, of a server whose login is in the operator's environment.

use serde_json::{Value, json};

use super::{Scene, Stage, served};
use crate::stores::{azure, google};
use crate::testbed::clouds::ACCOUNT;
use crate::testbed::unique;

/// Cargo sets both for each test, as they were when it was compiled.
const LOGIN: [&str; 2] = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION"];

impl Stage {
    /// Gives the DBCluster a login that is in no Secret: the role's name.
    async fn log_in_by_the_environment(&self) -> String {
        let (user, password) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let role = format!("CREATE ROLE \"{user}\" SUPERUSER LOGIN PASSWORD '{password}'");
        self.server.sql("postgres", &role);
        let [username, password] = LOGIN;
        let login = json!({"spec": {
            "credentialsSecretRef": null,
            "credentialsFromEnv": {"username": username, "password": password},
        }});
        let patch = kube::api::Patch::Merge(login);
        let params = kube::api::PatchParams::default();
        let changed = self.clusters().patch(&self.cluster, &params, &patch).await;
        changed.expect("the DBCluster is changed");
        self.cluster_phase("Connected").await;
        user.to_owned()
    }
}

/// operator.md, R6, W5 and W16: dbtether tells its workers of no cloud but S3, and of no login that is not in a Secret.
#[test]
fn backups_in_each_cloud_come_back_by_a_login_of_the_environment() {
    let (bucket, container) = (google().bucket(), azure().container());
    let places = [
        (
            "gcs",
            json!({"gcs": {"bucket": bucket, "project": "tests"}}),
        ),
        (
            "azure",
            json!({"azure": {"container": container, "storageAccount": ACCOUNT}}),
        ),
    ];
    served().within(async move |namespace| {
        let stage = Stage::new(namespace).await;
        let user = stage.log_in_by_the_environment().await;
        let scene = Scene::of(stage).await;
        let (object, name) = scene.database("clouds").await;
        let owner = format!("SELECT datdba::regrole FROM pg_database WHERE datname = '{name}'");
        assert_eq!(scene.sql("postgres", &owner), user);
        scene.sql(&name, "CREATE TABLE t AS SELECT generate_series(1, 99) n");
        for (provider, place) in places {
            let storage = unique("storage-");
            scene.make("BackupStorage", &storage, place).await;
            let ready = scene.phase("BackupStorage", &storage, "Ready").await;
            assert_eq!(ready["provider"], provider);
            let there = json!({"storageRef": {"name": storage}});
            let done = scene.back_up(provider, &object, there).await;
            let path = done["path"].as_str().unwrap();
            let said = |word: &str| match provider {
                "gcs" => {
                    let told = google().told(&bucket, &path.replace('/', "%2F"));
                    let told: Value = serde_json::from_str(&told).unwrap();
                    told["metadata"][word].as_str().map(str::to_owned)
                }
                _ => azure().metadata(&format!("{container}/{path}"), &word.replace('-', "")),
            };
            let words = [
                "database",
                "backup-name",
                "created-by",
                "cluster",
                "timestamp",
            ];
            // Both ask by a runtime of their own.
            let said = std::thread::scope(|scope| scope.spawn(|| words.map(said)).join().unwrap());
            let [database, backup, by, rest @ ..] = said;
            assert_eq!(database, Some(name.clone()), "{provider}");
            assert_eq!(backup.as_deref(), Some(provider));
            assert_eq!(by.as_deref(), Some("dbtether"));
            assert!(rest.iter().all(Option::is_some), "{provider}: {rest:?}");
            scene.sql(&name, "DROP TABLE t");
            let source = json!({"backupRef": {"name": provider}});
            scene.restore(provider, source, &object, "drop").await;
            scene.phase("Restore", provider, "Completed").await;
            assert_eq!(
                scene.sql(&name, "SELECT count(*) FROM t"),
                "99",
                "{provider}"
            );
        }
    });
}
