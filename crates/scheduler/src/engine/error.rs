//! What an engine could not do, and what a caller can do about it.

use backuper::text;

/// What an engine could not do.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct Error {
    doing: String,
    kind: Kind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// An error while `doing` (a bare verb phrase) something.
    pub fn new(
        doing: impl Into<String>,
        kind: Kind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            kind,
            source: source.into(),
        }
    }

    /// What was being done and all its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        text::chain(self)
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
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
    /// The name is another's.
    Occupied,
    /// What is there conflicts with it, and asking again will not help until that has changed.
    Precondition,
    /// The object is wrong in the engine's eyes.
    Invalid,
    /// Nobody answered, or not now; asking again may help.
    Unavailable,
    /// None of these.
    Internal,
}
