//! A load that failed removes what it made: the target was empty, so all that the backup knows and is
//! there now is ours. The mark goes last, and only when nothing is left.

use backuper::postgres::{self, Target};
use backuper::runtime::Deadline;
use backuper::text::sql::{literal, quote};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::archive::toc::{Entry, Toc};
use crate::target::deadline::until;
use crate::target::{mark, preflight, subscription};

/// Statements that go to the server at once.
const TOGETHER: usize = 50;

/// Large objects that go at once: each takes a lock until its transaction ends.
const UNLINK: &str = "SELECT count(lo_unlink(oid)) FROM
    (SELECT oid FROM pg_largeobject_metadata LIMIT 1000) AS objects";

/// What the schema `public` was like before the load: it was there, and stays.
const PUBLIC: &str = "
    SELECT pg_get_userbyid(nspowner)::text, obj_description(oid, 'pg_namespace'),
           ARRAY(SELECT format('GRANT %s ON SCHEMA public TO %s%s', a.privilege_type,
                               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
                   FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a ORDER BY 1),
           ARRAY(SELECT DISTINCT format('REVOKE ALL ON SCHEMA public FROM %s CASCADE',
                               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
                   FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a ORDER BY 1)
      FROM pg_namespace WHERE nspname = 'public'";

/// See [`PUBLIC`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Public {
    owner: String,
    comment: Option<String>,
    grants: Vec<String>,
    revokes: Vec<String>,
}

impl Public {
    /// As it is now; none where there is none.
    pub(super) async fn of(session: &Client) -> Result<Option<Self>, Error> {
        let row = session.query_opt(PUBLIC, &[]).await?;
        Ok(row.map(|row| Self {
            owner: row.get(0),
            comment: row.get(1),
            grants: row.get(2),
            revokes: row.get(3),
        }))
    }

    /// The statements that lead back to it.
    fn back_from(&self, now: &Self) -> Vec<String> {
        let mut statements = Vec::new();
        if now.owner != self.owner {
            let owner = quote(&self.owner);
            statements.push(format!("ALTER SCHEMA public OWNER TO {owner}"));
        }
        if now.owner != self.owner || now.grants != self.grants {
            statements.extend(now.revokes.iter().chain(&self.grants).cloned());
        }
        if now.comment != self.comment {
            let comment = self.comment.as_deref().map_or("NULL".to_owned(), literal);
            statements.push(format!("COMMENT ON SCHEMA public IS {comment}"));
        }
        statements
    }
}

/// Removes all of it, or leaves the mark.
pub(super) async fn remove(
    session: &Client,
    target: &Target,
    toc: &Toc,
    before: Option<&Public>,
    deadline: Deadline,
) {
    let removed = until(deadline, target, session, all(session, toc, before)).await;
    match removed {
        Some(Ok(true)) => {
            tracing::info!(database = %target, "what this restore had made is removed again");
        }
        Some(Ok(false)) | None => {
            tracing::warn!(database = %target, "a part of what this restore had made is still there; run the restore again, it replaces it");
        }
        Some(Err(error)) => {
            let error = postgres::Error::new("clearing", target, &error);
            tracing::warn!(%error, "a part of what this restore had made is still there; run the restore again, it replaces it");
        }
    }
}

/// Gives whether the database is empty again.
async fn all(session: &Client, toc: &Toc, before: Option<&Public>) -> Result<bool, Error> {
    let made = toc
        .dropped()
        .filter(|it| before.is_none() || !it.is_public());
    let mut pending: Vec<String> = made.flat_map(statements).collect();
    loop {
        let still = dropped(session, &pending).await?;
        if still.is_empty() || still.len() == pending.len() {
            break;
        }
        // What was needed by others may go after them.
        pending = still;
    }
    while session.query_one(UNLINK, &[]).await?.get::<_, i64>(0) > 0 {}
    if let (Some(before), Some(now)) = (before, Public::of(session).await?) {
        for statement in before.back_from(&now) {
            session.batch_execute(&statement).await?;
        }
    }
    unmark(session).await
}

/// Drops what it can; gives what is still needed, or could not go for another reason.
async fn dropped(session: &Client, statements: &[String]) -> Result<Vec<String>, Error> {
    let mut still = Vec::new();
    for together in statements.chunks(TOGETHER) {
        // Sent together they are one transaction. Much of it was never made, and then each counts.
        if session.batch_execute(&together.join(";\n")).await.is_ok() {
            continue;
        }
        for statement in together {
            match session.batch_execute(statement).await {
                Ok(()) => {}
                Err(error) if is_not_there(&error) => {}
                Err(error) if error.as_db_error().is_some() => {
                    tracing::debug!(%error, "not dropped");
                    still.push(statement.clone());
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(still)
}

fn statements(entry: &Entry) -> Vec<String> {
    if entry.kind == "SUBSCRIPTION" {
        return subscription::removal(&entry.tag).into();
    }
    vec![entry.drop.trim().trim_end_matches(';').to_owned()]
}

fn is_not_there(error: &Error) -> bool {
    let gone = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_OBJECT,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
    ];
    error.code().is_some_and(|it| gone.contains(it))
}

/// Removes the mark where nothing else is there.
async fn unmark(session: &Client) -> Result<bool, Error> {
    session
        .batch_execute(&format!("BEGIN; {}", mark::unmark()))
        .await?;
    let occupied: bool = session.query_one(preflight::OBJECTS, &[]).await?.get(0);
    let end = if occupied { "ROLLBACK" } else { "COMMIT" };
    session.batch_execute(end).await?;
    Ok(!occupied)
}
