//! Which backups are kept: `MAX_BACKUP_COUNT`, `RETENTION_DAYS` and the like.

use std::str::FromStr;

use clap::Args;

use super::parse::flag;
use super::var::Var;
use crate::retention::{AtLeast, Calendar, Retention, Rules, Zone};

/// What is kept of a source's backups: what any of the rules keeps; all where there is no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RetentionSettings {
    /// How many of the newest complete backups of this source to keep; 0 or empty: all of them, as long as no other rule is set.
    #[arg(env = "MAX_BACKUP_COUNT", default_value = "0", value_parser = Retention::from_str)]
    pub last: Retention,

    /// By age and by the calendar.
    #[command(flatten)]
    pub calendar: CalendarSettings,

    /// true: the rules also count and remove backups that are single objects, such as the published adapter's.
    #[arg(env = "RETENTION_OBJECTS", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub objects: bool,
}

/// What is kept by age and by the calendar, and whatever the rules say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct CalendarSettings {
    /// For how many hours to keep the newest backup of each hour; 0: no such rule.
    #[arg(env = "KEEP_HOURLY", default_value = "0", value_parser = count)]
    pub hourly: u32,

    /// For how many days to keep the newest backup of each day; 0: no such rule.
    #[arg(env = "KEEP_DAILY", default_value = "0", value_parser = count)]
    pub daily: u32,

    /// For how many weeks to keep the newest backup of each ISO week; 0: no such rule.
    #[arg(env = "KEEP_WEEKLY", default_value = "0", value_parser = count)]
    pub weekly: u32,

    /// For how many months to keep the newest backup of each month; 0: no such rule.
    #[arg(env = "KEEP_MONTHLY", default_value = "0", value_parser = count)]
    pub monthly: u32,

    /// For how many years to keep the newest backup of each year; 0: no such rule.
    #[arg(env = "KEEP_YEARLY", default_value = "0", value_parser = count)]
    pub yearly: u32,

    /// For how many days to keep every backup; 0: no such rule.
    #[arg(env = "RETENTION_DAYS", default_value = "0", value_parser = count)]
    pub days: u32,

    /// How many complete backups stay whatever the rules say, 1 or more.
    #[arg(env = "KEEP_AT_LEAST", default_value = "1", value_parser = AtLeast::from_str)]
    pub at_least: AtLeast,

    /// The time zone, by its IANA name, whose days, weeks, months and years are meant.
    #[arg(env = "RETENTION_TIME_ZONE", default_value = "UTC", value_parser = Zone::from_str)]
    pub zone: Zone,
}

impl RetentionSettings {
    /// The rules that are set.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let Self {
            last,
            calendar,
            objects: _,
        } = self.clone();
        let CalendarSettings {
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days,
            at_least,
            zone,
        } = calendar;
        Rules {
            last,
            calendar: Calendar {
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                days,
            },
            at_least,
            zone,
        }
    }

    /// The variables of this part of the contract; what is as it is without them has none.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            last,
            calendar,
            objects,
        } = self;
        let mut vars = vec![Var::plain("MAX_BACKUP_COUNT", last.to_string())];
        vars.extend(calendar.to_env());
        vars.extend(objects.then(|| Var::plain("RETENTION_OBJECTS", "true")));
        vars
    }
}

impl CalendarSettings {
    fn to_env(&self) -> Vec<Var> {
        let Self {
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days,
            at_least,
            zone,
        } = self;
        let counts = [
            ("KEEP_HOURLY", hourly),
            ("KEEP_DAILY", daily),
            ("KEEP_WEEKLY", weekly),
            ("KEEP_MONTHLY", monthly),
            ("KEEP_YEARLY", yearly),
            ("RETENTION_DAYS", days),
        ];
        let set = counts.into_iter().filter(|(_, count)| **count > 0);
        let mut vars: Vec<Var> = set
            .map(|(name, count)| Var::plain(name, count.to_string()))
            .collect();
        if *at_least != AtLeast::default() {
            vars.push(Var::plain("KEEP_AT_LEAST", at_least.to_string()));
        }
        if !zone.is_utc() {
            vars.push(Var::plain("RETENTION_TIME_ZONE", zone.to_string()));
        }
        vars
    }
}

/// Reads how many of something a rule is for; empty: 0, no such rule.
fn count(text: &str) -> Result<u32, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse()
        .map_err(|_not_a_count: std::num::ParseIntError| {
            format!(
                "a count of 0 or more is needed, {} at most; 0 is no such rule",
                u32::MAX
            )
        })
}
