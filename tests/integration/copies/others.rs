//! What else a copy meets: other formats, other people's objects, marks, and a second store that is none.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::encryption::Pair;
use super::super::testbed::core::{Core, Mood};
use super::super::testbed::postgres::free_port;
use super::super::testbed::programs::{backuper, restorer};
use super::super::testbed::proxy::Proxy;
use super::super::testbed::s3::S3;
use super::super::testbed::s3_faults::{Fault, Faults};
use super::super::testbed::{env, wait_for};
use super::super::workers::{Stage, var, with};
use super::{alone, copy_to, is_copied};

#[test]
fn an_encrypted_backup_is_copied_as_it_is_and_opens_with_its_key() {
    let (stage, second, pair) = (Stage::new("sealed"), S3::start(), Pair::new());
    stage.fill("t", 9);
    let before = stage.database.checksums();
    let sealed = env([
        ("ENCRYPT_TO", pair.public.as_str()),
        ("ENCRYPT_MANIFEST", "true"),
        ("BACKUP_JOBS", "2"),
    ]);
    let folder = stage.back_up(&with(&copy_to(&second, &second.endpoint()), &sealed));
    is_copied(&stage, &second, &folder);
    stage.database.sql("DROP TABLE t");
    restorer(&alone(&stage, &second)).run().expect_code(2);
    restorer(&with(&alone(&stage, &second), &pair.env())).succeed();
    assert_eq!(stage.database.checksums(), before);
}

#[test]
fn a_dump_in_plain_sql_is_copied_and_expires_there_by_the_rules_there() {
    let (stage, second) = (Stage::new("dump ü*'"), S3::start());
    stage.fill("t", 3);
    let before = stage.database.checksums();
    let settings = with(
        &copy_to(&second, &second.endpoint()),
        &env([
            ("FORMAT", "sql.gz"),
            ("COPY_MAX_BACKUP_COUNT", "2"),
            ("BACKUP_SCHEDULE", "nightly"),
        ]),
    );
    for _ in 0..3 {
        stage.backup(&settings).expect_code(0);
    }
    // The dump, its manifest and its schedule.
    assert_eq!((stage.s3.keys().len(), second.keys().len()), (9, 6));
    for key in second.keys() {
        let here = key.strip_prefix("copies/of/").unwrap();
        assert_eq!(stage.s3.read(here), second.read(&key), "{key}");
    }
    stage.database.sql("DROP TABLE t");
    restorer(&alone(&stage, &second)).succeed();
    assert_eq!(stage.database.checksums(), before);
}

#[test]
fn a_dump_is_not_written_over_anothers_of_that_key() {
    let (stage, second) = (Stage::new("anothers"), S3::start());
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let copy = with(
        &copy_to(&second, &second.endpoint()),
        &env([("FORMAT", "sql.gz")]),
    );
    let at = env([
        (
            "KEY_TEMPLATE",
            "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz",
        ),
        ("CLUSTER_NAME", "prod"),
    ]);
    let proxy = Proxy::start(second.port());
    proxy.stall(true);
    let through = var(
        "COPY_S3_ENDPOINT",
        &format!("http://127.0.0.1:{}", proxy.port()),
    );
    let running = backuper(&with(&with(&with(&stage.env(), &copy), &at), &through)).start();
    let key = wait_for("it is complete here", || {
        let keys = stage.s3.keys().into_iter();
        keys.filter_map(|it| it.strip_suffix(".manifest.json").map(str::to_owned))
            .next()
    });
    let theirs = format!("copies/of/{key}");
    second.put(&theirs, b"another cluster's");
    proxy.stall(false);
    let ended = running.wait();
    ended.expect_code(5);
    assert!(ended.last_line().contains("is another backup's"), "{ended}");
    assert!(
        ended.last_line().contains("a prefix of their own"),
        "{ended}"
    );
    assert_eq!(second.keys(), std::slice::from_ref(&theirs));
    assert_eq!(second.read(&theirs), b"another cluster's");
}

#[test]
fn a_second_store_that_is_down_costs_no_backup() {
    let (stage, second) = (Stage::new("down"), S3::start());
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let ended = stage.backup(&copy_to(&second, &nobody));
    ended.expect_code(5);
    let last = ended.last_line();
    for words in [
        "backup complete and verified",
        "it is not copied to s3://",
        nobody.as_str(),
    ] {
        assert!(last.contains(words), "{words}: {last}");
    }
    assert_eq!(stage.s3.manifests().len(), 1);
    let copied = stage.backup(&copy_to(&second, &second.endpoint()));
    copied.expect_code(0);
    assert!(
        copied
            .last_line()
            .contains("missing there and are copied too: 1"),
        "{copied}"
    );
    assert_eq!(second.manifests().len(), 2);
}

/// The retention that is meant for the second store would remove the backups of the first.
#[test]
fn a_place_that_is_named_twice_by_two_addresses_is_seen_and_nothing_is_removed_there() {
    let stage = Stage::new("twice");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    stage.back_up(&env([]));
    let again = Faults::start(stage.s3.port());
    let copy = env([
        ("COPY_TO", &format!("s3://{}", stage.s3.bucket())),
        ("COPY_S3_ENDPOINT", &again.endpoint()),
        ("COPY_S3_ACCESS_KEY", stage.s3.access_key()),
        ("COPY_S3_SECRET_KEY", stage.s3.secret_key()),
        ("COPY_MAX_BACKUP_COUNT", "1"),
    ]);
    let ended = stage.backup(&copy);
    ended.expect_code(5);
    assert!(ended.last_line().contains("by another address"), "{ended}");
    assert_eq!(stage.s3.manifests().len(), 2);
    assert!(stage.s3.keys().iter().all(|it| !it.ends_with("/running")));
}

