//! What the three binaries share: settings from the environment, logs, signals, exit codes.

pub mod failure;
pub mod lines;
pub mod logging;
pub mod parallelism;
pub mod settings;
pub mod shutdown;

pub use failure::{Failure, NOTHING_CHANGED, Verdict};
pub use shutdown::{Deadline, Shutdown};
