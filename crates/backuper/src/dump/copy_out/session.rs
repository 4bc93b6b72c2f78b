//! The session whose COPYs send the rows: that it sees what pg_dump sees, and reads the tables that are meant.
//!
//! COPY takes a name, and a schema is renamed without a lock on its tables. So each table is named as it is named at
//! that moment, and after its COPY the session's own statistics must say that this table was read. pg_dump, which
//! has read the names at its beginning, cannot do so.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{SimpleQueryMessage, Statement};

use super::CopyOut;
use super::binary::Type;
use super::head::Table;
use super::piece::{Pages, Piece, pieces};
use crate::dump::plan::Split;
use crate::postgres::snapshot::TRUSTED;
use crate::postgres::tap::{CHUNK, Passed};
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

/// Where the server knows it: a name that has come to lead to a view runs nothing of it. PostgreSQL manual, 20.11:
/// `restrict_nonsystem_relation_kind`.
const TABLES_ALONE: &str = "
    SELECT pg_catalog.set_config(name, 'view, foreign-table', false) FROM pg_catalog.pg_settings
     WHERE name = 'restrict_nonsystem_relation_kind'";

/// Chunks that all sessions of a stream may have read before their turn, and those of each.
const AHEAD: usize = 128;
const AHEAD_EACH: std::ops::RangeInclusive<usize> = 1..=32;

/// A session that is to copy, and what it copies.
pub(super) type Begun = (Session, mpsc::Receiver<Passed>);

