//! Indexes of a partition whose partitioned table is not in the backup, as in one of a part of a database. Such a partition
//! is attached before its indexes are made, and what attaches it makes them, as the table in the target has them:
//! PostgreSQL manual, ALTER TABLE: ATTACH PARTITION.

use std::collections::{BTreeMap, BTreeSet};

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use tokio_postgres::Client;

use crate::archive::toc::{Entry, Toc};

const ATTACHED: &str = "INDEX ATTACH";

/// Of the partitioned indexes that entries attach to, those that are there.
const THERE: &str = "
    SELECT w.id FROM unnest($1::int8[], $2::text[]) w (id, name) JOIN pg_class c ON c.oid = to_regclass(w.name)
     WHERE c.relkind = 'I'";

/// The numbers of the entries that are not to be made, each with what is lost by it, which is most often nothing: the
/// indexes and what would attach them, where the target has the index that they are attached to; where it has none, what
/// would attach them alone.
///
/// # Errors
/// What the server said.
pub(super) async fn indexes(
    session: &Client,
    target: &Target,
    toc: &Toc,
) -> Result<BTreeMap<i64, String>, Failure> {
    let attached = toc.entries.iter().filter(|it| it.kind == ATTACHED);
    let (ids, names): (Vec<i64>, Vec<&str>) = attached
        .filter_map(|it| {
            let rest = it.definition.trim().strip_prefix("ALTER INDEX ")?;
            Some((it.id, rest.split_once(" ATTACH PARTITION ")?.0))
        })
        .unzip();
    let there = session.query(THERE, &[&ids, &names]).await;
    let there = there.map_err(|error| postgres::Error::new("examining", target, &error))?;
    let there: BTreeSet<i64> = there.iter().map(|row| row.get(0)).collect();
    Ok(left_out(toc, &there))
}

fn left_out(toc: &Toc, there: &BTreeSet<i64>) -> BTreeMap<i64, String> {
    let lost = |it: &Entry| -> String {
        let said = ["REPLICA IDENTITY", "CLUSTER ON", "SET STATISTICS"];
        let said: Vec<&str> = said
            .into_iter()
            .filter(|word| it.definition.contains(word))
            .collect();
        if said.is_empty() {
            return String::new();
        }
        format!(
            "{} of {it}, which is made by attaching its table",
            said.join(" and ")
        )
    };
    let is_index = |it: &&Entry| matches!(it.kind.as_str(), "INDEX" | "CONSTRAINT");
    let all: BTreeMap<i64, &Entry> = toc
        .entries
        .iter()
        .filter(is_index)
        .map(|it| (it.id, it))
        .collect();
    let mut left_out: BTreeMap<i64, String> = BTreeMap::new();
    let is_there = |it: &Entry, left_out: &BTreeMap<i64, String>| {
        there.contains(&it.id) || it.needs.iter().any(|it| left_out.contains_key(it))
    };
    loop {
        let before = left_out.len();
        let attached = toc.entries.iter().filter(|it| it.kind == ATTACHED);
        for entry in attached {
            if left_out.contains_key(&entry.id) {
                continue;
            }
            let needs = entry.needs.iter();
            let own: Vec<i64> = needs
                .copied()
                .filter(|it| all.contains_key(it) && !left_out.contains_key(it))
                .collect();
            // That of the partitioned table is there too, where the table is.
            if let [own] = own.as_slice()
                && let Some(index) = all.get(own)
            {
                if is_there(entry, &left_out) {
                    left_out.insert(*own, lost(index));
                }
                left_out.insert(entry.id, String::new());
            }
        }
        if left_out.len() == before {
            return left_out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By number, kind, definition and needs.
    fn toc(entries: &[(i64, &str, &str, &[i64])]) -> Toc {
        let entries = entries.iter().map(|(id, kind, definition, needs)| Entry {
            id: *id,
            kind: (*kind).to_owned(),
            definition: (*definition).to_owned(),
            needs: needs.to_vec(),
            ..Entry::default()
        });
        Toc {
            entries: entries.collect(),
            ..Toc::default()
        }
    }

    #[test]
    fn what_attaches_makes_is_made_once() {
        let left_out = |toc: &Toc, there: &[i64]| -> Vec<i64> {
            let there = there.iter().copied().collect();
            left_out(toc, &there).into_keys().collect()
        };
        let none: [i64; 0] = [];
        let alone = toc(&[
            (1, "CONSTRAINT", "… PRIMARY KEY (id);", &[]),
            (2, "INDEX", "CREATE INDEX own …", &[]),
            (3, ATTACHED, "", &[1]),
        ]);
        assert_eq!(left_out(&alone, &[3]), [1, 3]);
        assert_eq!(left_out(&alone, &[]), [3], "there is nothing to attach to");
        let whole = toc(&[
            (1, "INDEX", "of the table", &[]),
            (2, "INDEX", "of the partition", &[]),
            (3, ATTACHED, "", &[1, 2]),
        ]);
        assert_eq!(left_out(&whole, &[3]), none);
        // A partition of a partition, in any order.
        let below = toc(&[
            (1, "INDEX", "of the middle", &[]),
            (2, "INDEX", "of the leaf", &[]),
            (3, ATTACHED, "", &[2, 1]),
            (4, ATTACHED, "", &[1]),
        ]);
        assert_eq!(left_out(&below, &[4]), [1, 2, 3, 4]);
        let says_more = toc(&[
            (1, "INDEX", "CREATE …;\nALTER TABLE t CLUSTER ON i;", &[]),
            (2, ATTACHED, "", &[1]),
        ]);
        let lost = super::left_out(&says_more, &[2].into());
        assert!(lost[&1].starts_with("CLUSTER ON of "), "{lost:?}");
    }
}
