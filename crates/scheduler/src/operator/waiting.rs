//! An object that waits for what it depends on, and the time after which it is told as failed.

use std::time::Duration;

use jiff::Timestamp;

/// How long an object may wait before it counts as failed.
const PATIENCE: i64 = 10 * 60;

/// What an object waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Pending or Waiting.
    pub(super) phase: &'static str,
    /// For what.
    pub(super) message: String,
    /// When to look again, if nobody says anything before.
    pub(super) again: Duration,
}

/// Why an object does not go on.
pub(super) enum Stop {
    Waiting(Waiting),
    Refused(&'static str, String),
    /// What it depends on will be asked soon: what the status says stays.
    Unasked,
}

/// What the status says of an object that waits: phase, message, and since when. It stays failed for as long as it
/// waits, so that whoever looks sees it.
pub(super) fn told(
    waiting: &Waiting,
    since: Option<Timestamp>,
    now: Timestamp,
) -> (&'static str, String, Timestamp) {
    let since = since.unwrap_or(now);
    if now.as_second() - since.as_second() > PATIENCE {
        let message = format!("timeout: {} (pending for over 10 minutes)", waiting.message);
        ("Failed", message, since)
    } else {
        (waiting.phase, waiting.message.clone(), since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// operator.md, D3 and W24.
    #[test]
    fn an_object_that_waits_for_over_ten_minutes_has_failed_and_stays_so() {
        let waiting = Waiting {
            phase: "Pending",
            message: "waiting for DBCluster 'x'".to_owned(),
            again: Duration::from_secs(30),
        };
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).unwrap();
        let first = told(&waiting, None, at(0));
        assert_eq!(first, ("Pending", waiting.message.clone(), at(0)));
        assert_eq!(told(&waiting, Some(at(0)), at(5)).0, "Pending");
        for minutes in [11, 12, 100] {
            let (phase, message, since) = told(&waiting, Some(at(0)), at(minutes));
            assert_eq!((phase, since), ("Failed", at(0)));
            assert_eq!(
                message,
                "timeout: waiting for DBCluster 'x' (pending for over 10 minutes)"
            );
        }
    }
}
