//! The S3 store alone, behind a proxy that breaks what it asks: what is tried again, what is not,
//! and how soon.

use std::sync::Arc;

use backuper::job::store::StoreSettings;
use backuper::runtime::settings::read_from;
use backuper::storage::{Access, Kind, Storage, Stored, connect};
use bytes::Bytes;
use futures::TryStreamExt as _;
use sha2::{Digest, Sha256};

use super::testbed::s3::S3;
use super::testbed::s3_faults::{Fault, Faults, Rule};
use super::testbed::tls::Authority;
use super::testbed::{Env, block_on, wait_for};

#[derive(clap::Parser)]
struct Settings {
    #[command(flatten)]
    store: StoreSettings,
}

fn store(env: &Env, more: &[(&str, &str)]) -> Arc<dyn Storage> {
    let mut pairs: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| more.iter().all(|(other, _)| name != other))
        .collect();
    pairs.extend(more);
    let settings: Settings = read_from(pairs).unwrap();
    block_on(connect(&settings.store.config())).unwrap()
}

fn behind(faults: &Faults, s3: &S3) -> Arc<dyn Storage> {
    store(&s3.env_at(&faults.endpoint()), &[])
}

fn write(store: &dyn Storage, key: &str, body: &Bytes) -> Result<Stored, Kind> {
    let write = async {
        let mut upload = store.upload(key).await?;
        upload.write(body.clone()).await?;
        upload.complete().await
    };
    block_on(write).map_err(|error| error.kind)
}

fn body() -> Bytes {
    (0..20_u32 << 20)
        .map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn a_completion_whose_answer_is_lost_is_a_completion() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let store = behind(&faults, &s3);
    faults.on("POST", "uploadId=", 1, Fault::LoseAnswer);
    let stored = write(&*store, "shop/large", &body()).unwrap();
    assert_eq!(faults.struck().len(), 1);
    block_on(store.verify("shop/large", &stored)).unwrap();
    assert_eq!(s3.read("shop/large"), body());
    assert_eq!(s3.uploads_under_way(), 0);
}

#[test]
fn a_completion_that_fails_gives_the_upload_up() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let store = behind(&faults, &s3);
    faults.on("POST", "uploadId=", 100, Fault::Answer(403));
    assert_eq!(write(&*store, "shop/large", &body()), Err(Kind::Denied));
    assert_eq!(s3.keys(), Vec::<String>::new());
    wait_for("the upload to be given up", || {
        (s3.uploads_under_way() == 0).then_some(())
    });
}

#[test]
fn a_body_that_breaks_twice_is_read_to_its_end() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let store = behind(&faults, &s3);
    let body = body();
    s3.put("shop/large", &body);
    faults.on("GET", "shop/large", 2, Fault::CutAnswer(30));
    let read = async {
        let chunks = store.open("shop/large").await?;
        let hash = chunks.try_fold(Sha256::new(), |mut hash, chunk| async move {
            hash.update(&chunk);
            Ok(hash)
        });
        hash.await
    };
    let hash = block_on(read).unwrap();
    assert_eq!(faults.struck().len(), 2);
    assert_eq!(hash.finalize(), Sha256::digest(&body));
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_not_mixed() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let store = behind(&faults, &s3);
    let body = body();
    write(&*store, "shop/large", &body).unwrap();
    faults.on("GET", "shop/large", 1, Fault::CutAnswer(30));
    let read = async {
        let mut chunks = store.open("shop/large").await?;
        let mut replaced = false;
        while chunks.try_next().await?.is_some() {
            if !replaced {
                store
                    .put("shop/large", Bytes::from(vec![0; body.len()]))
                    .await?;
                replaced = true;
            }
        }
        Ok::<_, backuper::storage::Error>(())
    };
    let error = block_on(read).unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
    assert_eq!(faults.struck().len(), 1);
}

#[test]
fn deletions_during_an_outage_are_not_tried_key_by_key() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let store = behind(&faults, &s3);
    let keys: Vec<String> = (0..50).map(|it| format!("shop/{it}")).collect();
    keys.iter().for_each(|key| s3.put(key, b"x"));
    faults.on("POST", "delete", 1_000, Fault::Answer(503));
    let left = block_on(store.delete(&keys));
    assert_eq!(left.len(), 50);
    assert!(left.iter().all(|(_, it)| it.kind == Kind::Unavailable));
    assert!(faults.seen().iter().all(|it| it.starts_with("POST")));
}

