//! Into which databases of a server a user may connect.

use backuper::text::sql::quote;
use tokio_postgres::Client;

use super::{Kind, Problem};
use crate::postgres::failure::Error;
use crate::postgres::membership::{Reach, Role, administrator};
use crate::postgres::statement::{Statement, ask};

/// How many databases a sentence names.
const SHOWN: usize = 3;

/// A database, and who may connect to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: Role,
    /// Whether the user's role has CONNECT itself, from the owner.
    pub granted: bool,
    /// Whether everybody has.
    pub public: bool,
}

/// Who may connect where, as far as it is about one role: of a server with many databases few rows are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The databases that are wanted, and those where the role has CONNECT itself.
    pub databases: Vec<Database>,
    /// The first of the others where everybody may connect.
    pub open: Vec<String>,
}

/// Reads what a plan for a role and these databases needs of all that are no templates. Where the role has something is
/// what depends on it: PostgreSQL manual, system catalogs, `pg_shdepend`.
///
/// # Errors
/// What the server said.
pub async fn found(client: &Client, role: &str, wanted: &[String]) -> Result<Found, Error> {
    const DOING: &str = "reading who may connect";
    let us = administrator(client).await?;
    let sql = format!(
        "WITH us AS (SELECT oid FROM pg_roles WHERE rolname = $1::text),
              near AS (SELECT oid FROM pg_database WHERE datname = ANY($2::text[])
                       UNION SELECT s.objid FROM pg_shdepend s JOIN us ON us.oid = s.refobjid
                        WHERE s.refclassid = 'pg_authid'::regclass AND s.dbid = 0 AND s.classid = 'pg_database'::regclass)
         SELECT d.datname::text, r.rolname::text, {}, g.granted,
                EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                         WHERE a.privilege_type = 'CONNECT' AND a.grantee = 0)
           FROM near JOIN pg_database d ON d.oid = near.oid JOIN pg_roles r ON r.oid = d.datdba,
                LATERAL (SELECT EXISTS (SELECT FROM aclexplode(d.datacl) a
                          WHERE a.privilege_type = 'CONNECT' AND a.grantor = d.datdba
                            AND a.grantee = (SELECT oid FROM us)) AS granted) g
          WHERE NOT d.datistemplate AND d.datallowconn
            AND (g.granted OR d.datname = ANY($2::text[])) ORDER BY d.oid",
        us.reach()
    );
    let rows = ask(client, DOING, &sql, &[&role, &wanted]).await?;
    let database = |row: &tokio_postgres::Row| Database {
        name: row.get(0),
        owner: Role {
            name: row.get(1),
            reach: Reach::parse(row.get(2)),
        },
        granted: row.get(3),
        public: row.get(4),
    };
    let databases = rows.iter().map(database).collect();
    let sql = format!(
        "SELECT d.datname::text FROM pg_database d
          WHERE NOT d.datistemplate AND d.datallowconn AND d.datname <> ALL($1::text[])
            AND EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                         WHERE a.privilege_type = 'CONNECT' AND a.grantee = 0)
          ORDER BY d.oid LIMIT {}",
        SHOWN + 1
    );
    let rows = ask(client, DOING, &sql, &[&wanted]).await?;
    Ok(Found {
        databases,
        open: rows.iter().map(|it| it.get(0)).collect(),
    })
}

/// Gives the role CONNECT to these databases and takes it elsewhere, where it has it itself. Where everybody
/// may connect to others, a problem says so.
#[must_use]
pub fn plan(
    role: &str,
    wanted: &[String],
    found: &Found,
    us: &crate::postgres::membership::Administrator,
) -> (Vec<Statement>, Vec<Problem>) {
    let (mut statements, mut problems) = (Vec::new(), Vec::new());
    for database in &found.databases {
        let (name, is_wanted) = (&database.name, wanted.contains(&database.name));
        if database.granted == is_wanted || database.owner.name == role {
            continue;
        }
        match database.owner.reach {
            Reach::Closed if is_wanted && database.public => continue,
            Reach::Closed => {
                let owner = &database.owner.name;
                problems.push(Problem {
                    // What somebody else lets in is no reason to give nothing elsewhere.
                    kind: if is_wanted {
                        Kind::NotAllowed
                    } else {
                        Kind::Beyond
                    },
                    sentence: format!(
                        "role {} may not say who connects to database {name}, which is role {owner}'s: run GRANT {} TO {}",
                        us.name,
                        quote(owner),
                        quote(&us.name)
                    ),
                });
                continue;
            }
            Reach::Grantable => {
                let join = us.join(&database.owner.name);
                if !statements.contains(&join) {
                    statements.push(join);
                }
            }
            Reach::Usable => {}
        }
        let (name, role) = (quote(name), quote(role));
        statements.push(Statement::new(if is_wanted {
            format!("GRANT CONNECT ON DATABASE {name} TO {role}")
        } else {
            format!("REVOKE CONNECT ON DATABASE {name} FROM {role}")
        }));
    }
    let missing = wanted
        .iter()
        .filter(|it| !found.databases.iter().any(|database| database.name == **it));
    problems.extend(missing.map(|it| Problem {
        kind: Kind::Missing,
        sentence: format!(
            "database {it} does not exist: create it, or take it out of the user's databases"
        ),
    }));
    if !found.open.is_empty() {
        problems.push(Problem {
            kind: Kind::Public,
            sentence: format!(
                "everybody may connect to {}, so role {role} may too: REVOKE CONNECT there FROM PUBLIC",
                some(&found.open)
            ),
        });
    }
    (statements, problems)
}

/// The first of many databases: the sentence stays as it is when there is one more.
fn some(names: &[String]) -> String {
    match names {
        few if few.len() <= SHOWN => few.join(", "),
        many => format!("{} and others", many[..SHOWN].join(", ")),
    }
}
