//! Telling the core and Prometheus how a run ended. What cannot be delivered is a warning and
//! never a failure: the backup or restore is what it is.

pub mod core;
pub mod pushgateway;

pub use core::CoreAddress;
pub use pushgateway::PushgatewayUrl;

/// Why a report was not delivered.
#[derive(Debug, thiserror::Error)]
#[error("{receiver} did not take the report: {reason}")]
pub struct Error {
    receiver: &'static str,
    reason: String,
}
