//! Privileges, statement by statement: a GRANT to a role that the target lacks is a warning that
//! names the role, and not a failure.

use std::collections::BTreeSet;

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::{dollar_quoted, literal};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::archive::toc::{Entry, Toc};

/// The statements of an archive that grant and revoke, without those that concern a role that the
/// target lacks; each such role is named in a warning.
///
/// # Errors
/// What the server said.
pub async fn statements(
    session: &Client,
    target: &Target,
    toc: &Toc,
) -> Result<Vec<String>, Failure> {
    let rows = session
        .query("SELECT rolname::text FROM pg_roles", &[])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let roles: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let (applicable, missing) = sift(all(toc), &roles);
    for role in missing {
        tracing::warn!(
            database = %target,
            "role {role} does not exist here, so its privileges are not restored; create the role and grant them by hand"
        );
    }
    Ok(applicable)
}

/// Applies the privileges of an archive through a session of its own.
///
/// # Errors
/// What the server said; a privilege that our role may not give is a warning.
pub async fn apply(session: &Client, target: &Target, toc: &Toc) -> Result<(), Failure> {
    for statement in statements(session, target, toc).await? {
        match session.batch_execute(&statement).await {
            Ok(()) => {}
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                let error = postgres::Error::new("granting in", target, &error);
                tracing::warn!(%error, statement, "not restored");
            }
            Err(error) => return Err(postgres::Error::new("granting in", target, &error).into()),
        }
    }
    Ok(())
}

/// The same as text for a transaction, which must outlive a privilege that our role may not give.
#[must_use]
pub fn guarded(statement: &str) -> String {
    let body = format!(
        " BEGIN EXECUTE {}; EXCEPTION WHEN insufficient_privilege THEN RAISE WARNING 'not restored: %', SQLERRM; END ",
        literal(statement)
    );
    format!("DO {};\n", dollar_quoted(&body))
}

fn all(toc: &Toc) -> Vec<String> {
    let entries = toc
        .all()
        .flat_map(|toc| toc.entries.iter().map(move |it| (toc, it)));
    entries
        .filter(|(_, it)| it.kind == "ACL" || it.kind == "DEFAULT ACL")
        .flat_map(|(toc, entry)| expand(toc, entry))
        .filter(|it| {
            ["GRANT ", "REVOKE ", "ALTER DEFAULT PRIVILEGES "]
                .iter()
                .any(|word| it.starts_with(word))
        })
        .collect()
}

/// Since PostgreSQL 17 one entry speaks for many large objects: its text names the first, and the
/// entry that it needs lists them all.
fn expand(toc: &Toc, entry: &Entry) -> Vec<String> {
    let own = split(&entry.definition);
    if !entry.tag.starts_with("LARGE OBJECTS ") {
        return own;
    }
    let listed = toc
        .entries
        .iter()
        .find(|it| it.kind == "BLOB METADATA" && entry.needs.contains(&it.id));
    let oids: Vec<&str> = listed.map(Entry::large_objects).unwrap_or_default();
    let Some(first) = oids.first() else {
        return own;
    };
    let first = format!("LARGE OBJECT {first} ");
    let each = |oid: &&str| {
        let this = format!("LARGE OBJECT {oid} ");
        own.iter()
            .map(|it| it.replace(&first, &this))
            .collect::<Vec<_>>()
    };
    oids.iter().flat_map(each).collect()
}

/// Tells the statements whose roles are all there from the others; gives the roles that are not.
fn sift(statements: Vec<String>, roles: &BTreeSet<String>) -> (Vec<String>, BTreeSet<String>) {
    let mut missing = BTreeSet::new();
    let mut applicable = Vec::with_capacity(statements.len());
    for statement in statements {
        let absent: Vec<String> = concerned(&statement)
            .into_iter()
            .filter(|it| !roles.contains(it))
            .collect();
        if absent.is_empty() {
            applicable.push(statement);
        }
        missing.extend(absent);
    }
    (applicable, missing)
}

/// The roles that a statement names: after the last `TO` or `FROM`, and after `FOR ROLE`.
fn concerned(statement: &str) -> Vec<String> {
    let words = words(statement);
    let bare = |at: usize, word: &str| words.get(at).is_some_and(|it| it == word);
    let mut at = Vec::new();
    if let Some(last) = (0..words.len()).rfind(|it| bare(*it, "TO") || bare(*it, "FROM")) {
        at.push(last + 1);
    }
    if let Some(role) = (1..words.len()).find(|it| bare(*it, "ROLE") && bare(it - 1, "FOR")) {
        at.push(role + 1);
    }
    at.into_iter()
        .filter_map(|it| words.get(it))
        .filter(|it| *it != "PUBLIC")
        .map(|it| name(it))
        .collect()
}

fn name(word: &str) -> String {
    match word.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => word.to_owned(),
    }
}

/// The words of a statement; what stands between double quotes is a part of its word.
fn words(statement: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in statement.chars() {
        quoted ^= c == '"';
        let ends = !quoted && (c.is_whitespace() || c == ';' || c == ',');
        match words.last_mut() {
            Some(word) if !ends => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|it| !it.is_empty());
    words
}

/// The statements of a text: a semicolon outside of quotes ends one.
fn split(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut statement = String::new();
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        statement.push(c);
        if c == ';' && quote.is_none() {
            statements.push(statement.trim().to_owned());
            statement.clear();
        }
    }
    statements.retain(|it| it != ";");
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_within_a_name_ends_nothing() {
        let text = "REVOKE ALL ON TABLE public.\"a;\nb\" FROM me;\nGRANT SELECT ON TABLE public.t TO \"x y\";\n";
        let statements = split(text);
        assert_eq!(statements.len(), 2);
        assert_eq!(concerned(&statements[0]), ["me"]);
        assert_eq!(concerned(&statements[1]), ["x y"]);
    }

    #[test]
    fn only_statements_about_roles_that_are_missing_are_left_out() {
        let statements = [
            "GRANT SELECT ON TABLE public.\"TO gone\" TO PUBLIC;",
            "GRANT SELECT ON TABLE public.t TO here WITH GRANT OPTION;",
            "GRANT SELECT ON TABLE public.t TO \"Go\"\"ne\";",
            "ALTER DEFAULT PRIVILEGES FOR ROLE away IN SCHEMA s GRANT SELECT ON TABLES TO here;",
        ]
        .map(str::to_owned)
        .to_vec();
        let roles = BTreeSet::from(["here".to_owned()]);
        let (applicable, missing) = sift(statements.clone(), &roles);
        assert_eq!(applicable, statements[..2]);
        assert_eq!(
            missing,
            BTreeSet::from(["Go\"ne".to_owned(), "away".to_owned()])
        );
    }
}
