//! Advisory locks that keep our own runs apart. They live in the database concerned and end with
//! the session. PostgreSQL manual, 13.3.5: advisory locks.

use tokio_postgres::Client;

use super::{Error, Kind, Target};

/// The first number of all our locks: "oilr" in ASCII.
const CLASS: i32 = 0x6f69_6c72;
/// The second number of the gate between backups (shared) and a restore (exclusive). Seconds of
/// this century are larger.
const GATE: i32 = 1;

/// Enters the database for a backup; backups do not exclude each other.
///
/// # Errors
/// `Kind::Busy` while a restore runs there.
pub async fn enter_for_backup(client: &Client, target: &Target) -> Result<(), Error> {
    let sql = "SELECT pg_try_advisory_lock_shared($1, $2)";
    if ask(client, target, sql, GATE).await? {
        return Ok(());
    }
    let reason = "a restore into this database is under way; run the backup when it has ended";
    Err(Error::because(Kind::Busy, "locking", target, reason))
}

/// Enters the database for a restore, which excludes everybody else.
///
/// # Errors
/// `Kind::Busy` while another restore or a backup runs there.
pub async fn enter_for_restore(client: &Client, target: &Target) -> Result<(), Error> {
    let sql = "SELECT pg_try_advisory_lock($1, $2)";
    if ask(client, target, sql, GATE).await? {
        return Ok(());
    }
    let reason = "another restore or a backup of this database is under way; run the restore when it has ended";
    Err(Error::because(Kind::Busy, "locking", target, reason))
}

/// Whether backups of this database are under way, and whether a restore is: nothing is locked for it.
///
/// # Errors
/// What the server said.
pub async fn under_way(client: &Client, target: &Target) -> Result<(bool, bool), Error> {
    let row = client
        .query_one(
            "SELECT coalesce(bool_or(mode = 'ShareLock'), false), coalesce(bool_or(mode = 'ExclusiveLock'), false)
               FROM pg_locks
              WHERE locktype = 'advisory' AND granted AND objsubid = 2
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND classid::int8 = $1::int4 AND objid::int8 = $2::int4",
            &[&CLASS, &GATE],
        )
        .await
        .map_err(|error| Error::new("examining", target, &error))?;
    Ok((row.get(0), row.get(1)))
}

/// Claims a second for one backup of this database: two that start together get two folders.
/// Gives false when another backup has it.
///
/// # Errors
/// What the server said.
pub async fn claim_second(client: &Client, target: &Target, second: i32) -> Result<bool, Error> {
    let sql = "SELECT pg_try_advisory_lock($1, $2)";
    ask(client, target, sql, second).await
}

async fn ask(client: &Client, target: &Target, sql: &str, key: i32) -> Result<bool, Error> {
    let row = client
        .query_one(sql, &[&CLASS, &key])
        .await
        .map_err(|error| Error::new("locking", target, &error))?;
    Ok(row.get(0))
}
