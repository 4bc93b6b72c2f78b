//! Whether a backup is locked in its store.

use jiff::Timestamp;

use super::One;
use crate::archive::key::MANIFEST;
use crate::storage::{Error, Kind, Locked, Storage};

impl One {
    /// The lock that keeps a backup from being removed at this time. Of a complete one the manifest's
    /// counts, which is locked last; of what a crashed run has left, that of any object.
    ///
    /// # Errors
    /// What the store said.
    pub async fn locked(
        &self,
        storage: &dyn Storage,
        now: Timestamp,
    ) -> Result<Option<Locked>, Error> {
        let keys: Vec<String> = match self {
            Self::Folder(backup) if backup.is_complete() => vec![backup.folder.key(MANIFEST)],
            Self::Folder(backup) => backup.objects.iter().map(|it| it.key.clone()).collect(),
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
