//! Roles that log in: whose they are, and what makes them what an object wants.
//!
//! A role is created with nothing but LOGIN, and with NOINHERIT as upstream does it: users get their
//! privileges directly (see [`super::privileges`]) and no memberships from us, so nothing needs INHERIT,
//! and a membership that somebody else gives stays something that the user has to ask for. Attributes that
//! exist already and that no object names (CREATEDB, REPLICATION, …) are neither read back nor written:
//! naming them alone is an error for who may not give them.

pub mod marker;
pub mod removal;
pub mod second;

use std::time::Duration;

use backuper::text::sql::{literal, quote};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;

use super::failure::Error;
use super::membership::is_reserved;
use super::owner::Owner;
use super::statement::{Statement, ask};

const TIMEOUT: &str = "idle_in_transaction_session_timeout";

/// A role as the server has it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column of pg_roles, independent of the others"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its OID: 10 is who made the cluster.
    pub oid: u32,
    /// Whether it may log in.
    pub login: bool,
    /// Whether it may do everything.
    pub superuser: bool,
    /// Whether it may create roles, replicate or pass row security, or is a member of a role of the system.
    pub elevated: bool,
    /// Whether it is the session's own role, or one that the session's role is a member of by others' will.
    pub is_ours: bool,
    /// -1 for no limit.
    pub connection_limit: i32,
    /// Its setting `idle_in_transaction_session_timeout`, as it was written.
    pub idle_in_transaction: Option<String>,
    /// Its comment, where the marker is.
    pub comment: Option<String>,
}

/// What an object asks of its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many sessions it may have: -1 and 0 for no limit.
    pub connection_limit: i32,
    /// When a session that does nothing in a transaction ends.
    pub idle_in_transaction: Option<Duration>,
}

/// What speaks for an object that finds a role without its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing.
    None,
    /// The Secret that this very object (its UID) owns logs in as the role.
    Secret,
    /// An administrator's annotation.
    Annotation,
}

/// What may be done with a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// There is none: it is created.
    Create,
    /// It carries our marker.
    Ours,
    /// It becomes ours: the marker is written before anything else is.
    Adopt,
    /// It is not ours, and why, in one sentence that says what to do.
    Refused(String),
}

/// Whether a role is the object's, may become so, or is somebody else's.
#[must_use]
pub fn claim(name: &str, found: Option<&Found>, owner: &Owner, evidence: Evidence) -> Claim {
    if is_reserved(name) {
        return refused(name, "belongs to PostgreSQL or to the server's provider");
    }
    let Some(found) = found else {
        return Claim::Create;
    };
    if found.is_ours {
        return refused(name, "is the one that administers the server");
    }
    if found.superuser || found.oid < 16_384 {
        return refused(name, "is a superuser or a role of the system");
    }
    let marked = found.comment.as_deref().and_then(Owner::parse);
    if marked.as_ref() == Some(owner) {
        return Claim::Ours;
    }
    if evidence != Evidence::None && !found.login && marked.is_none() {
        return refused(name, "is a group, which cannot log in");
    }
    match (evidence, &marked) {
        (Evidence::Annotation, _) if found.elevated => refused(
            name,
            "may create roles, replicate, pass row security or act as a role of the system",
        ),
        (Evidence::Annotation, _) | (Evidence::Secret, None) => Claim::Adopt,
        // The object was deleted with its role kept, and made again.
        (Evidence::Secret, Some(other)) if other.is_same_object_again(owner) => Claim::Adopt,
        (_, Some(other)) => Claim::Refused(format!(
            "role {name} belongs to {other}, and not to {owner}: choose another username, or take it over with the annotation dbtether.io/force-adopt"
        )),
        (Evidence::None, None) => Claim::Refused(format!(
            "role {name} exists already and was not made for {owner}: choose another username, or take it over with the annotation dbtether.io/force-adopt"
        )),
    }
}

fn refused(name: &str, what: &str) -> Claim {
    Claim::Refused(format!(
        "role {name} {what}, so no object may have it: choose another username"
    ))
}

