//! The rows of an archive in larger blocks than pg_dump's.
//!
//! A pg_dump that does not compress writes a block for each row, and pg_restore sends each block to
//! the server as a message of its own. Rows of 100 bytes cost both a tenth more than those of an
//! archive that is compressed, whose blocks have 4 KiB. The layout is that of `_CustomReadFunc`,
//! `_PrintTocData` and `_LoadLOs` in PostgreSQL's `src/bin/pg_dump/pg_backup_custom.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, BufWriter, Read, Write};

use backuper::text::line_ends;

use crate::archive::binary::{self, Changes, END_OF_ROWS, Step, Tables, TakenBy, Type};
use crate::archive::toc::{self, Change, Changed, Copy, Layout, number};

/// Bytes that are read and written at once: each write may wake the reader.
const BUFFER: usize = 256 << 10;
/// Bytes of rows that one block holds at most, unless a single one has more.
const JOINED: usize = 64 << 10;

/// What begins the rows of a table.
const DATA: u8 = 1;
/// What begins large objects.
const LARGE_OBJECTS: u8 = 3;

/// Copies an archive, whose table of contents comes first, to the end; the blocks of an archive
/// that is compressed stay as they are.
///
/// # Errors
/// Those of both, and `Other` when it is no archive or a damaged one.
pub fn copy(source: impl Read, sink: impl Write) -> io::Result<()> {
    count(source, sink, &BTreeSet::new(), None).map(|_none| ())
}

/// As [`copy`], and gives how many rows the tables have whose entries have these numbers. Of an archive
/// that is compressed nobody knows it. Rows of these tables are made [`binary`].
///
/// # Errors
/// As [`copy`], and `Other` where psql takes rows that do not end as pg_dump ends them.
pub(crate) fn count(
    source: impl Read,
    sink: impl Write,
    counted: &BTreeSet<i64>,
    tables: Option<&Tables>,
) -> io::Result<Passed> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    let mut sink = BufWriter::with_capacity(BUFFER, sink);
    let (layout, binary) = match tables {
        Some(tables) => changed_head(&mut source, &mut sink, tables)?,
        None => (head(&mut source, &mut sink)?, BTreeMap::new()),
    };
    // A length of so few bytes is none that a joined block could have.
    if layout.compressed || layout.int_size < 4 {
        io::copy(&mut source, &mut sink)?;
        sink.flush()?;
        return Ok(Passed::default());
    }
    let joining = Joining {
        source,
        sink,
        int_size: layout.int_size,
        joined: Vec::with_capacity(JOINED),
        lines: None,
        ending: tables
            .is_some_and(|it| matches!(it.taken_by, TakenBy::Psql(_)))
            .then(Vec::new),
        binary,
        passed: Passed::default(),
    };
    joining.run(counted)
}

/// What has passed.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// The rows of entries that were counted.
    pub(crate) rows: BTreeMap<i64, u64>,
    /// Tables whose rows were made binary.
    pub(crate) binary: usize,
    /// Those of them with a row that was not taken, so that it and those behind it went as text.
    pub(crate) partly: usize,
}

/// The entries whose rows are made binary: the number of the entry behind each, which takes text, and the columns.
type Binary = BTreeMap<i64, (i64, Vec<Type>)>;

/// As [`head`], with other statements for the rows of these tables.
fn changed_head(
    source: &mut impl Read,
    sink: &mut impl Write,
    tables: &Tables,
) -> io::Result<(Layout, Binary)> {
    let mut tee = Tee {
        source,
        sink: &mut io::sink(),
        failure: None,
    };
    let (mut changes, mut columns) = (Changes::of(tables), BTreeMap::new());
    let changed = Changed::of(&mut tee, |entry, copy| {
        let change = changes.next(entry, copy)?;
        let again = change.columns.is_some();
        columns.extend(change.columns.map(|it| (entry.id, it)));
        Some(Change::Copy(Copy {
            statement: change.copy,
            again,
        }))
    });
    let changed = changed.map_err(|error| tee.failed(&error))?;
    sink.write_all(&changed.bytes)?;
    let twice = changed.again.into_iter();
    let binary = twice.filter_map(|(id, again)| Some((id, (again, columns.remove(&id)?))));
    Ok((changed.layout, binary.collect()))
}

fn head(source: &mut impl Read, sink: &mut impl Write) -> io::Result<Layout> {
    let mut tee = Tee {
        source,
        sink,
        failure: None,
    };
    let layout = Layout::of(&mut tee);
    layout.map_err(|error| tee.failed(&error))
}

/// Writes what is read, and remembers why that failed.
struct Tee<'a, R, W> {
    source: &'a mut R,
    sink: &'a mut W,
    failure: Option<io::Error>,
}

