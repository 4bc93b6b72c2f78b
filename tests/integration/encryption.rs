//! Backups that only the holder of a private key can read.

mod script;
mod tampering;

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster::kept_by_with;
use super::testbed::postgres::{Database, shared};
use super::testbed::programs::{Ended, Prepared, backuper, restorer};
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::{Env, env, folder, wait_for};
use super::unfinished::{is_silent, objects, restoring};
use super::workers::{Stage, var, with};

/// Made for these tests, and nobody's.
const SSH_PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACAIbqaWaVf/OM7fu8/q7rFN3WESJLPvsIqXq3R1j7SOmAAAAJDKSl4Uykpe
FAAAAAtzc2gtZWQyNTUxOQAAACAIbqaWaVf/OM7fu8/q7rFN3WESJLPvsIqXq3R1j7SOmA
AAAEBswyaf0lr4h1ji5B2dRDkkgPedlVdxqr0/PXpWooK/qQhuppZpV/84zt+7z+rusU3d
YRIks++wiperdHWPtI6YAAAAB21lQGhvc3QBAgMEBQY=
-----END OPENSSH PRIVATE KEY-----
";
const SSH_PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhuppZpV/84zt+7z+rusU3dYRIks++wiperdHWPtI6Y me@host";
/// As `ssh-keygen -l` prints it.
const SSH_FINGERPRINT: &str = "SHA256:+mZsbubTscFaQ/wACyaWJfN/TIpSSl3mn0pJPUej8os";

/// A pair of keys as stock age makes it.
pub(crate) struct Pair {
    /// The whole key file.
    pub(crate) file: String,
    pub(crate) public: String,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let bin = kept_by_with("go-program.sh", &["age-keygen"]);
        let file = Prepared::new(bin.join("age-keygen")).succeed().stdout;
        let public = file
            .lines()
            .find_map(|it| it.strip_prefix("# public key: "));
        let public = public.expect("a public key").to_owned();
        Self { file, public }
    }

    pub(crate) fn private(&self) -> &str {
        self.file.lines().last().unwrap()
    }

    pub(crate) fn env(&self) -> Env {
        var("AGE_IDENTITY", &self.file)
    }

    fn hint(&self) -> &str {
        &self.public[..16]
    }
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = folder("keys").join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Three tables of some chunks, a large object, and an extension.
fn filled(prefix: &str) -> Stage {
    let stage = Stage::new(prefix);
    stage.fill("salaries", 9);
    stage.fill("patients", 9);
    stage.database.sql(
        "CREATE EXTENSION hstore; CREATE TABLE diagnoses (id int PRIMARY KEY, who text, what hstore);
         INSERT INTO diagnoses SELECT n, 'plainly readable', 'a=>b' FROM generate_series(1, 5000) n;
         CREATE VIEW worst AS SELECT * FROM diagnoses WHERE id < 10;
         SELECT lo_from_bytea(4713, 'plainly readable')",
    );
    stage
}

fn manifest(stage: &Stage, folder: &str) -> Value {
    serde_json::from_slice(&stage.s3.read(&format!("{folder}/manifest.json"))).unwrap()
}

