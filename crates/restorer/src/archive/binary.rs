//! Rows in COPY's binary format, which costs the server half of what text costs it.
//!
//! What the archive has stays text. On its way into pg_restore a table whose columns are all of types
//! that are known here gets another COPY statement, and its rows are made what that one takes. Behind
//! it stands a second entry for the same table, whose COPY is the archive's own: a row that is not
//! taken ends the first one before it, and goes by the second as text with all that follow. Most
//! often that has no row.
//!
//! A table that this restore has made is emptied in the statement that fills it, or was made in the same transaction, so
//! that its rows may be frozen: nobody has to write them once more when they are first read. PostgreSQL manual, COPY:
//! `FREEZE`, file formats.

mod datetime;
mod numeric;
mod rows;
mod values;

use std::collections::BTreeMap;

pub(crate) use rows::{END_OF_ROWS, Rows, Step};
pub(crate) use values::Type;

use super::toc::{Copied, Entry, Section};
use backuper::text::line_ends;

/// Encodings that only clients have: a byte of a character may be a backslash there. PostgreSQL manual,
/// 23.3.1.
const ONLY_OF_CLIENTS: [&str; 7] = [
    "BIG5",
    "GB18030",
    "GBK",
    "JOHAB",
    "SHIFT_JIS_2004",
    "SJIS",
    "UHC",
];

/// Tables by schema and name: their columns, and how each is made binary, where that is known.
pub(crate) type Columns = BTreeMap<(String, String), BTreeMap<String, Option<Type>>>;

/// Tables of the target that were made for the rows that are loaded.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) columns: Columns,
    pub(crate) taken_by: TakenBy,
}

/// Whose session takes the rows.
#[derive(Debug, Default)]
pub(crate) enum TakenBy {
    /// The tables have been committed, so that each is emptied in the message that fills it: without that FREEZE is refused.
    #[default]
    PgRestore,
    /// In the transaction that has made the tables, from a script: this line is before binary rows.
    Psql(Marker),
}

/// A comment that no row can hold, since nobody knew it when the rows were written.
#[derive(Clone, Debug)]
pub(crate) struct Marker(String);

impl Marker {
    pub(crate) fn new() -> Self {
        Self(format!(
            "-- binary rows {}\n",
            uuid::Uuid::new_v4().simple()
        ))
    }

    /// With its line end.
    pub(crate) fn line(&self) -> &str {
        &self.0
    }
}

/// What the statement that takes binary rows ends in.
pub(crate) const FROM_BINARY: &str = " FROM stdin WITH (FORMAT binary, FREEZE);\n";
/// As [`FROM_BINARY`], of text.
const FROM_TEXT: &str = " FROM stdin WITH (FREEZE);\n";

/// What is to become of an entry with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The statement that takes its rows instead of the archive's.
    pub(crate) copy: String,
    /// How its columns are made binary, in their order; none: its rows stay text.
    pub(crate) columns: Option<Vec<Type>>,
}

/// Which of an archive's rows go into which tables, and how.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    tables: &'a Tables,
    is_of_clients: bool,
}

impl<'a> Changes<'a> {
    pub(crate) fn of(tables: &'a Tables) -> Self {
        Self {
            tables,
            is_of_clients: false,
        }
    }

