//! A file that becomes an object when it is whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{FileStorage, UPLOADS};
use crate::storage::{Error, Kind, Stored, Upload};

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
        let uploads = storage.root.join(UPLOADS);
        let (unfinished, file) = storage
            .blocking("writing", key, move || {
                fs::create_dir_all(&uploads)?;
                let path = uploads.join(uuid::Uuid::new_v4().to_string());
                let file = File::create_new(&path)?;
                Ok((Unfinished(path), file))
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
            reason: "an earlier write failed or was given up".to_owned(),
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

    async fn complete(mut self: Box<Self>) -> Result<Stored, Error> {
        let file = self.take()?;
        let (target, root) = (self.target.clone(), self.storage.root.clone());
        let unfinished = Arc::clone(&self.unfinished);
        self.storage
            .blocking("writing", &self.key, move || {
                place(&unfinished.0, &file, &target, &root)
            })
            .await?;
        Ok(Stored {
            size: self.size,
            sha256: hex::encode(self.sha256.finalize()),
            etag: None,
        })
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        let path = self.unfinished.0.clone();
        self.storage
            .blocking("giving up", &self.key, move || discard(&path).map(drop))
            .await
    }
}

/// A file that goes with the last that holds it, unless it was renamed.
struct Unfinished(PathBuf);

impl Unfinished {
    fn remove(&self) {
        if let Err(error) = discard(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "an unfinished object stays");
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes a file; false when there was none.
pub(super) fn discard(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// The bytes reach the disk before the name does, and the name before we say so.
fn place(path: &Path, file: &File, target: &Path, root: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = target.parent().unwrap_or(root);
    // Between the two calls a deletion may take the empty folder away again.
    for _ in 0..3 {
        fs::create_dir_all(folder)?;
        match fs::rename(path, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
            renamed => {
                renamed?;
                return sync(folder, root);
            }
        }
    }
    Err(io::Error::other("its folder is taken away again and again"))
}

/// A new folder's own name is on the disk only with the folder above it.
fn sync(folder: &Path, root: &Path) -> io::Result<()> {
    for above in folder.ancestors().take_while(|it| it.starts_with(root)) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}
