//! The programs against real servers: PostgreSQL, S3, kube-apiserver. One binary, one file per
//! area; what they all stand on is `testbed`.
//!
//! `cfg(test)` tells clippy that all of this is test code and may unwrap.

#![cfg(test)]

mod architecture;
mod calls;
mod cluster;
mod harness;
mod kubernetes;
mod readme;
mod reflection;
mod schema;
mod secrets;

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the demo loads it too, and each uses the part it needs"
)]
mod testbed;
