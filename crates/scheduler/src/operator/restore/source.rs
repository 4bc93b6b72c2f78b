//! Which backup a Restore means.

use kube::ResourceExt as _;

use crate::operator::crd::{Backup, LatestFrom, ObjectRef, RestoreSource, Stored};
use crate::operator::object::Phased as _;
use crate::operator::objects::Objects;
use crate::operator::spec_hash;

/// A backup that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Found {
    /// Its key, without the bucket.
    pub(in crate::operator) path: String,
    /// The BackupStorage where it is.
    pub(in crate::operator) storage: String,
    /// What its Backup has kept of it.
    pub(in crate::operator) stored: Option<Stored>,
    /// Whether a Backup has written it that the Restore may use.
    pub(super) is_recorded: bool,
    /// The Database of another namespace that it is of, which has to let this one have it.
    pub(super) of: Option<(String, String)>,
}

/// Why none is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is being made.
    Waits(String),
    /// There is no such object yet.
    Missing(String),
    /// There will be none.
    Refused(String),
}

/// What Backups there are.
pub(super) trait Backups {
    fn one(&self, namespace: &str, name: &str) -> Option<Backup>;
    fn all(&self, namespace: &str) -> Vec<Backup>;
}

impl Backups for Objects {
    fn one(&self, namespace: &str, name: &str) -> Option<Backup> {
        let found = self.backup(namespace, name)?;
        found.0.as_ref().ok().cloned()
    }

    fn all(&self, namespace: &str) -> Vec<Backup> {
        let all = self.backups_in(namespace).into_iter();
        all.filter_map(|it| it.0.as_ref().ok().cloned()).collect()
    }
}

/// The backup that is meant: `backupRef` before `latestFrom` before `path`.
pub(super) fn resolve(
    source: &RestoreSource,
    own: &str,
    backups: &impl Backups,
) -> Result<Found, Stop> {
    if let Some(named) = &source.backup_ref {
        return of_backup(named, own, backups);
    }
    if let Some(latest) = &source.latest_from {
        return newest(latest, own, backups);
    }
    let refused = |why: &str| Err(Stop::Refused(why.to_owned()));
    let Some(path) = source.path.as_deref().filter(|it| !it.is_empty()) else {
        return refused("either backupRef, latestFrom, or path must be specified");
    };
    let Some(storage) = &source.storage_ref else {
        return refused("storageRef is required when using path");
    };
    let written = backups.all(own).into_iter().find_map(|it| {
        let mut all = stored(&it).into_iter().chain(former(&it));
        all.find(|found| found.path == path && found.storage == storage.name)
    });
    Ok(written.unwrap_or_else(|| Found {
        path: path.to_owned(),
        storage: storage.name.clone(),
        stored: None,
        is_recorded: false,
        of: None,
    }))
}

fn of_backup(named: &ObjectRef, own: &str, backups: &impl Backups) -> Result<Found, Stop> {
    let name = &named.name;
    let namespace = namespace(named.namespace.as_deref(), own);
    let backup = backups.one(namespace, name);
    let backup = backup
        .ok_or_else(|| Stop::Missing(format!("waiting for source: backup {name} not found")))?;
    let status = backup.status.clone().unwrap_or_default();
    match status.phase() {
        Some("Completed") if !is_of_spec(&backup) => Err(Stop::Waits(format!(
            "waiting for source: the spec of backup {name} has changed, and it is made anew"
        ))),
        Some("Completed") => {
            let found = found(&backup).map(|it| seen_from(own, &backup, it));
            found.ok_or_else(|| Stop::Refused("backup has no path in status".to_owned()))
        }
        Some("Failed") => Err(Stop::Refused(
            "backup is not completed (phase: Failed)".to_owned(),
        )),
        phase => Err(Stop::Waits(format!(
            "waiting for source: backup {name} is not completed yet (phase: {})",
            phase.unwrap_or_default()
        ))),
    }
}

fn newest(latest: &LatestFrom, own: &str, backups: &impl Backups) -> Result<Found, Stop> {
    let namespace = namespace(latest.namespace.as_deref(), own);
    let name = &latest.database_ref.name;
    let of = latest.database_ref.namespace.as_deref();
    if let Some(other) = of.filter(|it| !it.is_empty() && *it != namespace) {
        return Err(Stop::Refused(format!(
            "latestFrom.databaseRef.namespace {other} is not the namespace of the Backups, {namespace}; set latestFrom.namespace"
        )));
    }
    let all = backups.all(namespace).into_iter();
    let ended = all
        .filter(|it| it.spec.database_ref.name == *name)
        .filter_map(|it| {
            let at = it.status.as_ref()?.completed_at.as_ref()?.0;
            Some((at, it.name_any(), seen_from(own, &it, found(&it)?)))
        });
    let newest = ended.max_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let newest = newest.map(|(_, _, found)| found);
    newest.ok_or_else(|| Stop::Refused(format!("no completed backup found for database {name}")))
}

