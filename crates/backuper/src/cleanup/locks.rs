//! What retention would remove and the store has locked: it stays, and that is no failure.

use jiff::Timestamp;

use super::Deletions;
use crate::catalog::One;
use crate::storage::{Locked, Storage};

/// The locks of what is kept for them.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<Locked>);

impl Locks {
    /// Whether a backup is locked at this time of the store's clock, or nobody can tell: then it stays.
    /// Where objects have versions, a deletion would hide what is locked, and free nothing.
    pub(super) async fn keep(
        &mut self,
        storage: &dyn Storage,
        found: &One,
        now: Timestamp,
        deletions: &mut Deletions,
    ) -> bool {
        match found.locked(storage, now).await {
            Ok(None) => false,
            Ok(Some(locked)) => {
                self.0.push(locked);
                true
            }
            Err(error) => {
                deletions.failed += 1;
                tracing::warn!(key = %found.key(), %error, "retention could not look whether this backup is locked; it tries again after the next one");
                true
            }
        }
    }

    /// That something is locked is no failure: somebody wants it so.
    pub(super) fn tell(&self) {
        let ends = self.0.iter().filter_map(|it| it.until);
        let held = self.0.iter().filter(|it| it.until.is_none()).count();
        match (ends.clone().min(), ends.max()) {
            (Some(first), Some(last)) => tracing::info!(
                backups = self.0.len(), %first, %last, held,
                "what is beyond the retention and locked stays; a later backup's retention deletes it when its lock has ended"
            ),
            _ if held > 0 => tracing::info!(
                backups = held,
                "what is beyond the retention and under a legal hold stays until somebody ends that"
            ),
            _ => {}
        }
    }
}
