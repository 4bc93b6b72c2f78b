//! Objects that a restore in place leaves where they are, since others may live in them: schemas,
//! languages, and what extensions have made. pg_dump writes their privileges as differences from what
//! they had at first, so they get that back before the backup's are granted.

use std::collections::BTreeSet;

use backuper::text::sql::{dollar_quoted, literal, quote};

use super::tolerant::{self, Statement, Tolerance};
use crate::archive::statements::words;
use crate::archive::toc::{Entry, Toc};

/// From this major on a new schema `public` lets nobody make objects in it, and pg_dump writes what
/// differs from that. PostgreSQL 15 release notes, E.19.2.
const CLOSED_PUBLIC: u32 = 15;

/// What PostgreSQL says of the schema `public` when it makes a database.
const COMMENT: &str = "standard public schema";

/// The statements that lead from the privileges that an object has to those that it had at first, for
/// each object that differs. Of an extension's objects `pg_init_privs` knows, and of a schema that was made
/// for it and is no part of it: PostgreSQL manual, 53.
/// `REVOKE` on a table takes those on its columns along.
const STATEMENTS: &str = r#"
    WITH object AS (
      SELECT 'SCHEMA' AS kind, format('%I', nspname) AS name, nspowner AS owner, nspacl AS acl,
             CASE nspname WHEN 'public' THEN ARRAY[
               format('{public}/%s', quote_ident(pg_get_userbyid(nspowner)))::aclitem,
               format('%1$s=UC/%1$s', quote_ident(pg_get_userbyid(nspowner)))::aclitem]
               ELSE i.initprivs END AS first,
             acldefault('n', nspowner) AS initial
        FROM pg_namespace n
        LEFT JOIN pg_init_privs i ON i.classoid = 'pg_namespace'::regclass AND i.objoid = n.oid AND i.objsubid = 0
       WHERE nspname = 'public' AND {brought} OR nspname::text = ANY ({schemas})
      UNION ALL
      SELECT 'LANGUAGE', format('%I', lanname), lanowner, lanacl, NULL, acldefault('l', lanowner)
        FROM pg_language WHERE lanname::text = ANY ({languages})
      UNION ALL
      SELECT m.kind, m.name, m.owner, m.acl, i.initprivs, m.initial
        FROM pg_extension e
        JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
        CROSS JOIN LATERAL (
          SELECT k.kind, c.oid::regclass::text AS name, c.relowner AS owner,
                 coalesce(c.relacl, acldefault(k.letter, c.relowner))
                   || ARRAY(SELECT unnest(a.attacl) FROM pg_attribute a WHERE a.attrelid = c.oid) AS acl,
                 acldefault(k.letter, c.relowner) AS initial
            FROM pg_class c
            JOIN (VALUES ('SEQUENCE', 's'::"char"), ('TABLE', 'r')) k(kind, letter) ON (c.relkind = 'S') = (k.letter = 's')
           WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
             AND NOT EXISTS (SELECT FROM pg_init_privs p
                              WHERE p.classoid = d.classid AND p.objoid = c.oid AND p.objsubid <> 0)
          UNION ALL
          SELECT CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, oid::regprocedure::text, proowner, proacl, acldefault('f', proowner)
            FROM pg_proc WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid
          UNION ALL
          SELECT 'TYPE', oid::regtype::text, typowner, typacl, acldefault('T', typowner)
            FROM pg_type WHERE d.classid = 'pg_type'::regclass AND oid = d.objid
          UNION ALL
          SELECT 'SCHEMA', format('%I', nspname), nspowner, nspacl, acldefault('n', nspowner)
            FROM pg_namespace WHERE d.classid = 'pg_namespace'::regclass AND oid = d.objid
          UNION ALL
          SELECT 'LANGUAGE', format('%I', lanname), lanowner, lanacl, acldefault('l', lanowner)
            FROM pg_language WHERE d.classid = 'pg_language'::regclass AND oid = d.objid
          UNION ALL
          SELECT 'FOREIGN DATA WRAPPER', format('%I', fdwname), fdwowner, fdwacl, acldefault('F', fdwowner)
            FROM pg_foreign_data_wrapper WHERE d.classid = 'pg_foreign_data_wrapper'::regclass AND oid = d.objid
        ) m
        LEFT JOIN pg_init_privs i ON i.classoid = d.classid AND i.objoid = d.objid AND i.objsubid = 0
       WHERE e.extname::text = ANY ({extensions})),
    differing AS (
      SELECT row_number() OVER () AS number, format('%s %s', kind, name) AS object,
             coalesce(acl, initial) AS acl, coalesce(first, initial) AS first
        FROM object
       WHERE ARRAY(SELECT x::text FROM unnest(coalesce(acl, initial)) x ORDER BY 1)
          <> ARRAY(SELECT x::text FROM unnest(coalesce(first, initial)) x ORDER BY 1))
    SELECT s.text FROM (
      SELECT DISTINCT number, 1 AS step, format('REVOKE ALL ON %s FROM %s CASCADE', object,
             CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) AS text
        FROM differing CROSS JOIN LATERAL aclexplode(acl) a
      UNION ALL
      SELECT number, 2, format('GRANT %s ON %s TO %s%s', a.privilege_type, object,
             CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
             CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM differing CROSS JOIN LATERAL aclexplode(first) a) s
     ORDER BY s.number, s.step, s.text"#;

/// The text that gives them their first privileges back, and takes comments away that the backup does
/// not have; for a transaction, on a server of this major. A part of a database may say nothing of the
/// schema `public`, which then stays as it is.
pub(crate) fn reset(toc: &Toc, major: u32, brings_public: bool) -> String {
    let privileges = privileges(toc, major, (&toc.entries, brings_public));
    format!("{privileges}{}", comments(toc, brings_public))
}

/// The same for the privileges of the schema `public` alone, which stays where all else is new.
pub(crate) fn reset_public(toc: &Toc, major: u32) -> String {
    privileges(toc, major, (&[], true))
}

fn privileges(toc: &Toc, major: u32, (kept, brings_public): (&[Entry], bool)) -> String {
    let names = |kind: &str| {
        let entries = kept.iter().filter(|it| it.kind == kind);
        let names: Vec<String> = entries.map(|it| literal(&it.tag)).collect();
        format!("ARRAY[{}]::text[]", names.join(", "))
    };
    let opened = major < CLOSED_PUBLIC && toc.dump_major() < Some(CLOSED_PUBLIC);
    let public = if opened { "=UC" } else { "=U" };
    let statements = STATEMENTS
        .replace("{public}", public)
        .replace("{brought}", if brings_public { "true" } else { "false" })
        .replace("{schemas}", &names("SCHEMA"))
        .replace("{languages}", &names("PROCEDURAL LANGUAGE"))
        .replace("{extensions}", &names("EXTENSION"));
    let body = format!(
        "
DECLARE
  statement text;
BEGIN
  FOR statement IN {statements}
  LOOP
    BEGIN
      EXECUTE statement;
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'what was there keeps privileges that the backup may not have: %', SQLERRM;
    END;
  END LOOP;
END
"
    );
    format!("DO {};\n", dollar_quoted(&body))
}

/// A backup says nothing of an object that has no comment, and since PostgreSQL 15 not that `public`
/// has the one that it is made with.
fn comments(toc: &Toc, brings_public: bool) -> String {
    let said: BTreeSet<(String, String)> = toc
        .entries
        .iter()
        .filter(|it| it.kind == "COMMENT")
        .filter_map(|it| {
            let mut words = words(&it.definition).skip(2);
            Some((words.next()?.name(), words.next()?.name()))
        })
        .collect();
    let said = |kind: &str, name: &str| said.contains(&(kind.to_owned(), name.to_owned()));
    let mut wanted: Vec<(&str, &str, String)> = toc
        .entries
        .iter()
        .filter(|it| it.kind == "SCHEMA" || it.kind == "EXTENSION")
        .filter(|it| it.tag != "public" && !said(&it.kind, &it.tag))
        .map(|it| (it.kind.as_str(), it.tag.as_str(), "NULL".to_owned()))
        .collect();
    if brings_public && toc.dump_major() >= Some(CLOSED_PUBLIC) && !said("SCHEMA", "public") {
        wanted.push(("SCHEMA", "public", literal(COMMENT)));
    }
    let statements: Vec<Statement> = wanted
        .into_iter()
        .map(|(kind, name, comment)| {
            let sql = format!("COMMENT ON {kind} {} IS {comment}", quote(name));
            Statement::new(sql, Tolerance::Missing)
        })
        .collect();
    tolerant::within_transaction(&statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_that_the_backup_does_not_have_goes() {
        let entry = |kind: &str, tag: &str, definition: &str| Entry {
            kind: kind.to_owned(),
            tag: tag.to_owned(),
            definition: definition.to_owned(),
            ..Entry::default()
        };
        let toc = Toc {
            database: String::new(),
            server_version: String::new(),
            dump_version: "15.1".to_owned(),
            entries: vec![
                entry("SCHEMA", "a b", "CREATE SCHEMA \"a b\";\n"),
                entry("SCHEMA", "c", "CREATE SCHEMA c;\n"),
                entry(
                    "COMMENT",
                    "SCHEMA \"a b\"",
                    "COMMENT ON SCHEMA \"a b\" IS 'x';\n",
                ),
            ],
            ..Toc::default()
        };
        let text = comments(&toc, true);
        assert!(!text.contains("a b"), "{text}");
        assert!(text.contains("COMMENT ON SCHEMA \"c\" IS NULL"), "{text}");
        assert!(text.contains("''standard public schema''"), "{text}");
        let text = comments(&toc, false);
        assert!(!text.contains("public"), "{text}");
    }
}
