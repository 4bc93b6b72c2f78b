//! What one COPY reads: a table, or some of its pages where several sessions read it. A session reads every so manyth
//! piece, and rows are taken from them in turn: so they come in the order of the table's pages, as pg_dump reads them.
//!
//! A row has one version in a snapshot, and that never changes its place (`ctid`: PostgreSQL manual, 5.6): only what
//! writes the table anew moves it, which our locks keep away. Rows on pages that were added since the pages were
//! counted belong to the last piece.

use std::num::NonZeroU32;

use super::head::Table;
use crate::text::sql;

/// Bytes of a page, about.
const PAGE: u64 = 8 << 10;

/// A table's pages, so many for each COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) all: u32,
    pub(super) each: NonZeroU32,
}

impl Pages {
    /// As many for each COPY as have so many bytes of a table with so many, where `sessions` read it; none: it is
    /// one piece. What is out of line is compressed most often, and a piece that is longer on its way than on disk
    /// lets the other sessions wait. With `small`, small tables are several too.
    pub(super) fn of(
        all: u32,
        (bytes, piece): (u64, u64),
        small: bool,
        sessions: usize,
    ) -> Option<Self> {
        let is_in_line = bytes / 2 <= u64::from(all) * PAGE;
        let piece = if is_in_line { piece } else { piece / 4 };
        let share = u128::from(all) * u128::from(piece) / u128::from(bytes.max(1));
        let mut each = u32::try_from(share).unwrap_or(u32::MAX).max(1);
        if small {
            let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
            each = each.min(all.div_ceil(sessions.max(1)));
        }
        let each = NonZeroU32::new(each)?;
        (all > each.get()).then_some(Self { all, each })
    }

    fn pieces(self) -> u32 {
        self.all.div_ceil(self.each.get())
    }
}

/// What one COPY reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) table: &'a Table,
    /// From this page on to before that one; none: to the end. None at all: the whole table.
    range: Option<(u32, Option<u32>)>,
}

/// What is read, in its order.
pub(super) fn pieces(tables: &[Table]) -> impl Iterator<Item = Piece<'_>> {
    tables.iter().flat_map(|table| {
        (0..count(table)).map(move |number| {
            let range = table.pages.map(|pages| {
                let from = number * pages.each.get();
                let is_last = number + 1 == pages.pieces();
                (from, (!is_last).then(|| from + pages.each.get()))
            });
            Piece { table, range }
        })
    })
}

/// How many pieces a table has.
pub(super) fn count(table: &Table) -> u32 {
    table.pages.map_or(1, Pages::pieces)
}

impl Piece<'_> {
    /// The COPY that sends its rows, under the name that the table has by now.
    pub(super) fn copy(&self, name: &str) -> String {
        let list = &self.table.list;
        let options = match self.table.binary {
            // Which has no encoding but the session's.
            Some(_) => "FORMAT binary".to_owned(),
            None => format!("ENCODING {}", sql::literal(&self.table.encoding)),
        };
        match self.range {
            None => format!("COPY {name} {list} TO STDOUT WITH ({options})"),
            Some(_) => format!("COPY ({}) TO STDOUT WITH ({options})", self.select(name)),
        }
    }

    /// The query for its rows.
    pub(super) fn select(&self, name: &str) -> String {
        let columns: Vec<String> = self.table.columns.iter().map(|it| sql::quote(it)).collect();
        let columns = columns.join(", ");
        let (from, to) = self.range.unwrap_or_default();
        let to = to.map_or_else(String::new, |it| format!(" AND ctid < '({it},0)'"));
        format!("SELECT {columns} FROM ONLY {name} WHERE ctid >= '({from},0)'{to}")
    }

    /// How many pages must have been read for it; none: it is a scan of the whole table.
    pub(super) fn pages(&self) -> Option<u32> {
        let (from, to) = self.range?;
        let all = self.table.pages.map_or(0, |it| it.all);
        Some(to.unwrap_or(all).saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use super::super::binary::Type;
    use super::*;

    fn table(pages: Option<Pages>) -> Table {
        Table {
            entry: 1,
            oid: 42,
            shown: String::new(),
            columns: vec!["id".to_owned(), "FROM stdin;".to_owned()],
            list: "(id, \"FROM stdin;\")".to_owned(),
            encoding: "LATIN1".to_owned(),
            binary: None,
            pages,
        }
    }

    fn copies(table: Table) -> Vec<(String, Option<u32>)> {
        let tables = [table];
        let all = pieces(&tables).map(|it| (it.copy("\"Über\".c"), it.pages()));
        all.collect()
    }

    #[test]
    fn the_statement_is_pg_dumps_the_other_way_round() {
        let whole = |binary| {
            let table = table(None);
            copies(Table { binary, ..table })
        };
        let text =
            "COPY \"Über\".c (id, \"FROM stdin;\") TO STDOUT WITH (ENCODING 'LATIN1')".to_owned();
        assert_eq!(whole(None), [(text, None)]);
        let binary =
            "COPY \"Über\".c (id, \"FROM stdin;\") TO STDOUT WITH (FORMAT binary)".to_owned();
        let types = Some(vec![Type::Int4, Type::Text]);
        assert_eq!(whole(types), [(binary, None)]);
    }

    #[test]
    fn pieces_have_all_pages_once_and_the_last_whatever_comes_behind() {
        let each = NonZeroU32::new(2).unwrap();
        let all = copies(table(Some(Pages { all: 5, each })));
        let of = |range| {
            format!(
                "COPY (SELECT \"id\", \"FROM stdin;\" FROM ONLY \"Über\".c WHERE {range}) TO STDOUT WITH (ENCODING 'LATIN1')"
            )
        };
        assert_eq!(
            all,
            [
                (of("ctid >= '(0,0)' AND ctid < '(2,0)'"), Some(2)),
                (of("ctid >= '(2,0)' AND ctid < '(4,0)'"), Some(2)),
                (of("ctid >= '(4,0)'"), Some(1)),
            ]
        );
    }

    #[test]
    fn pages_are_many_where_a_row_is_small_and_few_where_it_is_not() {
        let of = |all, bytes, small| {
            Pages::of(all, (bytes, 4 << 20), small, 2).map(|it| (it.each.get(), it.pieces()))
        };
        assert_eq!(of(81_920, 640 << 20, false), Some((512, 160)));
        // Out of line.
        assert_eq!(of(148, 238 << 20, false), Some((1, 148)));
        assert_eq!(of(81_920, 2_560 << 20, false), Some((32, 2_560)));
        assert_eq!(of(3, 10 << 30, false), Some((1, 3)));
        // The largest that there may be.
        let most = of(u32::MAX - 1, u64::from(u32::MAX - 1) << 13, false).unwrap();
        assert_eq!(most.0, 512);
        assert_eq!(of(100, 800 << 10, false), None);
        assert_eq!(of(100, 800 << 10, true), Some((50, 2)));
        for (all, small) in [(0, true), (1, true), (0, false)] {
            assert_eq!(of(all, 8 << 10, small), None);
        }
    }
}
