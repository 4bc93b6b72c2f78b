//! The time zone that a schedule's times are in.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};

/// How many changes of a zone's offset a time is looked for behind: two a year, and nine years.
const CHANGES: usize = 32;
/// What UTC is called in a CronJob.
const UTC: &str = "Etc/UTC";

/// A time zone that IANA has a name for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone(Option<TimeZone>);

/// What a text is that is no zone's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time zone that IANA has a name for, such as Europe/Berlin")]
pub struct NotAZone(String);

impl Zone {
    /// Whether it is UTC.
    #[must_use]
    pub fn is_utc(&self) -> bool {
        self.0.is_none()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.0.as_ref().and_then(TimeZone::iana_name);
        name.unwrap_or(UTC)
    }

    /// The first time after this one that `next` finds by the clocks of the zone. What they skip does not
    /// come, and what they show twice comes twice, as CronJobs have it.
    pub(super) fn next_after(
        &self,
        time: Timestamp,
        next: impl Fn(DateTime) -> Option<DateTime>,
    ) -> Option<Timestamp> {
        let utc = TimeZone::UTC;
        let zone = self.0.as_ref().unwrap_or(&utc);
        let mut offset = zone.to_offset(time);
        let mut since = time;
        let mut clock = offset.to_datetime(time);
        for _ in 0..CHANGES {
            let found = offset.to_timestamp(next(clock)?).ok()?;
            let change = zone.following(since).next();
            let Some(change) = change.filter(|it| it.timestamp() <= found) else {
                return Some(found);
            };
            since = change.timestamp();
            offset = change.offset();
            // The moment of the change itself may be a time of the schedule.
            let just_before = Span::new().seconds(1);
            clock = offset.to_datetime(since).checked_sub(just_before).ok()?;
        }
        None
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    /// By what is in the program: the same on every machine.
    fn from_str(text: &str) -> Result<Self, NotAZone> {
        if matches!(text, "" | "UTC" | UTC) {
            return Ok(Self::default());
        }
        let zone = TimeZoneDatabase::bundled().get(text);
        // A CronJob's controller takes a name only as IANA writes it.
        match zone {
            Ok(zone) if zone.iana_name() == Some(text) => Ok(Self(Some(zone))),
            Ok(_) | Err(_) => Err(NotAZone(text.to_owned())),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cron::Cron;

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let cron = Cron::in_zone(cron, zone.parse().unwrap()).unwrap();
        let after: Timestamp = after.parse().unwrap();
        cron.next_after(after).unwrap().to_string()
    }

    /// A schedule, its zone, a time, the next time.
    const TIMES: [[&str; 4]; 12] = [
        [
            "0 3 * * *",
            "Europe/Berlin",
            "2026-07-01T00:00:00Z",
            "2026-07-01T01:00:00Z",
        ],
        [
            "0 3 * * *",
            "Europe/Berlin",
            "2026-12-01T00:00:00Z",
            "2026-12-01T02:00:00Z",
        ],
        [
            "0 3 * * *",
            "Asia/Kolkata",
            "2026-07-01T00:00:00Z",
            "2026-07-01T21:30:00Z",
        ],
        [
            "0 3 * * *",
            "UTC",
            "2026-07-01T00:00:00Z",
            "2026-07-01T03:00:00Z",
        ],
        // In spring 2:30 is skipped, and 3:00 is the moment of the change.
        [
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-30T00:30:00Z",
        ],
        [
            "0 3 * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
        ],
        // In autumn 2:30 comes twice.
        [
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:30:00Z",
        ],
        [
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
        ],
        [
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T01:30:00Z",
            "2026-10-26T01:30:00Z",
        ],
        [
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
        ],
        [
            "0 0 1 1 *",
            "America/New_York",
            "2026-03-01T00:00:00Z",
            "2027-01-01T05:00:00Z",
        ],
        [
            "@every 90m",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:30:00Z",
        ],
    ];

    #[test]
    fn a_time_is_that_of_the_zones_clocks() {
        for [cron, zone, after, expected] in TIMES {
            assert_eq!(next(cron, zone, after), expected, "{cron} {zone} {after}");
        }
    }

    #[test]
    fn what_no_controller_takes_is_no_zone() {
        for text in [
            "Berlin",
            "europe/berlin",
            "Local",
            "CET+1",
            "+02:00",
            "Europe/Berlin ",
        ] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
        for text in ["", "UTC", "Etc/UTC"] {
            assert!(text.parse::<Zone>().unwrap().is_utc(), "{text}");
        }
    }
}
