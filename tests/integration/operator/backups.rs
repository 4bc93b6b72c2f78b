//! BackupStorage, Backup, BackupSchedule and Restore, with the real workers: a local engine stands for Kubernetes'
//! own, as controllers speak to the service and to no engine.

mod clouds;
mod protected;
mod restores;
mod verify;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use scheduler::domain::limits::Limits;
use scheduler::engine::local::{Clock, Local, Settings};
use scheduler::engine::{Engine, conformance};
use scheduler::metrics::Metrics;
use scheduler::observer::Observer;
use scheduler::service::checks::Disk;
use scheduler::service::ledger::Ledger;
use scheduler::service::{Checks, Service};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Stage, named, served};
use crate::cluster::{Namespace, eventually};
use crate::stores::{azure, google};
use crate::testbed::clouds::ACCOUNT_KEY;
use crate::testbed::postgres::{Cluster, shared};
use crate::testbed::s3::S3;
use crate::testbed::{folder, programs, runtime, unique};
use crate::versions::bin_of;

/// What the operator that all tests share tells of.
static LEDGER: OnceLock<Ledger> = OnceLock::new();

/// The use cases over an engine that runs workers here.
pub(super) fn service() -> Service {
    let mut workers = conformance::workers();
    // For servers newer than the clients that are installed.
    let newer = [17, 18].map(|it| bin_of(it).display().to_string());
    workers.settings.programs = newer.join(":").parse().unwrap();
    workers.settings.google.emulator = google().endpoint().parse().ok();
    let azure = azure();
    workers.settings.azure.account_endpoint = azure.endpoint().parse().ok();
    workers.settings.azure.account_key = Some(ACCOUNT_KEY.into());
    let listed = ["gs://*", "az://*"].map(|it| it.parse().unwrap());
    workers.places.ambient_buckets = listed.into();
    let engine = Local::open(Settings {
        data_dir: folder("data"),
        file_root: None,
        max_workers: 16,
        backuper: programs::folder().join("backuper"),
        restorer: programs::folder().join("restorer"),
        workers: workers.clone(),
        limits: Limits::default(),
        backoff: [Duration::ZERO; 2],
        clock: Clock::System,
    });
    let engine: Arc<dyn Engine> = Arc::new(engine.unwrap());
    let ledger = Ledger::awaiting();
    drop(LEDGER.set(ledger.clone()));
    let checks = Checks::On(Disk::Shared);
    let service = Service::new(engine.clone(), workers, ledger.clone(), checks);
    let (leading, leads) = watch::channel(false);
    let observer = Observer {
        engine: engine.clone(),
        ledger,
        metrics: Metrics::new().unwrap(),
        leads,
    };
    runtime().spawn(observer.run(CancellationToken::new()));
    runtime().spawn(async move { engine.work(CancellationToken::new(), leading).await });
    service
}

/// A DBCluster, a bucket, and a BackupStorage for it.
struct Scene {
    stage: Stage,
    s3: S3,
    storage: String,
}

impl Scene {
    async fn new(namespace: Namespace) -> Self {
        Self::of(Stage::new(namespace).await).await
    }

    async fn of(stage: Stage) -> Self {
        let scene = Self {
            stage,
            // It waits for its first answer, which no test's own thread may.
            s3: std::thread::spawn(S3::start).join().unwrap(),
            storage: unique("storage-"),
        };
        let keys = (scene.s3.access_key(), scene.s3.secret_key());
        scene.keys("bucket", keys).await;
        scene.store(json!({})).await;
        scene
    }

