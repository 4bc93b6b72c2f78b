//! The database that is restored into: what is found out and changed beside the backup itself.

pub mod conflicts;
pub(crate) mod creation;
pub(crate) mod database;
pub(crate) mod deadline;
mod definers;
mod extensions;
pub(crate) mod kept;
pub mod made;
pub(crate) mod maintenance;
pub mod making;
pub mod mark;
mod needed;
pub(crate) mod order;
pub(crate) mod owners;
pub(crate) mod part;
pub mod plan;
pub mod preflight;
pub(crate) mod privileges;
mod requirements;
mod roles;
pub mod server;
pub mod statistics;
pub(crate) mod subscription;
pub(crate) mod tolerant;
mod trial;
pub(crate) mod unwritable;
mod versions;
