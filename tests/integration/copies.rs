//! `COPY_TO`: a complete backup in a second store, whatever happens to either of them.

mod older;
mod others;
mod places;

use std::time::Duration;

use nix::sys::signal::Signal;

use super::testbed::core::{Core, Mood};
use super::testbed::programs::{backuper, restorer};
use super::testbed::proxy::Proxy;
use super::testbed::s3::S3;
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::{Env, env, wait_for};
use super::workers::{Stage, var, with};

/// The second store at this address, below a prefix.
fn copy_to(second: &S3, endpoint: &str) -> Env {
    env([
        ("COPY_TO", &format!("s3://{}/copies/of", second.bucket())),
        ("COPY_S3_ENDPOINT", endpoint),
        ("COPY_S3_ACCESS_KEY", second.access_key()),
        ("COPY_S3_SECRET_KEY", second.secret_key()),
    ])
}

/// The second store as the only one.
fn alone(stage: &Stage, second: &S3) -> Env {
    let store = with(&second.env(), &var("S3_PREFIX", "copies/of"));
    with(&stage.database.env(), &store)
}

/// The copies have the same keys below the prefix, and the same bytes.
#[track_caller]
fn is_copied(stage: &Stage, second: &S3, folder: &str) {
    let prefix = format!("{folder}/");
    let here: Vec<String> = stage
        .s3
        .keys()
        .into_iter()
        .filter(|it| it.starts_with(&prefix))
        .collect();
    assert!(!here.is_empty());
    for key in &here {
        assert_eq!(
            stage.s3.read(key),
            second.read(&format!("copies/of/{key}")),
            "{key}"
        );
    }
    let there = second
        .keys()
        .into_iter()
        .filter(|it| it.starts_with(&format!("copies/of/{prefix}")));
    assert_eq!(there.count(), here.len());
}

#[test]
fn a_backup_is_copied_and_restores_from_the_copy_alone() {
    let (stage, second) = (Stage::new("copied"), S3::start());
    stage.fill("t", 12);
    let before = stage.database.checksums();
    let copy = copy_to(&second, &second.endpoint());
    let folder = stage.back_up(&with(&copy, &var("BACKUP_SCHEDULE", "nightly")));
    is_copied(&stage, &second, &folder);
    assert_eq!(second.uploads_under_way(), 0);
    stage.database.sql("DROP TABLE t");
    restorer(&alone(&stage, &second)).succeed();
    assert_eq!(stage.database.checksums(), before);
}

#[test]
fn a_copy_that_fails_is_told_apart_from_the_backup_and_made_good_by_the_next_run() {
    let (stage, second, core) = (
        Stage::new("uncopied"),
        S3::start(),
        Core::start(Mood::Recording),
    );
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let faults = Faults::start(second.port());
    faults.on("PUT", "schema.dump", 1_000, Fault::Answer(403));
    let base = with(
        &var("CORE_ADDR", &core.address()),
        &copy_to(&second, &faults.endpoint()),
    );
    let ended = stage.backup(&base);
    ended.expect_code(5);
    let last = ended.last_line().to_owned();
    for words in [
        "backup complete and verified",
        "is not copied to",
        "the next backup copies it",
    ] {
        assert!(last.contains(words), "{last}");
    }
    assert!(!ended.printed().contains(second.secret_key()), "{ended}");
    assert_eq!(stage.s3.manifests().len(), 1);
    assert_eq!(second.manifests(), [] as [String; 0]);
    let told = core.backups();
    assert!(
        told.iter().all(|it| it.success) && told.len() == 1,
        "{told:?}"
    );
    // It is a backup as any other.
    stage.database.sql("DROP TABLE t");
    stage.restore(&env([])).expect_code(0);
    faults.heal();
    let ended = stage.backup(&base);
    ended.expect_code(0);
    for manifest in stage.s3.manifests() {
        is_copied(&stage, &second, manifest.trim_end_matches("/manifest.json"));
    }
    assert_eq!(second.manifests().len(), 2);
}

#[test]
fn a_run_that_is_killed_or_stopped_while_it_copies_leaves_nothing_there_that_looks_whole() {
    let (stage, second) = (Stage::new("cut"), S3::start());
    stage.fill("t", 24);
    for (signal, code) in [(Signal::SIGKILL, None), (Signal::SIGTERM, Some(5))] {
        let proxy = Proxy::start(second.port());
        proxy.limit(200_000);
        let copy = copy_to(&second, &format!("http://127.0.0.1:{}", proxy.port()));
        let running = backuper(&with(&stage.env(), &copy)).start();
        wait_for("it copies", || (proxy.sent() > 1 << 20).then_some(()));
        running.signal(signal);
        proxy.limit(0);
        let ended = running.wait();
        assert_eq!(ended.code(), code, "{ended}");
        assert_eq!(second.manifests(), [] as [String; 0]);
    }
    assert_eq!(stage.s3.manifests().len(), 2);
    let copy = copy_to(&second, &second.endpoint());
    stage.backup(&copy).expect_code(0);
    assert_eq!(second.manifests().len(), 3);
    for manifest in stage.s3.manifests() {
        is_copied(&stage, &second, manifest.trim_end_matches("/manifest.json"));
    }
}

