//! Default privileges of our role in the target. A dump takes for granted that there are none while
//! it is restored: what they add to a new object would stay there beside what the backup says.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::quote;
use tokio_postgres::Client;

use crate::archive::toc::Toc;

/// One row for each privilege that new objects of our role have beside the built-in ones (true) or
/// lack of them (false). An entry for all schemas stands in place of the built-in privileges, one
/// for a single schema comes on top. PostgreSQL manual, 5.7: privileges; `pg_default_acl`.
const DEFAULTS: &str = "
    WITH entry AS (
      SELECT n.nspname::text AS schema, d.defaclobjtype AS kind, d.defaclacl AS acl,
             CASE WHEN d.defaclnamespace = 0 THEN acldefault(
               CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole) END AS builtin
        FROM pg_default_acl d
        JOIN pg_roles r ON r.oid = d.defaclrole AND r.rolname = current_user
        LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
       WHERE d.defaclobjtype IN ('r', 'S', 'f', 'T', 'n', 'L')),
    said AS (
      SELECT schema, kind, a.grantee, a.privilege_type, a.is_grantable
        FROM entry CROSS JOIN LATERAL aclexplode(acl) a),
    builtin AS (
      SELECT schema, kind, a.grantee, a.privilege_type, a.is_grantable
        FROM entry CROSS JOIN LATERAL aclexplode(builtin) a),
    differing AS (
      SELECT *, true AS given FROM (TABLE said EXCEPT TABLE builtin) more
      UNION ALL SELECT *, false FROM (TABLE builtin EXCEPT TABLE said) less)
    SELECT schema,
           CASE kind WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                     WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END,
           CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
           privilege_type, is_grantable, given, current_user::text
      FROM differing ORDER BY 1, 2, 3, 4";

/// How the privileges of each new object of ours differ from the built-in ones.
#[derive(Debug)]
pub(super) struct Defaults(Vec<Default>);

#[derive(Debug)]
struct Default {
    schema: Option<String>,
    objects: String,
    grantee: String,
    privilege: String,
    grantable: bool,
    given: bool,
    /// Ours.
    role: String,
}

impl Default {
    fn statement(&self, grants: bool) -> String {
        let schema = self.schema.as_deref().map(quote);
        let place = schema.map_or_else(String::new, |it| format!("IN SCHEMA {it} "));
        let Self {
            objects,
            grantee,
            privilege,
            ..
        } = self;
        if !grants {
            return format!(
                "ALTER DEFAULT PRIVILEGES {place}REVOKE {privilege} ON {objects} FROM {grantee};\n"
            );
        }
        let option = if self.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        format!(
            "ALTER DEFAULT PRIVILEGES {place}GRANT {privilege} ON {objects} TO {grantee}{option};\n"
        )
    }
}

impl Defaults {
    /// Those that are committed in the target.
    pub(super) async fn of(session: &Client, target: &Target) -> Result<Self, Failure> {
        let rows = session
            .query(DEFAULTS, &[])
            .await
            .map_err(|error| postgres::Error::new("examining", target, &error))?;
        Ok(Self(
            rows.iter()
                .map(|row| Default {
                    schema: row.get(0),
                    objects: row.get(1),
                    grantee: row.get(2),
                    privilege: row.get(3),
                    grantable: row.get(4),
                    given: row.get(5),
                    role: row.get(6),
                })
                .collect(),
        ))
    }

    /// The text that leaves the built-in privileges alone.
    pub(super) fn undone(&self) -> String {
        self.0.iter().map(|it| it.statement(!it.given)).collect()
    }

    /// The text that brings back what the backup says nothing about.
    pub(super) fn redone_beside(&self, toc: &Toc) -> String {
        let known = |it: &&Default| {
            toc.entries.iter().any(|entry| {
                entry.kind == "DEFAULT ACL"
                    && entry.owner == it.role
                    && entry.namespace == it.schema
                    && entry.tag.ends_with(&it.objects)
            })
        };
        let unknown = self.0.iter().filter(|it| !known(it));
        unknown.map(|it| it.statement(it.given)).collect()
    }
}
