//! The session whose COPYs send the rows: that it sees what pg_dump sees, and reads the tables that are meant.
//!
//! COPY takes a name, and a schema is renamed without a lock on its tables. So each table is named as it is named at
//! that moment, and after its COPY the session's own statistics must say that this table was read. pg_dump, which
//! has read the names at its beginning, cannot do so.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::CopyOut;
use super::binary::Type;
use super::head::Table;
use crate::postgres::tap::Passed;
use crate::postgres::{CopyFormat, Error, Kind, Session, Target};
use crate::text::sql;

/// Statements that are prepared without waiting for each.
const AT_ONCE: usize = 32;
const CHANGED: &str = "a table is no longer what pg_dump has locked";
/// What it calls itself.
const APPLICATION: &str = "backuper copy";
/// What an error says was being done.
pub(super) const COPYING: &str = "copying rows of";

/// What pg_dump sets for its session, and what makes a value's text the same wherever it is read: `setup_connection`
/// in PostgreSQL's `src/bin/pg_dump/pg_dump.c`.
const SETTINGS: &str = "
    SET client_encoding = 'UTF8'; SET search_path = ''; SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3;
    SET synchronize_seqscans = off; SET row_security = off; SET bytea_output = hex;";

/// A session in the snapshot, which holds the locks that pg_dump holds too.
pub(super) async fn begin(
    copy: &CopyOut,
    tables: &mut [Table],
) -> Result<(Session, mpsc::Receiver<Passed>), Error> {
    let target = &copy.target;
    let options = copy.options.as_deref();
    let (session, passed) = target.connect_for_copy(APPLICATION, options).await?;
    let beginning =
        |error: tokio_postgres::Error| Error::new("beginning to copy rows of", target, &error);
    let begin = format!(
        "{SETTINGS} BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        sql::literal(&copy.snapshot.id),
    );
    session.batch_execute(&begin).await.map_err(beginning)?;
    let oids: Vec<u32> = tables.iter().map(|it| it.oid).collect();
    let names = names(&session, &oids).await.map_err(beginning)?;
    // Somebody who waits for pg_dump's lock would have us wait behind, and pg_dump is ended by us
    // alone: nobody would ever see that deadlock.
    let lock = format!(
        "LOCK TABLE ONLY {} IN ACCESS SHARE MODE NOWAIT",
        names.join(", ONLY ")
    );
    session.batch_execute(&lock).await.map_err(beginning)?;
    are_same(&session, target, &names, &oids).await?;
    if !describe(&session, tables, &names, copy.format)
        .await
        .map_err(beginning)?
    {
        return Err(Error::because(Kind::Busy, COPYING, target, CHANGED));
    }
    // What every COPY is proved by must be there: pg_dump is still at hand.
    let first = tables.first();
    named(&session, first, first).await.map_err(beginning)?;
    Ok((session, passed))
}

