//! Rows that the server sends in COPY's binary format, as the text that it would have sent itself: most of what a
//! bytea costs it is the writing of hex digits, and their way over the network.
//!
//! Whatever is not exactly what the format has, or what a type's send function writes, is an error: nothing is
//! guessed, since an error here would be stored. PostgreSQL manual, COPY: binary format, and text format.

mod values;

use std::borrow::Cow;

use bytes::Bytes;
use tokio_postgres::types::{Kind, Type as Oid};

/// What begins the rows, without flags and with nothing in the extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The longest row of text that a COPY takes or sends: `MaxAllocSize` in `memutils.h`.
const LONGEST: u64 = 0x3fff_ffff;
/// The longest value that is taken as a whole: a numeric has 131,072 digits before the point and 16,383 behind it.
const LONGEST_WHOLE: usize = 128 << 10;

/// What each bytea begins with.
const BYTEA: &[u8] = b"\\\\x";

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Bytea,
    Date,
    Int2,
    Int4,
    Int8,
    Jsonb,
    Numeric,
    Oid,
    /// All whose binary format is their text.
    Text,
    Timestamp,
    /// In UTC.
    Timestamptz,
    Uuid,
}

impl Type {
    /// None: it is not known here.
    pub(super) fn of(of: &Oid) -> Option<Self> {
        if matches!(of.kind(), Kind::Enum(_)) {
            return Some(Self::Text);
        }
        Some(match *of {
            Oid::BOOL => Self::Bool,
            Oid::BYTEA => Self::Bytea,
            Oid::DATE => Self::Date,
            Oid::INT2 => Self::Int2,
            Oid::INT4 => Self::Int4,
            Oid::INT8 => Self::Int8,
            Oid::JSONB => Self::Jsonb,
            Oid::NUMERIC => Self::Numeric,
            Oid::OID => Self::Oid,
            Oid::TEXT | Oid::VARCHAR | Oid::BPCHAR | Oid::NAME | Oid::JSON => Self::Text,
            Oid::TIMESTAMP => Self::Timestamp,
            Oid::TIMESTAMPTZ => Self::Timestamptz,
            Oid::UUID => Self::Uuid,
            _ => return None,
        })
    }
}

/// Why rows do not become text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The bytes are none of the format.
    #[error("the server has sent what is no binary COPY; set BACKUP_COPY_FORMAT=text")]
    Format,
    /// A value is none of its type.
    #[error("the server has sent a value that its type does not have; set BACKUP_COPY_FORMAT=text")]
    Value,
    /// A row has no text.
    #[error(
        "a row is longer than 1 GiB as text, which no COPY could take back; make it shorter, or leave its table out"
    )]
    TooLong,
}

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug)]
enum Within {
    Header,
    Row,
    /// The length of the value in this column.
    Length(usize),
    /// What a jsonb of so many bytes begins with: the version of its format.
    Version(usize, usize),
    /// A value of this column that is written as a whole, of so many bytes.
    Whole(usize, usize),
    /// One that is written piece by piece, of which so many bytes are to come.
    Pieces(usize, usize),
    End,
}

/// The rows of one COPY on their way into text.
#[derive(Debug)]
pub(super) struct Texts {
    columns: Vec<Type>,
    within: Within,
    /// The beginning of what does not end in what has come.
    begun: Vec<u8>,
    /// Bytes of the row so far that were given.
    given: u64,
    /// Where it begins, or goes on, in what is to be given.
    row: usize,
}

impl Texts {
    pub(super) fn of(columns: Vec<Type>) -> Self {
        Self {
            columns,
            within: Within::Header,
            begun: Vec::new(),
            given: 0,
            row: 0,
        }
    }

