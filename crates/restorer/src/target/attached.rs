//! Indexes of a partition whose partitioned table is not in the backup, as in one of a part of a database. Such a partition
//! is attached before its indexes are made, and what attaches it makes them, as the table in the target has them:
//! PostgreSQL manual, ALTER TABLE: ATTACH PARTITION.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::toc::{Entry, Toc};

const ATTACHED: &str = "INDEX ATTACH";

/// The numbers of the entries that are not to be made: the indexes, and what would attach them.
pub(super) fn indexes(toc: &Toc) -> BTreeSet<i64> {
    let is_index = |it: &&Entry| matches!(it.kind.as_str(), "INDEX" | "CONSTRAINT");
    let all: BTreeMap<i64, &Entry> = toc
        .entries
        .iter()
        .filter(is_index)
        .map(|it| (it.id, it))
        .collect();
    let mut left_out = BTreeSet::new();
    loop {
        let before = left_out.len();
        for entry in toc.entries.iter().filter(|it| it.kind == ATTACHED) {
            let needs = entry.needs.iter();
            let there: Vec<i64> = needs
                .copied()
                .filter(|it| all.contains_key(it) && !left_out.contains(it))
                .collect();
            // That of the partitioned table is there too, where the table is.
            if let [own] = there.as_slice() {
                left_out.extend([*own, entry.id]);
            }
        }
        if left_out.len() == before {
            return left_out;
        }
    }
}