#[test]
fn a_server_without_the_large_deletion_gets_small_ones() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let store = behind(&faults, &s3);
    let keys: Vec<String> = (0..5).map(|it| format!("shop/{it}")).collect();
    keys.iter().for_each(|key| s3.put(key, b"x"));
    faults.on("POST", "delete", 1, Fault::Answer(400));
    assert!(block_on(store.delete(&keys)).is_empty());
    assert_eq!(faults.struck().len(), 1);
    assert_eq!(s3.keys(), Vec::<String>::new());
}

#[test]
fn what_trying_again_will_not_mend_is_refused_at_once() {
    let s3 = S3::start();
    for (more, kind) in [
        (("S3_SECRET_KEY", "another-secret"), Kind::Denied),
        (("S3_ACCESS_KEY", "AKNOBODY"), Kind::Denied),
        (("S3_BUCKET_NAME", "no-such-bucket"), Kind::NoBucket),
    ] {
        let faults = Faults::start(s3.port());
        let store = store(&s3.env_at(&faults.endpoint()), &[more]);
        let error = block_on(store.probe("shop/", Access::Write)).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(faults.seen().len(), 1, "asked once: {:?}", faults.seen());
        let text = error.to_string();
        assert!(!text.contains("another-secret") && !text.contains(s3.secret_key()));
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_certificate_is_believed_only_with_its_authority() {
    let authority = Authority::new();
    let s3 = S3::start_with_tls(&authority);
    let untrusting = store(&s3.env(), &[]);
    let error = block_on(untrusting.probe("shop/", Access::Write)).unwrap_err();
    assert_eq!(error.kind, Kind::Misconfigured, "{error}");

    let file = authority.file();
    let trusting = store(&s3.env(), &[("S3_CA_FILE", file.to_str().unwrap())]);
    write(&*trusting, "shop/large", &body()).unwrap();
    let careless = store(&s3.env(), &[("SECURE", "false")]);
    block_on(careless.probe("shop/", Access::Write)).unwrap();
    let stored = write(&*careless, "shop/other", &body()).unwrap();
    block_on(careless.verify("shop/other", &stored)).unwrap();
    assert_eq!(s3.keys(), ["shop/large", "shop/other"]);
}

#[test]
fn a_part_that_the_server_refuses_five_times_is_taken_in_the_end() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let store = behind(&faults, &s3);
    faults.add(Rule {
        method: "PUT",
        path: "partNumber=2".to_owned(),
        skip: 0,
        times: 5,
        fault: Fault::Answer(503),
    });
    let stored = write(&*store, "shop/large", &body()).unwrap();
    assert_eq!(faults.struck().len(), 5);
    block_on(store.verify("shop/large", &stored)).unwrap();
}

/// The S3 server of the tests has no ListMultipartUploads, so this one is played.
#[test]
fn unfinished_uploads_are_given_up_on_every_page_though_one_cannot_be() {
    use wiremock::matchers::{method, query_param, query_param_is_missing};
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let page = |number: u32, next: &str| {
        let key = format!("shop/2026-11-0{number}-00-00-00-backup-00000000/data-000.dump.zst");
        ResponseTemplate::new(200).set_body_raw(
            format!(
                "<?xml version=\"1.0\"?><ListMultipartUploadsResult><Bucket>b</Bucket>{next}\
                 <Upload><Key>{key}</Key><UploadId>u{number}</UploadId>\
                 <Initiated>2026-11-01T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>"
            ),
            "application/xml",
        )
    };
    block_on(async {
        let server = MockServer::start().await;
        let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
                    <NextUploadIdMarker>i</NextUploadIdMarker>";
        let listing = || Mock::given(method("GET")).and(query_param("uploads", ""));
        listing()
            .and(query_param_is_missing("key-marker"))
            .respond_with(page(1, more))
            .mount(&server)
            .await;
        listing()
            .and(query_param("key-marker", "k"))
            .and(query_param("upload-id-marker", "i"))
            .respond_with(page(2, "<IsTruncated>false</IsTruncated>"))
            .mount(&server)
            .await;
        for (id, status) in [("u1", 403), ("u2", 204)] {
            Mock::given(method("DELETE"))
                .and(query_param("uploadId", id))
                .respond_with(ResponseTemplate::new(status))
                .expect(1)
                .mount(&server)
                .await;
        }
        let pairs = [
            ("S3_ENDPOINT", server.uri()),
            ("S3_BUCKET_NAME", "bucket".to_owned()),
            ("S3_ACCESS_KEY", "a".to_owned()),
            ("S3_SECRET_KEY", "s".to_owned()),
        ];
        let settings: Settings =
            read_from(pairs.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        let store = connect(&settings.store.config()).await.unwrap();
        let now = jiff::Timestamp::now();
        let error = store
            .abort_uploads("shop/", now, &|_| true)
            .await
            .expect_err("u1 stays");
        assert_eq!(error.kind, Kind::Denied);
        server.verify().await;
    });
}
