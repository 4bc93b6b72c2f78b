//! The backup that could be taken in the place of one that turns out to be none.

use backuper::catalog;
use backuper::runtime::{Failure, Verdict};

/// The next older backup, where one was counted or asked for by a time. It is not taken without a word: what
/// has changed since then would be lost.
#[derive(Clone, Debug, Default)]
pub struct Older(Option<catalog::Older>);

impl Older {
    pub(super) fn of(found: Option<catalog::Older>) -> Self {
        Self(found)
    }

    /// A refusal that names it too.
    #[must_use]
    pub fn named_in(&self, mut failure: Failure) -> Failure {
        if failure.verdict == Verdict::Refused
            && let Some(catalog::Older { key, started }) = &self.0
        {
            failure.sentence = format!(
                "{}; the next older one is {key}, of {started}, which BACKUP_REVISION={key} restores",
                failure.sentence
            );
        }
        failure
    }
}