    /// What is to become of the next entry of an archive, with this statement; none: it stays as it is.
    pub(crate) fn next(&mut self, entry: &Entry, copy: &[u8]) -> Option<Change> {
        if entry.kind == "ENCODING" {
            let name = entry.definition.split('\'').nth(1).unwrap_or_default();
            self.is_of_clients = ONLY_OF_CLIENTS.contains(&name);
        }
        if entry.kind != "TABLE DATA" || entry.section != Section::Data {
            return None;
        }
        let copied = Copied::parse(std::str::from_utf8(copy).ok()?)?;
        let Copied {
            schema,
            name,
            columns,
            written_table: table,
            written_columns: list,
        } = copied;
        let is_its = entry.namespace.as_ref() == Some(&schema) && entry.tag == name;
        if !is_its || columns.is_empty() {
            return None;
        }
        let types = self.tables.columns.get(&(schema, name))?;
        let columns = columns.iter().map(|it| types.get(it).copied().flatten());
        let columns: Option<Vec<Type>> = columns.collect();
        let columns = columns.filter(|it| !self.is_of_clients && it.len() < i16::MAX as usize);
        let of_text = format!("COPY {table} {list}{FROM_TEXT}");
        let of_binary = format!("COPY {table} {list}{FROM_BINARY}");
        Some(match (&self.tables.taken_by, columns) {
            (TakenBy::PgRestore, columns) => {
                let copy = columns.as_ref().map_or(of_text, |_| of_binary);
                Change {
                    copy: format!("TRUNCATE ONLY {table};{copy}"),
                    columns,
                }
            }
            // A command of psql's is one line, and psql looks for the ends of names in whichever encoding the archive sets:
            // a letter of several bytes could hide a quote, and what is behind it would be psql's to run.
            (TakenBy::Psql(marker), Some(columns)) if copy.is_ascii() && line_ends(copy) == 1 => {
                Change {
                    copy: format!("{}{of_binary}", marker.line()),
                    columns: Some(columns),
                }
            }
            (TakenBy::Psql(_), _) => Change {
                copy: of_text,
                columns: None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(taken_by: TakenBy) -> Tables {
        let columns = [
            ("a", Some(Type::Int4)),
            ("B \"x\"", Some(Type::Text)),
            ("p", None),
        ];
        let columns = columns.map(|(name, it)| (name.to_owned(), it));
        let table = ("Sch".to_owned(), "t".to_owned());
        Tables {
            columns: [(table, columns.into())].into(),
            taken_by,
        }
    }

    fn data(tag: &str) -> Entry {
        Entry {
            kind: "TABLE DATA".to_owned(),
            section: Section::Data,
            namespace: Some("Sch".to_owned()),
            tag: tag.to_owned(),
            ..Entry::default()
        }
    }

    #[test]
    fn a_table_of_known_types_gets_a_binary_copy_and_others_a_frozen_one() {
        let tables = tables(TakenBy::PgRestore);
        let mut changes = Changes::of(&tables);
        let copy = b"COPY \"Sch\".t (a, \"B \"\"x\"\"\") FROM stdin;\n";
        let change = changes.next(&data("t"), copy).unwrap();
        assert_eq!(
            change.copy,
            "TRUNCATE ONLY \"Sch\".t;COPY \"Sch\".t (a, \"B \"\"x\"\"\") FROM stdin WITH (FORMAT binary, FREEZE);\n"
        );
        assert_eq!(change.columns, Some(vec![Type::Int4, Type::Text]));
        let change = changes.next(&data("t"), b"COPY \"Sch\".t (a, p) FROM stdin;\n");
        let change = change.unwrap();
        assert_eq!(
            change.copy,
            "TRUNCATE ONLY \"Sch\".t;COPY \"Sch\".t (a, p) FROM stdin WITH (FREEZE);\n"
        );
        assert_eq!(change.columns, None);
        let dropped = changes.next(&data("t"), b"COPY \"Sch\".t (a, gone) FROM stdin;\n");
        assert_eq!(
            dropped.unwrap().columns,
            None,
            "the server says what is wrong"
        );
    }

    #[test]
    fn a_table_of_the_same_transaction_is_not_emptied_and_its_binary_rows_are_marked() {
        let marker = Marker::new();
        let tables = tables(TakenBy::Psql(marker.clone()));
        let mut changes = Changes::of(&tables);
        let change = changes.next(&data("t"), b"COPY \"Sch\".t (a) FROM stdin;\n");
        let wanted = "COPY \"Sch\".t (a) FROM stdin WITH (FORMAT binary, FREEZE);\n";
        assert_eq!(change.unwrap().copy, format!("{}{wanted}", marker.line()));
        let change = changes.next(&data("t"), b"COPY \"Sch\".t (a, p) FROM stdin;\n");
        let wanted = "COPY \"Sch\".t (a, p) FROM stdin WITH (FREEZE);\n";
        assert_eq!(change.unwrap().copy, wanted);
    }

    /// In EUC_JP the last byte of the euro sign takes the quote behind it with it.
    #[test]
    fn a_name_that_psql_may_read_as_another_goes_as_text() {
        for name in ["a\nb", "€", ", \" ) from program 'touch /tmp/x' --€"] {
            let columns = [(name.to_owned(), Some(Type::Int4))];
            let table = ("s".to_owned(), "t".to_owned());
            let tables = Tables {
                columns: [(table, columns.into())].into(),
                taken_by: TakenBy::Psql(Marker::new()),
            };
            let mut entry = data("t");
            entry.namespace = Some("s".to_owned());
            let written = name.replace('"', "\"\"");
            let copy = format!("COPY s.t (\"{written}\") FROM stdin;\n");
            let change = Changes::of(&tables).next(&entry, copy.as_bytes());
            let change = change.unwrap();
            assert_eq!(change.columns, None, "{name}");
            assert!(change.copy.starts_with("COPY "), "{name}");
        }
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        let tables = tables(TakenBy::PgRestore);
        let mut changes = Changes::of(&tables);
        for (tag, copy) in [
            ("other", "COPY \"Sch\".other (a) FROM stdin;\n"),
            // By the root of its partitions.
            ("t_1", "COPY \"Sch\".t (a) FROM stdin;\n"),
            ("t", "COPY \"Sch\".t  FROM stdin;\n"),
            ("t", "COPY \"Sch\".t (a) FROM stdin WITH (FORMAT csv);\n"),
            ("t", "COPY \"Sch\".t (a) FROM stdin;DROP TABLE x;\n"),
            ("t", "COPY \"Sch\".T (a) FROM stdin;\n"),
            ("t", ""),
        ] {
            assert_eq!(changes.next(&data(tag), copy.as_bytes()), None, "{copy}");
        }
        let encoding = Entry {
            kind: "ENCODING".to_owned(),
            definition: "SET client_encoding = 'SJIS';\n".to_owned(),
            ..Entry::default()
        };
        assert_eq!(changes.next(&encoding, b""), None);
        let change = changes.next(&data("t"), b"COPY \"Sch\".t (a) FROM stdin;\n");
        assert_eq!(
            change.unwrap().columns,
            None,
            "a backslash may be no backslash"
        );
    }
}
