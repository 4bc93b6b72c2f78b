//! What build.rs made of the files in proto/, behind one fence.

#![expect(
    clippy::too_many_lines,
    clippy::allow_attributes,
    reason = "generated code has its own style"
)]

tonic::include_proto!("backup");

/// Ours, beside the contract.
pub mod v1 {
    tonic::include_proto!("postgres_adapter.v1");
}

/// The descriptors of the contract's service and its messages, for reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("backup_descriptor");

/// The descriptors of our own service and its messages.
pub const OPERATIONS: &[u8] = tonic::include_file_descriptor_set!("operations_descriptor");
