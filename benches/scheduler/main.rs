//! What many schedules cost the scheduler's own process: calls, start and memory on a real
//! kube-apiserver, and the local engine when a thousand schedules are due at once.
//! `cargo bench -p scheduler --bench scheduler`; the figures that it prints stand in
//! docs/performance.md.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_SCHEDULES` | 0 100 1000 10000 | how many are there when calls are measured |
//! | `BENCH_CALLS` | 1000 | calls of each kind |
//! | `BENCH_KEPT_SCHEDULES`, `BENCH_KEPT_RUNS` | 10000, 100000 | of the local engine, kept |
//! | `BENCH_DUE` | 1000 | schedules that are due in the same minute |

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "it speaks to a person, and stands on the testbed of the tests"
)]

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../../tests/integration/cluster.rs"]
mod cluster;
mod kubernetes;
mod local;
mod process;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use all of it, and the bench what it needs"
)]
#[path = "../../tests/integration/testbed.rs"]
mod testbed;

use scheduler::api::proto::{BackupRequest, BackupRestore};

fn main() {
    local::measure_history();
    local::measure();
    cluster::Cluster::shared().within(kubernetes::measure);
}

/// A setting of the bench, or its default.
fn setting(name: &str, default: &str) -> String {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text,
        _ => default.to_owned(),
    }
}

/// A number among the settings.
fn count(name: &str, default: &str) -> usize {
    let text = setting(name, default);
    text.parse()
        .unwrap_or_else(|_| panic!("{name}={text} is not a number"))
}

/// A request for one database of many.
fn backup(database: String, schedule: &str) -> BackupRequest {
    BackupRequest {
        db_uri: "postgres.some-namespace.svc.cluster.local".to_owned(),
        db_port: 5432,
        db_user: "backup".to_owned(),
        db_pass: "a-password-of-some-length".to_owned(),
        db_name: database,
        database_type: "postgres".to_owned(),
        schedule: schedule.to_owned(),
        s3_endpoint: "https://s3.example".to_owned(),
        s3_access_key: "an-access-key-of-some-length".to_owned(),
        s3_secret_key: "a-secret-key-of-some-length".to_owned(),
        s3_bucket_name: "backups".to_owned(),
        core_addr: String::new(),
        max_backup_count: 7,
        ..BackupRequest::default()
    }
}

/// The restore of its newest backup.
fn restore(database: String) -> BackupRestore {
    let it = backup(database, "");
    BackupRestore {
        db_uri: it.db_uri,
        db_port: it.db_port,
        db_user: it.db_user,
        db_pass: it.db_pass,
        db_name: it.db_name,
        database_type: it.database_type,
        s3_endpoint: it.s3_endpoint,
        s3_access_key: it.s3_access_key,
        s3_secret_key: it.s3_secret_key,
        s3_bucket_name: it.s3_bucket_name,
        core_addr: it.core_addr,
        backup_revision: "0".to_owned(),
        ..BackupRestore::default()
    }
}
