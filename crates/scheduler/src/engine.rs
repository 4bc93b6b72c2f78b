//! Where schedules and runs live: what every engine promises, in words of no particular engine.

pub mod conformance;
pub mod kubernetes;
pub mod local;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use async_trait::async_trait;
use backuper::job::{Value, Var};
use backuper::text;
use tokio_util::sync::CancellationToken;

/// Keeps schedules and runs workers.
///
/// Every promise below is a function in [`conformance`], which every engine's tests call.
///
/// - All verbs are idempotent, and may be called at the same time by several callers.
/// - A call whose answer was lost may be repeated: it finds what it made.
/// - Whatever a crash leaves has never run; the next call or start completes or removes it.
/// - Secrets are kept where the engine keeps secrets, and nowhere else.
#[async_trait]
pub trait Engine: Debug + Send + Sync {
    /// The namespace that holds all of it.
    fn namespace(&self) -> &str;

    /// Makes the schedule, or makes it what it should be. [`Kind::Occupied`] when an Update has
    /// given the one of that name to another database or bucket.
    async fn ensure(&self, schedule: &Schedule) -> Result<(), Error>;

    /// Makes an existing schedule what it should be, in everything. [`Kind::NotFound`] when it is
    /// gone, [`Kind::Denied`] for another namespace, [`Kind::Precondition`] when it is not ours.
    async fn update(&self, namespace: &str, schedule: &Schedule) -> Result<(), Error>;

    /// The database that a schedule backs up, `host:port/dbname`; none where there is no schedule of
    /// that name whose database is known.
    async fn database_of(&self, schedule: &str) -> Result<Option<String>, Error>;

    /// Starts a restore, or finds the same one under way. [`Kind::Precondition`] when a different
    /// one into the same database is. One that has finished does not count.
    async fn restore(&self, restore: &Restore) -> Result<Running, Error>;

    /// Brings what exists up to date with this version and its settings, and removes what a crash
    /// has left. For the start; what concerns a single object is logged and counted.
    async fn refresh(&self) -> Result<Refreshed, Error>;

    /// Whether it can serve now: the cluster answers, the database can be written.
    async fn ready(&self) -> Result<(), Error>;

    /// The work in the background, until stopped: an engine that starts workers itself does it
    /// here, and has stopped them when this returns. Tells every run that finishes from now on,
    /// once.
    async fn run(&self, stop: CancellationToken, tell: &(dyn Fn(Finished) + Send + Sync));
}

/// What a schedule is to be.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name, fit for a CronJob.
    pub name: String,
    /// When, as Kubernetes reads it, in UTC.
    pub cron: String,
    /// The backuper's environment.
    pub vars: Vec<Var>,
}

/// What differs between two calls for the same restore.
const TIMES_OF_CALL: [&str; 2] = ["RESTORE_AS_OF", "RESTORE_BEGIN_BY"];

/// What tells plans apart: which database goes into which bucket.
const PLACES: [&str; 5] = [
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "S3_ENDPOINT",
    "S3_BUCKET_NAME",
];

/// Which database goes into which bucket, of a worker's variables that are not secret.
fn places<'a>(vars: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<&'a str, &'a str> {
    vars.filter(|(name, _)| PLACES.contains(name)).collect()
}

/// The directory that a worker's variables name as its store.
fn directory(vars: &[Var]) -> Option<&Path> {
    let endpoint = vars.iter().find_map(|it| match &it.value {
        Value::Plain(text) if it.name == "S3_ENDPOINT" => Some(text),
        Value::Plain(_) | Value::Secret(_) => None,
    })?;
    endpoint.strip_prefix("file://").map(Path::new)
}

/// What a directory that may not be a store leads to.
fn not_a_store(why: String) -> Error {
    Error::new("use the store that is named", Kind::Denied, why)
}

/// `host:port/dbname` of a worker's variables.
fn database<'a>(vars: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let places = places(vars);
    let port = places.get("DB_PORT").unwrap_or(&"5432");
    Some(format!(
        "{}:{port}/{}",
        places.get("DB_HOST")?,
        places.get("DB_NAME")?
    ))
}

/// The same of a schedule that is to be.
fn places_of(schedule: &Schedule) -> BTreeMap<&str, &str> {
    places(schedule.vars.iter().filter_map(|it| match &it.value {
        Value::Plain(value) => Some((it.name, value.as_str())),
        Value::Secret(_) => None,
    }))
}

fn occupied(name: &str) -> Error {
    let why = "it serves another database or bucket by now";
    Error::new(format!("make schedule {name}"), Kind::Occupied, why)
}

/// What a restore is to be.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Names the database that it goes to; fit for a label.
    pub database: String,
    /// The restorer's environment.
    pub vars: Vec<Var>,
}

/// A restore that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its name, on Kubernetes the Job's.
    pub name: String,
    /// Whether an earlier call had begun it.
    pub adopted: bool,
}

/// What [`Engine::refresh`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Schedules that were as they should be.
    pub unchanged: usize,
    /// Schedules that were brought up to date.
    pub updated: usize,
    /// Leavings of a crash that were removed.
    pub removed: usize,
    /// Schedules that could not be brought up to date; each is in the log.
    pub left: usize,
}

impl Refreshed {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            unchanged: self.unchanged + other.unchanged,
            updated: self.updated + other.updated,
            removed: self.removed + other.removed,
            left: self.left + other.left,
        }
    }
}

/// What a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Making backups.
    Backup,
    /// Restoring one.
    Restore,
}

impl Component {
    /// The word in labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// A run that has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What it was for.
    pub component: Component,
    /// Its name, on Kubernetes the Job's.
    pub run: String,
    /// Its schedule, when it had one.
    pub schedule: Option<String>,
    /// How it ended.
    pub ending: Ending,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Succeeded,
    /// Not well.
    Failed {
        /// One word for it: `BackoffLimitExceeded`, `DeadlineExceeded`, …
        reason: String,
        /// The worker's exit code, when somebody is there to tell.
        exit_code: Option<i32>,
        /// The worker's last sentence, when somebody is there to tell.
        message: Option<String>,
    },
}

/// What an engine could not do.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct Error {
    doing: String,
    kind: Kind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// An error while `doing` (a bare verb phrase) something.
    pub fn new(
        doing: impl Into<String>,
        kind: Kind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            kind,
            source: source.into(),
        }
    }

    /// What was being done and all its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        text::chain(self)
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object is not there.
    NotFound,
    /// We may not.
    Denied,
    /// The object is there already, or has changed meanwhile.
    Conflict,
    /// The name is another's.
    Occupied,
    /// What is there conflicts with it, and asking again will not help until that has changed.
    Precondition,
    /// The object is wrong in the engine's eyes.
    Invalid,
    /// Nobody answered, or not now; asking again may help.
    Unavailable,
    /// None of these.
    Internal,
}
