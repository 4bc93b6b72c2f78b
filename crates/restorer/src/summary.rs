//! How a restore ended: for the log, the core and Prometheus.

use std::fmt;
use std::time::Duration;

use backuper::postgres::Target;
use backuper::report::{self, Gauges, Receivers, Reporter, core::Report};
use backuper::runtime::{Failure, Verdict};
use jiff::Timestamp;

use crate::job::RestoreJob;

/// How many names the last sentence holds: it is a pod's termination message too.
const NAMED: usize = 20;

/// What a way to load has brought into the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Bytes of the rows, as pg_dump wrote them.
    pub bytes: u64,
    /// What could not be made beside the rows, by kind and name; empty unless the load was to keep
    /// going.
    pub omissions: Vec<String>,
}

/// What has become of the database that had the target's name before a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// Its name now, between double quotes.
    pub kept: String,
    /// Until when it is kept; none: it was not to be kept.
    pub until: Option<Timestamp>,
    /// Whether it is gone already.
    pub dropped: bool,
}

impl fmt::Display for Swapped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kept,
            until,
            dropped,
        } = self;
        match until {
            Some(until) => write!(
                formatter,
                "; the database that was there is kept as {kept} until {until}, and RESTORER_TASK=swap-back brings it back"
            ),
            None if *dropped => write!(
                formatter,
                "; the database that was there is dropped (KEEP_OLD=0)"
            ),
            None => write!(
                formatter,
                "; the database that was there is still there as {kept}, and the next swap restore drops it"
            ),
        }
    }
}

/// A restore of all rows.
#[derive(Clone, Debug)]
pub struct Done {
    /// The backup's place in the bucket.
    pub key: String,
    /// Tables in the target now that the backup brought.
    pub tables: usize,
    /// Bytes of their rows, as pg_dump wrote them.
    pub bytes: u64,
    /// What could not be made beside the rows.
    pub omissions: Vec<String>,
    /// Which part of a database it is, in words; none: all of it.
    pub part: Option<String>,
    /// What a drill has shown; none: it was no drill.
    pub drilled: Option<String>,
    /// What has become of the database that was there; none: it has its name and the contents.
    pub swapped: Option<Swapped>,
}

impl Done {
    /// The restore as it counts for reports and exit codes: one that has left something out is a
    /// failure that trying again does not mend.
    ///
    /// # Errors
    /// [`Verdict::Incomplete`], with the names of what is left out.
    pub fn complete(self, target: &Target) -> Result<Self, Failure> {
        let count = self.omissions.len();
        if count == 0 {
            return Ok(self);
        }
        let mut names = self.omissions;
        names.truncate(NAMED);
        if count > NAMED {
            names.push(format!("{} more, which the log names", count - NAMED));
        }
        let statements = if count == 1 {
            "statement"
        } else {
            "statements"
        };
        Err(Failure {
            verdict: Verdict::Incomplete,
            sentence: format!(
                "restored, but {count} {statements} failed: {}; all rows of {}{} are in {target}, and the log says why each failed{}",
                names.join(", "),
                self.key,
                said(self.part.as_deref()),
                self.swapped.map_or_else(String::new, |it| it.to_string())
            ),
        })
    }

    /// The line that ends the log.
    #[must_use]
    pub fn sentence(&self, target: &Target, elapsed: Duration) -> String {
        if let Some(drilled) = &self.drilled {
            return format!("{drilled} ({:.1} s)", elapsed.as_secs_f64());
        }
        format!(
            "restore complete: {} is back in {target} ({} tables, {} bytes, {:.1} s){}{}",
            self.key,
            self.tables,
            self.bytes,
            elapsed.as_secs_f64(),
            said(self.part.as_deref()),
            self.swapped
                .as_ref()
                .map_or_else(String::new, ToString::to_string)
        )
    }
}

/// That a backup does not have all of its database.
fn said(part: Option<&str>) -> String {
    part.map_or_else(String::new, |it| format!(", a part of the database: {it}"))
}

/// Who is told about a job, and under which names.
#[must_use]
pub fn reporter(job: &RestoreJob, target: &Target) -> Reporter {
    let receivers = job.reporting.receivers();
    Reporter {
        // A core knows no drills, and would take one for a restore.
        receivers: Receivers {
            core: receivers.core.filter(|_| !job.drill),
            ..receivers
        },
        report: Report::Restore(format!("{target}-revision-{}", job.revision)),
        job: if job.drill {
            "postgres_restore_drill"
        } else {
            "postgres_restore"
        },
        instance: target.to_string(),
    }
}

/// What Prometheus is told.
///
/// # Errors
/// None that a test would not have shown: the names are our own.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers than f64"
)]
pub fn gauges(
    drill: bool,
    outcome: &Result<Done, Failure>,
    elapsed: Duration,
) -> Result<Gauges, prometheus::Error> {
    let gauges = Gauges::default();
    if drill {
        return of_drill(gauges, outcome.is_ok(), elapsed);
    }
    gauges.set(
        "postgres_restore_success",
        "1 when the last restore is complete, 0 when it failed.",
        f64::from(u8::from(outcome.is_ok())),
    )?;
    gauges.set(
        "postgres_restore_duration_seconds",
        "Seconds that the last restore took.",
        elapsed.as_secs_f64(),
    )?;
    if let Ok(done) = outcome {
        gauges.set(
            "postgres_restore_last_success_timestamp_seconds",
            "When the last complete restore ended, seconds since 1970.",
            report::now(),
        )?;
        gauges.set(
            "postgres_restore_bytes",
            "Bytes of rows that the last complete restore brought back.",
            done.bytes as f64,
        )?;
    }
    Ok(gauges)
}

fn of_drill(gauges: Gauges, passed: bool, elapsed: Duration) -> Result<Gauges, prometheus::Error> {
    gauges.set(
        "postgres_restore_drill_success",
        "1 when the last restore drill passed, 0 when it failed.",
        f64::from(u8::from(passed)),
    )?;
    gauges.set(
        "postgres_restore_drill_duration_seconds",
        "Seconds that the last restore drill took.",
        elapsed.as_secs_f64(),
    )?;
    if passed {
        gauges.set(
            "postgres_restore_drill_last_success_timestamp_seconds",
            "When the last restore drill passed, seconds since 1970.",
            report::now(),
        )?;
    }
    Ok(gauges)
}
