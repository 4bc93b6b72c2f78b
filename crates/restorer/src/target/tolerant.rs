//! Statements of which some may be refused: the restore goes on, and says which.
//!
//! Thousands of owners and privileges are set in few round trips: a chunk is one transaction, and only
//! where the server refuses something in it is it repeated statement by statement.

use std::collections::{BTreeMap, BTreeSet};

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::{dollar_quoted, literal, quote};
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
    /// What its being denied may come from.
    needs: Option<Needs>,
    /// Whether it is about what may belong to something else, and changes with that.
    follows: bool,
}

/// The right to make something in a schema: who is given what is in one needs it, unless a superuser gives.
/// PostgreSQL manual, ALTER TABLE: OWNER TO.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Needs {
    role: String,
    schema: String,
}

/// Whether this role lacks it in this schema.
const LACKING: &str = "
    SELECT EXISTS (SELECT FROM pg_namespace n, pg_roles r WHERE r.rolname = $1 AND n.nspname = $2
                      AND NOT has_schema_privilege(r.oid, n.oid, 'CREATE'))";

impl Needs {
    /// What to do about it; the statements that were denied follow.
    fn advice(&self) -> String {
        let (role, schema) = (quote(&self.role), quote(&self.schema));
        format!(
            "role {role} needs CREATE on schema {schema} to own what it had there, which belongs to the role that restores now; run GRANT CREATE ON SCHEMA {schema} TO {role}, and restore again or run: "
        )
    }
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
            needs: None,
            follows: false,
        }
    }

    /// One that gives this role something in this schema.
    pub(crate) fn giving(self, role: &str, schema: &str) -> Self {
        let (role, schema) = (role.to_owned(), schema.to_owned());
        Self {
            needs: Some(Needs { role, schema }),
            ..self
        }
    }

    /// One about what may belong to something else, and changes with that.
    pub(crate) fn following(self) -> Self {
        Self {
            follows: true,
            ..self
        }
    }

    /// Whether what it is about stays with what it belongs to, of which the refusal is told.
    fn stays_behind(&self, code: &SqlState) -> bool {
        self.follows && *code == SqlState::FEATURE_NOT_SUPPORTED
    }

    /// What it was denied for, where that is known.
    async fn lacking(
        &self,
        session: &Client,
        target: &Target,
        code: Option<&SqlState>,
    ) -> Result<Option<&Needs>, Failure> {
        let denied = code == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        let Some(needs) = self.needs.as_ref().filter(|_| denied) else {
            return Ok(None);
        };
        let row = session
            .query_one(LACKING, &[&needs.role, &needs.schema])
            .await
            .map_err(|error| postgres::Error::new("examining", target, &error))?;
        Ok(row.get::<_, bool>(0).then_some(needs))
    }

    /// Whether the restore goes on after this error.
    pub(crate) fn tolerates(&self, error: &tokio_postgres::Error) -> bool {
        error.code().is_some_and(|code| {
            *code == SqlState::INSUFFICIENT_PRIVILEGE
                || (self.tolerance == Tolerance::Missing && MISSING.contains(code))
                || self.stays_behind(code)
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
    let (mut refused, mut lacking) = (Vec::new(), BTreeMap::new());
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
                    let code = error.code();
                    if code.is_some_and(|it| statement.stays_behind(it)) {
                        continue;
                    }
                    if let Some(needs) = statement.lacking(session, target, code).await? {
                        let statements: &mut Vec<String> = lacking.entry(needs).or_default();
                        statements.push(statement.sql.clone());
                    } else if statement.tolerance != Tolerance::Silent {
                        let why = postgres::Error::new(doing, target, &error).reason;
                        refused.push(format!("{why} ({})", statement.sql));
                    }
                }
                Err(error) => return Err(postgres::Error::new(doing, target, &error).into()),
            }
        }
    }
    for (needs, statements) in lacking {
        tracing::warn!(database = %target, "{}{}", needs.advice(), few_by("; ", statements));
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

/// The same as text for a transaction that must outlive what is refused; the server's warnings say
/// what that was.
pub(crate) fn within_transaction(statements: &[Statement]) -> String {
    if statements.is_empty() {
        return String::new();
    }
    let needs: Vec<&Needs> = {
        let all: BTreeSet<&Needs> = statements
            .iter()
            .filter_map(|it| it.needs.as_ref())
            .collect();
        all.into_iter().collect()
    };
    let number = |it: &Statement| {
        let at = it
            .needs
            .as_ref()
            .and_then(|it| needs.binary_search(&it).ok());
        at.map_or_else(|| "NULL".to_owned(), |at| (at + 1).to_string())
    };
    let array = |each: &dyn Fn(&Statement) -> String| {
        let all: Vec<String> = statements.iter().map(each).collect();
        all.join(",")
    };
    let texts = |each: &dyn Fn(&Needs) -> String| {
        let all: Vec<String> = needs.iter().map(|it| literal(&each(it))).collect();
        all.join(",")
    };
    let body = format!(
        "
DECLARE
  statements text[] := ARRAY[{}]::text[];
  may_miss bool[] := ARRAY[{}];
  silent bool[] := ARRAY[{}];
  follows bool[] := ARRAY[{}];
  needs int[] := ARRAY[{}]::int[];
  owners text[] := ARRAY[{}]::text[];
  places text[] := ARRAY[{}]::text[];
  advice text[] := ARRAY[{}]::text[];
{}",
        array(&|it| format!("\n    {}", literal(&it.sql))),
        array(&|it| (it.tolerance == Tolerance::Missing).to_string()),
        array(&|it| (it.tolerance == Tolerance::Silent).to_string()),
        array(&|it| it.follows.to_string()),
        array(&number),
        texts(&|it| it.role.clone()),
        texts(&|it| it.schema.clone()),
        texts(&Needs::advice),
        performing(),
    );
    format!("DO {};\n", dollar_quoted(&body))
}

/// What is done with them.
fn performing() -> String {
    format!(
        "  refused text[] := '{{}}';
  lacking int[] := '{{}}';
  one record;
BEGIN
  FOR i IN 1 .. cardinality(statements) LOOP
    BEGIN
      EXECUTE statements[i];
    EXCEPTION
      WHEN insufficient_privilege THEN
        IF EXISTS (SELECT FROM pg_catalog.pg_namespace n, pg_catalog.pg_roles r
                    WHERE r.rolname = owners[needs[i]] AND n.nspname = places[needs[i]]
                      AND NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')) THEN
          lacking := lacking || i;
        ELSIF NOT silent[i] THEN
          refused := refused || format('%s (%s)', SQLERRM, statements[i]);
        END IF;
      WHEN undefined_function OR undefined_table OR undefined_object OR undefined_column OR invalid_schema_name THEN
        IF NOT may_miss[i] THEN RAISE; END IF;
        refused := refused || format('%s (%s)', SQLERRM, statements[i]);
      WHEN feature_not_supported THEN
        IF NOT follows[i] THEN RAISE; END IF;
    END;
  END LOOP;
  FOR one IN SELECT needs[k] AS what, array_agg(statements[k] ORDER BY k) AS texts FROM unnest(lacking) k GROUP BY 1 ORDER BY 1 LOOP
    RAISE WARNING '%', advice[one.what] || array_to_string(one.texts[1:{NAMED}], '; ')
      || CASE WHEN cardinality(one.texts) > {NAMED} THEN format(' and %s more', cardinality(one.texts) - {NAMED}) ELSE '' END;
  END LOOP;
  IF cardinality(refused) > 0 THEN
    RAISE WARNING 'not everything was restored: %', array_to_string(refused[1:{NAMED}], '; ')
      || CASE WHEN cardinality(refused) > {NAMED} THEN format(' and %s more', cardinality(refused) - {NAMED}) ELSE '' END;
  END IF;
END
"
    )
}

/// Names for a sentence: the first, and how many more there are.
pub(crate) fn few(names: impl IntoIterator<Item = String>) -> String {
    few_by(", ", names)
}

/// As [`few`], with this between them.
fn few_by(between: &str, names: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> = names.into_iter().collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let named = names.join(between);
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
