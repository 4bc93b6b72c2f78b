//! Removes the objects of one backup, and looks whether they are gone.

use bytes::Bytes;
use jiff::Timestamp;

use super::permission;
use crate::archive::key::MANIFEST;
use crate::archive::{Identity, Layout, manifest};
use crate::catalog::{self, Backup, One, activity};
use crate::runtime::{Failure, Verdict};
use crate::storage::{Error, Kind, Storage};

/// How many names a sentence holds before it only counts.
const NAMED: usize = 5;

/// Removes all of a backup: what makes it one first. With a source, another one of it has to be left.
pub(super) async fn remove(
    storage: &dyn Storage,
    found: &One,
    source: Option<&Identity>,
    layout: &Layout,
) -> Result<(), Failure> {
    let whole = match found {
        One::Folder(backup) if backup.is_complete() => {
            let key = backup.folder.key(MANIFEST);
            match storage.get(&key, manifest::SIZE_LIMIT).await {
                Ok(manifest) => Some((backup, manifest)),
                // Nobody could restore it anyway.
                Err(error) if error.kind == Kind::Corrupt && source.is_none() => None,
                Err(error) => return Err(error.into()),
            }
        }
        _ => None,
    };
    let (first, rest) = match found {
        One::Folder(backup) => backup.in_order(),
        One::Published(_, object) => (object.key.clone(), Vec::new()),
    };
    let is_one = matches!(found, One::Published(..)) || complete(found);
    if is_one {
        let left = storage.delete(std::slice::from_ref(&first)).await;
        if !left.is_empty() || is_there(storage, &first).await? {
            let why = "nothing was removed, and it can still be restored";
            let left = all_of(left, vec![first]);
            return Err(undeleted(found, &left, why));
        }
    }
    if let Some((backup, manifest)) = whole
        && let Some(failure) = reason_to_return(storage, backup, source, layout).await
    {
        return Err(put_back(storage, backup, manifest, failure).await);
    }
    let left = storage.delete(&rest).await;
    let still = match found {
        One::Folder(backup) => {
            let listed = catalog::objects(storage, &backup.folder).await?;
            listed.into_iter().map(|it| it.key).collect()
        }
        One::Published(..) => Vec::new(),
    };
    let left = all_of(left, still);
    if left.is_empty() {
        if let One::Folder(backup) = found {
            abort_uploads(storage, backup).await;
        }
        return Ok(());
    }
    let removed = (rest.len() + usize::from(is_one)).saturating_sub(left.len());
    let why = if is_one {
        format!(
            "its manifest and {} more objects were removed, so it is no backup any more; delete it again, or remove what is left with the store's own tools",
            removed.saturating_sub(1)
        )
    } else {
        format!("{removed} objects were removed")
    };
    Err(undeleted(found, &left, &why))
}

/// Why a manifest that was just deleted has to come back. Of two deletions that take place at once, one at
/// least sees what the other has deleted; and so it is with a restore or a pin that has come meanwhile.
async fn reason_to_return(
    storage: &dyn Storage,
    backup: &Backup,
    source: Option<&Identity>,
    layout: &Layout,
) -> Option<Failure> {
    let key = backup.folder.prefix();
    let key = key.trim_end_matches('/');
    match backup.wanted_since(storage).await {
        Ok(None) => {}
        Ok(Some(reason)) => {
            return Some(Failure::refused(format!("{key} stays: {reason}")));
        }
        Err(error) => return Some(error.into()),
    }
    let source = source?;
    match permission::another_is_left(storage, source, backup, layout).await {
        Ok(true) => None,
        Ok(false) => Some(Failure::refused(format!(
            "{key} is now the only complete backup of {source}/{}, since the others were deleted meanwhile; make another one first, or set DELETE_LAST=true",
            source.database
        ))),
        Err(failure) => Some(failure),
    }
}

/// Puts a manifest back; gives the refusal, which says what became of it.
async fn put_back(
    storage: &dyn Storage,
    backup: &Backup,
    manifest: Bytes,
    failure: Failure,
) -> Failure {
    let key = backup.folder.key(MANIFEST);
    let what = match storage.put(&key, manifest).await {
        Ok(_) => "its manifest was put back, and nothing was deleted".to_owned(),
        Err(error) => format!(
            "its manifest was deleted and could not be put back ({error}), so it is no backup any more: make another one now"
        ),
    };
    Failure {
        sentence: format!("{}; {what}", failure.sentence),
        ..failure
    }
}

/// Frees what the store keeps of a run that crashed in the middle of an object.
async fn abort_uploads(storage: &dyn Storage, backup: &Backup) {
    let before = activity::silent_before(Timestamp::now());
    let prefix = backup.folder.prefix();
    let is_its = |key: &str| backup.folder.object_of(key).is_some();
    if let Err(error) = storage.abort_uploads(&prefix, before, &is_its).await {
        tracing::warn!(%error, "its unfinished uploads were not aborted; a later backup's retention tries again");
    }
}

