//! The scheduler's words, parsed at the door: what is built cannot be wrong, and is never doubted
//! again. No I/O.

pub mod schedule;
