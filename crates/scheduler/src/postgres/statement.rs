//! One statement, and its execution.

use std::fmt;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::failure::Error;

/// How many statements travel together, where each may fail on its own.
const TOGETHER: usize = 50;

/// A statement that changes something. Its `Debug` and `Display` show no verifier of a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Statement {
    sql: String,
    /// What is shown instead.
    shown: Option<String>,
}

impl Statement {
    /// A statement that may be shown.
    #[must_use]
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            shown: None,
        }
    }

    /// A statement with a secret in it, and what is shown instead of it.
    #[must_use]
    pub fn secret(sql: String, shown: String) -> Self {
        Self {
            sql,
            shown: Some(shown),
        }
    }

    /// Its text as the server gets it: never for a log.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.shown.as_deref().unwrap_or(&self.sql))
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Asks the catalogues.
///
/// # Errors
/// What the server said to the question, of which `action` says what it is for.
pub(crate) async fn ask(
    client: &Client,
    action: &str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let rows = client.query(sql, parameters).await;
    rows.map_err(|error| Error::new(action, &error))
}

/// Executes all of them or none: in one round trip, which is one transaction.
///
/// # Errors
/// What the server said; nothing has changed then.
pub async fn execute_together(client: &Client, statements: &[Statement]) -> Result<(), Error> {
    if statements.is_empty() {
        return Ok(());
    }
    let sql: Vec<&str> = statements.iter().map(Statement::sql).collect();
    let done = client.batch_execute(&sql.join("; ")).await;
    done.map_err(|error| {
        let shown: Vec<String> = statements.iter().map(Statement::to_string).collect();
        Error::new(shown.join("; "), &error)
    })
}

/// Executes each of them, whatever becomes of the others, but for a lock that somebody else holds: that ends it.
/// Gives what failed.
///
/// # Errors
/// Only where the session has ended: what came before has been done.
pub async fn execute_each(client: &Client, statements: &[Statement]) -> Result<Vec<Error>, Error> {
    let mut failed = Vec::new();
    for chunk in statements.chunks(TOGETHER) {
        match execute_together(client, chunk).await {
            Ok(()) => {}
            Err(error) if error.ends_the_session() => return Err(error),
            Err(error) if error.is_lock_timeout() => {
                failed.push(error);
                return Ok(failed);
            }
            // One of them failed and the server has done none: one after the other.
            Err(error) if chunk.len() == 1 => failed.push(error),
            Err(_) => {
                for statement in chunk {
                    match execute_together(client, std::slice::from_ref(statement)).await {
                        Ok(()) => {}
                        Err(error) if error.ends_the_session() => return Err(error),
                        // Whoever holds one lock may hold them all, and others wait for this server too.
                        Err(error) if error.is_lock_timeout() => {
                            failed.push(error);
                            return Ok(failed);
                        }
                        Err(error) => failed.push(error),
                    }
                }
            }
        }
    }
    Ok(failed)
}

/// Names in a sentence: ten at most, and how many more there are.
#[must_use]
pub fn listed<T: fmt::Display>(names: &[T]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(T::to_string).collect();
    let shown = shown.join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere() {
        let statement = Statement::secret("PASSWORD 'x'".to_owned(), "PASSWORD …".to_owned());
        assert_eq!(
            format!("{statement} {statement:?}"),
            "PASSWORD … PASSWORD …"
        );
        assert_eq!(statement.sql(), "PASSWORD 'x'");
    }

    #[test]
    fn ten_names_are_enough() {
        let names: Vec<usize> = (1..=12).collect();
        assert_eq!(listed(&names), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
        assert_eq!(listed(&names[..2]), "1, 2");
    }
}