#[track_caller]
fn is_refused(ended: &Ended, words: &[&str]) {
    ended.expect_code(2);
    for word in words {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
}

#[test]
fn each_of_two_keys_alone_brings_an_encrypted_backup_back_in_every_way() {
    let stage = filled("encrypted");
    let whole = (stage.database.dump(), stage.database.checksums());
    let one = Pair::new();
    let both = format!("{}, {SSH_PUBLIC}", one.public);
    let folder = stage.back_up(&env([("ENCRYPT_TO", both.as_str()), ("BACKUP_JOBS", "2")]));
    let manifest = manifest(&stage, &folder);
    assert_eq!(manifest["format_version"], 3);
    assert_eq!(manifest["encryption"]["method"], "age");
    let recipients = [format!("{}…", one.hint()), SSH_FINGERPRINT.to_owned()];
    assert_eq!(
        manifest["encryption"]["recipients"],
        serde_json::json!(recipients)
    );
    let streams = manifest["streams"].as_array().unwrap();
    assert!(streams.len() > 2, "{manifest}");
    for stream in streams {
        let name = stream["name"].as_str().unwrap();
        assert!(name.ends_with(".age"), "{name}");
        let bytes = stage.s3.read(&format!("{folder}/{name}"));
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{name}");
        for plain in [&b"PGDMP"[..], b"plainly readable", b"salaries"] {
            assert!(!bytes.windows(plain.len()).any(|it| it == plain), "{name}");
        }
    }
    let ssh = written("ssh", &format!("# of the other admin\n{SSH_PRIVATE}"));
    let other = Pair::new();
    let mut several = var(
        "AGE_IDENTITY",
        &format!("{} {}", other.private(), one.private()),
    );
    several.extend(var("RESTORE_JOBS", "1"));
    let ssh = var("AGE_IDENTITY_FILE", ssh.to_str().unwrap());
    let keeping = with(&ssh, &var("RESTORE_KEEP_GOING", "true"));
    for key in [one.env(), ssh, several, keeping] {
        let empty = shared().database("encrypted_empty");
        restoring(&stage, &folder, &empty, &key)
            .run()
            .expect_code(0);
        assert!(empty.dump() == whole.0, "into an empty database");
        assert_eq!(empty.checksums(), whole.1);
        stage.database.sql("UPDATE diagnoses SET who = 'changed'");
        let ended = stage.restore(&key);
        ended.expect_code(0);
        is_silent(&ended, one.private());
        assert!(stage.database.dump() == whole.0, "in place");
        assert_eq!(stage.database.checksums(), whole.1);
    }
}

#[test]
fn without_its_key_an_encrypted_backup_is_refused_before_anything_is_touched() {
    let stage = Stage::new("nokey");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let (one, other) = (Pair::new(), Pair::new());
    let folder = stage.back_up(&var("ENCRYPT_TO", &one.public));
    stage.database.sql("UPDATE t SET a = 2");
    let before = stage.database.dump();
    let empty = shared().database("nokey_empty");
    let refused = |key: &Env, words: &[&str]| {
        is_refused(&stage.restore(key), words);
        let ended = restoring(&stage, &folder, &empty, key).run();
        is_refused(&ended, words);
        for secret in [one.private(), other.private(), "b3BlbnNzaC1rZXkt"] {
            is_silent(&ended, secret);
        }
        assert!(stage.database.dump() == before, "the contents have changed");
        assert_eq!(objects(&empty), "0");
    };
    refused(&env([]), &["is encrypted", one.hint(), "AGE_IDENTITY"]);
    refused(
        &other.env(),
        &[one.hint(), other.hint(), "nobody can restore"],
    );
    refused(
        &var("AGE_IDENTITY", &one.public),
        &["line 1 is a public key"],
    );
    let misspelt = one.private().replace("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-");
    refused(
        &var("AGE_IDENTITY", &misspelt),
        &["line 1 is no private key"],
    );
    let missing = var("AGE_IDENTITY_FILE", "/nothing/here");
    refused(&missing, &["AGE_IDENTITY_FILE", "/nothing/here"]);
    let comments = written("comments", "# nothing\n");
    let comments = var("AGE_IDENTITY_FILE", comments.to_str().unwrap());
    refused(&comments, &["no private key in it"]);
    for protected in [
        "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----",
        "age-encryption.org/v1\n-> scrypt",
        PROTECTED,
    ] {
        let key = var("AGE_IDENTITY", protected);
        refused(&key, &["protected by a passphrase"]);
    }
}

#[test]
fn a_file_of_recipients_is_read_and_a_wrong_one_stores_nothing() {
    let stage = Stage::new("recipients");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let (one, other) = (Pair::new(), Pair::new());
    let file = |text: &str| {
        let path = written("recipients", text);
        var("ENCRYPT_TO_FILE", path.to_str().unwrap())
    };
    for (settings, words) in [
        (
            file("# nobody yet\n\n"),
            vec!["ENCRYPT_TO_FILE", "no public key"],
        ),
        (file(&one.file), vec!["entry 1", "private key"]),
        (file("me@host"), vec!["entry 1 is no public key"]),
        (
            var("ENCRYPT_TO_FILE", "/nothing/here"),
            vec!["/nothing/here"],
        ),
        (
            var("ENCRYPT_TO", one.private()),
            vec!["ENCRYPT_TO is wrong", "private key"],
        ),
        (
            var("ENCRYPT_TO", SSH_PRIVATE),
            vec!["ENCRYPT_TO is wrong", "private key"],
        ),
        (var("ENCRYPT_TO", "  "), vec!["ENCRYPT_TO is wrong"]),
        (var("ENCRYPT_MANIFEST", "true"), vec!["ENCRYPT_MANIFEST"]),
    ] {
        let ended = stage.backup(&settings);
        is_refused(&ended, &words);
        is_silent(&ended, &one.private()[20..]);
        is_silent(&ended, "b3BlbnNzaC1rZXkt");
        stage.nothing_is_stored();
    }
    let text = format!("# the admins\n{}\n\n  # and\n{SSH_PUBLIC}\n", one.public);
    let settings = with(&file(&text), &var("ENCRYPT_TO", &other.public));
    let folder = stage.back_up(&settings);
    let named = manifest(&stage, &folder)["encryption"]["recipients"].clone();
    assert_eq!(named.as_array().unwrap().len(), 3);
    for key in [one.env(), other.env(), var("AGE_IDENTITY", SSH_PRIVATE)] {
        stage.restore(&key).expect_code(0);
    }
}

#[test]
fn a_backup_without_recipients_is_as_it_always_was() {
    let stage = Stage::new("plain");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let folder = stage.back_up(&env([]));
    let manifest = manifest(&stage, &folder);
    assert_eq!(manifest["format_version"], 1);
    assert_eq!(manifest.get("encryption"), None);
    // A key that nobody needs is no mistake.
    stage.restore(&Pair::new().env()).expect_code(0);
}

#[test]
fn an_encrypted_manifest_names_nothing_of_the_contents() {
    let stage = filled("hidden");
    stage.database.sql("ALTER TABLE salaries OWNER TO postgres");
    let whole = stage.database.dump();
    let one = Pair::new();
    let settings = env([
        ("ENCRYPT_TO", one.public.as_str()),
        ("ENCRYPT_MANIFEST", "true"),
        ("BACKUP_JOBS", "2"),
    ]);
    let folder = stage.back_up(&settings);
    let text = stage.s3.read(&format!("{folder}/manifest.json"));
    let text = String::from_utf8(text).unwrap();
    for word in ["salaries", "diagnoses", "hstore", "superusers"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let source = format!("127.0.0.1:{}/{}", shared().port(), stage.database.name());
    let listing = env([
        ("BACKUPER_TASK", "list"),
        ("BACKUP_SOURCE", source.as_str()),
    ]);
    let listed = backuper(&with(&stage.s3.env(), &listing)).succeed();
    assert!(listed.stdout.contains("\"tables\":null"), "{listed}");
    assert!(listed.stdout.contains("\"problem\":null"), "{listed}");
    let empty = shared().database("hidden_empty");
    let ended = restoring(&stage, &folder, &empty, &one.env()).run();
    ended.expect_code(0);
    assert!(ended.last_line().contains("3 tables"), "{ended}");
    assert!(empty.dump() == whole);
    stage.database.sql("DROP TABLE salaries");
    let refused = stage.restore(&Pair::new().env());
    is_refused(&refused, &["manifest.json is encrypted to", one.hint()]);
    stage.restore(&one.env()).expect_code(0);
    assert!(stage.database.dump() == whole);

    // What another backup to the same keys hides is not this one's.
    let second = stage.back_up(&settings);
    let mut mixed = manifest(&stage, &second);
    mixed["encryption"]["hidden"] = manifest(&stage, &folder)["encryption"]["hidden"].clone();
    let key = format!("{second}/manifest.json");
    stage.s3.put(&key, &serde_json::to_vec(&mixed).unwrap());
    is_refused(&stage.restore(&one.env()), &["damaged", "not its own"]);
}

#[test]
fn an_encrypted_backup_that_is_stopped_leaves_nothing_and_one_that_is_killed_no_manifest() {
    let stage = filled("stopped");
    let one = Pair::new();
    let settings = with(&stage.env(), &var("ENCRYPT_TO", &one.public));
    for (signal, code) in [(Signal::SIGTERM, Some(143)), (Signal::SIGKILL, None)] {
        let faults = Faults::start(stage.s3.port());
        let held = Fault::Wait(Duration::from_secs(120));
        faults.on("PUT", "data-", 1, held);
        let through = var("S3_ENDPOINT", &faults.endpoint());
        let through = with(&settings, &through);
        let running = backuper(&through).start();
        wait_for("the backup is held up", || {
            (!faults.struck().is_empty()).then_some(())
        });
        running.signal(signal);
        assert_eq!(running.wait().code(), code);
        assert_eq!(stage.s3.manifests(), Vec::<String>::new());
        if code.is_some() {
            stage.nothing_is_stored();
        }
    }
}

/// A restore that was killed is cleaned up after by one with the key, and by none without.
#[test]
fn what_a_killed_restore_has_left_is_removed_with_the_key_alone() {
    let stage = filled("killed");
    let whole = stage.database.dump();
    let one = Pair::new();
    stage.back_up(&var("ENCRYPT_TO", &one.public));
    stage.database.sql("DROP EXTENSION hstore CASCADE; DROP TABLE salaries, patients, diagnoses; SELECT lo_unlink(4713)");
    let faults = Faults::start(stage.s3.port());
    let held = Fault::Wait(Duration::from_secs(120));
    faults.on("GET", "data-000", 1, held);
    let through = with(&one.env(), &var("S3_ENDPOINT", &faults.endpoint()));
    let restoring = restorer(&with(&stage.env(), &through));
    let running = restoring.start();
    wait_for("the restore is held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    running.signal(Signal::SIGKILL);
    running.wait();
    is_refused(&stage.restore(&env([])), &["is encrypted", one.hint()]);
    stage.restore(&one.env()).expect_code(0);
    assert!(stage.database.dump() == whole);
}

#[test]
fn an_object_that_somebody_else_has_encrypted_is_named_as_such() {
    let stage = Stage::new("foreign");
    stage
        .s3
        .put("x/script.sql.age", b"age-encryption.org/v1\n-> X25519 x\n");
    let ended = stage.restore(&var("BACKUP_REVISION", "x/script.sql.age"));
    is_refused(&ended, &["encrypted with age", "age -d"]);
}

/// A database by its contents.
fn seen(database: &Database) -> (String, String) {
    (database.dump(), database.checksums())
}

/// Protected by a passphrase.
const PROTECTED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABD4/rS3DS
vfAVVSx7u6ESpkAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIDLmDDrY1BSPlv4r
IQXTF1SlPx/sjpnz+bikp40R27TkAAAAkOOouVvzJySk/UERcEhDF9RP/ath8a7ugC3ESi
D7VTA3Vs+TxgTN9zfQ7mCqT8B3w47v4+c0sc1BPIcPmWBXv5+8GrtRMIn6PmHKqbZiu16u
t924m92RF8iW1Uaq5VYr2ldWn8h9/GNd3GF9r9c6gfvhCiFcGF1YD4GE2DingtDsMy2OsW
efiSP8ejuPgZVY2A==
-----END OPENSSH PRIVATE KEY-----
";
