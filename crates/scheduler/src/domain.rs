//! The scheduler's words, parsed at the door: what is built cannot be wrong, and is never doubted
//! again. No I/O.

pub mod access;
pub mod callers;
pub mod credential;
pub mod cron;
pub mod database;
pub mod databases;
pub mod drilled;
pub mod drills;
pub mod kept;
pub mod labels;
pub mod limits;
pub mod name;
pub mod options;
pub mod progress;
pub mod protection;
pub mod question;
pub mod restore;
pub mod run;
pub mod schedule;
pub mod slots;
pub mod store;
pub mod verified;
pub mod zone;
