//! What a backup is in the bucket.
//!
//! ```text
//! DBNAME/2026-11-20-21-05-27-backup-1f3a9c0e/
//!     schema.dump            pg_dump custom format, sections pre-data and post-data
//!     data-000.dump.zst …    pg_dump custom format without its own compression, zstd around it
//!     globals.sql.zst        the server's roles and tablespaces, where GLOBALS=true
//!     ….age                  each of these where the backup is encrypted
//!     running                while a long run lasts: rewritten every ten minutes
//!     manifest.json          written last: a folder without it does not exist for anybody
//! ```

pub mod codec;
pub mod encryption;
pub mod identity;
pub mod key;
pub mod manifest;
pub mod template;

pub use identity::{Identity, SourceId, SystemIdentifier};
pub use key::Folder;
pub use manifest::Manifest;
pub use template::{KeyTemplate, Layout, RunId};
