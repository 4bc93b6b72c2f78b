//! When a backup is due: Kubernetes' own rules, which are those of robfig/cron's ParseStandard, with
//! the time zone beside them. <https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format>

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::{SignedDuration, Timestamp};

use super::zone::Zone;

/// How many years ahead a date is looked for: from 2096 to 2104 there is no 29 February.
const YEARS: i16 = 9;
/// How many runs tell how often a schedule runs: every minute of an hour, hours of two days.
const RUNS: usize = 61;
/// What is before the zone where one is kept, as robfig/cron has it.
const ZONED: &str = "CRON_TZ=";
/// A Monday at midnight, for what must be the same at any time.
const SOME_TIME: Timestamp = Timestamp::constant(1_767_571_200, 0);

/// A schedule as Kubernetes reads it, and the zone of its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    when: When,
    zone: Zone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    Every(SignedDuration),
    At(Fields),
}

/// One bit for each value that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day must be right in both fields when one of them is a star, else in either.
    either_day: bool,
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotASchedule(String);

struct Field {
    name: &'static str,
    values: RangeInclusive<u64>,
    /// Names of values from the first on.
    words: &'static [&'static str],
}

const MINUTE: Field = field("minute", 0..=59, &[]);
const HOUR: Field = field("hour", 0..=23, &[]);
const DAY: Field = field("day of month", 1..=31, &[]);
const MONTH: Field = field(
    "month",
    1..=12,
    &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
);
const WEEKDAY: Field = field(
    "day of week",
    0..=6,
    &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
);

const fn field(
    name: &'static str,
    values: RangeInclusive<u64>,
    words: &'static [&'static str],
) -> Field {
    Field {
        name,
        values,
        words,
    }
}

impl Cron {
    /// A schedule in UTC, as the contract has it and no other.
    ///
    /// # Errors
    /// Why it is none.
    pub fn in_utc(text: &str) -> Result<Self, NotASchedule> {
        Self::in_zone(text, Zone::default())
    }

    /// A schedule by the clocks of a zone.
    ///
    /// # Errors
    /// Why it is none.
    pub fn in_zone(text: &str, zone: Zone) -> Result<Self, NotASchedule> {
        if text.contains("TZ") {
            let why = "TZ and CRON_TZ are not taken: schedules are in UTC, or in the time zone that stands beside them";
            return Err(NotASchedule(why.to_owned()));
        }
        let when = match text.strip_prefix('@') {
            Some(word) => named(word)?,
            None => When::At(Fields::parse(text)?),
        };
        if let When::At(fields) = &when
            && !fields.ever_match()
        {
            let why = "it never comes: no day or time is all that it asks for";
            return Err(NotASchedule(why.to_owned()));
        }
        let text = text.to_owned();
        Ok(Self { text, when, zone })
    }

    /// As it was written, without its zone.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// The zone of its times.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first time after this one, UTC; none at the end of all time.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Every(delay) => {
                let second = Timestamp::from_second(time.as_second()).ok()?;
                second.checked_add(*delay).ok()
            }
            When::At(fields) => self.zone.next_after(time, |it| fields.next_after(it)),
        }
    }

    /// Whether both run at the same times, however they are written.
    #[must_use]
    pub fn has_times_of(&self, other: &Self) -> bool {
        let has_clocks_of = match self.when {
            When::Every(_) => true,
            When::At(_) => self.zone == other.zone,
        };
        has_clocks_of && self.when == other.when
    }

    /// The shortest time between two runs, of those that come first; none where it runs once.
    #[must_use]
    pub fn shortest_interval(&self) -> Option<SignedDuration> {
        self.intervals().into_iter().min()
    }

    /// The longest time between two runs, of those that come first; none where it runs once.
    #[must_use]
    pub fn longest_interval(&self) -> Option<SignedDuration> {
        self.intervals().into_iter().max()
    }

    fn intervals(&self) -> Vec<SignedDuration> {
        let runs = std::iter::successors(self.next_after(SOME_TIME), |it| self.next_after(*it));
        let runs: Vec<Timestamp> = runs.take(RUNS).collect();
        let intervals = runs.windows(2).filter_map(|it| match it {
            [one, next] => Some(one.duration_until(*next)),
            _ => None,
        });
        intervals.collect()
    }
}

impl FromStr for Cron {
    type Err = NotASchedule;

