//! The programs against real servers: PostgreSQL, S3, kube-apiserver. One binary, one file per
//! area; what they all stand on is `testbed`.
//!
//! `cfg(test)` tells clippy that all of this is test code and may unwrap.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod kubernetes;
mod readme;
#[cfg(test)]
mod reflection;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod secrets;
#[cfg(test)]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the demo loads it too, and each uses the part it needs"
)]
mod testbed;
