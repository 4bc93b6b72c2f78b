//! A script that pg_restore writes, taken apart into what psql reads and rows in COPY's binary format.
//!
//! psql takes binary rows from a file alone, to its end: in a script nobody could tell it where they end. The format
//! itself says that (PostgreSQL manual, COPY: file formats), and a [`Marker`] says where they begin.

use std::io::{self, Write};

use memchr::memmem;
use tokio::sync::mpsc;

use crate::archive::binary::{FROM_BINARY, Marker};

/// Pieces that wait for psql.
const QUEUE: usize = 4;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// What psql reads.
    Script(Vec<u8>),
    /// Binary rows follow, for these columns of a table.
    Begin {
        /// `"schema"."table" ("column", …)`.
        into: Vec<u8>,
        /// The line with which the script has psql refuse commands, and none where it has not.
        restricted: Option<Vec<u8>>,
    },
    /// Some of them.
    Rows(Vec<u8>),
    /// They have ended.
    End,
}

/// Takes a script, and hands on its pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    /// The marker between two line ends.
    marker: Option<Vec<u8>>,
    sender: mpsc::Sender<Piece>,
    /// What has come and was not handed on.
    held: Vec<u8>,
    /// Whether the comments at the script's beginning have passed.
    begun: bool,
    restricted: Option<Vec<u8>>,
    /// Where in binary rows it is.
    rows: Option<Framing>,
}

impl Pieces {
    /// Of a script whose binary rows, if any, come behind this marker.
    pub(super) fn of(marker: Option<&Marker>) -> (Self, mpsc::Receiver<Piece>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let pieces = Self {
            marker: marker.map(|it| format!("\n{}", it.line()).into_bytes()),
            sender,
            held: Vec::new(),
            begun: false,
            restricted: None,
            rows: None,
        };
        (pieces, receiver)
    }

