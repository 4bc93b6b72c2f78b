//! What is known beforehand of a part that could not be restored, or only where something is that it does not bring.

use std::collections::HashMap;
use std::pin::pin;

use futures::TryStreamExt as _;
use tokio_postgres::Client;

use super::super::{Error, Target};
use super::matches::Matches;
use super::{Filters, Relation, Selection, refusal};

/// How many names a sentence holds before it only counts.
const NAMED: usize = 5;
/// PostgreSQL manual, COPY: the text format.
const NULL: &[u8] = b"\\N";

/// Foreign keys from tables with rows to tables without, what reads the columns of each, and whether COPY has some of
/// them: those that are generated it does not.
const KEYS: &str = "
    SELECT format('foreign key %I of %I.%I refers to %I.%I', k.conname, n.nspname, c.relname, rn.nspname, r.relname),
           format('COPY %I.%I%s TO STDOUT', n.nspname, c.relname, CASE WHEN a.copied THEN format(' (%s)', a.list) END),
           a.copied
      FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
     CROSS JOIN LATERAL (
         SELECT string_agg(quote_ident(attname), ', '), count(*) > 0 FROM pg_attribute
          WHERE attrelid = k.conrelid AND attnum = ANY (k.conkey) AND attgenerated = '') a (list, copied)
     WHERE k.contype = 'f' AND k.convalidated AND k.conrelid <> k.confrelid AND c.relkind = 'r'
       AND k.conrelid = ANY ($1::oid[]) AND k.confrelid = ANY ($2::oid[])
     ORDER BY 1";

/// Extensions in schemas that are left out, while extensions are not.
const EXTENSIONS: &str = "
    SELECT format('extension %I is in schema %I', e.extname, n.nspname)
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
     WHERE n.oid = ANY ($1::oid[]) ORDER BY 1";

/// What relations need, by what the server has written down: tables, types and functions that are not dumped. An
/// extension's come with it, where extensions are dumped. PostgreSQL manual, 53.18: pg_depend.
const NEEDS: &str = "
    WITH own AS (SELECT unnest($1::oid[]) AS oid),
         parts (class, object, relation) AS (
             SELECT 'pg_class'::regclass, oid, oid FROM own
             UNION ALL SELECT 'pg_attrdef'::regclass, a.oid, a.adrelid FROM pg_attrdef a JOIN own ON own.oid = a.adrelid
             UNION ALL SELECT 'pg_constraint'::regclass, k.oid, k.conrelid FROM pg_constraint k JOIN own ON own.oid = k.conrelid
             UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, r.ev_class FROM pg_rewrite r JOIN own ON own.oid = r.ev_class
             UNION ALL SELECT 'pg_trigger'::regclass, t.oid, t.tgrelid FROM pg_trigger t JOIN own ON own.oid = t.tgrelid
                        WHERE NOT t.tgisinternal
             UNION ALL SELECT 'pg_policy'::regclass, p.oid, p.polrelid FROM pg_policy p JOIN own ON own.oid = p.polrelid
             UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, i.indrelid FROM pg_index i JOIN own ON own.oid = i.indrelid),
         needed AS (
             SELECT DISTINCT p.relation, d.refclassid, d.refobjid
               FROM parts p JOIN pg_depend d ON d.classid = p.class AND d.objid = p.object AND d.deptype IN ('n', 'a')
              WHERE d.refobjid >= 16384)
    SELECT pg_describe_object('pg_class'::regclass, n.relation, 0) || ' needs '
             || CASE WHEN x.refobjid IS NOT NULL THEN pg_describe_object('pg_extension'::regclass, x.refobjid, 0)
                     ELSE pg_describe_object(n.refclassid, n.refobjid, 0) END
      FROM needed n
      LEFT JOIN pg_class c ON n.refclassid = 'pg_class'::regclass AND c.oid = n.refobjid
      LEFT JOIN pg_type t ON n.refclassid = 'pg_type'::regclass AND t.oid = n.refobjid
      LEFT JOIN pg_proc f ON n.refclassid = 'pg_proc'::regclass AND f.oid = n.refobjid
      LEFT JOIN pg_depend x ON x.classid = n.refclassid AND x.objid = n.refobjid AND x.deptype = 'e'
     WHERE (c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.oid NOT IN (SELECT oid FROM own))
        OR (t.oid IS NOT NULL AND t.typrelid NOT IN (SELECT oid FROM own) AND t.typnamespace <> ALL ($2::oid[]))
        OR (f.oid IS NOT NULL AND f.pronamespace <> ALL ($2::oid[]))
        OR (x.refobjid IS NOT NULL AND $3)
     GROUP BY 1
    HAVING $3 OR bool_or(x.refobjid IS NULL)
     ORDER BY 1";

