//! Whether a backup is locked in its store.

use jiff::Timestamp;

use super::One;
use crate::storage::{Error, Kind, Locked, Storage};

impl One {
    /// The lock that keeps a backup from being removed at this time: that of any of its objects, the manifest's
    /// first. Somebody may hold the data alone.
    ///
    /// # Errors
    /// What the store said.
    pub async fn locked(
        &self,
        storage: &dyn Storage,
        now: Timestamp,
    ) -> Result<Option<Locked>, Error> {
        let keys: Vec<String> = match self {
            Self::Folder(backup) => {
                let (manifest, rest) = backup.in_order();
                let manifest = backup.is_complete().then_some(manifest);
                manifest.into_iter().chain(rest).collect()
            }
            Self::Published(_, object) => vec![object.key.clone()],
        };
        for key in keys {
            match storage.locked(&key).await {
                Ok(Some(locked)) if locked.holds_at(now) => return Ok(Some(locked)),
                Ok(_) => {}
                // Somebody was quicker.
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
