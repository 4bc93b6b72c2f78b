//! Subscriptions are removed without a word to their publisher.
//!
//! `DROP SUBSCRIPTION` connects to it and drops the replication slot there, which the database that
//! was backed up may be using. PostgreSQL manual, DROP SUBSCRIPTION: with the slot's name unset it
//! drops none; it connects all the same where a table's first copy is not done, so the connection
//! string is one that leads nowhere.

use backuper::text::sql::quote;
use tokio_postgres::Client;

/// A password is there because roles that are no superuser must give one.
const NOWHERE: &str = "host=/nonexistent dbname=none user=none password=none";

/// The statements that remove a subscription; they work in a transaction too.
pub(crate) fn removal(name: &str) -> [String; 4] {
    let name = quote(name);
    [
        format!("ALTER SUBSCRIPTION {name} DISABLE"),
        format!("ALTER SUBSCRIPTION {name} CONNECTION '{NOWHERE}'"),
        format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"),
        format!("DROP SUBSCRIPTION {name}"),
    ]
}

/// Removes all subscriptions of the database, which cannot be dropped while it has any.
///
/// # Errors
/// What the server said.
pub(crate) async fn remove_all(session: &Client) -> Result<(), tokio_postgres::Error> {
    let rows = session
        .query(
            "SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
              WHERE d.datname = current_database()",
            &[],
        )
        .await?;
    for row in &rows {
        let statements = removal(row.get(0)).join("; ");
        session.batch_execute(&statements).await?;
    }
    Ok(())
}
