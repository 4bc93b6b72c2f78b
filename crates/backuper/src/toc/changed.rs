//! A table of contents with other COPY statements than the archive's.

use std::io::{self, Read};
use std::ops::Range;

use super::{Entry, Error, Layout, Reader};

/// What takes the rows of an entry instead of its own COPY statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The statement.
    pub statement: String,
    /// Whether another entry follows that is the same with its own statement.
    pub again: bool,
}

/// The head of an archive, as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its bytes, up to where the rows begin.
    pub bytes: Vec<u8>,
    /// How what follows is written.
    pub layout: Layout,
    /// The numbers of entries that stand there twice, and those that the others got.
    pub again: Vec<(i64, i64)>,
}

/// An entry as it is written.
struct Written {
    bytes: Vec<u8>,
    id: i64,
    /// Where its COPY statement stands, with the length before it.
    copy: Range<usize>,
    change: Option<Copy>,
}

impl Changed {
    /// Reads the head of an archive and leaves `source` where its rows begin. Each entry is shown with its
    /// COPY statement, in the archive's encoding; of an archive whose rows are compressed none is.
    ///
    /// # Errors
    /// [`Error`]; a source that fails is one that ends.
    pub fn of(
        source: impl Read,
        mut change: impl FnMut(&Entry, &[u8]) -> Option<Copy>,
    ) -> Result<Self, Error> {
        let mut reader = Reader::begin(Recorded {
            source,
            bytes: Vec::new(),
        })?;
        let (_, count) = reader.beginning()?;
        let layout = reader.layout;
        let mut bytes = std::mem::take(&mut reader.source.bytes);
        bytes.truncate(bytes.len().saturating_sub(1 + layout.int_size));
        let mut entries = Vec::new();
        for _ in 0..count {
            let begin = reader.position;
            let entry = reader.entry()?;
            let written = std::mem::take(&mut reader.source.bytes);
            let copy = reader.copy.start - begin..reader.copy.end - begin;
            let text = copy.start + 1 + layout.int_size;
            let statement = written.get(text..copy.end).unwrap_or_default();
            entries.push(Written {
                change: change(&entry, statement).filter(|_| !layout.compressed),
                id: entry.id,
                bytes: written,
                copy,
            });
        }
        let again = |it: &&Written| it.change.as_ref().is_some_and(|it| it.again);
        let last = entries.iter().map(|it| it.id).max().unwrap_or_default();
        let twice: Vec<i64> = entries.iter().filter(again).map(|it| it.id).collect();
        let again: Vec<(i64, i64)> = twice.into_iter().zip(last.saturating_add(1)..).collect();
        let number = |value: i64| layout.number(value);
        bytes.extend(number(count.saturating_add_unsigned(again.len() as u64))?);
        for entry in &entries {
            let around = (
                entry.bytes.get(..entry.copy.start),
                entry.bytes.get(entry.copy.end..),
            );
            let (Some(change), (Some(before), Some(behind))) = (&entry.change, around) else {
                bytes.extend(&entry.bytes);
                continue;
            };
            bytes.extend(before);
            bytes.extend(number(
                i64::try_from(change.statement.len()).unwrap_or(i64::MAX),
            )?);
            bytes.extend(change.statement.as_bytes());
            bytes.extend(behind);
            if let Some((_, id)) = again.iter().find(|it| it.0 == entry.id) {
                bytes.extend(number(*id)?);
                bytes.extend(entry.bytes.get(1 + layout.int_size..).unwrap_or_default());
            }
        }
        Ok(Self {
            bytes,
            layout,
            again,
        })
    }
}

/// Keeps what is read.
struct Recorded<R> {
    source: R,
    bytes: Vec<u8>,
}

impl<R: Read> Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes.extend(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