/// Reads a role; none where there is no such.
///
/// # Errors
/// What the server said.
pub async fn found(client: &Client, name: &str) -> Result<Option<Found>, Error> {
    let sql = "WITH RECURSIVE above (oid) AS (
                   SELECT m.roleid FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = $1::text
                   UNION SELECT m.roleid FROM above, LATERAL (
                       SELECT roleid FROM pg_auth_members WHERE member = above.oid OFFSET 0) m)
               SELECT r.oid, r.rolcanlogin, r.rolsuper,
                r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls
                  OR EXISTS (SELECT FROM above JOIN pg_roles p ON p.oid = above.oid
                              WHERE (p.rolsuper OR p.rolcreaterole OR (p.oid < 16384 AND p.rolname <> 'pg_database_owner')
                                  OR p.rolname ~ '^(rds|cloudsql|alloydb|azure)')),
                r.rolname IN (current_user, session_user)
                  OR pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = current_user), 'MEMBER'),
                r.rolconnlimit,
                (SELECT split_part(c, '=', 2) FROM unnest(r.rolconfig) c
                  WHERE c LIKE 'idle\\_in\\_transaction\\_session\\_timeout=%' LIMIT 1),
                shobj_description(r.oid, 'pg_authid')
           FROM pg_roles r WHERE r.rolname = $1::text";
    let rows = ask(client, &format!("reading role {name}"), sql, &[&name]).await?;
    Ok(rows.first().map(|row| Found {
        name: name.to_owned(),
        oid: row.get(0),
        login: row.get(1),
        superuser: row.get(2),
        elevated: row.get(3),
        is_ours: row.get(4),
        connection_limit: row.get(5),
        idle_in_transaction: row.get(6),
        comment: row.get(7),
    }))
}

/// Makes a role that logs in with a password, and marks it: together or not at all.
#[must_use]
pub fn create(name: &str, password: &SecretString, owner: &Owner) -> Vec<Statement> {
    let role = quote(name);
    let with = |password: &str| format!("CREATE ROLE {role} LOGIN NOINHERIT PASSWORD {password}");
    vec![
        Statement::secret(with(&literal(password.expose_secret())), with("'…'")),
        mark(name, None, owner),
    ]
}

/// Makes a role that cannot log in, such as the one that objects of users who go belong to.
#[must_use]
pub fn create_group(name: &str, owner: &Owner) -> Vec<Statement> {
    vec![
        Statement::new(format!("CREATE ROLE {} NOLOGIN", quote(name))),
        mark(name, None, owner),
    ]
}

/// Marks a role as an object's. What else its comment says stays.
#[must_use]
pub fn mark(name: &str, comment: Option<&str>, owner: &Owner) -> Statement {
    let text = literal(&owner.beside(comment));
    Statement::new(format!("COMMENT ON ROLE {} IS {text}", quote(name)))
}

/// Takes the marker from a role that stays when its object goes. What else its comment says stays.
#[must_use]
pub fn unmark(name: &str, comment: Option<&str>) -> Statement {
    let rest = marker::without(comment).map_or_else(|| "NULL".to_owned(), |it| literal(&it));
    Statement::new(format!("COMMENT ON ROLE {} IS {rest}", quote(name)))
}

/// Gives a role another password, as [`super::scram::encode`] has it.
#[must_use]
pub fn change_password(name: &str, password: &SecretString) -> Statement {
    let role = quote(name);
    let with = |password: &str| format!("ALTER ROLE {role} PASSWORD {password}");
    Statement::secret(with(&literal(password.expose_secret())), with("'…'"))
}

/// What makes a role's settings those that are wanted; nothing where they are. A role that is not there
/// yet has none.
#[must_use]
pub fn settings(name: &str, found: Option<&Found>, wanted: &Settings) -> Vec<Statement> {
    let role = quote(name);
    let mut statements = Vec::new();
    if found.is_some_and(|it| !it.login) {
        statements.push(Statement::new(format!("ALTER ROLE {role} LOGIN")));
    }
    let limit = match wanted.connection_limit {
        0 => -1,
        other => other,
    };
    if found.map_or(-1, |it| it.connection_limit) != limit {
        let sql = format!("ALTER ROLE {role} CONNECTION LIMIT {limit}");
        statements.push(Statement::new(sql));
    }
    let has = found.and_then(|it| it.idle_in_transaction.as_deref());
    match wanted.idle_in_transaction.map(|it| it.as_millis()) {
        Some(wanted) if has.and_then(milliseconds) != Some(wanted) => {
            let sql = format!("ALTER ROLE {role} SET {TIMEOUT} = '{wanted}ms'");
            statements.push(Statement::new(sql));
        }
        None if has.is_some() => {
            statements.push(Statement::new(format!("ALTER ROLE {role} RESET {TIMEOUT}")));
        }
        _ => {}
    }
    statements
}

