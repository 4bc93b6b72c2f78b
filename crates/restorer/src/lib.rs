//! Takes one backup of a PostgreSQL database from the store and restores it.
//!
//! ```text
//! main ─▶ run ─▶ pick    which backup, and whether all of it is there
//!             ─▶ check   whether the target will have it
//!             ─▶ parallel   an empty target      ─▶ feed (store ─▶ hash ─▶ decode ─▶ blocks ─▶ program)
//!             ─▶ in_place   one transaction      ─▶ toc, obstacles, acl, incomplete
//! ```
//!
//! It reads what `backuper` writes, and knows nothing of the scheduler.

#![warn(missing_docs)]

pub mod acl;
pub mod blocks;
pub mod check;
pub mod feed;
pub mod head;
pub mod in_place;
pub mod incomplete;
mod indexes;
pub mod job;
mod maintenance;
pub mod memfd;
pub mod obstacles;
pub mod outcome;
pub mod parallel;
pub mod pick;
pub mod run;
pub mod statistics;
pub mod toc;
mod use_list;
