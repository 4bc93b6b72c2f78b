//! How many rows each table has, counted in what pg_dump writes while it passes: here in its archive, in its plain
//! SQL by [`script`].
//!
//! A row of COPY's text format is a line: a line feed within a value is written as `\n` (PostgreSQL
//! manual, COPY). The layout behind the table of contents is that of `_CustomWriteFunc`,
//! `_StartData` and `_StartLOs` in PostgreSQL's `src/bin/pg_dump/pg_backup_custom.c`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::script;
use crate::archive::manifest::Content;
use crate::text::line_ends;
use crate::toc::{self, Layout, Toc, number};

/// What begins the rows of a table.
const DATA: u8 = 1;
/// What begins large objects.
const LARGE_OBJECTS: u8 = 3;
/// Lines at the end of a table's rows that are none: `dumpTableData_copy` in `pg_dump.c`.
const NO_ROWS: u64 = 3;
/// Bytes of a table of contents that are kept at most: as a restore reads them.
const LONGEST: usize = 256 << 20;

/// The rows of tables, by the tables' oids; none where the bytes were not what was expected.
pub(super) type Rows = Option<BTreeMap<u32, u64>>;

/// Where the rows that were counted are told to.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(Arc<Mutex<Rows>>);

impl Told {
    /// The rows, once all has passed.
    pub(super) fn take(&self) -> Rows {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Passes a dump on as it is, and counts.
#[derive(Debug)]
pub(super) struct Counted<R> {
    source: R,
    /// None once all has passed: who reads on at the end is told of it again.
    counter: Option<Counter>,
    told: Told,
}

impl<R> Counted<R> {
    pub(super) fn new(source: R, content: Content, told: Told) -> Self {
        Self {
            source,
            counter: Some(match content {
                Content::Script => Counter::Script(script::Counter::default()),
                _ => Counter::Archive(Archive::default()),
            }),
            told,
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            if let Some(counter) = self.counter.take() {
                *self.told.0.lock().unwrap_or_else(PoisonError::into_inner) = counter.end();
            }
        } else if let Some(counter) = &mut self.counter {
            counter.pass(&buffer[..count]);
        }
        Ok(count)
    }
}

#[derive(Debug)]
enum Counter {
    Archive(Archive),
    Script(script::Counter),
}

impl Counter {
    fn pass(&mut self, bytes: &[u8]) {
        match self {
            Self::Archive(it) => it.pass(bytes),
            Self::Script(it) => it.pass(bytes),
        }
    }

    fn end(self) -> Rows {
        match self {
            Self::Archive(it) => it.end(),
            Self::Script(it) => it.end(),
        }
    }
}

#[derive(Debug, Default)]
struct Archive {
    state: State,
    int_size: usize,
    /// The oids of the tables whose rows the entries have.
    tables: BTreeMap<i64, u32>,
    /// Whether large objects pass, and no rows.
    large_objects: bool,
    /// The entry whose rows pass, and their lines.
    entry: i64,
    lines: u64,
    rows: BTreeMap<u32, u64>,
}

/// What the next bytes are of.
#[derive(Debug)]
enum State {
    /// The table of contents; it is looked for again when there is half as much again.
    Contents { bytes: Vec<u8>, next: usize },
    /// The byte that says what comes.
    Kind,
    /// A number, of which so many bytes have come.
    Number {
        of: Number,
        bytes: [u8; 9],
        come: usize,
    },
    /// A block that has so many bytes more.
    Block(u64),
    /// Something else than was expected: nothing is counted.
    Unknown,
}

impl Default for State {
    fn default() -> Self {
        Self::Contents {
            bytes: Vec::new(),
            next: 0,
        }
    }
}

impl State {
    fn number(of: Number) -> Self {
        Self::Number {
            of,
            bytes: [0; 9],
            come: 0,
        }
    }
}

/// What a number says.
#[derive(Clone, Copy, Debug)]
enum Number {
    /// Whose the blocks are that follow.
    Entry,
    /// The oid of a large object; 0 after the last.
    LargeObject,
    /// How long a block is; 0 after the last.
    Length,
}

impl Archive {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.step(bytes);
        }
    }

