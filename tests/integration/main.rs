//! The programs against real servers: PostgreSQL, S3, kube-apiserver. One binary, one file per
//! area; what they all stand on is `testbed`.
//!
//! `cfg(test)` tells clippy that all of this is test code and may unwrap.

#![cfg(test)]

mod backup;
mod calls;
mod chart;
mod cluster;
mod faults;
mod harness;
mod in_place;
mod indexes;
mod kubernetes;
mod local;
mod progress;
mod readme;
mod reflection;
mod restore;
mod roundtrip;
mod s3_faults;
mod schema;
mod secrets;
mod servers;
mod sessions;
mod tls;
mod turns;
mod versions;
mod workers;

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the demo loads it too, and each uses the part it needs"
)]
mod testbed;
