//! What the server would say to a statement, tried in a transaction that is rolled back: providers of
//! servers let roles do what only superusers may elsewhere, and nobody lists all locales.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// The schema that tries make their objects in.
pub(super) const SCHEMA: &str = "oiler_preflight";

/// Why the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Our role may not.
    Denied,
    /// The server cannot, and says why.
    Impossible(String),
}

/// Tries each; gives what was refused, in the same order. What fails for reasons of the moment counts
/// as possible: the restore will tell.
///
/// # Errors
/// What the server said to the transaction itself.
pub(super) async fn refusals(
    session: &Client,
    target: &Target,
    tries: &[String],
) -> Result<Vec<Option<Refusal>>, Failure> {
    let failed = |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
    if tries.is_empty() {
        return Ok(Vec::new());
    }
    session
        .batch_execute("BEGIN; SET LOCAL lock_timeout = '10s'")
        .await
        .map_err(failed)?;
    // Event triggers of the target have no say in this. Few roles may set it.
    attempt(session, "SET LOCAL session_replication_role = replica")
        .await
        .map_err(failed)?;
    let schema = format!("CREATE SCHEMA {SCHEMA}; SAVEPOINT begun");
    let mut refusals = vec![None; tries.len()];
    if attempt(session, &schema).await.map_err(failed)?.is_none() {
        for (statement, refusal) in tries.iter().zip(&mut refusals) {
            let answer = attempt(session, statement).await.map_err(failed)?;
            *refusal = answer.and_then(|error| meaning(target, &error));
            // Two that make the same thing must not meet.
            session
                .batch_execute("ROLLBACK TO SAVEPOINT begun")
                .await
                .map_err(failed)?;
        }
    }
    session.batch_execute("ROLLBACK").await.map_err(failed)?;
    Ok(refusals)
}

/// What the server said when it refused; an error only where it says nothing any more.
async fn attempt(
    session: &Client,
    statement: &str,
) -> Result<Option<tokio_postgres::Error>, tokio_postgres::Error> {
    match session
        .batch_execute(&format!("SAVEPOINT one; {statement}"))
        .await
    {
        Ok(()) => Ok(None),
        Err(error) if error.code().is_some() => session
            .batch_execute("ROLLBACK TO SAVEPOINT one")
            .await
            .map(|()| Some(error)),
        Err(error) => Err(error),
    }
}

/// PostgreSQL manual, appendix A: error codes.
fn meaning(target: &Target, error: &tokio_postgres::Error) -> Option<Refusal> {
    let code = error.code()?;
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return Some(Refusal::Denied);
    }
    let impossible = ["0A", "22", "42", "XX"].contains(&&code.code()[..2]);
    impossible.then(|| Refusal::Impossible(postgres::Error::new("trying", target, error).reason))
}
