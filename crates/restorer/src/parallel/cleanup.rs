//! A load that failed removes what it made: the target was empty, so all that the backup knows and is
//! there now is ours. The mark goes last, and only when nothing is left.

use std::time::Duration;

use backuper::postgres::{self, Target};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::archive::toc::{Entry, Toc};
use crate::target::deadline::until;
use crate::target::{mark, preflight, subscription};

/// How long it may last: with the children's grace a stopped run ends well within its 30 seconds.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// Statements that go to the server at once.
const TOGETHER: usize = 50;

/// Large objects that go at once: each takes a lock until its transaction ends.
const UNLINK: &str = "SELECT count(lo_unlink(oid)) FROM
    (SELECT oid FROM pg_largeobject_metadata LIMIT 1000) AS objects";

/// Removes all of it, or leaves the mark.
pub(super) async fn remove(session: &Client, target: &Target, toc: &Toc) {
    let deadline = Instant::now() + CLEAN_UP;
    let removed = until(deadline, target, session, all(session, toc)).await;
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
async fn all(session: &Client, toc: &Toc) -> Result<bool, Error> {
    let mut pending: Vec<String> = toc.dropped().flat_map(statements).collect();
    loop {
        let still = dropped(session, &pending).await?;
        if still.is_empty() || still.len() == pending.len() {
            break;
        }
        // What was needed by others may go after them.
        pending = still;
    }
    while session.query_one(UNLINK, &[]).await?.get::<_, i64>(0) > 0 {}
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
