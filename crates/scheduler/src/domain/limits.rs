//! How long runs may take, and how long they may wait: the same on every engine.

use std::time::Duration;

use super::cron::Cron;

/// What a backup always has, and what none has more than, unless the administrator says so.
const SHORTEST: Duration = Duration::from_secs(2 * 3600);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What the administrator decides about runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a backup may take in all, retries included; none: what its schedule leaves.
    pub backup: Option<Duration>,
    /// How long a restore may take.
    pub restore: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            backup: None,
            restore: LONGEST,
        }
    }
}

impl Limits {
    /// How long a backup of this schedule may take. One that hangs keeps those after it from running:
    /// of an hourly schedule a whole day of them, were it a day for all. Three intervals are for one
    /// that is slow once, two hours for schedules that come more often than a large database can be
    /// read, and no backup has more than a day.
    #[must_use]
    pub fn of_backup(&self, cron: &Cron) -> Duration {
        self.backup.unwrap_or_else(|| {
            cron.shortest_interval().map_or(LONGEST, |it| {
                let three = it.unsigned_abs().saturating_mul(3);
                three.clamp(SHORTEST, LONGEST)
            })
        })
    }
}
