//! Hours, days, weeks, months and years of a time zone.

use std::fmt;

use jiff::civil::{Date, ISOWeekDate};
use jiff::tz::Offset;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// A part of the calendar of which the newest backup is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// An hour of a clock.
    Hour,
    /// A calendar day.
    Day,
    /// An ISO week, from Monday on.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// An hour; a clock that is put back shows two of one name.
    Hour(Date, i8, Offset),
    /// A day.
    Day(Date),
    /// A week.
    Week(ISOWeekDate),
    /// The first of a month.
    Month(Date),
    /// A year.
    Year(i16),
}

impl Period {
    /// As rules call it.
    #[must_use]
    pub fn adverb(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The moment so many periods before, as Go's `AddDate` counts: by the clocks of the zone, and what
    /// is over the end of a month is in the next one. One month before March 31 is March 3.
    #[must_use]
    pub fn before(self, now: &Zoned, count: u32) -> Timestamp {
        let found = match self {
            Self::Hour => {
                let hours = SignedDuration::from_hours(count.into());
                now.timestamp().checked_sub(hours).ok()
            }
            Self::Day => days_before(now, count.into()),
            Self::Week => days_before(now, i64::from(count) * 7),
            Self::Month => months_before(now, count.into()),
            Self::Year => months_before(now, i64::from(count) * 12),
        };
        // Before all times that there are: nothing is that old.
        found.unwrap_or(Timestamp::MIN)
    }

    /// The one that a moment is in.
    #[must_use]
    pub fn slot(self, clock: &Zoned) -> Slot {
        let date = clock.date();
        match self {
            Self::Hour => Slot::Hour(date, clock.hour(), clock.offset()),
            Self::Day => Slot::Day(date),
            Self::Week => {
                let week = date.iso_week_date();
                let monday =
                    ISOWeekDate::new(week.year(), week.week(), jiff::civil::Weekday::Monday);
                Slot::Week(monday.unwrap_or(week))
            }
            Self::Month => Slot::Month(date.first_of_month()),
            Self::Year => Slot::Year(date.year()),
        }
    }
}

fn days_before(now: &Zoned, days: i64) -> Option<Timestamp> {
    let span = Span::new().try_days(days).ok()?;
    Some(now.checked_sub(span).ok()?.timestamp())
}

fn months_before(now: &Zoned, months: i64) -> Option<Timestamp> {
    let all = i64::from(now.year()) * 12 + i64::from(now.month()) - 1 - months;
    let year = i16::try_from(all.div_euclid(12)).ok()?;
    let month = i8::try_from(all.rem_euclid(12) + 1).ok()?;
    let first = Date::new(year, month, 1).ok()?;
    let date = first.checked_add(Span::new().days(now.day() - 1)).ok()?;
    let zoned = date
        .to_datetime(now.time())
        .to_zoned(now.time_zone().clone());
    Some(zoned.ok()?.timestamp())
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour(date, hour, _) => write!(formatter, "{date} {hour:02}h"),
            Self::Day(date) => write!(formatter, "{date}"),
            Self::Week(week) => write!(formatter, "{}-W{:02}", week.year(), week.week()),
            Self::Month(first) => write!(formatter, "{}", first.strftime("%Y-%m")),
            Self::Year(year) => write!(formatter, "{year}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(period: Period, count: u32, now: &str) -> String {
        let now: Zoned = now.parse().unwrap();
        let zone = now.time_zone().clone();
        let before = period.before(&now, count).to_zoned(zone);
        before.strftime("%Y-%m-%d %H:%M").to_string()
    }

    #[test]
    fn months_before_are_gos() {
        for (count, now, then) in [
            (1, "2026-03-31T12:00[UTC]", "2026-03-03 12:00"),
            (1, "2024-03-31T12:00[UTC]", "2024-03-02 12:00"),
            (2, "2026-03-31T12:00[UTC]", "2026-01-31 12:00"),
            (4, "2026-01-20T12:00[UTC]", "2025-09-20 12:00"),
            (1, "2026-01-31T12:00[UTC]", "2025-12-31 12:00"),
            (13, "2026-01-20T12:00[UTC]", "2024-12-20 12:00"),
        ] {
            assert_eq!(before(Period::Month, count, now), then, "{count} {now}");
        }
        assert_eq!(
            before(Period::Year, 1, "2024-02-29T12:00[UTC]"),
            "2023-03-01 12:00"
        );
    }

    #[test]
    fn days_are_of_the_zones_clocks_and_hours_are_not() {
        // The clocks were put forward on March 29.
        let now = "2026-03-29T12:00[Europe/Berlin]";
        assert_eq!(before(Period::Day, 1, now), "2026-03-28 12:00");
        assert_eq!(before(Period::Hour, 24, now), "2026-03-28 11:00");
    }

    #[test]
    fn nothing_is_older_than_the_beginning_of_time() {
        let now: Zoned = "2026-03-29T12:00[UTC]".parse().unwrap();
        for period in [
            Period::Hour,
            Period::Day,
            Period::Week,
            Period::Month,
            Period::Year,
        ] {
            assert_eq!(period.before(&now, u32::MAX), Timestamp::MIN);
        }
    }

    #[test]
    fn a_slot_is_called_as_people_call_it() {
        let clock: Zoned = "2027-01-01T05:30[Europe/Berlin]".parse().unwrap();
        for (period, name) in [
            (Period::Hour, "2027-01-01 05h"),
            (Period::Day, "2027-01-01"),
            (Period::Week, "2026-W53"),
            (Period::Month, "2027-01"),
            (Period::Year, "2027"),
        ] {
            assert_eq!(period.slot(&clock).to_string(), name);
        }
    }
}
