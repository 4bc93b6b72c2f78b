//! The last step of a backup: the manifest, which makes the folder count.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::archive::Folder;
use crate::archive::key::{self, MANIFEST, RUNNING};
use crate::archive::manifest::{Manifest, Part, Stream};
use crate::catalog;
use crate::runtime::{Failure, Shutdown};
use crate::storage::{self, Storage};

/// Streams that are looked for at once before the manifest is written.
const LOOKED_FOR: usize = 8;

/// Makes a backup of the streams in a folder: writes their manifest and proves that it is there. One
/// that is on its way when we are asked to stop is waited for: it could arrive after the
/// clean-up otherwise.
///
/// # Errors
/// A stream is not there any more, the store failed, or we were asked to stop.
pub async fn publish(
    storage: &dyn Storage,
    folder: &Folder,
    manifest: &Manifest,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let publishing = write(storage, folder, manifest);
    tokio::pin!(publishing);
    tokio::select! {
        biased;
        () = shutdown.token().cancelled() => {
            // The clean-up needs its share of the time.
            let deadline = shutdown.clean_up_by().half();
            if let Some(Err(error)) = deadline.limit(publishing).await {
                tracing::debug!(%error, "the manifest had failed too");
            }
            Err(Failure::try_again("stopped before the backup was complete"))
        }
        published = &mut publishing => published,
    }
}

/// Says which schedule's backup this is going to be, and which part of its database it has, so that retention
/// counts it with those alone.
///
/// # Errors
/// What the store said.
pub async fn count_apart(
    storage: &dyn Storage,
    folder: &Folder,
    schedule: Option<&str>,
    part: Option<&Part>,
) -> Result<(), Failure> {
    let part = part.map(Part::digest);
    mark(storage, folder, schedule, part.as_deref()).await
}

/// The same, where the part is told by its digest.
///
/// # Errors
/// What the store said.
pub async fn mark(
    storage: &dyn Storage,
    folder: &Folder,
    schedule: Option<&str>,
    part: Option<&str>,
) -> Result<(), Failure> {
    let schedule = schedule.map(|it| (key::schedule(it), it));
    let part = part.map(|it| (key::part(it), it));
    for (name, content) in schedule.into_iter().chain(part) {
        let key = folder.key(&name);
        let stored = storage.put(&key, content.to_owned().into()).await?;
        storage.verify(&key, &stored).await?;
    }
    Ok(())
}

/// The manifest goes last, and counts only when it is there as it was written.
async fn write(storage: &dyn Storage, folder: &Folder, manifest: &Manifest) -> Result<(), Failure> {
    let json = manifest
        .write()
        .map_err(|error| Failure::try_again(error.to_string()))?;
    finish(storage, folder, manifest, json.into()).await
}

/// Makes a backup of what is in a folder and was proven: locks it where that is set, and puts the manifest there
/// last, as it was written.
///
/// # Errors
/// A stream is not there any more, or the store failed.
pub async fn finish(
    storage: &dyn Storage,
    folder: &Folder,
    manifest: &Manifest,
    json: Bytes,
) -> Result<(), Failure> {
    still_there(storage, folder, manifest).await?;
    lock_all(storage, folder).await?;
    let key = folder.key(MANIFEST);
    let stored = storage.put(&key, json).await?;
    storage.verify(&key, &stored).await?;
    storage.lock(&[key]).await?;
    Ok(())
}

/// Locks what a backup is made of, where that is set. The manifest comes later, so that what looks whole
/// is locked, and a lock that fails leaves nothing that looks whole.
async fn lock_all(storage: &dyn Storage, folder: &Folder) -> Result<(), Failure> {
    if !storage.locks() {
        return Ok(());
    }
    let running = folder.key(RUNNING);
    let objects = catalog::objects(storage, folder).await?;
    let keys: Vec<String> = objects.into_iter().map(|it| it.key).collect();
    let keys: Vec<String> = keys.into_iter().filter(|it| *it != running).collect();
    storage.lock(&keys).await?;
    Ok(())
}

/// Looks for every stream once more: the first ones may have been stored a day ago, and somebody may
/// have removed them since.
async fn still_there(
    storage: &dyn Storage,
    folder: &Folder,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let look = async |stream: &Stream| {
        let key = folder.key(&stream.name);
        match storage.stat(&key).await {
            Ok(object) if object.size == stream.stored_bytes => Ok(()),
            Ok(object) => Err(Failure::try_again(format!(
                "{key} had {} bytes when it was stored and has {} now: somebody has written over it; run the backup again",
                stream.stored_bytes, object.size
            ))),
            Err(error) if error.kind == storage::Kind::NotFound => {
                Err(Failure::try_again(format!(
                    "{key} was stored and is gone: somebody has removed it while the backup ran, a lifecycle rule of the bucket for one; run the backup again"
                )))
            }
            Err(error) => Err(error.into()),
        }
    };
    futures::stream::iter(manifest.objects().map(look))
        .buffer_unordered(LOOKED_FOR)
        .try_collect::<()>()
        .await
}
