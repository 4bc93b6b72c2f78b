//! charts/postgresql as its users have it: real pods, volumes, kills. `make e2e-postgresql`.
//!
//! The tests run one after another; those of a cluster with replicas share one, and each leaves it whole.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests speak to a person, start programs and are told of the cluster by the environment"
)]

mod backups;
mod changes;
mod document;
mod failover;
mod outside;
mod pgbackrest;
mod pooler;
mod release;
mod single;
mod story;
mod tls;
mod volumes;
mod writer;

#[expect(dead_code, reason = "others need the rest of it")]
#[path = "../integration/readme/pages.rs"]
mod pages;
#[path = "../e2e/shell.rs"]
mod shell;

/// A command of docs/postgresql.md.
fn page_command(beginning: &str) -> String {
    pages::command(shell::repository(), "docs/postgresql.md", beginning)
}
