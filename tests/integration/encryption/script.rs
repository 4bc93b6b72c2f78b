//! Encrypted dumps in plain SQL: what the other format promises, they promise too.

use std::time::Duration;

use flate2::write::GzEncoder;
use nix::sys::signal::Signal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Pair, filled, is_refused, objects, seen};
use crate::testbed::postgres::{Database, shared};
use crate::testbed::programs::{Ended, backuper, restorer};
use crate::testbed::s3_faults::{Fault, Faults};
use crate::testbed::{Env, env, unique, wait_for};
use crate::unfinished::is_silent;
use crate::workers::{Stage, var, with};

fn in_prod() -> Env {
    env([
        ("FORMAT", "sql.gz"),
        (
            "KEY_TEMPLATE",
            "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz",
        ),
        ("CLUSTER_NAME", "prod"),
    ])
}

fn to(keys: &Pair) -> Env {
    with(&in_prod(), &var("ENCRYPT_TO", &keys.public))
}

/// The dumps in a bucket that have a manifest.
fn dumps(stage: &Stage) -> Vec<String> {
    let keys = stage.s3.keys().into_iter();
    let of = |it: String| it.strip_suffix(".manifest.json").map(str::to_owned);
    keys.filter_map(of).collect()
}

#[track_caller]
fn back_up(stage: &Stage, more: &Env) -> String {
    let before = dumps(stage);
    stage.backup(more).expect_code(0);
    let mut new = dumps(stage);
    new.retain(|it| !before.contains(it));
    assert_eq!(new.len(), 1, "{new:?}");
    new.remove(0)
}

fn manifest(stage: &Stage, dump: &str) -> Value {
    serde_json::from_slice(&stage.s3.read(&format!("{dump}.manifest.json"))).unwrap()
}

/// A task of the backuper's on the dumps of the stage's database.
fn task(stage: &Stage, task: &str, more: &Env) -> Ended {
    let source = format!("127.0.0.1:{}/{}", shared().port(), stage.database.name());
    let asked = env([("BACKUPER_TASK", task), ("BACKUP_SOURCE", &source)]);
    let all = with(&with(&stage.s3.env(), &in_prod()), &asked);
    backuper(&with(&all, more)).run()
}

/// The keys of a list, and whether each can be restored.
fn listed(stage: &Stage) -> Vec<(String, bool)> {
    let ended = task(stage, "list", &env([]));
    ended.expect_code(0);
    let lines = ended.stdout.lines();
    let backups = lines.filter_map(|it| {
        let line: Value = serde_json::from_str(it).ok()?;
        let backup = line.get("backup")?;
        let key = backup["key"].as_str()?.to_owned();
        Some((key, backup["problem"].is_null()))
    });
    backups.collect()
}

fn into(stage: &Stage, target: &Database<'_>, more: &Env) -> Ended {
    let source = format!("127.0.0.1:{}/{}", shared().port(), stage.database.name());
    let all = with(&with(&stage.env(), &target.env()), &in_prod());
    restorer(&with(&with(&all, &var("BACKUP_SOURCE", &source)), more)).run()
}

