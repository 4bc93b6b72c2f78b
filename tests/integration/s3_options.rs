//! What objects on S3 are written with, on a server that people run: Object Lock, tags, checksums, and
//! what that server does not have.

use backuper::storage::Access;
use bytes::Bytes;

use super::s3_faults::store;
use super::testbed::postgres::shared;
use super::testbed::programs::{Ended, backuper, restorer};
use super::testbed::versitygw::Versitygw;
use super::testbed::{Env, block_on, env};
use super::workers::{var, with};

fn locking(days: &str) -> Env {
    env([
        ("S3_OBJECT_LOCK_MODE", "GOVERNANCE"),
        ("S3_OBJECT_LOCK_DAYS", days),
    ])
}

fn keys(env: &Env) -> Vec<String> {
    let listed = block_on(store(env, &[]).list("")).unwrap();
    listed.into_iter().map(|it| it.key).collect()
}

fn folder(keys: &[String]) -> String {
    let manifest = keys.iter().find(|it| it.ends_with("/manifest.json"));
    let manifest = manifest.expect("a complete backup");
    manifest.trim_end_matches("/manifest.json").to_owned()
}

#[track_caller]
fn says(ended: &Ended, code: i32, words: &[&str]) {
    ended.expect_code(code);
    for word in words {
        assert!(ended.printed().contains(word), "{word}: {ended}");
    }
}

#[test]
fn a_locked_backup_outlives_retention_and_deletion_and_is_no_failure() {
    let server = Versitygw::start();
    let bucket = server.bucket_with_lock();
    let database = shared().database("locked");
    database.sql("CREATE TABLE t AS SELECT 'kept' AS v");
    let base = with(&database.env(), &server.env(&bucket));
    let all = with(&base, &locking("2"));
    let first = backuper(&with(&all, &var("BACKUP_SCHEDULE", "nightly"))).run();
    first.expect_code(0);
    let made = keys(&server.env(&bucket));
    let locked = folder(&made);
    assert!(made.iter().all(|it| it.starts_with(&locked)), "{made:?}");
    for key in &made {
        let head = server
            .ask("HEAD", &format!("{bucket}/{key}"), &[])
            .to_lowercase();
        assert!(
            head.contains("x-amz-object-lock-mode: governance"),
            "{key}: {head}"
        );
        assert!(
            head.contains("x-amz-object-lock-retain-until-date: 20"),
            "{key}: {head}"
        );
    }
    // A later one without a lock of its own would have it deleted.
    let keep = env([("MAX_BACKUP_COUNT", "1"), ("BACKUP_SCHEDULE", "nightly")]);
    let second = backuper(&with(&base, &keep)).run();
    says(
        &second,
        0,
        &["what is beyond the retention and locked stays"],
    );
    assert!(!second.printed().contains("WARN"), "{second}");
    let now = keys(&server.env(&bucket));
    assert!(made.iter().all(|it| now.contains(it)), "{now:?}");
    for validate_only in ["true", "false"] {
        let delete = env([
            ("BACKUPER_TASK", "delete"),
            (
                "BACKUP_SOURCE",
                &format!("127.0.0.1:{}/{}", shared().port(), database.name()),
            ),
            ("BACKUP_KEY", &locked),
            ("DELETE_VALIDATE_ONLY", validate_only),
        ]);
        let refused = backuper(&with(&server.env(&bucket), &delete)).run();
        says(
            &refused,
            2,
            &["is locked in the store until 20", "nothing was deleted"],
        );
    }
    assert_eq!(keys(&server.env(&bucket)), now);
    // The preview says what retention did.
    let source = format!("127.0.0.1:{}/{}", shared().port(), database.name());
    let preview = env([("BACKUPER_TASK", "retention"), ("BACKUP_SOURCE", &source)]);
    let preview = with(&with(&server.env(&bucket), &keep), &preview);
    let said = backuper(&preview).run();
    says(
        &said,
        0,
        &["kept: the store has locked it until 20", "0 would go"],
    );
    assert!(!said.stdout.contains("\"goes\":true"), "{said}");
    database.sql("DROP TABLE t");
    restorer(&with(&base, &var("BACKUP_REVISION", &locked))).succeed();
    assert_eq!(database.sql("SELECT v FROM t"), "kept");
}

