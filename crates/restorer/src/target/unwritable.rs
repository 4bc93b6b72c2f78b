//! Which of an extension's configuration tables our role may not write.
//!
//! An extension that a superuser has made belongs to that superuser, and so do its tables. Their rows
//! are left out then, with a word where the backup has some: a COPY of no row at all is refused too.

use std::collections::{BTreeMap, BTreeSet};

use backuper::postgres::Target;
use backuper::text::sql::literal;

use super::tolerant::few;
use crate::archive::rows::{self, Place};
use crate::archive::toc::Toc;

/// What is done to such a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is filled.
    Filled,
    /// It is emptied first.
    Replaced,
}

/// The query that gives the numbers of those, beginning with 1, with commas between. One that is not
/// there is none of them: whoever fills it says so.
pub(crate) fn query(archives: &[Toc], places: &BTreeSet<Place>, written: Written) -> String {
    let entries = places.iter().filter_map(|it| rows::entry(archives, *it));
    let (schemas, names): (Vec<String>, Vec<String>) = entries
        .map(|it| {
            let schema = it.namespace.as_deref().unwrap_or_default();
            (literal(schema), literal(&it.tag))
        })
        .unzip();
    let emptied = match written {
        Written::Filled => "true",
        Written::Replaced => {
            "pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'DELETE')"
        }
    };
    format!(
        "SELECT coalesce(pg_catalog.string_agg(it.place::text, ','), '') AS oiler_answer
           FROM unnest(ARRAY[{}]::text[], ARRAY[{}]::text[]) WITH ORDINALITY AS it(schema, name, place)
           JOIN pg_catalog.pg_namespace n ON n.nspname::text = it.schema
           JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname::text = it.name
          WHERE NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
                WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'UPDATE')
                ELSE pg_catalog.has_table_privilege(c.oid, 'INSERT') AND {emptied} END)",
        schemas.join(", "),
        names.join(", "),
    )
}

/// The places that an answer to the [`query`] means.
pub(crate) fn places(places: &BTreeSet<Place>, answer: &str) -> BTreeSet<Place> {
    let numbers: BTreeSet<usize> = answer.split(',').filter_map(|it| it.parse().ok()).collect();
    let numbered = (1..).zip(places);
    let wanted = numbered.filter(|(number, _)| numbers.contains(number));
    wanted.map(|(_, place)| *place).collect()
}

/// Says which tables are left out, and how many rows the backup has for each; none: nobody counted them.
pub(crate) fn warn(
    target: &Target,
    archives: &[Toc],
    left_out: &BTreeSet<Place>,
    counted: &BTreeMap<Place, u64>,
) {
    let entries = left_out
        .iter()
        .filter_map(|it| Some((rows::entry(archives, *it)?, counted.get(it))));
    let lost: Vec<String> = entries
        .filter(|(it, count)| rows::is_rows(it) && *count != Some(&0))
        .map(|(it, count)| {
            let schema = it.namespace.as_deref().unwrap_or_default();
            let count = count.map_or("rows, if any".to_owned(), |it| format!("{it} rows"));
            format!("{schema}.{} ({count})", it.tag)
        })
        .collect();
    if !lost.is_empty() {
        tracing::warn!(
            database = %target,
            "role {} may not write tables of extensions, so their rows are not restored: {}; restore them as the role that owns the extension",
            target.user(),
            few(lost)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_numbers() {
        let all: BTreeSet<Place> = [(0, 7), (0, 9), (2, 1)].into();
        assert_eq!(places(&all, "1,3"), [(0, 7), (2, 1)].into());
        assert!(places(&all, "").is_empty());
    }
}
