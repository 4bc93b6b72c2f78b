//! A directory as the store, with S3's promises: an object appears whole, by a rename, after its
//! bytes are on the disk; or not at all.

mod survey;
mod walk;
mod writing;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{
    Access, Body, Error, Kind, Locked, Object, Ours, See, Storage, Stored, Survey, Upload,
};
use walk::{SEEN_AT_ONCE, object};
use writing::{UPLOADS, Writing};

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// A store in a directory.
#[derive(Clone, Debug)]
pub struct FileStorage {
    /// What must be there: a mounted volume, for one.
    directory: PathBuf,
    /// The bucket's folder in it, or the directory itself.
    root: PathBuf,
}

impl FileStorage {
    /// A store below `directory`, in the folder `bucket` where one is named.
    #[must_use]
    pub fn new(directory: PathBuf, bucket: Option<&str>) -> Self {
        let root = bucket.map_or_else(|| directory.clone(), |it| directory.join(it));
        Self { directory, root }
    }

    fn path(&self, key: &str) -> Result<PathBuf, Error> {
        let odd = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
        if key.split('/').any(odd) || key.contains('\0') || key.starts_with(UPLOADS) {
            return Err(Error {
                kind: Kind::Misconfigured,
                action: "naming",
                location: key.to_owned(),
                reason: "such a key cannot be a path".to_owned(),
            });
        }
        Ok(self.root.join(key))
    }

    async fn must_be_there(&self, directory: &Path) -> Result<(), Error> {
        let looked_at = directory.to_owned();
        let found = self
            .blocking("opening", "", move || fs::metadata(looked_at))
            .await;
        let reason = match found {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => "it is no directory".to_owned(),
            Err(error) if error.kind == Kind::NotFound => "there is no such directory".to_owned(),
            Err(error) => return Err(error),
        };
        Err(Error {
            kind: Kind::NoDirectory,
            action: "opening",
            location: directory.display().to_string(),
            reason,
        })
    }

    async fn blocking<T, F>(&self, action: &'static str, key: &str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let location = self.root.join(key).display().to_string();
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done.map_err(|error| meaning(action, location, &error)),
            Err(error) => Err(Error {
                kind: Kind::Other,
                action,
                location,
                reason: error.to_string(),
            }),
        }
    }
}

fn meaning(action: &'static str, location: String, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::NotPermitted,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
        _ => Kind::Other,
    };
    Error {
        kind,
        action,
        location,
        reason: error.to_string(),
    }
}

