//! The turns of a server: a few backups at a time, and of those that wait the oldest.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;

use super::{AT_A_TIME, THROTTLED};
use crate::operator::crd::Backup;
use crate::operator::{Guarded, status};

/// Who of those that wait may have something to do now: of those that wait for a turn on one server as many as could
/// have it. When thousands are due at once, each look at all of them would be one at thousands.
pub(in crate::operator) fn next(
    waiting: Vec<Arc<Guarded<Backup>>>,
    server_of: impl Fn(&Backup) -> Option<String>,
) -> Vec<Arc<Guarded<Backup>>> {
    let mut throttled: BTreeMap<String, Vec<Arc<Guarded<Backup>>>> = BTreeMap::new();
    let mut next = Vec::new();
    for object in waiting {
        let server = match &object.0 {
            Ok(backup) if is_throttled(backup) => server_of(backup),
            _ => None,
        };
        match server {
            Some(server) => throttled.entry(server).or_default().push(object),
            None => next.push(object),
        }
    }
    for mut queue in throttled.into_values() {
        queue.sort_by_cached_key(|it| (it.creation_timestamp(), it.namespace(), it.name_any()));
        queue.truncate(AT_A_TIME);
        next.append(&mut queue);
    }
    next
}

/// One that goes has other things to do.
fn is_throttled(backup: &Backup) -> bool {
    if backup.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let conditions = backup.status.iter().flat_map(|it| &it.conditions).flatten();
    let mut ready = conditions.filter(|it| it.type_ == status::READY);
    ready.any(|it| it.reason == THROTTLED)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::operator::backup::told;
    use crate::operator::crd::{BackupSpec, BackupStatus};

    fn waits(name: &str, begun: i64, reason: &str) -> Arc<Guarded<Backup>> {
        let mut object = Backup::new(name, BackupSpec::default());
        object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(begun).unwrap()));
        let before = BackupStatus::default();
        object.status = Some(told::pending(&object, &before, (reason, "waiting")));
        Arc::new(kube::core::DeserializeGuard(Ok(object)))
    }

    /// The server is the first letter of the name.
    fn names(waiting: Vec<Arc<Guarded<Backup>>>) -> Vec<String> {
        let server_of = |it: &Backup| Some(it.name_any().chars().take(1).collect());
        let next = next(waiting, server_of);
        next.iter().map(|it| it.name_any()).collect()
    }

    #[test]
    fn of_those_that_wait_for_a_turn_the_oldest_of_each_server_are_looked_at() {
        let mut waiting: Vec<_> = (0..500)
            .map(|at| waits(&format!("a{at}"), 1000 - at, THROTTLED))
            .collect();
        waiting.extend((0..2).map(|at| waits(&format!("b{at}"), at, THROTTLED)));
        assert_eq!(names(waiting), ["a499", "a498", "a497", "b0", "b1"]);
    }

    #[test]
    fn whoever_waits_for_anything_else_is_always_looked_at() {
        let mut waiting: Vec<_> = (0..9)
            .map(|at| waits(&format!("a{at}"), at, "DatabaseNotReady"))
            .collect();
        waiting.push(Arc::new(kube::core::DeserializeGuard(Ok(Backup::new(
            "new",
            BackupSpec::default(),
        )))));
        assert_eq!(names(waiting).len(), 10);
        // So is one that goes, and it takes nobody's turn.
        let mut going = Backup::new("a", BackupSpec::default());
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let before = BackupStatus::default();
        going.status = Some(told::pending(&going, &before, (THROTTLED, "waiting")));
        let going = Arc::new(kube::core::DeserializeGuard(Ok(going)));
        let mut waiting = vec![going; 5];
        waiting.extend((0..5).map(|at| waits(&format!("a{at}"), at, THROTTLED)));
        assert_eq!(names(waiting).len(), 8);
        // Whose server is not known is looked at, since that is what it says then.
        let lost = next(vec![waits("a", 1, THROTTLED); 9], |_| None);
        assert_eq!(lost.len(), 9);
    }
}