/// Schemas of relations that are named one by one, which then do not bring their schema.
const SCHEMAS: &str = "
    SELECT DISTINCT format('what is dumped needs schema %I', n.nspname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = ANY ($1::oid[]) AND n.oid <> ALL ($2::oid[]) AND n.nspname <> 'public' ORDER BY 1";

/// Tables that inherit from others, by however many steps, and are no partitions.
const HEIRS: &str = "
    WITH RECURSIVE heirs (relation, ancestor) AS (
        SELECT inhrelid, inhparent FROM pg_inherits WHERE inhparent = ANY ($1::oid[])
        UNION SELECT i.inhrelid, h.ancestor FROM heirs h JOIN pg_inherits i ON i.inhparent = h.relation)
    SELECT format('%I.%I of %I.%I', n.nspname, c.relname, an.nspname, a.relname)
      FROM heirs h
      JOIN pg_class c ON c.oid = h.relation JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class a ON a.oid = h.ancestor JOIN pg_namespace an ON an.oid = a.relnamespace
     WHERE c.relkind IN ('r', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' AND c.oid <> ALL ($1::oid[])
     ORDER BY 1";

pub(super) async fn heirs(
    session: &Client,
    target: &Target,
    relations: &[u32],
) -> Result<Vec<String>, Error> {
    let rows = session.query(HEIRS, &[&relations]).await;
    let rows = rows.map_err(|error| Error::new("choosing the tables of", target, &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn needs(
    session: &Client,
    target: &Target,
    (relations, schemas): (&[u32], &[u32]),
    is_of_names: bool,
) -> Result<Vec<String>, Error> {
    let failed =
        |error: tokio_postgres::Error| Error::new("choosing the tables of", target, &error);
    let named = session.query(SCHEMAS, &[&relations, &schemas]).await;
    let needed = session
        .query(NEEDS, &[&relations, &schemas, &is_of_names])
        .await;
    let rows = named
        .map_err(failed)?
        .into_iter()
        .chain(needed.map_err(failed)?);
    Ok(rows.map(|row| row.get(0)).collect())
}

pub(super) async fn foreign_keys(
    session: &Client,
    target: &Target,
    with_rows: &[u32],
    without: &[u32],
) -> Result<(), Error> {
    if without.is_empty() {
        return Ok(());
    }
    let failed =
        |error: tokio_postgres::Error| Error::new("choosing the tables of", target, &error);
    let keys = session.query(KEYS, &[&with_rows, &without]).await;
    for key in keys.map_err(failed)? {
        if is_used(session, (key.get(1), key.get(2)))
            .await
            .map_err(failed)?
        {
            let key: &str = key.get(0);
            return Err(refusal(
                target,
                format!(
                    "{key}, whose rows EXCLUDE_TABLE_DATA leaves out, so no restore could make that key; leave out the rows of both, or of neither"
                ),
            ));
        }
    }
    Ok(())
}

/// Whether some row has a value in all columns of a key, by a COPY of them: a query would be planned, and whoever plans
/// one evaluates what the table's owner has written into its indexes. Where it has none of them, any row counts.
async fn is_used(
    session: &Client,
    (copy, has_some): (&str, bool),
) -> Result<bool, tokio_postgres::Error> {
    // The server sends each row by itself.
    let mut rows = pin!(session.copy_out(copy).await?);
    while let Some(row) = rows.try_next().await? {
        let row = row.strip_suffix(b"\n").unwrap_or(&row);
        if !has_some || row.split(|it| *it == b'\t').all(|it| it != NULL) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) async fn extensions(
    session: &Client,
    target: &Target,
    filters: &Filters,
    matches: &Matches,
) -> Result<(), Error> {
    if filters.names_what_is_dumped() {
        return Ok(());
    }
    let schemas: Vec<u32> = matches.exclude_schemas.iter().copied().collect();
    let found = session
        .query(EXTENSIONS, &[&schemas])
        .await
        .map_err(|error| Error::new("choosing the tables of", target, &error))?;
    match found.first() {
        None => Ok(()),
        Some(row) => {
            let extension: &str = row.get(0);
            Err(refusal(
                target,
                format!(
                    "{extension}, which EXCLUDE_SCHEMAS leaves out, and no restore could make it without; take that schema out of EXCLUDE_SCHEMAS, or name those that are meant in INCLUDE_SCHEMAS"
                ),
            ))
        }
    }
}

/// A partitioned table has its rows in its partitions, and pg_dump's patterns mean the one without the others.
pub(super) fn partitions(
    relations: &[Relation],
    chosen: &Selection,
    matches: &Matches,
) -> Result<(), String> {
    let by_oid: HashMap<u32, &Relation> = relations.iter().map(|it| (it.oid, it)).collect();
    let is_dumped = |oid: u32| chosen.dumped.0.contains(&oid);
    for (setting, list) in [
        ("INCLUDE_TABLES", &matches.include_tables),
        ("EXCLUDE_TABLES", &matches.exclude_tables),
        ("EXCLUDE_TABLE_DATA", &matches.exclude_table_data),
    ] {
        for parent in relations
            .iter()
            .filter(|it| it.is_partitioned() && list.contains(&it.oid))
        {
            let within = relations
                .iter()
                .filter(|it| is_within(it, parent.oid, &by_oid));
            let missed = within.filter(|it| match setting {
                "INCLUDE_TABLES" => {
                    !list.contains(&it.oid) && !matches.exclude_tables.contains(&it.oid)
                }
                "EXCLUDE_TABLES" => is_dumped(it.oid),
                _ => chosen.rows.contains(&it.oid),
            });
            let missed: Vec<&str> = missed.map(|it| it.name.as_str()).collect();
            if !missed.is_empty() {
                return Err(format!(
                    "{setting} names {}, which is partitioned, and not its partitions {}; name them too, by a pattern that matches all of them",
                    parent.name,
                    few(&missed)
                ));
            }
        }
    }
    Ok(())
}

/// A partitioned table whose partitions are in another schema, or are left out by their names, would come back
/// empty. Some may be left out, and are told of; not all of them.
pub(super) fn left_out_partitions(
    relations: &[Relation],
    chosen: &Selection,
) -> Result<Vec<String>, String> {
    let by_oid: HashMap<u32, &Relation> = relations.iter().map(|it| (it.oid, it)).collect();
    let is_dumped = |it: &Relation| chosen.dumped.0.contains(&it.oid);
    let mut left_out = Vec::new();
    for parent in relations
        .iter()
        .filter(|it| it.is_partitioned() && is_dumped(it))
    {
        let leaves = relations
            .iter()
            .filter(|it| !it.is_partitioned() && is_within(it, parent.oid, &by_oid));
        let (dumped, missed): (Vec<&Relation>, Vec<&Relation>) =
            leaves.partition(|it| is_dumped(it));
        let names: Vec<&str> = missed.iter().map(|it| it.name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        if dumped.is_empty() {
            return Err(format!(
                "{} is partitioned, and all of its partitions are left out ({}), so it would come back without a row; bring in their schemas or tables too, or leave {} out",
                parent.name,
                few(&names),
                parent.name
            ));
        }
        left_out.push(format!("{} of {}", few(&names), parent.name));
    }
    Ok(left_out)
}

/// Whether a relation is a partition of this one, or of one of its partitions.
fn is_within(relation: &Relation, ancestor: u32, by_oid: &HashMap<u32, &Relation>) -> bool {
    let mut above = relation.parent;
    while let Some(oid) = above {
        if oid == ancestor {
            return true;
        }
        above = by_oid.get(&oid).and_then(|it| it.parent);
    }
    false
}

fn few(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied();
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
