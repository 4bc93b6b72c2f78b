//! What pg_dump's archives in the custom format say.

pub(crate) mod binary;
pub mod blocks;
pub mod globals;
pub mod head;
pub(crate) mod opening;
pub(crate) mod rows;
pub mod schema;
pub mod source;
pub(crate) mod statements;
pub(crate) mod use_list;

pub use backuper::toc::{self, Entry, Section, Toc};
