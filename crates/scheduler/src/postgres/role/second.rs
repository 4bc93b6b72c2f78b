//! A role's second login: who logs in with it acts as the role from the first statement on, and what it makes is the
//! role's. So a password may become another one while the one before still lets in.
//!
//! PostgreSQL keeps one password for a role. PostgreSQL manual, ALTER ROLE (`SET role`) and 22.3.

use backuper::text::sql::{literal, quote};
use tokio_postgres::Client;

use super::{Claim, Evidence, claim, found};
use crate::postgres::failure::Error;
use crate::postgres::membership::administrator;
use crate::postgres::owner::Owner;
use crate::postgres::statement::{Statement, ask, execute_together};

const SUFFIX: &str = "__2";
/// PostgreSQL's NAMEDATALEN, less the byte at its end.
const LONGEST: usize = 63;

/// The name of a role's second login; none where PostgreSQL would cut it.
#[must_use]
pub fn name(role: &str) -> Option<String> {
    let name = format!("{role}{SUFFIX}");
    (name.len() <= LONGEST).then_some(name)
}

/// Makes a login act as the role; nothing where it does.
///
/// # Errors
/// What the server said.
pub async fn join(client: &Client, login: &str, role: &str) -> Result<(), Error> {
    let us = administrator(client).await?;
    let (options, are_given) = if us.version >= 160_000 {
        (
            " WITH INHERIT TRUE, SET TRUE",
            "AND m.inherit_option AND m.set_option",
        )
    } else {
        ("", "")
    };
    let sql = format!(
        "SELECT r.rolinherit, coalesce('role=' || $2::text = ANY(r.rolconfig), false),
                EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.roleid
                         WHERE m.member = r.oid AND o.rolname = $2::text {are_given})
           FROM pg_roles r WHERE r.rolname = $1::text"
    );
    let doing = format!("reading role {login}");
    let rows = ask(client, &doing, &sql, &[&login, &role]).await?;
    let (inherits, acts, is_member) = rows.first().map_or((false, false, false), |it| {
        (it.get(0), it.get(1), it.get(2))
    });
    let (of, to) = (quote(role), quote(login));
    let all = [
        // CONNECT is asked for before a login becomes the role.
        (inherits, format!("ALTER ROLE {to} INHERIT")),
        (is_member, format!("GRANT {of} TO {to}{options}")),
        (
            acts,
            format!("ALTER ROLE {to} SET role = {}", literal(role)),
        ),
    ];
    let missing = all.into_iter().filter(|it| !it.0);
    let missing: Vec<Statement> = missing.map(|it| Statement::new(it.1)).collect();
    execute_together(client, &missing).await
}

/// Whether a login is a member of the role already.
///
/// # Errors
/// What the server said.
pub async fn is_joined(client: &Client, login: &str, role: &str) -> Result<bool, Error> {
    let sql = "SELECT FROM pg_auth_members m JOIN pg_roles l ON l.oid = m.member JOIN pg_roles o ON o.oid = m.roleid
                WHERE l.rolname = $1::text AND o.rolname = $2::text";
    let doing = format!("reading role {login}");
    Ok(!ask(client, &doing, sql, &[&login, &role]).await?.is_empty())
}

/// Takes the password from a login, if it is this object's: nobody logs in with it any more, and its sessions stay.
///
/// # Errors
/// What the server said.
pub async fn shut(client: &Client, login: &str, owner: &Owner) -> Result<(), Error> {
    let found = found(client, login).await?;
    if claim(login, found.as_ref(), owner, Evidence::None) != Claim::Ours {
        return Ok(());
    }
    let sql = format!("ALTER ROLE {} PASSWORD NULL", quote(login));
    execute_together(client, &[Statement::new(sql)]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_postgresql_would_cut_is_none() {
        assert_eq!(name("app").as_deref(), Some("app__2"));
        assert_eq!(
            name(&"a".repeat(60)),
            Some(format!("{}__2", "a".repeat(60)))
        );
        assert_eq!(name(&"a".repeat(61)), None);
    }
}
