//! Stores of every kind through the scheduler's doors, on one machine: by the commands and by the core's calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, BackupResponse, BackupRestore, UpdateBackupRequest};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::process::start_with;
use crate::stores::{azure, google};
use crate::testbed::clouds::{ACCOUNT, ACCOUNT_KEY};
use crate::testbed::postgres::{Database, shared};
use crate::testbed::programs::{Ended, scheduler};
use crate::testbed::s3::S3;
use crate::testbed::{Env, block_on, env, folder};
use crate::workers::with;

fn value(database: &Database<'_>, name: &str) -> String {
    let all = database.env();
    let found = all.iter().find(|(it, _)| it == name);
    found.unwrap().1.clone()
}

/// A scheduler's folder, and a database.
struct Scene<'a> {
    data: PathBuf,
    database: Database<'a>,
    beside: Env,
}

impl Scene<'_> {
    fn new(beside: Env) -> Self {
        let database = shared().database("doors");
        database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
        Self {
            data: folder("data"),
            database,
            beside,
        }
    }

    fn place(&self) -> String {
        let of = |name| value(&self.database, name);
        format!("{}:{}/{}", of("DB_HOST"), of("DB_PORT"), of("DB_NAME"))
    }

    fn call(&self, arguments: &[&str]) -> Ended {
        let password = value(&self.database, "DB_PASSWORD");
        let own = env([
            ("DATA_DIR", self.data.to_str().unwrap()),
            ("ADAPTER_DB_PASSWORD", &password),
        ]);
        scheduler(&with(&own, &self.beside)).args(arguments).run()
    }

    fn put(&self, name: &str, store: &[&str]) -> Ended {
        let of = format!("{}@{}", value(&self.database, "DB_USER"), self.place());
        let put = ["put", name, "--database", &of, "--cron", "0 0 1 1 *"];
        self.call(&[&put[..], store].concat())
    }

    fn backups(&self, of: &[&str]) -> Vec<String> {
        let listed = self.call(&[&["backups"][..], of, &["-o", "json"]].concat());
        listed.expect_code(0);
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        let all = listed["backups"].as_array().into_iter().flatten();
        all.map(|it| it["key"].as_str().unwrap().to_owned())
            .collect()
    }

    fn rows(&self) -> String {
        self.database
            .sql("SELECT count(*) FROM t")
            .trim()
            .to_owned()
    }
}

/// From a schedule to its backup, and back: with the schedule, and without it.
fn goes_there_and_comes_back(scene: &Scene<'_>, url: &str, credentials: &[&str]) {
    let store = [&["--store", url][..], credentials].concat();
    let made = scene.put("shop", &store);
    made.expect_code(0);
    assert!(made.stdout.contains("the store can be listed"), "{made}");
    let shown = scene.call(&["show", "shop"]);
    assert!(shown.stdout.contains(url), "{shown}");
    scene.call(&["run", "shop", "--wait"]).expect_code(0);
    let doctor = scene.call(&["doctor", "shop"]);
    assert!(doctor.stdout.contains("store"), "{doctor}");
    let keys = scene.backups(&["shop"]);
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(!keys[0].contains("team-a"), "{keys:?}");

    scene.database.sql("DELETE FROM t");
    let back = scene.call(&["restore", "shop", "--in-place", "--wait"]);
    back.expect_code(0);
    assert_eq!(scene.rows(), "1000");

    scene.call(&["pin", "shop", &keys[0]]).expect_code(0);
    scene.call(&["unpin", "shop", &keys[0]]).expect_code(0);
    scene.call(&["retention", "shop"]).expect_code(0);
    scene.call(&["delete", "shop"]).expect_code(0);
    let place = scene.place();
    let asked = [&store[..], &["--source", &place]].concat();
    assert_eq!(scene.backups(&asked), keys);
    scene.database.sql("DELETE FROM t");
    let user = value(&scene.database, "DB_USER");
    let restore = [
        &["restore", "--into", &place, "--user", &user, "--wait"][..],
        &asked,
    ];
    scene.call(&restore.concat()).expect_code(0);
    assert_eq!(scene.rows(), "1000");
    let delete = ["delete-backup", &keys[0], "--last"];
    scene.call(&[&delete[..], &asked].concat()).expect_code(0);
    assert!(scene.backups(&asked).is_empty());
}

