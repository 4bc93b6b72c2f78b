//! What of an archive is made anew, and in which steps.

use std::collections::BTreeSet;

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::dollar_quoted;
use tokio_postgres::Client;

use super::lexer;
use crate::archive::toc::{Entry, Section, Toc};
use crate::archive::use_list::UseList;
use crate::target::order;

/// What is made anew, each in the archive's order.
#[derive(Debug)]
pub(super) struct Lists {
    /// What comes before the rows.
    pub(super) pre_data: Vec<Step>,
    /// What comes after the rows.
    pub(super) post_data: UseList,
    /// What needs privileges, as in pg_restore (`RESTORE_PASS_POST_ACL` in `pg_backup_archiver.c`),
    /// and then what would hear of our own statements.
    pub(super) last: Vec<UseList>,
}

/// A part of what comes before the rows.
#[derive(Debug)]
pub(super) enum Step {
    /// Entries that pg_restore writes.
    Entries(UseList),
    /// A statement that psql cannot read as it stands.
    Statement(String),
}

/// The lists for this target, of what is to be kept.
pub(super) async fn lists(
    session: &Client,
    target: &Target,
    toc: &Toc,
    keep: impl Fn(&Entry) -> bool,
) -> Result<Lists, Failure> {
    let failed = |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
    let rows = session
        .query(
            "SELECT 'SCHEMA', nspname::text FROM pg_namespace
              UNION ALL SELECT 'PROCEDURAL LANGUAGE', lanname::text FROM pg_language
              UNION ALL SELECT 'COMMENT', format('EXTENSION %I', extname) FROM pg_extension
                         WHERE NOT pg_has_role(extowner, 'USAGE')",
            &[],
        )
        .await
        .map_err(failed)?;
    let there: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let anew = |it: &Entry| {
        keep(it)
            && !it.kind.starts_with("DATABASE")
            && (!there.contains(&(it.kind.clone(), it.tag.clone())) || toc.makes_functions_of(it))
    };
    let mut last = Vec::new();
    // What would hear of our own statements comes behind all of them.
    let filled = |it: &Entry| order::is_last(it) && !order::is_event_trigger(it);
    let wanted: [&dyn Fn(&Entry) -> bool; 2] = [&filled, &order::is_event_trigger];
    for wanted in wanted {
        if toc.entries.iter().any(wanted) {
            last.push(UseList::of(toc, |it| anew(it) && wanted(it))?);
        }
    }
    Ok(Lists {
        pre_data: steps(toc, anew)?,
        post_data: UseList::of(toc, |it| anew(it) && !order::is_last(it))?,
        last,
    })
}

/// The entries before the rows, those apart that psql cannot read: it takes a function's name `begin`
/// for the beginning of a body (`{identifier}` in `psqlscan.l`), and would wait for its end.
fn steps(toc: &Toc, anew: impl Fn(&Entry) -> bool) -> Result<Vec<Step>, Failure> {
    let unreadable = |it: &Entry| {
        matches!(it.kind.as_str(), "FUNCTION" | "PROCEDURE") && !lexer::ends(&it.definition)
    };
    let mut steps = Vec::new();
    // A comment without what it is on before it would be taken for one of another section.
    let wholes = toc
        .entries
        .chunk_by(|_, next| next.section == Section::None);
    let wholes: Vec<&[Entry]> = wholes.collect();
    let apart = |whole: &[Entry]| whole.first().is_some_and(unreadable);
    for group in wholes.chunk_by(|one, next| apart(one) == apart(next)) {
        let entries = group.iter().copied().flatten().filter(|it| anew(it));
        if group.first().is_some_and(|it| apart(it)) {
            let said = entries.filter(|it| it.kind != "ACL" && !it.definition.is_empty());
            steps.extend(said.map(|it| Step::Statement(executed(&it.definition))));
        } else {
            let ids: BTreeSet<i64> = entries.map(|it| it.id).collect();
            let list = UseList::of(toc, |it| ids.contains(&it.id) && !order::is_last(it))?;
            steps.push(Step::Entries(list));
        }
    }
    Ok(steps)
}

/// The same statement, in quotes that psql does not look into.
fn executed(definition: &str) -> String {
    let body = format!(" BEGIN EXECUTE {}; END ", dollar_quoted(definition));
    format!(
        "SELECT pg_catalog.set_config('search_path', '', false);\nSET check_function_bodies = false;\nDO {};\n",
        dollar_quoted(&body)
    )
}
