//! The roles of the server that was backed up, where they are a part of the backup.

use std::io::Read as _;

use backuper::archive::codec::{self, Decoding};
use backuper::archive::encryption::Identities;
use backuper::archive::manifest;
use backuper::runtime::Failure;
use backuper::storage::{Kind, Storage};
use tokio_util::sync::CancellationToken;

use super::Backup;
use crate::archive::globals::Globals;
use crate::archive::schema;

/// The largest that is read, in bytes, as they are stored and as they are written: room for some hundred
/// thousand roles.
const LIMIT: u64 = 64 << 20;

/// Fetches and proves them; none: the backup has none.
///
/// # Errors
/// What is missing or damaged, and how to restore without.
pub async fn globals(
    storage: &dyn Storage,
    backup: &Backup,
    identities: &Identities,
    stop: &CancellationToken,
) -> Result<Option<Globals>, Failure> {
    let Backup::Folder(folder, manifest, _) = backup else {
        return Ok(None);
    };
    let Some(manifest::Globals { object, .. }) = &manifest.globals else {
        return Ok(None);
    };
    let key = folder.key(&object.name);
    let unusable = |why: String| {
        Failure::refused(format!(
            "{key} {why}: the roles of this backup cannot be read; set RESTORE_ROLES=none to restore the rest of it, or choose another backup; nothing was changed"
        ))
    };
    if object.stored_bytes > LIMIT {
        return Err(unusable(format!("is larger than {LIMIT} bytes")));
    }
    let limit = usize::try_from(object.stored_bytes).unwrap_or(usize::MAX);
    let bytes = tokio::select! {
        bytes = storage.get(&key, limit) => bytes,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before it began")),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind == Kind::NotFound => {
            return Err(unusable("is missing".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    schema::proved(&key, object, &bytes).map_err(|_other_bytes| {
        unusable("is damaged, its SHA-256 is not that of the manifest".to_owned())
    })?;
    let decoding = Decoding::of(manifest, object, identities);
    let mut text = String::new();
    codec::decoder(&bytes[..], &decoding)
        .and_then(|it| it.take(LIMIT).read_to_string(&mut text))
        .map_err(|error| unusable(format!("is damaged ({error})")))?;
    let globals = Globals::read(&text);
    globals
        .map(Some)
        .map_err(|error| unusable(format!("is not as pg_dumpall writes it ({error})")))
}
