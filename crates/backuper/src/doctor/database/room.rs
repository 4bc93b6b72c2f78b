//! What a run takes of the server and of the machine: programs, locks, connections, bytes.

use super::Asking;
use crate::doctor::finding::Finding;
use crate::postgres::probe;
use crate::postgres::tools::Tools;
use crate::runtime::parallelism;

/// Locks for which a server may have room beyond its settings, as the restorer reckons.
const SPARE: i64 = 10_000;
/// Connections without which no backup begins, beside the two that it has by then.
const FEWEST: usize = 3;

/// What the settings make room for, what a backup locks, and what a restore in place does: each large
/// object, and each table as it was and as it is going to be. PostgreSQL manual, 20.12.
const LOCKS: &str = "
    SELECT current_setting('max_locks_per_transaction')::int8
             * (current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8),
           count(*) FILTER (WHERE c.relkind IN ('r', 'p', 'S')),
           2 * count(*) + (SELECT count(*) FROM pg_largeobject_metadata)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f') AND c.relpersistence <> 't'
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

/// Whether there is a pg_dump for the server.
pub(super) async fn version(asking: Asking<'_>) -> Finding {
    let major = asking.entrance.session.major();
    match Tools::find(major, &asking.job.connection.programs).await {
        Ok(tools) => Finding::ok(format!(
            "the server is PostgreSQL {major}; pg_dump {} takes its backups",
            tools.version()
        )),
        Err(error) => Finding::wrong(error.to_string()),
    }
}

/// Whether the server can lock all that a run locks.
pub(super) async fn lock_table(asking: Asking<'_>) -> Finding {
    let row = match asking.client().query_one(LOCKS, &[]).await {
        Ok(row) => row,
        Err(error) => return asking.unanswered(&error),
    };
    let (room, locked, replaced): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let certainly_none = room.saturating_mul(2).saturating_add(SPARE);
    let remedy = "raise its max_locks_per_transaction, which takes a restart of the server";
    if locked > certainly_none {
        return Finding::wrong(format!(
            "a backup locks {locked} tables and sequences, and the server has room for about {room} locks: {remedy}"
        ));
    }
    if locked > room {
        return Finding::warning(format!(
            "a backup locks {locked} tables and sequences, and the server has room for {room} locks by its settings, and for some more while nobody else needs them: {remedy}"
        ));
    }
    if replaced > room {
        return Finding::warning(format!(
            "a restore over this database locks up to {replaced} objects in one transaction, and the server has room for {room} locks by its settings: {remedy}, or restore into an empty database, which needs no such transaction"
        ));
    }
    Finding::ok(format!(
        "a backup locks {locked} tables and sequences; the server has room for {room} locks"
    ))
}

/// Whether enough connections are free.
pub(super) async fn connections(asking: Asking<'_>) -> Finding {
    let room = match probe::room(asking.client(), asking.target).await {
        Ok(room) => room.connections,
        Err(error) => return error.into(),
    };
    let jobs = usize::from(parallelism::jobs(asking.job.jobs, parallelism::cores()));
    if room < FEWEST {
        return Finding::wrong(format!(
            "the role may open {room} more connections, and a backup needs {FEWEST} at least; end some connections, or raise max_connections or the CONNECTION LIMIT that is reached"
        ));
    }
    // One holds the snapshot, and half of the rest is left to others; one of these is for the schema.
    let streams = ((room - 1) / 2).saturating_sub(1).max(1);
    if streams < jobs {
        return Finding::warning(format!(
            "the role may open {room} more connections; a backup leaves half of them to others, and reads {streams} streams at once instead of {jobs}"
        ));
    }
    Finding::ok(format!("the role may open {room} more connections"))
}

/// The database's size in bytes, or why nobody knows it.
pub(super) async fn bytes(asking: Asking<'_>) -> Result<u64, Finding> {
    let sql = "SELECT pg_database_size(current_database())";
    let row = asking.entrance.witness.query_one(sql, &[]).await;
    let row = row.map_err(|error| asking.unanswered(&error))?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

pub(super) fn size(bytes: &Result<u64, Finding>) -> Finding {
    match bytes {
        Ok(bytes) => Finding::ok(format!(
            "the database has {bytes} bytes, indexes among them"
        )),
        Err(finding) => finding.clone(),
    }
}
