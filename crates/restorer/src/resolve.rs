//! Which backup a revision means, and what was found out about it before the target is touched.

use std::sync::Arc;

use backuper::archive::manifest::Stream;
use backuper::archive::{Folder, Manifest};
use backuper::catalog::{self, Found};
use backuper::runtime::{Failure, Verdict};
use backuper::storage::{Kind, Object, Storage};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::archive::head::Head;
use crate::archive::toc::{self, Toc};
use crate::job::RestoreJob;

/// What is to be restored.
#[derive(Clone, Debug)]
pub enum Backup {
    /// One of ours; every stream is there with its size.
    Folder(Folder, Box<Manifest>),
    /// A single archive in the custom format: the published adapter's, for one. With its head,
    /// which holds all but the rows.
    Archive(Object, Box<Toc>, Bytes),
    /// Plain SQL, or SQL in gzip.
    Script(Object, Encoding),
}

/// What is around a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Nothing.
    Plain,
    /// gzip.
    Gzip,
}

impl Backup {
    /// Its place in the bucket.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Folder(folder, _) => folder.prefix().trim_end_matches('/').to_owned(),
            Self::Archive(object, ..) | Self::Script(object, _) => object.key.clone(),
        }
    }
}

/// Finds the backup and looks whether all of it is there.
///
/// # Errors
/// What is missing or damaged, and where.
pub async fn backup(job: &RestoreJob, storage: &Arc<dyn Storage>) -> Result<Backup, Failure> {
    let target = job.database.target();
    let found = catalog::resolve(
        storage.as_ref(),
        target.database(),
        &job.revision,
        catalog::source_of(&target),
        job.as_of,
    )
    .await
    .map_err(failure)?;
    match found {
        Found::Ours(folder, manifest) => {
            for stream in &manifest.streams {
                present(storage.as_ref(), &folder, stream).await?;
            }
            Ok(Backup::Folder(folder, manifest))
        }
        Found::Object(object) => look_into(storage.as_ref(), object).await,
    }
}

fn failure(error: catalog::Error) -> Failure {
    match error {
        catalog::Error::Storage(error) => error.into(),
        error => Failure::refused(error.to_string()),
    }
}

async fn present(storage: &dyn Storage, folder: &Folder, stream: &Stream) -> Result<(), Failure> {
    let key = folder.key(&stream.name);
    match storage.stat(&key).await {
        Ok(object) if object.size == stream.stored_bytes => Ok(()),
        Ok(object) => Err(Failure::refused(format!(
            "{key} has {} bytes and should have {}: the backup is damaged; choose another",
            object.size, stream.stored_bytes
        ))),
        Err(error) if error.kind == Kind::NotFound => Err(Failure::refused(format!(
            "{key} is missing: the backup is damaged; choose another"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// What kind of object it is, by its first bytes; of an archive, its table of contents too.
async fn look_into(storage: &dyn Storage, object: Object) -> Result<Backup, Failure> {
    let mut body = storage.open(&object.key).await?;
    let mut head = Head::default();
    loop {
        let chunk = body.next().await.transpose()?;
        let ended = chunk.is_none();
        match head.add(&chunk.unwrap_or_default(), ended) {
            Ok(Some(toc)) => {
                toc.warn_if_unfinished(&object.key);
                let head = head.into_bytes().into();
                return Ok(Backup::Archive(object, Box::new(toc), head));
            }
            Ok(None) => {}
            Err(toc::Error::NotAnArchive) if head.bytes().starts_with(&[0x1f, 0x8b]) => {
                return Ok(Backup::Script(object, Encoding::Gzip));
            }
            Err(toc::Error::NotAnArchive | toc::Error::CutShort)
                if !head.bytes().starts_with(toc::MAGIC) =>
            {
                return sql(object, head.bytes());
            }
            Err(error) => {
                return Err(Failure {
                    verdict: Verdict::Refused,
                    sentence: format!("{} cannot be restored: {error}", object.key),
                });
            }
        }
    }
}

fn sql(object: Object, head: &[u8]) -> Result<Backup, Failure> {
    if head.is_empty() || head.contains(&0) {
        return Err(Failure::refused(format!(
            "{} is neither a pg_dump archive nor SQL; name another object",
            object.key
        )));
    }
    Ok(Backup::Script(object, Encoding::Plain))
}
