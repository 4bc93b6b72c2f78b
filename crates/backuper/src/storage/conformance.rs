//! What every store promises, tried on each: in memory, in a directory, on an S3 server.

#![cfg(test)]

mod directory;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::file::FileStorage;
use super::memory::MemoryStorage;
use super::s3::options::Options;
use super::{Access, Config, Kind, Place, S3Place, Storage, Stored, Tls, connect};

/// A store with the folder in which its unfinished uploads show.
struct Tried {
    name: &'static str,
    store: Arc<dyn Storage>,
    folder: tempfile::TempDir,
}

impl Tried {
    /// Files below the store's folder that belong to no object.
    fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.retain(|it| it.contains(".upload"));
        found
    }
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if !entry.path().is_dir() {
            found.push(entry.path().display().to_string());
            continue;
        }
        // S3 keeps an upload's parts in one place and a folder for the upload in another.
        if entry.file_name().to_string_lossy().starts_with(".upload-") {
            found.push(entry.path().display().to_string());
        }
        walk(&entry.path(), found);
    }
}

async fn all() -> [Tried; 4] {
    let folder = || tempfile::tempdir().unwrap();
    let directory = folder();
    let file = FileStorage::new(directory.path().to_owned(), Some("bucket"));
    [
        Tried {
            name: "memory",
            store: Arc::new(MemoryStorage::default()),
            folder: folder(),
        },
        Tried {
            name: "file",
            store: Arc::new(file),
            folder: directory,
        },
        s3("").await,
        Tried {
            name: "s3 with a prefix",
            ..s3("team-a/prod").await
        },
    ]
}

