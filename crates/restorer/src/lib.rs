//! Takes one backup of a PostgreSQL database from the store and restores it.
//!
//! A module imports only from levels below its own; tests/integration/architecture.rs holds that.
//!
//! ```text
//! level 5   run, main
//! level 4   parallel   in_place   swap              the ways to load, and to another database's place
//! level 3   target                                  the database that is restored into
//! level 2   resolve, summary                        which backup, and how it ended
//! level 1   job, feed, diagnostics                  the worker contract; a program's stdin and stderr
//! level 0   archive                                 what pg_dump's archives say
//! ```
//!
//! It reads what `backuper` writes, and knows nothing of the scheduler.

#![warn(missing_docs)]

pub mod archive;
pub(crate) mod diagnostics;
pub mod drill;
pub mod feed;
pub mod in_place;
pub mod job;
pub mod parallel;
pub mod resolve;
pub mod run;
pub mod summary;
pub mod swap;
pub mod target;
