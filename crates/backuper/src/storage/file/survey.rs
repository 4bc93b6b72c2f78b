//! What a directory tells without any object being written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::FileStorage;
use super::writing::{self, UPLOADS};
use crate::storage::{Error, Storage as _, Survey};

/// Begins an upload, writes a part of it and aborts it. Folders that were not there are not there
/// afterwards.
pub(super) async fn rehearse(storage: &FileStorage, key: &str) -> Result<(), Error> {
    let made: Vec<PathBuf> = [storage.root.join(UPLOADS), storage.root.clone()]
        .into_iter()
        .filter(|it| !it.exists())
        .collect();
    let written = async {
        let mut upload = storage.upload(key, 0).await?;
        let written = upload.write(Bytes::from_static(b"part")).await;
        let aborted = upload.abort().await;
        written.and(aborted)
    };
    let written = written.await;
    // The innermost first; one that somebody has put something into stays.
    for folder in made {
        drop(fs::remove_dir(folder));
    }
    written
}

/// How much room the directory has, and what lies there that is no object yet.
pub(super) async fn of(storage: &FileStorage, prefix: &str) -> Survey {
    let (directory, root) = (storage.directory.clone(), storage.root.clone());
    let prefix = prefix.to_owned();
    let looked = storage.blocking("examining", "", move || {
        let unfinished = writing::unfinished(&root)?;
        let below = |key: Option<&str>| key.is_some_and(|it| it.starts_with(&prefix));
        let uploads = unfinished.iter().filter(|it| below(it.key.as_deref()));
        Ok((free(&directory)?, uploads.count()))
    });
    match looked.await {
        Ok((free, uploads)) => Survey {
            clock: None,
            free: Some(free),
            uploads: Some(uploads),
        },
        Err(error) => {
            tracing::debug!(%error, "the directory tells nothing of itself");
            Survey::default()
        }
    }
}

/// Bytes that a process without privileges may still write there. statvfs(3).
fn free(directory: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(directory)?;
    Ok(found
        .blocks_available()
        .saturating_mul(found.fragment_size()))
}