/// What these tables are called now, with their schemas, in quotes: no snapshot holds for regclass.
async fn names(session: &Session, oids: &[u32]) -> Result<Vec<String>, tokio_postgres::Error> {
    const NAMES: &str = "
        SELECT w.oid::regclass::text FROM unnest($1::oid[]) WITH ORDINALITY AS w (oid, place) ORDER BY w.place";
    let rows = session.query(NAMES, &[&oids]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Proves that the tables of these names, which are locked, are those that pg_dump has locked. And should pg_dump
/// have ended before our lock, the rows must still be in the file that the snapshot names, as after TRUNCATE they
/// are not: pg_class is read in the snapshot, and the functions read what is now. What follows relies on
/// statistics, which heap (2 in `pg_am.dat`) counts.
async fn are_same(
    session: &Session,
    target: &Target,
    names: &[String],
    oids: &[u32],
) -> Result<(), Error> {
    const SAME: &str = "
        SELECT count(*), coalesce(bool_and(c.relam = 2), true), current_setting('track_counts')::bool
          FROM unnest($1::text[], $2::oid[]) AS w (name, oid)
          JOIN pg_class c ON c.oid = w.oid AND c.oid = to_regclass(w.name)
         WHERE c.relkind = 'r' AND c.relfilenode = pg_relation_filenode(c.oid)
           AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.relation = c.oid AND l.granted)";
    let found = session.query_one(SAME, &[&names, &oids]).await;
    let found = found.map_err(|error| Error::new(COPYING, target, &error))?;
    let are_all = usize::try_from(found.get::<_, i64>(0)) == Ok(oids.len());
    let why = match (are_all, found.get(1), found.get(2)) {
        (true, true, true) => return Ok(()),
        (false, ..) => CHANGED,
        (true, false, _) => "one of them has another access method than heap",
        (true, true, false) => {
            "the server does not count which tables a session reads: track_counts is off"
        }
    };
    Err(Error::because(Kind::Busy, COPYING, target, why))
}

/// Proves that names of columns lead to those of the snapshot and of no other table, and chooses for which tables the server sends binary
/// rows: most of what it costs to write text it costs for bytea. A statement that is prepared has the columns of now.
async fn describe(
    session: &Session,
    tables: &mut [Table],
    names: &[String],
    format: CopyFormat,
) -> Result<bool, tokio_postgres::Error> {
    const COLUMNS: &str = "
        SELECT attrelid, attname::text, attnum FROM pg_attribute
         WHERE attrelid = ANY ($1) AND attnum > 0 AND NOT attisdropped";
    let oids: Vec<u32> = tables.iter().map(|it| it.oid).collect();
    let columns: HashMap<(u32, String), i16> = session
        .query(COLUMNS, &[&oids])
        .await?
        .iter()
        .map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?)))
        .collect::<Result<_, tokio_postgres::Error>>()?;
    let lists = tables.iter().zip(names).map(|(table, name)| {
        let list: Vec<String> = table.columns.iter().map(|it| sql::quote(it)).collect();
        format!("SELECT {} FROM ONLY {name}", list.join(", "))
    });
    let prepared = futures::stream::iter(lists.map(async |it| session.prepare(&it).await));
    let statements: Vec<Statement> = prepared.buffered(AT_ONCE).try_collect().await?;
    for (table, statement) in tables.iter_mut().zip(&statements) {
        let found = statement.columns().iter();
        let found = found.map(|it| (it.table_oid(), it.column_id()));
        let wanted = table.columns.iter().map(|it| {
            let of = (table.oid, it.clone());
            (Some(table.oid), columns.get(&of).copied())
        });
        if !found.eq(wanted) {
            return Ok(false);
        }
        // Binary text is in the session's encoding, and that is UTF-8. Rows without columns are no fewer bytes.
        if format == CopyFormat::Text || table.encoding != "UTF8" || table.columns.is_empty() {
            continue;
        }
        let types = statement.columns().iter().map(|it| Type::of(it.type_()));
        let types: Option<Vec<Type>> = types.collect();
        let pays = |it: &Vec<Type>| format == CopyFormat::Binary || it.contains(&Type::Bytea);
        table.binary = types.filter(pays);
    }
    Ok(true)
}

/// Has the rows of all sent, and proves that they were theirs.
pub(super) async fn copy_all(
    session: Session,
    target: Target,
    tables: Vec<Table>,
) -> Result<(), Error> {
    let failed = |error: tokio_postgres::Error| Error::new(COPYING, &target, &error);
    let copied = async {
        let mut names = tables.iter();
        let mut name = named(&session, None, names.next()).await.map_err(failed)?.0;
        for table in &tables {
            let rows = session.copy_out(&table.copy(&name)).await.map_err(failed)?;
            tokio::pin!(rows);
            // They go another way; this is the end, or why there is none.
            while let Some(row) = rows.next().await {
                row.map_err(failed)?;
            }
            let read;
            (name, read) = named(&session, Some(table), names.next())
                .await
                .map_err(failed)?;
            if read != Some(1) {
                let why = format!(
                    "the name of {} has led to another table, since a schema was renamed at that moment; run the backup again, or with BACKUP_ROWS=pg_dump where that happens each time",
                    table.shown
                );
                return Err(Error::because(Kind::Busy, COPYING, &target, why));
            }
        }
        session.batch_execute("COMMIT").await.map_err(failed)
    };
    match copied.await {
        // The server's last words went to the session.
        Err(error) if error.state.is_none() && error.kind != Kind::Busy && session.is_closed() => {
            let why = session.lost().await.reason;
            Err(Error::because(Kind::Unavailable, COPYING, &target, why))
        }
        copied => copied,
    }
}

/// What the next table is called now, and how often this transaction has read the last one.
/// PostgreSQL manual, 27.2: functions of the statistics.
async fn named(
    session: &Session,
    last: Option<&Table>,
    next: Option<&Table>,
) -> Result<(String, Option<i64>), tokio_postgres::Error> {
    const NAMED: &str = "
        SELECT coalesce($1::oid::regclass::text, ''), pg_stat_get_xact_numscans($2)";
    let [next, last] = [next, last].map(|it| it.map(|it| it.oid));
    let parameters: [&(dyn ToSql + Sync); 2] = [&next, &last];
    let row = session.query_one(NAMED, &parameters).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
