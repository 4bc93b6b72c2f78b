//! What is found at a store.

use std::time::Duration;

use backuper::doctor::{Outcome, Subject};

use super::{checked, nothing_else_was_tried, of_database, says};
use crate::testbed::postgres::{free_port, shared};
use crate::testbed::programs::{Prepared, backuper};
use crate::testbed::s3::S3;
use crate::testbed::s3_faults::{Fault, Faults};
use crate::testbed::{env, folder, unique};
use crate::workers::{Stage, var, with};

#[test]
fn a_store_that_is_not_as_its_settings_say_is_found() {
    let s3 = S3::start();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for (more, name, words) in [
        (
            ("S3_ENDPOINT", nobody.as_str()),
            "address",
            "check S3_ENDPOINT",
        ),
        (
            ("S3_ACCESS_KEY", "AKNOBODY"),
            "keys",
            "correct S3_ACCESS_KEY",
        ),
        (
            ("S3_SECRET_KEY", "another"),
            "keys",
            "correct S3_SECRET_KEY",
        ),
        (("S3_SECRET_KEY", ""), "keys", "go together"),
        (
            ("S3_BUCKET_NAME", "no-such-bucket"),
            "bucket",
            "create the bucket",
        ),
        (("S3_BUCKET_NAME", ""), "bucket", "S3_BUCKET_NAME is empty"),
    ] {
        let checks = checked(&with(&s3.env(), &var(more.0, more.1)));
        says(&checks, Subject::Store, name, Outcome::Wrong, &[words]);
        for check in &checks {
            let known = check.outcome != Outcome::Unknown;
            let before = ["address", "tls", "keys", "bucket"];
            assert!(
                !known
                    || check.subject == Subject::Machine
                    || before.contains(&check.name.as_str()),
                "{check:?}"
            );
            assert!(!check.sentence.contains(s3.secret_key()), "{check:?}");
        }
    }
    let https = s3.endpoint().replace("http://", "https://");
    let checks = checked(&with(&s3.env(), &var("S3_ENDPOINT", &https)));
    says(
        &checks,
        Subject::Store,
        "tls",
        Outcome::Wrong,
        &["write http://"],
    );
}

#[test]
fn keys_that_may_only_read_are_found_without_a_write() {
    let stage = Stage::new("readonly");
    stage.back_up(&env([]));
    let faults = Faults::start(stage.s3.port());
    for (method, path) in [("POST", "uploads"), ("PUT", "/"), ("DELETE", "/")] {
        faults.on(method, path, 99, Fault::Refuse(403, "AccessDenied"));
    }
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let base = with(&of_database(&stage.database), &stage.s3.env());
    let checks = checked(&with(&base, &through));
    says(&checks, Subject::Store, "list", Outcome::Ok, &[]);
    says(&checks, Subject::Store, "read", Outcome::Ok, &[]);
    let words = ["AccessDenied", "allow it to the owner of S3_ACCESS_KEY"];
    says(&checks, Subject::Store, "write", Outcome::Wrong, &words);
    faults.heal();
    faults.on(
        "GET",
        "manifest.json",
        9,
        Fault::Refuse(403, "AccessDenied"),
    );
    let checks = checked(&with(&base, &through));
    says(
        &checks,
        Subject::Store,
        "read",
        Outcome::Wrong,
        &["AccessDenied"],
    );
    // What is tried is an upload, and no object at any time.
    let written = faults.seen();
    let put: Vec<&String> = written.iter().filter(|it| it.starts_with("PUT")).collect();
    assert!(put.iter().all(|it| it.contains("uploadId")), "{put:?}");
    assert_eq!(stage.s3.uploads_under_way(), 0);
}

#[test]
fn keys_for_one_databases_folder_are_enough() {
    let database = shared().database("below");
    let s3 = S3::start_for_keys_below(&format!("{}/", database.name()));
    let checks = checked(&with(&of_database(&database), &s3.env()));
    says(&checks, Subject::Store, "write", Outcome::Ok, &[]);
    let checks = checked(&s3.env());
    says(
        &checks,
        Subject::Store,
        "list",
        Outcome::Unknown,
        &["name a database"],
    );
}

