//! What is in the database, and what somebody does in it now.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::Asking;
use crate::doctor::finding::Finding;
use crate::postgres::probe;

/// How many names a sentence holds before it only counts.
const NAMED: usize = 5;
/// How long a lock is held before it is told of.
const MOMENT: Duration = Duration::from_millis(400);

/// What is installed, and whether the server still has the files that a restore would need.
const EXTENSIONS: &str = "
    SELECT e.extname || ' ' || e.extversion, a.default_version IS NOT NULL
      FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname
     ORDER BY e.extname::text COLLATE \"C\"";

const UNLOGGED: &str = "
    SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence = 'u'
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
     ORDER BY 1";

const PREPARED: &str = "
    SELECT format('%L (since %s)', gid, to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))
      FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared";

/// Tables that nobody else may read now. A prepared transaction has no process. PostgreSQL manual,
/// 54.12: pg_locks.
const LOCKED: &str = "
    SELECT format('table %I.%I is held by %s (process %s of role %s, since %s)', n.nspname, c.relname,
                  coalesce(nullif(a.application_name, ''), CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE 'unknown' END),
                  coalesce(l.pid, 0), coalesce(a.usename::text, 'unknown'),
                  coalesce(to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'unknown'))
      FROM pg_locks l
      JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND c.relkind IN ('r', 'p', 'S', 'm') AND c.relpersistence <> 't'
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
     ORDER BY 1";

pub(super) async fn extensions(asking: Asking<'_>) -> Finding {
    let rows = match asking.client().query(EXTENSIONS, &[]).await {
        Ok(rows) => rows,
        Err(error) => return asking.unanswered(&error),
    };
    let of = |wanted: bool| -> Vec<String> {
        let rows = rows.iter().filter(|it| it.get::<_, bool>(1) == wanted);
        rows.map(|it| it.get(0)).collect()
    };
    let missing = of(false);
    if missing.is_empty() {
        return Finding::ok(format!("installed: {}", of(true).join(", ")));
    }
    Finding::warning(format!(
        "{} installed here and the server has no files of it any more: a backup is made, and cannot be restored on this server; install it there",
        counted(&missing)
    ))
}

pub(super) async fn unlogged_tables(asking: Asking<'_>) -> Finding {
    let room = match probe::room(asking.client(), asking.target).await {
        Ok(room) => room,
        Err(error) => return error.into(),
    };
    if !room.standby {
        return Finding::ok("the server is no standby: it has the rows of all tables");
    }
    match names(asking, UNLOGGED).await {
        Err(finding) => finding,
        Ok(unlogged) if unlogged.is_empty() => {
            Finding::ok("the server is a standby, and no table is unlogged")
        }
        Ok(unlogged) => Finding::warning(format!(
            "the server is a standby, which has no rows of unlogged tables: a backup has these tables and none of their rows: {}; back up the primary",
            counted(&unlogged)
        )),
    }
}

pub(super) async fn prepared_transactions(asking: Asking<'_>) -> Finding {
    match names(asking, PREPARED).await {
        Err(finding) => finding,
        Ok(prepared) if prepared.is_empty() => Finding::ok("there are none"),
        Ok(prepared) => Finding::warning(format!(
            "prepared transactions hold their locks until somebody ends them, and what they have written is in no backup: {}; COMMIT PREPARED or ROLLBACK PREPARED them",
            counted(&prepared)
        )),
    }
}

/// Locks that a backup would wait for. One that is gone a moment later is not worth a word.
pub(super) async fn locks(asking: Asking<'_>) -> Finding {
    let before = match names(asking, LOCKED).await {
        Err(finding) => return finding,
        Ok(held) if held.is_empty() => return Finding::ok("no table is locked against reading"),
        Ok(held) => held,
    };
    tokio::time::sleep(MOMENT).await;
    match names(asking, LOCKED).await {
        Err(finding) => finding,
        Ok(now) => {
            let held: Vec<String> = now.into_iter().filter(|it| before.contains(it)).collect();
            if held.is_empty() {
                return Finding::ok("no table is locked against reading for long");
            }
            Finding::warning(format!(
                "a backup would wait for LOCK_WAIT_TIMEOUT and then fail: {}; let it end, or end its session",
                counted(&held)
            ))
        }
    }
}

pub(super) async fn clock(asking: Asking<'_>) -> Finding {
    let before = Timestamp::now();
    let sql = "SELECT extract(epoch FROM clock_timestamp())::float8";
    let row = match asking.client().query_one(sql, &[]).await {
        Ok(row) => row,
        Err(error) => return asking.unanswered(&error),
    };
    let after = Timestamp::now();
    let here = before + after.duration_since(before) / 2;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds since 1970 fit"
    )]
    let there = Timestamp::from_millisecond((row.get::<_, f64>(0) * 1_000.0) as i64);
    match there {
        Ok(there) => Finding::of_clocks(here, there, "the database server's"),
        Err(error) => Finding::unknown(error.to_string()),
    }
}

/// The first column of an answer.
async fn names(asking: Asking<'_>, sql: &str) -> Result<Vec<String>, Finding> {
    let rows = asking.client().query(sql, &[]).await;
    let rows = rows.map_err(|error| asking.unanswered(&error))?;
    Ok(rows.iter().map(|row: &Row| row.get(0)).collect())
}

/// Some of the names, and how many more there are.
pub(super) fn counted(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if names.len() > NAMED {
        shown.push(format!("{} more", names.len() - NAMED));
    }
    shown.join(", ")
}
