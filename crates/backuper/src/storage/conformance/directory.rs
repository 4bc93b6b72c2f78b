//! What a directory promises beyond what every store does.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;

use super::promises::walk;
use crate::storage::file::FileStorage;
use crate::storage::{Access, Kind, Storage};

#[tokio::test]
async fn a_directory_takes_no_key_that_leads_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStorage::new(folder.path().to_owned(), Some("bucket"));
    for key in [
        "../out",
        "a/../../out",
        "/out",
        "a//b",
        "",
        "a/./b",
        ".uploads/x",
    ] {
        let error = store.put(key, Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Misconfigured, "{key}: {error}");
        let error = store.get(key, 9).await.unwrap_err();
        assert_eq!(error.kind, Kind::Misconfigured, "{key}: {error}");
        assert_eq!(store.delete(&[key.to_owned()]).await.len(), 1, "{key}");
    }
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn a_directory_must_be_there_and_its_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = FileStorage::new(folder.path().join("unmounted"), Some("bucket"));
    let error = missing.probe("", Access::Write).await.unwrap_err();
    assert_eq!(error.kind, Kind::NoDirectory);
    assert!(error.reason.contains("no such directory"), "{error}");
    assert!(!folder.path().join("unmounted").exists());

    let store = FileStorage::new(folder.path().to_owned(), Some("bucket"));
    let error = store.probe("", Access::Read).await.unwrap_err();
    assert_eq!(error.kind, Kind::NoDirectory);
    store.probe("", Access::Write).await.unwrap();
    store.put("a/b/c", Bytes::new()).await.unwrap();
    store.delete(&["a/b/c".to_owned()]).await;
    assert!(!folder.path().join("bucket/a").exists());
}

#[tokio::test]
async fn a_rehearsal_leaves_no_folder_that_was_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStorage::new(folder.path().to_owned(), Some("bucket"));
    store.rehearse("shop/one").await.unwrap();
    assert!(!folder.path().join("bucket").exists());
    fs::create_dir(folder.path().join("bucket")).unwrap();
    store.rehearse("shop/one").await.unwrap();
    assert!(folder.path().join("bucket").exists());
    assert!(!folder.path().join("bucket/.uploads").exists());
    let missing = FileStorage::new(folder.path().join("unmounted"), None);
    let error = missing.rehearse("shop/one").await.unwrap_err();
    assert_eq!(error.kind, Kind::NoDirectory);
    assert!(!folder.path().join("unmounted").exists());
}

/// F49.
#[tokio::test]
async fn only_what_dead_writers_of_ours_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStorage::new(folder.path().to_owned(), None);
    let now = Timestamp::now();
    let ours = |key: &str| key.ends_with("/ours");
    let abort = |before| store.abort_uploads("shop/", before, &ours);
    assert_eq!(abort(now).await.unwrap(), 0);

    let leave = |key: &str| {
        let path = folder.path().join(".uploads").join(key);
        let path = path.with_extension(uuid::Uuid::new_v4().to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        path
    };
    let dead = ["shop/one/ours", "shop/two/ours"].map(leave);
    let others = ["shop/one/theirs", "other/one/ours"].map(leave);
    let unnamed = folder
        .path()
        .join(".uploads")
        .join(uuid::Uuid::new_v4().to_string());
    fs::write(&unnamed, "of an earlier version").unwrap();
    let mut living = store.upload("shop/three/ours", 0).await.unwrap();
    living.write(Bytes::from_static(b"x")).await.unwrap();

    let an_hour_ago = now - jiff::SignedDuration::from_hours(1);
    assert_eq!(abort(an_hour_ago).await.unwrap(), 0, "all are young");
    let later = now + jiff::SignedDuration::from_hours(24);
    assert_eq!(abort(later).await.unwrap(), 3);
    assert!(dead.iter().chain([&unnamed]).all(|it| !it.exists()));
    assert!(others.iter().all(|it| it.exists()));
    living.complete().await.unwrap();
    assert_eq!(store.get("shop/three/ours", 1).await.unwrap(), "x");
}

/// F51.
#[tokio::test]
async fn what_a_directory_gets_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let existing = folder.path().join("bucket");
    fs::create_dir(&existing).unwrap();
    fs::set_permissions(&existing, fs::Permissions::from_mode(0o755)).unwrap();
    let store = FileStorage::new(folder.path().to_owned(), Some("bucket"));
    store.probe("shop/", Access::Write).await.unwrap();
    let mut unfinished = store.upload("shop/b/two", 0).await.unwrap();
    unfinished.write(Bytes::from_static(b"x")).await.unwrap();
    store
        .put("shop/a/one", Bytes::from_static(b"x"))
        .await
        .unwrap();
    assert_eq!(mode(&existing), 0o755, "what was there stays as it was");
    for made in [".uploads", ".uploads/shop/b", "shop", "shop/a"] {
        assert_eq!(mode(&existing.join(made)), 0o700, "{made}");
    }
    assert_eq!(mode(&existing.join("shop/a/one")), 0o600);
    let mut found = Vec::new();
    walk(&existing.join(".uploads"), &mut found);
    assert_eq!(mode(Path::new(&found[0])), 0o600);
    drop(unfinished);
}

#[tokio::test]
async fn a_folder_that_others_empty_meanwhile_takes_every_object() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStorage::new(folder.path().to_owned(), Some("bucket"));
    let rounds = (0..4).map(|writer| {
        let store = &store;
        async move {
            for round in 0..1_000 {
                let key = format!("shop/deep/er/{writer}-{round}");
                store.put(&key, Bytes::from_static(b"x")).await.unwrap();
                assert!(store.delete(&[key]).await.is_empty());
            }
        }
    });
    futures::future::join_all(rounds).await;
    assert!(store.list("").await.unwrap().is_empty());
}
