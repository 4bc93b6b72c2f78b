//! The gRPC door: `backup.BackupService` as in the oiler-backup contract.

pub mod authenticate;
pub mod convert;
pub mod probe;
pub mod proto;
pub mod server;
pub mod status;
pub mod tls;
