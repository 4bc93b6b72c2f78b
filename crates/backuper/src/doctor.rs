//! Everything that would make a backup or a restore fail, found out within seconds, with nothing changed.
//!
//! Each check is a line of JSON on standard output. Its sentence says what was found and, where it is
//! wrong, what mends it, in the words of the worker that would meet it.

use serde::{Deserialize, Serialize};

use crate::job::CheckJob;
use crate::runtime::{Failure, Shutdown};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Where it was looked at.
    pub subject: Subject,
    /// What was looked at, in one word: `address`, `login`.
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
/// What is wrong with the request for checks.
pub async fn check(job: &CheckJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let _ = (job, shutdown);
    Ok("not done yet".to_owned())
}

/// The checks among the lines that a backuper has printed; those of its log are passed over.
#[must_use]
pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Check> {
    let lines = lines.filter_map(|it| serde_json::from_str::<Line>(it).ok());
    lines.map(|it| it.check).collect()
}