    /// Hands on what was held back.
    ///
    /// # Errors
    /// `UnexpectedEof` in the middle of binary rows, `BrokenPipe` when nobody takes it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.held);
        if self.rows.is_some() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hand_on(Piece::Script(rest))
    }

    fn hand_on(&self, piece: Piece) -> io::Result<()> {
        let sent = self.sender.blocking_send(piece);
        sent.map_err(|_closed| io::ErrorKind::BrokenPipe.into())
    }

    /// Hands on so many bytes as they are.
    fn script(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let rest = self.held.split_off(count);
        let script = std::mem::replace(&mut self.held, rest);
        self.hand_on(Piece::Script(script))
    }

    /// Takes a step; false when there is none without more bytes.
    fn step(&mut self) -> io::Result<bool> {
        if !self.begun {
            return Ok(self.begin());
        }
        match self.rows.take() {
            Some(framing) => self.rows(framing),
            None => self.statements(),
        }
    }

    /// Looks at the comments at the beginning, up to the first line of another kind.
    fn begin(&mut self) -> bool {
        let mut rest = self.held.as_slice();
        while let Some(length) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(length + 1);
            if line.starts_with(b"\\restrict ") {
                // What is behind it may be what the archive says of itself.
                self.restricted.get_or_insert_with(|| line.to_owned());
            } else if line != b"\n" && !line.starts_with(b"--") {
                self.begun = true;
                return true;
            }
            rest = after;
        }
        false
    }

    fn statements(&mut self) -> io::Result<bool> {
        let Some(marker) = &self.marker else {
            self.script(self.held.len())?;
            return Ok(false);
        };
        let length = marker.len();
        let Some(at) = memmem::find(&self.held, marker) else {
            self.script((self.held.len() + 1).saturating_sub(length))?;
            return Ok(false);
        };
        let behind = self.held.get(at + length..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', behind) else {
            return Ok(false);
        };
        let statement = behind.get(..=end).unwrap_or_default();
        let into = statement
            .strip_prefix(b"COPY ")
            .and_then(|it| it.strip_suffix(FROM_BINARY.as_bytes()))
            .ok_or_else(|| io::Error::other("another statement than ours takes binary rows"))?
            .to_owned();
        // With the line end that is before the marker.
        self.script(at + 1)?;
        self.held.drain(..length + end);
        self.hand_on(Piece::Begin {
            into,
            restricted: self.restricted.clone(),
        })?;
        self.rows = Some(Framing::default());
        Ok(true)
    }

    fn rows(&mut self, mut framing: Framing) -> io::Result<bool> {
        let (count, ended) = framing.take(&self.held);
        let rest = self.held.split_off(count);
        let rows = std::mem::replace(&mut self.held, rest);
        if !rows.is_empty() {
            self.hand_on(Piece::Rows(rows))?;
        }
        if ended {
            self.hand_on(Piece::End)?;
        } else {
            self.rows = Some(framing);
        }
        Ok(ended)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        while self.step()? {}
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where in COPY's binary format it is.
#[derive(Debug)]
struct Framing {
    /// Bytes that say nothing of where it ends.
    skipped: usize,
    wanted: Wanted,
    /// What there is of a number that was cut.
    cut: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// How many fields the next row has.
    Fields,
    /// How many bytes the next of so many fields has.
    Length(u16),
}

impl Default for Framing {
    fn default() -> Self {
        Self {
            // The signature, the flags, and how long the rest of the header is: ours has none.
            skipped: 11 + 4 + 4,
            wanted: Wanted::Fields,
            cut: Vec::new(),
        }
    }
}

impl Framing {
    /// How many of these bytes are rows, and whether those are the last.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let skipped = self.skipped.min(rest.len());
            self.skipped -= skipped;
            at += skipped;
            let rest = rest.get(skipped..).unwrap_or_default();
            let size = match self.wanted {
                Wanted::Fields => 2,
                Wanted::Length(_) => 4,
            };
            let Some(more) = rest.get(..size - self.cut.len()) else {
                self.cut.extend_from_slice(rest);
                return (bytes.len(), false);
            };
            at += more.len();
            let mut number = [0; 4];
            let cut = std::mem::take(&mut self.cut);
            let digits = cut.iter().chain(more);
            number.iter_mut().zip(digits).for_each(|(to, it)| *to = *it);
            let [a, b, ..] = number;
            self.wanted = match self.wanted {
                // Less than none: the trailer.
                Wanted::Fields => match u16::try_from(i16::from_be_bytes([a, b])) {
                    Err(_) => return (at, true),
                    Ok(0) => Wanted::Fields,
                    Ok(count) => Wanted::Length(count),
                },
                Wanted::Length(fields) => {
                    // Less than none: a NULL.
                    self.skipped = usize::try_from(i32::from_be_bytes(number)).unwrap_or_default();
                    match fields {
                        0 | 1 => Wanted::Fields,
                        more => Wanted::Length(more - 1),
                    }
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::binary::{Rows, Step, Type};

    const HEAD: &str =
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict key\n\n-- Dumped\n\nSET x;\n\n";

    fn binary(text: &str) -> Vec<u8> {
        let mut rows = Vec::new();
        let mut making = Rows::begin(vec![Type::Int4, Type::Text], &mut rows);
        let text = format!("{text}\\.\n");
        assert_eq!(making.take(text.as_bytes(), &mut rows), Step::Ended);
        rows
    }

    /// The pieces of a script that is written so many bytes at once, those of a kind together.
    fn pieces(script: &[u8], marker: &Marker, size: usize) -> io::Result<Vec<Piece>> {
        let (mut pieces, mut receiver) = Pieces::of(Some(marker));
        let reading = std::thread::spawn(move || {
            let mut all: Vec<Piece> = Vec::new();
            while let Some(piece) = receiver.blocking_recv() {
                match (all.last_mut(), piece) {
                    (Some(Piece::Script(last)), Piece::Script(more))
                    | (Some(Piece::Rows(last)), Piece::Rows(more)) => last.extend(more),
                    (_, piece) => all.push(piece),
                }
            }
            all
        });
        let written = script.chunks(size).try_for_each(|it| pieces.write_all(it));
        let finished = written.and_then(|()| pieces.finish());
        let all = reading.join().unwrap();
        finished.map(|()| all)
    }

    fn script(marker: &Marker, rows: &[u8], then: &str) -> Vec<u8> {
        let before = format!(
            "{HEAD}-- Data\n\n{}COPY s.t (a, b){FROM_BINARY}",
            marker.line()
        );
        [before.as_bytes(), rows, then.as_bytes()].concat()
    }

    #[test]
    fn it_may_be_cut_anywhere() {
        let marker = Marker::new();
        let rows = binary("1\ta\n2\t\\N\n3\t\n");
        let then = "--\n-- more\n\nCOPY t FROM stdin;\n\\.\n\n";
        let whole = script(&marker, &rows, then);
        let wanted = [
            Piece::Script(format!("{HEAD}-- Data\n\n").into_bytes()),
            Piece::Begin {
                into: b"s.t (a, b)".to_vec(),
                restricted: Some(b"\\restrict key\n".to_vec()),
            },
            Piece::Rows(rows.clone()),
            Piece::End,
            Piece::Script(then.as_bytes().to_vec()),
        ];
        for size in 1..=whole.len() {
            assert_eq!(pieces(&whole, &marker, size).unwrap(), wanted, "{size}");
        }
    }

    #[test]
    fn rows_that_end_too_early_are_an_error() {
        let marker = Marker::new();
        let rows = binary("1\ta\n2\t\\N\n");
        for cut in 0..rows.len() {
            let cut = script(&marker, &rows[..cut], "");
            assert!(pieces(&cut, &marker, 7).is_err());
        }
    }

    #[test]
    fn a_marker_of_another_restore_is_a_comment() {
        let (ours, other) = (Marker::new(), Marker::new());
        let whole = script(&other, &binary("1\ta\n"), "");
        let all = pieces(&whole, &ours, whole.len()).unwrap();
        assert_eq!(all, [Piece::Script(whole)]);
    }

    proptest! {
        /// What a row holds is no end, and what is between rows is none of them.
        #[test]
        fn whatever_rows_hold_they_end_where_they_end(
            texts in prop::collection::vec("[a-zA-Z\\-]{0,40}", 0..20),
            then in "[ -~\n]{0,200}",
            size in 1_usize..100,
        ) {
            let marker = Marker::new();
            let text: String = texts.iter().map(|it| format!("-1\t{it}\n")).collect();
            let rows = binary(&text);
            let all = pieces(&script(&marker, &rows, &then), &marker, size).unwrap();
            prop_assert_eq!(&all[2], &Piece::Rows(rows));
            prop_assert_eq!(&all[3], &Piece::End);
            let rest = all.get(4).map_or(&b""[..], |it| match it {
                Piece::Script(it) => it,
                _ => b"another",
            });
            prop_assert_eq!(rest, then.as_bytes());
        }
    }
}
