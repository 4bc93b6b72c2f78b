//! What comes after everything else, as in pg_restore.

use crate::archive::toc::{Entry, Section};

/// Whether an entry comes after the privileges: what is filled with its owner's rights, and what
/// would otherwise watch or stop the restore itself. `_tocEntryRestorePass` in PostgreSQL's
/// `src/bin/pg_dump/pg_backup_archiver.c`.
pub(crate) fn is_last(entry: &Entry) -> bool {
    match entry.kind.as_str() {
        "MATERIALIZED VIEW DATA" => true,
        "STATISTICS DATA" => entry.section == Section::PostData,
        _ => is_event_trigger(entry),
    }
}

/// Whether an entry is an event trigger, or belongs to one.
pub(crate) fn is_event_trigger(entry: &Entry) -> bool {
    match entry.kind.as_str() {
        "EVENT TRIGGER" => true,
        "COMMENT" | "SECURITY LABEL" => entry.tag.starts_with("EVENT TRIGGER "),
        _ => false,
    }
}
