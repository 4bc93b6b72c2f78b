//! The archive with all but the rows, in memory.

use std::borrow::Cow;
use std::io::{self, Read as _};
use std::sync::Arc;

use backuper::archive::codec::Decoding;
use backuper::archive::encryption::{Identities, Unopened};
use backuper::archive::manifest::Stream;
use backuper::archive::{Folder, Manifest};
use backuper::memfd::Memfd;
use backuper::runtime::Failure;
use backuper::storage::Storage;
use backuper::toc::{Change, Changed};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Entry, Toc, head, opening};

/// From this major on pg_dump counts large objects and their privileges among the data, so the
/// schema's archive knows nothing of them.
const LARGE_OBJECTS_ARE_DATA: u32 = 17;

/// The schema's archive, in memory.
#[derive(Debug)]
pub struct Schema {
    pub(crate) file: Memfd,
    pub(crate) toc: Toc,
}

impl Schema {
    /// The archive with these entries given to their owners in the statements that make them; none: there are none.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn giving(&self, chosen: impl Fn(&Entry) -> bool) -> Result<Option<Memfd>, Failure> {
        if !self.toc.entries.iter().any(&chosen) {
            return Ok(None);
        }
        let failed =
            |error: io::Error| Failure::try_again(format!("no memory for the schema: {error}"));
        let whole = std::fs::read(self.file.path()).map_err(failed)?;
        let mut rest = whole.as_slice();
        let changed = Changed::of(&mut rest, |entry, _copy| {
            chosen(entry).then_some(Change::Given)
        });
        let changed = changed.map_err(io::Error::other).map_err(failed)?;
        let bytes = [changed.bytes.as_slice(), rest].concat();
        Memfd::new("schema.dump", &bytes).map(Some).map_err(failed)
    }
}

/// Fetches the schema's archive, which is small, and checks it; of the streams, what is more than
/// rows.
pub(crate) async fn fetch(
    storage: &Arc<dyn Storage>,
    folder: &Folder,
    manifest: &Manifest,
    identities: &Identities,
    stop: &CancellationToken,
) -> Result<Schema, Failure> {
    let stream = manifest
        .schema()
        .ok_or_else(|| Failure::refused("the manifest names no schema"))?;
    let key = folder.key(&stream.name);
    let limit = usize::try_from(stream.stored_bytes).unwrap_or(usize::MAX);
    let bytes = tokio::select! {
        bytes = storage.get(&key, limit) => bytes?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before it began")),
    };
    proved(&key, stream, &bytes)?;
    let decoding = Decoding::of(manifest, stream, identities);
    let bytes = decoded(&key, manifest, &decoding, &bytes)?;
    let mut schema = read(&key, &bytes)?;
    if schema.toc.dump_major() >= Some(LARGE_OBJECTS_ARE_DATA) {
        let tocs = head::all(storage.as_ref(), folder, manifest, identities, stop).await?;
        schema.toc.streams = tocs.into_iter().map(Toc::large_objects).collect();
    }
    Ok(schema)
}

/// Looks whether the bytes of an object are those that the manifest says.
pub(crate) fn proved(key: &str, stream: &Stream, bytes: &[u8]) -> Result<(), Failure> {
    let found = hex::encode(Sha256::digest(bytes));
    if found != stream.sha256 {
        return Err(Failure::refused(format!(
            "{key} is damaged: its SHA-256 is {found} and should be {}; choose another backup",
            stream.sha256
        )));
    }
    Ok(())
}

/// What is inside, in memory as a whole: the first that shows whether the keys open the backup.
fn decoded<'a>(
    key: &str,
    manifest: &Manifest,
    decoding: &Decoding,
    bytes: &'a [u8],
) -> Result<Cow<'a, [u8]>, Failure> {
    let Some(identities) = &decoding.identities else {
        return Ok(Cow::Borrowed(bytes));
    };
    let mut plain = Vec::with_capacity(bytes.len());
    let decrypted = identities.decrypt(bytes).and_then(|mut reader| {
        reader
            .read_to_end(&mut plain)
            .map_err(|_changed| Unopened::Damaged("it was changed or cut"))
    });
    match decrypted {
        Ok(_size) => Ok(Cow::Owned(plain)),
        Err(error) => {
            let encryption = manifest.encryption.as_ref();
            Err(opening::unopened(key, encryption, identities, &error))
        }
    }
}

fn read(key: &str, bytes: &[u8]) -> Result<Schema, Failure> {
    let toc = Toc::read(bytes)
        .map_err(|error| Failure::refused(format!("{key} cannot be restored: {error}")))?;
    toc.warn_if_unfinished(key);
    let file = Memfd::new("schema.dump", bytes)
        .map_err(|error| Failure::try_again(format!("no memory for {key}: {error}")))?;
    Ok(Schema { file, toc })
}
