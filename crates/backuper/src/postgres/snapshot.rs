//! One snapshot for all streams of a backup, and the watch over what a snapshot cannot hold.
//!
//! TRUNCATE and those forms of ALTER TABLE that rewrite a table are not MVCC-safe: a reader with an
//! older snapshot finds the table empty (PostgreSQL manual, 13.6: caveats). pg_dump closes the gap
//! by locking tables right after its snapshot; our pg_dumps start a moment later, so the gap is
//! wider. [`Snapshot::check`] closes it: once a pg_dump holds its locks, a table that lies in
//! another file than at the snapshot has been rewritten in between, and the backup fails.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{Error, Kind, Target, mark};
use crate::text::sql;

/// Rows and TOAST alone: pg_table_size would look at every fork and index of both, which takes twice as
/// long for thousands of tables. A table that is dropped meanwhile has no size; pg_dump tells of it.
const TABLES: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text,
           coalesce(pg_relation_size(c.oid), 0)
             + CASE c.reltoastrelid WHEN 0 THEN 0 ELSE coalesce(pg_relation_size(c.reltoastrelid), 0) END,
           c.relfilenode,
           EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
           OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                      AND d.objid = n.oid AND d.deptype = 'e')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't'
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

/// One table with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its oid, which finds it again under another name.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Bytes on disk with TOAST and without indexes.
    pub bytes: u64,
    /// Whether an extension made it: pg_dump alone knows which of its rows are ours.
    pub of_extension: bool,
}

/// An exported snapshot; it lives as long as this value.
#[derive(Debug)]
pub struct Snapshot {
    /// Holds the transaction that exported it.
    _holder: Client,
    /// Sees what is committed now.
    witness: Client,
    id: String,
    taken_at: Timestamp,
    tables: Vec<Table>,
    large_objects: u64,
    files: HashMap<u32, u32>,
}

impl Snapshot {
    /// Takes and exports a snapshot (`pg_export_snapshot`), and lists the tables in it.
    ///
    /// # Errors
    /// What the server said; `Kind::Unsupported` where a restore has left a half.
    pub async fn take(target: &Target, patience: Duration) -> Result<Self, Error> {
        let failed =
            |error: tokio_postgres::Error| Error::new("taking a snapshot of", target, &error);
        let witness = target.connect("backuper witness").await?;
        let holder = target.connect("backuper snapshot").await?;
        holder
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(failed)?;
        let row = holder
            .query_one(
                "SELECT pg_export_snapshot(), extract(epoch FROM clock_timestamp())::float8,
                        pg_relation_size('pg_catalog.pg_largeobject')",
                &[],
            )
            .await
            .map_err(failed)?;
        // Asked of the snapshot itself: what it shows is what the backup would be.
        if let Some(comment) = mark::find(&holder).await.map_err(failed)? {
            let why = mark::refusal(&comment);
            return Err(Error::because(Kind::Unsupported, "backing up", target, why));
        }
        // A table's size is read under a lock on it.
        let limit = format!("SET LOCAL lock_timeout = {}", patience.as_millis().max(1));
        holder.batch_execute(&limit).await.map_err(failed)?;
        let rows = holder.query(TABLES, &[]).await.map_err(|error| {
            if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
                return failed(error);
            }
            let why = format!(
                "a table of it stayed locked for {}; pg_locks says by whom; run the backup again, or give it a longer LOCK_WAIT_TIMEOUT",
                humantime::format_duration(patience)
            );
            Error::because(Kind::Busy, "reading the tables of", target, why)
        })?;
        let mut files = HashMap::with_capacity(rows.len());
        let mut tables = Vec::with_capacity(rows.len());
        for row in &rows {
            let bytes: i64 = row.get(3);
            let table = Table {
                oid: row.get(0),
                schema: row.get(1),
                name: row.get(2),
                bytes: bytes.unsigned_abs(),
                of_extension: row.get(5),
            };
            files.insert(table.oid, row.get(4));
            tables.push(table);
        }
        Ok(Self {
            _holder: holder,
            witness,
            id: row.get(0),
            taken_at: time(row.get(1)),
            tables,
            large_objects: row.get::<_, i64>(2).unsigned_abs(),
            files,
        })
    }

    /// What pg_dump's `--snapshot` takes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The moment it shows, by the server's clock, UTC.
    #[must_use]
    pub fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// The tables in it whose rows a dump may hold.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Bytes on disk of all large objects.
    #[must_use]
    pub fn large_objects(&self) -> u64 {
        self.large_objects
    }

    /// Proves that none of these tables has been rewritten since the snapshot. For the moment in
    /// which a pg_dump has its locks on them.
    ///
    /// # Errors
    /// `Kind::Busy` naming a table, and what the server said.
    pub async fn check(&self, tables: &[Table], target: &Target) -> Result<(), Error> {
        let oids: Vec<u32> = tables.iter().map(|it| it.oid).collect();
        let rows = self
            .witness
            .query(
                "SELECT oid, relfilenode FROM pg_class WHERE oid = ANY ($1)",
                &[&oids],
            )
            .await
            .map_err(|error| Error::new("watching the tables of", target, &error))?;
        let now: HashMap<u32, u32> = rows.iter().map(|it| (it.get(0), it.get(1))).collect();
        let changed = tables
            .iter()
            .find(|it| now.get(&it.oid) != self.files.get(&it.oid));
        match changed {
            None => Ok(()),
            Some(table) => Err(Error::because(
                Kind::Busy,
                "dumping",
                target,
                format!(
                    "table {} was truncated or rewritten while the backup began; run it again",
                    sql::pattern(&table.schema, &table.name)
                ),
            )),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "microseconds of this era fit an i64 many times over"
)]
fn time(epoch: f64) -> Timestamp {
    Timestamp::from_microsecond((epoch * 1e6) as i64).unwrap_or(Timestamp::UNIX_EPOCH)
}
