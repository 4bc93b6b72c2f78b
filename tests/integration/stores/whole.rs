//! A whole backup and back by the real programs, on each store.

use super::{azure, google};
use crate::testbed::postgres::shared;
use crate::testbed::programs::{backuper, restorer};
use crate::testbed::{Env, block_on, env, folder};
use crate::workers::{var, with};

/// Backs a database up, loses its rows, and brings them back: some 20 MB that do not compress, so that an
/// upload has several parts. Gives the keys of the backup, below the prefix.
fn comes_back(store: &Env) -> Vec<String> {
    let database = shared().database("stores");
    database.sql(
        "CREATE TABLE rows AS SELECT n, decode(string_agg(md5(n::text || m::text), ''), 'hex') AS b \
         FROM generate_series(1, 1200) n, generate_series(1, 1100) m GROUP BY n; \
         ALTER TABLE rows ADD PRIMARY KEY (n)",
    );
    let before = database.checksums();
    let job = with(&database.env(), store);
    let backup = env([("MAX_BACKUP_COUNT", "1"), ("OBJECT_TAGS", "cost-centre=42")]);
    for _ in 0..2 {
        backuper(&with(&job, &backup)).run().expect_code(0);
    }

    let source = database.env();
    let of = |name: &str| source.iter().find(|(it, _)| it == name).unwrap().1.clone();
    let source = format!("{}:{}/{}", of("DB_HOST"), of("DB_PORT"), database.name());
    let list = env([("BACKUPER_TASK", "list"), ("BACKUP_SOURCE", &source)]);
    let listed = backuper(&with(store, &list)).run();
    listed.expect_code(0);
    assert_eq!(
        listed.stdout.matches("\"backup\"").count(),
        1,
        "{}",
        listed.stdout
    );
    assert!(!listed.stdout.contains("team-a"), "{}", listed.stdout);
    let check = env([("BACKUPER_TASK", "check"), ("BACKUP_SOURCE", &source)]);
    let checked = backuper(&with(store, &check)).run();
    checked.expect_code(0);
    assert!(
        !checked.stdout.contains("\"wrong\",\"sentence\":\"list"),
        "{}",
        checked.stdout
    );
    assert!(
        checked.stdout.contains("team-a/stores"),
        "{}",
        checked.stdout
    );

    database.sql("DROP TABLE rows");
    restorer(&job).run().expect_code(0);
    assert_eq!(database.checksums(), before);
    let listed = block_on(super::store(store, &[]).list("stores")).unwrap();
    let keys: Vec<String> = listed.into_iter().map(|it| it.key).collect();
    assert!(
        keys.iter().any(|it| it.ends_with("data-000.dump.zst")),
        "{keys:?}"
    );
    keys
}

#[test]
fn a_backup_in_google_cloud_storage_comes_back() {
    let bucket = google().bucket();
    for key in comes_back(&google().env_of(&bucket, "team-a")) {
        let told = google().told(&bucket, &format!("team-a/{key}").replace('/', "%2F"));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["metadata"]["cost-centre"], "42", "{key}: {told}");
    }
}

#[test]
fn a_backup_in_azure_blob_storage_comes_back() {
    let container = azure().container();
    for key in comes_back(&azure().env_of(&container, "team-a")) {
        let path = format!("{container}/team-a/{}", key.replace('%', "%25"));
        let said = azure().metadata(&path, "costcentre");
        assert_eq!(said.as_deref(), Some("42"), "{key}");
    }
}

#[test]
fn a_backup_below_a_prefix_of_a_directory_comes_back_from_where_it_was_copied() {
    let place = folder("directory");
    let url = format!("file://{}", place.display());
    let store = env([("STORE_URL", &url), ("S3_PREFIX", "team-a")]);
    comes_back(&store);
    assert!(place.join("team-a").is_dir());
}

#[test]
fn what_is_wrong_is_told_by_the_variables_of_that_cloud() {
    let database = shared().database("stores");
    let missing = env([
        ("STORE_URL", "gs://missing-bucket/a"),
        ("STORAGE_EMULATOR_HOST", &google().endpoint()),
    ]);
    let ended = backuper(&with(&database.env(), &missing)).run();
    ended.expect_code(2);
    assert!(
        ended.last_line().contains("STORE_URL"),
        "{}",
        ended.last_line()
    );

    let wrong = var("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMmh1bnRlcjI=");
    let job = with(&with(&database.env(), &azure().env("a")), &wrong);
    let ended = backuper(&job).run();
    ended.expect_code(2);
    let told = ended.last_line();
    assert!(told.contains("AZURE_STORAGE_ACCOUNT_KEY"), "{told}");
    assert!(!ended.printed().contains("aHVudGVyMmh1bnRlcjI="));

    let key = var(
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "{\"private_key\": \"hunter2\"}",
    );
    let job = with(&with(&database.env(), &google().env("a")), &key);
    let ended = backuper(&job).run();
    ended.expect_code(2);
    let told = ended.last_line();
    assert!(told.contains("GOOGLE_SERVICE_ACCOUNT_KEY"), "{told}");
    assert!(!ended.printed().contains("hunter2"));
}
