//! How many rows each table has, counted in pg_dump's plain SQL while it passes.
//!
//! With `--verbose` pg_dump writes a header before each table's rows, with the table's oid (`_printTocEntry` in
//! PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`), then COPY with its rows, a line each, and `\.`.
//!
//! Whoever may write functions may write such a header into one. It comes in the script beside the real one, or
//! with it among its rows, so that the table has no number then, and no wrong one.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Rows;

/// Bytes of a line that are looked at: COPY names all columns, 1,600 at most, of 63 bytes and their quotes.
const LONGEST: usize = 256 << 10;
/// The same of a row.
const OF_A_ROW: usize = NAME.len();
const NAME: &[u8] = b"-- Data for Name: ";
const TYPE: &[u8] = b"; Type: TABLE DATA; ";

#[derive(Debug, Default)]
pub(super) struct Counter {
    at: At,
    /// The beginning of the line that passes, and whether there is more of it.
    line: Vec<u8>,
    is_cut: bool,
    rows: BTreeMap<u32, u64>,
    /// Tables of which it is not certain what their rows are.
    unknown: BTreeSet<u32>,
}

/// What the line before was.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Elsewhere,
    /// The header's first line.
    Header,
    /// The header's line with the table's oid.
    Entry(u32),
    /// That with its name.
    Name(u32),
    /// The header's last line.
    HeaderEnd(u32),
    /// The empty one behind the header.
    Empty(u32),
    /// One of COPY's, of which there were so many.
    Rows(u32, u64),
}

impl Counter {
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|it| *it == b'\n') {
            self.add(&bytes[..end]);
            self.at = self.after_line();
            self.line.clear();
            self.is_cut = false;
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    /// The rows, if the script has ended where one may.
    pub(super) fn end(mut self) -> Rows {
        if matches!(self.at, At::Rows(..)) {
            return None;
        }
        self.rows.retain(|table, _| !self.unknown.contains(table));
        Some(self.rows)
    }

    fn add(&mut self, bytes: &[u8]) {
        let most = match self.at {
            At::Rows(..) => OF_A_ROW,
            _ => LONGEST,
        };
        let room = most.saturating_sub(self.line.len());
        self.is_cut |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn after_line(&mut self) -> At {
        let line = self.line.as_slice();
        match self.at {
            At::Rows(table, rows) if line == b"\\." && !self.is_cut => {
                if self.rows.insert(table, rows).is_some() {
                    self.unknown.insert(table);
                }
                At::Elsewhere
            }
            At::Rows(table, rows) => {
                if line.starts_with(NAME) {
                    self.unknown.insert(table);
                }
                At::Rows(table, rows + 1)
            }
            At::Header => entry(line).map_or(At::Elsewhere, At::Entry),
            At::Entry(table) if line.starts_with(b"-- Dependencies:") => At::Entry(table),
            At::Entry(table) if line.starts_with(NAME) && has(line, TYPE) => At::Name(table),
            At::Name(table) if line == b"--" => At::HeaderEnd(table),
            At::HeaderEnd(table) if line.is_empty() => At::Empty(table),
            At::Empty(table) if line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;") => {
                At::Rows(table, 0)
            }
            _ if line == b"--" => At::Header,
            _ => At::Elsewhere,
        }
    }
}

/// The oid that a header tells: `-- TOC entry 3405 (class 0 OID 16385)`.
fn entry(line: &[u8]) -> Option<u32> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("-- TOC entry ")?.strip_suffix(')')?;
    rest.rsplit_once(" OID ")?.1.parse().ok()
}

fn has(line: &[u8], words: &[u8]) -> bool {
    line.windows(words.len()).any(|it| it == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32, rows: &str) -> String {
        format!(
            "--\n-- TOC entry 7 (class 0 OID {oid})\n-- Dependencies: 3\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: -\n--\n\nCOPY public.t (a, b) FROM stdin;\n{rows}\\.\n\n\n"
        )
    }

    fn counted(script: &str) -> Rows {
        let by = |step: usize| {
            let mut counter = Counter::default();
            for bytes in script.as_bytes().chunks(step) {
                counter.pass(bytes);
            }
            counter.end()
        };
        let whole = by(1 << 20);
        for step in [1, 2, 3, 7, 64] {
            assert_eq!(by(step), whole, "{step}");
        }
        whole
    }

    fn rows<const N: usize>(all: [(u32, u64); N]) -> Rows {
        Some(all.into())
    }

    #[test]
    fn rows_are_counted_however_the_bytes_come() {
        let long = format!("{}\tx\n", "long".repeat(1000));
        let script = [
            "--\n-- PostgreSQL database dump\n--\n\nSET x = 1;\n\n".to_owned(),
            table(16_400, &format!("1\ta\\nb\n{long}\\\\.\tc\n\n")),
            table(16_500, ""),
            "--\n-- TOC entry 9 (class 2606 OID 16600)\n-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: -\n--\n\nALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (a);\n\n".to_owned(),
        ];
        assert_eq!(counted(&script.concat()), rows([(16_400, 4), (16_500, 0)]));
        assert_eq!(counted(""), rows([]));
    }

    /// Whoever may make a function may write anything into it.
    #[test]
    fn what_only_looks_like_rows_makes_a_number_unknown_and_none_wrong() {
        let real = table(1, "a\nb\n");
        // In a function, with an end and without one: then it takes the next table's rows.
        let fake = table(1, "x\n");
        assert_eq!(counted(&(fake.clone() + &real)), rows([]));
        let open = fake.split("\\.").next().unwrap().to_owned();
        assert_eq!(counted(&format!("{open}{real}")), rows([]));
        let of_another = table(2, "x\n").split("\\.").next().unwrap().to_owned();
        let other = table(2, "a\n");
        assert_eq!(counted(&format!("{of_another}{real}{other}")), rows([]));
        // After all tables.
        assert_eq!(counted(&format!("{real}{open}")), None);
        // COPY alone is none, nor is one that pg_dump does not write.
        let copy = "\nCOPY public.t (a) FROM stdin;\nx\n\\.\n";
        assert_eq!(counted(&format!("{copy}{real}")), rows([(1, 2)]));
        let insert = real.replace(
            "COPY public.t (a, b) FROM stdin;",
            "INSERT INTO t VALUES (1);",
        );
        assert_eq!(counted(&insert), rows([]));
        // One that breaks off has no numbers.
        assert_eq!(counted(real.split("\nb").next().unwrap()), None);
    }
}
