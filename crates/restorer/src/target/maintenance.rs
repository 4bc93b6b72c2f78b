//! What index builds may use of a server, by the server's own settings: PostgreSQL manual, 20.4
//! (`maintenance_work_mem`) and 20.4.6 (`max_parallel_maintenance_workers`).

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use tokio_postgres::Client;

/// KiB that no index build gets more of.
const MOST_MEMORY: i64 = 1 << 20;
/// Workers that no index build gets more of.
const MOST_WORKERS: i64 = 4;

/// For our own sessions only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maintenance {
    /// KiB for each index build, which is the setting's own unit.
    memory: i64,
    /// Workers of each index build, beside its own process.
    workers: i64,
}

impl Maintenance {
    /// For as many index builds side by side: half of the shared buffers together, since whoever
    /// gave these has as much, and never less than the server's own setting.
    ///
    /// # Errors
    /// What the server said.
    pub(crate) async fn of(
        session: &Client,
        target: &Target,
        jobs: usize,
    ) -> Result<Self, Failure> {
        let row = session
            .query_one(
                "SELECT (SELECT setting::int8 * 8 FROM pg_settings WHERE name = 'shared_buffers'),
                        (SELECT setting::int8 FROM pg_settings WHERE name = 'maintenance_work_mem'),
                        (SELECT setting::int8 FROM pg_settings WHERE name = 'max_parallel_workers')",
                &[],
            )
            .await
            .map_err(|error| postgres::Error::new("examining", target, &error))?;
        Ok(Self::within(row.get(0), row.get(1), row.get(2), jobs))
    }

    fn within(buffers: i64, own: i64, workers: i64, jobs: usize) -> Self {
        let jobs = i64::try_from(jobs).unwrap_or(1).max(1);
        Self {
            memory: own.max((buffers / 2 / jobs).min(MOST_MEMORY)),
            workers: (workers / jobs).clamp(0, MOST_WORKERS),
        }
    }

    /// As `PGOPTIONS` has it.
    pub(crate) fn options(self) -> String {
        let [memory, workers] = self.settings();
        format!("-c {memory} -c {workers}")
    }

    /// For the transaction that is open.
    pub(crate) fn set_local(self) -> String {
        self.settings()
            .map(|it| format!("SET LOCAL {it};\n"))
            .concat()
    }

    fn settings(self) -> [String; 2] {
        [
            format!("maintenance_work_mem={}", self.memory),
            format!("max_parallel_maintenance_workers={}", self.workers),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_settings_are_the_measure() {
        let sizes = |buffers, own, workers, jobs| {
            let it = Maintenance::within(buffers, own, workers, jobs);
            (it.memory, it.workers)
        };
        assert_eq!(sizes(256 << 10, 64 << 10, 8, 2), (64 << 10, 4));
        assert_eq!(sizes(256 << 10, 64 << 10, 8, 1), (128 << 10, 4));
        assert_eq!(sizes(64 << 20, 64 << 10, 8, 1), (1 << 20, 4));
        assert_eq!(sizes(64 << 20, 4 << 20, 0, 4), (4 << 20, 0));
    }
}
