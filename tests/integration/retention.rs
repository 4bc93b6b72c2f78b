//! What retention removes and what it never does, and what a restore says of folders that do not
//! count.

mod rules;

use std::time::{Duration, SystemTime};

use jiff::{Span, Timestamp};

use backuper::archive::Folder;

use super::testbed::programs::backuper;
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::{Env, env, wait_for};
use super::workers::{Stage, var, with};

fn keep(count: &str) -> Env {
    var("MAX_BACKUP_COUNT", count)
}

/// Copies a backup to a folder of another time; gives that folder.
fn copied_to(stage: &Stage, folder: &str, time: Timestamp) -> String {
    let (made, _) = Folder::parse_key(&format!("{folder}/")).unwrap();
    let copy = Folder::new(made.database(), time, made.source()).prefix();
    for key in stage.s3.keys() {
        if let Some(name) = key.strip_prefix(&format!("{folder}/")) {
            stage.s3.put(&format!("{copy}{name}"), &stage.s3.read(&key));
        }
    }
    copy.trim_end_matches('/').to_owned()
}

/// Makes the store say that all of a folder was written then.
fn written(stage: &Stage, folder: &str, ago: Duration) {
    let time = SystemTime::now() - ago;
    for key in stage.s3.keys() {
        if key.starts_with(&format!("{folder}/")) {
            let path = stage.s3.path(&key);
            let file = std::fs::File::options().append(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        }
    }
}

fn is_there(stage: &Stage, folder: &str) -> bool {
    let prefix = format!("{folder}/");
    stage.s3.keys().iter().any(|it| it.starts_with(&prefix))
}

const DAY: Duration = Duration::from_secs(86_400);

/// F05.
#[test]
fn a_folder_of_the_future_never_makes_retention_delete_the_new_backup() {
    let stage = Stage::new("future");
    stage.database.sql("CREATE TABLE t AS SELECT 'old' AS v");
    let first = stage.back_up(&env([]));
    let future = copied_to(&stage, &first, "2098-07-06T05:04:03Z".parse().unwrap());
    stage.database.sql("UPDATE t SET v = 'new'");
    let ended = stage.backup(&keep("1"));
    ended.expect_code(0);
    assert!(ended.printed().contains(future.as_str()), "{ended}");
    let kept = stage.s3.manifests();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(is_there(&stage, &future) && !is_there(&stage, &first));
    // Nor is it what a restore takes for the newest.
    stage.database.sql("UPDATE t SET v = 'lost'");
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    assert!(ended.printed().contains(future.as_str()), "{ended}");
    assert_eq!(stage.database.sql("SELECT v FROM t"), "new");
    let named = stage.restore(&var("BACKUP_REVISION", &future));
    named.expect_code(0);
    assert_eq!(stage.database.sql("SELECT v FROM t"), "old");
}

/// F05: a clock that is behind gives the new backup a name that is older than others.
#[test]
fn the_new_backup_stays_where_others_have_later_names() {
    let stage = Stage::new("behind");
    let first = stage.back_up(&env([]));
    let soon = copied_to(&stage, &first, Timestamp::now() + Span::new().minutes(30));
    let made = stage.back_up(&keep("1"));
    assert!(is_there(&stage, &made) && is_there(&stage, &soon));
}

/// F05: by the manifest's times and the store's too.
#[test]
fn a_backup_that_is_newer_by_any_measure_stays() {
    let stage = Stage::new("measures");
    let first = stage.back_up(&env([]));
    let past = |day: &str| format!("2020-01-{day}T00:00:00Z").parse().unwrap();
    let by_store = copied_to(&stage, &first, past("01"));
    let by_manifest = copied_to(&stage, &first, past("02"));
    let by_none = copied_to(&stage, &first, past("03"));
    let path = stage.s3.path(&format!("{by_store}/manifest.json"));
    let file = std::fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() + DAY).unwrap();
    let key = format!("{by_manifest}/manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&stage.s3.read(&key)).unwrap();
    manifest["snapshot_at"] = "2098-07-06T05:04:03Z".into();
    stage.s3.put(&key, &serde_json::to_vec(&manifest).unwrap());
    let ended = stage.backup(&keep("1"));
    ended.expect_code(0);
    assert!(
        ended.printed().contains("a clock is or was wrong"),
        "{ended}"
    );
    for (folder, stays) in [
        (&by_store, true),
        (&by_manifest, true),
        (&by_none, false),
        (&first, false),
    ] {
        assert_eq!(is_there(&stage, folder), stays, "{folder}: {ended}");
    }
}

/// F13.
#[test]
fn a_newer_folder_that_has_lost_its_manifest_is_told_of() {
    let stage = Stage::new("lost");
    stage.database.sql("CREATE TABLE t AS SELECT 'old' AS v");
    stage.back_up(&env([]));
    stage.database.sql("UPDATE t SET v = 'new'");
    let newest = stage.back_up(&env([]));
    stage.s3.remove(&format!("{newest}/manifest.json"));
    let ended = stage.restore(&var("BACKUP_REVISION", "0"));
    ended.expect_code(0);
    let words = |ended: &str| {
        let line = ended.lines().find(|it| it.contains(newest.as_str()));
        line.unwrap_or_else(|| panic!("{ended}")).to_owned()
    };
    assert!(words(&ended.printed()).contains("under way"), "{ended}");
    written(&stage, &newest, Duration::from_secs(7_200));
    let ended = stage.restore(&var("BACKUP_REVISION", "0"));
    ended.expect_code(0);
    assert!(words(&ended.printed()).contains("no manifest"), "{ended}");
    assert_eq!(stage.database.sql("SELECT v FROM t"), "old");
}

/// F49: the store's clock and an object that a run rewrites say what is alive.
#[test]
fn a_folder_without_a_manifest_goes_after_a_day_unless_somebody_writes_in_it() {
    let stage = Stage::new("abandoned");
    let first = stage.back_up(&env([]));
    let two_days_ago = Timestamp::now() - Span::new().hours(48);
    let crashed = copied_to(&stage, &first, two_days_ago);
    let alive = copied_to(&stage, &first, two_days_ago - Span::new().hours(1));
    for folder in [&crashed, &alive] {
        stage.s3.remove(&format!("{folder}/manifest.json"));
        written(&stage, folder, DAY + DAY / 2);
    }
    stage.s3.put(&format!("{alive}/running"), b"a long run");
    stage.back_up(&env([]));
    assert!(!is_there(&stage, &crashed) && is_there(&stage, &alive));
}

/// F49.
#[test]
fn a_backup_whose_stream_was_removed_meanwhile_does_not_count() {
    let stage = Stage::new("removed");
    stage.fill("t", 2);
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "data-000", 1, Fault::Hold);
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let mut running = backuper(&with(&stage.env(), &through)).start();
    wait_for("the rows are held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    // Before that a schema that is gone would be one that was not stored.
    running.wait_until_it_prints("a stream is stored and verified");
    let keys = stage.s3.keys();
    let schema = keys.iter().find(|it| it.ends_with("schema.dump"));
    stage
        .s3
        .remove(schema.expect("the stream that is verified"));
    faults.heal();
    let ended = running.wait();
    ended.expect_code(1);
    let last = ended.last_line();
    assert!(
        last.contains("schema.dump") && last.contains("gone"),
        "{ended}"
    );
    stage.nothing_is_stored();
}

/// F50: keys that may see one database's folders are enough.
#[test]
fn nothing_is_listed_but_the_databases_own_folders() {
    let stage = Stage::new("prefix");
    let faults = Faults::start(stage.s3.port());
    let through = var("S3_ENDPOINT", &faults.endpoint());
    stage.back_up(&with(&through, &keep("1")));
    let made = stage.back_up(&with(&through, &keep("1")));
    for revision in ["0", &made, made.split_once('/').unwrap().1] {
        let asked = with(&through, &var("BACKUP_REVISION", revision));
        stage.restore(&asked).expect_code(0);
    }
    let bucket = format!("/{}/", stage.s3.bucket());
    let name = stage.database.name();
    let requests = faults.seen();
    for request in &requests {
        let (path, query) = request.split_once('?').unwrap_or((request, ""));
        let of_the_bucket = path.ends_with(&bucket) || path.ends_with(bucket.trim_end_matches('/'));
        if of_the_bucket && !query.contains("delete") {
            let prefix = format!("prefix={name}%2F");
            assert!(query.contains(&prefix), "{request}");
        } else if !of_the_bucket {
            assert!(path.contains(&format!("{bucket}{name}/")), "{request}");
        }
    }
    assert!(requests.iter().any(|it| it.contains("list-type=2")));
}
