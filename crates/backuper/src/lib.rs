//! Makes one backup of a PostgreSQL database, and is the home of all that workers share: what a
//! backup is in the bucket, how PostgreSQL and the store are spoken to, how programs are started,
//! how a run is reported.
//!
//! A module imports only from levels below its own; tests/integration/architecture.rs holds that.
//!
//! ```text
//! level 8   databases, main                         each of several databases by a run
//! level 7   run, listing, deletion, preview, doctor, worker
//! level 6   summary
//! level 5   copy
//! level 4   job                                     the worker contract: clap, Var
//!           cleanup, publish
//! level 3   dump, advice
//! level 2   catalog, progress, toc                  which backups exist; what pg_dump's archives say
//! level 1   archive   storage   postgres   report   runtime
//! level 0   text, child, link_local, memfd, retention, selection
//! ```
//!
//! It depends on no other crate of ours.

#![warn(missing_docs)]

pub mod advice;
pub mod archive;
pub mod catalog;
pub mod child;
pub mod cleanup;
pub mod copy;
pub mod databases;
pub mod deletion;
pub mod doctor;
pub mod dump;
pub mod job;
pub mod link_local;
pub mod listing;
pub mod memfd;
pub mod postgres;
pub mod preview;
pub mod progress;
pub mod publish;
pub mod report;
pub mod retention;
pub mod run;
pub mod runtime;
pub mod selection;
pub mod storage;
pub mod summary;
pub mod text;
pub mod toc;
pub mod worker;
