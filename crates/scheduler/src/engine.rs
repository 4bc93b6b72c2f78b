//! Where schedules and runs live: what every engine promises, in words of no particular engine.

pub mod change;
pub mod conformance;
mod error;
pub mod kubernetes;
pub mod local;
mod variables;

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use async_trait::async_trait;
use futures::stream::BoxStream;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::drills::Drills;
use crate::domain::labels::Labels;
use crate::domain::name::Name;
use crate::domain::question::{Question, Task};
use crate::domain::restore::Restore;
use crate::domain::run::{Component, Inherited, Run};
use crate::domain::schedule::Schedule;
use crate::domain::store::Store;
pub use change::{Change, Scheduled};
pub use error::{Error, Kind};

/// Keeps schedules and runs workers.
///
/// Every promise below is a function in [`conformance`], which every engine's tests call.
///
/// - All verbs are idempotent, and may be called at the same time by several callers.
/// - A call whose answer was lost may be repeated: it finds what it made.
/// - Whatever a crash leaves has never run; the next call, or [`Engine::tidy`], completes or removes it.
/// - Secrets are kept where the engine keeps secrets, and nowhere else.
#[async_trait]
pub trait Engine: Debug + Send + Sync {
    /// The namespace that holds all of it.
    fn namespace(&self) -> &str;

    /// Whether a worker for this may have this store: a directory must be one that requests may name,
    /// and must outlast the worker. [`Kind::Denied`] when not.
    fn permit(&self, component: Component, store: &Store) -> Result<(), Error>;

    /// Makes the schedule of that name what it should be, in everything. Credentials that are kept and not
    /// at hand stay as they are, where there are some for the same login or bucket; else it is
    /// [`Kind::Precondition`]. [`Kind::Occupied`] when it is
    /// another one's than `whose` says, [`Kind::NotFound`] when it must be there and is not,
    /// [`Kind::Precondition`] when it is not ours.
    async fn put(&self, schedule: &Schedule, whose: Whose) -> Result<Put, Error>;

    /// The schedule of that name; none where there is none that can be read.
    async fn schedule(&self, name: &Name) -> Result<Option<Schedule>, Error>;

    /// What is secret of a schedule, by the names of its worker's variables; none where the engine can keep
    /// secrets and not read them. For trying a request before it is answered, and nothing else.
    async fn secrets(&self, name: &Name) -> Result<Option<Secrets>, Error>;

    /// What a worker answers to a question, line by line: it runs at once and for seconds, is no run, and
    /// leaves nothing of its own. [`Kind::NotFound`] when there is no such schedule,
    /// [`Kind::Precondition`] with the worker's sentence when it could not.
    async fn ask(&self, question: &Question) -> Result<Vec<String>, Error>;

    /// Removes a schedule with all that belongs to it, its backups in the store excepted. One that is
    /// gone is success.
    async fn delete(&self, name: &Name) -> Result<(), Error>;

    /// Lets a schedule rest, or run again at its times. What runs already goes on; a schedule that is so
    /// already is success. [`Kind::NotFound`] when there is none.
    async fn suspend(&self, name: &Name, suspended: bool) -> Result<(), Error>;

    /// Keeps beside a schedule how far its drills are, in the place of what was known of that; what keeps nothing is
    /// as one that was never kept. [`Kind::Conflict`] where something else is kept by now, [`Kind::NotFound`] when
    /// there is no schedule.
    async fn keep_drills(&self, name: &Name, known: &Drills, now: &Drills) -> Result<(), Error>;

    /// Starts a run of a schedule beside its times, or finds the one that is under way; where the request
    /// has a name, one of that name that has ended is found too. One that is suspended runs as well.
    /// [`Kind::NotFound`] when there is none.
    async fn run(&self, name: &Name, request_id: &str) -> Result<Started, Error>;

    /// Starts a restore, or finds the same one: under way, ended well just now, or however it has ended
    /// where the request has a name.
    /// [`Kind::Precondition`] when a different one into the same database is under way.
    async fn start(&self, restore: &Restore) -> Result<Started, Error>;

