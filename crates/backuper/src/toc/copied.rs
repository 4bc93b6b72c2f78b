//! The COPY of a table's rows in an archive, as `dumpTableData` in PostgreSQL's `src/bin/pg_dump/pg_dump.c` writes it:
//! `COPY public.t (a, "B") FROM stdin;`

/// Whose rows come, and into which columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied<'a> {
    /// The table's schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Both as they are written.
    pub written_table: &'a str,
    /// The names of the columns; none: the table has none.
    pub columns: Vec<String>,
    /// All of them as they are written, with their brackets; nothing where there are none.
    pub written_columns: &'a str,
}

impl<'a> Copied<'a> {
    /// None: the statement is another one.
    #[must_use]
    pub fn parse(statement: &'a str) -> Option<Self> {
        let all = statement
            .strip_prefix("COPY ")?
            .strip_suffix(" FROM stdin;\n")?;
        let (schema, rest) = identifier(all)?;
        let (name, rest) = identifier(rest.strip_prefix('.')?)?;
        let written_columns = rest.strip_prefix(' ')?;
        Some(Self {
            schema,
            name,
            written_table: all.strip_suffix(rest)?,
            columns: columns(written_columns)?,
            written_columns,
        })
    }
}

fn columns(written: &str) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    if written.is_empty() {
        return Some(columns);
    }
    let mut rest = written.strip_prefix('(')?;
    loop {
        let (column, after) = identifier(rest)?;
        columns.push(column);
        match after.strip_prefix(", ") {
            Some(more) => rest = more,
            None => return (after == ")").then_some(columns),
        }
    }
}

/// An identifier as `fmtId` writes it, and what follows. PostgreSQL manual, 4.1.1.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let is_plain = |it: char| it == '_' || it.is_ascii_lowercase() || it.is_ascii_digit();
        let end = text.find(|it| !is_plain(it)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).filter(|it| !it.0.is_empty())?;
        return Some((name.to_owned(), rest));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_a_table_and_columns_in_quotes_where_they_need_them() {
        let copy = "COPY \"Über\".\"a \"\"b\" (id, \"FROM stdin;\", \"c, \"\"d)\") FROM stdin;\n";
        let copied = Copied::parse(copy).unwrap();
        assert_eq!(
            (copied.schema.as_str(), copied.name.as_str()),
            ("Über", "a \"b")
        );
        assert_eq!(
            copied.columns,
            ["id", "FROM stdin;", "c, \"d)"].map(str::to_owned)
        );
        assert_eq!(copied.written_table, "\"Über\".\"a \"\"b\"");
        assert_eq!(
            copied.written_columns,
            "(id, \"FROM stdin;\", \"c, \"\"d)\")"
        );
        let none = Copied::parse("COPY public.t_1  FROM stdin;\n").unwrap();
        assert_eq!((none.name.as_str(), none.columns.len()), ("t_1", 0));
        assert_eq!(none.written_columns, "");
    }

    #[test]
    fn any_other_statement_is_none() {
        for other in [
            "COPY public.t (id) FROM stdin WITH (FORMAT binary);\n",
            "COPY public.\"t (id) FROM stdin;\n",
            "COPY t (id) FROM stdin;\n",
            "COPY public.t (id FROM stdin;\n",
            "COPY public.t () FROM stdin;\n",
            "COPY public.t FROM stdin;\n",
            "COPY public.t (id) FROM stdin;\nDROP TABLE t;\n",
            "INSERT INTO public.t VALUES (1);\n",
            "",
        ] {
            assert_eq!(Copied::parse(other), None, "{other}");
        }
    }
}
