//! The scheduler's words, parsed at the door: what is built cannot be wrong, and is never doubted
//! again. No I/O.

pub mod access;
pub mod callers;
pub mod name;
pub mod plan;
pub mod run;
pub mod schedule;
