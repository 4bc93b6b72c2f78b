//! Statements of which some may be refused: the restore goes on, and says which.
//!
//! Thousands of owners and privileges are set in few round trips: a chunk is one transaction, and only
//! where the server refuses something in it is it repeated statement by statement.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::{dollar_quoted, literal};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Statements of one transaction: each holds locks until its end.
const CHUNK: usize = 100;
/// How many refusals a sentence holds before it only counts.
const NAMED: usize = 5;

/// A statement, or a few that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) tolerance: Tolerance,
}

/// What may happen to a statement without ending the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Our role may not do it.
    Denied,
    /// That, and what it is about may be missing: it is not the backup that makes it.
    Missing,
    /// As [`Tolerance::Denied`], and nobody needs to know: it is tried again later.
    Silent,
}

/// SQLSTATEs of what is missing: PostgreSQL manual, appendix A.
const MISSING: [SqlState; 5] = [
    SqlState::UNDEFINED_FUNCTION,
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_OBJECT,
    SqlState::UNDEFINED_COLUMN,
    SqlState::INVALID_SCHEMA_NAME,
];

impl Statement {
    pub(crate) fn new(sql: impl Into<String>, tolerance: Tolerance) -> Self {
        Self {
            sql: sql.into(),
            tolerance,
        }
    }

    /// Whether the restore goes on after this error.
    pub(crate) fn tolerates(&self, error: &tokio_postgres::Error) -> bool {
        error.code().is_some_and(|code| {
            *code == SqlState::INSUFFICIENT_PRIVILEGE
                || (self.tolerance == Tolerance::Missing && MISSING.contains(code))
        })
    }
}

/// Executes statements through a session of its own; `doing` names it in errors (`granting in`), and
/// one warning says what was refused.
///
/// # Errors
/// What the server said about a statement that may not fail so.
pub(crate) async fn execute(
    session: &Client,
    target: &Target,
    doing: &'static str,
    statements: &[Statement],
) -> Result<(), Failure> {
    let mut refused = Vec::new();
    for chunk in statements.chunks(CHUNK) {
        let Err(error) = together(session, chunk).await else {
            continue;
        };
        // What no statement of it could mend: a lost connection, for one.
        if error.code().is_none() {
            return Err(postgres::Error::new(doing, target, &error).into());
        }
        for statement in chunk {
            match together(session, std::slice::from_ref(statement)).await {
                Ok(()) => {}
                Err(error) if statement.tolerates(&error) => {
                    if statement.tolerance != Tolerance::Silent {
                        let why = postgres::Error::new(doing, target, &error).reason;
                        refused.push(format!("{why} ({})", statement.sql));
                    }
                }
                Err(error) => return Err(postgres::Error::new(doing, target, &error).into()),
            }
        }
    }
    if !refused.is_empty() {
        tracing::warn!(database = %target, "not everything was restored while {doing} it: {}", few(refused));
    }
    Ok(())
}

async fn together(session: &Client, chunk: &[Statement]) -> Result<(), tokio_postgres::Error> {
    let body: Vec<&str> = chunk.iter().map(|it| it.sql.as_str()).collect();
    let done = session
        .batch_execute(&format!("BEGIN; {}; COMMIT", body.join("; ")))
        .await;
    if done.is_err() && !session.is_closed() {
        session.batch_execute("ROLLBACK").await?;
    }
    done
}

/// The same as text for a transaction that must outlive what is refused; the server's warning says
/// what that was.
pub(crate) fn within_transaction(statements: &[Statement]) -> String {
    if statements.is_empty() {
        return String::new();
    }
    let all: Vec<String> = statements.iter().map(|it| literal(&it.sql)).collect();
    let may_miss = statements
        .iter()
        .map(|it| (it.tolerance == Tolerance::Missing).to_string());
    let silent = statements
        .iter()
        .map(|it| (it.tolerance == Tolerance::Silent).to_string());
    let body = format!(
        "
DECLARE
  statements text[] := ARRAY[{}]::text[];
  may_miss bool[] := ARRAY[{}];
  silent bool[] := ARRAY[{}];
  refused text[] := '{{}}';
BEGIN
  FOR i IN 1 .. cardinality(statements) LOOP
    BEGIN
      EXECUTE statements[i];
    EXCEPTION
      WHEN insufficient_privilege THEN
        IF NOT silent[i] THEN refused := refused || format('%s (%s)', SQLERRM, statements[i]); END IF;
      WHEN undefined_function OR undefined_table OR undefined_object OR undefined_column OR invalid_schema_name THEN
        IF NOT may_miss[i] THEN RAISE; END IF;
        refused := refused || format('%s (%s)', SQLERRM, statements[i]);
    END;
  END LOOP;
  IF cardinality(refused) > 0 THEN
    RAISE WARNING 'not everything was restored: %', array_to_string(refused[1:{NAMED}], '; ')
      || CASE WHEN cardinality(refused) > {NAMED} THEN format(' and %s more', cardinality(refused) - {NAMED}) ELSE '' END;
  END IF;
END
",
        all.join(",\n    "),
        may_miss.collect::<Vec<_>>().join(","),
        silent.collect::<Vec<_>>().join(","),
    );
    format!("DO {};\n", dollar_quoted(&body))
}

/// Names for a sentence: the first, and how many more there are.
pub(crate) fn few(names: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> = names.into_iter().collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let named = names.join(", ");
    if more == 0 {
        named
    } else {
        format!("{named} and {more} more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_a_few() {
        let names = |count: usize| (0..count).map(|it| it.to_string());
        assert_eq!(few(names(2)), "0, 1");
        assert_eq!(few(names(7)), "0, 1, 2, 3, 4 and 2 more");
    }

    #[test]
    fn a_transaction_is_written_only_for_something() {
        assert_eq!(within_transaction(&[]), "");
        let text = within_transaction(&[Statement::new(
            "GRANT SELECT ON TABLE public.\"$oiler$\" TO it",
            Tolerance::Denied,
        )]);
        assert!(text.starts_with("DO $oiler1$"), "{text}");
    }
}
