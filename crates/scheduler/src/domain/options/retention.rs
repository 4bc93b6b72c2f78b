//! A schedule's own rules of retention.

use backuper::job::{CalendarSettings, RetentionSettings};
use backuper::retention::{AtLeast, Calendar, Retention, Zone};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

/// What is kept beside the newest ones that are counted, in the place of the administrator's rules.
#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnRetention {
    /// By age and by the calendar.
    pub rules: Calendar,
    /// How many stay whatever the rules say.
    pub at_least: AtLeast,
    /// Whose days, weeks, months and years are meant.
    #[serde_as(as = "DisplayFromStr")]
    pub zone: Zone,
    /// Whether single objects are judged too, of which nothing says whose they are.
    pub objects: bool,
}

impl OwnRetention {
    /// The rules that a worker is told, beside so many of the newest.
    #[must_use]
    pub fn beside(&self, last: Retention) -> RetentionSettings {
        let Self {
            rules,
            at_least,
            zone,
            objects,
        } = self.clone();
        let Calendar {
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days,
        } = rules;
        RetentionSettings {
            last,
            calendar: CalendarSettings {
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                days,
                at_least,
                zone,
            },
            objects,
        }
    }

    /// How far back the rules reach that depend on a clock; zero where there is none.
    #[must_use]
    pub fn reach(&self) -> SignedDuration {
        let Calendar {
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days,
        } = self.rules;
        let hours = [
            (hourly, 1),
            (daily, 24),
            (days, 24),
            (weekly, 7 * 24),
            (monthly, 28 * 24),
            (yearly, 365 * 24),
        ];
        let longest = hours.map(|(count, hours)| i64::from(count).saturating_mul(hours));
        SignedDuration::from_hours(longest.into_iter().max().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_reach_as_far_as_the_farthest_of_them() {
        let reach = |rules| {
            let own = OwnRetention {
                rules,
                ..OwnRetention::default()
            };
            own.reach().as_hours()
        };
        let none = Calendar::default();
        assert_eq!(reach(none), 0);
        assert_eq!(
            reach(Calendar {
                hourly: 36,
                daily: 2,
                ..none
            }),
            48
        );
        assert_eq!(
            reach(Calendar {
                monthly: 1,
                weekly: 3,
                ..none
            }),
            672
        );
        assert!(
            reach(Calendar {
                yearly: u32::MAX,
                ..none
            }) > 0
        );
    }
}
