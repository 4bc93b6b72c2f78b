//! The gRPC door: `backup.BackupService` as in the oiler-backup contract.

pub mod proto;