/// Whether bytes are still sent or all are on their way.
#[test]
fn a_copy_that_is_stopped_leaves_no_upload_of_any_object() {
    let (stage, second) = (Stage::new("stopped"), S3::start());
    stage.fill("one", 10);
    stage.fill("two", 40);
    for part in ["partNumber=1&", "partNumber=2&"] {
        let faults = Faults::start(second.port());
        for _ in 0..2 {
            faults.on("PUT", part, 1, Fault::Wait(Duration::from_secs(120)));
        }
        let copy = copy_to(&second, &faults.endpoint());
        let both = with(&copy, &env([("BACKUP_JOBS", "2")]));
        let running = backuper(&with(&stage.env(), &both)).start();
        wait_for("both copies are held up", || {
            (faults.struck().len() == 2).then_some(())
        });
        running.signal(Signal::SIGTERM);
        running.wait().expect_code(5);
        assert_eq!(second.manifests(), [] as [String; 0]);
        assert_eq!(second.uploads_under_way(), 0, "{part}");
    }
}

#[test]
fn what_is_damaged_in_the_first_store_is_not_copied_and_said() {
    let (stage, second) = (Stage::new("rotten"), S3::start());
    stage.fill("t", 1);
    let folder = stage.back_up(&env([]));
    let data = stage
        .s3
        .keys()
        .into_iter()
        .find(|it| it.ends_with("data-000.dump.zst"))
        .unwrap();
    let mut bytes = stage.s3.read(&data);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    stage.s3.put(&data, &bytes);
    let ended = stage.backup(&copy_to(&second, &second.endpoint()));
    ended.expect_code(0);
    assert!(
        ended.printed().contains("the backup is damaged there"),
        "{ended}"
    );
    assert_eq!(second.manifests().len(), 1);
    assert!(!second.manifests()[0].contains(&folder));
    assert_eq!(second.uploads_under_way(), 0);
}

#[test]
fn copies_have_a_retention_of_their_own() {
    let (stage, second) = (Stage::new("counted"), S3::start());
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let copy = copy_to(&second, &second.endpoint());
    let all = with(
        &copy,
        &env([("MAX_BACKUP_COUNT", "1"), ("COPY_MAX_BACKUP_COUNT", "2")]),
    );
    for _ in 0..3 {
        stage.backup(&all).expect_code(0);
    }
    assert_eq!(stage.s3.manifests().len(), 1);
    assert_eq!(second.manifests().len(), 2);
}

#[test]
fn a_second_store_that_cannot_be_meant_is_refused_before_a_byte_is_dumped() {
    let stage = Stage::new("refused");
    let url = format!("s3://{}", stage.s3.bucket());
    let half = env([("COPY_TO", "s3://other"), ("COPY_S3_ACCESS_KEY", "ak")]);
    let itself = env([
        ("COPY_TO", url.as_str()),
        ("COPY_S3_ENDPOINT", &stage.s3.endpoint()),
    ]);
    for (more, words) in [
        (half, "COPY_TO"),
        (itself, "the same place"),
        (var("COPY_TO", "ftp://x"), "COPY_TO"),
    ] {
        let ended = stage.backup(&more);
        ended.expect_code(2);
        assert!(ended.last_line().contains(words), "{ended}");
        stage.nothing_is_stored();
    }
}

/// A directory that is another disk's, as a second store beside S3, and S3 beside a directory.
#[test]
fn a_backup_is_copied_into_a_directory_and_out_of_one() {
    let (stage, second) = (Stage::new("disk"), S3::start());
    let directory = super::testbed::folder("copies");
    stage.database.sql("CREATE TABLE t AS SELECT 'kept' AS v");
    let url = format!("file://{}", directory.display());
    let store = with(&stage.database.env(), &var("STORE_URL", &url));
    let out = with(&store, &copy_to(&second, &second.endpoint()));
    for (made, restored) in [
        (with(&stage.env(), &var("COPY_TO", &url)), store),
        (out, alone(&stage, &second)),
    ] {
        let ended = backuper(&made).succeed();
        assert!(ended.last_line().contains("; copied to "), "{ended}");
        stage.database.sql("DROP TABLE t");
        restorer(&restored).succeed();
        assert_eq!(stage.database.sql("SELECT v FROM t"), "kept");
    }
    // The older one is not the second store's doing: it was copied since it was missing.
    assert_eq!(second.manifests().len(), 2);
}
