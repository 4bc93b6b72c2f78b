//! What makes room for the backup: the statements that drop what it knows. Nothing goes that it does
//! not know: CASCADE takes a base type's own functions, and only where nothing else needs the type.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::{dollar_quoted, literal, pattern, quote};
use tokio_postgres::Client;

use super::locks::large_objects;
use crate::archive::toc::{Entry, Toc};
use crate::target::mark::Left;
use crate::target::subscription;

/// How the refusal begins when PostgreSQL will not drop what others depend on.
const CONFLICT: &str = "conflict with what the backup does not know";

/// Objects that stay where they are: others may live in them, or come with them. But for a language whose
/// functions the backup makes.
const KEPT: [&str; 3] = ["SCHEMA", "EXTENSION", "PROCEDURAL LANGUAGE"];

/// Foreign keys are a part of the table that they sit on. One that the backup does not know would
/// still hold the table that it points to.
const FOREIGN_KEYS: &str = "
    SELECT n.nspname::text, c.relname::text, k.conname::text
      FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.conparentid = 0
       AND (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

/// The rows of an extension's configuration tables that pg_dump takes for the user's, where our role may
/// write them, and the backup has rows for them. PostgreSQL manual, 38.17.3: extension configuration tables.
const CONFIGURATION: &str = "
    SELECT n.nspname::text, c.relname::text, coalesce(e.extcondition[x.place], '')
      FROM pg_extension e
      CROSS JOIN LATERAL unnest(e.extconfig) WITH ORDINALITY AS x(relation, place)
      JOIN pg_class c ON c.oid = x.relation AND c.relkind = 'r'
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE (e.extname::text = ANY ($1)
            OR format('\"%s\".\"%s\"', replace(n.nspname, '\"', '\"\"'), replace(c.relname, '\"', '\"\"')) = ANY ($3::text[]))
       AND format('%I.%I', n.nspname, c.relname) <> ALL ($2::text[]) AND has_schema_privilege(n.oid, 'USAGE')
       AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
       AND has_table_privilege(c.oid, 'DELETE')
     ORDER BY e.extname, x.place";

/// Which tables a backup has rows for. It may name them without their extension: a part of a database does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// Those for which it has none, as SQL writes their names.
    pub(super) without: &'a [String],
    /// Those for which it has, as patterns that match them.
    pub(super) of: &'a [String],
}

/// The text that drops everything that the backup knows and the target has. Of an extension's tables those keep
/// their rows for which the backup has none.
pub(super) async fn statements(
    session: &Client,
    target: &Target,
    toc: &Toc,
    rows: Rows<'_>,
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
        .query(CONFIGURATION, &[&extensions, &rows.without, &rows.of])
        .await
        .map_err(failed)?;
    let mut beforehand: Vec<String> = keys
        .iter()
        .map(|row| {
            let table = pattern(row.get(0), row.get(1));
            let name = quote(row.get(2));
            format!("ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {name}")
        })
        .collect();
    let mut removals: Vec<Removal> = toc
        .dropped()
        .filter_map(|it| removal_of(it, toc.makes_functions_of(it)))
        .collect();
    // What has got an index's name since is in its way.
    let indexes = toc.dropped().filter(|it| it.kind == "INDEX");
    removals.extend(indexes.map(|it| Removal::Named {
        schema: it.namespace.clone().unwrap_or_default(),
        name: it.tag.clone(),
    }));
    // A subscription that has no table left has nothing to ask its publisher for.
    removals.sort_by_key(|it| matches!(it, Removal::Subscription(_)));
    beforehand.extend(removals.iter().filter_map(|it| match it {
        Removal::Part(statement) => Some(statement.clone()),
        _ => None,
    }));
    let mut text = parts(&beforehand);
    text.push_str(&together(&removals));
    text.push_str(&unlink(toc));
    let configuration = configuration.iter().map(|row| {
        let table = pattern(row.get(0), row.get(1));
        (table, row.get(2))
    });
    text.push_str(&emptied(&configuration.collect::<Vec<_>>()));
    Ok(text)
}

