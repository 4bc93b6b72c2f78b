//! The administrator's second store, with the real workers.

use std::path::{Path, PathBuf};

use super::operations::{command, made, request};
use super::process::start_with;
use crate::testbed::postgres::shared;
use crate::testbed::{block_on, env, folder};

/// The folders below a store that have a manifest.
fn whole(store: &Path, database: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(store.join(database));
    let folders = entries.into_iter().flatten().flatten().map(|it| it.path());
    folders
        .filter(|it| it.join("manifest.json").is_file())
        .collect()
}

#[test]
fn every_backup_is_copied_to_the_administrators_second_store_and_counts_where_that_is_gone() {
    let database = shared().database("copied_all");
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
    let (data, store, second) = (folder("data"), folder("store"), folder("second"));
    let url = format!("file://{}", second.display());
    let settings = env([("COPY_TO", url.as_str()), ("COPY_MAX_BACKUP_COUNT", "1")]);
    let (_running, port) = start_with(&data, &settings);
    let name = block_on(made(port, request(&database, &store)));
    let run = || command(&data, &["run", &name, "--wait"]);
    for _ in 0..2 {
        let ended = run();
        ended.expect_code(0);
        assert!(ended.stdout.contains("; copied to file://"), "{ended}");
    }
    assert_eq!(whole(&store, database.name()).len(), 2);
    assert_eq!(whole(&second, database.name()).len(), 1);
    std::fs::remove_dir_all(&second).unwrap();
    let ended = run();
    ended.expect_code(0);
    for words in [
        "succeeded: backup complete and verified",
        "it is not copied to file://",
        "the next backup copies it",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {ended}");
    }
    assert_eq!(whole(&store, database.name()).len(), 3);
    assert!(!second.exists(), "nobody has made it");
    let listed = command(
        &data,
        &[
            "runs",
            "--schedule",
            &name,
            "--state",
            "succeeded",
            "-o",
            "json",
        ],
    );
    assert_eq!(
        listed.stdout.matches("it is not copied to").count(),
        1,
        "{listed}"
    );
}

#[test]
fn a_second_store_that_lacks_a_setting_is_refused_at_the_start() {
    let data = folder("data");
    let half = env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().unwrap()),
        ("COPY_TO", "s3://two"),
        ("COPY_S3_ACCESS_KEY", "ak"),
    ]);
    let ended = crate::testbed::programs::scheduler(&half).run();
    ended.expect_code(2);
    assert!(ended.last_line().contains("COPY_"), "{ended}");
}