    async fn keys(&self, name: &str, (access, secret): (&str, &str)) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret},
        });
        let secret: Secret = serde_json::from_value(secret).unwrap();
        let params = PatchParams::apply("it").force();
        let api: Api<Secret> = self.stage.namespace.api();
        api.patch(name, &params, &Patch::Apply(&secret))
            .await
            .unwrap();
    }

    /// Makes the BackupStorage, and waits until it is ready.
    async fn store(&self, beside: Value) {
        let mut spec = json!({
            "s3": {
                "bucket": self.s3.bucket(), "region": "us-east-1", "endpoint": self.s3.endpoint(),
            },
            "credentialsSecretRef": {"name": "bucket", "namespace": self.stage.namespace.name},
        });
        let fields = spec.as_object_mut().unwrap();
        fields.extend(beside.as_object().unwrap().clone());
        self.make("BackupStorage", &self.storage, spec).await;
        let ready = self.phase("BackupStorage", &self.storage, "Ready").await;
        assert_eq!(ready["message"], "storage reachable");
        assert_eq!(ready["provider"], "s3");
    }

    fn api(&self, kind: &str) -> (Api<DynamicObject>, ApiResource) {
        let gvk = GroupVersionKind::gvk("dbtether.io", "v1alpha1", kind);
        let resource = ApiResource::from_gvk(&gvk);
        let client = self.stage.namespace.cluster.client();
        let api = match kind {
            "BackupStorage" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &self.stage.namespace.name, &resource),
        };
        (api, resource)
    }

    async fn make(&self, kind: &str, name: &str, spec: Value) {
        let (api, resource) = self.api(kind);
        let mut object = DynamicObject::new(name, &resource);
        object.data = json!({"spec": spec});
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn change(&self, kind: &str, name: &str, patch: Value) {
        let (api, _) = self.api(kind);
        let params = PatchParams::default();
        api.patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    async fn set_status(&self, kind: &str, name: &str, status: Value) {
        let (api, _) = self.api(kind);
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn status(&self, kind: &str, name: &str) -> Value {
        let (api, _) = self.api(kind);
        api.get(name).await.unwrap().data["status"].clone()
    }

    /// The status of an object as soon as it is in this phase, of its spec as it is.
    async fn phase(&self, kind: &str, name: &str, phase: &str) -> Value {
        let (api, _) = self.api(kind);
        let mut last = Value::Null;
        let reached = async {
            loop {
                if let Some(found) = api.get_opt(name).await.unwrap() {
                    last = found.data["status"].clone();
                    let is_of_spec = last["observedGeneration"] == json!(found.metadata.generation);
                    if last["phase"] == phase && is_of_spec {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(90), reached).await;
        assert!(reached.is_ok(), "{kind} {name} is not {phase}: {last}");
        last
    }

    async fn delete(&self, kind: &str, name: &str) {
        let (api, _) = self.api(kind);
        api.delete(name, &DeleteParams::default()).await.unwrap();
        eventually(&format!("{kind} {name} is gone"), async || {
            api.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    fn backup_of(&self, database: &str, beside: &Value) -> Value {
        let mut spec = json!({
            "databaseRef": {"name": database}, "storageRef": {"name": self.storage},
        });
        let fields = spec.as_object_mut().unwrap();
        fields.extend(beside.as_object().unwrap().clone());
        spec
    }

    async fn back_up(&self, name: &str, database: &str, beside: Value) -> Value {
        self.make("Backup", name, self.backup_of(database, &beside))
            .await;
        self.phase("Backup", name, "Completed").await
    }

    /// A Database object that is ready: its name, and the database's.
    async fn database(&self, prefix: &str) -> (String, String) {
        let (object, name) = named(prefix);
        self.stage.database(&object, json!({})).await;
        self.stage.phase(&object, "Ready").await;
        (object, name)
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        self.stage.server.sql(database, sql)
    }

    async fn restore(&self, name: &str, source: Value, into: &str, conflict: &str) {
        let spec = json!({
            "source": source, "target": {"databaseRef": {"name": into}}, "onConflict": conflict,
        });
        self.make("Restore", name, spec).await;
    }
}

fn ready(status: &Value) -> (String, String) {
    let all = status["conditions"].as_array().unwrap();
    let it = all.iter().find(|it| it["type"] == "Ready").unwrap();
    let text = |field: &str| it[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

/// operator.md, B3, B4, B6, B10, B12, B16; the seed's quick start.
#[test]
fn a_backup_is_made_told_repeated_and_goes_as_it_says() {
    served().within(async |namespace| {
        let scene = Scene::new(namespace).await;
        let (object, name) = scene.database("orders").await;
        scene.sql(&name, "CREATE TABLE t AS SELECT generate_series(1, 1000) n");
        let done = scene.back_up("first", &object, json!({})).await;
        assert_eq!(done["message"], "backup completed successfully");
        let path = done["path"].as_str().unwrap().to_owned();
        let start = format!("{}/{name}/", scene.stage.cluster);
        assert!(
            path.starts_with(&start) && path.ends_with(".sql.gz"),
            "{path}"
        );
        assert!(scene.s3.keys().contains(&path));
        assert_eq!(&scene.s3.read(&path)[..2], [0x1f, 0x8b]);
        assert!(done["size"].as_str().unwrap().ends_with('B'), "{done}");
        assert!(done["duration"].as_str().unwrap().ends_with('s'), "{done}");
        assert_eq!(done["runId"].as_str().unwrap().len(), 8);
        assert_eq!(done["specHash"].as_str().unwrap().len(), 16);
        assert_eq!(ready(&done), ("True".to_owned(), "Completed".to_owned()));
        let (api, _) = scene.api("Backup");
        let finalizers = api.get("first").await.unwrap().metadata.finalizers.unwrap();
        assert_eq!(finalizers, ["dbtether.io/backup-job"]);
        let events = scene.stage.events("first").await;
        for reason in ["BackupStarted: ", "BackupCompleted: "] {
            assert!(events.iter().any(|it| it.starts_with(reason)), "{events:?}");
        }
        // Another trigger is another run; what is not of the spec is none.
        let touch = json!({"metadata": {"annotations": {"again": "1"}}});
        scene.change("Backup", "first", touch).await;
        let policy = json!({"spec": {"deletionPolicy": "Delete"}});
        scene.change("Backup", "first", policy).await;
        let same = scene.phase("Backup", "first", "Completed").await;
        assert_eq!(same["jobName"], done["jobName"]);
        scene
            .change("Backup", "first", json!({"spec": {"trigger": "2"}}))
            .await;
        let again = scene.phase("Backup", "first", "Completed").await;
        assert_ne!(again["jobName"], done["jobName"]);
        assert_ne!(again["path"], done["path"]);
    });
}

/// operator.md, B12 and T10; operator-rules.md, decided 11 and 13.
#[test]
fn what_is_stored_goes_with_its_object_where_that_says_so_and_it_says_what_holds_it() {
    served().within(async |namespace| {
        let scene = Scene::new(namespace).await;
        let (object, name) = scene.database("goes").await;
        scene.sql(&name, "CREATE TABLE t AS SELECT 1 a");
        let (api, _) = scene.api("Backup");
        let goes = json!({"deletionPolicy": "Delete"});
        let first = scene.back_up("first", &object, json!({})).await;
        let second = scene.back_up("second", &object, goes.clone()).await;
        let path = first["path"].as_str().unwrap();
        // As archives.
        let archive = json!({"format": "archive"});
        let folder = scene.back_up("folder", &object, archive).await;
        let folder = folder["path"].as_str().unwrap().to_owned();
        let manifest = format!("{folder}/manifest.json");
        assert!(folder.starts_with(&format!("{name}/")), "{folder}");
        assert!(scene.s3.keys().contains(&manifest), "{:?}", scene.s3.keys());
        // What is stored stays, or goes where the object says so; nothing else does.
        scene.delete("Backup", "folder").await;
        assert!(scene.s3.keys().contains(&manifest));
        scene.delete("Backup", "first").await;
        // What an earlier run has stored goes too.
        let again = json!({"spec": {"trigger": "again"}});
        scene.change("Backup", "second", again).await;
        let newer = eventually("another one is made", async || {
            let status = scene.status("Backup", "second").await;
            let is = status["phase"] == "Completed" && status["path"] != second["path"];
            is.then_some(status)
        })
        .await;
        assert_eq!(newer["former"][0]["path"], second["path"]);
        // One of dbtether's has kept no more than the key.
        scene
            .set_status("Backup", "second", json!({"stored": null}))
            .await;
        scene.delete("Backup", "second").await;
        let keys = scene.s3.keys();
        assert!(keys.iter().any(|it| it == path), "{keys:?}");
        for one in [&second, &newer] {
            let path = one["path"].as_str().unwrap();
            assert!(!keys.iter().any(|it| it.starts_with(path)), "{keys:?}");
        }
        // What somebody has removed by hand holds nobody up; what is pinned does, and says so.
        let lost = scene.back_up("lost", &object, goes.clone()).await;
        let lost = lost["path"].as_str().unwrap();
        for key in scene.s3.keys() {
            if key.starts_with(lost) {
                scene.s3.remove(&key);
            }
        }
        scene.delete("Backup", "lost").await;
        let pinned = scene.back_up("pinned", &object, goes).await;
        let path = pinned["path"].as_str().unwrap();
        scene.s3.put(&format!("{path}.pinned"), b"");
        api.delete("pinned", &DeleteParams::default())
            .await
            .unwrap();
        eventually("it says what holds it", async || {
            let status = scene.status("Backup", "pinned").await;
            let said = status["message"].as_str()?.to_owned();
            (said.contains("pinned") && said.contains("dbtether.io/force-release")).then_some(())
        })
        .await;
        let release = json!({"metadata": {"annotations": {"dbtether.io/force-release": "true"}}});
        scene.change("Backup", "pinned", release).await;
        eventually("it is let go", async || {
            api.get_opt("pinned").await.unwrap().is_none().then_some(())
        })
        .await;
        assert!(scene.s3.keys().iter().any(|it| it == path));
    });
}

/// operator.md, R1 to R5, W8, W12.
#[test]
fn a_backup_comes_back_by_its_name_its_database_or_its_path() {
    served().within(async |namespace| {
        let scene = Scene::new(namespace).await;
        let (object, name) = scene.database("source").await;
        scene.sql(&name, "CREATE TABLE t AS SELECT generate_series(1, 1000) n");
        // It waits for a backup that is there later, and for its database.
        let (target, into) = named("target");
        let by_ref = json!({"backupRef": {"name": "b"}});
        scene.restore("r", by_ref.clone(), &target, "fail").await;
        let waits = scene.phase("Restore", "r", "Pending").await;
        assert_eq!(waits["message"], "waiting for source: backup b not found");
        let done = scene.back_up("b", &object, json!({})).await;
        eventually("it waits for its database", async || {
            let status = scene.status("Restore", "r").await;
            let expected = format!("target database not found: {target}");
            (status["message"] == expected.as_str()).then_some(())
        })
        .await;
        scene.stage.database(&target, json!({})).await;
        let restored = scene.phase("Restore", "r", "Completed").await;
        assert_eq!(restored["message"], "restore completed successfully");
        assert_eq!(restored["sourcePath"], done["path"]);
        let count = "SELECT count(*) FROM t";
        assert_eq!(scene.sql(&into, count), "1000");
        // Once: neither a look nor another annotation restores it again.
        scene.sql(&into, "TRUNCATE t");
        let touch = json!({"metadata": {"annotations": {"again": "1"}}});
        scene.change("Restore", "r", touch).await;
        // Over what is there nothing is restored, unless the object says so; a changed one is run again.
        scene
            .restore(
                "latest",
                json!({"latestFrom": {"databaseRef": {"name": object}}}),
                &target,
                "fail",
            )
            .await;
        let failed = scene.phase("Restore", "latest", "Failed").await;
        assert_eq!(scene.sql(&into, count), "0", "{failed}");
        scene
            .change("Restore", "latest", json!({"spec": {"onConflict": "drop"}}))
            .await;
        scene.phase("Restore", "latest", "Completed").await;
        assert_eq!(scene.sql(&into, count), "1000");
        // By a path that a Backup of this namespace has written, and by no other.
        scene.sql(&into, "TRUNCATE t");
        let at = |path: &str| json!({"path": path, "storageRef": {"name": scene.storage}});
        let path = done["path"].as_str().unwrap();
        scene.restore("path", at(path), &target, "drop").await;
        scene.phase("Restore", "path", "Completed").await;
        assert_eq!(scene.sql(&into, count), "1000");
        scene.s3.put("others/secret.sql.gz", &scene.s3.read(path));
        scene
            .restore("theirs", at("others/secret.sql.gz"), &target, "drop")
            .await;
        let refused = scene.phase("Restore", "theirs", "Failed").await;
        assert_eq!(ready(&refused).1, "NotAllowed");
        let nothing = json!({});
        scene.restore("nothing", nothing, &target, "drop").await;
        let refused = scene.phase("Restore", "nothing", "Failed").await;
        let expected =
            "failed to resolve source: either backupRef, latestFrom, or path must be specified";
        assert_eq!(refused["message"], expected);
        scene.delete("Restore", "nothing").await;
    });
}

/// operator.md, B11, B14, S3, W17, W20 and W21.
#[test]
fn a_backup_waits_for_what_it_needs_and_says_why_it_fails() {
    served().within(async |namespace| {
        let scene = Scene::new(namespace).await;
        let (object, name) = named("late");
        let spec = scene.backup_of(&object, &json!({}));
        scene.make("Backup", "waits", spec).await;
        let waits = scene.phase("Backup", "waits", "Pending").await;
        assert_eq!(waits["message"], format!("database {object} not found"));
        // A storage that does not let in keeps backups waiting.
        scene.keys("bucket", ("wrong", "keys")).await;
        let touch = json!({"metadata": {"annotations": {"again": "1"}}});
        scene
            .change("BackupStorage", &scene.storage, touch.clone())
            .await;
        let failed = scene.phase("BackupStorage", &scene.storage, "Failed").await;
        assert_eq!(
            ready(&failed),
            ("False".to_owned(), "Unreachable".to_owned())
        );
        scene.stage.database(&object, json!({})).await;
        let expected = format!(
            "backup storage {} is not ready (phase: Failed)",
            scene.storage
        );
        eventually("it waits for the storage", async || {
            let status = scene.status("Backup", "waits").await;
            (status["message"] == expected.as_str()).then_some(())
        })
        .await;
        scene
            .keys("bucket", (scene.s3.access_key(), scene.s3.secret_key()))
            .await;
        let touch = json!({"metadata": {"annotations": {"again": "2"}}});
        scene.change("BackupStorage", &scene.storage, touch).await;
        scene.phase("Backup", "waits", "Completed").await;
        // A database of another namespace is refused, and not taken for one of this.
        let mut other = scene.backup_of(&object, &json!({}));
        other["databaseRef"]["namespace"] = json!("elsewhere");
        scene.make("Backup", "other", other).await;
        let refused = scene.phase("Backup", "other", "Failed").await;
        assert!(
            refused["message"].as_str().unwrap().contains("elsewhere"),
            "{refused}"
        );
        // What cannot be a key; what has ended badly.
        let wrong = json!({"filenameTemplate": "{{ .Nothing }}.sql.gz"});
        let spec = scene.backup_of(&object, &wrong);
        scene.make("Backup", "wrong", spec).await;
        let failed = scene.phase("Backup", "wrong", "Failed").await;
        assert_eq!(failed["failureReason"], "InvalidJobSpec");
        assert!(
            failed["message"].as_str().unwrap().contains(".Nothing"),
            "{failed}"
        );
        let role = scene.stage.server.role("lesser", "CREATEDB CREATEROLE");
        let lesser = Stage::on(scene.stage.namespace.clone(), shared(), (&role, "p")).await;
        let (hidden, _) = named("hidden");
        lesser.database(&hidden, json!({})).await;
        let found = lesser.phase(&hidden, "Ready").await;
        let its = found.status.unwrap().database_name.unwrap();
        scene.sql(&its, "CREATE TABLE theirs AS SELECT 1 a");
        let spec = scene.backup_of(&hidden, &json!({}));
        scene.make("Backup", "fails", spec).await;
        let failed = scene.phase("Backup", "fails", "Failed").await;
        let said = failed["message"].as_str().unwrap();
        assert!(said.starts_with("backup job failed: "), "{said}");
        assert!(failed["completedAt"].is_string(), "{failed}");
        let events = scene.stage.events("fails").await;
        assert!(
            events.iter().any(|it| it.starts_with("BackupFailed: ")),
            "{events:?}"
        );
        assert!(scene.s3.keys().iter().any(|it| it.contains(&name)));
    });
}

/// operator.md, W8; operator-rules.md, decided 6.
#[test]
fn a_storage_is_for_the_namespaces_that_it_names_and_keeps_all_below_its_prefix() {
    served().within(async |namespace| {
        let scene = Scene::new(namespace).await;
        let storage = async |spec: Value| {
            let patch = json!({"spec": spec});
            scene.change("BackupStorage", &scene.storage, patch).await;
            scene.phase("BackupStorage", &scene.storage, "Ready").await;
        };
        storage(json!({"prefix": "team-a", "allowedNamespaces": {"names": ["others"]}})).await;
        let (object, name) = scene.database("kept").await;
        scene.sql(&name, "CREATE TABLE t AS SELECT generate_series(1, 10) n");
        let spec = scene.backup_of(&object, &json!({}));
        scene.make("Backup", "b", spec).await;
        let waits = scene.phase("Backup", "b", "Pending").await;
        assert_eq!(ready(&waits).1, "NotAllowed");
        assert!(scene.s3.keys().is_empty());
        let own = json!({"allowedNamespaces": {"names": [scene.stage.namespace.name]}});
        storage(own).await;
        let done = scene.phase("Backup", "b", "Completed").await;
        let path = done["path"].as_str().unwrap();
        let start = format!("team-a/{}/{name}/", scene.stage.cluster);
        assert!(path.starts_with(&start), "{path}");
        assert!(scene.s3.keys().iter().any(|it| it == path));
        // What is put elsewhere from now on says nothing of where it is.
        storage(json!({"prefix": "team-b"})).await;
        let (target, into) = scene.database("copy").await;
        let by_ref = json!({"backupRef": {"name": "b"}});
        scene.restore("r", by_ref, &target, "fail").await;
        scene.phase("Restore", "r", "Completed").await;
        assert_eq!(scene.sql(&into, "SELECT count(*) FROM t"), "10");
        // Who may not use it deletes nothing there.
        storage(json!({"allowedNamespaces": {"names": ["others"]}})).await;
        let goes = json!({"spec": {"deletionPolicy": "Delete"}});
        scene.change("Backup", "b", goes).await;
        let (api, _) = scene.api("Backup");
        api.delete("b", &DeleteParams::default()).await.unwrap();
        eventually("it says what holds it", async || {
            let status = scene.status("Backup", "b").await;
            let said = status["message"].as_str()?.to_owned();
            said.contains("is not for objects of namespace")
                .then_some(())
        })
        .await;
        let release = json!({"metadata": {"annotations": {"dbtether.io/force-release": "true"}}});
        scene.change("Backup", "b", release).await;
        eventually("it is let go", async || {
            api.get_opt("b").await.unwrap().is_none().then_some(())
        })
        .await;
        assert!(scene.s3.keys().iter().any(|it| it == path));
    });
}

/// operator.md, B7, B13, B17 and B19: what a crash of the operator leaves is found again.
#[test]
fn backups_take_turns_on_a_server_and_a_run_that_is_under_way_is_found_again() {
    served().within(async |namespace| {
        let server: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
        let stage = Stage::on(namespace, server, ("postgres", server.password())).await;
        let scene = Scene::of(stage).await;
        let (object, name) = scene.database("busy").await;
        scene.sql(&name, "CREATE TABLE t AS SELECT 1 a");
        // pg_dump waits for a lock as long as somebody holds another.
        let holding = name.clone();
        let holder = std::thread::spawn(move || {
            let program = server.tool("psql", &holding);
            let sql = "BEGIN; LOCK t; SELECT pg_sleep(60)";
            program.args(["-c", sql]).run();
        });
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()";
        eventually("the lock is held", async || {
            (scene.sql("postgres", waits) == "t").then_some(())
        })
        .await;
        for backup in ["a", "b", "c"] {
            let spec = scene.backup_of(&object, &json!({"filenameTemplate": format!("{backup}-{{{{ .Timestamp }}}}.sql.gz")}));
            scene.make("Backup", backup, spec).await;
            scene.phase("Backup", backup, "Running").await;
        }
        let spec = scene.backup_of(&object, &json!({"filenameTemplate": "d-{{ .Timestamp }}.sql.gz"}));
        scene.make("Backup", "d", spec).await;
        let waiting = scene.phase("Backup", "d", "Pending").await;
        let expected = "waiting for other backups to complete (active: 3/3)";
        assert_eq!(waiting["message"], expected);
        // Its status is lost while it runs: the run is found, and is no second one.
        let before = scene.status("Backup", "a").await;
        let (api, _) = scene.api("Backup");
        let emptied: serde_json::Map<String, Value> = before
            .as_object()
            .unwrap()
            .keys()
            .map(|key| (key.clone(), Value::Null))
            .collect();
        scene.set_status("Backup", "a", emptied.into()).await;
        let touch = json!({"metadata": {"annotations": {"again": "1"}}});
        scene.change("Backup", "a", touch).await;
        let after = scene.phase("Backup", "a", "Running").await;
        assert_eq!(after["message"], "backup job running");
        assert_eq!(after["jobName"], before["jobName"]);
        assert_eq!(after["specHash"], before["specHash"]);
        // Another trigger waits for its end.
        scene.change("Backup", "b", json!({"spec": {"trigger": "2"}})).await;
        let running = scene.status("Backup", "b").await;
        assert_eq!(running["phase"], "Running");
        // One that is deleted is ended, and makes room.
        scene.delete("Backup", "c").await;
        scene.phase("Backup", "d", "Running").await;
        scene.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()");
        holder.join().unwrap();
        let done = scene.phase("Backup", "a", "Completed").await;
        assert_eq!(done["jobName"], before["jobName"]);
        scene.phase("Backup", "d", "Completed").await;
        let twice = scene.phase("Backup", "b", "Completed").await;
        assert_ne!(twice["jobName"], running["jobName"]);
        let dumps = |prefix: &str| {
            let start = format!("{}/{name}/{prefix}-", scene.stage.cluster);
            let keys = scene.s3.keys().into_iter();
            keys.filter(|it| it.starts_with(&start) && it.ends_with(".sql.gz")).count()
        };
        assert_eq!(["a", "b", "c", "d"].map(dumps), [1, 2, 0, 1]);
        assert!(api.get("c").await.is_err());
    });
}

/// A BackupSchedule `s` of a Database, far from its next time.
struct Nightly {
    scene: Scene,
    object: String,
    backups: Api<DynamicObject>,
}

impl Nightly {
    async fn new(namespace: Namespace) -> Self {
        Self::of(Scene::new(namespace).await).await
    }

    async fn of(scene: Scene) -> Self {
        let (object, name) = scene.database("nightly").await;
        scene.sql(&name, "CREATE TABLE t AS SELECT 1 a");
        let beside = json!({"schedule": "0 0 1 1 *", "retention": {"keepLast": 1}});
        let spec = scene.backup_of(&object, &beside);
        scene.make("BackupSchedule", "s", spec).await;
        let active = scene.phase("BackupSchedule", "s", "Active").await;
        let next = active["nextScheduledTime"].as_str().unwrap();
        assert!(next.ends_with("-01-01T00:00:00Z"), "{next}");
        assert!(active["lastBackupTime"].is_null());
        let (backups, _) = scene.api("Backup");
        Self {
            scene,
            object,
            backups,
        }
    }

    /// As if its last backup were years old.
    async fn is_late(&self) {
        let status = json!({"lastBackupTime": "2024-06-01T00:00:00Z"});
        self.scene.set_status("BackupSchedule", "s", status).await;
    }

    async fn change(&self, spec: Value) {
        let patch = json!({"spec": spec});
        self.scene.change("BackupSchedule", "s", patch).await;
    }

    async fn look(&self) {
        let touch = json!({"metadata": {"annotations": {"again": unique("")}}});
        self.scene.change("BackupSchedule", "s", touch).await;
    }

    /// Touches it, so that it is looked at; whether it is gone.
    async fn look_if_there(&self) -> bool {
        let (schedules, _) = self.scene.api("BackupSchedule");
        if schedules.get_opt("s").await.unwrap().is_none() {
            return true;
        }
        let touch = json!({"metadata": {"annotations": {"again": unique("")}}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(touch));
        drop(schedules.patch("s", &params, &patch).await);
        false
    }

    async fn count(&self) -> usize {
        let all = self.backups.list(&ListParams::default()).await.unwrap();
        all.items.len()
    }

    /// The Backup that was due, and its status once it is complete.
    async fn first(&self) -> (DynamicObject, Value) {
        let year = &Timestamp::now().to_string()[..4];
        let backup = format!("s-{year}0101-0000");
        // The operator may be writing the status that it had.
        eventually("the Backup that was due", async || {
            self.is_late().await;
            self.look().await;
            self.backups.get_opt(&backup).await.unwrap()
        })
        .await;
        let done = self.scene.phase("Backup", &backup, "Completed").await;
        (self.backups.get(&backup).await.unwrap(), done)
    }

    /// Waits until retention has deleted a Backup.
    async fn goes(&self, backup: &str) {
        eventually("the older one goes", async || {
            self.look().await;
            // Another test's restore may have kept it: it tries again when it is looked at, and in a minute.
            let touch = json!({"metadata": {"annotations": {"again": unique("")}}});
            let (params, patch) = (PatchParams::default(), Patch::Merge(touch));
            drop(self.backups.patch(backup, &params, &patch).await);
            let found = self.backups.get_opt(backup).await.unwrap();
            found.is_none().then_some(())
        })
        .await;
    }

    /// Makes another Backup of the schedule's.
    async fn make_newer(&self, of: &DynamicObject) -> Value {
        let (_, resource) = self.scene.api("Backup");
        let spec = self.scene.backup_of(&self.object, &json!({}));
        let mut newer = DynamicObject::new("newer", &resource).data(json!({"spec": spec}));
        newer.metadata.owner_references = of.metadata.owner_references.clone();
        // Kubernetes' times have seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        self.backups
            .create(&PostParams::default(), &newer)
            .await
            .unwrap();
        self.scene.phase("Backup", "newer", "Completed").await
    }

    fn has(&self, backup: &Value) -> bool {
        let path = backup["path"].as_str().unwrap();
        self.scene.s3.keys().iter().any(|it| it == path)
    }
}

/// An object of each kind about backups, from its beginning to its end.
pub(super) async fn each_kind(stage: Stage) {
    let nightly = Nightly::of(Scene::of(stage).await).await;
    let (made, _) = nightly.first().await;
    nightly.make_newer(&made).await;
    nightly.goes(&made.name_any()).await;
    let scene = &nightly.scene;
    let (empty, _) = scene.database("rights").await;
    let source = json!({"backupRef": {"name": "newer"}});
    scene.restore("r", source, &empty, "fail").await;
    scene.phase("Restore", "r", "Completed").await;
    for (kind, name) in [("Restore", "r"), ("BackupSchedule", "s")] {
        scene.delete(kind, name).await;
    }
}

/// A Backup of a Database, and a Restore of it into itself.
pub(super) async fn goes_and_comes_back(stage: Stage, database: &str) {
    let scene = Scene::of(stage).await;
    scene.back_up("whole", database, json!({})).await;
    let source = json!({"backupRef": {"name": "whole"}});
    scene.restore("back", source, database, "drop").await;
    scene.phase("Restore", "back", "Completed").await;
}

/// operator.md, K3, K6 and K9; W22 and W32.
#[test]
fn a_schedule_makes_one_backup_at_its_time_and_keeps_as_many_as_it_says() {
    served().within(async |namespace| {
        let nightly = Nightly::new(namespace).await;
        let scene = &nightly.scene;
        let dated = "{{ .ClusterName }}/{{ .Year }}/{{ .DatabaseName }}/{{ .Day }}";
        let (storage, spec) = (&scene.storage, json!({"spec": {"pathTemplate": dated}}));
        scene.change("BackupStorage", storage, spec).await;
        let (storages, _) = scene.api("BackupStorage");
        eventually("the storage's change is seen", async || {
            let object = storages.get(storage).await.unwrap();
            let seen = object.data["status"]["observedGeneration"].as_i64();
            (seen == object.metadata.generation).then_some(())
        })
        .await;
        let (made, done) = nightly.first().await;
        let year = format!("/{}/", &Timestamp::now().to_string()[..4]);
        assert!(done["path"].as_str().unwrap().contains(&year), "{done}");
        let backup = made.name_any();
        assert_eq!(made.labels()["dbtether.io/schedule"], "s");
        let own = &scene.stage.namespace.name;
        assert_eq!(&made.labels()["dbtether.io/schedule-namespace"], own);
        assert_eq!(made.owner_references()[0].kind, "BackupSchedule");
        assert_eq!(nightly.count().await, 1);
        // A newer one that is complete: the older one goes, with what it has stored and nothing else.
        let kept = nightly.make_newer(&made).await;
        nightly.goes(&backup).await;
        assert!(nightly.has(&kept) && !nightly.has(&done));
        let (schedules, _) = scene.api("BackupSchedule");
        eventually("the schedule tells what it has", async || {
            let status = &schedules.get("s").await.unwrap().data["status"];
            let has = (&status["lastSuccessfulBackup"], &status["managedBackups"]);
            (has == (&json!("newer"), &json!(1))).then_some(())
        })
        .await;
        // Its Backups go with it, and what they have stored stays.
        scene.delete("BackupSchedule", "s").await;
        eventually("its Backups are gone", async || {
            (nightly.count().await == 0).then_some(())
        })
        .await;
        assert!(nightly.has(&kept));
    });
}

/// operator.md, K5 and W23; operator-rules.md, decided 11.
#[test]
fn what_was_due_while_a_schedule_was_suspended_is_not_made() {
    served().within(async |namespace| {
        let nightly = Nightly::new(namespace).await;
        let scene = &nightly.scene;
        nightly.change(json!({"suspend": true})).await;
        let resting = scene.phase("BackupSchedule", "s", "Suspended").await;
        assert_eq!(resting["message"], "Schedule is suspended");
        assert!(resting["nextScheduledTime"].is_null());
        nightly.is_late().await;
        nightly.change(json!({"suspend": false})).await;
        scene.phase("BackupSchedule", "s", "Active").await;
        assert_eq!(nightly.count().await, 0);
        // Times that never come.
        nightly.change(json!({"schedule": "0 0 31 2 *"})).await;
        let failed = scene.phase("BackupSchedule", "s", "Failed").await;
        let said = failed["message"].as_str().unwrap();
        assert!(said.starts_with("Invalid cron schedule: "), "{said}");
        assert_eq!(nightly.count().await, 0);
    });
}