/// A session in the snapshot, which holds the locks that pg_dump holds too.
pub(super) async fn begin(copy: &CopyOut, tables: &mut [Table]) -> Result<Begun, Error> {
    let target = &copy.target;
    let options = copy.options.as_deref();
    let ahead = ahead(copy.sessions);
    let (session, passed) = target.connect_for_copy(APPLICATION, options, ahead).await?;
    let beginning =
        |error: tokio_postgres::Error| Error::new("beginning to copy rows of", target, &error);
    let begin = format!(
        "{SETTINGS} BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; {TABLES_ALONE}",
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
    let asked = session.prepare(NAMED).await.map_err(beginning)?;
    named(&session, &asked, first, first)
        .await
        .map_err(beginning)?;
    Ok((session, passed))
}

/// How many chunks a session may have read before its turn: a piece of a table, where several read it.
fn ahead(sessions: usize) -> usize {
    match sessions {
        0 | 1 => 1,
        many => (AHEAD / many).clamp(*AHEAD_EACH.start(), *AHEAD_EACH.end()),
    }
}

/// Divides tables among so many sessions, where the server reads pages without reading all that stand before them.
///
/// Whoever plans a query of a table locks its indexes, evaluates their expressions and asks what extensions have put
/// into the planner. A COPY of the table does nothing of it: so each is tried while pg_dump is at hand, none that
/// belongs to somebody who might harm the role by it is split, and the locks are given back.
pub(super) async fn divide(
    session: &Session,
    (split, sessions): (Split, usize),
    tables: &mut [Table],
) -> Result<(), tokio_postgres::Error> {
    const FOUND: &str = "
        SELECT pg_relation_size(c.oid) / current_setting('block_size')::int, pg_table_size(c.oid), w.oid::regclass::text,
               c.relowner IN (SELECT oid FROM trusted) AND n.nspowner IN (SELECT oid FROM trusted)
          FROM unnest($1::oid[]) WITH ORDINALITY AS w (oid, place) JOIN pg_class c ON c.oid = w.oid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         ORDER BY w.place";
    let oids: Vec<u32> = tables.iter().map(|it| it.oid).collect();
    // It should have room where it waits, whatever it is longer on its way than on disk.
    let piece = (ahead(sessions) * CHUNK * 3 / 4) as u64;
    let found = format!("WITH trusted AS MATERIALIZED ({TRUSTED}) {FOUND}");
    let found = session.query(&found, &[&oids]).await?;
    let mut names: Vec<String> = Vec::with_capacity(tables.len());
    for (table, row) in tables.iter_mut().zip(&found) {
        let (pages, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let is_split = split.takes(row.try_get(3)?) && !table.columns.is_empty();
        table.pages = match (u32::try_from(pages), u64::try_from(bytes)) {
            (Ok(all), Ok(bytes)) if is_split => {
                Pages::of(all, (bytes, piece), split == Split::Always, sessions)
            }
            _ => None,
        };
        names.push(row.try_get(2)?);
    }
    if tables.iter().all(|it| it.pages.is_none()) {
        return Ok(());
    }
    read_by_pages(session).await?;
    for (table, name) in tables.iter_mut().zip(&names) {
        let first = pieces(std::slice::from_ref(table)).next();
        let Some(query) = first
            .filter(|it| it.pages().is_some())
            .map(|it| it.select(name))
        else {
            continue;
        };
        let explain = format!("SET LOCAL lock_timeout = '3s'; EXPLAIN {query}");
        let plan = session.simple_query(&explain).await;
        let by_pages = plan.is_ok_and(|plan| {
            let mut lines = plan.iter().filter_map(|it| match it {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            lines
                .next()
                .is_some_and(|it| it.starts_with("Tid Range Scan"))
        });
        if !by_pages {
            table.pages = None;
        }
        session.batch_execute(GIVE_BACK).await?;
    }
    Ok(())
}

/// What a query has locked beside the tables that were locked before.
const GIVE_BACK: &str = "ROLLBACK TO SAVEPOINT piece";

/// Has the planner read pages of a table by their numbers, and in their order. REINDEX may hold an index, or wait for
/// it while another session of ours has it: nobody would ever see that this one waits for a third.
pub(super) async fn read_by_pages(session: &Session) -> Result<(), tokio_postgres::Error> {
    const BY_PAGES: &str = "
        SET LOCAL enable_tidscan = on; SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0;
        SET LOCAL lock_timeout = '60s'; SAVEPOINT piece";
    session.batch_execute(BY_PAGES).await
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

/// Has the rows of every so manyth piece sent, says of each that ends which of all it was, and proves that they were
/// theirs.
pub(super) async fn copy_all(
    session: Session,
    target: Target,
    tables: Arc<[Table]>,
    (number, sessions): (usize, usize),
    ended: mpsc::UnboundedSender<usize>,
) -> Result<(), Error> {
    let failed = |error: tokio_postgres::Error| Error::new(COPYING, &target, &error);
    let is_split = tables.iter().any(|it| it.pages.is_some());
    let copied = async {
        let all = pieces(&tables).enumerate();
        let mut next = all.skip(number).step_by(sessions);
        let mut piece = next.next();
        let asked = session.prepare(NAMED).await.map_err(failed)?;
        let first = piece.map(|(_, it)| it.table);
        let mut before = named(&session, &asked, None, first).await.map_err(failed)?;
        while let Some((place, this)) = piece {
            let rows = session
                .copy_out(&this.copy(&before.name))
                .await
                .map_err(failed)?;
            tokio::pin!(rows);
            // They go another way; this is the end, or why there is none.
            while let Some(row) = rows.next().await {
                row.map_err(failed)?;
            }
            // Where nobody reads any more the next COPY fails.
            let _unread = ended.send(place);
            piece = next.next();
            let give_back = async {
                match is_split {
                    true => session.batch_execute(GIVE_BACK).await,
                    false => Ok(()),
                }
            };
            let after = named(
                &session,
                &asked,
                Some(this.table),
                piece.map(|(_, it)| it.table),
            );
            // Without waiting for the one before the other is asked.
            let ((), after) = futures::try_join!(give_back, after).map_err(failed)?;
            if !after.proves(&this, &before) {
                let why = format!(
                    "the name of {} has led to another table, since a schema was renamed at that moment; run the backup again, or with BACKUP_ROWS=pg_dump where that happens each time",
                    this.table.shown
                );
                return Err(Error::because(Kind::Busy, COPYING, &target, why));
            }
            before = after;
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

/// What is known between two COPYs.
struct Named {
    /// What the next table is called now.
    name: String,
    /// How often this transaction has read the last table as a whole.
    scans: Option<i64>,
    /// How many of the last table's pages it has read, and of the next one's.
    pages: [Option<i64>; 2],
}

impl Named {
    /// Whether what was read since is this piece.
    fn proves(&self, piece: &Piece<'_>, before: &Self) -> bool {
        match (piece.pages(), self.pages[0], before.pages[1]) {
            (None, ..) => self.scans == Some(1),
            // A range is no scan, but each page of it was asked for.
            (Some(wanted), Some(now), Some(then)) => now - then >= i64::from(wanted),
            (Some(_), ..) => false,
        }
    }
}

/// What the next table is called now, and what this transaction has read of it and the last one.
/// PostgreSQL manual, 27.2: functions of the statistics. A server process learns of new names when it takes a lock,
/// and this transaction has those that it needs: so another one is taken and given back, on a table that nothing of
/// ours reads.
async fn named(
    session: &Session,
    asked: &Statement,
    last: Option<&Table>,
    next: Option<&Table>,
) -> Result<Named, tokio_postgres::Error> {
    let [next, last] = [next, last].map(|it| it.map(|it| it.oid));
    let parameters: [&(dyn ToSql + Sync); 2] = [&next, &last];
    let row = session.query_one(asked, &parameters).await?;
    Ok(Named {
        name: row.try_get(0)?,
        scans: row.try_get(1)?,
        pages: [row.try_get(2)?, row.try_get(3)?],
    })
}

const NAMED: &str = "
    SELECT CASE WHEN pg_relation_size('pg_largeobject_metadata') >= 0 THEN coalesce($1::oid::regclass::text, '') END,
           pg_stat_get_xact_numscans($2), pg_stat_get_xact_blocks_fetched($2), pg_stat_get_xact_blocks_fetched($1)";

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_piece_is_proved_by_the_pages_that_were_asked_for() {
        let table = |pages| Table {
            entry: 1,
            oid: 42,
            shown: String::new(),
            columns: Vec::new(),
            list: String::new(),
            encoding: String::new(),
            binary: None,
            pages,
        };
        let named = |scans, pages| Named {
            name: String::new(),
            scans,
            pages,
        };
        let each = NonZeroU32::new(4).unwrap();
        let split = [table(Some(Pages { all: 10, each }))];
        let before = named(Some(0), [None, Some(100)]);
        let proves =
            |piece: &Piece<'_>, scans, now| named(scans, [now, None]).proves(piece, &before);
        let all: Vec<Piece<'_>> = pieces(&split).collect();
        assert!(proves(&all[0], Some(0), Some(104)));
        assert!(!proves(&all[0], Some(1), Some(103)));
        assert!(proves(&all[2], Some(0), Some(102)));
        for now in [Some(100), None] {
            assert!(!proves(&all[2], Some(1), now));
        }
        let whole = [table(None)];
        let whole = pieces(&whole).next().unwrap();
        assert!(proves(&whole, Some(1), Some(100)));
        for scans in [Some(0), Some(2), None] {
            assert!(!proves(&whole, scans, Some(1_000)));
        }
    }
}
