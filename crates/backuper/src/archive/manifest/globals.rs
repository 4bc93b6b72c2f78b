//! What a manifest says of the server beside the database: its roles, memberships, settings of roles, tablespaces.

use serde::{Deserialize, Serialize};

use super::Stream;

/// The object with them, which is of the server and of no snapshot. A field of its own, since a reader that does
/// not know it restores the database all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Globals {
    /// The object, as those of the streams are said.
    #[serde(flatten)]
    pub object: Stream,
    /// Whether the roles' password hashes are in it.
    pub passwords: bool,
}