/// A server in this process that checks signatures, with one bucket.
async fn s3(prefix: &str) -> Tried {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("bucket")).unwrap();
    let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single("key", "the secret"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                // Clients that hang up in the middle are part of the tests.
                drop(http.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    let config = Config {
        place: Place::S3(S3Place {
            endpoint: Some(endpoint),
            bucket: "bucket".parse().unwrap(),
            access_key: Some("key".into()),
            secret_key: Some("the secret".into()),
            session_token: None,
            region: None,
            force_path_style: None,
            options: Options::default(),
        }),
        prefix: prefix.parse().unwrap(),
        tls: Tls::default(),
    };
    Tried {
        name: "s3",
        store: connect(&config).await.unwrap(),
        folder,
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn keys(store: &dyn Storage, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).await.unwrap();
    listed.into_iter().map(|it| it.key).collect()
}

async fn read(store: &dyn Storage, key: &str) -> Vec<u8> {
    let body = store.open(key).await.unwrap();
    let whole = body.try_fold(Vec::new(), |mut whole, chunk| async move {
        whole.extend_from_slice(&chunk);
        Ok(whole)
    });
    whole.await.unwrap()
}

/// Bytes that do not repeat where parts or chunks do.
fn many(count: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(byte).collect()
}

#[tokio::test]
async fn what_was_put_is_there_until_it_is_deleted() {
    for Tried { name, store, .. } in all().await {
        let (key, body) = ("shop/one.txt", Bytes::from_static(b"first"));
        assert_eq!(store.stat(key).await.unwrap_err().kind, Kind::NotFound);
        assert_eq!(store.get(key, 9).await.unwrap_err().kind, Kind::NotFound);
        let missing = store.open(key).await.err().map(|it| it.kind);
        assert_eq!(missing, Some(Kind::NotFound), "{name}");

        let stored = store.put(key, body.clone()).await.unwrap();
        assert_eq!((stored.size, stored.sha256), (5, hash(b"first")), "{name}");
        let found = store.stat(key).await.unwrap();
        assert_eq!((found.key.as_str(), found.size), (key, 5), "{name}");
        let age = Timestamp::now().duration_since(found.modified);
        assert!(age.as_secs().abs() < 60, "{name}: {age}");
        assert_eq!(store.get(key, 5).await.unwrap(), body, "{name}");
        assert_eq!(store.get(key, 4).await.unwrap_err().kind, Kind::Corrupt);
        assert_eq!(read(&*store, key).await, b"first", "{name}");

        let second = store.put(key, Bytes::from_static(b"2nd")).await.unwrap();
        store.verify(key, &second).await.unwrap();
        assert_eq!(read(&*store, key).await, b"2nd", "{name}");

        let both = [key.to_owned(), "shop/never".to_owned()];
        assert!(store.delete(&both).await.is_empty(), "{name}");
        assert!(store.delete(&both).await.is_empty(), "{name}: again");
        assert_eq!(store.stat(key).await.unwrap_err().kind, Kind::NotFound);
        assert!(keys(&*store, "").await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_probe_writes_and_leaves_nothing() {
    for Tried { name, store, .. } in all().await {
        store.probe("shop/", Access::Write).await.unwrap();
        store.probe("shop/", Access::Read).await.unwrap();
        assert!(keys(&*store, "").await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_rehearsal_shows_no_object_and_leaves_nothing() {
    for tried in all().await {
        let Tried { name, store, .. } = &tried;
        store.rehearse("shop/one").await.unwrap();
        assert!(keys(&**store, "").await.is_empty(), "{name}");
        assert_eq!(tried.leftovers(), Vec::<String>::new(), "{name}");
        let survey = store.survey("shop/").await;
        assert_eq!(survey.uploads.unwrap_or(0), 0, "{name}");
        assert_eq!(survey.free.is_some(), *name == "file", "{name}");
        if let Some(clock) = survey.clock {
            let age = Timestamp::now().duration_since(clock);
            assert!(age.as_secs().abs() < 60, "{name}: {age}");
        }
        assert_eq!(survey.clock.is_some(), name.starts_with("s3"), "{name}");
    }
}

#[tokio::test]
async fn odd_keys_are_kept_as_they_are() {
    let odd = [
        "a b/c  d",
        "hundred%/25%2F",
        "plus+minus-&=?#;",
        "ŝafoŝtalo/数据/🐘",
        "quote'\"<>/back\\slash",
        "dots/.hidden/..almost",
    ];
    for Tried { name, store, .. } in all().await {
        for key in odd {
            let body = Bytes::from(format!("body of {key}"));
            let stored = store.put(key, body.clone()).await.unwrap();
            store.verify(key, &stored).await.unwrap();
            assert_eq!(store.get(key, 99).await.unwrap(), body, "{name} {key}");
            assert_eq!(keys(&*store, key).await, [key], "{name} {key}");
        }
        let mut sorted = odd.map(str::to_owned);
        sorted.sort();
        assert_eq!(keys(&*store, "").await, sorted, "{name}");
        assert!(store.delete(&sorted).await.is_empty(), "{name}");
        assert!(keys(&*store, "").await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn listings_and_deletions_do_not_end_at_a_thousand() {
    for Tried { name, store, .. } in all().await {
        let wanted: Vec<String> = (0..1_050).map(|it| format!("many/{it:04}")).collect();
        let puts = wanted.iter().cloned().chain(["many-others".to_owned()]);
        let puts = puts.map(|key| {
            let store = &store;
            async move { store.put(&key, Bytes::from_static(b"x")).await.map(drop) }
        });
        let puts = futures::stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(16);
        puts.try_collect::<()>().await.unwrap();
        assert_eq!(keys(&*store, "many/").await, wanted, "{name}");
        assert!(store.delete(&wanted).await.is_empty(), "{name}");
        assert_eq!(keys(&*store, "").await, ["many-others"], "{name}");
    }
}

#[tokio::test]
async fn a_large_object_appears_whole_and_only_when_it_is_complete() {
    let body = many(20_000_003);
    for tried in all().await {
        let Tried { name, store, .. } = &tried;
        let mut upload = store.upload("large/one", 0).await.unwrap();
        for start in (0..body.len()).step_by(777_777) {
            let end = body.len().min(start + 777_777);
            upload.write(body.slice(start..end)).await.unwrap();
        }
        assert!(keys(&**store, "").await.is_empty(), "{name}");
        let stored = upload.complete().await.unwrap();
        let expected = (20_000_003, hash(&body));
        assert_eq!((stored.size, stored.sha256.clone()), expected, "{name}");
        store.verify("large/one", &stored).await.unwrap();
        // With the tag unknown the object itself is read.
        let unknown = Stored {
            etag: None,
            ..stored
        };
        store.verify("large/one", &unknown).await.unwrap();
        assert!(read(&**store, "large/one").await == body, "{name}");
        assert_eq!(tried.leftovers(), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn an_upload_of_nothing_is_an_empty_object() {
    for Tried { name, store, .. } in all().await {
        let upload = store.upload("empty", 0).await.unwrap();
        let stored = upload.complete().await.unwrap();
        assert_eq!((stored.size, stored.sha256.clone()), (0, hash(b"")));
        store.verify("empty", &stored).await.unwrap();
        assert!(read(&*store, "empty").await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn an_upload_that_is_aborted_leaves_nothing() {
    let body = many(18 << 20);
    for tried in all().await {
        let Tried { name, store, .. } = &tried;
        let mut aborted = store.upload("gone/aborted", 0).await.unwrap();
        aborted.write(body.clone()).await.unwrap();
        assert_eq!(tried.leftovers().is_empty(), *name == "memory", "{name}");
        aborted.abort().await.unwrap();
        assert_eq!(tried.leftovers(), Vec::<String>::new(), "{name}: aborted");

        let mut dropped = store.upload("gone/dropped", 0).await.unwrap();
        dropped.write(body.clone()).await.unwrap();
        drop(dropped);
        let mut cancelled = store.upload("gone/cancelled", 0).await.unwrap();
        // Begun and no more than begun, whatever comes of it.
        drop(tokio::time::timeout(Duration::ZERO, cancelled.write(body.clone())).await);
        drop(cancelled);

        for _ in 0..1_200 {
            if tried.leftovers().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(tried.leftovers(), Vec::<String>::new(), "{name}: dropped");
        assert!(keys(&**store, "").await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_what_was_written_does_not_pass() {
    for Tried { name, store, .. } in all().await {
        let right = store.put("k", Bytes::from_static(b"right")).await.unwrap();
        for wrong in ["wrong", "longer than it was", ""] {
            store.put("k", Bytes::from(wrong)).await.unwrap();
            let error = store.verify("k", &right).await.unwrap_err();
            assert_eq!(error.kind, Kind::Corrupt, "{name} {wrong}: {error}");
        }
        store.delete(&["k".to_owned()]).await;
        let error = store.verify("k", &right).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{name}: {error}");
    }
}

/// F42: what one upload holds keeps no other from writing.
#[tokio::test]
async fn an_upload_waits_for_no_other_uploads_parts() {
    let s3 = s3("").await;
    let part = many(7 << 20);
    // Each holds a whole part that is not sent before more comes.
    let mut holding = Vec::new();
    for number in 0..6 {
        let mut upload = s3.store.upload(&format!("held/{number}"), 0).await.unwrap();
        upload.write(part.slice(1..)).await.unwrap();
        holding.push(upload);
    }
    for expected in [0, 1 << 40] {
        let mut upload = s3.store.upload("free", expected).await.unwrap();
        let writing = async {
            for _ in 0..3 {
                upload.write(part.clone()).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), writing)
            .await
            .expect("nobody is waited for");
        let stored = upload.complete().await.unwrap();
        s3.store.verify("free", &stored).await.unwrap();
    }
    for upload in holding {
        upload.abort().await.unwrap();
    }
}
