//! A server and the role that administers it: what it is and may do, and one after the other on it.

use std::time::Duration;

use backuper::postgres::{Error, Kind, Session, Target};
use tokio_postgres::Client;

/// How a session of the administration appears in `pg_stat_activity`.
pub const APPLICATION: &str = "postgres-adapter operator";

/// What no statement of the administration needs, not even a template that is copied.
const STATEMENT: Duration = Duration::from_secs(300);
/// How long it waits for another administration's turn, or for an object that an application has locked.
const WAITING: Duration = Duration::from_secs(15);

/// The key of the advisory lock that makes two administrations of a server take turns: an operator
/// whose last statement is still under way, or a second cluster's.
const TURNS: i64 = 0x6462_7465_7468_6572;

/// What a server is, and what the role that administers it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `server_version_num`: 150004 of 15.4.
    pub version_num: i32,
    /// The whole text of `version()`.
    pub version: String,
    /// Given by `initdb`, and the same on a physical copy; none: the server does not tell it.
    pub system_identifier: Option<String>,
    /// The administering role.
    pub role: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether it may create databases.
    pub createdb: bool,
    /// Whether it may create roles.
    pub createrole: bool,
    /// Whether the server is a standby, where nothing can be written.
    pub in_recovery: bool,
    /// Whether it keeps passwords as MD5 hashes: `password_encryption`.
    pub md5: bool,
    /// The role of its provider that it is a member of: `rds_superuser`, `cloudsqlsuperuser`, ….
    pub provider: Option<String>,
}

impl Facts {
    /// The server's major version: 15 of 15.4.
    #[must_use]
    pub fn major(&self) -> i32 {
        self.version_num / 10_000
    }

    /// What the role lacks, as a sentence that says what helps.
    #[must_use]
    pub fn lacking(&self) -> Option<String> {
        if self.in_recovery {
            return Some(
                "the server is a standby, which can only be read: name its primary".to_owned(),
            );
        }
        if self.superuser {
            return None;
        }
        let missing: Vec<&str> = [(self.createdb, "CREATEDB"), (self.createrole, "CREATEROLE")]
            .into_iter()
            .filter_map(|(has, name)| (!has).then_some(name))
            .collect();
        (!missing.is_empty()).then(|| {
            format!(
                "role {role} lacks {missing}: ALTER ROLE {quoted} {missing}",
                role = self.role,
                missing = missing.join(" "),
                quoted = backuper::text::sql::quote(&self.role),
            )
        })
    }
}

const FACTS: &str = "
    SELECT current_setting('server_version_num')::int, version(),
           rolname::text, rolsuper, rolcreatedb, rolcreaterole, pg_is_in_recovery(),
           current_setting('password_encryption') IN ('md5', 'on'),
           (SELECT p.rolname::text FROM pg_roles p
             WHERE p.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin')
               AND pg_has_role(r.oid, p.oid, 'MEMBER') ORDER BY 1 LIMIT 1)
      FROM pg_roles r WHERE rolname = current_user";

/// Enters a server, by a session that has its server process to itself: whoever takes turns by a lock must not
/// share one. Statements are bounded in time.
///
/// # Errors
/// What the server, the network or TLS said; [`Kind::Unsupported`] where a pooler stands before it that shares them.
pub async fn enter(target: &Target) -> Result<Session, Error> {
    let entrance = target.enter(APPLICATION).await?;
    bounded(entrance.session, target).await
}

/// One session more, in another database of a server that was entered.
///
/// # Errors
/// As [`enter`].
pub async fn connect(target: &Target) -> Result<Session, Error> {
    bounded(target.connect(APPLICATION).await?, target).await
}

async fn bounded(session: Session, target: &Target) -> Result<Session, Error> {
    let bounds = format!(
        "SET statement_timeout = {}; SET lock_timeout = {}",
        STATEMENT.as_millis(),
        WAITING.as_millis()
    );
    execute(&session, target, "setting up a session in", &bounds).await?;
    Ok(session)
}

/// What the server is.
///
/// # Errors
/// What the server said.
pub async fn facts(client: &Client, target: &Target) -> Result<Facts, Error> {
    let row = client.query_one(FACTS, &[]).await;
    let row = row.map_err(|error| Error::new("examining", target, &error))?;
    let identifier = "SELECT system_identifier::text FROM pg_control_system()";
    // Some services do not let their users call it.
    let identifier = client.query_one(identifier, &[]).await.ok();
    Ok(Facts {
        version_num: row.get(0),
        version: row.get(1),
        system_identifier: identifier.map(|it| it.get(0)),
        role: row.get(2),
        superuser: row.get(3),
        createdb: row.get(4),
        createrole: row.get(5),
        in_recovery: row.get(6),
        md5: row.get(7),
        provider: row.get(8),
    })
}

/// Waits for this administration's turn on the server; it lasts until [`end_turn`] or the session's end.
///
/// # Errors
/// [`Kind::Busy`] when another one holds it.
pub async fn begin_turn(client: &Client, target: &Target) -> Result<(), Error> {
    let sql = format!("SELECT pg_advisory_lock({TURNS})");
    let begun = execute(
        client,
        target,
        "waiting for another operator's statements in",
        &sql,
    );
    begun.await
}

/// Ends this administration's turn.
///
/// # Errors
/// What the server said; the session is of no use then.
pub async fn end_turn(client: &Client, target: &Target) -> Result<(), Error> {
    let sql = format!("SELECT pg_advisory_unlock({TURNS})");
    execute(client, target, "ending a turn in", &sql).await
}

/// Executes statements.
///
/// # Errors
/// What the server said.
pub async fn execute(
    client: &Client,
    target: &Target,
    action: &'static str,
    sql: &str,
) -> Result<(), Error> {
    let done = client.batch_execute(sql).await;
    done.map_err(|error| Error::new(action, target, &error))
}

/// Whether a failure passes by itself: the network, a lock, a server that starts.
#[must_use]
pub fn is_transient(error: &Error) -> bool {
    matches!(error.kind, Kind::Unavailable | Kind::Busy)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn facts() -> Facts {
        Facts {
            version_num: 170_002,
            version: "PostgreSQL 17.2".to_owned(),
            system_identifier: Some("7".to_owned()),
            role: "admin".to_owned(),
            superuser: false,
            createdb: true,
            createrole: true,
            in_recovery: false,
            md5: false,
            provider: None,
        }
    }

    #[test]
    fn what_a_role_lacks_is_said_with_what_helps() {
        assert_eq!(facts().lacking(), None);
        let less = Facts {
            createrole: false,
            ..facts()
        };
        let lacking = less.lacking().unwrap_or_default();
        assert_eq!(
            lacking,
            "role admin lacks CREATEROLE: ALTER ROLE \"admin\" CREATEROLE"
        );
        let standby = Facts {
            in_recovery: true,
            ..facts()
        };
        assert!(standby.lacking().is_some_and(|it| it.contains("standby")));
    }
}
