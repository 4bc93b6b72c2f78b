//! A client that writes all the time, and knows what was acknowledged to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

use super::release::Release;
use super::shell::{block_on, runtime};

pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Written>,
}

/// What was acknowledged, and the longest time without any.
pub(crate) struct Written {
    pub(crate) rows: Vec<i64>,
    pub(crate) gap: Duration,
}

impl Writer {
    /// Begins; returns when the first row is written.
    pub(crate) fn start(release: &Release, table: &str) -> Self {
        Self::through(release, "postgresql-master", table)
    }

    pub(crate) fn through(release: &Release, service: &str, table: &str) -> Self {
        let primary = release.primary().unwrap();
        let made = format!(
            "drop table if exists {table}; create table {table} (n bigint primary key); alter table {table} owner to salon"
        );
        release.sql(&primary, &made);
        let login = format!(
            "host={} user=salon password={} dbname=salon_core connect_timeout=2",
            release.address(service),
            super::document::PASSWORD,
        );
        let stop = Arc::new(AtomicBool::new(false));
        let table = table.to_owned();
        let told = stop.clone();
        let (first, begun) = tokio::sync::oneshot::channel();
        let task = runtime().spawn(write(login, table, told, first));
        // Dropped or sent: the row is there.
        block_on(begun).unwrap();
        Self { stop, task }
    }

    /// Waits until it has written again, and ends.
    pub(crate) fn end(self) -> Written {
        self.stop.store(true, Ordering::SeqCst);
        block_on(self.task).unwrap()
    }
}

async fn write(
    login: String,
    table: String,
    stop: Arc<AtomicBool>,
    first: tokio::sync::oneshot::Sender<()>,
) -> Written {
    let mut written = Written {
        rows: Vec::new(),
        gap: Duration::ZERO,
    };
    let mut first = Some(first);
    let mut next = 0;
    let mut last = Instant::now();
    let mut why = String::new();
    loop {
        let silent = last.elapsed() < Duration::from_secs(180);
        assert!(silent, "nothing was written for three minutes: {why}");
        let connecting = tokio_postgres::connect(&login, NoTls);
        let (client, connection) = match in_time(connecting).await {
            Ok(both) => both,
            Err(error) => {
                why = error;
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = tokio::spawn(connection);
        loop {
            // A number is used once: what was not acknowledged may be there all the same.
            next += 1;
            let statement = format!("insert into {table} values ({next})");
            let asked = client.batch_execute(&statement);
            if let Err(error) = in_time(asked).await {
                why = error;
                tokio::time::sleep(Duration::from_millis(100)).await;
                break;
            }
            if first.is_some() {
                last = Instant::now();
            }
            written.gap = written.gap.max(last.elapsed());
            last = Instant::now();
            written.rows.push(next);
            if let Some(first) = first.take() {
                let _told = first.send(());
            }
            if stop.load(Ordering::SeqCst) {
                return written;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        connection.abort();
    }
}

async fn in_time<T>(
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(Duration::from_secs(3), asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{error}: {:?}", error.as_db_error())),
        Err(_) => Err("no answer".to_owned()),
    }
}

impl Written {
    /// Every row that was acknowledged is in each of the pods.
    pub(crate) fn is_all_in(&self, release: &Release, table: &str, pods: usize) {
        for pod in (0..pods).map(|it| format!("postgresql-{it}")) {
            let last = self.rows.last().unwrap();
            super::shell::eventually("the last row", async || {
                let there =
                    release.try_sql(&pod, &format!("select 1 from {table} where n = {last}"))?;
                (there == "1").then_some(())
            });
            let there = release.sql(&pod, &format!("select n from {table}"));
            let there: std::collections::HashSet<i64> =
                there.lines().map(|it| it.parse().unwrap()).collect();
            let lost: Vec<_> = self.rows.iter().filter(|it| !there.contains(it)).collect();
            assert!(lost.is_empty(), "{pod} has lost {lost:?}");
        }
    }
}
