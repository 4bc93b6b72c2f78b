//! Which entries of the schema's archive are restored when.
//!
//! As pg_restore orders them: what the rows need, what needs the rows, privileges, then what queries
//! of the backup fill (materialized views), which may need the privileges. Event triggers come last
//! of all, so that nothing of ours runs while they are live: they may refuse any statement.

use std::collections::BTreeSet;

use crate::archive::toc::{Entry, Section, Toc};
use crate::target::order;

/// Entries by their numbers, and by themselves those that a session of ours makes.
#[derive(Debug, Default)]
pub(super) struct Phases<'a> {
    /// Before the rows.
    pub(super) pre_data: BTreeSet<i64>,
    /// After the rows.
    pub(super) post_data: BTreeSet<i64>,
    /// After the privileges.
    pub(super) refreshes: BTreeSet<i64>,
    /// Event triggers, with what is said of them.
    pub(super) event_triggers: Vec<&'a Entry>,
}

impl<'a> Phases<'a> {
    /// Of the entries that are restored at all.
    pub(super) fn of(toc: &'a Toc, kept: impl Fn(&Entry) -> bool) -> Self {
        let mut phases = Self::default();
        // An entry without a section belongs to the one before it.
        let mut section = Section::PreData;
        for entry in &toc.entries {
            if entry.section != Section::None {
                section = entry.section;
            }
            if !kept(entry) {
                continue;
            }
            if order::is_event_trigger(entry) {
                phases.event_triggers.push(entry);
            } else if order::is_last(entry) {
                phases.refreshes.insert(entry.id);
            } else if section == Section::PostData {
                phases.post_data.insert(entry.id);
            } else {
                phases.pre_data.insert(entry.id);
            }
        }
        phases
    }
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
                (13, "INDEX", PostData, "j"),
                (14, "INDEX", PostData, "k"),
            ]
            .map(entry)
            .into(),
            ..Toc::default()
        };
        let phases = Phases::of(&toc, |it| it.id != 14);
        assert_eq!(phases.pre_data, [1, 3, 4, 5].into());
        assert_eq!(phases.post_data, [6, 7, 10, 13].into());
        assert_eq!(phases.refreshes, [11, 12].into());
        let ids: Vec<i64> = phases.event_triggers.iter().map(|it| it.id).collect();
        assert_eq!(ids, [8, 9]);
    }
}
