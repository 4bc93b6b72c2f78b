//! A file that becomes an object when it is whole.
//!
//! Until then it lies in [`UPLOADS`] under its key and a random ending, locked by its writer: so
//! whoever finds it there knows whose it is, and whether its writer lives.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{FileStorage, remove_empty};
use crate::storage::{Error, Kind, Stored, Upload};

/// Where unfinished objects lie; a key never begins with a dot.
pub(super) const UPLOADS: &str = ".uploads";
/// How often a folder is made again that somebody removes since it is empty. Each time somebody
/// else's object was completed or deleted, so many at once need many.
const REMOVED_AGAIN: u32 = 1_000;

/// An object that is being written, under a name of its own until it is whole.
pub(super) struct Writing {
    storage: FileStorage,
    key: String,
    target: PathBuf,
    unfinished: Arc<Unfinished>,
    file: Option<File>,
    size: u64,
    sha256: Sha256,
}

impl Writing {
    pub(super) async fn begin(
        storage: &FileStorage,
        key: &str,
        target: PathBuf,
    ) -> Result<Self, Error> {
        let (root, name) = (storage.root.clone(), key.to_owned());
        let (unfinished, file) = storage
            .blocking("writing", key, move || {
                let path = root
                    .join(UPLOADS)
                    .join(format!("{name}.{}", Uuid::new_v4()));
                let file = create(&path)?;
                Ok((Unfinished { root, path }, file))
            })
            .await?;
        Ok(Self {
            storage: storage.clone(),
            key: key.to_owned(),
            target,
            unfinished: Arc::new(unfinished),
            file: Some(file),
            size: 0,
            sha256: Sha256::new(),
        })
    }

    fn take(&mut self) -> Result<File, Error> {
        self.file.take().ok_or_else(|| Error {
            kind: Kind::Other,
            action: "writing",
            location: self.key.clone(),
            reason: "an earlier write failed or was aborted".to_owned(),
        })
    }
}

#[async_trait]
impl Upload for Writing {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        let mut file = self.take()?;
        self.size += chunk.len() as u64;
        self.sha256.update(&chunk);
        let unfinished = Arc::clone(&self.unfinished);
        let written = self
            .storage
            .blocking("writing", &self.key, move || {
                let written = file.write_all(&chunk);
                if written.is_err() {
                    // A full disk wants its room back at once.
                    unfinished.remove();
                }
                written.map(|()| file)
            })
            .await;
        self.file = Some(written?);
        Ok(())
    }

    async fn complete(&mut self) -> Result<Stored, Error> {
        let file = self.take()?;
        let (target, root) = (self.target.clone(), self.storage.root.clone());
        let unfinished = Arc::clone(&self.unfinished);
        self.storage
            .blocking("writing", &self.key, move || {
                place(&unfinished.path, &file, &target, &root)
            })
            .await?;
        Ok(Stored {
            size: self.size,
            sha256: hex::encode(std::mem::take(&mut self.sha256).finalize()),
            etag: None,
        })
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        let unfinished = Arc::clone(&self.unfinished);
        self.storage
            .blocking("aborting", &self.key, move || unfinished.discard())
            .await
    }
}

/// A file that goes with the last that holds it, unless it was renamed.
struct Unfinished {
    root: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    fn discard(&self) -> io::Result<()> {
        discard(&self.root, &self.path).map(drop)
    }

    fn remove(&self) {
        if let Err(error) = self.discard() {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished object stays");
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes a file and what folders it leaves empty; false when there was none.
fn discard(root: &Path, path: &Path) -> io::Result<bool> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        removed => removed.map(|()| true)?,
    };
    remove_empty(&root.join(UPLOADS), path);
    Ok(removed)
}

/// Makes a folder and those above it, for this user alone. Those that are there stay as they are.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Does what needs a folder, and makes it again where somebody removes it meanwhile: its last
/// object takes a folder with it.
fn in_folder<T>(folder: &Path, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    // A folder above may go before the one in it is made, and one that was there before anybody
    // looks whether it is a folder.
    let removed = [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists];
    let mut left = REMOVED_AGAIN;
    loop {
        match make_folders(folder).and_then(|()| work()) {
            Err(error) if removed.contains(&error.kind()) && left > 0 => left -= 1,
            done => return done,
        }
    }
}

/// Makes a file for this user alone and locks it, which says that its writer lives.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let folder = path.parent().unwrap_or(path);
    let file = in_folder(folder, || options.open(path))?;
    // Where the file system has no locks, the time of its last byte must do.
    if let Err(error) = file.try_lock() {
        tracing::debug!(path = %path.display(), %error, "not locked");
    }
    Ok(file)
}

/// A file of [`UPLOADS`].
pub(super) struct Found {
    /// The object that it was to become; none of what versions before this one wrote.
    pub(super) key: Option<String>,
    pub(super) path: PathBuf,
    /// When its last byte was written.
    pub(super) modified: Timestamp,
}

/// Everything that is being written, or was when its writer died.
pub(super) fn unfinished(root: &Path) -> io::Result<Vec<Found>> {
    let uploads = root.join(UPLOADS);
    let mut found = Vec::new();
    let mut folders = vec![uploads.clone()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            // What is gone meanwhile has become an object, or its writer has removed it.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&uploads).ok().and_then(Path::to_str);
            let Some(key) = name.and_then(key_of) else {
                continue;
            };
            if let Ok(modified) = Timestamp::try_from(metadata.modified()?) {
                found.push(Found {
                    key,
                    path,
                    modified,
                });
            }
        }
    }
    Ok(found)
}

/// The key in the name of a file of [`UPLOADS`], where it has one; none of what is not ours.
fn key_of(name: &str) -> Option<Option<String>> {
    let random = |it: &str| Uuid::try_parse(it).is_ok();
    match name.rsplit_once('.') {
        Some((key, ending)) if random(ending) => Some(Some(key.to_owned())),
        _ if random(name) => Some(None),
        _ => None,
    }
}

/// Removes a file of [`UPLOADS`] unless its writer lives; gives whether.
pub(super) fn remove_dead(root: &Path, path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(false),
        // Without locks, what is as old as this is dead.
        Ok(()) | Err(TryLockError::Error(_)) => discard(root, path),
    }
}

/// The bytes reach the disk before the name does, and the name before we say so.
fn place(path: &Path, file: &File, target: &Path, root: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = target.parent().unwrap_or(root);
    in_folder(folder, || fs::rename(path, target))?;
    sync(folder, root)
}

/// A new folder's own name is on the disk only with the folder above it.
fn sync(folder: &Path, root: &Path) -> io::Result<()> {
    for above in folder.ancestors().take_while(|it| it.starts_with(root)) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}