#[test]
fn what_cannot_be_locked_or_encrypted_is_refused_before_a_byte_is_dumped() {
    let server = Versitygw::start();
    let bucket = server.bucket();
    let database = shared().database("unlocked");
    let base = with(&database.env(), &server.env(&bucket));
    for (more, words) in [
        (locking("1"), "the bucket has no Object Lock"),
        (var("S3_SSE", "AES256"), "does not say that it encrypts"),
        (var("S3_SSE", "aws:kms"), "does not say that it encrypts"),
    ] {
        let ended = backuper(&with(&base, &more)).run();
        says(&ended, 2, &[words]);
        assert_eq!(keys(&server.env(&bucket)), [] as [String; 0], "{words}");
    }
}

#[test]
fn every_object_has_the_tags_and_whole_backups_come_back() {
    let server = Versitygw::start();
    let bucket = server.bucket();
    let database = shared().database("tagged");
    database.sql(
        "CREATE TABLE t (id int PRIMARY KEY, data bytea);
         ALTER TABLE t ALTER data SET STORAGE EXTERNAL;
         INSERT INTO t SELECT i, decode(string_agg(md5(i::text || j), ''), 'hex')
           FROM generate_series(1, 320) i, generate_series(1, 4096) j GROUP BY i",
    );
    let base = with(&database.env(), &server.env(&bucket));
    let more = env([
        ("S3_TAGS", "team=dba,cost centre=4/2"),
        ("S3_STORAGE_CLASS", "STANDARD_IA"),
        ("OBJECT_TAGS", "team=none,backup-name=nightly"),
    ]);
    let ended = backuper(&with(&base, &more)).run();
    ended.expect_code(0);
    assert!(!ended.printed().contains("Content-MD5"), "{ended}");
    for key in keys(&server.env(&bucket)) {
        let tags = server.ask("GET", &format!("{bucket}/{key}?tagging="), &[]);
        for tag in [
            "<Key>team</Key><Value>dba</Value>",
            "<Key>cost centre</Key><Value>4/2</Value>",
            "<Key>backup-name</Key><Value>nightly</Value>",
            "<Key>timestamp</Key><Value>20",
        ] {
            assert!(tags.contains(tag), "{key}: {tags}");
        }
    }
    let before = database.sql("SELECT md5(string_agg(data, '' ORDER BY id)) FROM t");
    database.sql("DROP TABLE t");
    restorer(&base).succeed();
    assert_eq!(
        database.sql("SELECT md5(string_agg(data, '' ORDER BY id)) FROM t"),
        before
    );
}

#[test]
fn a_gzip_is_one_to_whoever_asks_the_server_and_what_is_encrypted_is_none() {
    let server = Versitygw::start();
    let bucket = server.bucket();
    let store = store(&server.env(&bucket), &[]);
    for bytes in [7, 20 << 20] {
        for (ending, is_gzip) in [(".sql.gz", true), (".sql.gz.age", false), (".zst", false)] {
            let key = format!("{bytes}{ending}");
            let write = async {
                let mut upload = store.upload(&key, 0).await?;
                upload.write(Bytes::from(vec![7; bytes])).await?;
                upload.complete().await
            };
            block_on(write).unwrap();
            let head = server.ask("HEAD", &format!("{bucket}/{key}"), &[]);
            let head = head.to_lowercase();
            let says = head.contains("content-type: application/gzip");
            assert_eq!(says, is_gzip, "{key}: {head}");
            assert!(!head.contains("content-encoding"), "{key}: {head}");
        }
    }
}

#[test]
fn an_upload_of_parts_is_proven_by_either_checksum() {
    let server = Versitygw::start();
    let env = server.env(&server.bucket());
    let body = Bytes::from(vec![7; 20 << 20]);
    for checksum in ["auto", "crc32c", "md5"] {
        let store = store(&env, &[("S3_CHECKSUM", checksum)]);
        let write = async {
            store.probe("shop/", Access::Write).await?;
            let mut upload = store.upload("shop/large", 0).await?;
            upload.write(body.clone()).await?;
            let stored = upload.complete().await?;
            assert!(stored.etag.is_some(), "{checksum}: it would be read back");
            store.verify("shop/large", &stored).await
        };
        block_on(write).unwrap();
    }
}
