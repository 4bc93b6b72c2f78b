//! The columns of the tables that a load has made, as the target's catalog has them: what their rows are
//! made binary by. PostgreSQL manual, chapter 53: pg_attribute, pg_type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backuper::archive::Manifest;
use backuper::archive::manifest::Stream;
use backuper::postgres::{self, CopyFormat};
use backuper::runtime::Failure;

use super::Loading;
use crate::archive::binary::{Tables, Type};
use crate::archive::rows::{self, Calls};
use crate::archive::toc::Toc;

/// Rows from which a table is worth the statements more that it takes: one empties it, one takes what the
/// binary one does not.
const MANY_ROWS: u64 = 10_000;
/// Bytes of a table that has a stream of its own, from which it is worth them.
const MANY_BYTES: u64 = 4 << 20;

/// A domain is as its base type is. Only heaps, which alone are known to freeze.
const COLUMNS: &str = "
WITH RECURSIVE base (domain, type) AS (
    SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT base.domain, type.typbasetype
    FROM base JOIN pg_catalog.pg_type type ON type.oid = base.type AND type.typtype = 'd'
)
SELECT n.nspname, c.relname, a.attname, type.oid, type.typtype = 'e' AS is_enum
FROM (SELECT DISTINCT pg_catalog.to_regclass(name)::pg_catalog.oid AS oid FROM pg_catalog.unnest($1::pg_catalog.text[]) name) made
JOIN pg_catalog.pg_class c ON c.oid = made.oid AND c.relkind = 'r'
JOIN pg_catalog.pg_am am ON am.oid = c.relam AND am.amname = 'heap'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN base ON base.domain = a.atttypid
JOIN pg_catalog.pg_type type ON type.oid = coalesce(base.type, a.atttypid) AND type.typtype <> 'd'";

/// The tables of the backup that these entries have made, where it is worth it.
pub(super) async fn of(
    loading: &Loading<'_>,
    manifest: &Manifest,
    toc: &Toc,
    made: &BTreeSet<i64>,
) -> Result<Arc<Tables>, Failure> {
    let tables = toc
        .entries
        .iter()
        .filter(|it| it.kind == "TABLE" && made.contains(&it.id));
    // What may be loaded again must leave no row behind when it fails, and two statements could.
    let calls = Calls::of(toc);
    let made = tables.map(rows::name);
    let made: BTreeSet<String> = made.filter(|it| !calls.may_be_refused(it)).collect();
    let wanted: Vec<&str> = match loading.copy_format {
        CopyFormat::Binary => all(manifest).collect(),
        CopyFormat::Auto | CopyFormat::Text => manifest.data().flat_map(large).collect(),
    };
    let wanted: Vec<&str> = wanted.into_iter().filter(|it| made.contains(*it)).collect();
    if wanted.is_empty() {
        return Ok(Arc::default());
    }
    let columns = loading.session.query(COLUMNS, &[&wanted]).await;
    let columns =
        columns.map_err(|error| postgres::Error::new("examining", loading.target, &error))?;
    let mut tables = Tables::new();
    for column in columns {
        let (table, name) = ((column.get(0), column.get(1)), column.get(2));
        let (oid, is_enum) = (column.get(3), column.get(4));
        let table: &mut BTreeMap<_, _> = tables.entry(table).or_default();
        table.insert(name, Type::of(oid, is_enum));
    }
    Ok(Arc::new(tables))
}

fn all(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest
        .data()
        .flat_map(|it| &it.tables)
        .map(String::as_str)
}

/// The tables of a stream that are large, as far as anybody knows.
fn large(stream: &Stream) -> impl Iterator<Item = &str> {
    let alone = stream.tables.len() == 1 && stream.raw_bytes >= MANY_BYTES;
    let rows = stream.rows.iter().copied().chain(std::iter::repeat(None));
    let each = stream.tables.iter().zip(rows);
    let large = move |(name, rows): (_, Option<u64>)| {
        (alone || rows.is_some_and(|it| it >= MANY_ROWS)).then_some(name)
    };
    each.filter_map(large).map(String::as_str)
}
