//! Runs that dbtether has begun of an object that it has served before us: they are waited for, and not begun again.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::Error;
use super::backup::plan::label;
use super::object::Namespaced;
use crate::domain::labels::Labels;
use crate::domain::run::Inherited;
use crate::service::Service;

/// Characters that dbtether tells a run by, at the end of its name.
const RUN_ID: usize = 8;

/// The runs of an object, which are labelled with its name and its namespace; the newest first.
pub(super) async fn of<K: Namespaced>(
    service: &Service,
    object: &K,
    [name, namespace]: [&str; 2],
) -> Result<Vec<Inherited>, Error> {
    let labels = [
        (name, object.name_any()),
        (namespace, object.namespace().unwrap_or_default()),
    ];
    let labels: Labels = labels
        .into_iter()
        .map(|(key, value)| (key.to_owned(), label(&value)))
        .collect();
    let all = service.inherited(&labels).await?;
    Ok(since(all, object.creation_timestamp().map(|it| it.0)))
}

/// Those that began in the object's time: an earlier one of its name had others.
fn since(mut all: Vec<Inherited>, created: Option<Timestamp>) -> Vec<Inherited> {
    all.retain(|it| created.is_none_or(|created| it.run.created >= created));
    all.sort_by_key(|it| std::cmp::Reverse(it.run.created));
    all
}

/// Ends those that are under way, whose object goes; the names of them.
pub(super) async fn end(service: &Service, all: &[Inherited]) -> Result<Vec<String>, Error> {
    let mut ended = Vec::new();
    for it in all.iter().filter(|it| is_under_way(it)) {
        service.remove_inherited(&it.run).await?;
        ended.push(it.run.name.clone());
    }
    Ok(ended)
}

pub(super) fn is_under_way(found: &Inherited) -> bool {
    found.run.state.ending().is_none()
}

/// What tells a run from others: none, where dbtether has not named it.
pub(super) fn run_id(run: &str) -> Option<String> {
    let (_, id) = run.rsplit_once('-')?;
    let is_its = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (id.len() == RUN_ID && id.chars().all(is_its)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::run::{Component, Ending, Run, State};

    fn run(name: &str, created: i64) -> Inherited {
        Inherited {
            run: Run {
                component: Component::Backup,
                name: name.to_owned(),
                id: name.to_owned(),
                schedule: None,
                database: String::new(),
                state: State::Running,
                created: Timestamp::from_second(created).unwrap(),
                started: None,
                ended: None,
                told: true,
                drilled: None,
            },
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// A Restore that was deleted and made again within an hour would take the first one's end for its own.
    #[test]
    fn a_run_of_an_earlier_object_of_the_name_is_none_of_this_one() {
        let all = vec![run("a", 9), run("b", 10), run("c", 30), run("d", 20)];
        let own = since(all, Timestamp::from_second(10).ok());
        let names: Vec<&str> = own.iter().map(|it| it.run.name.as_str()).collect();
        assert_eq!(names, ["c", "d", "b"]);
    }

    /// operator.md, B9: what one that has ended has stored may be of another spec, or gone by now.
    #[test]
    fn a_run_that_has_ended_is_not_taken_over() {
        let mut found = run("backup-orders-ab12cd34", 10);
        assert!(is_under_way(&found));
        found.run.state = State::Ended(Ending::Succeeded { message: None });
        assert!(!is_under_way(&found));
        found.run.state = State::Ended(Ending::failed("BackoffLimitExceeded", None, None));
        assert!(!is_under_way(&found));
    }

    /// operator.md, B8.
    #[test]
    fn a_run_has_the_id_that_dbtether_has_named_it_with() {
        assert_eq!(
            run_id("backup-orders-ab12cd34").as_deref(),
            Some("ab12cd34")
        );
        for other in ["backup-orders", "backup-orders-AB12CD34", "x", ""] {
            assert_eq!(run_id(other), None, "{other}");
        }
    }
}
