//! How many objects there are of each kind and phase, and how the BackupSchedules protect their databases: counted
//! when somebody asks, from what is watched anyway.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::core::object::HasStatus;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt as _};
use tokio::sync::watch;

use super::crd::{Backup, BackupSchedule, DBCluster};
use super::object::Phased;
use super::objects::{Objects, store};
use super::{Guarded, Operator, now, schedule};
use crate::domain::cron::Cron;
use crate::domain::protection::{History, Protection};
use crate::metrics::objects;

/// The phase of what cannot be read, as its status says; each kind has it.
const FAILED: &str = "Failed";

/// Objects of a kind, by phase; none while they are not all known.
type Counting = Box<dyn Fn() -> Option<BTreeMap<String, usize>> + Send + Sync>;

/// What is counted.
#[derive(Default)]
pub(super) struct Census {
    kinds: Mutex<BTreeMap<String, Counting>>,
    failures: Mutex<BTreeMap<String, u64>>,
    /// The longest time between two runs, by the schedule's times: thousands of schedules have few of them.
    intervals: Mutex<HashMap<String, Option<SignedDuration>>>,
}

impl Census {
    /// Counts the objects of a kind from now on.
    pub(super) fn watch<K>(&self, objects: &Store<Guarded<K>>, known: watch::Receiver<bool>)
    where
        K: Resource<DynamicType = ()> + HasStatus<Status: Phased> + Clone + Send + Sync + 'static,
    {
        let objects = objects.clone();
        let counting = move || known.borrow().then(|| by_phase(&objects.state()));
        let kind = K::kind(&()).into_owned();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.insert(kind, Box::new(counting));
    }

    /// Counts nothing any more: what is watched no longer is not known.
    pub(super) fn forget(&self) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.clear();
    }

    /// An object of this kind could not be worked on.
    pub(super) fn failed(&self, kind: &str) {
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(kind.to_owned()).or_default() += 1;
    }

    /// The counts by kind and phase; none where the operator does not work.
    fn counts(&self) -> Option<BTreeMap<(String, String), usize>> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.is_empty() {
            return None;
        }
        let mut all = BTreeMap::new();
        for (kind, counting) in kinds.iter() {
            for (phase, count) in counting().into_iter().flatten() {
                all.insert((kind.clone(), phase), count);
            }
        }
        Some(all)
    }

    /// Each kind's failures, those of none too: what begins with its first failure has not increased.
    fn failures(&self) -> BTreeMap<String, u64> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: BTreeMap<String, u64> = kinds.keys().map(|it| (it.clone(), 0)).collect();
        drop(kinds);
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(failures.clone());
        all
    }

    fn interval(&self, cron: &Cron) -> Option<SignedDuration> {
        let mut known = self
            .intervals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let interval = known.entry(cron.to_string());
        *interval.or_insert_with(|| cron.longest_interval())
    }
}

fn by_phase<K>(objects: &[Arc<Guarded<K>>]) -> BTreeMap<String, usize>
where
    K: HasStatus<Status: Phased>,
{
    // That none has failed is to be seen too.
    let mut all = BTreeMap::from([(FAILED.to_owned(), 0)]);
    for object in objects {
        let phase = match &object.0 {
            Ok(it) => it.status().and_then(|it| it.phase()).unwrap_or_default(),
            Err(_unreadable) => FAILED,
        };
        *all.entry(phase.to_owned()).or_default() += 1;
    }
    all
}

/// Whose a Backup is: the object that controls it, or the schedule that its label names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Uid(String),
    Labelled(String, String),
}

impl Operator {
    /// What a scrape is to show; nothing while the operator does not work here.
    #[must_use]
    pub fn census(self: &Arc<Self>) -> objects::Census {
        let operator = self.clone();
        objects::Census::new(move || operator.count())
    }

    fn count(&self) -> Option<objects::Objects> {
        let counts = self.census.counts()?;
        let clusters = store(&self.clusters).filter(|_| self.filled.is::<DBCluster>());
        let clusters = clusters.map(|it| it.state());
        let servers = clusters.into_iter().flatten();
        Some(objects::Objects {
            counts,
            servers: servers
                .map(|it| (it.name_any(), it.0.as_ref().is_ok_and(is_connected)))
                .collect(),
            failures: self.census.failures(),
            schedules: self.objects.as_ref().map_or_else(Vec::new, |it| {
                let are_known = self.filled.is::<BackupSchedule>() && self.filled.is::<Backup>();
                let schedules = store(&it.schedules).filter(|_| are_known);
                schedules.map_or_else(Vec::new, |schedules| self.protections(&schedules, it))
            }),
        })
    }

