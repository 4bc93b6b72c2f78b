//! What restore drills have shown of backups.

use jiff::Timestamp;
use restorer::drill;
use serde::{Deserialize, Serialize};

use super::restore::Restore;
use super::run::{Ending, Run};
use super::schedule::Schedule;

/// The exit code of a drill whose backup came back otherwise than it was dumped, or about which the SQL says no.
pub const OTHERWISE: i32 = 3;

/// Whose backup a drill restores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Drilled {
    /// The schedule that lends it the keys of its store; none: none does.
    pub schedule: Option<String>,
    /// The database, `host:port/dbname`; empty where that is not known.
    pub source: String,
    /// Where the backup is, as [`super::store::Store::place`] has it.
    pub store: String,
}

impl Drilled {
    /// None: the restore is no drill.
    #[must_use]
    pub fn of(restore: &Restore) -> Option<Self> {
        restore.drill.as_ref()?;
        Some(Self {
            schedule: restore.lent.as_ref().map(|it| it.by.to_string()),
            source: restore.source.clone().unwrap_or_default(),
            store: restore.store.place(),
        })
    }

    /// Whether a schedule still makes backups of that database in that store.
    #[must_use]
    pub fn is_of(&self, schedule: &Schedule) -> bool {
        let plan = &schedule.plan;
        let source = self.source.parse().ok();
        source.is_some_and(|it| plan.one(&it).is_some()) && plan.store.place() == self.store
    }
}

/// What a drill that has ended has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// Its run.
    pub run: String,
    /// When it ended.
    pub at: Timestamp,
    /// Whether the backup came back as it was dumped. Where not, that may be the drill's own fault.
    pub passed: bool,
    /// The backup that this says something of; none: it says nothing, or nobody has heard which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many tables were compared, and how many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<(u64, u64)>,
    /// The worker's last sentence, or at least one word; empty where it has passed unheard.
    pub said: String,
}

impl Verdict {
    /// None: it is no drill, has not ended, or was ended by somebody, or by the scheduler's own end.
    #[must_use]
    pub fn of(run: &Run) -> Option<Self> {
        run.drilled.as_ref()?;
        let ending = run.state.ending()?;
        let passed = match ending {
            Ending::Succeeded { .. } => true,
            Ending::Failed { .. } if ending.is_interrupted() => return None,
            Ending::Failed { .. } => false,
            Ending::Cancelled | Ending::Expired => return None,
        };
        let message = ending.message();
        let reason = match ending {
            Ending::Failed { reason, .. } => Some(reason.as_str()),
            _ => None,
        };
        Some(Self {
            run: run.name.clone(),
            at: run.ended?,
            passed,
            key: message.and_then(drill::judged).map(str::to_owned),
            compared: message.and_then(drill::told),
            said: message.or(reason).unwrap_or_default().to_owned(),
        })
    }
}

/// What is known of the drills of one backup, or of those of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verification {
    /// When one has last passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// What the last one that has ended has shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Verdict>,
}

impl Verification {
    /// Takes in what one has shown, in whatever order they come. Engines keep seconds: of two that ended within one,
    /// the one that failed counts, since nothing is to look proved that may not be.
    pub fn add(&mut self, verdict: Verdict) {
        if verdict.passed {
            self.last = self.last.max(Some(verdict.at));
        }
        let order = |it: &Verdict| (it.at, !it.passed, it.run.clone());
        let newest = self.newest.as_ref().map(order);
        if newest.is_none_or(|it| it <= order(&verdict)) {
            self.newest = Some(verdict);
        }
    }

    /// Both as one.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.last = self.last.max(other.last);
        if let Some(newest) = &other.newest {
            self.add(newest.clone());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::restore::{Drill, Lent};
    use crate::domain::run::{Component, State};
    use crate::engine::conformance;

    fn run(second: i64, ending: Ending) -> Run {
        let at = Timestamp::from_second(second).unwrap();
        let mut restore = conformance::restore("shop", "0", 0);
        assert_eq!(Drilled::of(&restore), None);
        restore.drill = Some(Drill::default());
        restore.source = Some("db.example:5432/shop".to_owned());
        restore.lent = Some(Lent {
            by: "nightly".parse().unwrap(),
            password: true,
            drills: false,
        });
        Run {
            component: Component::Restore,
            name: format!("restore-{second}"),
            id: second.to_string(),
            schedule: None,
            database: "db.example:5432/restore_drill_shop".to_owned(),
            drilled: Drilled::of(&restore),
            state: State::Ended(ending),
            created: at,
            started: Some(at),
            ended: Some(at),
            told: true,
        }
    }

    fn passed() -> Ending {
        let message = "restore drill passed: shop/1 was restored into db:5432/x, all 2 tables are there with 7 rows; that database is dropped again (0.1 s)";
        Ending::Succeeded {
            message: Some(message.to_owned()),
        }
    }

    fn failed(message: Option<&str>) -> Ending {
        Ending::failed("Failed", Some(OTHERWISE), message.map(str::to_owned))
    }

    #[test]
    fn a_verdict_says_of_which_backup_it_is_and_what_was_compared() {
        let verdict = Verdict::of(&run(60, passed())).unwrap();
        assert_eq!(verdict.key.as_deref(), Some("shop/1"));
        assert_eq!((verdict.passed, verdict.compared), (true, Some((2, 7))));
        let no = "restore drill failed: shop/1 came back, and the drill's own SQL says no: x";
        let verdict = Verdict::of(&run(60, failed(Some(no)))).unwrap();
        assert_eq!(verdict.key.as_deref(), Some("shop/1"));
        assert_eq!((verdict.passed, verdict.said.as_str()), (false, no));
        // The drill's own fault says nothing of a backup.
        let verdict = Verdict::of(&run(60, failed(None))).unwrap();
        assert_eq!((verdict.key, verdict.said.as_str()), (None, "Failed"));
        assert_eq!(Verdict::of(&run(60, Ending::Cancelled)), None);
        let mut restore = run(60, passed());
        restore.drilled = None;
        assert_eq!(Verdict::of(&restore), None);
    }

    #[test]
    fn a_failure_leaves_when_one_has_last_passed_in_whatever_order_they_are_told() {
        let verdicts = [
            Verdict::of(&run(60, passed())).unwrap(),
            Verdict::of(&run(120, failed(None))).unwrap(),
            Verdict::of(&run(30, passed())).unwrap(),
        ];
        let mut known = Verification::default();
        for verdict in verdicts.clone() {
            known.add(verdict);
        }
        assert_eq!(known.last, Timestamp::from_second(60).ok());
        assert!(!known.newest.as_ref().unwrap().passed);
        let mut other = Verification::default();
        for verdict in verdicts.into_iter().rev() {
            other.add(verdict);
        }
        assert_eq!(known, other);
        // Both ended within one second: nothing says which was the later one.
        known.add(Verdict::of(&run(120, passed())).unwrap());
        assert_eq!(known.newest, other.newest);
        assert_eq!(known.last, Timestamp::from_second(120).ok());
        assert_eq!(Verification::default().and(&known), known);
    }
}
