//! What every store promises. Whoever tries a store says where `storage` is, and what it is called.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::storage::{Access, Kind, Storage, Stored};

/// Calls a macro with the names of all promises.
macro_rules! all_promises {
    ($tests:ident) => {
        $tests! {
            what_was_put_is_there_until_it_is_deleted,
            a_probe_writes_and_leaves_nothing,
            a_rehearsal_shows_no_object_and_leaves_nothing,
            odd_keys_are_kept_as_they_are,
            listings_and_deletions_do_not_end_at_a_thousand,
            a_large_object_appears_whole_and_only_when_it_is_complete,
            an_upload_of_nothing_is_an_empty_object,
            an_upload_that_is_aborted_leaves_nothing,
            what_is_not_what_was_written_does_not_pass,
        }
    };
}
pub(crate) use all_promises;

/// A store that is tried, empty at first.
pub(crate) struct Tried {
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn Storage>,
    /// Where its unfinished uploads show as files; none where they show nowhere.
    pub(crate) folder: Option<PathBuf>,
    /// What ends with it.
    pub(crate) _held: Box<dyn Any + Send>,
}

impl Tried {
    /// Files below the store's folder that belong to no object.
    fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(folder) = &self.folder {
            walk(folder, &mut found);
        }
        found.retain(|it| it.contains(".upload"));
        found
    }
}

pub(crate) fn walk(folder: &Path, found: &mut Vec<String>) {
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

pub(crate) fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) async fn keys(store: &dyn Storage, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).await.unwrap();
    listed.into_iter().map(|it| it.key).collect()
}

pub(crate) async fn read(store: &dyn Storage, key: &str) -> Vec<u8> {
    let body = store.open(key).await.unwrap();
    let whole = body.try_fold(Vec::new(), |mut whole, chunk| async move {
        whole.extend_from_slice(&chunk);
        Ok(whole)
    });
    whole.await.unwrap()
}

/// Bytes that do not repeat where parts or chunks do.
pub(crate) fn many(count: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(byte).collect()
}

pub(crate) async fn what_was_put_is_there_until_it_is_deleted(tried: &Tried) {
    let Tried { name, store, .. } = tried;
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
    assert_eq!(read(&**store, key).await, b"first", "{name}");

    let second = store.put(key, Bytes::from_static(b"2nd")).await.unwrap();
    store.verify(key, &second).await.unwrap();
    assert_eq!(read(&**store, key).await, b"2nd", "{name}");

    let both = [key.to_owned(), "shop/never".to_owned()];
    assert!(store.delete(&both).await.is_empty(), "{name}");
    assert!(store.delete(&both).await.is_empty(), "{name}: again");
    assert_eq!(store.stat(key).await.unwrap_err().kind, Kind::NotFound);
    assert!(keys(&**store, "").await.is_empty(), "{name}");
}

pub(crate) async fn a_probe_writes_and_leaves_nothing(tried: &Tried) {
    let Tried { name, store, .. } = tried;
    store.probe("shop/", Access::Write).await.unwrap();
    store.probe("shop/", Access::Read).await.unwrap();
    assert!(keys(&**store, "").await.is_empty(), "{name}");
}

pub(crate) async fn a_rehearsal_shows_no_object_and_leaves_nothing(tried: &Tried) {
    let Tried { name, store, .. } = tried;
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
    let is_here = ["memory", "file"].contains(name);
    assert_eq!(survey.clock.is_some(), !is_here, "{name}");
}

pub(crate) async fn odd_keys_are_kept_as_they_are(tried: &Tried) {
    let odd = [
        "a b/c  d",
        "hundred%/25%2F",
        "plus+minus-&=?#;",
        "ŝafoŝtalo/数据/🐘",
        "quote'\"<>/&amp;",
        "dots/.hidden/..almost",
    ];
    let Tried { name, store, .. } = tried;
    // Azure takes it for a slash; no key of ours has one.
    let backslash = ["back\\slash"]
        .into_iter()
        .filter(|_| !name.starts_with("azure"));
    let odd: Vec<&str> = odd.into_iter().chain(backslash).collect();
    for key in odd.iter().copied() {
        let body = Bytes::from(format!("body of {key}"));
        let stored = store.put(key, body.clone()).await.unwrap();
        store.verify(key, &stored).await.unwrap();
        assert_eq!(store.get(key, 99).await.unwrap(), body, "{name} {key}");
        assert_eq!(keys(&**store, key).await, [key], "{name} {key}");
    }
    let mut sorted: Vec<String> = odd.into_iter().map(str::to_owned).collect();
    sorted.sort();
    assert_eq!(keys(&**store, "").await, sorted, "{name}");
    assert!(store.delete(&sorted).await.is_empty(), "{name}");
    assert!(keys(&**store, "").await.is_empty(), "{name}");
}

pub(crate) async fn listings_and_deletions_do_not_end_at_a_thousand(tried: &Tried) {
    let Tried { name, store, .. } = tried;
    let wanted: Vec<String> = (0..1_050).map(|it| format!("many/{it:04}")).collect();
    let puts = wanted.iter().cloned().chain(["many-others".to_owned()]);
    let puts = puts.map(|key| {
        let store = &store;
        async move { store.put(&key, Bytes::from_static(b"x")).await.map(drop) }
    });
    let puts = futures::stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(16);
    puts.try_collect::<()>().await.unwrap();
    assert_eq!(keys(&**store, "many/").await, wanted, "{name}");
    assert!(store.delete(&wanted).await.is_empty(), "{name}");
    assert_eq!(keys(&**store, "").await, ["many-others"], "{name}");
}

pub(crate) async fn a_large_object_appears_whole_and_only_when_it_is_complete(tried: &Tried) {
    let body = many(20_000_003);
    let Tried { name, store, .. } = tried;
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

pub(crate) async fn an_upload_of_nothing_is_an_empty_object(tried: &Tried) {
    let Tried { name, store, .. } = tried;
    let mut upload = store.upload("empty", 0).await.unwrap();
    let stored = upload.complete().await.unwrap();
    assert_eq!((stored.size, stored.sha256.clone()), (0, hash(b"")));
    store.verify("empty", &stored).await.unwrap();
    assert!(read(&**store, "empty").await.is_empty(), "{name}");
}

pub(crate) async fn an_upload_that_is_aborted_leaves_nothing(tried: &Tried) {
    let body = many(18 << 20);
    let Tried { name, store, .. } = tried;
    let mut aborted = store.upload("gone/aborted", 0).await.unwrap();
    aborted.write(body.clone()).await.unwrap();
    assert_eq!(
        tried.leftovers().is_empty(),
        tried.folder.is_none(),
        "{name}"
    );
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

pub(crate) async fn what_is_not_what_was_written_does_not_pass(tried: &Tried) {
    let Tried { name, store, .. } = tried;
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
