//! Which Backups a BackupSchedule has, so that none has to be looked for among all.

use std::collections::{BTreeSet, HashMap};

use kube::core::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Resource as _, ResourceExt as _};

use crate::operator::backup::plan::label;
use crate::operator::crd::{Backup, BackupSchedule};
use crate::operator::objects::Objects;
use crate::operator::{Guarded, keys};

/// Backups by whose they are, each by its name.
#[derive(Debug, Default)]
pub(in crate::operator) struct Index {
    backups: HashMap<Owner, BTreeSet<String>>,
    owners: HashMap<(String, String), Owner>,
}

/// Whose a Backup is, in its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owner {
    namespace: String,
    by: By,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum By {
    /// The object that controls it.
    Uid(String),
    /// Where none does, the schedule that its label names.
    Label(String),
}

impl Owner {
    fn of(backup: &ObjectMeta) -> Option<Self> {
        let mut owners = backup.owner_references.iter().flatten();
        let by = match owners.find(|it| it.controller == Some(true)) {
            Some(owner) => By::Uid(owner.uid.clone()),
            None => By::Label(backup.labels.as_ref()?.get(keys::SCHEDULE)?.clone()),
        };
        Some(Self {
            namespace: backup.namespace.clone().unwrap_or_default(),
            by,
        })
    }
}

impl Index {
    /// Hears of each Backup as soon as it is known.
    pub(in crate::operator) fn hear(&mut self, event: &Event<Guarded<Backup>>) {
        match event {
            Event::Apply(it) | Event::InitApply(it) => self.set(meta(it), Owner::of(meta(it))),
            Event::Delete(it) => self.set(meta(it), None),
            // What went while nobody watched is not found by its name.
            Event::Init | Event::InitDone => {}
        }
    }

    fn set(&mut self, backup: &ObjectMeta, owner: Option<Owner>) {
        let name = backup.name.clone().unwrap_or_default();
        let key = (backup.namespace.clone().unwrap_or_default(), name.clone());
        let before = match owner.clone() {
            Some(owner) => self.owners.insert(key, owner),
            None => self.owners.remove(&key),
        };
        if let Some(before) = before.filter(|it| Some(it) != owner.as_ref())
            && let Some(names) = self.backups.get_mut(&before)
        {
            names.remove(&name);
            if names.is_empty() {
                self.backups.remove(&before);
            }
        }
        if let Some(owner) = owner {
            self.backups.entry(owner).or_default().insert(name);
        }
    }

    fn names(&self, schedule: &BackupSchedule) -> Vec<String> {
        let all = whose(schedule).into_iter();
        let all = all.filter_map(|it| self.backups.get(&it)).flatten();
        all.cloned().collect()
    }
}

/// Whose a schedule's Backups are.
fn whose(schedule: &BackupSchedule) -> [Owner; 2] {
    let uid = By::Uid(schedule.uid().unwrap_or_default());
    let label = By::Label(label(&schedule.name_any()));
    [uid, label].map(|by| Owner {
        namespace: schedule.namespace().unwrap_or_default(),
        by,
    })
}

/// The schedule that counts a Backup of which something has changed: what it tells of its Backups is of them all.
pub(in crate::operator) fn concerned(
    event: &Event<Guarded<Backup>>,
) -> Option<ObjectRef<Guarded<BackupSchedule>>> {
    let (Event::Apply(backup) | Event::Delete(backup)) = event else {
        return None;
    };
    let backup = meta(backup);
    let mut owners = backup.owner_references.iter().flatten();
    let owner =
        owners.find(|it| it.controller == Some(true) && it.kind == BackupSchedule::kind(&()))?;
    let namespace = backup.namespace.clone().unwrap_or_default();
    Some(ObjectRef::new(&owner.name).within(&namespace))
}

fn meta(backup: &Guarded<Backup>) -> &ObjectMeta {
    kube::Resource::meta(backup)
}

/// The Backups that a schedule has made, those that can be read.
pub(super) fn own(object: &BackupSchedule, objects: &Objects) -> Vec<Backup> {
    let namespace = object.namespace().unwrap_or_default();
    let names = objects.own().names(object).into_iter();
    let all = names.filter_map(|it| objects.backup(&namespace, &it));
    let all = all.filter_map(|it| it.0.as_ref().ok().cloned());
    // The index may be a moment before the store, or behind it.
    all.filter(|it| is_its(it, object)).collect()
}

fn is_its(backup: &Backup, object: &BackupSchedule) -> bool {
    Owner::of(&backup.metadata).is_some_and(|it| whose(object).contains(&it))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use kube::core::DeserializeGuard;

    use super::*;
    use crate::operator::crd::{BackupScheduleSpec, BackupSpec};

    fn schedule(uid: &str) -> BackupSchedule {
        let mut object = BackupSchedule::new("nightly", BackupScheduleSpec::default());
        object.metadata.uid = Some(uid.to_owned());
        object.metadata.namespace = Some("a".to_owned());
        object
    }

    /// One with this controller, and the label of the schedule.
    fn backup(name: &str, controller: Option<&str>) -> Backup {
        let mut backup = Backup::new(name, BackupSpec::default());
        backup.metadata.namespace = Some("a".to_owned());
        let label = (keys::SCHEDULE.to_owned(), "nightly".to_owned());
        backup.metadata.labels = Some([label].into());
        backup.metadata.owner_references = controller.map(|uid| {
            vec![OwnerReference {
                uid: uid.to_owned(),
                controller: Some(true),
                ..OwnerReference::default()
            }]
        });
        backup
    }

    /// operator.md, K6: one that only has the label is its too; one that somebody else made is not, and another
    /// schedule of the name has others.
    #[test]
    fn a_schedule_knows_its_backups_as_they_come_and_go() {
        let mut index = Index::default();
        let guarded = |it: Backup| DeserializeGuard(Ok(it));
        let labelled = backup("labelled", None);
        for it in [
            backup("made", Some("1")),
            labelled.clone(),
            backup("other", Some("x")),
        ] {
            assert_eq!(is_its(&it, &schedule("1")), it.name_any() != "other");
            index.hear(&Event::InitApply(guarded(it)));
        }
        let of = |index: &Index, uid: &str| index.names(&schedule(uid));
        assert_eq!(of(&index, "1"), ["made", "labelled"]);
        assert_eq!(of(&index, "2"), ["labelled"]);
        // It gets another owner, and goes.
        index.hear(&Event::Apply(guarded(backup("labelled", Some("x")))));
        assert_eq!(of(&index, "1"), ["made"]);
        assert_eq!(of(&index, "x"), ["labelled", "other"]);
        index.hear(&Event::Apply(guarded(labelled)));
        for name in ["made", "labelled", "other"] {
            index.hear(&Event::Delete(guarded(backup(name, None))));
        }
        assert!(index.backups.is_empty() && index.owners.is_empty());
    }
}