impl<R, W> Tee<'_, R, W> {
    /// Why there is no head: what failed here, or what it says itself.
    fn failed(self, error: &toc::Error) -> io::Error {
        let other = || io::Error::other(error.to_string());
        self.failure.unwrap_or_else(other)
    }
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let passed = self.source.read(buffer).and_then(|count| {
            self.sink.write_all(&buffer[..count])?;
            Ok(count)
        });
        passed.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            kind.into()
        })
    }
}

struct Joining<R, W: Write> {
    source: BufReader<R>,
    sink: BufWriter<W>,
    int_size: usize,
    joined: Vec<u8>,
    /// Lines of the table that passes, where they are counted.
    lines: Option<u64>,
    /// The last bytes of a table's rows, where these have to end as pg_dump ends them: psql would take the statements behind
    /// them for rows.
    ending: Option<Vec<u8>>,
    binary: Binary,
    passed: Passed,
}

/// What becomes of the rows of a table that are made binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Binary,
    /// One was not taken.
    Text,
    /// All have passed.
    Ended,
}

/// Lines at the end of a table's rows that are none: `dumpTableData_copy` in `pg_dump.c`.
const NO_ROWS: u64 = 3;

/// A number as the archive writes it.
struct Written {
    bytes: [u8; 9],
    value: i64,
}

impl<R: Read, W: Write> Joining<R, W> {
    fn run(mut self, counted: &BTreeSet<i64>) -> io::Result<Passed> {
        while let Some(kind) = self.source.by_ref().bytes().next().transpose()? {
            self.sink.write_all(&[kind])?;
            let entry = self.pass()?;
            self.lines = counted.contains(&entry).then_some(0);
            match kind {
                DATA => {
                    self.begin_rows();
                    match self.binary.remove(&entry) {
                        Some((again, columns)) => self.binary_rows(again, columns)?,
                        None => self.blocks()?,
                    }
                    self.end_rows()?;
                }
                LARGE_OBJECTS => {
                    // Each with its oid, and 0 after the last.
                    while self.pass()? != 0 {
                        self.blocks()?;
                    }
                }
                other => return Err(damaged(&format!("a block of kind {other}"))),
            }
            let lines = self.lines.take();
            let rows = &mut self.passed.rows;
            rows.extend(lines.map(|it| (entry, it.saturating_sub(NO_ROWS))));
        }
        self.sink.flush()?;
        Ok(self.passed)
    }

    fn begin_rows(&mut self) {
        if let Some(ending) = &mut self.ending {
            ending.clear();
            ending.push(b'\n');
        }
    }

    fn end_rows(&self) -> io::Result<()> {
        let ended = |it: &Vec<u8>| it.strip_prefix(b"\n") == Some(END_OF_ROWS);
        if self.ending.as_ref().is_none_or(ended) {
            return Ok(());
        }
        Err(damaged("rows of a table without the line that ends them"))
    }

    /// The blocks up to the empty one that ends them.
    fn blocks(&mut self) -> io::Result<()> {
        loop {
            let written = self.number()?;
            if written.value == 0 {
                self.hand_on()?;
                return self.sink.write_all(&written.bytes[..=self.int_size]);
            }
            let length = usize::try_from(written.value)
                .map_err(|_negative| damaged("a block of less than nothing"))?;
            if self.joined.len().saturating_add(length) > JOINED {
                self.hand_on()?;
            }
            if length > JOINED {
                self.sink.write_all(&written.bytes[..=self.int_size])?;
                self.through(written.value.unsigned_abs())?;
            } else {
                let begin = self.joined.len();
                self.joined.resize(begin + length, 0);
                self.source.read_exact(&mut self.joined[begin..])?;
                if let Some(lines) = &mut self.lines {
                    *lines += line_ends(&self.joined[begin..]);
                }
            }
        }
    }

    /// The blocks up to the empty one, as the rows of two entries: binary ones, and behind them those
    /// that are not taken.
    fn binary_rows(&mut self, again: i64, columns: Vec<Type>) -> io::Result<()> {
        let mut rows = binary::Rows::begin(columns, &mut self.joined);
        let mut state = State::Binary;
        loop {
            let written = self.number()?;
            if written.value == 0 {
                break;
            }
            let length = u64::try_from(written.value)
                .map_err(|_negative| damaged("a block of less than nothing"))?;
            self.binary_block(length, again, &mut rows, &mut state)?;
        }
        self.passed.binary += 1;
        self.passed.partly += usize::from(state != State::Ended);
        match state {
            State::Text => {}
            State::Ended => self.begin_text(again, END_OF_ROWS)?,
            State::Binary => {
                let begun = rows.cut_short(&mut self.joined);
                self.begin_text(again, &begun)?;
            }
        }
        self.hand_on()?;
        self.write_number(0)
    }

