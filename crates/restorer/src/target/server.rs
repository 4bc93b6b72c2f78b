//! Which server the target is on, also where the database is not there yet.

use backuper::postgres::{Error, Kind, Target, identity};

/// Databases to speak to while the target is not there.
const OTHERS: [&str; 2] = ["postgres", "template1"];

/// The identifier of the target's server; none where it does not tell it.
///
/// # Errors
/// What the server said.
pub async fn system_identifier(target: &Target) -> Result<Option<u64>, Error> {
    let missing = match target.connect("restorer").await {
        Ok(client) => return identity::system_identifier(&client, target).await,
        Err(error) if error.kind == Kind::NoDatabase => error,
        Err(error) => return Err(error),
    };
    for name in OTHERS {
        let other = target.with_database(name);
        if let Ok(client) = other.connect("restorer").await {
            return identity::system_identifier(&client, &other).await;
        }
    }
    tracing::debug!(error = %missing, "no other database of the server lets us in");
    Ok(None)
}
