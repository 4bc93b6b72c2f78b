//! What the head of a pg_dump archive says of the tables behind it, and the COPY of each.

use std::io::Read;

use super::binary::Type;
use crate::text::sql;
use crate::toc::{Changed, Layout, Section};

/// A table, as the archive has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) entry: i64,
    pub(super) oid: u32,
    /// With its schema, as pg_dump names it when it says which one it is at.
    pub(super) shown: String,
    /// What a COPY names behind the table, with its brackets; nothing where it has none.
    pub(super) columns: String,
    /// The names in it.
    pub(super) names: Vec<String>,
    /// What a COPY names as the encoding of the rows.
    pub(super) encoding: String,
    /// How its columns are written where they come in binary; none: they come as text.
    pub(super) binary: Option<Vec<Type>>,
}

impl Table {
    /// The COPY that sends its rows, under the name that it has by now.
    pub(super) fn copy(&self, name: &str) -> String {
        let columns = &self.columns;
        let options = match self.binary {
            // Which has no encoding but the session's.
            Some(_) => "FORMAT binary".to_owned(),
            None => format!("ENCODING {}", sql::literal(&self.encoding)),
        };
        format!("COPY {name}{columns} TO STDOUT WITH ({options})")
    }
}

/// The tables of an archive's head, which `source` gives first; none where COPY alone could not make what
/// follows.
pub(super) fn tables(source: impl Read, encoding: &str) -> Option<(Layout, Vec<Table>)> {
    let (mut tables, mut others) = (Some(Vec::new()), 0);
    let head = Changed::of(source, |entry, copy| {
        match entry.kind.as_str() {
            "TABLE DATA" => {
                let namespace = entry.namespace.as_deref().unwrap_or_default();
                let columns = columns(copy, (namespace, &entry.tag), encoding);
                let table = columns.map(|columns| Table {
                    entry: entry.id,
                    oid: entry.oid,
                    shown: format!("{namespace}.{}", entry.tag),
                    names: names(&columns).unwrap_or_default(),
                    columns,
                    encoding: encoding.to_owned(),
                    binary: None,
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

/// The columns that an archive's COPY takes, of this schema and table, as it names them. Our session speaks UTF-8,
/// and so must they; and some partitions are loaded by their root, whose rows are none of its own:
/// `forcePartitionRootLoad` in `pg_dump.c`.
fn columns(copy: &[u8], table: (&str, &str), encoding: &str) -> Option<String> {
    let copy = std::str::from_utf8(copy).ok()?;
    let of = copy.strip_prefix("COPY ")?.strip_suffix(" FROM stdin;\n")?;
    if encoding != "UTF8" && !of.is_ascii() {
        return None;
    }
    let (schema, rest) = identifier(of)?;
    let (name, columns) = identifier(rest.strip_prefix('.')?)?;
    if (schema.as_str(), name.as_str()) != table {
        return None;
    }
    Some(columns.to_owned())
}

/// The names in a list of columns; none where there is no list.
fn names(columns: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = columns.trim_start().strip_prefix('(')?;
    loop {
        let (name, after) = identifier(rest)?;
        names.push(name);
        match after.strip_prefix(", ") {
            Some(more) => rest = more,
            None => return (after == ")").then_some(names),
        }
    }
}

/// The name that a text begins with, as pg_dump writes it, and what follows.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        return Some((name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_pg_dumps_the_other_way_round() {
        let copy = "COPY \"Über\".\"a \"\"b\" (id, \"FROM stdin;\") FROM stdin;\n";
        let of = |columns: Option<String>, encoding: &str| Table {
            entry: 1,
            oid: 42,
            shown: String::new(),
            columns: columns.unwrap(),
            names: Vec::new(),
            encoding: encoding.to_owned(),
            binary: None,
        };
        let table = of(columns(copy.as_bytes(), ("Über", "a \"b"), "UTF8"), "UTF8");
        assert_eq!(
            table.copy("\"Über\".c"),
            "COPY \"Über\".c (id, \"FROM stdin;\") TO STDOUT WITH (ENCODING 'UTF8')"
        );
        let copy = b"COPY public.t_1  FROM stdin;\n";
        let table = of(columns(copy, ("public", "t_1"), "LATIN1"), "LATIN1");
        assert_eq!(
            table.copy("public.t_1"),
            "COPY public.t_1  TO STDOUT WITH (ENCODING 'LATIN1')"
        );
        let binary = Table {
            binary: Some(vec![Type::Text]),
            ..table
        };
        assert_eq!(
            binary.copy("public.t_1"),
            "COPY public.t_1  TO STDOUT WITH (FORMAT binary)"
        );
    }

    #[test]
    fn the_names_of_columns_are_those_between_the_brackets() {
        let of = |columns| names(columns).unwrap();
        assert_eq!(
            of(" (id, \"a, \"\"b)\", \"ä\")"),
            ["id", "a, \"b)", "ä"].map(str::to_owned)
        );
        for none in [" ", "", " (a", " (a, b"] {
            assert_eq!(names(none), None, "{none}");
        }
    }

    #[test]
    fn names_of_another_encoding_or_table_are_left_to_pg_dump() {
        let of = |copy: &[u8], encoding| columns(copy, ("public", "t"), encoding);
        assert!(of(b"COPY public.t (id) FROM stdin;\n", "UTF8").is_some());
        for (copy, encoding) in [
            ("COPY public.t (\"ü\") FROM stdin;\n".as_bytes(), "LATIN1"),
            (b"COPY public.t (\"\xfc\") FROM stdin;\n", "LATIN1"),
            (
                b"COPY public.t (id) FROM stdin WITH (FORMAT binary);\n",
                "UTF8",
            ),
            (b"COPY public.root (id) FROM stdin;\n", "UTF8"),
            (b"COPY other.t (id) FROM stdin;\n", "UTF8"),
            (b"COPY public.\"t (id) FROM stdin;\n", "UTF8"),
            (b"COPY t (id) FROM stdin;\n", "UTF8"),
            (b"", "UTF8"),
        ] {
            assert_eq!(of(copy, encoding), None);
        }
    }
}