/// A time as PostgreSQL's settings have it, with milliseconds for the unit that is left out.
/// PostgreSQL manual, 20.1.1.
fn milliseconds(text: &str) -> Option<u128> {
    let text = text.trim();
    let end = text.find(|it: char| !it.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u128>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::marker::tests::owner;
    use super::*;

    fn role() -> Found {
        Found {
            name: "app".to_owned(),
            oid: 20_000,
            login: true,
            connection_limit: -1,
            ..Found::default()
        }
    }

    fn claimed(found: &Found, evidence: Evidence) -> Claim {
        claim("app", Some(found), &owner(), evidence)
    }

    #[track_caller]
    fn assert_refused(claim: &Claim, because: &str) {
        let Claim::Refused(sentence) = claim else {
            panic!("{claim:?}");
        };
        assert!(sentence.contains(because), "{sentence}");
        assert!(sentence.contains("choose another username"), "{sentence}");
    }

    #[test]
    fn w1_a_role_without_our_marker_needs_evidence() {
        assert_refused(&claimed(&role(), Evidence::None), "exists already");
        assert_eq!(claimed(&role(), Evidence::Secret), Claim::Adopt);
        assert_eq!(claimed(&role(), Evidence::Annotation), Claim::Adopt);
        assert_eq!(claim("app", None, &owner(), Evidence::None), Claim::Create);
        let ours = Found {
            comment: Some(owner().role_marker()),
            ..role()
        };
        assert_eq!(claimed(&ours, Evidence::None), Claim::Ours);
    }

    #[test]
    fn w1_another_objects_role_is_refused_and_so_is_a_namesakes_and_another_clusters() {
        let marked = |change: fn(&mut Owner)| {
            let mut other = owner();
            change(&mut other);
            Found {
                comment: Some(other.role_marker()),
                ..role()
            }
        };
        let again = marked(|it| it.uid = "another".to_owned());
        assert_refused(&claimed(&again, Evidence::None), "belongs to team/app");
        assert_eq!(claimed(&again, Evidence::Secret), Claim::Adopt);
        for other in [
            marked(|it| it.namespace = "rivals".to_owned()),
            marked(|it| it.cluster = "elsewhere".to_owned()),
        ] {
            assert_refused(&claimed(&other, Evidence::Secret), "belongs to");
            assert_eq!(claimed(&other, Evidence::Annotation), Claim::Adopt);
        }
    }

    #[test]
    fn w1_no_evidence_gives_a_superuser_the_administrator_or_a_role_of_the_system() {
        let comment = Some(owner().role_marker());
        for found in [
            Found {
                superuser: true,
                comment: comment.clone(),
                ..role()
            },
            Found {
                is_ours: true,
                comment: comment.clone(),
                ..role()
            },
            Found {
                oid: 10,
                comment,
                ..role()
            },
        ] {
            for evidence in [Evidence::None, Evidence::Secret, Evidence::Annotation] {
                assert_refused(&claimed(&found, evidence), "so no object may have it");
            }
        }
        let elevated = Found {
            elevated: true,
            ..role()
        };
        assert_refused(&claimed(&elevated, Evidence::Annotation), "create roles");
        assert_eq!(claimed(&elevated, Evidence::Secret), Claim::Adopt);
        for name in ["pg_x", "rds_superuser", "postgres"] {
            assert_refused(
                &claim(name, None, &owner(), Evidence::Annotation),
                "provider",
            );
        }
    }

    #[test]
    fn settings_are_written_on_a_difference_only() {
        let wanted = |limit, idle: Option<u64>| Settings {
            connection_limit: limit,
            idle_in_transaction: idle.map(Duration::from_millis),
        };
        let sql = |found: Option<&Found>, wanted: &Settings| -> Vec<String> {
            let statements = settings("app", found, wanted);
            statements.iter().map(|it| it.sql().to_owned()).collect()
        };
        let has = Found {
            connection_limit: 5,
            idle_in_transaction: Some("5s".to_owned()),
            ..role()
        };
        assert!(sql(Some(&has), &wanted(5, Some(5000))).is_empty());
        assert!(sql(None, &wanted(0, None)).is_empty());
        assert!(sql(Some(&role()), &wanted(-1, None)).is_empty());
        let locked = Found {
            login: false,
            ..role()
        };
        assert_eq!(
            sql(Some(&locked), &wanted(-1, None)),
            [r#"ALTER ROLE "app" LOGIN"#]
        );
        assert_eq!(
            sql(Some(&has), &wanted(0, None)),
            [
                r#"ALTER ROLE "app" CONNECTION LIMIT -1"#,
                r#"ALTER ROLE "app" RESET idle_in_transaction_session_timeout"#
            ]
        );
        assert_eq!(
            sql(None, &wanted(3, Some(90_000))),
            [
                r#"ALTER ROLE "app" CONNECTION LIMIT 3"#,
                r#"ALTER ROLE "app" SET idle_in_transaction_session_timeout = '90000ms'"#
            ]
        );
    }

    #[test]
    fn w10_a_statement_with_a_password_is_not_shown() {
        let password = SecretString::from("p'w");
        let statements = create("app", &password, &owner());
        assert_eq!(
            statements[0].sql(),
            r#"CREATE ROLE "app" LOGIN NOINHERIT PASSWORD 'p''w'"#
        );
        assert!(!format!("{statements:?}").contains("p'"), "{statements:?}");
        let changed = change_password("app", &password);
        assert_eq!(changed.to_string(), r#"ALTER ROLE "app" PASSWORD '…'"#);
    }
}