/// What empties tables, each of the rows that a condition means. They may refer to each other in any
/// way, circles included, and a condition may read another of them. So it is one statement: all of it
/// sees the rows of before, and keys are checked behind it. PostgreSQL manual, 7.8.4: data-modifying
/// statements in WITH.
fn emptied(tables: &[(String, String)]) -> String {
    let deletes: Vec<String> = (1..)
        .zip(tables)
        .map(|(number, (table, condition))| {
            format!("emptied{number} AS (DELETE FROM {table} {condition}\n)")
        })
        .collect();
    if deletes.is_empty() {
        return String::new();
    }
    format!("WITH {} SELECT;\n", deletes.join(",\n"))
}

/// The text that drops everything of a backup that was loaded into an empty database and only in
/// part, the schemas and extensions too, but for those that `next` has as well. An extension that stays keeps the
/// rows that it came with, where the backup had none for them.
pub(super) async fn of_all(
    session: &Client,
    target: &Target,
    left: &Left,
    next: Option<&Toc>,
) -> Result<String, Failure> {
    let toc = &left.toc;
    let rows = Rows {
        without: &left.without_rows,
        of: &[],
    };
    let mut text = statements(session, target, toc, rows).await?;
    let stays = |entry: &Entry| {
        let same = |it: &Entry| it.kind == entry.kind && it.tag == entry.tag;
        (entry.kind == "SCHEMA" && entry.tag == "public")
            || next.is_some_and(|next| next.entries.iter().any(same))
    };
    let rooms: Vec<Removal> = toc
        .dropped()
        .filter(|it| KEPT.contains(&it.kind.as_str()) && !stays(it))
        .map(|it| Removal::Statement(format!("DROP {} IF EXISTS {}", it.kind, quote(&it.tag))))
        .collect();
    text.push_str(&together(&rooms));
    Ok(text)
}

/// What removes one entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Removal {
    /// A part of something else, which goes with it: removed beforehand where that can be, since two
    /// tables may need each other by a part of each. What stays is told of by what it is a part of.
    Part(String),
    /// A table, view, sequence or type: dropped as what it is in the target, whatever it was in
    /// the source.
    Named { schema: String, name: String },
    /// A base type, with the functions that read and write it: neither goes without the other.
    BaseType {
        schema: String,
        name: String,
        statement: String,
    },
    /// Anything else.
    Statement(String),
    /// Dropped without a word to its publisher, whose replication slot is none of our business.
    Subscription(String),
}

/// What removes one entry; none where nothing is to be removed, as with what others may live in. A
/// language goes when its functions do.
fn removal_of(entry: &Entry, comes_with_its_functions: bool) -> Option<Removal> {
    let statement = entry.drop.trim().trim_end_matches(';');
    let kind = entry.kind.as_str();
    let schema = || entry.namespace.clone().unwrap_or_default();
    Some(match kind {
        _ if comes_with_its_functions => Removal::Statement(if_exists(statement, kind)),
        _ if KEPT.contains(&kind) || kind.starts_with("BLOB") || kind == "EVENT TRIGGER" => {
            return None;
        }
        "TYPE" if statement.ends_with(" CASCADE") => Removal::BaseType {
            schema: schema(),
            name: entry.tag.clone(),
            statement: if_exists(statement, kind),
        },
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" | "FOREIGN TABLE" | "TYPE"
        | "DOMAIN" | "SHELL TYPE" => Removal::Named {
            schema: schema(),
            name: entry.tag.clone(),
        },
        "FUNCTION" | "PROCEDURE" => {
            let routine = statement
                .strip_prefix("DROP ")
                .and_then(|it| it.strip_prefix(kind));
            Removal::Statement(format!("DROP ROUTINE IF EXISTS{}", routine?))
        }
        "SUBSCRIPTION" => Removal::Subscription(entry.tag.clone()),
        "DEFAULT" | "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" | "INDEX" | "TRIGGER"
        | "RULE" | "POLICY" => Removal::Part(if_exists(statement, kind)),
        _ => Removal::Statement(if_exists(statement, kind)),
    })
}

