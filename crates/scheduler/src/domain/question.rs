//! What a worker is asked that answers at once and is no run.

use std::time::Duration;

use backuper::job::{BackupSource, RetentionSettings, ScheduleName};

use super::database::Database;
use super::name::Name;
use super::options::Options;
use super::store::Store;

/// A question, and what it is about.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked.
    pub task: Task,
    /// What it is about.
    pub about: About,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Which backups there are.
    List,
    /// What one backup is.
    Show {
        /// Its folder or key.
        key: String,
    },
    /// To delete one backup.
    Delete {
        /// Its folder or key.
        key: String,
        /// Though it is the only complete one.
        last: bool,
        /// Only to say what would be deleted.
        validate_only: bool,
    },
    /// To pin one backup, so that no retention removes it.
    Pin {
        /// Its folder or key.
        key: String,
    },
    /// To take one backup's pin away.
    Unpin {
        /// Its folder or key.
        key: String,
    },
    /// What retention would remove, and why.
    Retention {
        /// The schedule whose backups are judged, where they are counted apart.
        schedule: Option<ScheduleName>,
        /// By which rules.
        rules: Box<RetentionSettings>,
    },
    /// What would make a backup or a restore fail.
    Check,
}

/// What a question is about.
#[derive(Clone, Debug)]
pub enum About {
    /// A schedule's database and store, by its credentials.
    Schedule {
        /// Its name.
        name: Name,
        /// The database that it is to be of, `host:port/dbname`; empty: whichever it is of.
        place: String,
        /// Which of its databases, where it is of several; none: all of them.
        of: Option<BackupSource>,
    },
    /// What a caller has given.
    Given(Box<Given>),
}

/// Places that a caller has given.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The database whose backups are meant.
    pub source: Option<BackupSource>,
    /// Whether its name is a list, and those of all that it means.
    pub several: bool,
    /// A database and how to get into it, where it is asked about.
    pub database: Option<Database>,
    /// A store, where it is asked about.
    pub store: Option<Store>,
    /// What the schedule has of its own whose places these are.
    pub options: Options,
}

impl About {
    /// A schedule, of whichever database, or one of its databases.
    #[must_use]
    pub fn schedule(name: Name, of: Option<BackupSource>) -> Self {
        let place = String::new();
        Self::Schedule { name, place, of }
    }
}

impl Task {
    /// The backup that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Show { key }
            | Self::Delete { key, .. }
            | Self::Pin { key }
            | Self::Unpin { key } => Some(key),
            Self::List | Self::Retention { .. } | Self::Check => None,
        }
    }

    /// How long an answer may take. What has begun to delete ends it.
    #[must_use]
    pub fn limit(&self) -> Duration {
        match self {
            Self::List
            | Self::Show { .. }
            | Self::Pin { .. }
            | Self::Unpin { .. }
            | Self::Retention { .. }
            | Self::Check => Duration::from_secs(45),
            Self::Delete { .. } => Duration::from_secs(600),
        }
    }

    /// In few words, for sentences: to do what.
    #[must_use]
    pub fn doing(&self) -> &'static str {
        match self {
            Self::List => "list the backups",
            Self::Show { .. } => "look at a backup",
            Self::Delete { .. } => "delete a backup",
            Self::Pin { .. } => "pin a backup",
            Self::Unpin { .. } => "unpin a backup",
            Self::Retention { .. } => "say what retention would remove",
            Self::Check => "check what would fail",
        }
    }
}