#[test]
fn a_store_that_does_not_answer_is_not_waited_for() {
    let stage = Stage::new("slow");
    let faults = Faults::start(stage.s3.port());
    faults.on(
        "GET",
        "list-type=2",
        99,
        Fault::Wait(Duration::from_secs(60)),
    );
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let checks = checked(&with(
        &with(&of_database(&stage.database), &stage.s3.env()),
        &through,
    ));
    says(
        &checks,
        Subject::Store,
        "address",
        Outcome::Wrong,
        &["no answer within 4 s"],
    );
    says(&checks, Subject::Database, "login", Outcome::Ok, &[]);
}

#[test]
fn a_directory_is_checked_for_room_and_rights() {
    let stage = Stage::new("directory");
    let store = folder("store");
    let endpoint = var("S3_ENDPOINT", &format!("file://{}", store.display()));
    let base = with(&of_database(&stage.database), &endpoint);
    let checks = checked(&base);
    for name in ["directory", "list", "write", "space", "leftovers"] {
        says(&checks, Subject::Store, name, Outcome::Ok, &[]);
    }
    says(
        &checks,
        Subject::Store,
        "space",
        Outcome::Ok,
        &["has room for"],
    );
    let left = std::fs::read_dir(&store).unwrap().flatten().count();
    assert_eq!(left, 0, "nothing was changed");
    let missing = format!("file://{}", store.join(unique("volume")).display());
    let checks = checked(&with(&base, &var("S3_ENDPOINT", &missing)));
    says(
        &checks,
        Subject::Store,
        "directory",
        Outcome::Wrong,
        &["mkdir it"],
    );
    nothing_else_was_tried(&checks, Subject::Store, &["directory"]);
}

/// What a crashed run left a day ago, and what is being written now.
#[test]
fn leftovers_are_counted() {
    let stage = Stage::new("leftovers");
    let name = stage.database.name();
    for (folder, hours) in [("2026-01-01-00-00-00", 30), ("2026-01-02-00-00-00", 0)] {
        let key = format!("{name}/{folder}-backup-1f3a9c0e/schema.dump");
        stage.s3.put(&key, b"half");
        let ago = format!("-{hours} hours");
        Prepared::new("touch")
            .args(["-d", &ago])
            .arg(stage.s3.path(&key))
            .succeed();
    }
    let checks = checked(&with(&of_database(&stage.database), &stage.s3.env()));
    let words = [
        "2 folders",
        "1 of them are being written",
        "1 are older than a day",
    ];
    says(
        &checks,
        Subject::Store,
        "leftovers",
        Outcome::Warning,
        &words,
    );
}

#[test]
fn a_newest_backup_of_which_something_is_gone_is_told_and_listed_so() {
    let stage = Stage::new("gone");
    let made = stage.back_up(&env([]));
    let schema = format!("{made}/schema.dump");
    stage.s3.put(&schema, b"cut");
    let base = with(&of_database(&stage.database), &stage.s3.env());
    let cut = [schema.as_str(), "has 3 bytes", "make another one"];
    says(
        &checked(&base),
        Subject::Store,
        "read",
        Outcome::Warning,
        &cut,
    );
    stage.s3.remove(&schema);
    let missing = [schema.as_str(), "is missing", "make another one"];
    says(
        &checked(&base),
        Subject::Store,
        "read",
        Outcome::Warning,
        &missing,
    );
    let listed = backuper(&with(&stage.s3.env(), &var("BACKUPER_TASK", "list"))).succeed();
    let listed = backuper::listing::parse(listed.stdout.lines());
    assert_eq!(listed[0].problem, Some(format!("{schema} is missing")));
}

#[test]
fn an_upload_that_nobody_waits_for_any_more_is_aborted_all_the_same() {
    let stage = Stage::new("slowly");
    let faults = Faults::start(stage.s3.port());
    let wait = Fault::Wait(Duration::from_secs(6));
    faults.on("PUT", "uploadId", 1, wait);
    let base = with(&of_database(&stage.database), &stage.s3.env());
    let checks = checked(&with(&base, &var("S3_ENDPOINT", &faults.endpoint())));
    let words = ["no answer within 4"];
    says(&checks, Subject::Store, "write", Outcome::Unknown, &words);
    stage.nothing_is_stored();
}
