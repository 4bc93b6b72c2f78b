//! What a single object is, by its first bytes: nothing is begun for one that holds no backup.

use std::io::{self, Read};

use backuper::archive::Manifest;
use backuper::archive::encryption::{self, Identities};
use backuper::runtime::{Failure, Verdict};
use backuper::storage::{Object, Storage};
use flate2::read::MultiGzDecoder;
use futures::StreamExt as _;

use super::{Backup, Encoding};
use crate::archive::head::Head;
use crate::archive::{opening, toc};

/// Bytes of a gzip that are looked at.
const COMPRESSED: usize = 64 << 10;
/// Bytes of an encrypted gzip that are looked at: its head and two of age's chunks, of which one is whole.
const ENCRYPTED: usize = 192 << 10;
/// Bytes of what is in it.
const DECODED: u64 = 256 << 10;
/// How gzip begins. RFC 1952, 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What kind of object it is, by its first bytes; of an archive, its table of contents too.
pub(super) async fn look_into(storage: &dyn Storage, object: Object) -> Result<Backup, Failure> {
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
            Err(toc::Error::NotAnArchive | toc::Error::CutShort)
                if head.bytes().starts_with(&GZIP) =>
            {
                let beginning = Beginning::of(storage, &object, COMPRESSED).await?;
                in_gzip(&object, &beginning)?;
                return Ok(Backup::Script(object, Encoding::Gzip, None));
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
    if head.starts_with(encryption::MAGIC) {
        return Err(Failure::refused(format!(
            "{} is encrypted with age and no part of a backup of ours, so it is not restored as it is; decrypt it with `age -d`, put that beside it and name that",
            object.key
        )));
    }
    if head.is_empty() || head.contains(&0) {
        return Err(Failure::refused(format!(
            "{} is neither a pg_dump archive nor SQL; name another object",
            object.key
        )));
    }
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::refused(no_sql(&object)));
    }
    Ok(Backup::Script(object, Encoding::Plain, None))
}

/// Looks whether a dump of ours can be restored, with these keys where it is encrypted.
pub(super) async fn of_ours(
    storage: &dyn Storage,
    object: &Object,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<(), Failure> {
    let Some(encryption) = &manifest.encryption else {
        return in_gzip(object, &Beginning::of(storage, object, COMPRESSED).await?);
    };
    let sealed = Beginning::of(storage, object, ENCRYPTED).await?;
    let unopened = |error| opening::unopened(&object.key, Some(encryption), identities, &error);
    let mut open = identities.decrypt(&sealed.bytes[..]).map_err(unopened)?;
    let mut bytes = Vec::new();
    if let Err(error) = open.read_to_end(&mut bytes)
        // Where it goes on, its last chunk is cut.
        && (sealed.is_all || bytes.is_empty())
    {
        return Err(Failure::refused(format!(
            "{} is damaged: {error}; choose another backup",
            object.key
        )));
    }
    let is_all = sealed.is_all;
    in_gzip(object, &Beginning { bytes, is_all })
}

/// What an object begins with.
struct Beginning {
    bytes: Vec<u8>,
    /// Whether nothing follows.
    is_all: bool,
}

impl Beginning {
    /// So many bytes at least, where there are as many.
    async fn of(storage: &dyn Storage, object: &Object, wanted: usize) -> Result<Self, Failure> {
        let mut body = storage.open(&object.key).await?;
        let mut bytes = Vec::new();
        while bytes.len() < wanted
            && let Some(chunk) = body.next().await.transpose()?
        {
            bytes.extend_from_slice(&chunk);
        }
        let is_all = bytes.len() as u64 >= object.size;
        Ok(Self { bytes, is_all })
    }
}

/// Looks whether SQL is in a gzip.
fn in_gzip(object: &Object, beginning: &Beginning) -> Result<(), Failure> {
    let Beginning { bytes, is_all } = beginning;
    let damaged = |why: &dyn std::fmt::Display| {
        Failure::refused(format!(
            "{} is no whole gzip: {why}; choose another backup",
            object.key
        ))
    };
    let mut decoded = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes.as_slice()).take(DECODED);
    match decoder.read_to_end(&mut decoded) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !*is_all => {}
        Err(error) => return Err(damaged(&error)),
    }
    if decoded.starts_with(toc::MAGIC) {
        return Err(Failure::refused(format!(
            "{} is a pg_dump archive in gzip and no SQL; unpack it, and name what comes of it",
            object.key
        )));
    }
    if decoded.contains(&0) {
        return Err(Failure::refused(format!(
            "{} holds no SQL; name another object",
            object.key
        )));
    }
    if decoded.iter().all(u8::is_ascii_whitespace) && *is_all {
        return Err(Failure::refused(no_sql(object)));
    }
    Ok(())
}

fn no_sql(object: &Object) -> String {
    format!(
        "{} is empty: it holds no SQL; name another object",
        object.key
    )
}
