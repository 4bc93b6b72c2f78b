//! Which entries of the schema's archive are restored when.
//!
//! As pg_restore orders them: what the rows need, what needs the rows, privileges, then what queries
//! of the backup fill (materialized views), which may need the privileges. Event triggers come last
//! of all, so that nothing of ours runs while they are live: they may refuse any statement.

use std::collections::BTreeSet;

use crate::archive::toc::{Entry, Section, Toc};

/// Entries by their numbers, and by themselves those that a session of ours makes.
#[derive(Debug, Default)]
pub(super) struct Phases<'a> {
    /// Before the rows.
    pub(super) pre_data: BTreeSet<i64>,
    /// After the rows.
    pub(super) post_data: BTreeSet<i64>,
    /// After the privileges.
    pub(super) refreshes: BTreeSet<i64>,
    /// What is said of the schema `public`, which was there before and which no clean-up removes.
    pub(super) public: Vec<&'a Entry>,
    /// Event triggers, with what is said of them.
    pub(super) event_triggers: Vec<&'a Entry>,
}

impl<'a> Phases<'a> {
    /// Of the entries that are kept.
    pub(super) fn of(toc: &'a Toc, keep: &impl Fn(&Entry) -> bool) -> Self {
        let mut phases = Self::default();
        // An entry without a section belongs to the one before it.
        let mut section = Section::PreData;
        for entry in &toc.entries {
            if entry.section != Section::None {
                section = entry.section;
            }
            if !keep(entry) {
                continue;
            }
            if is_of_event_trigger(entry) {
                phases.event_triggers.push(entry);
            } else if is_said_of_public(entry) {
                phases.public.push(entry);
            } else if section != Section::PostData {
                phases.pre_data.insert(entry.id);
            } else if is_refresh(entry) {
                phases.refreshes.insert(entry.id);
            } else {
                phases.post_data.insert(entry.id);
            }
        }
        phases
    }
}

/// Privileges on what was there before and those of what is made later: no clean-up takes them back, so
/// they come with the end of the load.
pub(super) fn outlasts(privilege: &Entry) -> bool {
    privilege.kind == "DEFAULT ACL" || privilege.is_of("SCHEMA", "public")
}

fn is_of_event_trigger(entry: &Entry) -> bool {
    entry.kind == "EVENT TRIGGER"
        || (entry.is_attached() && entry.tag.starts_with("EVENT TRIGGER "))
}

fn is_said_of_public(entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "COMMENT" | "SECURITY LABEL") && entry.is_of("SCHEMA", "public")
}

/// `_tocEntryRestorePass` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`: statistics after
/// the rows are those of what is filled there.
fn is_refresh(entry: &Entry) -> bool {
    matches!(
        entry.kind.as_str(),
        "MATERIALIZED VIEW DATA" | "STATISTICS DATA"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_has_its_phase() {
        use Section::{None, PostData, PreData};
        let entry = |(id, kind, section, tag): (i64, &str, Section, &str)| Entry {
            id,
            kind: kind.to_owned(),
            section,
            tag: tag.to_owned(),
            ..Entry::default()
        };
        let toc = Toc {
            entries: [
                (1, "ENCODING", PreData, "ENCODING"),
                (2, "COMMENT", None, "SCHEMA public"),
                (3, "TABLE", PreData, "a"),
                (4, "COMMENT", None, "TABLE a"),
                (5, "STATISTICS DATA", Section::Data, "a"),
                (6, "INDEX", PostData, "i"),
                (7, "COMMENT", None, "INDEX i"),
                (8, "EVENT TRIGGER", PostData, "e"),
                (9, "COMMENT", None, "EVENT TRIGGER e"),
                (10, "ACL", None, "TABLE a"),
                (11, "MATERIALIZED VIEW DATA", PostData, "m"),
                (12, "STATISTICS DATA", PostData, "m"),
                (13, "COMMENT", None, "SCHEMA publican"),
                (14, "INDEX", PostData, "not kept"),
            ]
            .map(entry)
            .into(),
            ..Toc::default()
        };
        let phases = Phases::of(&toc, &|it: &Entry| it.id != 14);
        assert_eq!(phases.pre_data, [1, 3, 4, 5].into());
        assert_eq!(phases.post_data, [6, 7, 10, 13].into());
        assert_eq!(phases.refreshes, [11, 12].into());
        let ids = |it: &[&Entry]| it.iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(&phases.public), [2]);
        assert_eq!(ids(&phases.event_triggers), [8, 9]);
    }
}
