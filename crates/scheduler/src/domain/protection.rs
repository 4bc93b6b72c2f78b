//! How a schedule protects its database: what operators look at first.

use jiff::{SignedDuration, Timestamp};

use super::run::{Component, Ending, Run};

/// How many characters of a failure's sentence are kept.
const SENTENCE: usize = 500;

/// What is known of a schedule's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// When the last good backup ended.
    pub last_success: Option<Timestamp>,
    /// When the last run ended that was no good backup.
    pub last_failure: Option<Timestamp>,
    /// Why, in the worker's sentence or the reason's one word; what is long is cut.
    pub failure: Option<String>,
    /// How long the last good backup took.
    pub seconds: Option<i64>,
    /// How large it is in the store, in bytes.
    pub stored_bytes: Option<u64>,
}

impl History {
    /// Takes a run into account. Runs may come in any order.
    pub fn add(&mut self, run: &Run) {
        let (Component::Backup, Some(ending), Some(ended)) =
            (run.component, run.state.ending(), run.ended)
        else {
            return;
        };
        match ending {
            Ending::Succeeded { message } if self.last_success <= Some(ended) => {
                self.last_success = Some(ended);
                self.seconds = run.seconds();
                let message = message.as_deref();
                self.stored_bytes = message.and_then(backuper::summary::stored_bytes);
            }
            Ending::Failed { .. } | Ending::Expired if self.last_failure <= Some(ended) => {
                self.last_failure = Some(ended);
                self.failure = Some(sentence(ending));
            }
            Ending::Succeeded { .. }
            | Ending::Failed { .. }
            | Ending::Expired
            | Ending::Cancelled => {}
        }
    }

    /// A success that is remembered, though its run is gone.
    pub fn remember(&mut self, success: Option<Timestamp>) {
        if success > self.last_success {
            self.last_success = success;
            self.seconds = None;
            self.stored_bytes = None;
        }
    }

    /// Whether the last run was a good backup; none where there was no run.
    #[must_use]
    pub fn last_succeeded(&self) -> Option<bool> {
        if self.last_success.is_none() && self.last_failure.is_none() {
            return None;
        }
        Some(self.last_success > self.last_failure)
    }
}

fn sentence(ending: &Ending) -> String {
    let reason = match ending {
        Ending::Failed { reason, .. } => reason.as_str(),
        other => other.word(),
    };
    let sentence = ending.message().unwrap_or(reason);
    sentence.chars().take(SENTENCE).collect()
}

/// A schedule and how it protects its database.
#[derive(Clone, Debug)]
pub struct Protection {
    /// The schedule's name.
    pub schedule: String,
    /// `host:port/dbname`.
    pub database: String,
    /// When the schedule was made.
    pub created: Timestamp,
    /// Whether it does not run for now.
    pub suspended: bool,
    /// When it runs next; none while it is suspended.
    pub next: Option<Timestamp>,
    /// The longest time between two runs.
    pub interval: Option<SignedDuration>,
    /// What its runs came to.
    pub history: History,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::State;

    fn run(ended: i64, ending: Ending) -> Run {
        let at = |second| Timestamp::from_second(second).unwrap();
        Run {
            component: Component::Backup,
            name: "r".to_owned(),
            id: "1".to_owned(),
            schedule: None,
            database: String::new(),
            drilled: None,
            state: State::Ended(ending),
            created: at(ended - 20),
            started: Some(at(ended - 10)),
            ended: Some(at(ended)),
            told: false,
        }
    }

    fn good() -> Ending {
        let message = "backup complete and verified: shop/x (3 tables, 50 bytes dumped, 7 bytes stored, 0.1 s)";
        Ending::Succeeded {
            message: Some(message.to_owned()),
        }
    }

    fn bad() -> Ending {
        Ending::failed("Failed", Some(1), None)
    }

    #[test]
    fn runs_count_in_any_order() {
        let mut history = History::default();
        assert_eq!(history.last_succeeded(), None);
        for run in [run(300, bad()), run(200, good()), run(100, bad())] {
            history.add(&run);
        }
        assert_eq!(history.last_succeeded(), Some(false));
        assert_eq!((history.seconds, history.stored_bytes), (Some(10), Some(7)));
        history.add(&run(400, good()));
        assert_eq!(history.last_succeeded(), Some(true));
        history.add(&run(500, Ending::Cancelled));
        assert_eq!(history.last_succeeded(), Some(true));
        history.remember(Timestamp::from_second(600).ok());
        assert_eq!(history.stored_bytes, None);
    }
}
