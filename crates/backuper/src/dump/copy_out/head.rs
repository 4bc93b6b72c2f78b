//! What the head of a pg_dump archive says of the tables behind it, and the COPY of each.

use std::io::Read;

use super::binary::Type;
use super::piece::Pages;
use crate::toc::{Changed, Copied, Layout, Section};

/// A table, as the archive has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) entry: i64,
    pub(super) oid: u32,
    /// With its schema, as pg_dump names it when it says which one it is at.
    pub(super) shown: String,
    /// The names of its columns.
    pub(super) columns: Vec<String>,
    /// All of them as a COPY takes them, with their brackets; nothing where it has none.
    pub(super) list: String,
    /// What a COPY names as the encoding of the rows.
    pub(super) encoding: String,
    /// How its columns are written where they come in binary; none: they come as text.
    pub(super) binary: Option<Vec<Type>>,
    /// How its pages are read; none: by one COPY of the table.
    pub(super) pages: Option<Pages>,
}

/// The tables of an archive's head, which `source` gives first; none where COPY alone could not make what
/// follows.
pub(super) fn tables(source: impl Read, encoding: &str) -> Option<(Layout, Vec<Table>)> {
    let (mut tables, mut others) = (Some(Vec::new()), 0);
    let head = Changed::of(source, |entry, copy| {
        match entry.kind.as_str() {
            "TABLE DATA" => {
                let namespace = entry.namespace.as_deref().unwrap_or_default();
                let copied = copied(copy, (namespace, &entry.tag), encoding);
                let table = copied.map(|copied| Table {
                    entry: entry.id,
                    oid: entry.oid,
                    shown: format!("{namespace}.{}", entry.tag),
                    list: copied.written_columns.to_owned(),
                    columns: copied.columns,
                    encoding: encoding.to_owned(),
                    binary: None,
                    pages: None,
                });
                match (&mut tables, table) {
                    (Some(tables), Some(table)) => tables.push(table),
                    _ => tables = None,
                }
            }
            // Nothing of these follows the head.
            "SEQUENCE SET" | "STATISTICS DATA" => {}
            _ if entry.section != Section::Data => {}
            _ => others += 1,
        }
        None
    });
    let layout = head.ok()?.layout;
    let tables = tables.filter(|it| !it.is_empty() && others == 0)?;
    // A length of so few bytes is none that a block could have.
    (!layout.compressed && layout.int_size >= 4).then_some((layout, tables))
}

/// The names for the log: of the first, and how many more there are.
pub(super) fn shown(tables: &[Table]) -> String {
    match tables {
        [] => String::new(),
        [one] => one.shown.clone(),
        [first, more @ ..] => format!("{} and {} more", first.shown, more.len()),
    }
}

/// What an archive's COPY says, if its rows are those of this schema and table. Our session speaks UTF-8, and so must
/// its names; and some partitions are loaded by their root, whose rows are none of its own: `forcePartitionRootLoad`
/// in `pg_dump.c`.
fn copied<'a>(copy: &'a [u8], table: (&str, &str), encoding: &str) -> Option<Copied<'a>> {
    let copy = std::str::from_utf8(copy).ok()?;
    let copied = Copied::parse(copy).filter(|_| encoding == "UTF8" || copy.is_ascii())?;
    ((copied.schema.as_str(), copied.name.as_str()) == table).then_some(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_another_encoding_or_table_are_left_to_pg_dump() {
        let of = |copy: &'static [u8], encoding| copied(copy, ("public", "t"), encoding);
        assert!(of(b"COPY public.t (id) FROM stdin;\n", "UTF8").is_some());
        for (copy, encoding) in [
            ("COPY public.t (\"ü\") FROM stdin;\n".as_bytes(), "LATIN1"),
            (b"COPY public.t (\"\xfc\") FROM stdin;\n", "LATIN1"),
            (b"COPY public.root (id) FROM stdin;\n", "UTF8"),
            (b"COPY other.t (id) FROM stdin;\n", "UTF8"),
            (b"", "UTF8"),
        ] {
            assert_eq!(of(copy, encoding), None);
        }
    }
}
