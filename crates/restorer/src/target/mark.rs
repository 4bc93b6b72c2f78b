//! What a load that was killed has left in the target, by the mark that still stands there.
//!
//! The mark names the backup, so that the next restore knows what to remove, whichever backup it
//! brings.

use std::sync::Arc;

use backuper::archive::Folder;
use backuper::archive::encryption::Identities;
use backuper::catalog;
use backuper::postgres::mark;
use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::storage::{Kind, Storage};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

pub use mark::{SCHEMA, remove as unmark};

use crate::archive::opening;
use crate::archive::schema;
use crate::archive::toc::Toc;
use crate::resolve::Backup;

/// Marks a database that was made for this backup, until it has the contents.
///
/// # Errors
/// What the server said.
pub(crate) async fn begin(
    session: &Client,
    target: &Target,
    backup: &Backup,
) -> Result<(), Failure> {
    let key = match backup {
        Backup::Folder(folder, ..) => folder.prefix(),
        Backup::Archive(..) | Backup::Script(..) => backup.key(),
    };
    let set = session.batch_execute(&mark::set(&key, true)).await;
    set.map_err(|error| postgres::Error::new("restoring into", target, &error).into())
}

/// Whether a mark says that a restore which was cut short has made the database.
///
/// # Errors
/// What the server said.
pub(crate) async fn is_of_made(session: &Client, target: &Target) -> Result<bool, Failure> {
    let found = mark::find(session).await;
    let found = found.map_err(|error| postgres::Error::new("examining", target, &error))?;
    Ok(found.is_some_and(|it| it.is_trusted && mark::is_of_made(&it.comment)))
}

/// The key of the backup whose restore was cut short here, where there is a mark to be believed.
///
/// # Errors
/// What the server said.
pub(crate) async fn is_left_of(
    session: &Client,
    target: &Target,
) -> Result<Option<String>, Failure> {
    let found = mark::find(session).await;
    let found = found.map_err(|error| postgres::Error::new("examining", target, &error))?;
    let trusted = found.filter(|it| it.is_trusted);
    Ok(trusted.and_then(|it| mark::key(&it.comment).map(str::to_owned)))
}

/// Where a mark may be, and what it takes to know what it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// A session in the database.
    pub session: &'a Client,
    /// The database.
    pub target: &'a Target,
    /// Where its backup is.
    pub storage: &'a Arc<dyn Storage>,
    /// The private keys of that, where it is encrypted.
    pub identities: &'a Identities,
}

/// What a load that was killed may have made.
#[derive(Debug, Default)]
pub struct Left {
    /// Its backup's table of contents.
    pub toc: Toc,
    /// Tables for which that had no rows, as SQL writes their names.
    pub without_rows: Vec<String>,
}

/// What a load that was killed may have made in the target, by what its backup has.
/// None where there is no mark.
///
/// # Errors
/// The mark says nothing of use, or the backup that it names is not in the store any more: then
/// nobody knows what is a half of what.
pub async fn left_by(here: Place<'_>, stop: &CancellationToken) -> Result<Option<Left>, Failure> {
    let Place {
        session,
        target,
        storage,
        identities,
    } = here;
    let found = mark::find(session)
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let Some(mark::Found {
        comment,
        is_trusted,
    }) = found
    else {
        return Ok(None);
    };
    if !is_trusted {
        return Err(Failure::refused(format!(
            "the schema {SCHEMA} of {target} belongs neither to the database's owner nor to a superuser nor to this role, so it may be somebody's who wants other contents removed; drop it and restore again, or restore as its owner"
        )));
    }
    let Some(key) = mark::key(&comment) else {
        return Err(Failure::refused(format!(
            "{target} holds a part of an unknown backup, as its schema {SCHEMA} says; drop the database and restore again"
        )));
    };
    let Ok((folder, _rest)) = Folder::parse_key(key) else {
        // A single object, which is restored in one transaction and leaves no halves.
        return Ok(Some(Left::default()));
    };
    let manifest = match catalog::read_manifest(storage.as_ref(), &folder).await {
        Ok(manifest) => manifest,
        Err(catalog::Error::Storage(error)) if error.kind == Kind::NotFound => {
            return Err(Failure::refused(format!(
                "{target} holds a part of {}, whose restore was cut short, and that backup is no longer in {}; drop the database and restore again",
                folder.prefix(),
                storage.location()
            )));
        }
        Err(catalog::Error::Storage(error)) => return Err(error.into()),
        Err(error) => return Err(Failure::refused(error.to_string())),
    };
    tracing::info!(key = %folder.prefix(), "what a restore that was cut short has left is removed first");
    let manifest = opening::open(&folder, manifest, identities)?;
    let schema = schema::fetch(storage, &folder, &manifest, identities, stop).await?;
    Ok(Some(Left {
        toc: schema.toc,
        without_rows: manifest.part.map_or_else(Vec::new, |it| it.without_rows),
    }))
}
