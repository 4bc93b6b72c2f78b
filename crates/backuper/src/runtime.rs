//! What the three binaries share: settings from the environment, logs, signals, exit codes.

pub mod outcome;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod worker;

pub use outcome::{Failure, Verdict};
pub use shutdown::Shutdown;
