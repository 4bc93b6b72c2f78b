//! One snapshot for all streams of a backup, and what a snapshot cannot hold.
//!
//! TRUNCATE and those forms of ALTER TABLE that rewrite a table are not MVCC-safe: a reader with an
//! older snapshot finds the table empty (PostgreSQL manual, 13.6: caveats). A table that is dropped
//! or renamed is not found, or another one under its name. pg_dump closes the gap by locking tables
//! right after its snapshot; our pg_dumps start a moment later, so the gap is wider. [`Shapes`] close
//! it: once all pg_dumps hold their locks, the tables of the snapshot must be as they are now.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::session::Session;
use super::{Error, Kind, Target, mark};
use crate::text::sql;

/// Rows and TOAST alone: pg_table_size would look at every fork and index of both, which takes twice as
/// long for thousands of tables. A table that is dropped meanwhile has no size. The last column is a
/// name for pg_dump, in the bytes of the database's encoding.
const TABLES: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text,
           coalesce(pg_relation_size(c.oid), 0)
             + CASE c.reltoastrelid WHEN 0 THEN 0 ELSE coalesce(pg_relation_size(c.reltoastrelid), 0) END,
           EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
           OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                      AND d.objid = n.oid AND d.deptype = 'e'),
           pg_is_in_recovery() AND c.relpersistence = 'u',
           convert_to(format('\"%s\".\"%s\"', replace(n.nspname, '\"', '\"\"'), replace(c.relname, '\"', '\"\"')),
                      getdatabaseencoding()),
           c.relowner IN (SELECT oid FROM trusted) AND n.nspowner IN (SELECT oid FROM trusted)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ($1::oid[] IS NULL OR c.oid = ANY ($1))
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

/// Roles that can do no more by what the session calls for them than they could before. `pg_database_owner` is who
/// owns the database.
pub(crate) const TRUSTED: &str = "
    SELECT r.oid FROM pg_roles r
     WHERE r.rolsuper OR r.rolname = current_user
        OR r.rolname = 'pg_database_owner'
           AND EXISTS (SELECT FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba
                        WHERE d.datname = current_database() AND (o.rolsuper OR o.rolname = current_user))";

/// What must not change between the snapshot and the locks: where the rows are, and the names of the
/// table and its columns. An order would cost more than the sum of hashes.
const SHAPES: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relfilenode, coalesce(a.columns, '')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN (SELECT attrelid, sum(hashtextextended(attname::text || ' ' || atttypid, attnum))::text AS columns
                   FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped GROUP BY attrelid) a
        ON a.attrelid = c.oid
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
    /// Whether its owner, and that of its schema, is the role itself or a superuser. Whoever plans a query of a table runs what its owner has
    /// written into its indexes, or what has its name by then, and pg_dump plans none.
    pub of_trusted_owner: bool,
    /// What matches exactly this table where pg_dump takes a pattern, in the database's encoding:
    /// pg_dump hands its arguments to the server as they are.
    pub pattern: OsString,
}

/// The tables of a database and their sizes, as of some moment before a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Those whose rows a dump may hold.
    pub tables: Vec<Table>,
    /// Those that have no rows here: unlogged ones, when the server is a standby.
    pub without_rows: Vec<Table>,
    /// Bytes on disk of all large objects.
    pub large_objects: u64,
}

impl Survey {
    /// Reads the tables' sizes, which takes a moment's lock on each: it waits for as long as a table
    /// is locked by others, and holds nothing meanwhile. `lock_timeout` of zero has no limit. With `only`, the
    /// others are not looked at.
    ///
    /// # Errors
    /// `Kind::Busy` when a table stays locked, and what the server said.
    pub async fn take(
        session: &Session,
        target: &Target,
        lock_timeout: Duration,
        only: Option<&[u32]>,
    ) -> Result<Self, Error> {
        let failed =
            |error: tokio_postgres::Error| Error::new("reading the tables of", target, &error);
        let limit = format!("SET lock_timeout = {}", lock_timeout.as_millis());
        session.batch_execute(&limit).await.map_err(failed)?;
        let tables = format!("WITH trusted AS MATERIALIZED ({TRUSTED}) {TABLES}");
        let rows = session.query(&tables, &[&only]).await.map_err(|error| {
            if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
                return failed(error);
            }
            let why = format!(
                "a table of it stayed locked for {}; run the backup again, or give it a longer LOCK_WAIT_TIMEOUT",
                humantime::format_duration(lock_timeout)
            );
            Error::because(Kind::Busy, "reading the tables of", target, why)
        })?;
        session
            .batch_execute("SET lock_timeout = 0")
            .await
            .map_err(failed)?;
        let objects = "SELECT pg_relation_size('pg_catalog.pg_largeobject')";
        let objects: i64 = session
            .query_one(objects, &[])
            .await
            .map_err(failed)?
            .get(0);
        let mut survey = Self {
            large_objects: objects.unsigned_abs(),
            ..Self::default()
        };
        for row in &rows {
            let bytes: i64 = row.get(3);
            let table = Table {
                oid: row.get(0),
                schema: row.get(1),
                name: row.get(2),
                bytes: bytes.unsigned_abs(),
                of_extension: row.get(4),
                of_trusted_owner: row.get(7),
                pattern: OsString::from_vec(row.get(6)),
            };
            if row.get(5) {
                survey.without_rows.push(table);
            } else {
                survey.tables.push(table);
            }
        }
        Ok(survey)
    }
}

