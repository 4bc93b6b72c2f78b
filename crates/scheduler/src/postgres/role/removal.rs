//! Removing a role: what it owns goes to the database's owner role, never to the administering one, and
//! what it may do is revoked; then it is dropped.
//!
//! The order is the caller's: [`begin`] in any database, [`leave_database`] in each that [`traces`] names,
//! [`finish`] in any. Each begins with the marker, read anew in the same session, and each may be repeated.

use std::fmt;

use backuper::text::sql::{literal, quote};
use tokio_postgres::Client;

use super::{Claim, Evidence, claim, found};
use crate::postgres::failure::{Class, Error};
use crate::postgres::membership::{Administrator, Reach, Role, administrator};
use crate::postgres::owner::Owner;
use crate::postgres::statement::{Statement, ask, execute_together, listed};

/// What depends on a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The database that it is in; none for what all databases share.
    pub database: Option<String>,
    /// How it depends.
    pub how: Dependency,
    /// How many there are.
    pub count: i64,
    /// What they are, where this session can see it.
    pub names: Vec<String>,
}

/// How something depends on a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// The role owns it.
    Owned,
    /// The role has privileges on it, or has given some.
    Privileges,
    /// A policy of row security names it, or something else that PostgreSQL tracks.
    Other,
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, plural) = (self.count, if self.count == 1 { "" } else { "s" });
        match self.how {
            Dependency::Owned => write!(formatter, "it owns {count} object{plural}")?,
            Dependency::Privileges => {
                write!(formatter, "it has privileges on {count} object{plural}")?;
            }
            Dependency::Other => write!(formatter, "{count} object{plural} refer to it")?,
        }
        match &self.database {
            Some(database) => write!(formatter, " in database {database}")?,
            None => formatter.write_str(" that all databases share")?,
        }
        if self.names.is_empty() {
            return Ok(());
        }
        write!(formatter, ": {}", listed(&self.names))
    }
}

/// Everything on the server that depends on a role, in every database; names are those of the session's own
/// database and of what is shared.
///
/// # Errors
/// What the server said.
pub async fn traces(client: &Client, role: &str) -> Result<Vec<Trace>, Error> {
    let sql = "SELECT CASE WHEN s.dbid <> 0 THEN coalesce(d.datname::text, s.dbid::text) END, s.deptype::text, count(*),
                coalesce((array_agg(pg_describe_object(s.classid, s.objid, s.objsubid)
                            ORDER BY s.objid) FILTER (WHERE s.dbid = 0 OR d.datname = current_database()))[1:11], '{}')
           FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
          WHERE s.refclassid = 'pg_authid'::regclass
            AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1::text)
          GROUP BY 1, 2 ORDER BY 1 NULLS FIRST, 2";
    let rows = ask(
        client,
        &format!("asking what depends on {role}"),
        sql,
        &[&role],
    )
    .await?;
    let traces = rows.into_iter().map(|row| Trace {
        database: row.get(0),
        how: match row.get(1) {
            "o" => Dependency::Owned,
            "a" => Dependency::Privileges,
            _ => Dependency::Other,
        },
        count: row.get(2),
        names: row
            .get::<_, Vec<Option<String>>>(3)
            .into_iter()
            .flatten()
            .collect(),
    });
    Ok(traces.collect())
}

/// Ends the role's sessions and lets none begin: nothing new may appear while its things are given away.
///
/// # Errors
/// What the server said, and [`Class::Conflict`] where the role is not this object's.
pub async fn begin(client: &Client, role: &str, owner: &Owner) -> Result<(), Error> {
    if !is_to_go(client, role, owner).await? {
        return Ok(());
    }
    let us = administrator(client).await?;
    let mut statements = joins(client, &us, &[role]).await?;
    let (name, text) = (quote(role), literal(role));
    statements.push(Statement::new(format!("ALTER ROLE {name} NOLOGIN")));
    execute_together(client, &statements).await?;
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {text} AND pid <> pg_backend_pid()"
    );
    execute_together(client, &[Statement::new(end)]).await
}

/// What ran with the rights of a role that has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definers {
    /// Functions, procedures and views that run with their callers' rights from then on.
    pub turned: Vec<String>,
    /// Views that cannot, before PostgreSQL 15: nobody else may use them from then on.
    pub closed: Vec<String>,
}