/// An object's file. A device is none, since it has no end.
fn open_object(path: &Path) -> io::Result<File> {
    if !may_be_object(&fs::metadata(path)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    File::open(path)
}

fn may_be_object(metadata: &fs::Metadata) -> bool {
    let kind = metadata.file_type();
    !(kind.is_dir() || kind.is_char_device() || kind.is_block_device())
}

#[async_trait]
impl Storage for FileStorage {
    fn location(&self) -> String {
        format!("file://{}", self.root.display())
    }

    async fn probe(&self, prefix: &str, access: Access) -> Result<(), Error> {
        self.must_be_there(&self.directory).await?;
        if access == Access::Read {
            self.must_be_there(&self.root).await?;
            let folder = self.root.join(folder_of(prefix));
            return self
                .blocking("listing", prefix, move || match fs::read_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    read => read.map(drop),
                })
                .await;
        }
        let uploads = self.root.join(UPLOADS);
        self.blocking("writing in", "", move || writing::make_folders(&uploads))
            .await?;
        let key = format!("{prefix}oiler-probe-{}", uuid::Uuid::new_v4());
        self.put(&key, Bytes::from_static(b"probe")).await?;
        match self.delete(&[key]).await.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        let mut upload = self.upload(key, body.len() as u64).await?;
        match upload.write(body).await {
            Ok(()) => upload.complete().await,
            Err(error) => {
                upload.abort().await?;
                Err(error)
            }
        }
    }

    async fn upload(&self, key: &str, _expected: u64) -> Result<Box<dyn Upload>, Error> {
        let target = self.path(key)?;
        Ok(Box::new(Writing::begin(self, key, target).await?))
    }

    async fn stat(&self, key: &str) -> Result<Object, Error> {
        let path = self.path(key)?;
        let name = key.to_owned();
        self.blocking("reading", key, move || {
            let metadata = fs::metadata(path)?;
            if !may_be_object(&metadata) {
                return Err(io::ErrorKind::NotFound.into());
            }
            object(name, &metadata)
        })
        .await
    }

    async fn verify(&self, key: &str, stored: &Stored) -> Result<(), Error> {
        let path = self.path(key)?;
        let found = self
            .blocking("verifying", key, move || {
                let mut file = open_object(&path)?;
                let mut sha256 = Sha256::new();
                let mut buffer = vec![0; CHUNK];
                let mut size = 0;
                loop {
                    let count = file.read(&mut buffer)?;
                    if count == 0 {
                        break;
                    }
                    sha256.update(&buffer[..count]);
                    size += count as u64;
                }
                Ok(Stored {
                    size,
                    sha256: hex::encode(sha256.finalize()),
                    etag: None,
                })
            })
            .await?;
        if (found.size, &found.sha256) == (stored.size, &stored.sha256) {
            return Ok(());
        }
        Err(super::differs(key, stored, &found))
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Bytes, Error> {
        let object = self.stat(key).await?;
        super::within(key, object.size, limit)?;
        let path = self.path(key)?;
        // What has grown since it was looked at is not read either.
        self.blocking("reading", key, move || {
            let mut bytes = Vec::new();
            let most = u64::try_from(limit).unwrap_or(u64::MAX);
            open_object(&path)?.take(most).read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        })
        .await
    }

    async fn open(&self, key: &str) -> Result<Body, Error> {
        let path = self.path(key)?;
        let (file, size) = self
            .blocking("reading", key, move || {
                let file = open_object(&path)?;
                let size = file.metadata()?.len();
                Ok((file, size))
            })
            .await?;
        let (sender, receiver) = mpsc::channel(2);
        let location = self.root.join(key).display().to_string();
        tokio::task::spawn_blocking(move || give(file, size, &location, &sender));
        let next = |mut receiver: mpsc::Receiver<_>| async move {
            receiver.recv().await.map(|item| (item, receiver))
        };
        Ok(futures::stream::unfold(receiver, next).boxed())
    }

    async fn visit(&self, prefix: &str, see: &mut See<'_>) -> Result<(), Error> {
        let (root, wanted) = (self.root.clone(), prefix.to_owned());
        let (sender, mut found) = mpsc::channel(SEEN_AT_ONCE);
        let walking = self.blocking("listing", prefix, move || {
            let folder = folder_of(&wanted);
            if folder.split('/').any(|it| it == "..") {
                return Ok(());
            }
            walk::walk(&root, &root.join(folder), &wanted, &sender)
        });
        let seeing = async {
            while let Some(object) = found.recv().await {
                see(object);
            }
        };
        let (walked, ()) = tokio::join!(walking, seeing);
        walked
    }

    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)> {
        let mut left = Vec::new();
        for key in keys {
            let path = match self.path(key) {
                Ok(path) => path,
                Err(error) => {
                    left.push((key.clone(), error));
                    continue;
                }
            };
            let root = self.root.clone();
            let deleted = self
                .blocking("deleting", key, move || remove(&root, &path))
                .await;
            if let Err(error) = deleted {
                left.push((key.clone(), error));
            }
        }
        left
    }

    fn locks(&self) -> bool {
        false
    }

    async fn lock(&self, _keys: &[String]) -> Result<(), Error> {
        Ok(())
    }

    async fn locked(&self, _key: &str) -> Result<Option<Locked>, Error> {
        Ok(None)
    }

    async fn rehearse(&self, key: &str) -> Result<(), Error> {
        self.must_be_there(&self.directory).await?;
        survey::rehearse(self, key).await
    }

    async fn survey(&self, prefix: &str) -> Survey {
        survey::of(self, prefix).await
    }

    async fn abort_uploads(
        &self,
        prefix: &str,
        before: Timestamp,
        ours: &Ours<'_>,
    ) -> Result<usize, Error> {
        let root = self.root.clone();
        let found = self
            .blocking("listing", UPLOADS, move || writing::unfinished(&root))
            .await?;
        let wanted = |key: &str| key.starts_with(prefix) && ours(key);
        let dead: Vec<PathBuf> = found
            .into_iter()
            .filter(|it| it.modified < before && it.key.as_deref().is_none_or(wanted))
            .map(|it| it.path)
            .collect();
        let root = self.root.clone();
        self.blocking("aborting", UPLOADS, move || {
            dead.iter().try_fold(0, |count, path| {
                Ok(count + usize::from(writing::remove_dead(&root, path)?))
            })
        })
        .await
    }
}

/// The prefix up to its last slash is a folder; what follows is the start of a name.
fn folder_of(prefix: &str) -> &str {
    prefix.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Reads a file to the end that it had when it was opened; whoever reads may stop at any time.
fn give(mut file: File, size: u64, location: &str, sender: &mpsc::Sender<Result<Bytes, Error>>) {
    let mut given = 0;
    loop {
        let mut chunk = vec![0; CHUNK];
        let item = match file.read(&mut chunk) {
            Ok(0) if given == size => return,
            Ok(0) => Err(Error {
                kind: Kind::Corrupt,
                action: "reading",
                location: location.to_owned(),
                reason: format!("it ended after {given} of {size} bytes"),
            }),
            Ok(count) => {
                chunk.truncate(count);
                given += count as u64;
                Ok(Bytes::from(chunk))
            }
            Err(error) => Err(meaning("reading", location.to_owned(), &error)),
        };
        let last = item.is_err();
        if sender.blocking_send(item).is_err() || last {
            return;
        }
    }
}

fn remove(root: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // Folders are not objects: the last object takes its folder with it.
    remove_empty(root, path);
    Ok(())
}

/// Removes the folders above a path that are empty, up to the root.
fn remove_empty(root: &Path, path: &Path) {
    let above = path.ancestors().skip(1);
    for folder in above.take_while(|it| *it != root && it.starts_with(root)) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}
