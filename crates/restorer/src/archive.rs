//! What pg_dump's archives in the custom format say.

pub mod blocks;
mod encoding;
mod entry;
pub mod globals;
pub mod head;
pub(crate) mod opening;
pub(crate) mod rows;
pub mod schema;
pub mod source;
pub(crate) mod statements;
pub mod toc;
pub(crate) mod use_list;

pub use toc::{Entry, Section, Toc};
