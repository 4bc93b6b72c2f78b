//! Where schedules and runs live.

pub mod kubernetes;
