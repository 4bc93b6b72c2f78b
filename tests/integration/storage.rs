//! What every store promises, on all that there are: S3, a directory, memory.

use std::sync::Arc;

use backuper::runtime::settings::read_from;
use backuper::storage::memory::MemoryStorage;
use backuper::storage::{Access, Kind, Storage, connect};
use bytes::Bytes;
use futures::TryStreamExt as _;

use super::testbed::s3::S3;
use super::testbed::{block_on, folder};

const ODD_KEYS: [&str; 5] = ["p/a b", "p/100%25", "p/größe", "p/a+b&c=d", "p/it's \"q\""];

/// All stores, each empty, and what keeps them alive.
fn stores() -> (Vec<Arc<dyn Storage>>, S3) {
    let s3 = S3::start();
    let remote = open(&s3.env());
    let place = format!("file://{}", folder("store").display());
    let local = open(&super::testbed::env([("S3_ENDPOINT", &place)]));
    (vec![remote, local, Arc::new(MemoryStorage::default())], s3)
}

fn open(env: &super::testbed::Env) -> Arc<dyn Storage> {
    let mut pairs = vec![("DB_HOST", "x"), ("DB_USER", "x"), ("DB_NAME", "x")];
    pairs.extend(
        env.iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let job: backuper::job::BackupJob = read_from(pairs).unwrap();
    block_on(connect(&job.store)).unwrap()
}

fn noise(bytes: usize) -> Bytes {
    let mut state = 1u32;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

async fn read(store: &dyn Storage, key: &str) -> Vec<u8> {
    let body = store.open(key).await.unwrap();
    let chunks: Vec<Bytes> = body.try_collect().await.unwrap();
    chunks.concat()
}

async fn keys(store: &dyn Storage, prefix: &str) -> Vec<String> {
    let objects = store.list(prefix).await.unwrap();
    objects.into_iter().map(|it| it.key).collect()
}

#[test]
fn an_object_of_any_size_comes_back_as_it_was_written() {
    let (stores, s3) = stores();
    block_on(async {
        for store in &stores {
            store.probe("p/", Access::Write).await.unwrap();
            for size in [0, 1, (8 << 20) - 1, 8 << 20, (20 << 20) + 7] {
                let written = noise(size);
                let mut upload = store.upload("p/object").await.unwrap();
                for chunk in written.chunks(3 << 20) {
                    upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
                }
                let stored = upload.complete().await.unwrap();
                assert_eq!(stored.size, size as u64);
                store.verify("p/object", &stored).await.unwrap();
                assert_eq!(store.stat("p/object").await.unwrap().size, size as u64);
                assert!(
                    read(store.as_ref(), "p/object").await == written,
                    "{store:?} {size}"
                );
            }
            assert_eq!(keys(store.as_ref(), "p/").await, ["p/object"]);
        }
    });
    assert_eq!(s3.uploads_under_way(), 0);
}

#[test]
fn an_upload_that_is_aborted_or_dropped_leaves_no_object() {
    let (stores, s3) = stores();
    block_on(async {
        for store in &stores {
            store.probe("p/", Access::Write).await.unwrap();
            for dropped in [false, true] {
                let mut upload = store.upload("p/never").await.unwrap();
                upload.write(noise(17 << 20)).await.unwrap();
                if dropped {
                    drop(upload);
                } else {
                    upload.abort().await.unwrap();
                }
                assert_eq!(keys(store.as_ref(), "").await, Vec::<String>::new());
                let missing = store.stat("p/never").await.unwrap_err();
                assert_eq!(missing.kind, Kind::NotFound, "{store:?}");
            }
        }
    });
    super::testbed::wait_for("the dropped upload is given up", || {
        (s3.uploads_under_way() == 0).then_some(())
    });
}

#[test]
fn what_is_not_what_was_written_is_found_out() {
    let (stores, s3) = stores();
    block_on(async {
        for store in &stores {
            store.probe("p/", Access::Write).await.unwrap();
            let stored = store
                .put("p/x", Bytes::from_static(b"right"))
                .await
                .unwrap();
            store
                .put("p/x", Bytes::from_static(b"wrong"))
                .await
                .unwrap();
            let error = store.verify("p/x", &stored).await.unwrap_err();
            assert_eq!(error.kind, Kind::Corrupt, "{store:?}");
            let error = store.get("p/x", 4).await.unwrap_err();
            assert_eq!(error.kind, Kind::Corrupt, "{store:?}");
            assert_eq!(store.get("p/x", 5).await.unwrap(), "wrong");
        }
    });
    drop(s3);
}

#[test]
fn keys_of_every_kind_are_listed_read_and_deleted() {
    let (stores, s3) = stores();
    block_on(async {
        for store in &stores {
            store.probe("p/", Access::Write).await.unwrap();
            for key in ODD_KEYS {
                store.put(key, Bytes::from(key)).await.unwrap();
            }
            let mut wanted = ODD_KEYS.map(str::to_owned).to_vec();
            wanted.sort();
            assert_eq!(keys(store.as_ref(), "p/").await, wanted, "{store:?}");
            for key in ODD_KEYS {
                assert_eq!(read(store.as_ref(), key).await, key.as_bytes());
            }
            wanted.push("p/never there".to_owned());
            assert!(store.delete(&wanted).await.is_empty(), "{store:?}");
            assert_eq!(keys(store.as_ref(), "").await, Vec::<String>::new());
        }
    });
    drop(s3);
}

#[test]
fn u06_a_listing_has_every_page() {
    let (stores, s3) = stores();
    block_on(async {
        for store in &stores {
            store.probe("p/", Access::Write).await.unwrap();
            let many: Vec<String> = (0..1_500).map(|it| format!("p/{it:05}")).collect();
            for key in &many {
                store.put(key, Bytes::from_static(b"x")).await.unwrap();
            }
            assert_eq!(keys(store.as_ref(), "p/").await, many, "{store:?}");
            assert_eq!(keys(store.as_ref(), "p/0149").await.len(), 10);
            assert!(store.delete(&many).await.is_empty());
            assert_eq!(keys(store.as_ref(), "p/").await.len(), 0);
        }
    });
    drop(s3);
}
