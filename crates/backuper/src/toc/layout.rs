//! How the numbers of an archive are written: `ReadInt` and `WriteInt` in `pg_backup_archiver.c`.

use std::io::Read;

use super::{Error, Reader};

/// A sign, then the absolute value, least byte first; none when it is too large.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<i64> {
    let (sign, digits) = bytes.split_first()?;
    let value = digits.iter().rev().try_fold(0i64, |sum, byte| {
        sum.checked_mul(256)?.checked_add(i64::from(*byte))
    })?;
    Some(if *sign == 0 { value } else { -value })
}

/// How an archive writes what follows its table of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a number, beside its sign.
    pub int_size: usize,
    /// Whether pg_dump has compressed the rows.
    pub compressed: bool,
    pub(super) minor: u8,
    pub(super) offset_size: usize,
}

impl Layout {
    /// Reads the head of an archive and leaves `source` where its rows begin.
    ///
    /// # Errors
    /// [`Error`]; a source that fails is one that ends.
    pub fn of(source: impl Read) -> Result<Self, Error> {
        let mut reader = Reader::begin(source)?;
        let (_, count) = reader.beginning()?;
        for _ in 0..count {
            reader.entry()?;
        }
        Ok(reader.layout)
    }

    /// A number that is not negative, as the archive writes it.
    pub(crate) fn number(self, value: i64) -> Result<Vec<u8>, Error> {
        let digits = value.to_le_bytes();
        let (written, rest) = digits
            .split_at_checked(self.int_size)
            .ok_or(Error::Damaged("a number has too many bytes"))?;
        if rest.iter().any(|it| *it != 0) {
            return Err(Error::Damaged("a number has too few bytes"));
        }
        Ok([&[0], written].concat())
    }
}
