//! What is decided about one backup, and why, in a sentence.

use std::fmt;

use jiff::SignedDuration;

use super::Hold;
use super::calendar::{Period, Slot};
use super::rules::{AtLeast, Retention, Rules};

/// Whether one backup stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Kept(Reason),
    /// It goes.
    Goes(Gone),
}

impl Decision {
    /// Whether it goes.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self, Self::Goes(_))
    }
}

/// Why a backup stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing says what goes.
    NoRule,
    /// It is among the newest.
    Last(Retention),
    /// It is younger than so many days.
    Young(u32),
    /// It is the newest of that part of the calendar, which a rule of so many keeps.
    Newest(Slot, Period, u32),
    /// It is one of the complete ones that always stay.
    AtLeast(AtLeast),
    /// Whatever the rules say.
    Held(Hold),
    /// It is of the future.
    Future,
    /// It would go, and nothing is removed now.
    Paused(Pause),
}

/// Why nothing is removed for the time being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A backup of the source is being restored.
    Restoring,
    /// What was tried after the newest complete backup has failed.
    Failing,
    /// There was no backup for so long before the newest one.
    Gap(SignedDuration),
}

impl Pause {
    /// Whether these rules pause for it. A count does not grow old.
    pub(super) fn stops(&self, rules: &Rules) -> bool {
        match self {
            Self::Restoring => true,
            Self::Failing | Self::Gap(_) => !rules.calendar.is_empty(),
        }
    }
}

/// Why a backup goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It is not among so many, and there is no other rule.
    NotLast(Retention),
    /// It is older than so many days, and no other rule keeps it.
    Old(u32),
    /// No rule keeps it.
    Unkept,
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(reason) => write!(formatter, "kept: {reason}"),
            Self::Goes(gone) => write!(formatter, "goes: {gone}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => formatter.write_str("no rule says what goes"),
            Self::Last(last) => write!(formatter, "one of the last {last}"),
            Self::Young(days) => write!(formatter, "not older than {days} days"),
            Self::Newest(slot, period, count) => {
                write!(formatter, "newest of {slot} ({} {count})", period.adverb())
            }
            Self::AtLeast(count) if count.count() == 1 => {
                formatter.write_str("the newest complete one, which always stays")
            }
            Self::AtLeast(count) => {
                write!(
                    formatter,
                    "one of the newest {count} complete ones, which always stay"
                )
            }
            Self::Held(hold) => hold.fmt(formatter),
            Self::Future => formatter
                .write_str("of the future, so a clock is or was wrong, and it does not count"),
            Self::Paused(pause) => write!(formatter, "no rule keeps it, but {pause}"),
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => formatter.write_str("pinned"),
            Self::Locked(None) => formatter.write_str("the store has locked it"),
            Self::Locked(Some(until)) => write!(formatter, "the store has locked it until {until}"),
            Self::Made => formatter.write_str("the newest complete one, which always stays"),
            Self::Later => formatter.write_str(
                "later than the newest one, by its name or by the store, so a clock is or was wrong",
            ),
            Self::Unfinished => formatter.write_str("it is being made"),
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restoring => formatter
                .write_str("a backup of this database is being restored, so nothing is removed"),
            Self::Failing => formatter.write_str(
                "what was tried after the newest complete backup has failed, so nothing is removed by age before there is a newer one",
            ),
            Self::Gap(gap) => write!(
                formatter,
                "there was no backup for {} days before the newest one, or a clock has jumped, so nothing is removed by age before the next one",
                gap.as_hours() / 24
            ),
        }
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLast(last) => write!(formatter, "not one of the last {last}"),
            Self::Old(days) => write!(formatter, "older than {days} days, and no rule keeps it"),
            Self::Unkept => formatter.write_str("no rule keeps it"),
        }
    }
}