    /// The rows, if the archive has ended where one may.
    fn end(mut self) -> Rows {
        if let State::Contents { bytes, next } = &mut self.state {
            *next = 0;
            let all = std::mem::take(bytes);
            self.contents(all, &[]);
        }
        matches!(self.state, State::Kind).then_some(self.rows)
    }

    /// Takes some bytes; gives the rest of them.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.state {
            State::Contents {
                bytes: before,
                next: _,
            } => {
                let before = std::mem::take(before);
                self.contents(before, bytes);
                &[]
            }
            State::Kind => {
                self.large_objects = match bytes[0] {
                    DATA => false,
                    LARGE_OBJECTS => true,
                    _ => {
                        self.state = State::Unknown;
                        return &[];
                    }
                };
                self.state = State::number(Number::Entry);
                &bytes[1..]
            }
            State::Number {
                of,
                bytes: digits,
                come,
            } => {
                let size = self.int_size + 1;
                let count = (size - *come).min(bytes.len());
                digits[*come..*come + count].copy_from_slice(&bytes[..count]);
                *come += count;
                if *come == size {
                    let (of, value) = (*of, number(&digits[..size]));
                    self.state = value.map_or(State::Unknown, |it| self.after(of, it));
                }
                &bytes[count..]
            }
            State::Block(left) => {
                let count = usize::try_from(*left).map_or(bytes.len(), |it| it.min(bytes.len()));
                let (block, rest) = bytes.split_at(count);
                *left -= count as u64;
                if !self.large_objects {
                    self.lines += line_ends(block);
                }
                if *left == 0 {
                    self.state = State::number(Number::Length);
                }
                rest
            }
            State::Unknown => &[],
        }
    }

    fn contents(&mut self, mut all: Vec<u8>, more: &[u8]) {
        all.extend_from_slice(more);
        let next = match &self.state {
            State::Contents { next, .. } => *next,
            _ => 0,
        };
        if all.len() < next {
            self.state = State::Contents { bytes: all, next };
            return;
        }
        let mut rest = all.as_slice();
        match Layout::of(&mut rest) {
            // A length of so few bytes would be none, and nobody has asked pg_dump to compress.
            Ok(layout) if !layout.compressed && layout.int_size >= 4 => {
                let contents = all.len() - rest.len();
                let Ok(toc) = Toc::read(&all[..contents]) else {
                    self.state = State::Unknown;
                    return;
                };
                let of_rows = toc.entries.iter().filter(|it| it.kind == "TABLE DATA");
                self.tables = of_rows.map(|it| (it.id, it.oid)).collect();
                self.int_size = layout.int_size;
                self.state = State::Kind;
                let rest = rest.to_vec();
                self.pass(&rest);
            }
            Err(toc::Error::CutShort) if all.len() < LONGEST => {
                self.state = State::Contents {
                    next: all.len() * 3 / 2,
                    bytes: all,
                };
            }
            Ok(_) | Err(_) => self.state = State::Unknown,
        }
    }

    /// What comes after a number.
    fn after(&mut self, of: Number, value: i64) -> State {
        let blocks_or_object = if self.large_objects {
            Number::LargeObject
        } else {
            Number::Length
        };
        match (of, value) {
            (Number::Entry, entry) => {
                self.entry = entry;
                self.lines = 0;
                State::number(blocks_or_object)
            }
            (Number::LargeObject, 0) => State::Kind,
            (Number::LargeObject, _) => State::number(Number::Length),
            (Number::Length, 0) if self.large_objects => State::number(Number::LargeObject),
            (Number::Length, 0) => {
                if let Some(table) = self.tables.get(&self.entry) {
                    let rows = self.lines.saturating_sub(NO_ROWS);
                    *self.rows.entry(*table).or_default() += rows;
                }
                State::Kind
            }
            (Number::Length, length) => u64::try_from(length).map_or(State::Unknown, State::Block),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn int(value: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(value.to_le_bytes());
        bytes
    }

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = int(u32::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
        bytes
    }

    fn no_text() -> Vec<u8> {
        vec![1, 1, 0, 0, 0]
    }

    /// An archive of format 1.14 with these tables, by entry and oid, and these bytes behind its contents.
    fn archive(tables: &[(u32, u32)], rest: &[u8]) -> Vec<u8> {
        let mut bytes = toc::MAGIC.to_vec();
        bytes.extend([1, 14, 0, 4, 8, 1]);
        bytes.extend(int(0));
        bytes.extend(int(0).repeat(7));
        bytes.extend(["app", "15.18", "15.18"].map(text).concat());
        bytes.extend(int(u32::try_from(tables.len()).unwrap()));
        for (entry, oid) in tables {
            bytes.extend(int(*entry));
            bytes.extend(int(1));
            bytes.extend(
                ["0", &oid.to_string(), "t", "TABLE DATA"]
                    .map(text)
                    .concat(),
            );
            bytes.extend(int(3));
            bytes.extend(["", "", "COPY", "public", ""].map(text).concat());
            bytes.extend(text(""));
            bytes.extend(["postgres", "false"].map(text).concat());
            bytes.extend(no_text());
            bytes.push(1);
            bytes.extend([0; 8]);
        }
        bytes.extend(rest);
        bytes
    }

    fn blocks(blocks: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in blocks {
            bytes.extend(int(u32::try_from(block.len()).unwrap()));
            bytes.extend(*block);
        }
        bytes.extend(int(0));
        bytes
    }

    fn rows(entry: u32, all: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![DATA];
        bytes.extend(int(entry));
        bytes.extend(blocks(all));
        bytes
    }

    fn counted(archive: &[u8], step: usize) -> Rows {
        let told = Told::default();
        let mut source = Counted::new(archive, Content::Rest, told.clone());
        let mut passed: Vec<u8> = Vec::new();
        let mut buffer = vec![0; step];
        loop {
            let count = source.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            passed.extend(&buffer[..count]);
        }
        assert_eq!(passed, archive);
        // gzip's encoder asks once more.
        assert_eq!(source.read(&mut buffer).unwrap(), 0);
        told.take()
    }

    #[test]
    fn rows_are_counted_however_the_bytes_come() {
        let mut rest = rows(7, &[b"1\ta\\nb\n", b"2\tc\n", b"\\.\n\n\n"]);
        rest.extend(rows(8, &[b"\\.\n\n\n"]));
        // Two large objects, full of line feeds.
        rest.push(LARGE_OBJECTS);
        rest.extend(int(9));
        for object in [21, 22] {
            rest.extend(int(object));
            rest.extend(blocks(&[b"\n\n\n\n"]));
        }
        rest.extend(int(0));
        let archive = archive(&[(7, 16_400), (8, 16_500)], &rest);
        let expected = Some([(16_400, 2), (16_500, 0)].into());
        for step in [1, 2, 3, 7, 64, 4096] {
            assert_eq!(counted(&archive, step), expected, "{step}");
        }
        // One that breaks off has no numbers.
        for end in 1..rest.len() {
            let whole = archive.len() - rest.len();
            let cut = counted(&archive[..whole + end], 4096);
            assert!(cut.is_none_or(|it| it.len() < 3), "{end}");
        }
        assert_eq!(counted(&archive[..archive.len() - 1], 4096), None);
    }

    #[test]
    fn of_something_else_nothing_is_counted() {
        assert_eq!(counted(b"CREATE TABLE t ();\n", 4096), None);
        assert_eq!(counted(&archive(&[(7, 1)], b"\x02"), 4096), None);
        assert_eq!(counted(&archive(&[], b""), 4096), Some(BTreeMap::new()));
    }

    proptest! {
        #[test]
        fn garbage_passes_and_nothing_worse(garbage: Vec<u8>, rest: Vec<u8>) {
            drop(counted(&garbage, 16));
            drop(counted(&archive(&[(7, 1)], &rest), 16));
        }
    }
}
