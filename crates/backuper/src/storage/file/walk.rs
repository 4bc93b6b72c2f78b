//! The files of a folder as objects.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::writing::UPLOADS;
use crate::storage::Object;

/// Objects that a walk is ahead of whoever looks at them.
pub(super) const SEEN_AT_ONCE: usize = 1_024;

/// A file as an object.
pub(super) fn object(key: String, metadata: &fs::Metadata) -> io::Result<Object> {
    Ok(Object {
        key,
        size: metadata.len(),
        modified: Timestamp::try_from(metadata.modified()?).unwrap_or(Timestamp::UNIX_EPOCH),
        etag: None,
    })
}

/// Sends every object in a folder and below it whose key starts with `prefix`, for as long as somebody
/// receives.
pub(super) fn walk(
    root: &Path,
    folder: &Path,
    prefix: &str,
    found: &mpsc::Sender<Object>,
) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let Ok(relative) = path.strip_prefix(root) else {
            continue;
        };
        // Names that are not UTF-8 cannot be keys, so they are not ours.
        let Some(key) = relative.to_str() else {
            continue;
        };
        if key == UPLOADS {
            continue;
        }
        // Somebody may delete meanwhile, and what is gone is not listed.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            walk(root, &path, prefix, found)?;
        } else if key.starts_with(prefix)
            && found
                .blocking_send(object(key.to_owned(), &metadata)?)
                .is_err()
        {
            break;
        }
    }
    Ok(())
}
