//! What a call asks to be brought back.

use backuper::catalog::Revision;
use backuper::report::CoreAddress;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};
use sha2::{Digest as _, Sha256};

use super::database::Database;
use super::store::Store;

/// A restore as it is asked for.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restore {
    /// Where to.
    pub target: Database,
    /// Where from.
    pub store: Store,
    /// Which backup.
    #[serde_as(as = "DisplayFromStr")]
    pub revision: Revision,
    /// Who is told.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub core: Option<CoreAddress>,
    /// What the caller calls this request, so that repeating it is not asking twice; empty: nothing.
    pub request_id: String,
    /// A count means what it meant at this time; none where the revision is no count.
    pub as_of: Option<Timestamp>,
    /// It does not begin after this time, for it would take what was written meanwhile; none: whenever.
    pub begin_by: Option<Timestamp>,
}

impl Restore {
    /// Tells requests apart: by all that was asked for, but neither by secrets nor by the time of the
    /// call. A call that is repeated after its answer was lost is the same.
    #[must_use]
    pub fn request(&self) -> String {
        let Self {
            target,
            store,
            revision,
            core,
            request_id,
            as_of: _,
            begin_by: _,
        } = self;
        // Quoted, so that no value can pass for two.
        let text = format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            target.place(),
            target.user,
            store.place(),
            revision.to_string(),
            core.as_ref().map(ToString::to_string),
            request_id,
        );
        hex::encode(&Sha256::digest(text)[..16])
    }
}