/// Gives what a role owns in the session's database to the database's owner role, and takes its privileges
/// there: together or not at all. What ran with its rights runs with those of its callers from then on,
/// since its new owner may have more.
///
/// # Errors
/// As [`begin`].
pub async fn leave_database(
    client: &Client,
    role: &str,
    owner: &Owner,
    owner_role: &str,
) -> Result<Definers, Error> {
    if !is_to_go(client, role, owner).await? {
        return Ok(Definers::default());
    }
    refuse_shared(client, role).await?;
    let us = administrator(client).await?;
    let mut statements = joins(client, &us, &[role, owner_role]).await?;
    statements.extend(grants_of_create(client, role, owner_role).await?);
    let (definers, turning) = definers(client, role).await?;
    statements.extend(turning);
    let (role, owner_role) = (quote(role), quote(owner_role));
    statements.push(Statement::new(format!(
        "REASSIGN OWNED BY {role} TO {owner_role}"
    )));
    statements.push(Statement::new(format!("DROP OWNED BY {role}")));
    execute_together(client, &statements).await?;
    Ok(definers)
}

/// `REASSIGN OWNED` gives away whole databases and tablespaces too, from whichever database it is run: PostgreSQL
/// manual, REASSIGN OWNED. No one has asked for these.
async fn refuse_shared(client: &Client, role: &str) -> Result<(), Error> {
    const DOING: &str = "giving away what a role owns";
    let sql = "SELECT 'database ' || quote_ident(datname) FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
                WHERE r.rolname = $1::text
               UNION ALL
               SELECT 'tablespace ' || quote_ident(spcname) FROM pg_tablespace t JOIN pg_roles r ON r.oid = t.spcowner
                WHERE r.rolname = $1::text";
    let rows = ask(client, DOING, sql, &[&role]).await?;
    let owned: Vec<String> = rows.iter().map(|it| it.get(0)).collect();
    if owned.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "role {role} owns {}: give that to another role first",
        listed(&owned)
    );
    Err(Error::because(Class::DependentObjects, DOING, reason))
}

/// Drops the role. That it is not there is success.
///
/// # Errors
/// As [`begin`]; [`Class::DependentObjects`] where something still depends on it, with what that is.
pub async fn finish(client: &Client, role: &str, owner: &Owner) -> Result<(), Error> {
    if !is_to_go(client, role, owner).await? {
        return Ok(());
    }
    let drop = Statement::new(format!("DROP ROLE IF EXISTS {}", quote(role)));
    match execute_together(client, std::slice::from_ref(&drop)).await {
        Err(error) if error.class == Class::DependentObjects => {
            let traces = traces(client, role).await?;
            let traces: Vec<String> = traces.iter().map(Trace::to_string).collect();
            let reason = match traces.len() {
                0 => error.reason,
                _ => traces.join("; "),
            };
            Err(Error { reason, ..error })
        }
        other => other,
    }
}

