//! What build.rs made of proto/backup.proto, behind one fence.

#![expect(
    clippy::too_many_lines,
    clippy::allow_attributes,
    reason = "generated code has its own style"
)]

tonic::include_proto!("backup");

/// The descriptors of the service and its messages, for reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("backup_descriptor");
