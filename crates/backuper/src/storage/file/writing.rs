//! A file that becomes an object when it is whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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
    file: Option<(PathBuf, File)>,
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
        let file = storage
            .blocking("writing", key, move || {
                fs::create_dir_all(&uploads)?;
                tempfile(&uploads)
            })
            .await?;
        Ok(Self {
            storage: storage.clone(),
            key: key.to_owned(),
            target,
            file: Some(file),
            size: 0,
            sha256: Sha256::new(),
        })
    }

    fn gone(&self) -> Error {
        Error {
            kind: Kind::Other,
            action: "writing",
            location: self.key.clone(),
            reason: "an earlier write failed".to_owned(),
        }
    }
}

#[async_trait]
impl Upload for Writing {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        let (path, mut file) = self.file.take().ok_or_else(|| self.gone())?;
        self.size += chunk.len() as u64;
        self.sha256.update(&chunk);
        let kept = path.clone();
        let written = self
            .storage
            .blocking("writing", &self.key, move || {
                match file.write_all(&chunk) {
                    Ok(()) => Ok(file),
                    Err(error) => {
                        // A full disk wants its room back at once.
                        drop(file);
                        fs::remove_file(path)?;
                        Err(error)
                    }
                }
            })
            .await;
        self.file = Some((kept, written?));
        Ok(())
    }

    async fn complete(mut self: Box<Self>) -> Result<Stored, Error> {
        let (path, file) = self.file.take().ok_or_else(|| self.gone())?;
        let target = self.target.clone();
        self.storage
            .blocking("writing", &self.key, move || {
                let placed = place(&path, &file, &target);
                if placed.is_err() {
                    fs::remove_file(&path)?;
                }
                placed
            })
            .await?;
        Ok(Stored {
            size: self.size,
            sha256: hex::encode(std::mem::take(&mut self.sha256).finalize()),
            etag: None,
        })
    }

    async fn abort(mut self: Box<Self>) -> Result<(), Error> {
        let Some((path, _)) = self.file.take() else {
            return Ok(());
        };
        self.storage
            .blocking("giving up", &self.key, move || fs::remove_file(path))
            .await
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.take()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "an unfinished object stays");
        }
    }
}

/// The bytes reach the disk before the name does, and the name before we say so.
fn place(path: &Path, file: &File, target: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    // Between the two calls a deletion may take the empty folder away again.
    for _ in 0..3 {
        fs::create_dir_all(folder)?;
        match fs::rename(path, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
            renamed => {
                renamed?;
                return File::open(folder)?.sync_all();
            }
        }
    }
    Err(io::Error::other("its folder is taken away again and again"))
}

fn tempfile(uploads: &Path) -> io::Result<(PathBuf, File)> {
    let path = uploads.join(uuid::Uuid::new_v4().to_string());
    let file = File::create_new(&path)?;
    Ok((path, file))
}
