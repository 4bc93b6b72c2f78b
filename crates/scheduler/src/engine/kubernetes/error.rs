//! What the cluster's refusals mean to a caller.

use std::time::Duration;

use kube::core::Status;

use crate::engine::{Error, Kind};

#[derive(Debug, thiserror::Error)]
#[error("the cluster answered {code}: {message}")]
struct Answer {
    code: u16,
    message: String,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct Silence(Duration);

/// The cluster's answer to a call, or the lack of one.
pub fn answered(doing: impl Into<String>, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => {
            let kind = match status.code {
                _ if is_about_another(&status) => Kind::Conflict,
                404 if is_about_the_namespace(&status) => Kind::Precondition,
                code => kind_of(code),
            };
            // The status in full repeats itself; its message is what a person reads.
            let (code, message) = (status.code, status.message);
            Error::new(doing, kind, Answer { code, message })
        }
        error => Error::new(doing, kind_of_transport(&error), error),
    }
}

/// A call that took too long.
pub(crate) fn silent(doing: impl Into<String>, call_timeout: Duration) -> Error {
    Error::new(doing, Kind::Unavailable, Silence(call_timeout))
}

/// Whether somebody else was quicker: the object is gone or is another one by now.
pub fn is_lost_race(error: &Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Conflict)
}

/// Whether the API server knows who we are, and does not let us.
pub(crate) fn is_forbidden(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let answer = source.and_then(|it| it.downcast_ref::<Answer>());
    answer.is_some_and(|it| it.code == 403)
}

/// Whether the pages of a list are too old to be gone on with.
pub(crate) fn is_expired(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let answer = source.and_then(|it| it.downcast_ref::<Answer>());
    answer.is_some_and(|it| it.code == 410)
}

/// Whether the API server asks for another try later.
pub(crate) fn is_busy(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 429 | 503))
}

/// A patch that names a uid is refused as invalid when the object of that name has another one.
fn is_about_another(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|it| &it.causes);
    causes.into_iter().any(|it| it.field == "metadata.uid")
}

/// Asking again does not bring a namespace, so nobody was quicker.
fn is_about_the_namespace(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|it| it.kind == "namespaces")
}

fn kind_of(code: u16) -> Kind {
    match code {
        404 => Kind::NotFound,
        401 | 403 => Kind::Denied,
        409 => Kind::Conflict,
        400 | 422 => Kind::Invalid,
        // An API server whose etcd is gone answers 500 too; the next list begins anew after a 410.
        410 | 429 | 500..=599 => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn kind_of_transport(error: &kube::Error) -> Kind {
    match error {
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => {
            Kind::Unavailable
        }
        kube::Error::Auth(_) => Kind::Denied,
        _ => Kind::Internal,
    }
}