fn complete(found: &One) -> bool {
    matches!(found, One::Folder(backup) if backup.is_complete())
}

async fn is_there(storage: &dyn Storage, key: &str) -> Result<bool, Failure> {
    match storage.stat(key).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == Kind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What could not be deleted with the reasons, and what is still there without any.
fn all_of(refused: Vec<(String, Error)>, still: Vec<String>) -> Vec<(String, Option<Error>)> {
    let mut all: Vec<(String, Option<Error>)> = refused
        .into_iter()
        .map(|(key, error)| (key, Some(error)))
        .collect();
    for key in still {
        if !all.iter().any(|(it, _)| *it == key) {
            all.push((key, None));
        }
    }
    all
}

fn undeleted(found: &One, left: &[(String, Option<Error>)], what: &str) -> Failure {
    let mut names: Vec<String> = left
        .iter()
        .take(NAMED)
        .map(|(key, error)| match error {
            Some(error) => format!("{key} ({})", error.reason),
            None => format!("{key} (it is still listed)"),
        })
        .collect();
    if left.len() > NAMED {
        names.push(format!("{} more", left.len() - NAMED));
    }
    let is_transient = left.iter().all(|(_, error)| {
        let error = error.as_ref();
        error.is_none_or(|it| it.kind.is_transient())
    });
    let denied = left
        .iter()
        .any(|(_, error)| error.as_ref().is_some_and(|it| it.kind == Kind::Denied));
    let advice = if denied {
        "; allow the deletion to the owner of S3_ACCESS_KEY, or wait until the bucket's lock on them ends"
    } else {
        ""
    };
    Failure {
        verdict: Verdict::of(is_transient),
        sentence: format!(
            "deleting {}: {} objects could not be deleted: {}{advice}; {what}",
            found.key(),
            left.len(),
            names.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Span;

    use super::*;
    use crate::catalog::whole::tests::{put, server};
    use crate::storage::memory::MemoryStorage;

    async fn content(storage: &MemoryStorage, backup: &Backup) -> Vec<(String, Bytes)> {
        let mut all = Vec::new();
        for object in &backup.objects {
            let body = storage.get(&object.key, 1 << 20).await.unwrap();
            all.push((object.key.clone(), body));
        }
        all
    }

    #[tokio::test]
    async fn what_somebody_has_pinned_or_begun_to_restore_since_the_look_comes_back_whoever_insists()
     {
        let storage = MemoryStorage::default();
        let source = server("db");
        let backup = put(&storage, &source, Timestamp::UNIX_EPOCH).await;
        let before = content(&storage, &backup).await;
        let (found, layout) = (One::Folder(backup.clone()), &Layout::default());
        let marks = [crate::archive::key::PINNED, "restoring.1-2"];
        for (mark, words) in marks.into_iter().zip(["pinned it", "to restore it"]) {
            let mark = backup.folder.key(mark);
            storage.put(&mark, "".into()).await.unwrap();
            let refused = remove(&storage, &found, None, layout).await.unwrap_err();
            assert!(refused.sentence.contains(words), "{}", refused.sentence);
            assert!(
                refused.sentence.contains("was put back"),
                "{}",
                refused.sentence
            );
            assert_eq!(content(&storage, &backup).await, before);
            storage.delete(&[mark]).await;
        }
        remove(&storage, &found, None, layout).await.unwrap();
        assert_eq!(storage.list("").await.unwrap(), []);
    }

    /// Both were permitted, since each saw the other's.
    #[tokio::test]
    async fn of_two_deletions_at_once_the_later_one_puts_its_manifest_back() {
        let storage = MemoryStorage::default();
        let source = server("db");
        let one = put(&storage, &source, Timestamp::UNIX_EPOCH).await;
        let later = Timestamp::UNIX_EPOCH + Span::new().hours(1);
        let other = put(&storage, &source, later).await;
        let before = content(&storage, &one).await;
        let layout = &Layout::default();
        let (first, second) = (One::Folder(other.clone()), One::Folder(one.clone()));
        remove(&storage, &first, Some(&source), layout)
            .await
            .unwrap();
        assert_eq!(storage.list(&other.folder.prefix()).await.unwrap(), []);
        let refused = remove(&storage, &second, Some(&source), layout)
            .await
            .unwrap_err();
        assert_eq!(refused.verdict, Verdict::of(false));
        for words in ["now the only complete backup", "was put back"] {
            assert!(refused.sentence.contains(words), "{}", refused.sentence);
        }
        assert_eq!(content(&storage, &one).await, before);
        // Somebody insists.
        remove(&storage, &second, None, layout).await.unwrap();
        assert_eq!(storage.list("").await.unwrap(), []);
    }
}
