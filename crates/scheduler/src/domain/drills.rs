//! Drills of a schedule at times of their own: what is asked for, and what is kept of them beside the schedule.

mod step;
mod times;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::cron::Cron;
use super::database::Database;
use super::drilled::Verification;
use super::kept::Kept;
use super::schedule::Schedule;

pub use step::{Facts, Step, step};
pub use times::{Followed, Next, Occasion, next};

/// The name under which an engine keeps the password of a server that drills have for themselves, beside those of
/// the schedule's workers.
pub const PASSWORD: &str = "VERIFY_PASSWORD";

/// How a schedule's backups are proved.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verify {
    /// When.
    #[serde_as(as = "DisplayFromStr")]
    pub cron: Cron,
    /// Where the throw-away database is made, and as which role; its name is no more than a name. None: on the
    /// schedule's own server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Database>,
    /// What is asked of what has come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sql: Vec<String>,
}

/// But for secrets, of which nobody knows whether they are the same.
impl PartialEq for Verify {
    fn eq(&self, other: &Self) -> bool {
        let server = |it: &Self| {
            it.server.as_ref().map(|it| {
                (
                    (it.host.clone(), it.port, it.user.clone()),
                    it.password.is_given(),
                    it.password.reference().cloned(),
                    (it.sslmode, it.authorities.clone()),
                )
            })
        };
        self.cron == other.cron && self.sql == other.sql && server(self) == server(other)
    }
}

impl Eq for Verify {}

impl Verify {
    /// Whether both restore as one role of one server; `own` and `others` are their schedules' databases.
    #[must_use]
    pub fn has_login_of(&self, own: &Database, other: &Self, others: &Database) -> bool {
        let (server, its) = (self.server.as_ref(), other.server.as_ref());
        server.unwrap_or(own).has_login_of(its.unwrap_or(others))
    }

    /// The password that is for its server alone.
    #[must_use]
    pub fn password(&self) -> Option<&super::credential::Credential> {
        let server = self.server.as_ref()?;
        Some(&server.password).filter(|it| it.is_given())
    }
}

/// What an engine keeps beside a schedule of its drills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drills {
    /// Of which database and store; of others nothing of it says anything.
    pub of: String,
    /// Which times are followed, and how far.
    pub followed: Followed,
    /// The one that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
    /// What they have shown, which outlives their runs.
    pub shown: Verification,
}

/// A drill that has begun, or begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// What its run is asked for with: whoever asks again finds the same one.
    pub request: String,
    /// When it was kept that it is to begin.
    pub since: Timestamp,
    /// Its run; none: nobody could keep yet that it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How often it was begun again, since the scheduler's own end had ended it.
    #[serde(default)]
    pub again: u8,
}

impl Kept for Drills {
    fn version(&self) -> u32 {
        1
    }
}

impl Drills {
    /// Of which database and store a schedule's are.
    #[must_use]
    pub fn place(schedule: &Schedule) -> String {
        let (source, server, bucket) = schedule.plan.place();
        format!("{source} {server} {bucket}")
    }

    /// What drills have shown of what a schedule backs up now.
    #[must_use]
    pub fn shown_of(&self, schedule: &Schedule) -> Option<&Verification> {
        (self.of == Self::place(schedule)).then_some(&self.shown)
    }

    /// Whether there is nothing to keep.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}