    /// Ends a run: one that waits does not begin, a worker is stopped. One that has ended stays as it
    /// has ended. [`Kind::NotFound`] when there is none.
    async fn cancel(&self, run: &str) -> Result<(), Error>;

    /// What a run's worker has said, line by line, from the last mebibyte of it on; with `follow` also
    /// what it says from then on, until the run has ended. [`Kind::NotFound`] when there is no such run,
    /// or nothing of it is kept.
    async fn lines(&self, run: &str, follow: bool) -> Result<Lines, Error>;

    /// The runs with all of these labels that another program than this one has begun where its runs are.
    async fn inherited(&self, _labels: &Labels) -> Result<Vec<Inherited>, Error> {
        Ok(Vec::new())
    }

    /// Ends such a run, and removes it. One that is gone is success.
    async fn remove_inherited(&self, run: &Run) -> Result<(), Error> {
        let doing = format!("remove run {}", run.name);
        Err(Error::new(
            doing,
            Kind::NotFound,
            "no other program has runs here",
        ))
    }

    /// Notes on a run, where runs are objects that others read, what they look for there. One that is gone is success.
    async fn note(&self, _run: &Run, _notes: &BTreeMap<String, String>) -> Result<(), Error> {
        Ok(())
    }

    /// All schedules and runs that there are, and then what changes of them. See [`Change`].
    fn changes(&self) -> BoxStream<'static, Change>;

    /// Remembers that the end of a run was told, for this process and those after it.
    async fn acknowledge(&self, run: &Run) -> Result<(), Error>;

    /// Brings what exists up to date with this version and its settings, and removes what a crash
    /// has left. For the leader, every few minutes; what concerns a single object is logged and
    /// counted.
    async fn tidy(&self) -> Result<Tidied, Error>;

    /// Whether it can serve now: the cluster answers, the database can be written.
    async fn ready(&self) -> Result<(), Error>;

    /// The work in the background, until stopped: an engine that starts workers itself does it
    /// here, and has stopped them when this returns. Says in `leads` whether this is the one scheduler
    /// that tidies and tells.
    async fn work(&self, stop: CancellationToken, leads: watch::Sender<bool>);
}

/// Secrets by the names of a worker's variables.
pub type Secrets = BTreeMap<String, SecretString>;

/// The lines of a log. After an error there are no more.
pub type Lines = BoxStream<'static, Result<String, Error>>;

/// Which schedule of a name may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One for the same database, bucket and times; it is made where there is none.
    Its,
    /// Whichever there is; there must be one.
    Anybodys,
    /// One of this database, `host:port/dbname`; there must be one.
    OfDatabase(String),
    /// Nobody's: there must be none.
    Nobodys,
}

impl Whose {
    /// Whether there must be one already.
    fn must_be_there(&self) -> bool {
        match self {
            Self::Anybodys | Self::OfDatabase(_) => true,
            Self::Its | Self::Nobodys => false,
        }
    }

    /// Whether a schedule may be changed into the one that is wanted.
    fn lets(&self, found: &Schedule, wanted: &Schedule) -> Result<(), Error> {
        match self {
            Self::Anybodys => Ok(()),
            Self::Its if found.plan.is_same_schedule(&wanted.plan) => Ok(()),
            Self::Its => Err(occupied(&wanted.name)),
            Self::Nobodys => {
                let why = "somebody else has just made it; ask again";
                let doing = format!("make schedule {}", wanted.name);
                Err(Error::new(doing, Kind::Occupied, why))
            }
            Self::OfDatabase(database) if found.plan.source.place() == *database => Ok(()),
            Self::OfDatabase(_) => {
                let why = "it is another database's by now";
                let doing = format!("change schedule {}", wanted.name);
                Err(Error::new(doing, Kind::Denied, why))
            }
        }
    }
}

/// What [`Engine::put`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was none.
    Created,
    /// It was as it should be, but perhaps for its secrets, which nobody reads back.
    Unchanged,
    /// This of it was otherwise.
    Changed(Vec<&'static str>),
}

