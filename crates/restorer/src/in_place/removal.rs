//! What makes room for the backup: the statements that drop what it knows, never with CASCADE.

use std::collections::BTreeSet;

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::{literal, pattern, quote};
use tokio_postgres::Client;

use crate::archive::toc::{Entry, Toc};
use crate::archive::use_list::UseList;

/// How the refusal begins when PostgreSQL will not drop what others depend on.
pub(super) const IN_THE_WAY: &str = "what the backup does not know stands in the way";

/// Objects that stay where they are: others may live in them, or come with them.
const KEPT: [&str; 3] = ["SCHEMA", "EXTENSION", "PROCEDURAL LANGUAGE"];

/// Foreign keys are a part of the table that they sit on. One that the backup does not know would
/// still hold the table that it points to.
const FOREIGN_KEYS: &str = "
    SELECT n.nspname::text, c.relname::text, k.conname::text
      FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.conparentid = 0
       AND (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

/// The rows of an extension's configuration tables that pg_dump takes for the user's.
/// PostgreSQL manual, 38.17.3: extension configuration tables.
const CONFIGURATION: &str = "
    SELECT n.nspname::text, c.relname::text, coalesce(e.extcondition[x.place], '')
      FROM pg_extension e
      CROSS JOIN LATERAL unnest(e.extconfig) WITH ORDINALITY AS x(relation, place)
      JOIN pg_class c ON c.oid = x.relation AND c.relkind = 'r'
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE e.extname::text = ANY ($1)";

/// The text that drops everything that the backup knows and the target has.
pub(super) async fn statements(
    session: &Client,
    target: &Target,
    toc: &Toc,
) -> Result<String, Failure> {
    let failed = |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
    let (schemas, names) = toc.tables();
    let keys = session
        .query(FOREIGN_KEYS, &[&schemas, &names])
        .await
        .map_err(failed)?;
    let extensions: Vec<&str> = toc
        .entries
        .iter()
        .filter(|it| it.kind == "EXTENSION")
        .map(|it| it.tag.as_str())
        .collect();
    let configuration = session
        .query(CONFIGURATION, &[&extensions])
        .await
        .map_err(failed)?;
    let keys = keys.iter().map(|row| {
        let table = pattern(row.get(0), row.get(1));
        let name = quote(row.get(2));
        format!("ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {name}")
    });
    let drops = toc.dropped().filter_map(drop_of);
    let all: Vec<String> = keys.chain(drops).collect();
    let mut text = together(&all);
    text.push_str(&unlink(toc));
    for row in &configuration {
        let table = pattern(row.get(0), row.get(1));
        let condition: String = row.get(2);
        text.push_str(&format!("DELETE FROM {table} {condition};\n"));
    }
    Ok(text)
}

/// The text that drops everything of a backup that was loaded into an empty database and only in
/// part, the schemas and extensions too, but for those that `next` has as well.
pub(super) async fn of_all(
    session: &Client,
    target: &Target,
    toc: &Toc,
    next: Option<&Toc>,
) -> Result<String, Failure> {
    let mut text = statements(session, target, toc).await?;
    let stays = |entry: &Entry| {
        let same = |it: &Entry| it.kind == entry.kind && it.tag == entry.tag;
        (entry.kind == "SCHEMA" && entry.tag == "public")
            || next.is_some_and(|next| next.entries.iter().any(same))
    };
    let rooms: Vec<String> = toc
        .dropped()
        .filter(|it| KEPT.contains(&it.kind.as_str()) && !stays(it))
        .map(|it| format!("DROP {} IF EXISTS {}", it.kind, quote(&it.tag)))
        .collect();
    text.push_str(&together(&rooms));
    Ok(text)
}

/// The statement that drops one entry, as `pg_restore --clean --if-exists` would write it.
fn drop_of(entry: &Entry) -> Option<String> {
    let statement = entry.drop.trim().trim_end_matches(';');
    let large_object = entry.kind.starts_with("BLOB");
    if large_object || KEPT.contains(&entry.kind.as_str()) {
        return None;
    }
    if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
        let rest = rest.strip_prefix("IF EXISTS ").unwrap_or(rest);
        let rest = rest.replacen(" DROP CONSTRAINT ", " DROP CONSTRAINT IF EXISTS ", 1);
        return Some(format!("ALTER TABLE IF EXISTS {rest}"));
    }
    let drop = format!("DROP {} ", entry.kind);
    Some(match statement.strip_prefix(&drop) {
        Some(rest) => format!("{drop}IF EXISTS {rest}"),
        // A view in a circle is first made to depend on nothing.
        None => statement.to_owned(),
    })
}

