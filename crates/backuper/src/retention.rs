//! Which backups to delete: a list in, a list out.

use std::str::FromStr;

use jiff::{Span, Timestamp};

use crate::archive::SourceId;
use crate::archive::key::MANIFEST;
use crate::catalog::{Backup, Listing};

/// How long leavings of a run that crashed are left alone, in hours: longer than any run that is
/// still under way.
pub const LEAVINGS_AGE_HOURS: i64 = 24;

/// How many complete backups of one source to keep; 0 keeps all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention(pub u32);

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(0));
        }
        text.parse()
            .map(Self)
            .map_err(|error| format!("a count of 0 or more is needed: {error}"))
    }
}

/// What retention takes away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    /// Complete backups beyond the count, oldest first.
    pub backups: Vec<Backup>,
    /// Folders that a crashed run left without a manifest.
    pub leavings: Vec<Backup>,
}

/// Chooses among the backups of one source; everything else is never touched.
#[must_use]
pub fn choose(listing: &Listing, source: SourceId, keep: Retention, now: Timestamp) -> Doomed {
    let mut backups: Vec<Backup> = match keep {
        Retention(0) => Vec::new(),
        Retention(count) => listing
            .of_source(source)
            .skip(usize::try_from(count).unwrap_or(usize::MAX))
            .cloned()
            .collect(),
    };
    backups.reverse();
    let limit = now - Span::new().hours(LEAVINGS_AGE_HOURS);
    let leavings = listing
        .incomplete
        .iter()
        .filter(|it| it.folder.source() == source)
        .filter(|it| it.folder.started() < limit)
        // A run that is still writing is not a leaving, however long ago it began.
        .filter(|it| it.objects.iter().all(|object| object.modified < limit))
        .cloned()
        .collect();
    Doomed { backups, leavings }
}

/// The keys of one backup in the order of deletion: the manifest first, so that a deletion that
/// is cut short leaves nothing that looks whole.
#[must_use]
pub fn in_order(backup: &Backup) -> (String, Vec<String>) {
    let manifest = backup.folder.key(MANIFEST);
    let rest = backup
        .objects
        .iter()
        .map(|it| it.key.clone())
        .filter(|it| *it != manifest)
        .collect();
    (manifest, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Folder;
    use crate::storage::Object;

    fn at(hour: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Span::new().hours(500_000 + hour)
    }

    fn objects(hour: i64, source: SourceId, whole: bool) -> Vec<Object> {
        let folder = Folder::new("app", at(hour), source);
        let names: &[&str] = if whole {
            &["data-000.dump.zst", MANIFEST, "schema.dump"]
        } else {
            &["data-000.dump.zst"]
        };
        names
            .iter()
            .map(|name| Object {
                key: folder.key(name),
                size: 1,
                modified: at(hour),
                etag: None,
            })
            .collect()
    }

    fn hours(backups: &[Backup]) -> Vec<i64> {
        let hour = |it: &Backup| (it.folder.started().as_second() / 3600) - 500_000;
        backups.iter().map(hour).collect()
    }

    fn one() -> SourceId {
        SourceId::of("one", 5432, "app")
    }

    #[test]
    fn u01_zero_keeps_everything() {
        let all = (0..5).flat_map(|hour| objects(hour, one(), true)).collect();
        let listing = Listing::of("app", all);
        let doomed = choose(&listing, one(), Retention(0), at(5));
        assert_eq!(doomed, Doomed::default());
    }

    #[test]
    fn the_oldest_beyond_the_count_go_and_the_newest_stays() {
        let all: Vec<_> = (0..5).flat_map(|hour| objects(hour, one(), true)).collect();
        for (keep, gone) in [
            (1, vec![0, 1, 2, 3]),
            (3, vec![0, 1]),
            (5, vec![]),
            (9, vec![]),
        ] {
            let listing = Listing::of("app", all.clone());
            let doomed = choose(&listing, one(), Retention(keep), at(5));
            assert_eq!(hours(&doomed.backups), gone, "keeping {keep}");
        }
    }

    #[test]
    fn u03_another_sources_backups_are_never_chosen() {
        let other = SourceId::of("two", 5432, "app");
        let mut all = objects(0, other, true);
        all.extend(objects(1, other, false));
        all.extend(objects(90, one(), true));
        let listing = Listing::of("app", all);
        let doomed = choose(&listing, one(), Retention(1), at(100));
        assert_eq!(doomed, Doomed::default());
    }

    #[test]
    fn u04_published_and_foreign_objects_are_never_chosen() {
        let mut all = objects(90, one(), true);
        for key in ["app/2020-01-01-00-00-00-backup.sql", "app/readme.txt"] {
            all.push(Object {
                key: key.to_owned(),
                size: 1,
                modified: at(-1000),
                etag: None,
            });
        }
        let doomed = choose(&Listing::of("app", all), one(), Retention(1), at(100));
        assert_eq!(doomed, Doomed::default());
    }

    #[test]
    fn leavings_go_after_a_day_and_no_sooner() {
        let mut all = objects(0, one(), false);
        all.extend(objects(80, one(), false));
        all.extend(objects(90, one(), true));
        let doomed = choose(&Listing::of("app", all), one(), Retention(0), at(100));
        assert_eq!(hours(&doomed.leavings), [0]);
        assert!(doomed.backups.is_empty());
    }

    #[test]
    fn a_long_run_that_still_writes_is_no_leaving() {
        let mut all = objects(0, one(), false);
        all[0].modified = at(99);
        let doomed = choose(&Listing::of("app", all), one(), Retention(0), at(100));
        assert_eq!(doomed, Doomed::default());
    }

    #[test]
    fn the_manifest_is_deleted_first() {
        let listing = Listing::of("app", objects(0, one(), true));
        let (first, rest) = in_order(&listing.complete[0]);
        assert!(first.ends_with(MANIFEST));
        assert_eq!(rest.len(), 2);
    }
}
