//! Default privileges of our role in the target. A dump takes for granted that there are none while
//! it is restored: what they add to a new object would stay there beside what the backup says.

use backuper::postgres::{self, Target, identifier::quote};
use backuper::runtime::Failure;
use tokio_postgres::Client;

use crate::toc::Toc;

/// One row for each privilege that another role than ours gets by default.
const DEFAULTS: &str = "
    SELECT n.nspname::text,
           CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' END,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
           a.privilege_type, a.is_grantable
      FROM pg_default_acl d
      LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
      CROSS JOIN LATERAL aclexplode(d.defaclacl) a
      JOIN pg_roles r ON r.oid = d.defaclrole AND r.rolname = current_user
     WHERE d.defaclobjtype IN ('r', 'S', 'f', 'T', 'n') AND a.grantee <> d.defaclrole
     ORDER BY 1, 2, 3, 4";

/// What other roles get of each new object of ours.
#[derive(Debug)]
pub(super) struct Defaults(Vec<Default>);

#[derive(Debug)]
struct Default {
    schema: Option<String>,
    objects: String,
    grantee: String,
    privilege: String,
    grantable: bool,
}

impl Default {
    fn place(&self) -> String {
        let schema = self.schema.as_deref().map(quote);
        schema.map_or_else(String::new, |it| format!("IN SCHEMA {it} "))
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
                })
                .collect(),
        ))
    }

    /// The text that takes them all away.
    pub(super) fn revoked(&self) -> String {
        let each = self.0.iter().map(|it| {
            format!(
                "ALTER DEFAULT PRIVILEGES {}REVOKE {} ON {} FROM {};\n",
                it.place(),
                it.privilege,
                it.objects,
                it.grantee
            )
        });
        each.collect()
    }

    /// The text that gives those back that the backup says nothing about.
    pub(super) fn granted_beside(&self, toc: &Toc) -> String {
        let known = |it: &&Default| {
            toc.entries.iter().any(|entry| {
                entry.kind == "DEFAULT ACL"
                    && entry.namespace == it.schema
                    && entry.tag.ends_with(&it.objects)
            })
        };
        let unknown = self.0.iter().filter(|it| !known(it));
        let each = unknown.map(|it| {
            let option = if it.grantable {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            format!(
                "ALTER DEFAULT PRIVILEGES {}GRANT {} ON {} TO {}{option};\n",
                it.place(),
                it.privilege,
                it.objects,
                it.grantee
            )
        });
        each.collect()
    }
}