/// One block that drops everything. The target may depend in other ways than the backup did, so
/// what is still needed is tried again after the rest, for as long as something goes; what then
/// stays is needed by something that the backup does not know. Who needs others goes first, so the
/// first that stays in a round is the one that a stranger holds.
fn together(statements: &[String]) -> String {
    if statements.is_empty() {
        return String::new();
    }
    let list: Vec<String> = statements.iter().map(|it| literal(it)).collect();
    format!(
        "DO $oiler$
DECLARE
  pending text[] := ARRAY[{}]::text[];
  still text[];
  statement text;
  detail text;
  why text;
BEGIN
  LOOP
    still := '{{}}';
    why := NULL;
    FOREACH statement IN ARRAY pending LOOP
      BEGIN
        EXECUTE statement;
      EXCEPTION
        WHEN undefined_table OR undefined_column OR undefined_object OR undefined_function OR invalid_schema_name THEN
          NULL;
        -- What a partition inherits goes with the table that it inherits from.
        WHEN invalid_table_definition THEN
          NULL;
        WHEN dependent_objects_still_exist THEN
          GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
          why := coalesce(why, detail);
          still := still || statement;
      END;
    END LOOP;
    EXIT WHEN cardinality(still) = 0;
    IF cardinality(still) = cardinality(pending) THEN
      RAISE EXCEPTION '{IN_THE_WAY}: %', replace(why, chr(10), '; ')
        USING ERRCODE = 'dependent_objects_still_exist';
    END IF;
    pending := still;
  END LOOP;
END
$oiler$;
",
        list.join(",\n    ")
    )
}

/// Large objects that the backup knows; others stay.
fn unlink(toc: &Toc) -> String {
    let oids: BTreeSet<String> = toc
        .all()
        .flat_map(|it| &it.entries)
        .flat_map(|it| match it.kind.as_str() {
            "BLOB" => vec![it.oid.to_string()],
            "BLOB METADATA" => it.large_objects().into_iter().map(str::to_owned).collect(),
            _ => Vec::new(),
        })
        .collect();
    if oids.is_empty() {
        return String::new();
    }
    let oids: Vec<String> = oids.into_iter().collect();
    format!(
        "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = ANY ('{{{}}}'::oid[]);\n",
        oids.join(",")
    )
}

/// What is made anew of what is to be kept, in the archive's order: everything but what stayed
/// where it was.
pub(super) async fn use_list(
    session: &Client,
    target: &Target,
    toc: &Toc,
    keep: impl Fn(&Entry) -> bool,
) -> Result<UseList, Failure> {
    let failed = |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
    let rows = session
        .query(
            "SELECT 'SCHEMA', nspname::text FROM pg_namespace
              UNION ALL SELECT 'PROCEDURAL LANGUAGE', lanname::text FROM pg_language
              UNION ALL SELECT 'COMMENT', format('EXTENSION %I', extname) FROM pg_extension
                         WHERE NOT pg_has_role(extowner, 'USAGE')",
            &[],
        )
        .await
        .map_err(failed)?;
    let there: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    UseList::of(toc, |it| {
        keep(it)
            && !it.kind.starts_with("DATABASE")
            && !there.contains(&(it.kind.clone(), it.tag.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, drop: &str) -> Entry {
        Entry {
            kind: kind.to_owned(),
            drop: drop.to_owned(),
            ..Entry::default()
        }
    }

    #[test]
    fn drops_do_not_mind_what_is_not_there() {
        for (kind, drop, wanted) in [
            (
                "TABLE",
                "DROP TABLE public.t;\n",
                "DROP TABLE IF EXISTS public.t",
            ),
            (
                "FK CONSTRAINT",
                "ALTER TABLE ONLY public.t DROP CONSTRAINT fk;\n",
                "ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS fk",
            ),
            (
                "DEFAULT",
                "ALTER TABLE public.t ALTER COLUMN id DROP DEFAULT;\n",
                "ALTER TABLE IF EXISTS public.t ALTER COLUMN id DROP DEFAULT",
            ),
            (
                "MATERIALIZED VIEW",
                "DROP MATERIALIZED VIEW public.m;\n",
                "DROP MATERIALIZED VIEW IF EXISTS public.m",
            ),
        ] {
            assert_eq!(drop_of(&entry(kind, drop)).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn what_others_live_in_is_kept() {
        for (kind, drop) in [
            ("SCHEMA", "DROP SCHEMA app;\n"),
            ("EXTENSION", "DROP EXTENSION hstore;\n"),
            ("BLOB", "SELECT pg_catalog.lo_unlink('1');\n"),
        ] {
            assert_eq!(drop_of(&entry(kind, drop)), None);
        }
    }
}
