//! The head of a stream in the store: its table of contents, without its rows.

use std::io::{self, Read as _};

use backuper::archive::codec::{self, Decoding};
use backuper::archive::encryption::Identities;
use backuper::archive::{Folder, Manifest};
use backuper::runtime::Failure;
use backuper::storage::Storage;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::archive::source::Source;
use crate::archive::toc::{self, Toc};

/// Bytes of a head that are read at most to find a table of contents.
const LONGEST: usize = 256 << 20;

/// Chunks between the store and the decoder.
const QUEUE: usize = 4;

/// The beginning of an archive, as far as it has come. Its table of contents is looked for when there
/// is half as much again as the last time, and not with each chunk: a long one would be read over and
/// over.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    next: usize,
}

impl Head {
    /// Adds what has come; gives the table of contents once it is whole. `ended`: nothing more will come.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn add(&mut self, chunk: &[u8], ended: bool) -> Result<Option<Toc>, toc::Error> {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() < self.next && !ended {
            return Ok(None);
        }
        match Toc::read(&self.bytes) {
            Ok(toc) => Ok(Some(toc)),
            Err(toc::Error::CutShort) if !ended && self.bytes.len() < LONGEST => {
                self.next = self.bytes.len() * 3 / 2;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// All that has come.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All that has come.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads as much of a stream as its table of contents takes.
///
/// # Errors
/// What the store said, or why there is no table of contents.
pub async fn read(storage: &dyn Storage, decoding: Decoding, key: &str) -> Result<Toc, Failure> {
    let mut body = storage.open(key).await?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let reading = tokio::task::spawn_blocking(move || head_of(Source::new(receiver), &decoding));
    // Ends when the reader has what it needs, and closes its end.
    let failed = loop {
        match body.next().await {
            None => break None,
            Some(Ok(chunk)) => {
                if sender.send(Ok(chunk)).await.is_err() {
                    break None;
                }
            }
            Some(Err(error)) => {
                // The reader must not take a broken body for the end of a whole one.
                if sender.send(Err(())).await.is_err() {
                    break None;
                }
                break Some(error);
            }
        }
    };
    drop(sender);
    let read = reading.await.map_err(io::Error::other).flatten();
    match (read, failed) {
        (Ok(toc), _) => Ok(toc),
        (Err(_), Some(error)) => Err(error.into()),
        (Err(why), None) => Err(Failure::refused(format!(
            "{key} is damaged: {why}; choose another backup"
        ))),
    }
}

fn head_of(source: Source, decoding: &Decoding) -> io::Result<Toc> {
    let mut decoder = codec::decoder(source, decoding)?;
    let mut head = Head::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = decoder.read(&mut buffer)?;
        let found = head.add(&buffer[..count], count == 0);
        if let Some(toc) = found.map_err(io::Error::other)? {
            return Ok(toc);
        }
    }
}

/// Reads the heads of all archives with rows.
pub(crate) async fn all(
    storage: &dyn Storage,
    folder: &Folder,
    manifest: &Manifest,
    identities: &Identities,
    stop: &CancellationToken,
) -> Result<Vec<Toc>, Failure> {
    let mut tocs = Vec::new();
    for stream in manifest.data() {
        let key = folder.key(&stream.name);
        let decoding = Decoding::of(manifest, stream, identities);
        tocs.push(tokio::select! {
            toc = read(storage, decoding, &key) => toc?,
            () = stop.cancelled() => return Err(Failure::try_again("stopped")),
        });
    }
    Ok(tocs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: i32) -> Vec<u8> {
        let mut bytes = vec![u8::from(number < 0)];
        bytes.extend(number.unsigned_abs().to_le_bytes());
        bytes
    }

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = int(i32::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
        bytes
    }

    /// The head of an archive of PostgreSQL 15 with so many tables.
    fn head_of(tables: i32) -> Vec<u8> {
        let mut bytes = toc::MAGIC.to_vec();
        bytes.extend([1, 14, 0, 4, 8, 1]);
        bytes.extend([int(0), int(0).repeat(7)].concat());
        bytes.extend([text("shop"), text("15.18"), text("15.18"), int(tables)].concat());
        for number in 0..tables {
            let definition = text("CREATE TABLE public.t (\n    a integer\n);\n");
            let names = [
                text("1259"),
                text("16384"),
                text("t"),
                text("TABLE"),
                int(2),
            ];
            bytes.extend([int(number), int(0)].concat());
            bytes.extend(names.concat());
            bytes.extend([definition, text("DROP TABLE public.t;\n"), text("")].concat());
            bytes.extend([text("public"), text(""), text("heap"), text("me")].concat());
            bytes.extend([text("false"), int(-1)].concat());
            bytes.extend([0; 9]);
        }
        bytes
    }

    /// F30: a head of megabytes is not read again with each of its chunks.
    #[test]
    fn a_long_head_is_read_a_few_times() {
        let whole = head_of(20_000);
        let (mut head, mut reads, mut found) = (Head::default(), 0, None);
        for chunk in whole.chunks(1_000) {
            let before = head.next;
            found = head.add(chunk, false).unwrap();
            reads += usize::from(head.next != before);
        }
        let found = found.or(head.add(&[], true).unwrap()).unwrap();
        assert_eq!(found.entries.len(), 20_000);
        assert!(reads < 40, "{reads} times for {} bytes", whole.len());
        assert_eq!(head.into_bytes(), whole);
    }

    #[test]
    fn a_head_that_ends_early_is_an_error() {
        let whole = head_of(3);
        for end in 0..whole.len() {
            let mut head = Head::default();
            assert!(head.add(&whole[..end], true).is_err(), "{end}");
        }
    }
}
