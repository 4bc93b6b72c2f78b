//! The columns of the tables that a restore has made, as the target's catalog has them: what their rows are
//! made binary by. PostgreSQL manual, chapter 53: pg_attribute, pg_type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backuper::archive::Manifest;
use backuper::archive::manifest::Stream;
use backuper::postgres::{self, CopyFormat, Target};
use backuper::runtime::Failure;
use backuper::text::sql::literal;
use tokio_postgres::Client;

use crate::archive::binary::{Columns, Tables, TakenBy, Type};
use crate::archive::rows::{self, Calls};
use crate::archive::toc::{Entry, Toc};

/// Rows from which a table is worth the statements more that it takes, such as the one for what the binary one does not
/// take.
const MANY_ROWS: u64 = 10_000;
/// Bytes of a table that has a stream of its own, from which it is worth them.
const MANY_BYTES: u64 = 4 << 20;

/// The tables of the backup that were made, where it is worth it, as a manifest writes their names.
pub(crate) fn wanted(
    format: CopyFormat,
    manifest: &Manifest,
    toc: &Toc,
    made: impl Fn(&Entry) -> bool,
) -> Vec<String> {
    let tables = toc.entries.iter().filter(|it| it.kind == "TABLE");
    // What may be loaded again must leave no row behind when it fails, and two statements could.
    let calls = Calls::of(toc);
    let made = tables.filter(|it| made(it)).map(rows::name);
    let made: BTreeSet<String> = made.filter(|it| !calls.may_be_refused(it)).collect();
    let wanted: Vec<&str> = match format {
        CopyFormat::Binary => all(manifest).collect(),
        CopyFormat::Auto => manifest.data().flat_map(large).collect(),
        CopyFormat::Text => Vec::new(),
    };
    let wanted = wanted.into_iter().filter(|it| made.contains(*it));
    wanted.map(str::to_owned).collect()
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

/// Those of tables that have been committed.
pub(crate) async fn of(
    session: &Client,
    target: &Target,
    wanted: &[String],
) -> Result<Arc<Tables>, Failure> {
    if wanted.is_empty() {
        return Ok(Arc::default());
    }
    let answer = session.query_one(&query(wanted), &[]).await;
    let answer = answer.map_err(|error| postgres::Error::new("examining", target, &error))?;
    Ok(Arc::new(Tables {
        columns: parse(answer.get(0))?,
        taken_by: TakenBy::PgRestore,
    }))
}

/// The query that asks for the columns of these tables. A domain is as its base type is. Only heaps, which alone are known
/// to freeze.
pub(crate) fn query(wanted: &[String]) -> String {
    let wanted: Vec<String> = wanted.iter().map(|it| literal(it)).collect();
    format!(
        "
WITH RECURSIVE base (domain, type) AS (
    SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT base.domain, type.typbasetype
    FROM base JOIN pg_catalog.pg_type type ON type.oid = base.type AND type.typtype = 'd'
)
SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
           n.nspname, c.relname, a.attname, type.oid::pg_catalog.int8, type.typtype = 'e')), '[]')::pg_catalog.text AS oiler_answer
FROM (SELECT DISTINCT pg_catalog.to_regclass(name)::pg_catalog.oid AS oid FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.text[]) name) made
JOIN pg_catalog.pg_class c ON c.oid = made.oid AND c.relkind = 'r'
JOIN pg_catalog.pg_am am ON am.oid = c.relam AND am.amname = 'heap'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN base ON base.domain = a.atttypid
JOIN pg_catalog.pg_type type ON type.oid = coalesce(base.type, a.atttypid) AND type.typtype <> 'd'",
        wanted.join(", ")
    )
}

/// The columns that an answer to the [`query`] means.
pub(crate) fn parse(answer: &str) -> Result<Columns, Failure> {
    let rows: Vec<(String, String, String, u32, bool)> =
        serde_json::from_str(answer).map_err(|error| {
            Failure::try_again(format!(
                "reading the server's answer about columns: {error}"
            ))
        })?;
    let mut columns = Columns::new();
    for (schema, table, name, oid, is_enum) in rows {
        let table: &mut BTreeMap<_, _> = columns.entry((schema, table)).or_default();
        table.insert(name, Type::of(oid, is_enum));
    }
    Ok(columns)
}