    /// As it is kept: `CRON_TZ=` and the zone stand before one that is not in UTC.
    fn from_str(text: &str) -> Result<Self, NotASchedule> {
        let zoned = text.strip_prefix(ZONED).and_then(|it| it.split_once(' '));
        match zoned {
            Some((zone, text)) => {
                let zone = zone.parse::<Zone>();
                let zone = zone.map_err(|why| NotASchedule(why.to_string()))?;
                Self::in_zone(text, zone)
            }
            None => Self::in_utc(text),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.zone.is_utc() {
            write!(formatter, "{ZONED}{} ", self.zone)?;
        }
        formatter.write_str(&self.text)
    }
}

fn named(word: &str) -> Result<When, NotASchedule> {
    if let Some(duration) = word.strip_prefix("every ") {
        let parsed = go_duration(duration).ok_or_else(|| {
            let why = "@every needs a duration such as 1h30m, of hours, minutes and seconds";
            NotASchedule(why.to_owned())
        });
        return parsed.map(|it| {
            let whole = SignedDuration::from_secs(it.as_secs());
            When::Every(whole.max(SignedDuration::from_secs(1)))
        });
    }
    let fields = match word {
        "yearly" | "annually" => "0 0 1 1 *",
        "monthly" => "0 0 1 * *",
        "weekly" => "0 0 * * 0",
        "daily" | "midnight" => "0 0 * * *",
        "hourly" => "0 * * * *",
        _ => {
            let why = "after @ comes yearly, annually, monthly, weekly, daily, midnight, hourly, or every with a duration";
            return Err(NotASchedule(why.to_owned()));
        }
    };
    Fields::parse(fields).map(When::At)
}

/// A duration as Go writes it: `1h30m`, `1.5h`, `90s`; none where it is none.
#[must_use]
pub fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut sum = SignedDuration::ZERO;
    if rest == "0" {
        return Some(sum);
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, tail) = rest.split_at(end?);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        let part = SignedDuration::try_from_secs_f64(number * unit).ok()?;
        sum = sum.checked_add(part)?;
        rest = tail;
    }
    Some(sum)
}

impl Fields {
    fn parse(text: &str) -> Result<Self, NotASchedule> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words.as_slice() else {
            return Err(NotASchedule(format!(
                "five fields are needed (minute, hour, day of month, month, day of week), or @hourly and its like; {} were given",
                words.len()
            )));
        };
        let (minutes, _) = MINUTE.parse(minute)?;
        let (hours, _) = HOUR.parse(hour)?;
        let (days, any_day) = DAY.parse(day)?;
        let (months, _) = MONTH.parse(month)?;
        let (weekdays, any_weekday) = WEEKDAY.parse(weekday)?;
        Ok(Self {
            minutes,
            hours,
            days,
            months,
            weekdays,
            either_day: !any_day && !any_weekday,
        })
    }

    /// Whether there is such a day and time at all. The days of a leap year are all there are, and
    /// within 28 years each is on every day of the week.
    fn ever_match(&self) -> bool {
        let leap_day = |year: i16| Date::new(year, 2, 29).is_ok_and(|it| self.has(it));
        let mut leap_years = (2000..2028).step_by(4);
        let first = Date::new(2001, 1, 1).ok();
        let mut days = std::iter::successors(first, |it| it.tomorrow().ok()).take(7 * 366);
        self.first_time(None).is_some() && (leap_years.any(leap_day) || days.any(|it| self.has(it)))
    }

    /// The first time after this one, by the same clock.
    fn next_after(&self, now: DateTime) -> Option<DateTime> {
        let last = now.year().saturating_add(YEARS);
        let mut date = now.date();
        // The rest of today, then whole days.
        let mut from = Some((now.hour(), now.minute()));
        while date.year() <= last {
            if self.has(date)
                && let Some((hour, minute)) = self.first_time(from)
            {
                return Some(date.at(hour, minute, 0, 0));
            }
            // A yearly schedule would look at each day of the year otherwise.
            date = if bit(self.months, date.month()) {
                date.tomorrow().ok()?
            } else {
                date.last_of_month().tomorrow().ok()?
            };
            from = None;
        }
        None
    }

    fn has(&self, date: Date) -> bool {
        let day = bit(self.days, date.day());
        let weekday = bit(self.weekdays, weekday(date.weekday()));
        let right = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        right && bit(self.months, date.month())
    }

    /// The first hour and minute, after this one if there is one.
    fn first_time(&self, after: Option<(i8, i8)>) -> Option<(i8, i8)> {
        let hours = (0..24).filter(|it| bit(self.hours, *it));
        let minutes = (0..60).filter(|it| bit(self.minutes, *it));
        hours
            .flat_map(|hour| minutes.clone().map(move |minute| (hour, minute)))
            .find(|it| after.is_none_or(|after| *it > after))
    }
}

fn weekday(day: Weekday) -> i8 {
    day.to_sunday_zero_offset()
}

