//! How a request is kept: whole, as one line of JSON that says its version. Engines keep this and
//! derive a worker's environment from it; nothing is read back out of that.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The newest version that this scheduler reads and writes. One that is higher is not read.
const VERSION: u32 = 5;

/// What is kept. What an older scheduler would lose, or do otherwise, is kept in a version that it does not
/// read: then it leaves it alone.
pub trait Kept {
    /// The first version that has all of it: 1; 2 where it has what came after the first one; 3 with a prefix, a
    /// store of another cloud, a list of databases, roles to make, or options of its own; 4 of a drill;
    /// 5 with drills at times of their own.
    fn version(&self) -> u32;
}

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
pub fn write<T: Serialize + Kept>(value: &T) -> serde_json::Result<String> {
    let version = value.version();
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
