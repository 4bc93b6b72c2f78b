//! Which server this is, whatever it is called.

use tokio_postgres::Client;

use super::{Error, Kind, Target};

/// Asks for the identifier that initdb gave the server's data. None where the server does not tell
/// it: some services do not let their users call the function, or do not have it.
///
/// # Errors
/// When there was no answer at all.
pub async fn system_identifier(client: &Client, target: &Target) -> Result<Option<u64>, Error> {
    let asked = client
        .query_one("SELECT system_identifier FROM pg_control_system()", &[])
        .await;
    match asked {
        // PostgreSQL shows the 64 bits as a signed number.
        Ok(row) => Ok(Some(row.get::<_, i64>(0).cast_unsigned())),
        Err(error) => match Error::new("asking for the identifier of", target, &error) {
            lost if lost.kind == Kind::Unavailable => Err(lost),
            refused => {
                tracing::warn!(
                    error = %refused,
                    "the server does not tell its system identifier, so its host name and port stand for it; let no other server of this name use the same bucket"
                );
                Ok(None)
            }
        },
    }
}