/// An exported snapshot; it lives as long as the transaction of its session.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What pg_dump's `--snapshot` takes.
    pub id: String,
    /// The moment it shows, by the server's clock, UTC.
    pub taken_at: Timestamp,
}

impl Snapshot {
    /// Takes and exports a snapshot (`pg_export_snapshot`) in one round trip. The session's snapshot
    /// before it ends.
    ///
    /// # Errors
    /// What the server said; `Kind::Unsupported` where a restore has left a half.
    pub async fn take(holder: &Session, target: &Target) -> Result<Self, Error> {
        let failed =
            |error: tokio_postgres::Error| Error::new("taking a snapshot of", target, &error);
        Self::end(holder, target).await?;
        let answer = holder
            .simple_query(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                 SELECT pg_export_snapshot(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            )
            .await
            .map_err(failed)?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let micros = row.get(1)?.parse().ok()?;
                let taken_at = Timestamp::from_microsecond(micros).ok()?;
                Some((row.get(0)?.to_owned(), taken_at))
            }
            _ => None,
        });
        let (id, taken_at) = row.ok_or_else(|| {
            let why = "the server gave no snapshot";
            Error::because(Kind::Other, "taking a snapshot of", target, why)
        })?;
        // Asked of the snapshot itself: what it shows is what the backup would be.
        if let Some(mark::Found { comment, .. }) = mark::find(holder).await.map_err(failed)? {
            let why = mark::refusal(&comment);
            return Err(Error::because(Kind::Unsupported, "backing up", target, why));
        }
        Ok(Self { id, taken_at })
    }

    /// Ends the session's snapshot; those who have imported it keep theirs.
    ///
    /// # Errors
    /// What the server said.
    pub async fn end(holder: &Session, target: &Target) -> Result<(), Error> {
        // Without a transaction it is a warning.
        let ended = holder.batch_execute("ROLLBACK").await;
        ended.map_err(|error| Error::new("leaving a snapshot of", target, &error))
    }
}

/// What each table is like: in the snapshot of a session, or now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes(HashMap<u32, Shape>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    schema: String,
    name: String,
    file: u32,
    columns: String,
}

impl Shapes {
    /// Asks through a session.
    ///
    /// # Errors
    /// What the server said.
    pub async fn seen_by(session: &Client, target: &Target) -> Result<Self, Error> {
        let rows = session
            .query(SHAPES, &[])
            .await
            .map_err(|error| Error::new("watching the tables of", target, &error))?;
        let shape = |row: &tokio_postgres::Row| Shape {
            schema: row.get(1),
            name: row.get(2),
            file: row.get(3),
            columns: row.get(4),
        };
        Ok(Self(rows.iter().map(|it| (it.get(0), shape(it))).collect()))
    }

    /// Forgets the tables that nobody dumps.
    pub fn retain(&mut self, is_dumped: impl Fn(u32) -> bool) {
        self.0.retain(|oid, _| is_dumped(*oid));
    }

    /// How many tables there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tables by schema and name. Nobody knows their sizes.
    #[must_use]
    pub fn tables(&self) -> BTreeMap<(String, String), Table> {
        let table = |(oid, shape): (&u32, &Shape)| Table {
            oid: *oid,
            schema: shape.schema.clone(),
            name: shape.name.clone(),
            bytes: 0,
            of_extension: false,
            of_trusted_owner: false,
            pattern: sql::pattern(&shape.schema, &shape.name).into(),
        };
        let named = |it: Table| ((it.schema.clone(), it.name.clone()), it);
        self.0.iter().map(table).map(named).collect()
    }

    /// A table of these that is another one, or gone, in `now`; its name in these. New tables are
    /// nobody's business: a snapshot does not show them.
    #[must_use]
    pub fn changed(&self, now: &Self) -> Option<String> {
        let mut all = self.0.iter();
        let (_, changed) = all.find(|(oid, shape)| now.0.get(oid) != Some(shape))?;
        Some(sql::pattern(&changed.schema, &changed.name))
    }
}