    /// Whether all has come.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.within, Within::End)
    }

    /// The text of what has come next, in pieces of any size.
    pub(super) fn next(&mut self, mut input: &[u8]) -> Result<Bytes, Error> {
        let mut text = Vec::with_capacity(input.len() * 2 + 64);
        self.row = 0;
        loop {
            self.whole_rows(&mut input, &mut text)?;
            if !self.step(&mut input, &mut text)? {
                break;
            }
        }
        self.given += (text.len() - self.row) as u64;
        if self.given > LONGEST {
            return Err(Error::TooLong);
        }
        Ok(text.into())
    }

    /// As [`Self::step`] would write them, as many as have come as a whole: nearly all.
    fn whole_rows(&mut self, input: &mut &[u8], text: &mut Vec<u8>) -> Result<(), Error> {
        while matches!(self.within, Within::Row) && self.begun.is_empty() {
            let begin = text.len();
            let Some(rest) = row(&self.columns, input, text)? else {
                text.truncate(begin);
                return Ok(());
            };
            *input = rest;
            self.end_row(text)?;
        }
        Ok(())
    }

    /// Goes on by one; false where more must come first.
    fn step(&mut self, input: &mut &[u8], text: &mut Vec<u8>) -> Result<bool, Error> {
        let count = match self.within {
            Within::Header => HEADER.len(),
            Within::Row => 2,
            Within::Length(_) => 4,
            Within::Version(..) => 1,
            Within::Whole(_, length) => length,
            Within::Pieces(column, left) => return self.pieces(column, left, input, text),
            Within::End if input.is_empty() => return Ok(false),
            Within::End => return Err(Error::Format),
        };
        let Some(part) = whole(&mut self.begun, input, count) else {
            return Ok(false);
        };
        self.within = match self.within {
            Within::Header if *part == *HEADER => Within::Row,
            Within::Row => match i16::from_be_bytes(values::fixed(&part)?) {
                -1 => Within::End,
                0 => return Err(Error::Format),
                count if usize::try_from(count) == Ok(self.columns.len()) => Within::Length(0),
                _ => return Err(Error::Format),
            },
            Within::Length(column) => {
                let length = i32::from_be_bytes(values::fixed(&part)?);
                self.begin(column, length, text)?
            }
            Within::Version(column, length) => {
                let left = length.checked_sub(1).filter(|_| *part == [1]);
                Within::Pieces(column, left.ok_or(Error::Value)?)
            }
            Within::Whole(column, _) => {
                values::write(self.columns[column], &part, text)?;
                self.end(column, text)?
            }
            Within::Header | Within::Pieces(..) | Within::End => return Err(Error::Format),
        };
        Ok(true)
    }

    fn pieces(
        &mut self,
        column: usize,
        left: usize,
        input: &mut &[u8],
        text: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        if left == 0 {
            self.within = self.end(column, text)?;
            return Ok(true);
        }
        let (piece, rest) = input.split_at(left.min(input.len()));
        if self.columns[column] == Type::Bytea {
            values::hex(piece, text);
        } else {
            values::escape(piece, text);
        }
        *input = rest;
        self.within = Within::Pieces(column, left - piece.len());
        Ok(!piece.is_empty())
    }

    /// What follows the length of a value.
    fn begin(&mut self, column: usize, length: i32, text: &mut Vec<u8>) -> Result<Within, Error> {
        let Ok(length) = usize::try_from(length) else {
            if length != -1 {
                return Err(Error::Format);
            }
            text.extend_from_slice(b"\\N");
            return self.end(column, text);
        };
        Ok(match self.columns[column] {
            Type::Text => Within::Pieces(column, length),
            Type::Bytea => {
                text.extend_from_slice(BYTEA);
                Within::Pieces(column, length)
            }
            Type::Jsonb => Within::Version(column, length),
            _ if length > LONGEST_WHOLE => return Err(Error::Value),
            _ => Within::Whole(column, length),
        })
    }

    /// What follows the end of a value.
    fn end(&mut self, column: usize, text: &mut Vec<u8>) -> Result<Within, Error> {
        if column + 1 < self.columns.len() {
            text.push(b'\t');
            return Ok(Within::Length(column + 1));
        }
        self.end_row(text)?;
        Ok(Within::Row)
    }

    fn end_row(&mut self, text: &mut Vec<u8>) -> Result<(), Error> {
        text.push(b'\n');
        self.given += (text.len() - self.row) as u64;
        if self.given >= LONGEST {
            return Err(Error::TooLong);
        }
        self.given = 0;
        self.row = text.len();
        Ok(())
    }
}

/// Writes one row but for its end, and gives what is behind it; none: it has not come as a whole, or is one that takes a
/// closer look.
fn row<'a>(
    columns: &[Type],
    input: &'a [u8],
    text: &mut Vec<u8>,
) -> Result<Option<&'a [u8]>, Error> {
    let Some((count, mut input)) = input.split_first_chunk() else {
        return Ok(None);
    };
    let count = usize::try_from(i16::from_be_bytes(*count)).ok();
    if count.filter(|it| *it > 0) != Some(columns.len()) {
        return Ok(None);
    }
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            text.push(b'\t');
        }
        let Some((length, rest)) = input.split_first_chunk() else {
            return Ok(None);
        };
        input = rest;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            text.extend_from_slice(b"\\N");
            continue;
        }
        let length = usize::try_from(length).ok();
        let Some((value, rest)) = length.and_then(|it| input.split_at_checked(it)) else {
            return Ok(None);
        };
        input = rest;
        match (column, value) {
            (Type::Text, value) | (Type::Jsonb, [1, value @ ..]) => values::escape(value, text),
            (Type::Bytea, value) => {
                text.extend_from_slice(BYTEA);
                values::hex(value, text);
            }
            (Type::Jsonb, _) => return Err(Error::Value),
            (_, value) if value.len() > LONGEST_WHOLE => return Err(Error::Value),
            (column, value) => values::write(*column, value, text)?,
        }
    }
    Ok(Some(input))
}