    fn protections(
        &self,
        schedules: &Store<Guarded<BackupSchedule>>,
        objects: &Objects,
    ) -> Vec<Protection> {
        let backups = store(&objects.backups).map(|it| it.state());
        let backups = backups.unwrap_or_default();
        let histories = histories(backups.iter().filter_map(|it| it.0.as_ref().ok()));
        let all = schedules.state();
        let all: Vec<&BackupSchedule> = all.iter().filter_map(|it| it.0.as_ref().ok()).collect();
        let mut seen = HashSet::new();
        let found = all.iter().filter_map(|it| {
            let cron = schedule::cron(&it.spec.schedule, it.spec.time_zone.as_deref()).ok();
            let interval = cron.as_ref().and_then(|it| self.census.interval(it));
            seen.extend(cron.map(|it| it.to_string()));
            let place = self.place_of(it);
            protection(it, place, interval, &histories)
        });
        let found = found.collect();
        let mut intervals = self
            .census
            .intervals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        intervals.retain(|times, _| seen.contains(times));
        found
    }

    /// `host:port/dbname` of the database that a schedule is of; before that is known, what names it.
    fn place_of(&self, schedule: &BackupSchedule) -> String {
        let namespace = schedule.namespace().unwrap_or_default();
        let named = &schedule.spec.database_ref.name;
        let database = self.database(&namespace, named);
        let database = database.as_ref().and_then(|it| it.0.as_ref().ok());
        let place = database.and_then(|it| {
            let cluster = self.cluster(&it.spec.cluster_ref.name)?;
            let cluster = &cluster.0.as_ref().ok()?.spec;
            let name = it.status.as_ref()?.database_name.as_ref()?;
            Some(format!("{}:{}/{name}", cluster.endpoint, cluster.port))
        });
        place.unwrap_or_else(|| format!("{namespace}/{named}"))
    }
}

fn is_connected(cluster: &DBCluster) -> bool {
    let status = cluster.status.as_ref();
    status.and_then(|it| it.phase()) == Some("Connected")
}

/// How a schedule protects its database.
fn protection(
    schedule: &BackupSchedule,
    database: String,
    interval: Option<SignedDuration>,
    histories: &HashMap<Whose, History>,
) -> Option<Protection> {
    let (namespace, name) = (schedule.namespace()?, schedule.name_any());
    let status = schedule.status.as_ref();
    let next = status.and_then(|it| it.next_scheduled_time.as_ref());
    let suspended = schedule.spec.suspend;
    let by_uid = schedule.uid().map(Whose::Uid);
    let by_label = Whose::Labelled(namespace.clone(), super::backup::plan::label(&name));
    let own = by_uid.into_iter().chain([by_label]);
    let mut history = History::default();
    for known in own.filter_map(|it| histories.get(&it)) {
        join(&mut history, known);
    }
    Some(Protection {
        schedule: format!("{namespace}/{name}"),
        database,
        created: schedule.creation_timestamp().map_or_else(now, |it| it.0),
        suspended,
        next: next.map(|it| it.0).filter(|_| !suspended),
        interval,
        history,
    })
}

/// What has become of Backups, by whose they are.
fn histories<'a>(backups: impl Iterator<Item = &'a Backup>) -> HashMap<Whose, History> {
    let mut all: HashMap<Whose, History> = HashMap::new();
    for backup in backups {
        let Some(whose) = whose(backup) else {
            continue;
        };
        let Some(status) = &backup.status else {
            continue;
        };
        let ended = status.completed_at.as_ref().map(|it| it.0);
        let began = status.started_at.as_ref().map(|it| it.0);
        let one = match status.phase() {
            Some("Completed") => History {
                last_success: ended,
                seconds: seconds(began, ended),
                ..History::default()
            },
            Some(FAILED) => History {
                last_failure: ended,
                ..History::default()
            },
            _ => continue,
        };
        join(all.entry(whose).or_default(), &one);
    }
    all
}

