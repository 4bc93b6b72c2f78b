//! Which indexes are built as soon as the rows of their table are in.
//!
//! While other streams still load, a job whose stream has ended would have nothing to do. It builds
//! the indexes of its tables then, as `pg_restore --jobs` does, but none that could see more than
//! its own table: an expression may call a function that reads another one, whose rows are still on
//! their way.

use std::collections::{BTreeMap, BTreeSet};

use backuper::text::sql::pattern;

use crate::archive::toc::{Entry, Section, Toc};

/// How many steps the indexes of a stream take at most. Each is a program that has to be started;
/// between two, it shows whether the other jobs have become free for what is left.
const STEPS: usize = 8;

/// The entries that can be restored when these tables have their rows, each as the manifest writes
/// it: their indexes and the constraints that are indexes, with the comments on them. In steps, which
/// are taken one after the other.
pub(crate) fn ready(toc: &Toc, tables: &[String]) -> Vec<BTreeSet<i64>> {
    let loaded: BTreeSet<&str> = tables.iter().map(String::as_str).collect();
    let tables: BTreeMap<i64, bool> = toc
        .entries
        .iter()
        .filter(|it| it.kind == "TABLE")
        .map(|it| {
            let schema = it.namespace.as_deref().unwrap_or_default();
            (it.id, loaded.contains(pattern(schema, &it.tag).as_str()))
        })
        .collect();
    let ready = |it: &Entry| {
        matches!(it.kind.as_str(), "INDEX" | "CONSTRAINT")
            && !it.needs.is_empty()
            && it.needs.iter().all(|id| tables.get(id) == Some(&true))
    };
    let groups: Vec<&[Entry]> = post_data(toc)
        .filter(|group| group.first().is_some_and(ready))
        .collect();
    let steps = groups.chunks(groups.len().div_ceil(STEPS).max(1));
    steps
        .map(|step| step.iter().copied().flatten().map(|it| it.id).collect())
        .collect()
}

/// The entries after the rows, each with those that belong to it.
fn post_data(toc: &Toc) -> impl Iterator<Item = &[Entry]> {
    let groups = toc
        .entries
        .chunk_by(|_, next| next.section == Section::None);
    groups.filter(|it| it.first().is_some_and(|it| it.section == Section::PostData))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, kind: &str, section: Section, tag: &str, needs: &[i64]) -> Entry {
        Entry {
            id,
            kind: kind.to_owned(),
            section,
            tag: tag.to_owned(),
            namespace: Some("public".to_owned()),
            needs: needs.to_vec(),
            ..Entry::default()
        }
    }

    fn toc() -> Toc {
        use Section::{None, PostData, PreData};
        Toc {
            entries: vec![
                entry(1, "FUNCTION", PreData, "lookup(integer)", &[]),
                entry(2, "TABLE", PreData, "a", &[]),
                entry(3, "COMMENT", None, "TABLE a", &[2]),
                entry(4, "TABLE", PreData, "b", &[]),
                entry(10, "CONSTRAINT", PostData, "a a_pkey", &[2]),
                entry(11, "COMMENT", None, "CONSTRAINT a_pkey ON a", &[10]),
                entry(12, "INDEX", PostData, "a_lookup", &[2, 1]),
                entry(13, "COMMENT", None, "INDEX a_lookup", &[12]),
                entry(14, "INDEX", PostData, "b_n", &[4]),
                entry(15, "FK CONSTRAINT", PostData, "b b_fkey", &[4, 2, 10]),
                entry(16, "TRIGGER", PostData, "a t", &[2]),
            ],
            ..Toc::default()
        }
    }

    #[test]
    fn only_what_sees_its_own_rows_is_built_early() {
        let (toc, a) = (toc(), r#""public"."a""#.to_owned());
        assert_eq!(ready(&toc, std::slice::from_ref(&a)), [[10, 11].into()]);
        let both = [a, r#""public"."b""#.to_owned()];
        assert_eq!(ready(&toc, &both), [[10, 11].into(), [14].into()]);
        assert!(ready(&toc, &[]).is_empty());
    }

    #[test]
    fn many_indexes_take_few_steps_and_none_is_left_out() {
        let mut toc = toc();
        for id in 100..200 {
            let index = entry(id, "INDEX", Section::PostData, "b_more", &[4]);
            toc.entries.push(index);
        }
        let steps = ready(&toc, &[r#""public"."b""#.to_owned()]);
        assert_eq!(steps.len(), STEPS);
        let all: BTreeSet<i64> = steps.into_iter().flatten().collect();
        assert_eq!(all, (100..200).chain([14]).collect());
    }
}
