//! What every call goes through: who calls, a line of the audit, a count.

use tonic::{Code, Request, Response, Status};

use super::authenticate::{Authentication, Shown};
use crate::domain::callers::Caller;
use crate::metrics::Metrics;

/// How much of what a call is about stands in its line.
const SHOWN: usize = 256;

/// Who is let in, and what is counted.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    metrics: Metrics,
    authentication: Authentication,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It changes something: who has done what, from where, stands in the log.
    Change(&'static str),
    /// It reads: that it was refused stands there.
    Read(&'static str),
}

/// Who calls, from where, and what about.
#[derive(Debug)]
pub(super) struct Asked {
    shown: Shown,
    address: String,
    about: About,
}

/// What a call names.
#[derive(Debug)]
pub(super) enum About {
    /// A database, as the caller has written it.
    Database(String),
    /// A schedule or a run.
    Named(String),
    /// Nothing.
    All,
}

impl Asked {
    pub(super) fn by<T>(request: &Request<T>, about: About) -> Self {
        let address = request.remote_addr();
        // It may be anything, and anybody's.
        let cut = |it: String| it.chars().take(SHOWN).collect();
        Self {
            shown: Shown::by(request),
            address: address.map_or_else(String::new, |it| it.to_string()),
            about: match about {
                About::Database(it) => About::Database(cut(it)),
                About::Named(it) => About::Named(cut(it)),
                About::All => About::All,
            },
        }
    }
}

impl Calls {
    pub(super) fn new(metrics: Metrics, authentication: Authentication) -> Self {
        Self {
            metrics,
            authentication,
        }
    }

    /// Does a call's work for whoever calls.
    pub(super) async fn answer<T>(
        &self,
        purpose: Purpose,
        asked: Asked,
        work: impl AsyncFnOnce(&Caller) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let (Purpose::Change(method) | Purpose::Read(method)) = purpose;
        let mut call = self.metrics.call(method);
        let Asked {
            shown,
            address,
            about,
        } = asked;
        let (caller, outcome) = match self.authentication.caller(shown).await {
            Ok(caller) => {
                let outcome = work(&caller).await;
                (caller.name, outcome)
            }
            Err(status) => ("nobody".to_owned(), Err(status)),
        };
        let code = outcome.as_ref().err().map_or(Code::Ok, Status::code);
        let code = word(code);
        call.answered(code);
        let (database, name) = match &about {
            About::Database(it) => (Some(it.as_str()), None),
            About::Named(it) => (None, Some(it.as_str())),
            About::All => (None, None),
        };
        // Who has changed what, from where, and how that ended.
        match (&outcome, purpose) {
            (Ok(_), Purpose::Change(_)) => {
                tracing::info!(caller, %address, method, database, name, code, "answered");
            }
            (Ok(_), Purpose::Read(_)) => {
                tracing::debug!(caller, %address, method, database, name, code, "answered");
            }
            (Err(status), _) => {
                tracing::warn!(caller, %address, method, database, name, code, error = status.message(), "refused");
            }
        }
        outcome.map(Response::new)
    }
}

/// The code's name in metrics.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