    fn binary_block(
        &mut self,
        mut left: u64,
        again: i64,
        rows: &mut binary::Rows,
        state: &mut State,
    ) -> io::Result<()> {
        while left > 0 {
            let piece = io::BufRead::fill_buf(&mut self.source)?;
            let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(piece) = piece.get(..count).filter(|it| !it.is_empty()) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            match state {
                State::Ended => {}
                State::Text => self.joined.extend_from_slice(piece),
                State::Binary => match rows.take(piece, &mut self.joined) {
                    Step::Taken => {}
                    Step::Ended => *state = State::Ended,
                    Step::AsText { mut gathered, rest } => {
                        *state = State::Text;
                        gathered.extend_from_slice(piece.get(rest..).unwrap_or_default());
                        self.begin_text(again, &gathered)?;
                    }
                },
            }
            if self.joined.len() >= JOINED {
                self.hand_on()?;
            }
            io::BufRead::consume(&mut self.source, count);
            left -= count as u64;
        }
        Ok(())
    }

    /// Ends the binary rows, and begins those of the entry behind them.
    fn begin_text(&mut self, again: i64, text: &[u8]) -> io::Result<()> {
        self.hand_on()?;
        self.write_number(0)?;
        self.sink.write_all(&[DATA])?;
        self.write_number(again.unsigned_abs())?;
        self.begin_rows();
        self.joined.extend_from_slice(text);
        Ok(())
    }

    fn write_number(&mut self, value: u64) -> io::Result<()> {
        let mut written = [0; 9];
        written[1..].copy_from_slice(&value.to_le_bytes());
        self.sink.write_all(&written[..=self.int_size])
    }