/// The statement, as `pg_restore --clean --if-exists` would write it.
fn if_exists(statement: &str, kind: &str) -> String {
    if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
        let rest = rest.strip_prefix("IF EXISTS ").unwrap_or(rest);
        let rest = rest.replacen(" DROP CONSTRAINT ", " DROP CONSTRAINT IF EXISTS ", 1);
        return format!("ALTER TABLE IF EXISTS {rest}");
    }
    let drop = format!("DROP {kind} ");
    match statement.strip_prefix(&drop) {
        Some(rest) => format!("{drop}IF EXISTS {rest}"),
        // A view in a circle is first made to depend on nothing.
        None => statement.to_owned(),
    }
}

/// The block that removes parts as far as they can be.
fn parts(statements: &[String]) -> String {
    let body = format!(
        "
DECLARE
  statement text;
BEGIN
  FOREACH statement IN ARRAY {} LOOP
    BEGIN
      EXECUTE statement;
    EXCEPTION
      WHEN lock_not_available OR deadlock_detected OR out_of_memory THEN
        RAISE;
      WHEN OTHERS THEN
        NULL;
    END;
  END LOOP;
END
",
        array(statements)
    );
    format!("DO {};\n", dollar_quoted(&body))
}

/// What is in the target under a name, as the statement that drops it.
const NAMED: &str = "coalesce(
          (SELECT pg_catalog.format('DROP %s %I.%I',
                    CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                                   WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END,
                    s.nspname, c.relname)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
            WHERE s.nspname = schemas[n] AND c.relname = names[n] AND c.relkind NOT IN ('i', 'I', 't')),
          (SELECT pg_catalog.format('DROP TYPE %I.%I', s.nspname, t.typname)
             FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
            WHERE s.nspname = schemas[n] AND t.typname = names[n] AND t.typrelid = 0
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)))";

/// What needs a base type, beside its array and the functions that read and write it.
/// PostgreSQL manual, CREATE TYPE: base types.
const NEEDS_TYPE: &str = "
          WITH own (class, object) AS (
              SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, unnest(ARRAY[t.oid, t.typarray])
                FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
               WHERE s.nspname = schemas[n] AND t.typname = names[n]
              UNION ALL
              SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass,
                     unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze]::oid[])
                FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
               WHERE s.nspname = schemas[n] AND t.typname = names[n])
          SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) || ' depends on '
                   || pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
            FROM pg_catalog.pg_depend d JOIN own ON (own.class, own.object) = (d.refclassid, d.refobjid)
           WHERE (d.classid, d.objid) NOT IN (SELECT class, object FROM own)
           LIMIT 1";

/// The block that removes everything. The target may depend in other ways than the backup did, so
/// what is still needed is tried again after the rest, for as long as something goes; what then
/// stays is needed by something that the backup does not know. Who needs others goes first, so the
/// first that stays in a round is the one that a stranger holds.
fn together(removals: &[Removal]) -> String {
    let [schemas, names, statements] = columns(removals);
    if names.is_empty() {
        return String::new();
    }
    let body = format!(
        "
DECLARE
  schemas text[] := {};
  names text[] := {};
  statements text[] := {};
  pending int[] := ARRAY(SELECT pg_catalog.generate_subscripts(names, 1));
  still int[];
  n int;
  statement text;
  detail text;
  message text;
  why text;
BEGIN
  LOOP
    still := '{{}}';
    why := NULL;
    FOREACH n IN ARRAY pending LOOP
      BEGIN
        statement := statements[n];
        IF statement = '' THEN
          statement := {NAMED};
        ELSIF names[n] <> '' THEN
          detail := ({NEEDS_TYPE});
          IF detail IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist', MESSAGE = detail, DETAIL = detail;
          END IF;
        END IF;
        IF statement IS NOT NULL THEN
          EXECUTE statement;
        END IF;
      EXCEPTION
        WHEN undefined_table OR undefined_column OR undefined_object OR undefined_function OR invalid_schema_name THEN
          NULL;
        WHEN wrong_object_type THEN
          -- An aggregate of the backup that is another kind of routine here.
          EXECUTE pg_catalog.replace(pg_catalog.replace(statement, 'DROP AGGREGATE', 'DROP ROUTINE'), '(*)', '()');
        WHEN dependent_objects_still_exist THEN
          GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, message = MESSAGE_TEXT;
          why := coalesce(why, nullif(detail, ''), message);
          still := still || n;
      END;
    END LOOP;
    EXIT WHEN pg_catalog.cardinality(still) = 0;
    IF pg_catalog.cardinality(still) = pg_catalog.cardinality(pending) THEN
      RAISE EXCEPTION '{CONFLICT}: %', pg_catalog.replace(why, pg_catalog.chr(10), '; ')
        USING ERRCODE = 'dependent_objects_still_exist';
    END IF;
    pending := still;
  END LOOP;
END
",
        array(&schemas),
        array(&names),
        array(&statements),
    );
    format!("DO {};\n", dollar_quoted(&body))
}

