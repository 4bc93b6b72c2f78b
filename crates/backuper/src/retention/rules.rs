//! What is to be kept, as settings say it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use super::calendar::Period;
use super::decision::Gone;

/// How many of the newest complete backups of one source are kept; 0 is no rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention(pub u32);

impl Retention {
    pub(super) fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(0));
        }
        text.parse()
            .map(Self)
            .map_err(|_not_a_count: std::num::ParseIntError| {
                format!(
                    "a count of 0 or more is needed, {} at most; 0 keeps all",
                    u32::MAX
                )
            })
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// How many complete backups stay whatever the rules say: the newest ones, never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AtLeast(pub NonZeroU32);

impl AtLeast {
    pub(super) fn count(self) -> usize {
        usize::try_from(self.0.get()).unwrap_or(usize::MAX)
    }
}

impl Default for AtLeast {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl FromStr for AtLeast {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self::default()),
            _ => text.parse().map(Self).map_err(|_not_a_count| {
                "a count of 1 or more is needed: the newest complete backup always stays"
            }),
        }
    }
}

impl fmt::Display for AtLeast {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Rules that depend on a clock; 0 is no rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calendar {
    /// For so many hours, the newest backup of each hour.
    pub hourly: u32,
    /// For so many days, the newest of each calendar day.
    pub daily: u32,
    /// For so many times seven days, the newest of each ISO week.
    pub weekly: u32,
    /// For so many months, the newest of each calendar month.
    pub monthly: u32,
    /// For so many years, the newest of each calendar year.
    pub yearly: u32,
    /// For so many days, all.
    pub days: u32,
}

impl Calendar {
    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules that keep the newest of something, with their counts.
    pub(super) fn periods(&self) -> impl Iterator<Item = (Period, u32)> {
        let Self {
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days: _,
        } = *self;
        [
            (Period::Hour, hourly),
            (Period::Day, daily),
            (Period::Week, weekly),
            (Period::Month, monthly),
            (Period::Year, yearly),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}

/// What is to be kept of one source's backups: what any of the rules keeps. Without any rule, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// So many of the newest.
    pub last: Retention,
    /// By age and by the calendar.
    pub calendar: Calendar,
    /// So many complete ones whatever the rules say.
    pub at_least: AtLeast,
    /// Whose days, weeks, months and years are meant.
    pub zone: Zone,
}

impl Rules {
    /// Whether nothing is ever removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.0 == 0 && self.calendar.is_empty()
    }

    /// Why something goes that no rule keeps.
    pub(super) fn why_gone(&self) -> Gone {
        let Calendar { days, .. } = self.calendar;
        if days > 0 {
            return Gone::Old(days);
        }
        if self.calendar.is_empty() {
            return Gone::NotLast(self.last);
        }
        Gone::Unkept
    }
}

/// A time zone by its IANA name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// What a text is that is no zone's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time zone that IANA has a name for, such as Europe/Berlin")]
pub struct NotAZone(String);

impl Zone {
    pub(super) fn time_zone(&self) -> TimeZone {
        self.0.clone()
    }

    /// Whether it is UTC.
    #[must_use]
    pub fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    /// By what is in the program: the same on every machine.
    fn from_str(text: &str) -> Result<Self, NotAZone> {
        if matches!(text, "" | "UTC" | "Etc/UTC") {
            return Ok(Self::default());
        }
        let zone = TimeZoneDatabase::bundled().get(text);
        let zone = zone.map_err(|_unknown| NotAZone(text.to_owned()))?;
        Ok(Self(zone))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_a_name_and_at_least_one_stays() {
        for name in ["UTC", "Europe/Berlin", "Asia/Kathmandu"] {
            assert_eq!(name.parse::<Zone>().unwrap().to_string(), name);
        }
        assert!("".parse::<Zone>().unwrap().is_utc());
        for wrong in ["Berlin", "CET-1CEST", "+01:00", "../etc/passwd"] {
            let error = wrong.parse::<Zone>().unwrap_err().to_string();
            assert!(error.contains("IANA"), "{error}");
        }
        assert_eq!("".parse(), Ok(AtLeast::default()));
        for wrong in ["0", "-1", "some"] {
            let error = wrong.parse::<AtLeast>().unwrap_err();
            assert!(error.contains("1 or more"), "{error}");
        }
    }
}
