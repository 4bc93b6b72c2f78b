//! The database that is restored into: what is found out and changed beside the backup itself.

pub mod conflicts;
pub(crate) mod deadline;
pub(crate) mod maintenance;
pub mod mark;
pub mod preflight;
pub mod privileges;
pub mod statistics;
pub(crate) mod subscription;