#[test]
fn a_schedule_in_google_cloud_storage_is_made_run_and_restored() {
    let (bucket, emulator) = (google().bucket(), google().endpoint());
    let scene = Scene::new(env([]));
    let listed = format!("gs://{bucket}/team-a");
    let settings = env([
        ("STORAGE_EMULATOR_HOST", &emulator),
        ("AMBIENT_BUCKETS", &listed),
    ]);
    let (_running, _) = start_with(&scene.data, &settings);
    goes_there_and_comes_back(&scene, &format!("gs://{bucket}/team-a/prod"), &[]);
    for other in [
        format!("gs://{bucket}"),
        format!("gs://{bucket}/team-ab"),
        format!("gs://{bucket}-2/team-a"),
    ] {
        let refused = scene.put("other", &["--store", &other]);
        refused.expect_code(2);
        assert!(refused.stderr.contains("AMBIENT_BUCKETS"), "{refused}");
        let refused = scene.call(&["backups", "--store", &other]);
        refused.expect_code(2);
        assert!(refused.stderr.contains("AMBIENT_BUCKETS"), "{refused}");
    }
}

#[test]
fn a_schedule_in_azure_blob_storage_is_made_run_and_restored() {
    let (container, account) = (azure().container(), azure().endpoint());
    let scene = Scene::new(env([]));
    let settings = env([("AZURE_STORAGE_ENDPOINT", &account)]);
    let (running, _) = start_with(&scene.data, &settings);
    let key = folder("key").join("key");
    std::fs::write(&key, format!("{ACCOUNT_KEY}\n")).unwrap();
    let url = format!("az://{ACCOUNT}/{container}/team-a");
    let file = ["--keys-file", key.to_str().unwrap()];
    goes_there_and_comes_back(&scene, &url, &file);

    let refused = scene.put("shop", &["--store", &url]);
    refused.expect_code(2);
    assert!(refused.stderr.contains("AMBIENT_BUCKETS"), "{refused}");
    scene
        .put("shop", &[&["--store", &url][..], &file].concat())
        .expect_code(0);
    // Its credentials stay for its place alone.
    scene.put("shop", &["--store", &url]).expect_code(0);
    let elsewhere = format!("{url}-b");
    let moved = scene.put("shop", &["--store", &elsewhere]);
    moved.expect_code(2);
    assert!(moved.stderr.contains("AMBIENT_BUCKETS"), "{moved}");
    assert!(!running.printed().contains(ACCOUNT_KEY));
}

#[test]
fn two_prefixes_of_one_bucket_never_see_each_others_backups() {
    let s3 = S3::start();
    let keys = env([
        ("ADAPTER_S3_ACCESS_KEY", s3.access_key()),
        ("ADAPTER_S3_SECRET_KEY", s3.secret_key()),
    ]);
    let scene = Scene::new(keys);
    let (_running, _) = start_with(&scene.data, &env([]));
    let at = |prefix: &str| format!("s3://{}/{prefix}@{}", s3.bucket(), s3.endpoint());
    for (name, prefix) in [
        ("one", "team-a"),
        ("two", "team-b"),
        ("three", "team-a/sub"),
    ] {
        scene.put(name, &["--store", &at(prefix)]).expect_code(0);
    }
    let listed = scene.call(&["ls"]);
    assert_eq!(listed.stdout.matches(&scene.place()).count(), 3, "{listed}");
    let shown = scene.call(&["show", "two"]);
    assert!(shown.stdout.contains(&at("team-b")), "{shown}");
    for name in ["one", "two", "two", "three"] {
        scene.call(&["run", name, "--wait"]).expect_code(0);
        // Below two prefixes, backups of one second have one key.
        std::thread::sleep(Duration::from_millis(1_001));
    }
    let (one, two, three) = (
        scene.backups(&["one"]),
        scene.backups(&["two"]),
        scene.backups(&["three"]),
    );
    assert_eq!([one.len(), two.len(), three.len()], [1, 2, 1]);
    let below = |prefix: &str| {
        let all = s3.manifests();
        all.iter().filter(|it| it.starts_with(prefix)).count()
    };
    assert_eq!(below("team-a/"), 2);
    assert_eq!(below("team-b/"), 2);
    assert_eq!(below("team-"), s3.manifests().len());
    let other = scene.call(&["delete-backup", "two", &one[0], "--last"]);
    other.expect_code(2);
    let other = scene.call(&["restore", "two", "--in-place", "--backup", &one[0]]);
    other.expect_code(2);
    assert_eq!(scene.backups(&["one"]), one);
}

