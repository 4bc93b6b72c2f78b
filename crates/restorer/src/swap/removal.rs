//! Databases that a swap has made or kept, and that are of no use any more, are dropped.

use backuper::postgres::{self, Target};
use backuper::runtime::{Deadline, Failure};
use backuper::text::sql::quote;
use tokio_postgres::Client;

use crate::target::{creation, subscription};

/// What a database needs before it can be dropped: PostgreSQL drops no template, and none with subscriptions.
const STATE: &str = "
    SELECT datistemplate, EXISTS (SELECT FROM pg_subscription s WHERE s.subdbid = d.oid)
      FROM pg_database d WHERE datname = $1";

/// Whether anybody is in a database, or it cannot be told.
pub(super) async fn is_in_use(session: &Client, name: &str) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend')";
    let asked = session.query_one(sql, &[&name]).await;
    asked.map_or(true, |it| it.get(0))
}

/// Drops a database, and ends the sessions in it. One that is not there is dropped.
///
/// # Errors
/// What the server said.
pub(super) async fn drop_database(
    (session, other): (&Client, &Target),
    name: &str,
) -> Result<(), Failure> {
    let failed = |error: tokio_postgres::Error| {
        postgres::Error::new("dropping a database in", other, &error)
    };
    let found = session.query_opt(STATE, &[&name]).await.map_err(failed)?;
    let Some(row) = found else { return Ok(()) };
    let (is_template, subscribes): (bool, bool) = (row.get(0), row.get(1));
    let quoted = quote(name);
    if is_template {
        let sql = format!("ALTER DATABASE {quoted} IS_TEMPLATE false");
        session.batch_execute(&sql).await.map_err(failed)?;
    }
    if subscribes {
        let sql = format!("ALTER DATABASE {quoted} ALLOW_CONNECTIONS true");
        session.batch_execute(&sql).await.map_err(failed)?;
        let target = other.with_database(name);
        let within = target.connect("restorer").await?;
        let removed = subscription::remove_all(&within).await;
        removed.map_err(|error| {
            postgres::Error::new("removing subscriptions from", &target, &error)
        })?;
    }
    // FORCE (PostgreSQL 13): a program of ours may still be there, or whoever looks at it.
    let sql = format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)");
    session.batch_execute(&sql).await.map_err(failed)?;
    Ok(())
}

/// Drops the database that was loaded and is to take no place; what cannot be dropped is told.
pub(super) async fn drop_new(new: &Target, deadline: Deadline) {
    let dropping = async {
        let (session, other) = creation::maintenance(new).await?;
        drop_database((&session, &other), new.database()).await
    };
    match deadline.limit(dropping).await {
        Some(Ok(())) => {
            tracing::info!(database = %new, "dropped the database that this restore had created");
        }
        Some(Err(error)) => {
            tracing::warn!(database = %new, %error, "the database that this restore had created is still there; the next swap restore drops it");
        }
        None => {
            tracing::warn!(database = %new, "the server does not answer; the database that this restore had created is still there, and the next swap restore drops it");
        }
    }
}
