//! Whether one transaction may have as many locks as it needs to replace everything.

use std::collections::BTreeSet;

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use tokio_postgres::Client;

use crate::archive::toc::Toc;

/// Locks for which a server may have room beyond its settings: what is left of its shared memory, which
/// is rounded up to pages of 2 MiB.
const SPARE: i64 = 10_000;

/// The locks that the settings make room for; and how many large objects and tables of the backup are
/// there, each of which goes under a lock of its own. PostgreSQL manual, 20.12: `max_locks_per_transaction`.
const ROOM: &str = "
    SELECT (SELECT setting::int8 FROM pg_settings WHERE name = 'max_locks_per_transaction')
             * (SELECT sum(setting::int8)::int8 FROM pg_settings
                 WHERE name IN ('max_connections', 'max_prepared_transactions')),
           (SELECT count(*) FROM pg_largeobject_metadata WHERE oid = ANY ($1::text[]::oid[])),
           (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE (n.nspname::text, c.relname::text) IN (SELECT * FROM unnest($2::text[], $3::text[])))";

/// Refuses what the server certainly has too few locks for. What it may just have room for is tried.
pub(super) async fn suffice(session: &Client, target: &Target, toc: &Toc) -> Result<(), Failure> {
    let oids: Vec<String> = large_objects(toc).into_iter().collect();
    let (schemas, names) = toc.tables();
    let row = session
        .query_one(ROOM, &[&oids, &schemas, &names])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let (room, objects, dropped): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let made = i64::try_from(names.len()).unwrap_or(i64::MAX);
    let needed = objects.saturating_add(dropped).saturating_add(made);
    if needed <= room.saturating_mul(2).saturating_add(SPARE) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{target}: one transaction would replace {objects} large objects and {dropped} tables, and needs a lock for each; the server has room for about {room} locks: raise its max_locks_per_transaction, which takes a restart of the server, or restore into an empty database, which needs no such transaction"
    )))
}

/// The oids of the large objects that the backup knows.
pub(super) fn large_objects(toc: &Toc) -> BTreeSet<String> {
    toc.all()
        .flat_map(|it| &it.entries)
        .flat_map(|it| match it.kind.as_str() {
            "BLOB" => vec![it.oid.to_string()],
            "BLOB METADATA" => it.large_objects().into_iter().map(str::to_owned).collect(),
            _ => Vec::new(),
        })
        .collect()
}