#[test]
fn what_names_no_store_or_two_is_refused_in_a_sentence() {
    let scene = Scene::new(env([]));
    let (_running, _) = start_with(&scene.data, &env([]));
    for (store, why) in [
        (&["--store", "ftp://backups/x"][..], "--store"),
        (&["--store", "gs://backups/../x"], "dot"),
        (
            &["--store", "gs://backups", "--endpoint", "https://s3"],
            "store.endpoint",
        ),
        (&["--store", "az://acme"], "container"),
        (&["--store", "file:///etc"], "FILE_ROOT"),
        (
            &["--store", "gs://backups", "--keys-secret", "cloud"],
            "cloud",
        ),
    ] {
        let refused = scene.put("shop", store);
        refused.expect_code(2);
        assert!(refused.stderr.contains(why), "{store:?}: {refused}");
    }
}

async fn client(port: u16) -> BackupServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    BackupServiceClient::new(endpoint.connect().await.unwrap())
}

fn request(database: &Database<'_>, s3: Option<&S3>) -> BackupRequest {
    let of = |name| value(database, name);
    let plain = BackupRequest {
        db_uri: of("DB_HOST"),
        db_port: of("DB_PORT").parse().unwrap(),
        db_user: of("DB_USER"),
        db_pass: of("DB_PASSWORD"),
        db_name: of("DB_NAME"),
        schedule: "0 0 1 1 *".to_owned(),
        max_backup_count: 3,
        ..BackupRequest::default()
    };
    match s3 {
        None => plain,
        Some(s3) => BackupRequest {
            s3_endpoint: s3.endpoint(),
            s3_bucket_name: s3.bucket().to_owned(),
            s3_access_key: s3.access_key().to_owned(),
            s3_secret_key: s3.secret_key().to_owned(),
            ..plain
        },
    }
}

fn restore(database: &Database<'_>, s3: Option<&S3>) -> BackupRestore {
    let BackupRequest {
        db_uri,
        db_port,
        db_user,
        db_pass,
        db_name,
        s3_endpoint,
        s3_bucket_name,
        s3_access_key,
        s3_secret_key,
        ..
    } = request(database, s3);
    BackupRestore {
        db_uri,
        db_port,
        db_user,
        db_pass,
        db_name,
        s3_endpoint,
        s3_bucket_name,
        s3_access_key,
        s3_secret_key,
        backup_revision: "0".to_owned(),
        ..BackupRestore::default()
    }
}

fn update(request: BackupRequest, of: &BackupResponse) -> UpdateBackupRequest {
    UpdateBackupRequest {
        request: Some(request),
        cronjob_name: of.cronjob_name.clone(),
        cronjob_namespace: of.cronjob_namespace.clone(),
    }
}

