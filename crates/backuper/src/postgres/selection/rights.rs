//! Whether the role may read what is dumped.

use tokio_postgres::Client;

use super::super::probe::{Reading, may_read};
use super::super::{Error, Target};
use super::{Filters, Selection};

/// Proves that the role may read everything, or all that filters leave of it: a role with no more rights than its
/// part needs can back that up.
///
/// # Errors
/// `Kind::Denied`, naming what it may not read; with filters, those of [`Selection::resolve`].
pub async fn may_read_all(
    session: &Client,
    target: &Target,
    filters: &Filters,
) -> Result<(), Error> {
    if filters.is_empty() {
        for reading in Reading::ALL {
            may_read(session, target, reading, None).await?;
        }
        return Ok(());
    }
    let chosen = Selection::resolve(session, target, filters).await?;
    let relations = Some(chosen.dumped.0.as_slice());
    for reading in [Reading::Tables, Reading::Rows] {
        may_read(session, target, reading, relations).await?;
    }
    if filters.names_what_is_dumped() {
        return Ok(());
    }
    may_read(session, target, Reading::LargeObjects, None).await
}
