//! An encrypted backup that somebody has changed who can write the bucket, its manifest too.

use sha2::{Digest as _, Sha256};

use super::{Pair, filled, is_refused, manifest, objects, restoring, seen};
use crate::cluster::kept_by_with;
use crate::testbed::folder;
use crate::testbed::postgres::shared;
use crate::testbed::programs::Prepared;
use crate::testbed::{env, unique};
use crate::workers::Stage;

/// What age encrypts at a time, and its tag.
const CHUNK: usize = (64 << 10) + 16;

/// Puts other bytes in the place of a stream, and lets the manifest say that they are the right ones.
fn replace(stage: &Stage, folder: &str, name: &str, bytes: &[u8]) {
    stage.s3.put(&format!("{folder}/{name}"), bytes);
    let mut manifest = manifest(stage, folder);
    let streams = manifest["streams"].as_array_mut().unwrap();
    let stream = streams.iter_mut().find(|it| it["name"] == name).unwrap();
    stream["stored_bytes"] = bytes.len().into();
    stream["sha256"] = hex::encode(Sha256::digest(bytes)).into();
    let key = format!("{folder}/manifest.json");
    stage.s3.put(&key, &serde_json::to_vec(&manifest).unwrap());
}

#[test]
fn nothing_of_a_stream_that_was_changed_cut_or_swapped_stays_in_a_database() {
    let stage = filled("tampered");
    let one = Pair::new();
    let settings = env([("ENCRYPT_TO", one.public.as_str()), ("BACKUP_JOBS", "2")]);
    let first = stage.back_up(&settings);
    stage.database.sql("UPDATE diagnoses SET who = 'second'");
    let second = stage.back_up(&settings);
    let before = seen(&stage.database);
    let empty = shared().database("tampered_empty");
    let missing = shared().existing(&unique("tampered_missing"));
    let refused = |words: &[&str]| {
        is_refused(
            &restoring(&stage, &second, &stage.database, &one.env()).run(),
            words,
        );
        assert!(seen(&stage.database) == before, "in place");
        is_refused(&restoring(&stage, &second, &empty, &one.env()).run(), words);
        assert_eq!(objects(&empty), "0", "into an empty database");
        is_refused(
            &restoring(&stage, &second, &missing, &one.env()).run(),
            words,
        );
        let name = missing.name();
        let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(shared().sql("postgres", &count), "0", "into a missing one");
    };
    let name = "data-001.dump.zst.age";
    let key = format!("{second}/{name}");
    let (whole, was) = (stage.s3.read(&key), manifest(&stage, &second));
    assert!(whole.len() > 10 * CHUNK, "{} bytes", whole.len());
    let put_back = || {
        stage.s3.put(&key, &whole);
        let manifest = serde_json::to_vec(&was).unwrap();
        stage.s3.put(&format!("{second}/manifest.json"), &manifest);
    };

    // The same object of another backup: it opens with the same key, and is not this one's.
    stage
        .s3
        .put(&key, &stage.s3.read(&format!("{first}/{name}")));
    refused(&["damaged"]);
    put_back();

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    replace(&stage, &second, name, &flipped);
    refused(&["damaged"]);

    // The payload begins behind the head, whose last line is its MAC, and a nonce.
    let mac = whole.windows(5).position(|it| it == b"\n--- ").unwrap() + 1;
    let end = whole[mac..].iter().position(|it| *it == b'\n').unwrap();
    let payload = mac + end + 1 + 16;
    replace(&stage, &second, name, &whole[..payload + 5 * CHUNK]);
    refused(&["damaged"]);

    let mut swapped = whole.clone();
    let (a, b) = (payload + CHUNK, payload + 2 * CHUNK);
    swapped[a..b].copy_from_slice(&whole[b..b + CHUNK]);
    swapped[b..b + CHUNK].copy_from_slice(&whole[a..b]);
    replace(&stage, &second, name, &swapped);
    refused(&["damaged"]);
    put_back();

    let schema = format!("{second}/schema.dump.age");
    let mut flipped = stage.s3.read(&schema);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    replace(&stage, &second, "schema.dump.age", &flipped);
    refused(&["damaged"]);
    replace(
        &stage,
        &second,
        "schema.dump.age",
        b"age-encryption.org/v1\n",
    );
    refused(&["damaged"]);
}

/// Encrypted anew to another key by stock age, as whoever lets an old key go may do.
#[test]
fn what_stock_age_has_encrypted_is_restored() {
    let stage = filled("reencrypted");
    let whole = seen(&stage.database);
    let (old, new) = (Pair::new(), Pair::new());
    let backup = stage.back_up(&env([("ENCRYPT_TO", old.public.as_str())]));
    let work = folder("reencrypting");
    let age = kept_by_with("go-program.sh", &["age"]).join("age");
    std::fs::write(work.join("old"), &old.file).unwrap();
    for stream in manifest(&stage, &backup)["streams"].as_array().unwrap() {
        let name = stream["name"].as_str().unwrap();
        let bytes = stage.s3.read(&format!("{backup}/{name}"));
        std::fs::write(work.join("in.age"), bytes).unwrap();
        for arguments in [
            &["-d", "-i", "old", "-o", "plain", "in.age"][..],
            &["-r", &new.public, "-o", "out.age", "plain"],
        ] {
            Prepared::new(&age)
                .args(arguments)
                .current_dir(&work)
                .succeed();
        }
        let bytes = std::fs::read(work.join("out.age")).unwrap();
        replace(&stage, &backup, name, &bytes);
    }
    stage.restore(&old.env()).expect_code(2);
    stage.restore(&new.env()).expect_code(0);
    assert!(seen(&stage.database) == whole);
}
