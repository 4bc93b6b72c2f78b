//! What the cluster's refusals mean to a caller.

use std::time::Duration;

/// A call that the cluster refused or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct Error {
    doing: String,
    kind: Kind,
    #[source]
    cause: Cause,
}

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object is not there.
    NotFound,
    /// We may not.
    Denied,
    /// The object is there already, or has changed meanwhile.
    Conflict,
    /// What is there stands in the way, and asking again will not help until that has changed.
    Precondition,
    /// The cluster finds the object wrong.
    Invalid,
    /// Nobody answered, or not now; asking again may help.
    Unavailable,
    /// None of these.
    Internal,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("the cluster answered {code}: {message}")]
    Answer { code: u16, message: String },
    #[error("no answer within {0:?}")]
    Silence(Duration),
    #[error(transparent)]
    Transport(kube::Error),
    #[error("{0}")]
    Rule(String),
}

impl Error {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn answered(doing: impl Into<String>, error: kube::Error) -> Self {
        let (kind, cause) = match error {
            kube::Error::Api(status) => {
                // The status in full repeats itself; its message is what a person reads.
                let (code, message) = (status.code, status.message);
                (kind_of(code), Cause::Answer { code, message })
            }
            error => (kind_of_transport(&error), Cause::Transport(error)),
        };
        Self {
            doing: doing.into(),
            kind,
            cause,
        }
    }

    pub(crate) fn silent(doing: impl Into<String>, patience: Duration) -> Self {
        Self {
            doing: doing.into(),
            kind: Kind::Unavailable,
            cause: Cause::Silence(patience),
        }
    }

    pub(crate) fn rule(doing: impl Into<String>, kind: Kind, why: impl Into<String>) -> Self {
        Self {
            doing: doing.into(),
            kind,
            cause: Cause::Rule(why.into()),
        }
    }

    /// Whether somebody else was quicker: the object is gone or is another one by now.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(self.kind, Kind::NotFound | Kind::Conflict)
    }
}

fn kind_of(code: u16) -> Kind {
    match code {
        404 => Kind::NotFound,
        401 | 403 => Kind::Denied,
        409 => Kind::Conflict,
        400 | 422 => Kind::Invalid,
        // An API server whose etcd is gone answers 500 too.
        429 | 500..=599 => Kind::Unavailable,
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
