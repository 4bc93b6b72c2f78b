//! Whom the administering role may act for, and how it gets there.
//!
//! Who is no superuser alters what belongs to a role only as a member of it, with its privileges
//! (INHERIT) and, to give things away to it, with SET. From 16 on whoever creates a role gets ADMIN on
//! it and neither of the two; up to 15 CREATEROLE reaches every role that is no superuser.

use backuper::text::sql::quote;
use tokio_postgres::Client;

use super::failure::Error;
use super::statement::Statement;

/// How the names of roles begin that PostgreSQL or a cloud's provider keeps for itself.
pub const RESERVED: [&str; 5] = ["pg_", "rds", "cloudsql", "alloydb", "azure"];

/// The role of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// Its name.
    pub name: String,
    /// `server_version_num`: 150004 of 15.4.
    pub version: i32,
    /// Whether it may do everything.
    pub superuser: bool,
}

/// How the administering role acts for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It has the role's privileges and may become it.
    Usable,
    /// It may make itself a member.
    Grantable,
    /// Neither.
    Closed,
}

/// A role, and whether the administering one may act for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whether we may act for it.
    pub reach: Reach,
}

/// Asks who we are.
///
/// # Errors
/// What the server said.
pub async fn administrator(client: &Client) -> Result<Administrator, Error> {
    let row = client.query_one(
        "SELECT rolname::text, current_setting('server_version_num')::int, rolsuper
           FROM pg_roles WHERE rolname = current_user",
        &[],
    );
    let row = row.await;
    let row = row.map_err(|error| Error::new("asking who the session is", &error))?;
    Ok(Administrator {
        name: row.get(0),
        version: row.get(1),
        superuser: row.get(2),
    })
}

impl Administrator {
    /// Makes the administering role a member of another, with its privileges and never with ADMIN, which
    /// nobody may give back to whom he has it from.
    #[must_use]
    pub fn join(&self, role: &str) -> Statement {
        let options = if self.version >= 160_000 {
            " WITH INHERIT TRUE, SET TRUE"
        } else {
            ""
        };
        let role = quote(role);
        Statement::new(format!("GRANT {role} TO CURRENT_USER{options}"))
    }

    /// An SQL expression for the reach of a row `r` of `pg_roles`: `usable`, `grantable` or `closed`.
    /// A role whose members log in without a password (`rds_iam`) would lock us out, so its own members
    /// are left alone.
    pub(crate) fn reach(&self) -> String {
        let set = if self.version >= 160_000 {
            "SET"
        } else {
            "MEMBER"
        };
        let by_attribute = if self.version >= 160_000 {
            "false"
        } else {
            "(NOT r.rolsuper AND (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user))"
        };
        let reserved = RESERVED.join("|");
        format!(
            "CASE WHEN pg_has_role(r.oid, 'USAGE') AND pg_has_role(r.oid, '{set}') THEN 'usable'
                  WHEN r.rolname ~ '^({reserved})' OR r.oid < 16384
                    OR EXISTS (SELECT FROM pg_roles i WHERE i.rolname = 'rds_iam' AND pg_has_role(r.oid, i.oid, 'MEMBER'))
                    OR pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = current_user), 'MEMBER')
                  THEN 'closed'
                  WHEN {by_attribute}
                    OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = r.oid AND m.admin_option
                                  AND pg_has_role(m.member, 'USAGE'))
                  THEN 'grantable'
                  ELSE 'closed' END"
        )
    }
}

impl Reach {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "usable" => Self::Usable,
            "grantable" => Self::Grantable,
            _ => Self::Closed,
        }
    }
}

/// Whether a name is PostgreSQL's or a provider's, so that nobody's object may have it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|it| name.starts_with(it)) || ["public", "none", "postgres"].contains(&name)
        // Roles of databases, which no user may stand in the place of.
        || name.starts_with(super::database::OWNER_ROLES)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn administrator(version: i32) -> Administrator {
        Administrator {
            name: "admin".to_owned(),
            version,
            superuser: false,
        }
    }

    #[test]
    fn a_membership_has_its_options_where_the_server_knows_them() {
        let sql = |version| administrator(version).join("a\"b").sql().to_owned();
        assert_eq!(sql(150_004), r#"GRANT "a""b" TO CURRENT_USER"#);
        assert_eq!(
            sql(160_000),
            r#"GRANT "a""b" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"#
        );
    }

    #[test]
    fn names_of_the_system_are_reserved() {
        for name in [
            "pg_monitor",
            "rdsadmin",
            "cloudsqladmin",
            "alloydbsuperuser",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        assert!(is_reserved("azure_pg_admin") && is_reserved("postgres"));
        assert!(is_reserved("dbtether_owner_16400"));
        assert!(!is_reserved("orders") && !is_reserved("my_rds"));
    }
}
