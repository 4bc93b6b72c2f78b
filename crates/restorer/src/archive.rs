//! What pg_dump's archives in the custom format say.

pub mod blocks;
mod entry;
pub mod head;
pub(crate) mod schema;
pub mod toc;
pub(crate) mod use_list;

pub use toc::{Entry, Section, Toc};