fn bit(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|it| bits >> it & 1 == 1)
}

impl Field {
    /// The bits, and whether a star is among them.
    fn parse(&self, text: &str) -> Result<(u64, bool), NotASchedule> {
        let mut all = (0, false);
        for part in text.split(',').filter(|it| !it.is_empty()) {
            let (bits, star) = self.part(part)?;
            all = (all.0 | bits, all.1 || star);
        }
        Ok(all)
    }

    fn part(&self, text: &str) -> Result<(u64, bool), NotASchedule> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.number(step)?)),
            None => (text, None),
        };
        let (low, high) = match range.split_once('-') {
            Some((low, high)) => (low, Some(high)),
            None => (range, None),
        };
        let star = matches!(low, "*" | "?");
        let (start, end) = match (star, high) {
            (true, _) => (*self.values.start(), *self.values.end()),
            (false, Some(high)) => (self.value(low)?, self.value(high)?),
            // 5/15 is 5-59/15.
            (false, None) if step.is_some() => (self.value(low)?, *self.values.end()),
            (false, None) => (self.value(low)?, self.value(low)?),
        };
        if start > end {
            return Err(self.wrong(text, "it ends before it begins"));
        }
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(self.wrong(text, "a step of 0 leads nowhere"));
        }
        let stride = usize::try_from(step).unwrap_or(usize::MAX);
        let bits = (start..=end)
            .step_by(stride)
            .fold(0, |bits, value| bits | 1 << value);
        Ok((bits, star && step == 1))
    }

    fn value(&self, text: &str) -> Result<u64, NotASchedule> {
        let is_text = |it: &&str| text.eq_ignore_ascii_case(it);
        if let Some(index) = self.words.iter().position(is_text) {
            return Ok(self.values.start() + u64::try_from(index).unwrap_or(0));
        }
        let number = self.number(text)?;
        if self.values.contains(&number) {
            return Ok(number);
        }
        let (first, last) = (self.values.start(), self.values.end());
        Err(self.wrong(text, &format!("{first} to {last} is needed")))
    }

    fn number(&self, text: &str) -> Result<u64, NotASchedule> {
        text.parse()
            .map_err(|_not_a_number| self.wrong(text, "it is not a number"))
    }

    fn wrong(&self, text: &str, why: &str) -> NotASchedule {
        NotASchedule(format!("{} {text:?}: {why}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(cron: &str, after: &str) -> Option<String> {
        let cron: Cron = cron.parse().unwrap_or_else(|it| panic!("{cron}: {it}"));
        let after: Timestamp = after.parse().unwrap();
        cron.next_after(after).map(|it| it.to_string())
    }

    /// Schedule, time, the next time: rows of robfig/cron's own tests among them.
    const ROBFIG: &str = "\
            0/15 * * * *       | 2012-07-09T14:45:00Z | 2012-07-09T15:00:00Z
            0/15 * * * *       | 2012-07-09T14:59:59Z | 2012-07-09T15:00:00Z
            20-35/15 * * * *   | 2012-07-09T15:45:00Z | 2012-07-09T16:20:00Z
            */15 * * * *       | 2012-12-31T23:59:45Z | 2013-01-01T00:00:00Z
            5/15 * * * *       | 2026-01-01T00:06:00Z | 2026-01-01T00:20:00Z
            0 0 */5 Oct *      | 2026-10-02T00:00:00Z | 2026-10-06T00:00:00Z
            0 0 9 Apr-Oct ?    | 2012-07-09T23:35:00Z | 2012-08-09T00:00:00Z
            0 0 * Feb Mon      | 2012-07-09T23:35:00Z | 2013-02-04T00:00:00Z
            0 0 29 Feb ?       | 2012-07-09T23:35:00Z | 2016-02-29T00:00:00Z
            0 0 13 * FRI       | 2026-11-01T00:00:00Z | 2026-11-06T00:00:00Z
            0 0 1,15 * sun     | 2026-11-09T00:00:00Z | 2026-11-15T00:00:00Z
            0 0 */1 * mon      | 2026-11-10T00:00:00Z | 2026-11-16T00:00:00Z
            0 0 */2 * mon      | 2026-11-10T00:00:00Z | 2026-11-11T00:00:00Z
            @weekly            | 2026-11-20T10:00:00Z | 2026-11-22T00:00:00Z
            @monthly           | 2026-11-20T10:00:00Z | 2026-12-01T00:00:00Z
            @annually          | 2026-11-20T10:00:00Z | 2027-01-01T00:00:00Z
            @yearly            | 2026-11-20T10:00:00Z | 2027-01-01T00:00:00Z
            @midnight          | 2026-11-20T10:00:00Z | 2026-11-21T00:00:00Z
            @hourly            | 2026-11-20T10:00:00Z | 2026-11-20T11:00:00Z
            @every 1h30m       | 2026-11-20T10:00:00.9Z | 2026-11-20T11:30:00Z
            @every 1.5s        | 2026-11-20T10:00:00Z | 2026-11-20T10:00:01Z
            @every 5ms         | 2026-11-20T10:00:00Z | 2026-11-20T10:00:01Z";

    #[test]
    fn the_shortest_interval_is_that_of_the_runs_that_are_closest() {
        for (schedule, minutes) in [
            ("* * * * *", 1),
            ("*/15 * * * *", 15),
            ("@hourly", 60),
            ("0 9,21 * * 1-5", 12 * 60),
            ("0 1,2 * * *", 60),
            ("30 3 * * *", 24 * 60),
            ("0 0 * * 0", 7 * 24 * 60),
            ("@every 90m", 90),
        ] {
            let cron: Cron = schedule.parse().unwrap();
            let expected = SignedDuration::from_mins(minutes);
            assert_eq!(cron.shortest_interval(), Some(expected), "{schedule}");
        }
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 7",
            "* * L * *",
            "* * 15W * *",
            "* * * * 5#3",
            "5-1 * * * *",
            "*/0 * * * *",
            "1/2/3 * * * *",
            "1-2-3 * * * *",
            "-1 * * * *",
            "janfeb * * * *",
            "* * * janx *",
            "TZ=UTC 0 0 * * *",
            "CRON_TZ=UTC 0 0 * * *",
            "@reboot",
            "@Daily",
            "@every",
            "@every ",
            "@every 5",
            "@every 5m0",
            "@every 1d",
            "@every x",
            "@every 1.2.3s",
        ] {
            assert!(Cron::in_utc(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_next_time_is_the_one_that_robfigs_cron_gives() {
        for row in ROBFIG.lines() {
            let columns: Vec<&str> = row.split('|').map(str::trim).collect();
            let [cron, after, expected] = columns.as_slice() else {
                panic!("{row}");
            };
            assert_eq!(next(cron, after).as_deref(), Some(*expected), "{row}");
        }
    }

    /// S18.
    #[test]
    fn what_never_comes_is_refused() {
        for text in [
            "0 0 30 2 *",
            "0 0 31 4,6,9,11 *",
            ", * * * *",
            "* , * * *",
            "* * , * *",
        ] {
            let error = text.parse::<Cron>().unwrap_err();
            assert!(error.to_string().contains("never comes"), "{text}: {error}");
        }
        for text in [
            "0 0 29 2 *",
            "0 0 30 2 mon",
            "0 0 31 1-3 *",
            "59 23 31 12 ?",
        ] {
            assert!(text.parse::<Cron>().is_ok(), "{text}");
        }
        assert_eq!(
            next("0 0 29 2 *", "2096-03-01T00:00:00Z").as_deref(),
            Some("2104-02-29T00:00:00Z")
        );
    }

    #[test]
    fn a_zone_stays_beside_what_is_kept() {
        let berlin = Cron::in_zone("0 3 * * *", "Europe/Berlin".parse().unwrap()).unwrap();
        assert_eq!(berlin.to_string(), "CRON_TZ=Europe/Berlin 0 3 * * *");
        assert_eq!(berlin.to_string().parse::<Cron>().unwrap(), berlin);
        assert_eq!(berlin.expression(), "0 3 * * *");
        assert!(!berlin.has_times_of(&"0 3 * * *".parse().unwrap()));
        for text in ["CRON_TZ=Nowhere 0 3 * * *", "CRON_TZ=Europe/Berlin"] {
            assert!(text.parse::<Cron>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _outcome = text.parse::<Cron>();
            let _outcome = format!("@every {text}").parse::<Cron>();
        }

        #[test]
        fn a_next_time_is_always_later_and_the_text_stays(
            text in "[0-9*?/,-]{1,4} [0-9*?/,-]{1,4} [0-9*?/,-]{1,4} [0-9*?/,-]{1,4} [0-6*?/,-]{1,4}",
            second in 0_i64..4_000_000_000,
        ) {
            if let Ok(cron) = text.parse::<Cron>() {
                prop_assert_eq!(cron.to_string(), text);
                let time = Timestamp::from_second(second).unwrap();
                if let Some(next) = cron.next_after(time) {
                    prop_assert!(next > time);
                    prop_assert_eq!(next.as_second() % 60, 0);
                }
            }
        }
    }
}
