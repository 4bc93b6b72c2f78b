//! The gRPC doors: `backup.BackupService` as in the oiler-backup contract, and `postgres_adapter.v1` for
//! everybody else.

pub mod authenticate;
mod calls;
pub mod client;
pub mod declared;
mod door;
pub mod oiler;
mod operations;
pub mod probe;
pub mod proto;
pub mod server;
pub mod status;
pub mod tls;
