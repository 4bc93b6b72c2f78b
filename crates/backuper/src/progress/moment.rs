//! What can be told of a run at a moment, in the log and to Prometheus.

use std::time::{Duration, Instant};

use crate::report::Gauges;

/// After how long without a byte it is told so.
const STILL: Duration = Duration::from_mins(1);

/// What can be told at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Bytes of rows that have passed, as pg_dump writes them.
    pub bytes: u64,
    /// Bytes a second since the first.
    pub rate: f64,
    /// Tables whose rows have passed.
    pub tables: u64,
    /// Tables in all.
    pub of: u64,
    /// How long the rows may still take; none as long as nothing shows it.
    pub left: Option<Duration>,
    /// What is under way since all have passed.
    pub after: Option<After>,
}

/// What comes after the rows. How long it takes, nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Indexes and constraints are made.
    Indexing,
    /// The server commits all of it at once.
    Committing,
}

/// What passed last.
#[derive(Debug, Default)]
pub(super) struct Last(Option<(u64, u64, Instant)>);

impl Last {
    /// For how long nothing has passed that should, where that is long.
    pub(super) fn stands_still(&mut self, moment: &Moment, now: Instant) -> Option<Duration> {
        let (bytes, tables) = (moment.bytes, moment.tables);
        match self.0 {
            Some((before, tables_before, since))
                if (before, tables_before) == (bytes, tables) && moment.after.is_none() =>
            {
                Some(now.duration_since(since)).filter(|it| *it >= STILL)
            }
            _ => {
                self.0 = Some((bytes, tables, now));
                None
            }
        }
    }
}

impl Moment {
    pub(super) fn log(&self) {
        let (bytes, tables) = (self.bytes, self.tables);
        match self.after {
            Some(After::Indexing) => {
                tracing::info!(
                    bytes,
                    tables,
                    "the rows are in; making indexes and constraints"
                );
                return;
            }
            Some(After::Committing) => {
                tracing::info!(
                    bytes,
                    tables,
                    "all of it is in; the server commits it, for which it may wait for standbys (synchronous_standby_names)"
                );
                return;
            }
            None => {}
        }
        let left = self.left.map(|it| {
            let seconds = Duration::from_secs(it.as_secs());
            humantime::format_duration(seconds).to_string()
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole bytes are exact enough"
        )]
        let rate = self.rate as u64;
        tracing::info!(
            bytes = self.bytes,
            bytes_per_second = rate,
            tables = self.tables,
            of = self.of,
            left = left.as_deref().unwrap_or("unknown"),
            "under way"
        );
    }

    /// The same for Prometheus; `job` begins the names.
    pub(super) fn gauges(&self, job: &str) -> Result<Gauges, prometheus::Error> {
        let gauges = Gauges::default();
        let set =
            |name: &str, help: &str, value: f64| gauges.set(&format!("{job}_{name}"), help, value);
        #[expect(
            clippy::cast_precision_loss,
            reason = "Prometheus has no other numbers than f64"
        )]
        let (bytes, tables, of) = (self.bytes as f64, self.tables as f64, self.of as f64);
        set(
            "progress_bytes",
            "Bytes of rows that have passed so far.",
            bytes,
        )?;
        set(
            "progress_bytes_per_second",
            "Bytes a second so far.",
            self.rate,
        )?;
        set(
            "progress_tables",
            "Tables whose rows have passed so far.",
            tables,
        )?;
        set(
            "progress_tables_total",
            "Tables whose rows are to pass.",
            of,
        )?;
        if let Some(left) = self.left {
            let help = "Seconds that the rows may still take.";
            set("progress_remaining_seconds", help, left.as_secs_f64())?;
        }
        Ok(gauges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_for_a_minute_is_told() {
        let (mut last, begun) = (Last::default(), Instant::now());
        let at = |bytes, after| Moment {
            bytes,
            rate: 0.0,
            tables: 1,
            of: 2,
            left: None,
            after,
        };
        for (seconds, bytes, after, told) in [
            (0, 5, None, None),
            (59, 5, None, None),
            (60, 5, None, Some(60)),
            (70, 5, None, Some(70)),
            (80, 6, None, None),
            (130, 6, None, None),
            (200, 6, Some(After::Indexing), None),
            (210, 6, None, None),
        ] {
            let now = begun + Duration::from_secs(seconds);
            let stands = last.stands_still(&at(bytes, after), now);
            assert_eq!(stands.map(|it| it.as_secs()), told, "{seconds}");
        }
    }
}
