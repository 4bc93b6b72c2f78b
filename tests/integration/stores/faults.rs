//! What goes wrong on the way to a cloud, and what clouds do that their emulators do not: fake-gcs-server
//! makes an object of an upload when it is asked how much of it has arrived.

use std::sync::{Arc, Mutex};

use backuper::storage::{Kind, Storage, Stored};
use bytes::Bytes;
use futures::TryStreamExt as _;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::promises::{hash, many};
use super::{azure, google};
use crate::s3_faults::store;
use crate::testbed::s3_faults::{Fault, Faults};
use crate::testbed::{block_on, env};

fn write(store: &dyn Storage, key: &str, body: &Bytes) -> Result<Stored, Kind> {
    let writing = async {
        let mut upload = store.upload(key, 0).await?;
        for start in (0..body.len()).step_by(1 << 20) {
            let end = body.len().min(start + (1 << 20));
            upload.write(body.slice(start..end)).await?;
        }
        upload.complete().await
    };
    block_on(writing).map_err(|error| error.kind)
}

fn read(store: &dyn Storage, key: &str) -> Vec<u8> {
    block_on(async {
        let body = store.open(key).await.unwrap();
        let chunks: Vec<Bytes> = body.try_collect().await.unwrap();
        chunks.concat()
    })
}

/// An upload as Google keeps it.
#[derive(Debug, Default)]
struct Session {
    kept: Vec<u8>,
    /// Which pieces half arrive and are answered with 503, counted from 1.
    broken: Vec<usize>,
    pieces: usize,
    /// Whether the first answer to the last piece is lost.
    loses_last: bool,
    /// What it says that the object's CRC32C is.
    crc32c: Option<&'static str>,
    asked: usize,
}

#[derive(Clone, Debug)]
struct Google(Arc<Mutex<Session>>);

impl Respond for Google {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut session = self.0.lock().unwrap();
        let range = request.headers["content-range"].to_str().unwrap();
        let (range, total) = range
            .strip_prefix("bytes ")
            .unwrap()
            .split_once('/')
            .unwrap();
        let mut fails = false;
        if range == "*" {
            session.asked += 1;
        } else {
            session.pieces += 1;
            let begin: usize = range.split_once('-').unwrap().0.parse().unwrap();
            assert_eq!(begin, session.kept.len(), "nothing is sent twice");
            fails = session.broken.contains(&session.pieces);
            let arrived = request.body.len() / if fails { 2 } else { 1 };
            let arrived = &request.body[..arrived];
            session.kept.extend_from_slice(arrived);
        }
        let whole = total.parse() == Ok(session.kept.len());
        if whole && std::mem::take(&mut session.loses_last) || fails {
            return ResponseTemplate::new(503);
        }
        if whole {
            let mut made = serde_json::json!({ "name": "k", "size": total });
            if let Some(crc32c) = session.crc32c {
                made["crc32c"] = crc32c.into();
            }
            return ResponseTemplate::new(200).set_body_json(made);
        }
        let answer = ResponseTemplate::new(308);
        match session.kept.len() {
            0 => answer,
            count => answer.insert_header("range", format!("bytes=0-{}", count - 1)),
        }
    }
}

/// Writes to a Google that does this; gives what came of it, and what it has then.
fn written(session: Session, body: &Bytes) -> (Result<Stored, Kind>, Session) {
    let session = Arc::new(Mutex::new(session));
    let server = block_on(MockServer::start());
    let begun =
        ResponseTemplate::new(200).insert_header("location", format!("{}/session", server.uri()));
    block_on(async {
        let begin = Mock::given(method("POST")).and(path("/upload/storage/v1/b/bucket/o"));
        begin.respond_with(begun).mount(&server).await;
        let put = Mock::given(method("PUT")).and(path("/session"));
        put.respond_with(Google(Arc::clone(&session)))
            .mount(&server)
            .await;
        let end = Mock::given(method("DELETE")).and(path("/session"));
        end.respond_with(ResponseTemplate::new(499))
            .mount(&server)
            .await;
    });
    let uri = server.uri();
    let place = [
        ("STORE_URL", "gs://bucket"),
        ("STORAGE_EMULATOR_HOST", uri.as_str()),
    ];
    let outcome = write(&*store(&env(place), &[]), "k", body);
    let session = std::mem::take(&mut *session.lock().unwrap());
    (outcome, session)
}

#[test]
fn an_upload_to_google_goes_on_where_it_broke() {
    let body = many(20_000_003);
    let breaking = Session {
        broken: vec![1, 3, 5],
        ..Session::default()
    };
    let (outcome, session) = written(breaking, &body);
    assert_eq!(outcome.unwrap().sha256, hash(&body));
    assert!(session.kept == body);
    assert_eq!(session.asked, 3);
}

#[test]
fn a_completion_at_google_whose_answer_is_lost_is_a_completion() {
    let body = many(16_000_000);
    let losing = Session {
        loses_last: true,
        ..Session::default()
    };
    let (outcome, session) = written(losing, &body);
    assert_eq!(outcome.unwrap().size, 16_000_000);
    assert!(session.kept == body);
}

#[test]
fn an_object_at_google_with_another_checksum_is_no_success() {
    let lying = Session {
        crc32c: Some("AAAAAA=="),
        ..Session::default()
    };
    let (outcome, _) = written(lying, &many(16_000_000));
    assert_eq!(outcome.unwrap_err(), Kind::Corrupt);
}

#[test]
fn a_download_from_a_cloud_goes_on_where_it_broke() {
    let body = many(9_000_000);
    let (google, azure) = (google(), azure());
    let faults = Faults::start(google.port());
    let at = faults.endpoint();
    let gcs = store(&google.env("a"), &[("STORAGE_EMULATOR_HOST", &at)]);
    let azure_faults = Faults::start(azure.port());
    let at = format!("{}/devstoreaccount1", azure_faults.endpoint());
    let azure = store(&azure.env("a"), &[("AZURE_STORAGE_ENDPOINT", &at)]);
    for (store, faults) in [(gcs, faults), (azure, azure_faults)] {
        let stored = write(&*store, "k", &body).unwrap();
        block_on(store.verify("k", &stored)).unwrap();
        // What was written is proven by what the service tells, and not read back.
        let read_back = |it: &&String| {
            it.starts_with("GET") && it.contains("/k") && {
                it.contains("alt=media") || !it.contains('?')
            }
        };
        assert_eq!(faults.seen().iter().find(read_back), None);
        let what = if faults.seen().iter().any(|it| it.contains("/storage/v1/")) {
            "alt=media"
        } else {
            "/a/k"
        };
        faults.on("GET", what, 2, Fault::CutAnswer(40));
        assert!(read(&*store, "k") == body);
        assert_eq!(faults.struck().len(), 2);
    }
}

#[test]
fn what_azure_has_taken_and_not_answered_is_no_failure() {
    let body = many(16_000_000);
    let azure = azure();
    let faults = Faults::start(azure.port());
    let at = format!("{}/devstoreaccount1", faults.endpoint());
    let store = store(&azure.env("a"), &[("AZURE_STORAGE_ENDPOINT", &at)]);
    faults.on("PUT", "comp=blocklist", 1, Fault::LoseAnswer);
    faults.on("PUT", "comp=block&", 1, Fault::CutRequest(50));
    faults.on("PUT", "comp=block&", 1, Fault::LoseAnswer);
    let stored = write(&*store, "k", &body).unwrap();
    assert_eq!(faults.struck().len(), 3);
    block_on(store.verify("k", &stored)).unwrap();
    assert!(read(&*store, "k") == body);
}