/// The namespace that is meant.
fn namespace<'a>(named: Option<&'a str>, own: &'a str) -> &'a str {
    named.filter(|it| !it.is_empty()).unwrap_or(own)
}

/// A backup of this namespace, or of another one's Database.
fn seen_from(own: &str, backup: &Backup, found: Found) -> Found {
    let namespace = backup.namespace().unwrap_or_default();
    let of = (namespace != own).then(|| (namespace, backup.spec.database_ref.name.clone()));
    Found { of, ..found }
}

/// Whether what a Backup tells is of its spec: one that has changed is about to be made anew, and may be of another
/// database.
fn is_of_spec(backup: &Backup) -> bool {
    let told = backup.status.as_ref().and_then(|it| it.spec_hash.clone());
    spec_hash::of_backup(&backup.spec).ok() == told
}

/// What a Backup has stored as its spec says.
pub(in crate::operator) fn found(backup: &Backup) -> Option<Found> {
    stored(backup).filter(|_| is_of_spec(backup))
}

/// What a Backup has stored, where it is complete and says where that is.
fn stored(backup: &Backup) -> Option<Found> {
    let status = backup.status.as_ref()?;
    if status.phase() != Some("Completed") {
        return None;
    }
    let path = status.path.clone().filter(|it| !it.is_empty())?;
    Some(at(backup, path, status.stored.clone()))
}

/// What its earlier runs have stored.
fn former(backup: &Backup) -> Vec<Found> {
    let status = backup.status.as_ref();
    let former = status.and_then(|it| it.former.clone()).unwrap_or_default();
    let former = former.into_iter();
    former.map(|it| at(backup, it.path, it.stored)).collect()
}