/// So many bytes, as soon as they have come.
fn whole<'a>(begun: &mut Vec<u8>, input: &mut &'a [u8], count: usize) -> Option<Cow<'a, [u8]>> {
    if begun.is_empty()
        && let Some((whole, rest)) = input.split_at_checked(count)
    {
        *input = rest;
        return Some(Cow::Borrowed(whole));
    }
    let (more, rest) = input.split_at((count - begun.len()).min(input.len()));
    begun.extend_from_slice(more);
    *input = rest;
    (begun.len() == count).then(|| Cow::Owned(std::mem::take(begun)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A COPY of these rows, of which each value stands without its length.
    fn sent(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut all = HEADER.to_vec();
        for row in rows {
            all.extend(i16::try_from(row.len()).unwrap().to_be_bytes());
            for value in *row {
                match value {
                    Some(value) => {
                        all.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                        all.extend(*value);
                    }
                    None => all.extend((-1i32).to_be_bytes()),
                }
            }
        }
        all.extend((-1i16).to_be_bytes());
        all
    }

    fn text(columns: &[Type], pieces: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let mut texts = Texts::of(columns.to_vec());
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(texts.next(piece)?);
        }
        texts.is_at_end().then_some(all).ok_or(Error::Format)
    }

    fn one(of: Type, value: &[u8]) -> Result<String, Error> {
        let text = text(&[of], &[&sent(&[&[Some(value)]])])?;
        Ok(String::from_utf8(text).unwrap())
    }

    const COLUMNS: [Type; 4] = [Type::Int4, Type::Bytea, Type::Jsonb, Type::Text];
    const ROWS: [&[Option<&[u8]>]; 3] = [
        &[
            Some(&[255; 4]),
            Some(b"\\\n\x00"),
            Some(b"\x01[1]"),
            Some(b"a\tb\\c\x7f"),
        ],
        &[None, None, None, None],
        &[
            Some(&[0, 0, 0, 7]),
            Some(b""),
            Some(b"\x01\"\\n\""),
            Some(b""),
        ],
    ];
    const TEXT: &str = "-1\t\\\\x5c0a00\t[1]\ta\\tb\\\\c\x7f\n\
                        \\N\t\\N\t\\N\t\\N\n\
                        7\t\\\\x\t\"\\\\n\"\t\n";

    #[test]
    fn rows_become_the_text_of_copy() {
        let found = text(&COLUMNS, &[&sent(&ROWS)]).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), TEXT);
        assert_eq!(text(&COLUMNS, &[&sent(&[])]).unwrap(), b"");
    }

    #[test]
    fn values_are_written_as_the_server_writes_them() {
        let days = |days: i32| one(Type::Date, &days.to_be_bytes()).unwrap();
        for (count, written) in [
            (0, "2000-01-01\n"),
            (59, "2000-02-29\n"),
            (-1, "1999-12-31\n"),
            (-730_119, "0001-01-01\n"),
            (-730_120, "0001-12-31 BC\n"),
            (-2_451_545, "4714-11-24 BC\n"),
            (2_145_031_948, "5874897-12-31\n"),
            (i32::MAX, "infinity\n"),
            (i32::MIN, "-infinity\n"),
        ] {
            assert_eq!(days(count), written);
        }
        let at = |of, at: i64| one(of, &at.to_be_bytes()).unwrap();
        for (of, micros, written) in [
            (Type::Timestamp, 0, "2000-01-01 00:00:00\n"),
            (Type::Timestamp, -1, "1999-12-31 23:59:59.999999\n"),
            (Type::Timestamp, 1_500_000, "2000-01-01 00:00:01.5\n"),
            (Type::Timestamptz, 100, "2000-01-01 00:00:00.0001+00\n"),
            (Type::Timestamptz, i64::MIN, "-infinity\n"),
            (
                Type::Timestamptz,
                -211_813_488_000_000_000,
                "4714-11-24 00:00:00+00 BC\n",
            ),
        ] {
            assert_eq!(at(of, micros), written);
        }
        let numeric = |head: [u16; 4], digits: &[u16]| {
            let all = head.iter().chain(digits);
            let value: Vec<u8> = all.flat_map(|it| it.to_be_bytes()).collect();
            one(Type::Numeric, &value)
        };
        for (head, digits, written) in [
            ([0, 0, 0, 0], &[][..], "0\n"),
            ([0, 0, 0, 4], &[], "0.0000\n"),
            ([1, 0, 0x4000, 2], &[1], "-1.00\n"),
            ([1, 1, 0, 0], &[1], "10000\n"),
            ([2, 0, 0, 5], &[12, 345], "12.03450\n"),
            ([1, u16::MAX - 1, 0, 9], &[1000], "0.000010000\n"),
            ([0, 0, 0xC000, 0], &[], "NaN\n"),
            ([0, 0, 0xD000, 0x20], &[], "Infinity\n"),
            ([0, 0, 0xF000, 0x20], &[], "-Infinity\n"),
        ] {
            assert_eq!(numeric(head, digits).unwrap(), written);
        }
        assert_eq!(
            one(Type::Uuid, &[0xab; 16]).unwrap(),
            "abababab-abab-abab-abab-abababababab\n"
        );
        assert_eq!(one(Type::Oid, &[255; 4]).unwrap(), "4294967295\n");
        assert_eq!(one(Type::Bool, &[1]).unwrap(), "t\n");
        for (of, value) in [
            (Type::Bool, &[2][..]),
            (Type::Int4, &[0; 3]),
            (Type::Jsonb, b""),
            (Type::Jsonb, b"\x02{}"),
            (Type::Numeric, &[0, 1, 0, 0, 0, 0, 0, 0]),
            (Type::Numeric, &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10]),
            (Type::Uuid, &[0; 17]),
            (Type::Date, &2_145_031_949i32.to_be_bytes()),
            (
                Type::Timestamp,
                &(-211_813_488_000_000_001i64).to_be_bytes(),
            ),
        ] {
            assert_eq!(one(of, value), Err(Error::Value), "{of:?}");
        }
    }

    #[test]
    fn what_is_no_binary_copy_is_refused() {
        let whole = sent(&ROWS);
        for end in 0..whole.len() {
            assert_eq!(
                text(&COLUMNS, &[&whole[..end]]),
                Err(Error::Format),
                "{end}"
            );
        }
        let behind = [&whole[..], b"\0"].concat();
        assert_eq!(text(&COLUMNS, &[&behind]), Err(Error::Format));
        assert_eq!(text(&COLUMNS[1..], &[&whole]), Err(Error::Format));
        assert_eq!(text(&[], &[&sent(&[&[]])]), Err(Error::Format));
        let mut flags = whole.clone();
        flags[13] = 1;
        assert_eq!(text(&COLUMNS, &[&flags]), Err(Error::Format));
        let mut length = whole;
        length[HEADER.len() + 2] = 0xFE;
        assert_eq!(text(&COLUMNS, &[&length]), Err(Error::Format));
    }

    /// The 1 GiB - 1 that a StringInfo of the server's has.
    #[test]
    fn a_row_that_has_no_text_is_refused() {
        let ended = |given| {
            let mut texts = Texts::of(vec![Type::Bytea, Type::Text]);
            let [begun, rest] = [HEADER, &[0, 2, 0, 0, 0, 4, 0, 0]].map(<[u8]>::to_vec);
            texts.next(&[begun, rest].concat()).unwrap();
            texts.given = given;
            texts.next(&[0, 0, 255, 255, 255, 255]).map(drop)
        };
        // Four hex digits, a tab, a null and the end of the row are to come.
        assert_eq!(ended(LONGEST - 9), Ok(()));
        assert_eq!(ended(LONGEST - 8), Err(Error::TooLong));
    }

    proptest! {
        #[test]
        fn where_the_pieces_end_is_the_same(ends in prop::collection::vec(0usize..200, 0..8)) {
            let whole = sent(&ROWS);
            let mut ends: Vec<usize> = ends.into_iter().map(|it| it.min(whole.len())).collect();
            ends.sort_unstable();
            ends.push(whole.len());
            let mut from = 0;
            let pieces: Vec<&[u8]> = ends
                .into_iter()
                .map(|end| &whole[std::mem::replace(&mut from, end)..end])
                .collect();
            prop_assert_eq!(text(&COLUMNS, &pieces).unwrap(), TEXT.as_bytes());
        }
    }
}
