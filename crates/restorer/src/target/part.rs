//! What the backup of a part of a database would take from a target without bringing it back.

use backuper::archive::manifest::Part;
use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::patterns::{Pattern, Patterns};
use tokio_postgres::Client;

use super::rows::which_may_have_rows;
use super::tolerant::few;
use crate::archive::toc::Toc;
use crate::job::Mode;

/// Tables that are dropped and made anew without rows, and may have some now.
const TABLES: &str = "
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS shown
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'm') AND format('%I.%I', n.nspname, c.relname) = ANY ($1)
       AND (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($2::text[], $3::text[]))";

/// Of these schemas those that are not there.
const MISSING: &str = "
    SELECT wanted FROM unnest($1::text[]) wanted
     WHERE wanted NOT IN (SELECT nspname::text FROM pg_namespace) ORDER BY 1";

/// Patterns are the server's to read, as they were when the backup was made.
const LEAVES_OUT_PUBLIC: &str =
    "SELECT EXISTS (SELECT FROM unnest($1::text[]) pattern WHERE 'public' ~ pattern)";

/// Extended statistics go with their table.
const STATISTICS: &str = "
    SELECT format('statistics %I.%I of table %I.%I', sn.nspname, s.stxname, n.nspname, c.relname)
      FROM pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = s.stxnamespace
      JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))
       AND (sn.nspname::text, s.stxname::text) NOT IN (SELECT * FROM unnest($3::text[], $4::text[]))
     ORDER BY 1";

/// Refuses where rows of the target, or what belongs to its tables, would go for nothing.
///
/// # Errors
/// A refusal that names all of it.
pub(crate) async fn refuse(
    session: &Client,
    target: &Target,
    toc: &Toc,
    part: Option<&Part>,
) -> Result<(), Failure> {
    let Some(part) = part else { return Ok(()) };
    let failed = |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
    let (schemas, names) = toc.dropped_by_name();
    let tables = which_may_have_rows(TABLES);
    let tables = session
        .query(&tables, &[&part.without_rows, &schemas, &names])
        .await
        .map_err(failed)?;
    let named = tables.iter().map(|row| row.get::<_, &str>(0));
    let mut lost: Vec<String> = named.map(|it| format!("the rows of table {it}")).collect();
    let (statistics_schemas, statistics) = toc.statistics();
    let statistics = session
        .query(
            STATISTICS,
            &[&schemas, &names, &statistics_schemas, &statistics],
        )
        .await
        .map_err(failed)?;
    lost.extend(statistics.iter().map(|row| row.get(0)));
    if lost.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{target} would lose what this backup, a part of a database ({part}), does not bring back: {}; restore into another database, or TRUNCATE or drop it first if it may go; nothing was changed",
        few(lost)
    )))
}

/// Whether a backup says what the schema `public` is like. An archive has no entry for one that is as it was made,
/// so it is the choice of schemas that tells: `selectDumpableNamespace` in PostgreSQL's `src/bin/pg_dump/pg_dump.c`.
///
/// # Errors
/// What the server said.
pub(crate) async fn brings_public(
    session: &Client,
    target: &Target,
    toc: &Toc,
    part: Option<&Part>,
) -> Result<bool, Failure> {
    let Some(part) = part else { return Ok(true) };
    if !part.include_tables.is_empty() {
        return Ok(false);
    }
    if !part.include_schemas.is_empty() {
        return Ok(toc.entries.iter().any(|it| it.is_of("SCHEMA", "public")));
    }
    let left_out = Patterns::of_schemas(&part.exclude_schemas.join(","))
        .map_err(|error| Failure::refused(format!("the manifest's exclude_schemas: {error}")))?;
    let left_out: Vec<String> = left_out.iter().map(Pattern::name).collect();
    let row = session
        .query_one(LEAVES_OUT_PUBLIC, &[&left_out])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    Ok(!row.get::<_, bool>(0))
}

/// What makes room for a part that needs schemas: a database that has them is there, and not empty.
pub(crate) fn first(created: bool, mode: Mode) -> &'static str {
    match (created, mode) {
        (true, Mode::Auto | Mode::Swap) => {
            "create the database, make them in it with CREATE SCHEMA and restore again"
        }
        (true, Mode::Empty) => {
            "create the database, make them in it with CREATE SCHEMA and restore again with RESTORE_MODE=auto"
        }
        (false, Mode::Auto | Mode::Swap) => "make them there with CREATE SCHEMA and restore again",
        (false, Mode::Empty) => {
            "make them there with CREATE SCHEMA and restore again with RESTORE_MODE=auto"
        }
    }
}

/// Refuses where a schema is not there, and the backup has tables for it and not the schema itself.
///
/// # Errors
/// A refusal that names them.
pub(crate) async fn has_schemas(
    session: &Client,
    target: &Target,
    (toc, part): (&Toc, &Part),
    first: &str,
) -> Result<(), Failure> {
    // Of a schema `public` that is there already pg_dump only says whose it is.
    let made = |name: &str| {
        let mut entries = toc.entries.iter().filter(|it| it.kind == "SCHEMA");
        entries.any(|it| it.tag == name && it.definition.contains("CREATE SCHEMA "))
    };
    // What is said of an object makes none: an extension of the backup may make it, and its schema.
    let making = toc.entries.iter().filter(|it| !it.is_attached());
    let named = making.filter_map(|it| it.namespace.clone());
    let mut wanted: Vec<String> = named.filter(|it| !it.is_empty() && !made(it)).collect();
    wanted.sort();
    wanted.dedup();
    let missing = session
        .query(MISSING, &[&wanted])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let missing: Vec<String> = missing.iter().map(|row| row.get(0)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{target} does not have the schemas {}, and this backup, a part of a database ({part}), does not bring them; {first}; nothing was changed",
        few(missing)
    )))
}