/// The administrator sets a prefix where there are schedules already.
#[test]
fn what_the_core_has_made_stays_where_its_backups_are_when_a_prefix_is_set() {
    let s3 = S3::start();
    let scene = Scene::new(env([]));
    let data = scene.data.as_path();
    let first = {
        let (running, port) = start_with(data, &env([]));
        let made = block_on(async {
            let mut client = client(port).await;
            let made = client.backup(request(&scene.database, Some(&s3))).await;
            made.unwrap().into_inner()
        });
        scene
            .call(&["run", &made.cronjob_name, "--wait"])
            .expect_code(0);
        running.signal(Signal::SIGTERM);
        running.wait_within(Duration::from_secs(10)).expect_code(0);
        made
    };
    let others = Scene::new(env([]));
    let (_running, port) = start_with(data, &env([("S3_PREFIX", "team-a")]));
    let second = block_on(async {
        let mut client = client(port).await;
        let again = client.backup(request(&scene.database, Some(&s3))).await;
        let again = again.unwrap().into_inner();
        assert_eq!(again.cronjob_name, first.cronjob_name);
        let changed = BackupRequest {
            schedule: "0 0 2 2 *".to_owned(),
            ..request(&scene.database, Some(&s3))
        };
        client.update(update(changed, &first)).await.unwrap();
        let new = client.backup(request(&others.database, Some(&s3))).await;
        new.unwrap().into_inner()
    });
    let kept = scene.backups(&[&first.cronjob_name]);
    assert_eq!(kept.len(), 1, "it finds its older backup");
    scene
        .call(&["run", &second.cronjob_name, "--wait"])
        .expect_code(0);
    let mut manifests = s3.manifests();
    manifests.retain(|it| it.starts_with("team-a/"));
    assert_eq!(manifests.len(), 1, "{:?}", s3.manifests());
    for scene in [&scene, &others] {
        scene.database.sql("DELETE FROM t");
        let started = block_on(async {
            let mut client = client(port).await;
            let restoring = client.restore(restore(&scene.database, Some(&s3))).await;
            restoring.unwrap().into_inner()
        });
        // The run belongs to the one scheduler.
        let watched = watch(data, &started.job_name);
        watched.expect_code(0);
        assert_eq!(scene.rows(), "1000");
    }
}

fn watch(data: &Path, run: &str) -> Ended {
    let own = env([("DATA_DIR", data.to_str().unwrap())]);
    scheduler(&own).args(["watch", run]).run()
}

#[test]
fn the_cores_calls_that_name_no_store_go_to_the_administrators() {
    let s3 = S3::start();
    let scene = Scene::new(env([]));
    let url = format!("s3://{}/base", s3.bucket());
    let settings = env([
        ("STORE_URL", url.as_str()),
        ("S3_ENDPOINT", &s3.endpoint()),
        ("S3_ACCESS_KEY", s3.access_key()),
        ("S3_SECRET_KEY", s3.secret_key()),
    ]);
    let (_running, port) = start_with(&scene.data, &settings);
    let made = block_on(async {
        let mut client = client(port).await;
        let with_keys = BackupRequest {
            s3_access_key: "mine".to_owned(),
            s3_secret_key: "mine".to_owned(),
            ..request(&scene.database, None)
        };
        let refused = client.backup(with_keys).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        let made = client.backup(request(&scene.database, None)).await;
        let made = made.unwrap().into_inner();
        let again = update(request(&scene.database, None), &made);
        client.update(again).await.unwrap();
        made
    });
    let name = &made.cronjob_name;
    scene.call(&["run", name, "--wait"]).expect_code(0);
    assert!(s3.manifests()[0].starts_with("base/"), "{:?}", s3.keys());
    assert_eq!(scene.backups(&[name]).len(), 1);
    scene.database.sql("DELETE FROM t");
    let started = block_on(async {
        let mut client = client(port).await;
        let restoring = client.restore(restore(&scene.database, None)).await;
        restoring.unwrap().into_inner()
    });
    watch(&scene.data, &started.job_name).expect_code(0);
    assert_eq!(scene.rows(), "1000");
    // What is lent for that place is lent for no other one.
    let beside = format!("s3://{}/base/x@{}", s3.bucket(), s3.endpoint());
    let refused = scene.put("other", &["--store", &beside]);
    refused.expect_code(2);
    assert!(refused.stderr.contains("AMBIENT_BUCKETS"), "{refused}");
}

#[test]
fn without_a_default_store_a_call_that_names_none_is_refused_as_before() {
    let scene = Scene::new(env([]));
    let (_running, port) = start_with(&scene.data, &env([]));
    let refused = block_on(async {
        let mut client = client(port).await;
        let asked = client.backup(request(&scene.database, None)).await;
        asked.unwrap_err()
    });
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("s3_bucket_name"), "{refused}");
}