#[test]
fn what_is_pinned_here_is_pinned_there_and_stays_in_both() {
    let (stage, second) = (Stage::new("pinned"), S3::start());
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let settings = with(
        &copy_to(&second, &second.endpoint()),
        &env([("MAX_BACKUP_COUNT", "1"), ("COPY_MAX_BACKUP_COUNT", "1")]),
    );
    let first = stage.back_up(&settings);
    let source = format!(
        "127.0.0.1:{}/{}",
        stage.database.cluster().port(),
        stage.database.name()
    );
    let pin = env([
        ("BACKUPER_TASK", "pin"),
        ("BACKUP_SOURCE", source.as_str()),
        ("BACKUP_KEY", first.as_str()),
    ]);
    backuper(&with(&stage.s3.env(), &pin)).succeed();
    for _ in 0..2 {
        stage.backup(&settings).expect_code(0);
    }
    let kept = stage.s3.manifests();
    assert_eq!((kept.len(), second.manifests().len()), (2, 2));
    is_copied(&stage, &second, &first);
    assert!(second.keys().contains(&format!("copies/of/{first}/pinned")));
    // What the second store has lost comes back with its pin.
    for key in second.keys().iter().filter(|it| it.contains(&first)) {
        second.remove(key);
    }
    stage.backup(&settings).expect_code(0);
    is_copied(&stage, &second, &first);
}

/// Nobody has a backup then, and whoever tries again makes one.
#[test]
fn a_backup_that_is_damaged_before_it_is_copied_is_no_success() {
    let (stage, second, core) = (
        Stage::new("spoilt"),
        S3::start(),
        Core::start(Mood::Recording),
    );
    stage.fill("t", 1);
    let proxy = Proxy::start(second.port());
    for damage in ["changed", "gone"] {
        let (before, told) = (stage.s3.manifests(), core.backups().len());
        proxy.stall(true);
        let at = format!("http://127.0.0.1:{}", proxy.port());
        let copy = with(&copy_to(&second, &at), &var("CORE_ADDR", &core.address()));
        let running = backuper(&with(&stage.env(), &copy)).start();
        let manifest = wait_for("it is complete here", || {
            stage
                .s3
                .manifests()
                .into_iter()
                .find(|it| !before.contains(it))
        });
        let folder = manifest.trim_end_matches("/manifest.json");
        let data = format!("{folder}/data-000.dump.zst");
        let mut bytes = stage.s3.read(&data);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        match damage {
            "changed" => stage.s3.put(&data, &bytes),
            _ => stage.s3.remove(&data),
        }
        wait_for("the core is told", || {
            (core.backups().len() > told).then_some(())
        });
        proxy.stall(false);
        let ended = running.wait();
        ended.expect_code(1);
        assert!(ended.last_line().contains(&data), "{ended}");
        assert!(ended.last_line().contains("damaged"), "{ended}");
        assert!(!second.keys().iter().any(|it| it.ends_with("manifest.json")));
        assert!(!core.backups().last().unwrap().success);
    }
}

#[test]
fn a_manifest_that_is_not_proven_there_is_removed_again() {
    let (stage, second) = (Stage::new("unproven"), S3::start());
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let faults = Faults::start(second.port());
    faults.on("HEAD", "manifest.json", 1_000, Fault::Answer(403));
    let ended = stage.backup(&copy_to(&second, &faults.endpoint()));
    ended.expect_code(5);
    assert!(!faults.struck().is_empty());
    assert_eq!(second.manifests(), [] as [String; 0]);
    faults.heal();
    stage
        .backup(&copy_to(&second, &faults.endpoint()))
        .expect_code(0);
    assert_eq!(second.manifests().len(), 2);
    // Nothing is left beside what is whole.
    assert!(second.keys().iter().all(|it| !it.ends_with("/running")));
}

/// The dump's object may be there whole; what lies beside it says that nobody has finished.
#[test]
fn a_dump_whose_copy_is_killed_is_no_backup_there_and_the_next_run_goes_on_with_it() {
    let (stage, second) = (Stage::new("cut_dump"), S3::start());
    stage.fill("t", 6);
    let copy = with(
        &copy_to(&second, &second.endpoint()),
        &var("FORMAT", "sql.gz"),
    );
    let faults = Faults::start(second.port());
    faults.on(
        "PUT",
        "manifest.json",
        1,
        Fault::Wait(Duration::from_secs(600)),
    );
    let through = with(&copy, &var("COPY_S3_ENDPOINT", &faults.endpoint()));
    let running = backuper(&with(&stage.env(), &through)).start();
    wait_for("all but the manifest is there", || {
        (!faults.struck().is_empty()).then_some(())
    });
    running.signal(Signal::SIGKILL);
    running.wait();
    let left = second.keys();
    assert_eq!(left.len(), 2, "the dump and who writes it: {left:?}");
    restorer(&alone(&stage, &second)).run().expect_code(2);
    stage.backup(&copy).expect_code(0);
    let mut here: Vec<String> = stage.s3.keys();
    here.iter_mut()
        .for_each(|it| it.insert_str(0, "copies/of/"));
    assert_eq!((here.len(), second.keys()), (4, here));
    stage.database.sql("DROP TABLE t");
    restorer(&alone(&stage, &second)).succeed();
}
