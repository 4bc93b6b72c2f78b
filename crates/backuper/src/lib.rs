//! Makes one backup of a PostgreSQL database, and is the home of all that workers share: what a
//! backup is in the bucket, how PostgreSQL and the store are spoken to, how programs are started,
//! how a run is told.
//!
//! ```text
//! main ─▶ run ─▶ plan (pure)
//!      ─▶ postgres, dump ─▶ child      archive, catalog, retention (pure)      report, runtime
//!      ─▶ storage (trait) ◀ s3, file, memory
//! ```
//!
//! It depends on no other crate of ours.

#![warn(missing_docs)]

pub mod archive;
pub mod catalog;
pub mod child;
pub mod dump;
pub mod job;
pub mod outcome;
pub mod plan;
pub mod postgres;
pub mod progress;
pub mod report;
pub mod retention;
pub mod run;
pub mod runtime;
pub mod storage;
pub mod streams;
pub mod tidy;
pub mod turn;
