//! What callers are told when a call fails: one table of codes.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::engine::{Error, Kind};

/// What is wrong with one field of a message. Values are not repeated: some are secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field as the message names it; `request.db_port` for one in a message of its own.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

/// The code for what an engine could not do.
#[must_use]
pub fn code(kind: Kind) -> Code {
    match kind {
        Kind::NotFound => Code::NotFound,
        Kind::Denied => Code::PermissionDenied,
        Kind::Conflict => Code::Aborted,
        Kind::Occupied => Code::AlreadyExists,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::Invalid => Code::InvalidArgument,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    }
}

/// The answer to a call that an engine could not serve: the whole chain of causes, which is what
/// the core shows to its user.
#[must_use]
pub fn failed(error: &Error) -> Status {
    Status::new(code(error.kind()), format!("failed to {}", error.chain()))
}

/// The answer to a message that is wrong: `google.rpc.BadRequest` with every field.
#[must_use]
pub fn invalid(violations: &[Violation]) -> Status {
    let mut details = ErrorDetails::new();
    let mut sentences = Vec::new();
    for Violation { field, why } in violations {
        details.add_bad_request_violation(field, why);
        sentences.push(format!("{field}: {why}"));
    }
    Status::with_error_details(Code::InvalidArgument, sentences.join("; "), details)
}
