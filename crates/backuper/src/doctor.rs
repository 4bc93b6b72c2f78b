//! Everything that would make a backup or a restore fail, found out within seconds, with nothing changed.
//!
//! Each check is a line of JSON on standard output. Its sentence says what was found and, where it is
//! wrong, what mends it, in the words of the worker that would meet it.

mod database;
mod finding;
mod machine;
mod store;

use std::time::Duration;

use tokio_util::task::TaskTracker;

use serde::{Deserialize, Serialize};

use crate::job::CheckJob;
use crate::runtime::{Failure, Shutdown, lines};

/// How long all of it may take, of the ten seconds that somebody waits for it.
const LIMIT: Duration = Duration::from_secs(9);
/// How long what was begun may take to be undone, once all is told.
const TIDYING: Duration = Duration::from_secs(10);
/// How far apart two clocks may be.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Where it was looked at.
    pub subject: Subject,
    /// What was looked at, in a word: `address`, `login`.
    pub name: String,
    /// How it is.
    pub outcome: Outcome,
    /// What was found, and what mends it where it is wrong.
    pub sentence: String,
}

/// Where something was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The database and its server.
    Database,
    /// The store of backups.
    Store,
    /// The machine on which workers run.
    Machine,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it has to be.
    Ok,
    /// A backup or a restore would fail of it.
    Wrong,
    /// A backup or a restore may fail of it, or do less than somebody expects.
    Warning,
    /// It was not found out.
    Unknown,
}

/// What a line has, so that it is told from the log's.
#[derive(Serialize, Deserialize)]
struct Line {
    check: Check,
}

/// Looks at everything; gives the sentence that ends the log. What is wrong is no failure of the checks.
///
/// # Errors
/// Only when it was stopped, or nobody takes what it prints.
pub async fn check(job: &CheckJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let tidying = TaskTracker::new();
    let checked = tokio::select! {
        checks = all(job, &tidying) => told(checks),
        () = shutdown.token().cancelled() => {
            Err(Failure::try_again("stopped before all was checked"))
        }
    };
    tidying.close();
    if tokio::time::timeout(TIDYING, tidying.wait()).await.is_err() {
        tracing::warn!(
            "what was begun to try the store or the database was not undone in time; an upload that stays is aborted by the retention of a later backup"
        );
    }
    checked
}

/// Prints them; gives the sentence that ends the log.
fn told(checks: Vec<Check>) -> Result<String, Failure> {
    let count = |outcome| checks.iter().filter(|it| it.outcome == outcome).count();
    let sentence = format!(
        "{} checks: {} wrong, {} warnings, {} unknown",
        checks.len(),
        count(Outcome::Wrong),
        count(Outcome::Warning),
        count(Outcome::Unknown)
    );
    lines::print(checks.into_iter().map(|check| Line { check }))?;
    Ok(sentence)
}

/// The checks among the lines that a backuper has printed; those of its log are passed over.
#[must_use]
pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Check> {
    let lines = lines.filter_map(|it| serde_json::from_str::<Line>(it).ok());
    lines.map(|it| it.check).collect()
}

/// All checks. What outlives them, since nobody waits for it any more, is tracked.
async fn all(job: &CheckJob, tidying: &TaskTracker) -> Vec<Check> {
    let machine = machine::check(job);
    let database = async {
        match &job.source {
            Some(source) => Some(Box::pin(database::check(job, source, tidying)).await),
            None => None,
        }
    };
    let store = async {
        if !job.store.is_named() {
            return None;
        }
        Some(Box::pin(store::check(job, tidying)).await)
    };
    let (machine, database, store) = tokio::join!(machine, database, store);
    let (database, bytes) = database.unwrap_or_default();
    let store = store.map(|it| it.with_space_for(bytes));
    let all = database.into_iter().chain(store.unwrap_or_default());
    all.chain(machine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_among_the_lines_of_a_log() {
        let line = r#"{"check":{"subject":"database","name":"address","outcome":"wrong","sentence":"no"}}"#;
        let lines = ["2026-11-26T10:00:00Z  INFO check={}", line, "{}", ""];
        let check = Check {
            subject: Subject::Database,
            name: "address".to_owned(),
            outcome: Outcome::Wrong,
            sentence: "no".to_owned(),
        };
        assert_eq!(parse(lines.into_iter()), std::slice::from_ref(&check));
        assert_eq!(serde_json::to_string(&Line { check }).unwrap(), line);
    }
}