impl Put {
    /// What writing a schedule does in the place of what was kept.
    #[must_use]
    pub fn of(schedule: &Schedule, before: Option<&Schedule>) -> Self {
        match before.map(|it| schedule.changes_from(it)) {
            None => Self::Created,
            Some(changes) if changes.is_empty() => Self::Unchanged,
            Some(changes) => Self::Changed(changes),
        }
    }
}

impl fmt::Display for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Changed(what) => write!(f, "changed {}", what.join(", ")),
        }
    }
}

/// A restore that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its name, on Kubernetes the Job's.
    pub name: String,
    /// Whose call has begun it.
    pub by: StartedBy,
}

/// Whose call has begun a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedBy {
    /// This one.
    ThisCall,
    /// An earlier one, and it is under way.
    Earlier,
    /// An earlier one, and it has ended.
    EarlierEnded,
}

impl StartedBy {
    /// For the log.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ThisCall => "this call",
            Self::Earlier => "an earlier call",
            Self::EarlierEnded => "an earlier call, which has ended",
        }
    }
}

/// What [`Engine::tidy`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Schedules that were as they should be.
    pub unchanged: usize,
    /// Schedules that were brought up to date.
    pub updated: usize,
    /// Leavings of a crash that were removed.
    pub removed: usize,
    /// Schedules that could not be brought up to date; each is in the log.
    pub left: usize,
}

impl Tidied {
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

    /// Whether anything was otherwise than it should be.
    #[must_use]
    pub fn found_something(&self) -> bool {
        self.updated + self.removed + self.left > 0
    }
}

/// What a directory that may not be a store leads to.
fn not_a_store(why: String) -> Error {
    Error::new("use the store that is named", Kind::Denied, why)
}

/// What tells a request from others: its name, or one that no other has.
fn request_or_any(request_id: &str) -> String {
    if request_id.is_empty() {
        uuid::Uuid::new_v4().to_string()
    } else {
        request_id.to_owned()
    }
}

/// What a schedule leads to that is not there.
fn no_schedule(doing: &str, name: &Name) -> Error {
    let why = "there is none";
    Error::new(format!("{doing} schedule {name}"), Kind::NotFound, why)
}

/// What is known of a schedule's drills and is so no more.
fn others_drills(name: &Name) -> Error {
    let why = "somebody else has just done that; ask again";
    Error::new(
        format!("keep how far the drills of schedule {name} are"),
        Kind::Conflict,
        why,
    )
}

/// How far a schedule's drills are, as it is kept. What cannot be read is begun anew: nothing that was due is made.
fn read_drills(kept: Option<&str>) -> Drills {
    let read = kept.map(crate::domain::kept::read);
    read.and_then(Result::ok).unwrap_or_default()
}

/// As it is kept, to be read by [`read_drills`]; none: there is nothing to keep.
fn written_drills(drills: &Drills) -> Option<String> {
    // Its keys are texts: nothing of it can fail.
    (!drills.are_none()).then(|| crate::domain::kept::write(drills).unwrap_or_default())
}

/// What a schedule leads to whose credentials are to stay, and that has none for the same place.
pub(crate) fn nothing_kept(name: &Name) -> Error {
    let why =
        "what is kept of its credentials is for another login or another bucket by now; give them";
    Error::new(format!("change schedule {name}"), Kind::Precondition, why)
}

/// What a question was asked for, in an error.
fn asked(task: &Task, of: &str) -> String {
    format!("{} of {of}", task.doing())
}

/// What a call leads to that is about a schedule of another database by now than it was allowed for.
fn moved(doing: &str) -> Error {
    let why = "the schedule is for another database or store by now; ask again";
    Error::new(doing, Kind::Conflict, why)
}

/// What a question leads to that is about one database's backups, and does not say whose.
fn of_no_database(doing: &str) -> Error {
    Error::new(
        doing,
        Kind::Invalid,
        "no database is named whose backups are meant",
    )
}

fn occupied(name: &Name) -> Error {
    let why = "it serves another database, bucket or time by now";
    Error::new(format!("make schedule {name}"), Kind::Occupied, why)
}

/// What a restore into a database that something else is being restored into meets.
fn different(run: &str) -> Error {
    let why = format!("{run} is restoring into this database, as another request has asked");
    Error::new("start a restore", Kind::Precondition, why)
}