/// Makes us members of the roles that have sessions in a database, as far as we may be: who drops it ends them, and
/// may end those of a role alone whose privileges he has. PostgreSQL manual, DROP DATABASE.
///
/// # Errors
/// What the server said.
pub async fn join_those_in(client: &Client, database: &str) -> Result<(), Error> {
    const DOING: &str = "asking who is in a database";
    let sql = "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = $1::text AND usename IS NOT NULL";
    let rows = ask(client, DOING, sql, &[&database]).await?;
    let names: Vec<&str> = rows.iter().map(|it| it.get(0)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let us = administrator(client).await?;
    let statements = joins(client, &us, &names).await?;
    execute_together(client, &statements).await
}

/// Whether the role is there and this object's.
async fn is_to_go(client: &Client, role: &str, owner: &Owner) -> Result<bool, Error> {
    let found = found(client, role).await?;
    match claim(role, found.as_ref(), owner, Evidence::None) {
        Claim::Ours => Ok(true),
        Claim::Refused(reason) => Err(Error::because(
            Class::Conflict,
            format!("removing role {role}"),
            reason,
        )),
        Claim::Create | Claim::Adopt => Ok(false),
    }
}

/// What makes us members of these roles, as far as we are not.
async fn joins(
    client: &Client,
    us: &Administrator,
    names: &[&str],
) -> Result<Vec<Statement>, Error> {
    let sql = format!(
        "SELECT r.rolname::text, {} FROM pg_roles r WHERE r.rolname = ANY($1::text[])",
        us.reach()
    );
    let rows = ask(client, "asking whom we may act for", &sql, &[&names]).await?;
    let roles = rows.into_iter().map(|row| Role {
        name: row.get(0),
        reach: Reach::parse(row.get(1)),
    });
    // Where we may not, the statements that need it say so.
    let joined = roles.filter(|it| it.reach == Reach::Grantable);
    Ok(joined.map(|it| us.join(&it.name)).collect())
}

/// A new owner of functions and types must be able to create in their schema, for all but superusers.
async fn grants_of_create(
    client: &Client,
    role: &str,
    owner_role: &str,
) -> Result<Vec<Statement>, Error> {
    let sql = "SELECT n.nspname::text FROM pg_namespace n, pg_roles r, pg_roles o
          WHERE r.rolname = $1::text AND o.rolname = $2::text
            AND NOT has_schema_privilege(o.oid, n.oid, 'CREATE')
            AND pg_has_role(n.nspowner, 'USAGE')
            AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relowner = r.oid
              UNION ALL SELECT FROM pg_proc p WHERE p.pronamespace = n.oid AND p.proowner = r.oid
              UNION ALL SELECT FROM pg_type t WHERE t.typnamespace = n.oid AND t.typowner = r.oid)";
    let rows = ask(
        client,
        "asking for the schemas of a role",
        sql,
        &[&role, &owner_role],
    )
    .await?;
    let to = quote(owner_role);
    let sql = |schema: &str| format!("GRANT USAGE, CREATE ON SCHEMA {} TO {to}", quote(schema));
    Ok(rows
        .iter()
        .map(|it| Statement::new(sql(it.get(0))))
        .collect())
}

/// What runs with the role's rights, and what takes that from it. A materialized view does when it is refreshed, which
/// its new owner, who cannot log in, never does.
async fn definers(client: &Client, role: &str) -> Result<(Definers, Vec<Statement>), Error> {
    let sql = "
        WITH us AS (SELECT oid FROM pg_roles WHERE rolname = $1::text)
        SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), false,
               format('ALTER %s %I.%I(%s) SECURITY INVOKER', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                      n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
          FROM pg_proc p JOIN us ON us.oid = p.proowner JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prosecdef AND p.prokind IN ('f', 'p', 'w')
         UNION ALL
        SELECT format('%I.%I', n.nspname, c.relname), g.closed,
               CASE WHEN g.closed THEN format('REVOKE ALL ON %I.%I FROM %s CASCADE', n.nspname, c.relname, g.grantees)
                    ELSE format('ALTER VIEW %I.%I SET (security_invoker = true)', n.nspname, c.relname) END
          FROM pg_class c JOIN us ON us.oid = c.relowner JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN LATERAL (
               SELECT current_setting('server_version_num')::int4 < 150000,
                      string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')
                 FROM (SELECT c.relacl UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL) l (acl),
                      aclexplode(l.acl) a
                WHERE a.grantee <> c.relowner AND (a.grantee = 0 OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.grantee))) g (closed, grantees)
         WHERE c.relkind = 'v' AND (NOT g.closed OR g.grantees IS NOT NULL)
           AND NOT coalesce((SELECT option_value::boolean FROM pg_options_to_table(c.reloptions)
                              WHERE option_name = 'security_invoker'), false)
         ORDER BY 1";
    const DOING: &str = "asking what runs with the rights of a role";
    let rows = ask(client, DOING, sql, &[&role]).await?;
    let (mut definers, mut statements) = (Definers::default(), Vec::new());
    for row in rows {
        let list = match row.get(1) {
            true => &mut definers.closed,
            false => &mut definers.turned,
        };
        list.push(row.get(0));
        statements.push(Statement::new(row.get::<_, String>(2)));
    }
    Ok((definers, statements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_13_what_depends_on_a_role_is_a_sentence() {
        let mut trace = Trace {
            database: Some("shop".to_owned()),
            how: Dependency::Owned,
            count: 1,
            names: vec!["table public.orders".to_owned()],
        };
        assert_eq!(
            trace.to_string(),
            "it owns 1 object in database shop: table public.orders"
        );
        trace.names.clear();
        (trace.how, trace.count, trace.database) = (Dependency::Privileges, 3, None);
        assert_eq!(
            trace.to_string(),
            "it has privileges on 3 objects that all databases share"
        );
    }
}
