//! A single run that a call asks for: a restore.

use backuper::catalog::Revision;
use backuper::report::CoreAddress;

use super::plan::{Login, Store};

/// What a call asks to be brought back.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// Where to.
    pub target: Login,
    /// Where from.
    pub store: Store,
    /// Which backup.
    pub revision: Revision,
    /// Who is told.
    pub core: Option<CoreAddress>,
}
