//! Older backups that the second store lacks: one that cannot be copied, or is gone, is no other's misfortune.

use super::super::testbed::programs::backuper;
use super::super::testbed::proxy::Proxy;
use super::super::testbed::s3::S3;
use super::super::testbed::s3_faults::{Fault, Faults, Rule};
use super::super::testbed::{env, wait_for};
use super::super::workers::{Stage, with};
use super::{copy_to, is_copied};

/// Four that are newer are denied to this key, as those that somebody has locked there.
#[test]
fn what_can_never_be_copied_keeps_no_other_backup_from_it() {
    let (stage, second) = (Stage::new("denied"), S3::start());
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    let oldest = stage.back_up(&env([]));
    let faults = Faults::start(second.port());
    for _ in 0..4 {
        let folder = stage.back_up(&env([]));
        faults.on("PUT", &folder, 1_000, Fault::Answer(403));
    }
    let ended = stage.backup(&copy_to(&second, &faults.endpoint()));
    ended.expect_code(0);
    let last = ended.last_line();
    assert!(last.contains("are copied too: 1"), "{ended}");
    assert!(last.contains("still missing there: 4"), "{ended}");
    is_copied(&stage, &second, &oldest);
}

#[test]
fn nobody_is_told_that_nothing_is_missing_where_that_cannot_be_known() {
    let (stage, second) = (Stage::new("unlisted"), S3::start());
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS v");
    stage.back_up(&env([]));
    let faults = Faults::start(second.port());
    // The probe lists, and whoever takes the new backup's place; then all of the database's are listed.
    faults.add(Rule {
        method: "GET",
        path: format!("prefix=copies%2Fof%2F{}%2F", stage.database.name()),
        skip: 2,
        times: 1_000,
        fault: Fault::Answer(403),
    });
    let ended = stage.backup(&copy_to(&second, &faults.endpoint()));
    ended.expect_code(0);
    assert!(!faults.struck().is_empty(), "{ended}");
    assert!(ended.last_line().contains("is not known"), "{ended}");
    assert!(ended.stderr.contains("its retention waits"), "{ended}");
}

#[test]
fn a_backup_that_somebody_deletes_before_it_is_copied_is_called_deleted_and_is_no_success() {
    let (stage, second) = (Stage::new("deleted"), S3::start());
    stage.fill("t", 1);
    let proxy = Proxy::start(second.port());
    proxy.stall(true);
    let copy = copy_to(&second, &format!("http://127.0.0.1:{}", proxy.port()));
    let running = backuper(&with(&stage.env(), &copy)).start();
    // Before that it reads its own manifest back.
    wait_for("it is complete here, and being copied", || {
        (proxy.connections() > 0).then_some(())
    });
    let manifest = stage.s3.manifests().pop().expect("it is complete");
    let folder = manifest.trim_end_matches("manifest.json");
    for key in stage.s3.keys().iter().filter(|it| it.starts_with(folder)) {
        stage.s3.remove(key);
    }
    proxy.stall(false);
    let ended = running.wait();
    ended.expect_code(1);
    assert!(ended.last_line().contains("was deleted from"), "{ended}");
    assert!(!ended.printed().contains("damaged"), "{ended}");
    assert_eq!(second.manifests(), [] as [String; 0]);
}