fn whose(backup: &Backup) -> Option<Whose> {
    let mut owners = backup.owner_references().iter();
    match owners.find(|it| it.controller == Some(true)) {
        Some(owner) => Some(Whose::Uid(owner.uid.clone())),
        None => {
            let label = backup.labels().get(super::keys::SCHEDULE)?;
            Some(Whose::Labelled(backup.namespace()?, label.clone()))
        }
    }
}

fn seconds(began: Option<Timestamp>, ended: Option<Timestamp>) -> Option<i64> {
    Some(ended?.as_second() - began?.as_second())
}

/// Takes the newest of both.
fn join(history: &mut History, other: &History) {
    if other.last_success > history.last_success {
        history.last_success = other.last_success;
        history.seconds = other.seconds;
    }
    history.last_failure = history.last_failure.max(other.last_failure);
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
    use kube::core::DeserializeGuard;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::operator::crd::{BackupScheduleSpec, BackupSpec, BackupStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn schedule() -> BackupSchedule {
        let mut it = BackupSchedule::new("nightly", BackupScheduleSpec::default());
        it.metadata.namespace = Some("shop".to_owned());
        it.metadata.uid = Some("1".to_owned());
        it.metadata.creation_timestamp = Some(Time(at(5)));
        it
    }

    fn backup(name: &str, owner: Option<&str>, phase: &str, ended: i64) -> Backup {
        let mut it = Backup::new(name, BackupSpec::default());
        it.metadata.namespace = Some("shop".to_owned());
        it.metadata.labels = Some(
            [(
                super::super::keys::SCHEDULE.to_owned(),
                "nightly".to_owned(),
            )]
            .into(),
        );
        it.metadata.owner_references = owner.map(|uid| {
            vec![OwnerReference {
                uid: uid.to_owned(),
                controller: Some(true),
                ..OwnerReference::default()
            }]
        });
        it.status = Some(BackupStatus {
            phase: Some(phase.to_owned()),
            started_at: Some(Time(at(ended - 7))),
            completed_at: Some(Time(at(ended))),
            ..BackupStatus::default()
        });
        it
    }

    /// Those that only have the label are a schedule's too, and those of another one of its name are not (K6).
    #[test]
    fn the_newest_backups_of_a_schedule_say_how_it_protects() {
        let all = [
            backup("a", Some("1"), "Completed", 100),
            backup("b", None, "Completed", 200),
            backup("c", Some("1"), "Failed", 150),
            backup("d", Some("2"), "Completed", 300),
            backup("e", Some("1"), "Running", 400),
        ];
        let histories = histories(all.iter());
        let day = SignedDuration::from_hours(24);
        let found = protection(
            &schedule(),
            "db:5432/shop".to_owned(),
            Some(day),
            &histories,
        );
        let found = found.unwrap();
        assert_eq!(found.schedule, "shop/nightly");
        assert_eq!(found.created, at(5));
        assert_eq!(found.history.last_success, Some(at(200)));
        assert_eq!(found.history.last_failure, Some(at(150)));
        assert_eq!(found.history.seconds, Some(7));
        assert_eq!(found.history.last_succeeded(), Some(true));
    }

    #[test]
    fn objects_are_counted_once_all_are_known_and_until_they_are_watched_no_more() {
        let (reader, mut writer) = reflector::store::<Guarded<Backup>>();
        let census = Census::default();
        assert!(census.counts().is_none());
        let (all, known) = watch::channel(false);
        census.watch::<Backup>(&reader, known);
        writer.apply_watcher_event(&Event::Init);
        let guarded = |it: Backup| DeserializeGuard(Ok(it));
        for (name, phase) in [("a", "Completed"), ("b", "Completed"), ("c", "Pending")] {
            let object = guarded(backup(name, None, phase, 1));
            writer.apply_watcher_event(&Event::InitApply(object));
        }
        assert!(census.counts().unwrap().is_empty());
        writer.apply_watcher_event(&Event::InitDone);
        all.send_replace(true);
        let counts: Vec<_> = census.counts().unwrap().into_iter().collect();
        let of = |phase: &str, count| (("Backup".to_owned(), phase.to_owned()), count);
        let expected = [of("Completed", 2), of("Failed", 0), of("Pending", 1)];
        assert_eq!(counts, expected);
        census.failed("Backup");
        assert_eq!(census.failures()["Backup"], 1);
        census.forget();
        assert!(census.counts().is_none());
    }
}
