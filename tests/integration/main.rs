//! The programs against real servers: PostgreSQL, S3, kube-apiserver. One binary, one file per
//! area; what they all stand on is `testbed`.
//!
//! `cfg(test)` tells clippy that all of this is test code and may unwrap.

#![cfg(test)]

mod archives;
mod backup;
mod binary;
mod calls;
mod chart;
mod checks;
mod cluster;
mod copies;
mod copy_out;
mod dashboard;
mod databases;
mod drill;
mod encryption;
mod ending;
mod faults;
mod filters;
mod globals;
mod harness;
mod hints;
mod identity;
mod in_place;
mod indexes;
mod keep_going;
mod kubernetes;
mod local;
mod matrix;
mod operations;
mod operator;
mod owners;
mod preflight;
mod progress;
mod proxies;
mod readme;
mod reflection;
mod restore;
mod retention;
mod roundtrip;
mod s3_faults;
mod s3_headers;
mod s3_options;
mod schema;
mod secrets;
mod servers;
mod sessions;
mod sql_gz;
mod store_hints;
mod stores;
mod swap;
mod tasks;
mod tenants;
mod tls;
mod told;
mod turns;
mod unfinished;
mod users;
mod versions;
mod workers;

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the demo loads it too, and each uses the part it needs"
)]
mod testbed;