/// The schema, the name and the statement of each, as far as it has them.
fn columns(removals: &[Removal]) -> [Vec<String>; 3] {
    let mut columns: [Vec<String>; 3] = Default::default();
    for removal in removals {
        let row = match removal.clone() {
            Removal::Part(_) => continue,
            Removal::Named { schema, name } => [schema, name, String::new()],
            Removal::BaseType {
                schema,
                name,
                statement,
            } => [schema, name, statement],
            Removal::Statement(statement) => [String::new(), String::new(), statement],
            Removal::Subscription(name) => {
                let statements = subscription::removal(&name).join("; ");
                [String::new(), String::new(), statements]
            }
        };
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns
}

fn array(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|it| literal(it)).collect();
    format!("ARRAY[{}]::text[]", all.join(",\n    "))
}

/// Large objects that the backup knows; others stay.
fn unlink(toc: &Toc) -> String {
    let oids: Vec<String> = large_objects(toc).into_iter().collect();
    if oids.is_empty() {
        return String::new();
    }
    format!(
        "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = ANY ('{{{}}}'::oid[]);\n",
        oids.join(",")
    )
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
        let part = |it: &str| Some(Removal::Part(it.to_owned()));
        let statement = |it: &str| Some(Removal::Statement(it.to_owned()));
        for (kind, drop, wanted) in [
            (
                "FK CONSTRAINT",
                "ALTER TABLE ONLY public.t DROP CONSTRAINT fk;\n",
                part("ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS fk"),
            ),
            (
                "DEFAULT",
                "ALTER TABLE public.t ALTER COLUMN id DROP DEFAULT;\n",
                part("ALTER TABLE IF EXISTS public.t ALTER COLUMN id DROP DEFAULT"),
            ),
            (
                "FUNCTION",
                "DROP FUNCTION public.f(integer);\n",
                statement("DROP ROUTINE IF EXISTS public.f(integer)"),
            ),
            (
                "COLLATION",
                "DROP COLLATION public.c;\n",
                statement("DROP COLLATION IF EXISTS public.c"),
            ),
        ] {
            assert_eq!(removal_of(&entry(kind, drop), false), wanted);
        }
    }

    #[test]
    fn what_others_live_in_is_kept() {
        for (kind, drop) in [
            ("SCHEMA", "DROP SCHEMA app;\n"),
            ("EXTENSION", "DROP EXTENSION hstore;\n"),
            ("BLOB", "SELECT pg_catalog.lo_unlink('1');\n"),
        ] {
            assert_eq!(removal_of(&entry(kind, drop), false), None);
        }
    }

    /// F31.
    #[test]
    fn tables_that_refer_to_each_other_are_emptied_at_once() {
        let table = |name: &str, condition: &str| (name.to_owned(), condition.to_owned());
        let text = emptied(&[table("a", ""), table("b", "WHERE id > 1 -- ours")]);
        assert_eq!(
            text,
            "WITH emptied1 AS (DELETE FROM a \n),\nemptied2 AS (DELETE FROM b WHERE id > 1 -- ours\n) SELECT;\n"
        );
        assert_eq!(emptied(&[]), "");
    }

    /// F27: a name may hold any tag.
    #[test]
    fn a_name_ends_no_block() {
        let named = Removal::Named {
            schema: "public".to_owned(),
            name: "$oiler$; DROP TABLE x; --".to_owned(),
        };
        let block = together(&[named]);
        assert!(block.starts_with("DO $oiler1$"), "{block}");
        assert_eq!(block.matches("$oiler1$").count(), 2);
    }
}
