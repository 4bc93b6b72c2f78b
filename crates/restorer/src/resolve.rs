//! Which backup a revision means, and what was found out about it before the target is touched.

mod globals;
mod older;
mod script;

use std::sync::Arc;

use backuper::archive::encryption::Identities;
use backuper::archive::key::{MANIFEST, Published};
use backuper::archive::manifest::{Part, Stream};
use backuper::archive::template::is_dbtethers;
use backuper::archive::{Folder, Identity, Manifest, SystemIdentifier, key};
use backuper::catalog::{self, Found, Request, Resolution, Revision};
use backuper::postgres::Target;
use backuper::runtime::Failure;
use backuper::storage::{Kind, Object, Storage};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;

use tokio_util::sync::CancellationToken;

pub use globals::globals;

use crate::archive::opening;
use crate::archive::schema::{self, Schema};
use crate::archive::toc::Toc;
use crate::job::RestoreJob;

pub use older::Older;

/// How many folders of a kind are named in warnings.
const NAMED: usize = 5;

/// Bytes that have the head of an encrypted stream: a line or two for each of its keys.
const HEAD: usize = 64 << 10;

/// What is to be restored.
#[derive(Clone, Debug)]
pub enum Backup {
    /// One of ours; every stream is there with its size. With the archive of its schema.
    Folder(Folder, Box<Manifest>, Arc<Schema>),
    /// A single archive in the custom format: the published adapter's, for one. With its head,
    /// which holds all but the rows.
    Archive(Object, Box<Toc>, Bytes),
    /// Plain SQL, or SQL in gzip; with its manifest where it is one of ours, which is there with its size.
    Script(Object, Encoding, Option<Box<Manifest>>),
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
            Self::Folder(folder, ..) => folder.prefix().trim_end_matches('/').to_owned(),
            Self::Archive(object, ..) | Self::Script(object, ..) => object.key.clone(),
        }
    }

    /// What it says of itself, where it is one of ours.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Folder(_, manifest, _) => Some(manifest),
            Self::Script(_, _, manifest) => manifest.as_deref(),
            Self::Archive(..) => None,
        }
    }

    /// Which part of a database it has; none: all of it, or nobody knows.
    #[must_use]
    pub fn part(&self) -> Option<&Part> {
        self.manifest()?.part.as_ref()
    }

    /// Behind what a restore says that it reads it: in its folder, or beside a single object that some
    /// backuper has made; none where nobody's retention judges it.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match self {
            Self::Folder(folder, ..) => Some(folder.prefix()),
            Self::Script(object, _, Some(_)) => Some(format!("{}.", object.key)),
            Self::Archive(object, ..) | Self::Script(object, _, None) => {
                let (database, name) = object.key.rsplit_once('/')?;
                let is_made =
                    Published::parse_key(database, &object.key).is_ok() || is_dbtethers(name);
                is_made.then(|| format!("{}.", object.key))
            }
        }
    }

    /// Looks whether what makes it a backup is still there: a retention that has not seen that it is being
    /// restored removes that first.
    ///
    /// # Errors
    /// It was deleted, or what the store said.
    pub async fn is_still_there(&self, storage: &dyn Storage) -> Result<(), Failure> {
        let key = match self {
            Self::Folder(folder, ..) => folder.key(MANIFEST),
            Self::Script(object, _, Some(_)) => format!("{}.{MANIFEST}", object.key),
            Self::Archive(object, ..) | Self::Script(object, _, None) => object.key.clone(),
        };
        match storage.stat(&key).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == Kind::NotFound => Err(Failure::refused(format!(
                "{key} was deleted just now, by a retention or by hand; choose another backup"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Its table of contents; none: a script has none.
    #[must_use]
    pub fn toc(&self) -> Option<&Toc> {
        match self {
            Self::Folder(_, _, schema) => Some(&schema.toc),
            Self::Archive(_, toc, _) => Some(toc),
            Self::Script(..) => None,
        }
    }
}

/// The database whose backups are looked at.
#[must_use]
pub fn database(job: &RestoreJob) -> &str {
    let source = job.source.as_ref();
    source.map_or(&job.database.name, |it| &it.database)
}

/// Whose backups are meant: those of the target, whose server is `system`, or of another database.
#[must_use]
pub fn source(job: &RestoreJob, target: &Target, system: Option<u64>) -> Identity {
    match &job.source {
        None => catalog::identity_of(target, system),
        Some(source) => {
            let is_there = source.host == target.host() && source.port == target.port();
            Identity {
                host: source.host.clone(),
                port: source.port,
                database: source.database.clone(),
                // What another server is, nobody asks it.
                system: system.filter(|_| is_there).map(SystemIdentifier::from),
            }
        }
    }
}

/// What the keys of all that is looked at begin with: nobody has to allow more than that.
#[must_use]
pub fn prefix(job: &RestoreJob) -> String {
    let database = database(job);
    match &job.revision {
        Revision::Named(name) if Folder::parse(database, name).is_err() => {
            let folder = name.split_once('/').map(|(folder, _)| format!("{folder}/"));
            folder.unwrap_or_else(|| name.clone())
        }
        // Refused later where it has no layout.
        _ => match job.layout.layout() {
            Ok(layout) if job.layout.key_template.is_some() => layout.folder(database),
            _ => format!("{}/", key::encode(database)),
        },
    }
}

/// Finds the backup that is meant, of this source, and looks whether all of it is there. Gives the one that
/// could be taken in its place too.
///
/// # Errors
/// What is missing or damaged, and where.
pub async fn backup(
    job: &RestoreJob,
    storage: &Arc<dyn Storage>,
    source: &Identity,
    identities: &Identities,
    stop: &CancellationToken,
) -> Result<(Backup, Older), Failure> {
    let layout = job.layout.layout().map_err(Failure::refused)?;
    let request = Request {
        revision: &job.revision,
        target: source,
        layout: &layout,
        as_of: job.as_of,
        now: Timestamp::now(),
        by_name: job.source.is_some(),
    };
    let resolution = catalog::resolve(storage.as_ref(), request).await?;
    warn_of_others(&resolution, request.now);
    let older = Older::of(resolution.older);
    let backup = match resolution.found {
        Found::Ours(folder, manifest) => {
            let manifest = opening::open(&folder, *manifest, identities)?;
            if let Some(part) = &manifest.part {
                tracing::warn!(key = %folder.prefix(), "this backup has a part of the database: {part}");
            }
            let whole = whole(storage.as_ref(), &folder, &manifest).await;
            whole.map_err(|failure| older.named_in(failure))?;
            let manifest = Box::new(manifest);
            if manifest.script().is_some() {
                let object = storage.stat(&folder.prefix()).await?;
                script::of_ours(storage.as_ref(), &object, &manifest, identities).await?;
                Backup::Script(object, Encoding::Gzip, Some(manifest))
            } else {
                let schema = schema::fetch(storage, &folder, &manifest, identities, stop).await?;
                Backup::Folder(folder, manifest, Arc::new(schema))
            }
        }
        Found::Object(object) => {
            let looked = script::look_into(storage.as_ref(), object).await;
            looked.map_err(|failure| older.named_in(failure))?
        }
    };
    Ok((backup, older))
}

/// Looks whether every stream is there with its size.
///
/// # Errors
/// What is missing or damaged.
pub async fn whole(
    storage: &dyn Storage,
    folder: &Folder,
    manifest: &Manifest,
) -> Result<(), Failure> {
    for stream in &manifest.streams {
        present(storage, folder, stream).await?;
    }
    Ok(())
}

/// Looks whether these keys open a backup, by the beginning of its smallest stream.
///
/// # Errors
/// Which key is needed, or what is damaged.
pub async fn opens(
    storage: &dyn Storage,
    folder: &Folder,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<(), Failure> {
    let manifest = opening::open(folder, manifest.clone(), identities)?;
    let smallest = manifest.schema().or_else(|| manifest.script());
    let (Some(encryption), Some(stream)) = (&manifest.encryption, smallest) else {
        return Ok(());
    };
    let key = folder.key(&stream.name);
    let mut body = storage.open(&key).await?;
    let mut head = Vec::new();
    while head.len() < HEAD
        && let Some(chunk) = body.next().await.transpose()?
    {
        head.extend_from_slice(&chunk);
    }
    match identities.decrypt(&head[..]) {
        Ok(_inside) => Ok(()),
        Err(error) => Err(opening::unopened(
            &key,
            Some(encryption),
            identities,
            &error,
        )),
    }
}

/// Names what a person may have expected instead.
fn warn_of_others(resolution: &Resolution, now: Timestamp) {
    for backup in resolution.incomplete.iter().take(NAMED) {
        let key = backup.folder.prefix();
        if backup.is_active(now) {
            tracing::warn!(%key, "a newer backup is under way; it does not count before it is complete");
        } else {
            tracing::warn!(%key, "this folder is newer than the backup that is restored, and has no manifest: its run did not end, or somebody has removed it");
        }
    }
    for folder in resolution.parts.iter().take(NAMED) {
        tracing::warn!(key = %folder.prefix(), "this newer backup has a part of the database alone, so it does not count; name it in BACKUP_REVISION if it is meant");
    }
    for key in resolution.misdated.iter().take(NAMED) {
        tracing::warn!(%key, clock = %now, "this backup is of the future, so a clock is or was wrong, and it does not count; name it in BACKUP_REVISION if it is meant");
    }
    for folder in resolution.ambiguous.iter().take(NAMED) {
        tracing::warn!(key = %folder.prefix(), "this older backup may be of another server of the same name, so it does not count; name it in BACKUP_REVISION if it is meant");
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
