//! What a check has found, and how the checks of one subject come together.

use std::time::Duration;

use jiff::Timestamp;

use super::{CLOCKS_APART, Check, Outcome, Subject};
use crate::postgres;
use crate::runtime::{Deadline, Failure};
use crate::storage;

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) sentence: String,
}

impl Finding {
    pub(super) fn ok(sentence: impl Into<String>) -> Self {
        Self::of(Outcome::Ok, sentence)
    }

    pub(super) fn wrong(sentence: impl Into<String>) -> Self {
        Self::of(Outcome::Wrong, sentence)
    }

    pub(super) fn warning(sentence: impl Into<String>) -> Self {
        Self::of(Outcome::Warning, sentence)
    }

    pub(super) fn unknown(sentence: impl Into<String>) -> Self {
        Self::of(Outcome::Unknown, sentence)
    }

    fn of(outcome: Outcome, sentence: impl Into<String>) -> Self {
        Self {
            outcome,
            sentence: sentence.into(),
        }
    }

    /// What comes of a question to the server that a worker asks too.
    pub(super) fn answered(
        answer: Result<(), postgres::Error>,
        otherwise: impl Into<String>,
    ) -> Self {
        match answer {
            Ok(()) => Self::ok(otherwise),
            Err(error) => error.into(),
        }
    }

    /// What comes of two clocks, the other one's as it was in the middle of asking for it.
    pub(super) fn of_clocks(here: Timestamp, there: Timestamp, whose: &str) -> Self {
        let apart = here.duration_since(there).unsigned_abs();
        if apart <= CLOCKS_APART {
            return Self::ok(format!("{whose} clock and this machine's agree"));
        }
        Self::warning(format!(
            "{whose} clock shows {there} and this machine's {here}: backups are named and found by these, so set the wrong one right"
        ))
    }
}

/// What a worker would fail of now is wrong. What the server would not even be asked is not known.
impl From<postgres::Error> for Finding {
    fn from(error: postgres::Error) -> Self {
        let is_transient = error.kind.is_transient();
        let sentence = Failure::from(error).sentence;
        if is_transient {
            Self::unknown(sentence)
        } else {
            Self::wrong(sentence)
        }
    }
}

impl From<storage::Error> for Finding {
    fn from(error: storage::Error) -> Self {
        Self::wrong(Failure::from(error).sentence)
    }
}

/// Drives a check until its own deadline or that of all, whichever is sooner.
pub(super) async fn within(
    limit: Duration,
    end: Deadline,
    check: impl Future<Output = Finding>,
) -> Finding {
    let limit = limit.min(end.left());
    match tokio::time::timeout(limit, check).await {
        Ok(finding) => finding,
        Err(_elapsed) => Finding::unknown(format!("no answer within {:.1} s", limit.as_secs_f64())),
    }
}

/// The checks of one subject, in the order in which they are told.
#[derive(Debug)]
pub(super) struct Findings {
    subject: Subject,
    names: &'static [&'static str],
    found: Vec<Check>,
}

impl Findings {
    pub(super) fn new(subject: Subject, names: &'static [&'static str]) -> Self {
        Self {
            subject,
            names,
            found: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, name: &'static str, finding: Finding) {
        let Finding { outcome, sentence } = finding;
        self.found.push(Check {
            subject: self.subject,
            name: name.to_owned(),
            outcome,
            sentence,
        });
    }

    /// All of them; those that nobody has tried are unknown for this reason.
    pub(super) fn all(mut self, reason: &str) -> Vec<Check> {
        for name in self.names {
            if !self.found.iter().any(|it| it.name == *name) {
                self.add(name, Finding::unknown(format!("not tried, since {reason}")));
            }
        }
        let names = self.names;
        let place = |check: &Check| names.iter().position(|it| *it == check.name);
        self.found.sort_by_key(place);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tried_is_unknown_and_says_why() {
        let mut findings = Findings::new(Subject::Store, &["address", "keys", "list"]);
        findings.add("list", Finding::ok("x"));
        findings.add("address", Finding::wrong("y"));
        let all = findings.all("nothing answers there");
        let found: Vec<_> = all
            .iter()
            .map(|it| (it.name.as_str(), it.outcome, it.sentence.as_str()))
            .collect();
        let untried = "not tried, since nothing answers there";
        assert_eq!(
            found,
            [
                ("address", Outcome::Wrong, "y"),
                ("keys", Outcome::Unknown, untried),
                ("list", Outcome::Ok, "x"),
            ]
        );
    }

    #[test]
    fn a_minute_between_two_clocks_is_told_of() {
        let here = Timestamp::UNIX_EPOCH;
        for (seconds, outcome) in [(0, Outcome::Ok), (60, Outcome::Ok), (61, Outcome::Warning)] {
            for sign in [1, -1] {
                let there = Timestamp::from_second(seconds * sign).unwrap();
                let finding = Finding::of_clocks(here, there, "the server's");
                assert_eq!(finding.outcome, outcome, "{seconds}");
            }
        }
    }

    #[tokio::test]
    async fn a_check_that_does_not_end_is_unknown() {
        let end = Deadline::within(Duration::from_millis(5));
        let finding = within(Duration::from_secs(9), end, std::future::pending()).await;
        assert_eq!(finding.outcome, Outcome::Unknown);
    }
}
