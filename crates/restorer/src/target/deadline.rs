//! Statements that are waited for until a deadline, and canceled in the server after it.

use std::time::Duration;

use backuper::postgres::Target;
use backuper::runtime::Deadline;
use tokio_postgres::Client;

/// How long asking the server to cancel may take.
const CANCELING: Duration = Duration::from_secs(2);

/// Waits for statements of a session; none where they have not ended in time. What still runs is
/// canceled by the deadline: the server would go on with it, whether anybody waits or not.
pub(crate) async fn until<T>(
    deadline: Deadline,
    target: &Target,
    session: &Client,
    statements: impl Future<Output = T>,
) -> Option<T> {
    if let Some(done) = deadline.earlier(CANCELING).limit(statements).await {
        return Some(done);
    }
    cancel(target, session).await;
    None
}

/// Cancels what a session runs, which nobody waits for any more.
pub(crate) async fn cancel(target: &Target, session: &Client) {
    match tokio::time::timeout(CANCELING, target.cancel(session)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a statement may still run there"),
        Err(_elapsed) => {
            tracing::warn!(database = %target, "the server does not take the cancellation of a statement, which may still run there");
        }
    }
}
