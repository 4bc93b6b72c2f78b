//! The planner's statistics after a restore: those that the dump has brought are kept.

use backuper::postgres::Target;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// Tables without statistics, by name, and how many tables there are. Dumps of PostgreSQL 18 bring
/// those of columns, and none of `CREATE STATISTICS`.
const MISSING: &str = "
    WITH tables AS (
        SELECT c.oid, n.nspname, c.relname FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema')
    SELECT (SELECT count(*) FROM tables), array(
        SELECT format('%I.%I', nspname, relname) FROM tables t
         WHERE NOT EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = t.nspname AND s.tablename = t.relname)
            OR EXISTS (SELECT FROM pg_statistic_ext e JOIN pg_namespace n ON n.oid = e.stxnamespace
                        WHERE e.stxrelid = t.oid AND NOT EXISTS (
                            SELECT FROM pg_stats_ext s
                             WHERE s.statistics_schemaname = n.nspname AND s.statistics_name = e.stxname))
         ORDER BY 1)";

/// Analyzes what has no statistics. The restore is complete without them, so what goes wrong here
/// is a warning.
pub async fn complete(session: &Client, target: &Target, stop: &CancellationToken) {
    let analyzing = async {
        let row = session.query_one(MISSING, &[]).await?;
        let (all, missing): (i64, Vec<String>) = (row.get(0), row.get(1));
        tracing::info!(database = %target, tables = missing.len(), "analyzing");
        if usize::try_from(all).is_ok_and(|all| all == missing.len()) {
            return session.batch_execute("ANALYZE").await;
        }
        match missing.as_slice() {
            [] => Ok(()),
            some => {
                session
                    .batch_execute(&format!("ANALYZE {}", some.join(", ")))
                    .await
            }
        }
    };
    let analyzed = tokio::select! {
        analyzed = analyzing => analyzed,
        () = stop.cancelled() => {
            tracing::warn!("stopped after the restore was complete; run ANALYZE by hand");
            return;
        }
    };
    if let Err(error) = analyzed {
        tracing::warn!(%error, "the restore is complete, but ANALYZE failed; run it by hand");
    }
}
