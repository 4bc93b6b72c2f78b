//! What stands in the way of a replacement and would be lost without a word.
//!
//! PostgreSQL itself refuses to drop what other objects depend on, and names them. Two kinds it
//! takes along silently: partitions that were attached after the backup, and a table's place in a
//! publication. Both are looked for before anything is dropped.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use tokio_postgres::Client;

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

/// Looks for what would be lost.
///
/// # Errors
/// A refusal that names all of it.
pub async fn look(session: &Client, target: &Target, toc: &Toc) -> Result<(), Failure> {
    let (schemas, names) = toc.tables();
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
    let found: Vec<String> = partitions
        .iter()
        .chain(&published)
        .map(|row| row.get(0))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "in {target} stands in the way what the backup does not know: {}; detach or drop it, or restore into another database; nothing was changed",
        found.join("; ")
    )))
}
