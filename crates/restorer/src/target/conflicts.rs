//! Conflicts: what the backup does not know, and a replacement would lose without a word.
//!
//! PostgreSQL itself refuses to drop what other objects depend on, and names them. Three kinds it
//! takes along silently: partitions that were attached after the backup, a table's place in a
//! publication, and sequences that a table owns. They are looked for before anything is dropped, with
//! all that is dropped by its name, whatever it was in the source: a view that a migration has made a
//! table of becomes the view again. A table with rows that has the name of an index is no such thing.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use tokio_postgres::Client;

use super::rows::which_may_have_rows;
use crate::archive::toc::Toc;

const PARTITIONS: &str = "
    SELECT format('table %I.%I, a partition of %I.%I', cn.nspname, c.relname, pn.nspname, p.relname)
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
      JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
     WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f')
       AND (pn.nspname::text, p.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))
       AND (cn.nspname::text, c.relname::text) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))
     ORDER BY 1";

const PUBLICATIONS: &str = "
    SELECT format('publication %I, which holds table %I.%I', u.pubname, n.nspname, c.relname)
      FROM pg_publication_rel r JOIN pg_publication u ON u.oid = r.prpubid
      JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))
       AND u.pubname::text <> ALL ($3::text[])
     ORDER BY 1";

/// Sequences that would go with a table that owns them. PostgreSQL manual, CREATE SEQUENCE: OWNED BY.
const SEQUENCES: &str = "
    SELECT format('sequence %I.%I, which is owned by %I.%I', sn.nspname, s.relname, n.nspname, c.relname)
      FROM pg_depend d
      JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
      JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'
       AND (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))
       AND (sn.nspname::text, s.relname::text) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))
       AND NOT EXISTS (SELECT FROM pg_attrdef a JOIN pg_depend u ON u.classid = 'pg_attrdef'::regclass AND u.objid = a.oid
                        WHERE a.adrelid = c.oid AND u.refobjid = s.oid)
     ORDER BY 1";

/// Tables with the name of an index.
const TABLES: &str = "
    SELECT c.oid, format('table %I.%I, which has the name of an index of the backup', n.nspname, c.relname) AS shown
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p')
       AND (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

/// Subscriptions that still copy a table that stays: to drop one would ask its publisher.
const SUBSCRIPTIONS: &str = "
    SELECT DISTINCT format('subscription %I, which still copies table %I.%I', s.subname, n.nspname, c.relname)
      FROM pg_subscription s
      JOIN pg_subscription_rel r ON r.srsubid = s.oid AND r.srsubstate <> 'r'
      JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND s.subname::text = ANY ($3::text[])
       AND (n.nspname::text, c.relname::text) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))
     ORDER BY 1";

/// Refuses where something would be lost.
///
/// # Errors
/// A refusal that names all of it.
pub async fn refuse(session: &Client, target: &Target, toc: &Toc) -> Result<(), Failure> {
    let (schemas, names) = toc.dropped_by_name();
    let (index_schemas, index_names) = toc.indexes();
    let publications: Vec<&str> = toc
        .entries
        .iter()
        .filter(|it| it.kind == "PUBLICATION")
        .map(|it| it.tag.as_str())
        .collect();
    let failed = |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
    let partitions = session
        .query(PARTITIONS, &[&schemas, &names])
        .await
        .map_err(failed)?;
    let published = session
        .query(PUBLICATIONS, &[&schemas, &names, &publications])
        .await
        .map_err(failed)?;
    let known = |kind: &str| -> Vec<String> {
        let entries = toc.entries.iter().filter(|it| it.kind == kind);
        entries.map(|it| it.tag.clone()).collect()
    };
    let owned = session
        .query(SEQUENCES, &[&schemas, &names])
        .await
        .map_err(failed)?;
    let tables = which_may_have_rows(TABLES);
    let tables = session
        .query(&tables, &[&index_schemas, &index_names])
        .await
        .map_err(failed)?;
    let subscriptions = known("SUBSCRIPTION");
    // Their catalog is not everybody's to read.
    let copying = if subscriptions.is_empty() {
        Vec::new()
    } else {
        session
            .query(SUBSCRIPTIONS, &[&schemas, &names, &subscriptions])
            .await
            .map_err(failed)?
    };
    let found: Vec<String> = partitions
        .iter()
        .chain(&published)
        .chain(&owned)
        .chain(&tables)
        .chain(&copying)
        .map(|row| row.get(0))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "conflict in {target} with what the backup does not know: {}; detach or drop it, or restore into another database; nothing was changed",
        found.join("; ")
    )))
}
