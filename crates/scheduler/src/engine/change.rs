//! What an engine tells of its schedules and runs.

use jiff::Timestamp;

use crate::domain::drills::Drills;
use crate::domain::name::Name;
use crate::domain::run::Run;
use crate::domain::schedule::Schedule;

/// One thing that an engine tells. A stream of them begins with all that there is, and goes on with
/// what changes; where an engine cannot go on, it begins anew by itself. Whoever keeps what it is told
/// needs no other cursor: what was not told again between [`Change::Listing`] and [`Change::Listed`] is
/// gone.
#[derive(Clone, Debug)]
pub enum Change {
    /// All of these are told anew.
    Listing(Things),
    /// All of these were told.
    Listed(Things),
    /// A schedule as it is now.
    Schedule(Box<Scheduled>),
    /// A schedule that is gone.
    ScheduleGone(Name),
    /// A run as it is now.
    Run(Box<Run>),
    /// A run that is not known any more, by its [`Run::id`].
    RunGone(String),
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Things {
    /// The schedules.
    Schedules,
    /// The runs.
    Runs,
}

/// A schedule, and what its engine knows of it beside what it is.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// What it is.
    pub schedule: Schedule,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it does not run for now.
    pub suspended: bool,
    /// The last success that its engine remembers, however old its run is.
    pub last_success: Option<Timestamp>,
    /// How far its drills are.
    pub drills: Drills,
}
