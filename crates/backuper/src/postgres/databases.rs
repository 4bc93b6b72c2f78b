//! Which databases a server has.

use super::{Error, Session, Target};

/// A database of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it keeps when it is renamed.
    pub oid: u32,
    /// Its name; bytes that are no UTF-8 are shown as replacement characters.
    pub name: String,
    /// Whether the name is what the server has. Otherwise nobody can ask for it.
    pub is_readable: bool,
    /// Whether it takes connections at all.
    pub takes_connections: bool,
    /// Whether it is there for others to be made from.
    pub is_template: bool,
}

/// Names are bytes in the encoding of whichever database they were made from, and compared as bytes where
/// somebody connects: without a client's encoding they arrive as they are. The halves of one that DROP
/// DATABASE has left are passed over, as pg_dumpall does. PostgreSQL manual, 53.15: `pg_database`.
const LIST: &str = "
    SELECT oid, textsend(datname::text), datconnlimit = -2, datallowconn, datistemplate
      FROM pg_database
     ORDER BY datname::text COLLATE \"C\"";

/// Asks for all of them, in order of their names. The session is of no use for anything else afterwards.
///
/// # Errors
/// What the server said.
pub async fn list(session: Session, target: &Target) -> Result<Vec<Listed>, Error> {
    let failed =
        |error: tokio_postgres::Error| Error::new("listing the databases from", target, &error);
    let raw = session.batch_execute("SET client_encoding = 'SQL_ASCII'");
    raw.await.map_err(failed)?;
    let rows = session.query(LIST, &[]).await.map_err(failed)?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in rows {
        let bytes: Vec<u8> = row.get(1);
        let lossy = String::from_utf8_lossy(&bytes);
        let name = lossy.as_ref().to_owned();
        if row.get(2) {
            tracing::warn!(
                database = name,
                "passed over: DROP DATABASE was interrupted there, and nobody can connect to it; drop it again"
            );
            continue;
        }
        listed.push(Listed {
            oid: row.get(0),
            is_readable: name.as_bytes() == bytes,
            takes_connections: row.get(3),
            is_template: row.get(4),
            name,
        });
    }
    Ok(listed)
}