#[test]
fn an_encrypted_dump_is_listed_counted_pinned_deleted_and_expires_like_any_other() {
    let stage = Stage::new("sealed_counted");
    let keys = Pair::new();
    stage.database.sql("CREATE TABLE generation (n int)");
    let made: Vec<String> = (0..4)
        .map(|number| {
            stage.database.sql(&format!(
                "TRUNCATE generation; INSERT INTO generation VALUES ({number})"
            ));
            back_up(&stage, &if number == 1 { in_prod() } else { to(&keys) })
        })
        .collect();
    assert!(made[0].ends_with(".sql.gz.age"), "{made:?}");
    assert!(made[1].ends_with(".sql.gz"), "{made:?}");
    let manifest = manifest(&stage, &made[0]);
    assert_eq!(manifest["format_version"], 3);
    assert_eq!(manifest["encryption"]["method"], "age");
    assert_eq!(manifest["streams"][0]["content"], "script");
    assert_eq!(manifest["streams"][0]["compression"], "gzip");
    assert_eq!(manifest["streams"][0]["key"], made[0].as_str());
    let stored = stage.s3.read(&made[0]);
    assert!(stored.starts_with(b"age-encryption.org/v1\n"));
    // What a person has encrypted is nobody's backup, whatever it is called.
    let persons = format!("{}.age", made[1]);
    stage.s3.put(&persons, &stored);

    let mut shown = listed(&stage);
    shown.retain(|(key, _)| *key != persons);
    let newest_first: Vec<(String, bool)> =
        made.iter().rev().map(|it| (it.clone(), true)).collect();
    assert_eq!(shown, newest_first);
    for (revision, wanted) in [
        ("0", "3"),
        ("1", "2"),
        ("2", "1"),
        ("3", "0"),
        (&made[0], "0"),
    ] {
        let target = shared().existing(&unique("sealed_back"));
        let asked = with(&keys.env(), &var("BACKUP_REVISION", revision));
        into(&stage, &target, &asked).expect_code(0);
        assert_eq!(target.sql("SELECT n FROM generation"), wanted);
    }

    let named = |key: &str| var("BACKUP_KEY", key);
    task(&stage, "pin", &named(&made[0])).expect_code(0);
    assert!(stage.s3.keys().contains(&format!("{}.pinned", made[0])));
    task(&stage, "delete", &named(&made[2])).expect_code(0);
    let gone = |key: &str| !stage.s3.keys().iter().any(|it| it.starts_with(key));
    assert!(gone(&made[2]), "{:?}", stage.s3.keys());
    let last = back_up(&stage, &with(&to(&keys), &var("MAX_BACKUP_COUNT", "1")));
    let there = stage.s3.keys();
    assert!(there.contains(&persons), "{there:?}");
    stage.s3.remove(&persons);
    assert!(gone(&made[1]) && gone(&made[3]), "{there:?}");
    assert_eq!(dumps(&stage), [made[0].clone(), last]);
}

#[test]
fn without_its_key_an_encrypted_dump_is_refused_before_anything_is_touched() {
    let stage = Stage::new("sealed_nokey");
    stage.database.sql("CREATE TABLE secrets AS SELECT 1 AS a");
    let (one, other) = (Pair::new(), Pair::new());
    for hidden in ["false", "true"] {
        let key = back_up(&stage, &with(&to(&one), &var("ENCRYPT_MANIFEST", hidden)));
        let text = String::from_utf8(stage.s3.read(&format!("{key}.manifest.json"))).unwrap();
        assert_eq!(text.contains("secrets"), hidden == "false", "{text}");
        let empty = shared().database("sealed_nokey_empty");
        let missing = shared().existing(&unique("sealed_nokey_missing"));
        for (given, words) in [
            (env([]), vec!["is encrypted", one.hint(), "AGE_IDENTITY"]),
            (
                other.env(),
                vec![one.hint(), other.hint(), "nobody can restore"],
            ),
        ] {
            for target in [&empty, &missing] {
                let ended = into(&stage, target, &given);
                is_refused(&ended, &words);
                is_silent(&ended, other.private());
            }
            assert_eq!(objects(&empty), "0");
            let name = missing.name();
            let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
            assert_eq!(shared().sql("postgres", &count), "0");
        }
        let ended = into(&stage, &empty, &one.env());
        ended.expect_code(0);
        is_silent(&ended, one.private());
        assert!(ended.last_line().contains("1 table"), "{ended}");
        assert_eq!(empty.sql("SELECT a FROM secrets"), "1");
    }
}

