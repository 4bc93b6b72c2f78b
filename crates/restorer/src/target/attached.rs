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

/// The numbers of the entries that are not to be made, the indexes and what would attach them, where the target has the
/// index that they are attached to. What is said in the same statement of an index would be lost, so such ones are made.
///
/// # Errors
/// What the server said.
pub(super) async fn indexes(
    session: &Client,
    target: &Target,
    toc: &Toc,
) -> Result<BTreeSet<i64>, Failure> {
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

fn left_out(toc: &Toc, there: &BTreeSet<i64>) -> BTreeSet<i64> {
    let says_more = |it: &Entry| {
        ["REPLICA IDENTITY", "CLUSTER ON", "SET STATISTICS"]
            .iter()
            .any(|word| it.definition.contains(word))
    };
    let is_index = |it: &&Entry| matches!(it.kind.as_str(), "INDEX" | "CONSTRAINT");
    let all: BTreeMap<i64, &Entry> = toc
        .entries
        .iter()
        .filter(is_index)
        .map(|it| (it.id, it))
        .collect();
    let mut left_out: BTreeSet<i64> = BTreeSet::new();
    let is_there = |it: &Entry, left_out: &BTreeSet<i64>| {
        there.contains(&it.id) || it.needs.iter().any(|it| left_out.contains(it))
    };
    loop {
        let before = left_out.len();
        let attached = toc.entries.iter().filter(|it| it.kind == ATTACHED);
        for entry in attached {
            if left_out.contains(&entry.id) || !is_there(entry, &left_out) {
                continue;
            }
            let needs = entry.needs.iter();
            let own: Vec<i64> = needs
                .copied()
                .filter(|it| all.contains_key(it) && !left_out.contains(it))
                .collect();
            // That of the partitioned table is there too, where the table is.
            if let [own] = own.as_slice()
                && all.get(own).is_some_and(|it| !says_more(it))
            {
                left_out.extend([*own, entry.id]);
            }
        }
        if left_out.len() == before {
            return left_out;
        }
    }
}
