//! What our sessions wait for, and for whom: asked through a session that waits for nothing.

use std::convert::Infallible;
use std::time::Duration;

use tokio_postgres::Client;

/// When a wait is first reported, and how often from then on.
const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(10);

/// Whoever may not look into others' sessions still sees who they are. A prepared transaction has the
/// process 0. PostgreSQL manual, 54.12: pg_locks.
const WAITS: &str = "
    SELECT DISTINCT coalesce(wanted.relation::regclass::text, wanted.locktype),
           coalesce(nullif(holder.application_name, ''), CASE blocking.pid WHEN 0 THEN 'a prepared transaction' ELSE 'unknown' END),
           coalesce(blocking.pid, 0), coalesce(holder.usename::text, 'unknown'),
           coalesce(to_char(holder.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'unknown')
      FROM pg_stat_activity waiting
      JOIN pg_locks wanted ON wanted.pid = waiting.pid AND NOT wanted.granted
      CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
      LEFT JOIN pg_stat_activity holder ON holder.pid = blocking.pid
     WHERE waiting.datname = current_database() AND waiting.usename = current_user
       AND starts_with(waiting.application_name, $1)
     ORDER BY 1, 2, 3";

/// One of our sessions waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The table, or the kind of lock.
    pub on: String,
    /// The application that holds it.
    pub held_by: String,
    /// Its server process.
    pub pid: i32,
    /// Its role.
    pub user: String,
    /// When its transaction began, where we may know.
    pub since: String,
}

/// The waits of sessions whose application name begins like this.
///
/// # Errors
/// What the server said.
pub async fn of(witness: &Client, application: &str) -> Result<Vec<Wait>, tokio_postgres::Error> {
    let rows = witness.query(WAITS, &[&application]).await?;
    let wait = |row: &tokio_postgres::Row| Wait {
        on: row.get(0),
        held_by: row.get(1),
        pid: row.get(2),
        user: row.get(3),
        since: row.get(4),
    };
    Ok(rows.iter().map(wait).collect())
}

/// Reports these waits for as long as it is polled.
pub async fn report(witness: &Client, application: &str) -> Infallible {
    tokio::time::sleep(FIRST).await;
    loop {
        match of(witness, application).await {
            Ok(waits) => waits.iter().for_each(Wait::log),
            Err(error) => tracing::debug!(%error, "nobody knows what is waited for"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits until one of these sessions has waited for a lock for a moment, longer than a lock that
/// passes takes.
pub async fn any(witness: &Client, application: &str) -> Wait {
    const MOMENT: Duration = Duration::from_millis(150);
    const LATER: Duration = Duration::from_secs(1);
    let (mut before, mut asked) = (Vec::new(), 0);
    loop {
        // Most starts take less than a second; some take minutes, and need no such haste.
        tokio::time::sleep(if asked < 20 { MOMENT } else { LATER }).await;
        asked += 1;
        let now = of(witness, application).await.unwrap_or_default();
        if let Some(wait) = now.iter().find(|it| before.contains(*it)) {
            return wait.clone();
        }
        before = now;
    }
}

impl Wait {
    fn log(&self) {
        tracing::warn!(
            on = %self.on, held_by = %self.held_by, pid = self.pid, user = %self.user, since = %self.since,
            "waiting for a lock"
        );
    }
}
