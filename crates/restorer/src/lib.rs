//! Takes one backup of a PostgreSQL database from the store and restores it.

#![warn(missing_docs)]

pub mod job;
pub mod toc;
