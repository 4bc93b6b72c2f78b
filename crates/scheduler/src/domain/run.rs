//! A run of a worker, from its beginning to its end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::drilled::Drilled;

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Making backups.
    Backup,
    /// Restoring one.
    Restore,
}

impl Component {
    /// The word in labels and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// A run as its engine knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What it is for.
    pub component: Component,
    /// Its name, on Kubernetes the Job's.
    pub name: String,
    /// What no other run of that name has.
    pub id: String,
    /// Its schedule, when it has one.
    pub schedule: Option<String>,
    /// The database, `host:port/dbname`; empty where that is not known.
    pub database: String,
    /// Whose backup it proves; none: it is no drill.
    pub drilled: Option<Drilled>,
    /// How far it is.
    pub state: State,
    /// When it was asked for, or was due.
    pub created: Timestamp,
    /// When its worker began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Whether its end was told: in the log, in metrics, as an event. It is told once.
    pub told: bool,
}

impl Run {
    /// The databases that it is about: who may do something with one of them may do it with the run. That of a
    /// drill is nobody's, and so it is its who has the database that was backed up.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        let drilled = self.drilled.iter().map(|it| it.source.as_str());
        let source = drilled.filter(|it| !it.is_empty());
        std::iter::once(self.database.as_str()).chain(source)
    }

    /// Whole seconds from the worker's beginning to the end.
    #[must_use]
    pub fn seconds(&self) -> Option<i64> {
        let (started, ended) = (self.started?, self.ended?);
        Some(ended.as_second().saturating_sub(started.as_second()).max(0))
    }
}

/// A run that another program has begun, where ours are begun too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The run.
    pub run: Run,
    /// What that program has labelled it with.
    pub labels: BTreeMap<String, String>,
    /// What it has noted on it.
    pub annotations: BTreeMap<String, String>,
}

/// How far a run is. A run that has ended stays as it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// For its turn, or for another try.
    Waiting,
    /// A worker is at it.
    Running,
    /// Not any more.
    Ended(Ending),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Ending {
    /// Well.
    Succeeded {
        /// The worker's last sentence, when somebody is there to tell.
        message: Option<String>,
    },
    /// Not well.
    Failed {
        /// One word for it: `BackoffLimitExceeded`, `DeadlineExceeded`, …
        reason: String,
        /// The worker's exit code, when somebody is there to tell.
        exit_code: Option<i32>,
        /// The worker's last sentence, when somebody is there to tell.
        message: Option<String>,
        /// The tries that it took.
        #[serde(default, skip_serializing_if = "Attempts::are_unknown")]
        attempts: Attempts,
    },
    /// Somebody has ended it.
    Cancelled,
    /// It had waited longer than it may, and did not begin.
    Expired,
}

/// The tries of a run that has failed, as far as anybody tells of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// How many have failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// The pod of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

impl Attempts {
    fn are_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl Ending {
    /// The reason of a run whose worker was the scheduler's child and was stopped with it.
    pub const STOPPED: &str = "Stopped";
    /// The same where the scheduler's end was sudden.
    pub const INTERRUPTED: &str = "Interrupted";

    /// A bad end of which nobody tells how many tries it took.
    #[must_use]
    pub fn failed(reason: &str, exit_code: Option<i32>, message: Option<String>) -> Self {
        Self::Failed {
            reason: reason.to_owned(),
            exit_code,
            message,
            attempts: Attempts::default(),
        }
    }

    /// Whether the scheduler's own end has ended it, where its worker is the scheduler's child.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Failed { reason, exit_code: None, .. }
            if reason == Self::INTERRUPTED || reason == Self::STOPPED)
    }
}

impl State {
    /// Whether a run in this state may come into that one: an end is for good.
    #[must_use]
    pub fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Ended(one), Self::Ended(other)) => one.word() == other.word(),
            (Self::Ended(_), Self::Waiting | Self::Running) => false,
            (Self::Waiting | Self::Running, _) => true,
        }
    }

    /// The end, where it has come.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Ended(ending) => Some(ending),
            Self::Waiting | Self::Running => None,
        }
    }

    /// The word in metrics and lists.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended(ending) => ending.word(),
        }
    }
}

impl Ending {
    /// The word in metrics and lists.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// What a bad end took.
    #[must_use]
    pub fn attempts(&self) -> Option<&Attempts> {
        match self {
            Self::Failed { attempts, .. } => Some(attempts),
            Self::Succeeded { .. } | Self::Cancelled | Self::Expired => None,
        }
    }

    /// The worker's last sentence.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Succeeded { message } | Self::Failed { message, .. } => message.as_deref(),
            Self::Cancelled | Self::Expired => None,
        }
    }
}
