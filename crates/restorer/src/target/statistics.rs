//! The planner's statistics after a restore: those that the dump has brought are kept.

use backuper::postgres::{self, Session, Target};
use futures::future::{join_all, try_join_all};
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::deadline::cancel;

/// Tables without statistics, the largest first. Dumps of PostgreSQL 18 bring those of columns, and
/// none of `CREATE STATISTICS`. A partition is left to a partitioned table that is among them, since
/// ANALYZE of that one takes all its partitions; one that has foreign tables among them would read these
/// from their servers.
const MISSING: &str = "
    WITH RECURSIVE above_foreign AS (
        SELECT i.inhparent AS oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind = 'f'
         UNION SELECT i.inhparent FROM pg_inherits i JOIN above_foreign f ON f.oid = i.inhrelid
    ), missing AS (
        SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid NOT IN (SELECT oid FROM above_foreign) AND c.relkind IN ('r', 'm', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
           AND (NOT EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname)
             OR EXISTS (SELECT FROM pg_statistic_ext e JOIN pg_namespace m ON m.oid = e.stxnamespace
                         WHERE e.stxrelid = c.oid AND NOT EXISTS (
                             SELECT FROM pg_stats_ext s
                              WHERE s.statistics_schemaname = m.nspname AND s.statistics_name = e.stxname))))
    SELECT format('%I.%I', nspname, relname) FROM missing t
     WHERE NOT EXISTS (
        SELECT FROM pg_partition_ancestors(t.oid) a JOIN missing m ON m.oid = a.relid WHERE m.oid <> t.oid)
     ORDER BY relkind = 'p' DESC, pg_relation_size(oid) DESC, 1";

/// Analyzes what has no statistics, as many tables at once as there are jobs. The restore is complete
/// without them, so what goes wrong here is a warning.
pub async fn complete(session: &Client, target: &Target, jobs: usize, stop: &CancellationToken) {
    match analyze(session, target, jobs, stop).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("stopped after the restore was complete; run ANALYZE by hand");
        }
        Err(error) => {
            let error = postgres::Error::new("analyzing", target, &error);
            tracing::warn!(%error, "the restore is complete, but ANALYZE failed; run it by hand");
        }
    }
}

/// Gives whether it was left to its end.
async fn analyze(
    session: &Client,
    target: &Target,
    jobs: usize,
    stop: &CancellationToken,
) -> Result<bool, Error> {
    let rows = session.query(MISSING, &[]).await?;
    let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    tracing::info!(database = %target, tables = missing.len(), "analyzing");
    let alone: bool = session.query_one(FIRES_ON_LOGIN, &[]).await?.get(0);
    let count = if alone { 0 } else { missing.len().min(jobs) };
    let helpers = helpers(target, count.saturating_sub(1)).await;
    let helpers = helpers.iter().map(|it| &**it);
    let sessions: Vec<&Client> = std::iter::once(session).chain(helpers).collect();
    let shares = shares(&missing, sessions.len());
    let under_way = sessions.iter().zip(shares).map(|(session, share)| {
        let statement = format!("ANALYZE {}", share.join(", "));
        async move {
            // Without a table it would analyze all of them.
            if share.is_empty() {
                return Ok(());
            }
            session.batch_execute(&statement).await
        }
    });
    tokio::select! {
        analyzed = try_join_all(under_way) => analyzed.map(|_all| true),
        () = stop.cancelled() => {
            join_all(sessions.iter().map(|it| cancel(target, it))).await;
            Ok(false)
        }
    }
}

/// Whether a session that is opened now fires a trigger of the backup. PostgreSQL 17 manual, 38.1: event
/// triggers on login.
const FIRES_ON_LOGIN: &str =
    "SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtevent = 'login' AND evtenabled <> 'D')";

/// More sessions, or fewer than that where the server gives no more.
async fn helpers(target: &Target, count: usize) -> Vec<Session> {
    let connecting = (0..count).map(|_| target.connect("restorer"));
    let connected = join_all(connecting).await.into_iter();
    connected
        .filter_map(|session| {
            session
                .inspect_err(|error| tracing::debug!(%error, "one session less analyzes"))
                .ok()
        })
        .collect()
}

/// The tables, dealt out in turn: sorted by size, each share has its part of the large ones.
fn shares(tables: &[String], count: usize) -> Vec<Vec<&str>> {
    let mut shares = vec![Vec::new(); count];
    for (number, table) in tables.iter().enumerate() {
        shares[number % count].push(table.as_str());
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_in_one_share() {
        let tables: Vec<String> = (0..5).map(|it| format!("t{it}")).collect();
        assert_eq!(
            shares(&tables, 2),
            [vec!["t0", "t2", "t4"], vec!["t1", "t3"]]
        );
        assert_eq!(shares(&[], 1), [Vec::<&str>::new()]);
    }
}
