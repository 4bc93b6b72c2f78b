//! What is known of the restore drills of a schedule: whether its backups come back.

use jiff::{SignedDuration, Timestamp};

/// What is known of the restore drills of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The schedule; of an object its namespace and name.
    pub schedule: String,
    /// The database, `host:port/dbname`; empty where that is not known.
    pub database: String,
    /// Since when it is to be verified at these times.
    pub since: Timestamp,
    /// When a drill has last passed.
    pub last: Option<Timestamp>,
    /// Whether the last one that has ended has passed.
    pub passed: Option<bool>,
    /// The longest time between two drills.
    pub interval: Option<SignedDuration>,
}