    /// A block as it is.
    fn through(&mut self, length: u64) -> io::Result<()> {
        let mut block = self.source.by_ref().take(length);
        loop {
            let chunk = io::BufRead::fill_buf(&mut block)?;
            let count = chunk.len();
            if count == 0 {
                break;
            }
            if let Some(lines) = &mut self.lines {
                *lines += line_ends(chunk);
            }
            keep_last(&mut self.ending, chunk);
            self.sink.write_all(chunk)?;
            io::BufRead::consume(&mut block, count);
        }
        if block.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn hand_on(&mut self) -> io::Result<()> {
        if self.joined.is_empty() {
            return Ok(());
        }
        keep_last(&mut self.ending, &self.joined);
        self.write_number(self.joined.len() as u64)?;
        self.sink.write_all(&self.joined)?;
        self.joined.clear();
        Ok(())
    }

    /// A number, which is written as it is read.
    fn pass(&mut self) -> io::Result<i64> {
        let written = self.number()?;
        self.sink.write_all(&written.bytes[..=self.int_size])?;
        Ok(written.value)
    }

    fn number(&mut self) -> io::Result<Written> {
        let mut bytes = [0; 9];
        self.source.read_exact(&mut bytes[..=self.int_size])?;
        let value = number(&bytes[..=self.int_size]);
        let value = value.ok_or_else(|| damaged("a number is too large"))?;
        Ok(Written { bytes, value })
    }
}

/// Keeps as many of the last bytes as the end of a table's rows has, with the line end before it.
fn keep_last(ending: &mut Option<Vec<u8>>, bytes: &[u8]) {
    let Some(ending) = ending else { return };
    let kept = 1 + END_OF_ROWS.len();
    let last = bytes.len().saturating_sub(kept);
    ending.extend_from_slice(bytes.get(last..).unwrap_or_default());
    ending.drain(..ending.len().saturating_sub(kept));
}

fn damaged(why: &str) -> io::Error {
    io::Error::other(format!("its rows are damaged: {why}"))
}

/// An archive without a table of contents, and with these blocks.
#[cfg(test)]
pub(crate) fn archive(compressed: bool, blocks: &[u8]) -> Vec<u8> {
    let mut bytes = crate::archive::toc::MAGIC.to_vec();
    bytes.extend([1, 15, 0, 4, 8, 1, u8::from(compressed)]);
    let numbers = 7 + 3 + 1;
    bytes.extend([0; 5].repeat(numbers));
    bytes.extend(blocks);
    bytes
}

/// The rows of a table as pg_dump writes them.
#[cfg(test)]
pub(crate) fn table<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = vec![DATA, 0, 7, 0, 0, 0];
    for row in rows {
        bytes.push(0);
        bytes.extend(u32::try_from(row.len()).unwrap().to_le_bytes());
        bytes.extend(row);
    }
    bytes.extend([0; 5]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn copied(archive: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        copy(archive, &mut bytes)?;
        Ok(bytes)
    }

    fn joined(rows: &[&[u8]]) -> Vec<u8> {
        copied(&archive(false, &table(rows.iter().copied()))).unwrap()
    }

    #[test]
    fn small_blocks_are_one_and_large_ones_stay() {
        let large = vec![1; JOINED + 1];
        assert_eq!(
            joined(&[b"one", b"two", &large, b"three", b"four"]),
            archive(false, &table([&b"onetwo"[..], &large, b"threefour"]))
        );
        let half = vec![2; JOINED / 2];
        let whole = half.repeat(2);
        assert_eq!(
            joined(&[&half, &half, b"more"]),
            archive(false, &table([&whole[..], b"more"]))
        );
        assert_eq!(joined(&[]), archive(false, &table([])));
    }

    #[test]
    fn large_objects_keep_their_numbers() {
        let object = |rows: &[&[u8]]| {
            let mut bytes = table(rows.iter().copied());
            bytes.remove(0);
            bytes
        };
        let objects = |rows: &[&[u8]]| {
            let mut bytes = vec![LARGE_OBJECTS, 0, 9, 0, 0, 0];
            bytes.extend(object(rows).repeat(2));
            bytes.extend([0; 5]);
            bytes.extend(table(rows.iter().copied()));
            archive(false, &bytes)
        };
        assert_eq!(
            copied(&objects(&[b"one", b"two"])).unwrap(),
            objects(&[b"onetwo"])
        );
    }

    #[test]
    fn what_is_compressed_stays_as_it_is() {
        let packed = archive(true, &table([&b"one"[..], b"two"]));
        assert_eq!(copied(&packed).unwrap(), packed);
    }

    #[test]
    fn what_no_archive_has_is_an_error() {
        assert!(copied(b"SELECT 1;").is_err());
        let whole = archive(false, &table([&b"one"[..]]));
        for end in 0..whole.len() {
            let table_of_contents = archive(false, &[]).len();
            assert_eq!(
                copied(&whole[..end]).is_err(),
                end != table_of_contents,
                "{end}"
            );
        }
        for blocks in [&b"\x02\0\x07\0\0\0"[..], b"\x01\0\x07\0\0\0\x01\x05\0\0\0"] {
            let error = copied(&archive(false, blocks)).unwrap_err();
            assert!(
                error.to_string().contains("its rows are damaged"),
                "{error}"
            );
        }
    }

    /// psql would take for rows whatever is behind them.
    #[test]
    fn rows_for_psql_have_to_end() {
        let tables = |taken_by| Tables {
            taken_by,
            ..Tables::default()
        };
        let psql = tables(TakenBy::Psql(binary::Marker::new()));
        let passes = |blocks: &[&[u8]], tables: &Tables| {
            let archive = archive(false, &table(blocks.iter().copied()));
            count(&archive[..], io::sink(), &BTreeSet::new(), Some(tables)).is_ok()
        };
        let large = [b"x\n".repeat(JOINED), b"\\.\n\n\n".to_vec()].concat();
        for whole in [
            &[&b"\\.\n\n\n"[..]][..],
            &[b"1\n", b"2\n\\.\n\n\n"],
            &[b"1\n", b"\\", b".\n", b"\n\n"],
            &[&large],
        ] {
            assert!(passes(whole, &psql), "{whole:?}");
        }
        for cut in [&[][..], &[&b"1\n"[..]], &[b"1\\.\n\n\n"], &[b"1\n\\.\n\n"]] {
            assert!(!passes(cut, &psql), "{cut:?}");
            assert!(passes(cut, &tables(TakenBy::PgRestore)), "{cut:?}");
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_told_as_such() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = copy(&archive(false, &table([&b"one"[..]]))[..], writer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    /// As long as that, and nowhere equal to another of the same length.
    fn row(length: usize, start: u8) -> Vec<u8> {
        let circle: Vec<u8> = (0..251).map(|it| start.wrapping_add(it)).collect();
        let mut row = circle.repeat(length / circle.len() + 1);
        row.truncate(length);
        row
    }

    proptest! {
        // Drawn byte by byte, the rows would take longer than all other tests of the libraries.
        #[test]
        fn no_byte_of_a_row_is_lost(rows in prop::collection::vec((1..60_000_usize, any::<u8>()), 0..9)) {
            let rows: Vec<Vec<u8>> = rows.into_iter().map(|(length, start)| row(length, start)).collect();
            let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
            let all = joined(&rows);
            let mut rest = &all[archive(false, &[]).len() + 6..];
            let mut found: Vec<u8> = Vec::new();
            while let [0, a, b, c, d, tail @ ..] = rest {
                let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
                prop_assert!(length <= JOINED);
                found.extend(&tail[..length]);
                rest = &tail[length..];
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(found, rows.concat());
        }

        #[test]
        fn garbage_is_an_error_and_nothing_worse(garbage: Vec<u8>) {
            drop(copied(&archive(false, &garbage)));
        }
    }
}
