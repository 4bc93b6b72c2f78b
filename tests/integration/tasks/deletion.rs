//! A backup that is named is deleted, whole, and no other.

use std::fs::FileTimes;
use std::time::{Duration, SystemTime};

use backuper::deletion::{self, Deleted};

use super::super::testbed::env;
use super::super::testbed::postgres::Cluster;
use super::super::testbed::programs::{Ended, backuper};
use super::super::testbed::s3_faults::{Fault, Faults};
use super::super::workers::{Stage, with};
use super::{source, task};

fn delete(stage: &Stage, key: &str, more: &[(&str, &str)]) -> Ended {
    let mut all = env([("BACKUP_SOURCE", &source(stage)), ("BACKUP_KEY", key)]);
    for (name, value) in more {
        all.retain(|(it, _)| it != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    task("delete", &stage.s3.env(), &all)
}

#[track_caller]
fn done(ended: &Ended) -> Deleted {
    ended.expect_code(0);
    deletion::parse(ended.stdout.lines()).expect("a line")
}

#[track_caller]
fn refused(stage: &Stage, ended: &Ended, words: &[&str]) {
    let before = stage.s3.keys();
    ended.expect_code(2);
    for word in words {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
    assert!(ended.last_line().contains("nothing was deleted"), "{ended}");
    assert!(deletion::parse(ended.stdout.lines()).is_none(), "{ended}");
    assert_eq!(stage.s3.keys(), before);
}

/// When an object was written.
fn age(stage: &Stage, key: &str, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3_600);
    let file = std::fs::File::options()
        .write(true)
        .open(stage.s3.path(key));
    let times = FileTimes::new().set_modified(then);
    file.unwrap().set_times(times).unwrap();
}

#[test]
fn exactly_the_backup_that_is_named_is_deleted() {
    let stage = Stage::new("deleted");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let [first, second] = [(); 2].map(|()| stage.back_up(&env([])));
    let before = stage.s3.objects();
    let own = before.iter().filter(|it| it.key.starts_with(&first));
    let (objects, bytes) = (
        own.clone().count() as u64,
        own.map(|it| it.size).sum::<u64>(),
    );
    let expected = Deleted {
        key: first.clone(),
        objects,
        bytes,
        validate_only: true,
    };
    let validated = delete(&stage, &first, &[("DELETE_VALIDATE_ONLY", "true")]);
    assert_eq!(done(&validated), expected);
    assert!(
        validated.stderr.contains("nothing was deleted"),
        "{validated}"
    );
    assert_eq!(stage.s3.objects(), before);

    let deleted = done(&delete(&stage, &first, &[]));
    let expected = Deleted {
        validate_only: false,
        ..expected
    };
    assert_eq!(deleted, expected);
    let left = stage.s3.keys();
    assert!(left.iter().all(|it| it.starts_with(&second)), "{left:?}");
    stage.restore(&env([])).expect_code(0);
    let again = delete(&stage, &first, &[]);
    again.expect_code(2);
    assert!(again.last_line().contains("no such folder"), "{again}");
}

#[test]
fn the_last_complete_backup_stays_unless_somebody_insists() {
    let stage = Stage::new("last");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let [damaged, last] = [(); 2].map(|()| stage.back_up(&env([])));
    stage.s3.remove(&format!("{damaged}/schema.dump"));
    let only = ["the only complete backup", "DELETE_LAST"];
    // What cannot be restored is no other.
    refused(&stage, &delete(&stage, &last, &[]), &only);
    done(&delete(&stage, &damaged, &[]));
    refused(&stage, &delete(&stage, &last, &[]), &only);
    let validated = delete(&stage, &last, &[("DELETE_VALIDATE_ONLY", "true")]);
    refused(&stage, &validated, &only);
    done(&delete(&stage, &last, &[("DELETE_LAST", "true")]));
    stage.nothing_is_stored();
}

#[test]
fn the_published_adapters_object_is_deleted_by_its_key() {
    let stage = Stage::new("published");
    let key = format!("{}/2020-11-19-21-05-27-backup.sql", stage.database.name());
    stage.s3.put(&key, b"old");
    let only = ["the only complete backup", "DELETE_LAST"];
    refused(&stage, &delete(&stage, &key, &[]), &only);
    stage.back_up(&env([]));
    let deleted = done(&delete(&stage, &key, &[]));
    assert_eq!((deleted.objects, deleted.bytes), (1, 3));
    assert!(!stage.s3.keys().contains(&key));
}

#[test]
fn a_backup_of_another_server_is_not_deleted() {
    let stage = Stage::new("another");
    let other = Cluster::start(false);
    let namesake = other.named(stage.database.name());
    let theirs = with(&namesake.env(), &stage.s3.env());
    for _ in 0..2 {
        backuper(&theirs).succeed();
    }
    let theirs = stage.s3.manifests().remove(0);
    let theirs = theirs.trim_end_matches("/manifest.json");
    // Which one, is not for everybody who may name a key.
    let words = ["of another server", "BACKUP_SOURCE"];
    let refusal = delete(&stage, theirs, &[]);
    assert!(
        !refusal.stderr.contains(&other.port().to_string()),
        "{refusal}"
    );
    refused(&stage, &delete(&stage, theirs, &[]), &words);
    stage.back_up(&env([]));
    refused(&stage, &delete(&stage, theirs, &[]), &words);
    // A server that was renamed still counts, by what its newer backups say.
    let renamed = format!("localhost:{}/{}", other.port(), namesake.name());
    let more = [("BACKUP_SOURCE", renamed.as_str())];
    refused(&stage, &delete(&stage, theirs, &more), &["BACKUP_SOURCE"]);
    let again = with(&namesake.env(), &stage.s3.env());
    backuper(&with(&again, &env([("DB_HOST", "localhost")]))).succeed();
    done(&delete(&stage, theirs, &more));
}

#[test]
fn what_is_no_backup_is_not_deleted() {
    let stage = Stage::new("nobackup");
    let made = stage.back_up(&env([]));
    let name = stage.database.name();
    stage.s3.put(&format!("{name}/notes.txt"), b"x");
    let before = stage.s3.keys();
    for key in [
        format!("{made}/schema.dump"),
        format!("{made}/manifest.json"),
        format!("{name}/notes.txt"),
        name.to_owned(),
        format!("{name}/"),
        format!("../{name}"),
        "*".to_owned(),
    ] {
        delete(&stage, &key, &[("DELETE_LAST", "true")]).expect_code(2);
    }
    let ended = delete(&stage, "", &[]);
    assert!(ended.last_line().contains("BACKUP_KEY"), "{ended}");
    assert_eq!(stage.s3.keys(), before);
}

#[test]
fn a_backup_that_is_being_made_is_left_alone() {
    let stage = Stage::new("active");
    let complete = stage.back_up(&env([]));
    let (database, folder) = complete.split_once('/').unwrap();
    let (_, source) = folder.rsplit_once('-').unwrap();
    let of = |source: &str| format!("{database}/2026-01-01-00-00-00-backup-{source}");
    let (ours, theirs) = (of(source), of("1f3a9c0e"));
    for (folder, hours, may_go) in [
        (&ours, 0, false),
        (&theirs, 0, false),
        // Its run may still be alive, and nobody knows whose it is.
        (&theirs, 2, false),
        (&ours, 2, true),
        (&theirs, 25, true),
    ] {
        let key = format!("{folder}/schema.dump");
        stage.s3.put(&key, b"half");
        age(&stage, &key, hours);
        let ended = delete(&stage, folder, &[]);
        if may_go {
            assert_eq!(done(&ended).objects, 1);
        } else {
            refused(&stage, &ended, &[folder.as_str()]);
        }
        assert_eq!(stage.s3.keys().contains(&key), !may_go, "{ended}");
    }
}

#[test]
fn the_manifest_goes_first_and_what_stays_is_named() {
    let stage = Stage::new("order");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let [first, _second] = [(); 2].map(|()| stage.back_up(&env([])));
    let faults = Faults::start(stage.s3.port());
    let through = faults.endpoint();
    let through = [("S3_ENDPOINT", through.as_str())];

    // A lock on all of it: the manifest is tried, and nothing else.
    faults.on(
        "DELETE",
        "manifest.json",
        9,
        Fault::Refuse(403, "AccessDenied"),
    );
    let before = stage.s3.keys();
    let ended = delete(&stage, &first, &through);
    ended.expect_code(2);
    for words in ["manifest.json", "AccessDenied", "nothing was removed"] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    assert_eq!(stage.s3.keys(), before);
    faults.heal();

    // The rest may not be deleted: what is left is no backup any more.
    faults.on("POST", "delete", 9, Fault::Refuse(403, "AccessDenied"));
    let ended = delete(&stage, &first, &through);
    ended.expect_code(2);
    for words in [
        "schema.dump",
        "AccessDenied",
        "its manifest and 0 more objects were removed",
    ] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    let left = stage.s3.keys();
    assert!(!left.contains(&format!("{first}/manifest.json")));
    assert!(left.contains(&format!("{first}/schema.dump")));
    faults.heal();
    for key in left.iter().filter(|it| it.starts_with(&first)) {
        age(&stage, key, 2);
    }
    done(&delete(&stage, &first, &through));
    assert!(!stage.s3.keys().iter().any(|it| it.starts_with(&first)));
}
