//! An object that is run once for each spec that it has: what comes next, and what the end of its run means.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest as _, Sha256};

use super::go;
use crate::domain::callers::Caller;
use crate::domain::run::{Ending, Run};
use crate::engine::{Error, Kind};
use crate::service::Service;

/// How long a run that has just begun may not be known yet.
const UNKNOWN: i64 = 90;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it was run.
    Nothing,
    /// Its run is under way.
    Observe,
    /// It is to be run.
    Begin,
}

/// What comes next of an object in this phase, whose status is of `of` and whose spec is `hash` now.
pub(super) fn next(phase: Option<&str>, of: Option<&str>, hash: &str) -> Next {
    match phase {
        Some("Running" | "Granting") => Next::Observe,
        Some("Completed" | "Failed") if of == Some(hash) => Next::Nothing,
        _ => Next::Begin,
    }
}

/// What a run is asked for with: the same for the same spec after the same run before it, whatever was lost
/// between two tries.
pub(super) fn request(uid: &str, hash: &str, last_run: Option<&str>) -> String {
    match last_run {
        None => format!("{uid}-{hash}"),
        Some(last) => format!("{uid}-{hash}-{}", run_id(last)),
    }
}

/// Eight letters and digits that tell a run from others.
pub(super) fn run_id(run: &str) -> String {
    hex::encode(&Sha256::digest(run)[..4])
}

/// A run that is looked for.
pub(super) enum Observed {
    /// It is there.
    Run(Box<Run>),
    /// It may not be known yet.
    Awaited,
    /// It is gone.
    Lost,
}

/// Looks for a run that began at this time.
pub(super) async fn observe(
    service: &Service,
    name: &str,
    began: Option<&Time>,
    now: Timestamp,
) -> Result<Observed, Error> {
    match service.run(&Caller::operator(), name).await {
        Ok(run) => Ok(Observed::Run(Box::new(run))),
        Err(error) if error.kind() == Kind::NotFound => {
            let since = began.map_or(i64::MAX, |it| now.as_second() - it.0.as_second());
            Ok(if since < UNKNOWN {
                Observed::Awaited
            } else {
                Observed::Lost
            })
        }
        Err(error) => Err(error),
    }
}

/// Why a run has not ended well: one word, and a sentence. None: it has.
pub(super) fn failure(ending: &Ending) -> Option<(&'static str, String)> {
    match ending {
        Ending::Succeeded { .. } => None,
        Ending::Failed {
            reason, message, ..
        } => {
            let word = match reason.as_str() {
                "BackoffLimitExceeded" => "BackoffLimitExceeded",
                "DeadlineExceeded" => "DeadlineExceeded",
                _ => "Unknown",
            };
            let said = message.as_ref().filter(|it| !it.is_empty());
            Some((word, said.unwrap_or(reason).clone()))
        }
        Ending::Cancelled => Some(("Cancelled", "somebody has cancelled it".to_owned())),
        Ending::Expired => Some((
            "Expired",
            "it had waited longer than it may, and did not begin".to_owned(),
        )),
    }
}

/// How long a run took, to a part of a second that has so many milliseconds.
pub(super) fn duration(run: &Run, milliseconds: i64) -> Option<String> {
    let (began, ended) = (run.started?, run.ended?);
    let took = ended.duration_since(began).as_millis().max(0);
    let parts = i64::try_from(took).ok()?;
    let rounded = (parts + milliseconds / 2) / milliseconds * milliseconds;
    Some(go::written(jiff::SignedDuration::from_millis(rounded)))
}

/// A time as Kubernetes keeps it.
pub(super) fn second(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::{Component, State};

    /// operator.md, R5, B15 to B18.
    #[test]
    fn an_object_is_run_once_for_each_spec() {
        for (phase, of, expected) in [
            (None, None, Next::Begin),
            (Some("Pending"), None, Next::Begin),
            (Some("Running"), Some("a"), Next::Observe),
            (Some("Running"), Some("b"), Next::Observe),
            (Some("Granting"), Some("b"), Next::Observe),
            (Some("Completed"), Some("a"), Next::Nothing),
            (Some("Failed"), Some("a"), Next::Nothing),
            (Some("Completed"), Some("b"), Next::Begin),
            (Some("Failed"), Some("b"), Next::Begin),
            (Some("Failed"), None, Next::Begin),
        ] {
            assert_eq!(next(phase, of, "a"), expected, "{phase:?} {of:?}");
        }
    }

    #[test]
    fn a_spec_that_comes_back_is_run_again() {
        let first = request("u", "a", None);
        assert_eq!(first, request("u", "a", None));
        assert_ne!(first, request("u", "a", Some("run-1")));
        assert_ne!(first, request("v", "a", None));
        assert_eq!(run_id("run-1").len(), 8);
    }

    /// operator.md, B11.
    #[test]
    fn a_run_that_has_failed_says_why() {
        let failed = |reason: &str, message: Option<&str>| {
            Ending::failed(reason, Some(2), message.map(str::to_owned))
        };
        let told = |ending: &Ending| failure(ending).unwrap();
        assert_eq!(
            told(&failed("BackoffLimitExceeded", Some("no such bucket"))),
            ("BackoffLimitExceeded", "no such bucket".to_owned())
        );
        assert_eq!(
            told(&failed("PodFailurePolicy", None)),
            ("Unknown", "PodFailurePolicy".to_owned())
        );
        assert!(failure(&Ending::Succeeded { message: None }).is_none());
        assert_eq!(told(&Ending::Cancelled).0, "Cancelled");
    }

    #[test]
    fn a_run_is_told_with_how_long_it_took() {
        let at = |millis| Timestamp::from_millisecond(millis).ok();
        let run = Run {
            component: Component::Backup,
            name: "x".to_owned(),
            id: "1".to_owned(),
            schedule: None,
            database: String::new(),
            drilled: None,
            state: State::Running,
            created: Timestamp::UNIX_EPOCH,
            started: at(1000),
            ended: at(63_457),
            told: false,
        };
        assert_eq!(duration(&run, 1).as_deref(), Some("1m2.457s"));
        assert_eq!(duration(&run, 1000).as_deref(), Some("1m2s"));
    }
}