fn at(backup: &Backup, path: String, stored: Option<Stored>) -> Found {
    let storage = match &stored {
        Some(stored) => stored.storage.clone(),
        // One of dbtether's.
        None => backup.spec.storage_ref.name.clone(),
    };
    Found {
        path,
        storage,
        stored,
        is_recorded: true,
        of: None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::operator::crd::{BackupSpec, BackupStatus, DatabaseRef, Former, LocalRef};

    struct There(Vec<Backup>);

    impl Backups for There {
        fn one(&self, namespace: &str, name: &str) -> Option<Backup> {
            let mut all = self.0.iter();
            all.find(|it| it.namespace().as_deref() == Some(namespace) && it.name_any() == name)
                .cloned()
        }

        fn all(&self, namespace: &str) -> Vec<Backup> {
            let all = self.0.iter();
            all.filter(|it| it.namespace().as_deref() == Some(namespace))
                .cloned()
                .collect()
        }
    }

    /// The dump of another database must not come back, nor yesterday's for the one that is being made.
    #[test]
    fn a_backup_whose_spec_has_changed_is_waited_for() {
        let mut changed = backup("own", "b", "Completed", 1);
        changed.spec.trigger = Some("again".to_owned());
        let named = RestoreSource {
            backup_ref: Some(ObjectRef {
                name: "b".to_owned(),
                namespace: None,
            }),
            ..RestoreSource::default()
        };
        let there = There(vec![changed]);
        let found = resolve(&named, "own", &there);
        assert!(matches!(found, Err(Stop::Waits(_))), "{found:?}");
        let path = RestoreSource {
            path: Some("own/b.sql.gz".to_owned()),
            storage_ref: Some(LocalRef {
                name: "s3".to_owned(),
            }),
            ..RestoreSource::default()
        };
        assert!(resolve(&path, "own", &there).unwrap().is_recorded);
    }

    fn backup(namespace: &str, name: &str, phase: &str, second: i64) -> Backup {
        let mut object = Backup::new(
            name,
            BackupSpec {
                database_ref: DatabaseRef {
                    name: "orders".to_owned(),
                    namespace: None,
                },
                storage_ref: LocalRef {
                    name: "s3".to_owned(),
                },
                ..BackupSpec::default()
            },
        );
        object.metadata.namespace = Some(namespace.to_owned());
        object.status = Some(BackupStatus {
            phase: Some(phase.to_owned()),
            spec_hash: spec_hash::of_backup(&object.spec).ok(),
            path: Some(format!("{namespace}/{name}.sql.gz")),
            completed_at: Some(Time(Timestamp::from_second(second).unwrap())),
            ..BackupStatus::default()
        });
        object
    }

    fn there() -> There {
        let mut other = backup("a", "other", "Completed", 90);
        other.spec.database_ref.name = "users".to_owned();
        let mut pathless = backup("a", "pathless", "Completed", 99);
        pathless.status.as_mut().unwrap().path = None;
        There(vec![
            backup("a", "old", "Completed", 1),
            backup("a", "new", "Completed", 2),
            backup("a", "failed", "Failed", 3),
            backup("a", "running", "Running", 4),
            backup("b", "theirs", "Completed", 5),
            other,
            pathless,
        ])
    }

    fn by_ref(name: &str, namespace: Option<&str>) -> RestoreSource {
        RestoreSource {
            backup_ref: Some(ObjectRef {
                name: name.to_owned(),
                namespace: namespace.map(str::to_owned),
            }),
            ..RestoreSource::default()
        }
    }

    fn latest(database: &str, namespace: Option<&str>) -> RestoreSource {
        RestoreSource {
            latest_from: Some(LatestFrom {
                database_ref: DatabaseRef {
                    name: database.to_owned(),
                    namespace: None,
                },
                namespace: namespace.map(str::to_owned),
            }),
            ..RestoreSource::default()
        }
    }

    fn path(source: &RestoreSource) -> Result<String, Stop> {
        resolve(source, "a", &there()).map(|it| it.path)
    }

    fn refused(why: &str) -> Result<String, Stop> {
        Err(Stop::Refused(why.to_owned()))
    }

    /// operator.md, R1 and R4.
    #[test]
    fn the_first_source_that_is_said_counts() {
        assert_eq!(path(&by_ref("old", None)).unwrap(), "a/old.sql.gz");
        let both = RestoreSource {
            latest_from: latest("orders", None).latest_from,
            ..by_ref("old", None)
        };
        assert_eq!(path(&both).unwrap(), "a/old.sql.gz");
        let mut by_path = RestoreSource {
            path: Some("x/y.sql.gz".to_owned()),
            ..RestoreSource::default()
        };
        assert_eq!(
            path(&by_path),
            refused("storageRef is required when using path")
        );
        let nothing = "either backupRef, latestFrom, or path must be specified";
        assert_eq!(path(&RestoreSource::default()), refused(nothing));
        by_path.storage_ref = Some(LocalRef {
            name: "s3".to_owned(),
        });
        let found = resolve(&by_path, "a", &there()).unwrap();
        assert_eq!(
            (found.path.as_str(), found.storage.as_str()),
            ("x/y.sql.gz", "s3")
        );
    }

    /// operator.md, R2.
    #[test]
    fn a_backup_that_is_not_there_yet_is_waited_for() {
        let missing = "waiting for source: backup none not found";
        assert_eq!(
            path(&by_ref("none", None)),
            Err(Stop::Missing(missing.to_owned()))
        );
        let running = "waiting for source: backup running is not completed yet (phase: Running)";
        assert_eq!(
            path(&by_ref("running", None)),
            Err(Stop::Waits(running.to_owned()))
        );
        let failed = "backup is not completed (phase: Failed)";
        assert_eq!(path(&by_ref("failed", None)), refused(failed));
        assert_eq!(
            path(&by_ref("pathless", None)),
            refused("backup has no path in status")
        );
    }

    /// operator.md, R3.
    #[test]
    fn the_newest_complete_backup_of_that_database_in_that_namespace_is_taken() {
        assert_eq!(path(&latest("orders", None)).unwrap(), "a/new.sql.gz");
        assert_eq!(
            path(&latest("orders", Some("b"))).unwrap(),
            "b/theirs.sql.gz"
        );
        let none = "no completed backup found for database nobodys";
        assert_eq!(path(&latest("nobodys", None)), refused(none));
    }

    /// operator.md, W8 and W20.
    #[test]
    fn a_backup_of_another_namespace_is_known_as_such() {
        let of = |source: &RestoreSource| resolve(source, "a", &there()).unwrap().of;
        for source in [by_ref("theirs", Some("b")), latest("orders", Some("b"))] {
            assert_eq!(of(&source), Some(("b".to_owned(), "orders".to_owned())));
        }
        assert_eq!(of(&by_ref("old", Some("a"))), None);
        let mut ignored = latest("orders", None);
        let of = ignored.latest_from.as_mut().unwrap();
        of.database_ref.namespace = Some("b".to_owned());
        assert!(matches!(
            resolve(&ignored, "a", &there()),
            Err(Stop::Refused(_))
        ));
    }

    /// operator.md, W8; operator-rules.md, decided 6.
    #[test]
    fn a_path_is_known_where_a_backup_of_the_own_namespace_has_written_it() {
        let at = |path: &str, storage: &str| RestoreSource {
            path: Some(path.to_owned()),
            storage_ref: Some(LocalRef {
                name: storage.to_owned(),
            }),
            ..RestoreSource::default()
        };
        let is_recorded = |path: &str, storage: &str| {
            let found = resolve(&at(path, storage), "a", &there());
            found.unwrap().is_recorded
        };
        assert!(is_recorded("a/old.sql.gz", "s3"));
        assert!(!is_recorded("a/old.sql.gz", "other"));
        assert!(!is_recorded("b/theirs.sql.gz", "s3"));
        assert!(!is_recorded("a/failed.sql.gz", "s3"));
        // What an earlier run of a Backup has stored is its own too, whatever becomes of the next one.
        let mut again = backup("a", "again", "Failed", 1);
        let status = again.status.as_mut().unwrap();
        status.path = None;
        status.former = Some(vec![Former {
            path: "a/first.sql.gz".to_owned(),
            stored: None,
        }]);
        let found = resolve(&at("a/first.sql.gz", "s3"), "a", &There(vec![again]));
        assert!(found.unwrap().is_recorded);
    }
}
