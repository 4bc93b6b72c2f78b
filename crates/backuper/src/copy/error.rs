//! Why a backup is not in the second store.

use crate::advice;
use crate::runtime::Failure;

/// Why a backup is not in the second store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the first store has is not what was stored in it: there is no whole backup at all.
    #[error("{0}")]
    Damaged(String),
    /// Somebody has deleted it from the first store meanwhile, as a retention or a person does.
    #[error("{0}")]
    Deleted(String),
    /// The backup is as good as it was, and no later run could copy it either, until what the sentence says is
    /// done.
    #[error("{0}")]
    Refused(String),
    /// The backup is as good as it was, and not copied.
    #[error("{0}")]
    Failed(Failure),
}

impl Error {
    /// What the first store said.
    pub fn here(error: impl Into<Failure>) -> Self {
        Self::Failed(error.into())
    }

    /// What the second store said, with the names that its own variables have.
    pub fn there(error: impl Into<Failure>) -> Self {
        let Failure { verdict, sentence } = error.into();
        Self::Failed(Failure {
            verdict,
            sentence: advice::of_second_store(&sentence),
        })
    }
}
