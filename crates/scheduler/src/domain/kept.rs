//! How a request is kept: whole, as one line of JSON that says its version. Engines keep this and
//! derive a worker's environment from it; nothing is read back out of that.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version that this scheduler writes. One that is higher is not read.
const VERSION: u32 = 1;

/// Why what was kept cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A newer scheduler has written it.
    #[error("a newer scheduler has kept it (version {0})")]
    Newer(u32),
    /// It is no JSON of this kind.
    #[error("it is not what a scheduler keeps")]
    Broken(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// What is kept of a request.
///
/// # Errors
/// None that a test would not have shown: there is no map whose keys are not texts.
pub fn write<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let version = VERSION;
    serde_json::to_string(&Written { version, value })
}

/// Reads what was kept.
///
/// # Errors
/// [`Unreadable`].
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    let Version { version } = serde_json::from_str(text)?;
    if version > VERSION {
        return Err(Unreadable::Newer(version));
    }
    Ok(serde_json::from_str(text)?)
}
