//! The adapter as its users have it: three images, one chart, real pods. `make e2e`.
//!
//! The tests run one after another on one cluster; each has a database and a bucket of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests speak to a person, start programs and are told of the cluster by the environment"
)]

mod access;
mod backups;
mod declared;
mod disruptions;
mod failures;
mod moving;
mod operator;
mod readme;
mod shell;
mod site;
mod upgrading;
mod world;