/// By somebody who can write the bucket, its manifest too.
#[test]
fn nothing_of_an_encrypted_dump_that_was_changed_or_cut_stays_in_a_database() {
    const CHUNK: usize = (64 << 10) + 16;
    let stage = filled("sealed_tampered");
    let keys = Pair::new();
    let key = back_up(&stage, &to(&keys));
    let (whole, was) = (stage.s3.read(&key), manifest(&stage, &key));
    assert!(whole.len() > 10 * CHUNK, "{} bytes", whole.len());
    let target = shared().database("sealed_tampered_target");
    target.sql("CREATE TABLE kept AS SELECT 1 AS a");
    let before = seen(&target);
    let put = |bytes: &[u8], change: &dyn Fn(&mut Value)| {
        stage.s3.put(&key, bytes);
        let mut manifest = was.clone();
        manifest["streams"][0]["stored_bytes"] = bytes.len().into();
        manifest["streams"][0]["sha256"] = hex::encode(Sha256::digest(bytes)).into();
        change(&mut manifest);
        let manifest = serde_json::to_vec(&manifest).unwrap();
        stage.s3.put(&format!("{key}.manifest.json"), &manifest);
    };
    let mac = whole.windows(5).position(|it| it == b"\n--- ").unwrap() + 1;
    let end = whole[mac..].iter().position(|it| *it == b'\n').unwrap();
    let payload = mac + end + 1 + 16;
    let flipped = |at: usize| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        flipped
    };
    let mut swapped = whole.clone();
    let (a, b) = (payload + CHUNK, payload + 2 * CHUNK);
    swapped[a..b].copy_from_slice(&whole[b..b + CHUNK]);
    swapped[b..b + CHUNK].copy_from_slice(&whole[a..b]);
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"CREATE TABLE evil (a int);\n").unwrap();
    let gzip = gzip.finish().unwrap();
    for (name, bytes, word) in [
        ("the first chunk", flipped(payload + 9), "damaged"),
        ("the head", flipped(mac + 8), "damaged"),
        ("the middle", flipped(whole.len() / 2), "damaged"),
        ("the last byte", flipped(whole.len() - 1), "damaged"),
        ("swapped", swapped, "damaged"),
        ("cut", whole[..payload + 5 * CHUNK].to_vec(), "damaged"),
        ("cut short", whole[..payload + 9].to_vec(), "damaged"),
        ("followed", [&whole[..], b"x"].concat(), "damaged"),
        ("not encrypted", gzip, "damaged"),
    ] {
        put(&bytes, &|_| {});
        is_refused(&into(&stage, &target, &keys.env()), &[word]);
        assert!(seen(&target) == before, "{name}");
    }
    // A manifest that says nothing of a key makes no SQL of what is encrypted.
    put(&whole, &|it| {
        drop(it.as_object_mut().unwrap().remove("encryption"));
    });
    is_refused(
        &into(&stage, &target, &keys.env()),
        &["is no whole gzip", "choose another"],
    );
    assert!(seen(&target) == before);
    put(&whole, &|_| {});
    into(&stage, &target, &keys.env()).expect_code(0);
    target.sql("DROP TABLE kept");
    assert_eq!(target.checksums(), stage.database.checksums());
}

#[test]
fn an_encrypted_dump_that_is_stopped_or_killed_is_no_backup() {
    let stage = Stage::new("sealed_stopped");
    stage.fill("t", 24);
    let keys = Pair::new();
    for (path, signal) in [
        ("partNumber=2", Signal::SIGTERM),
        ("manifest.json", Signal::SIGTERM),
        ("manifest.json", Signal::SIGKILL),
    ] {
        let faults = Faults::start(stage.s3.port());
        faults.on("PUT", path, 1, Fault::Wait(Duration::from_secs(120)));
        let at = var("S3_ENDPOINT", &faults.endpoint());
        let running = backuper(&with(&with(&stage.env(), &to(&keys)), &at)).start();
        wait_for("the backup is held up", || {
            (!faults.struck().is_empty()).then_some(())
        });
        running.signal(signal);
        let ended = running.wait();
        if signal == Signal::SIGTERM {
            ended.expect_code(143);
            stage.nothing_is_stored();
        } else {
            let left = listed(&stage);
            assert!(left.iter().all(|(_, whole)| !whole), "{left:?}");
            let refused = into(&stage, &stage.database, &keys.env());
            is_refused(&refused, &["no manifest"]);
        }
    }
}
