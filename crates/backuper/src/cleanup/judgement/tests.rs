//! What retention chooses of which listing.

mod holds;

use jiff::Span;

use super::*;
use crate::archive::SystemIdentifier;
use crate::archive::key::MANIFEST;
use crate::retention::Retention;
use crate::storage::Object;

fn at(hour: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Span::new().hours(500_000 + hour)
}

fn server(system: Option<u64>) -> Identity {
    Identity {
        host: "db".to_owned(),
        port: 5432,
        database: "app".to_owned(),
        system: system.map(SystemIdentifier::from),
    }
}

/// A folder of this hour whose objects the store got at another.
fn written(hour: i64, stored: i64, source: &Identity, whole: bool) -> Vec<Object> {
    let folder = Folder::new("app", at(hour), source.id());
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
            modified: at(stored),
            etag: None,
        })
        .collect()
}

fn objects(hour: i64, source: &Identity, whole: bool) -> Vec<Object> {
    written(hour, hour, source, whole)
}

fn hour(time: Timestamp) -> i64 {
    time.as_second() / 3600 - 500_000
}

fn hours(choice: &Choice) -> Vec<i64> {
    choice.expired().map(|it| hour(it.started())).collect()
}

fn abandoned(choice: &Choice) -> Vec<i64> {
    let folders = choice.abandoned.iter().map(|it| it.folder.started());
    folders.map(hour).collect()
}

fn rules(keep: u32) -> Rules {
    Rules {
        last: Retention(keep),
        ..Rules::default()
    }
}

/// What is chosen after the backup of this hour, which the clock shows now.
fn chosen(all: &[Object], made: i64, keep: u32) -> Choice {
    chosen_for(&server(Some(1)), true, all, (made, made), keep)
}

fn chosen_for(
    source: &Identity,
    owns_older: bool,
    all: &[Object],
    (made, now): (i64, i64),
    keep: u32,
) -> Choice {
    let request = Request {
        source,
        owns_older,
        newest: &Folder::new("app", at(made), source.id()),
        rules: &rules(keep),
        objects: false,
        now: at(now),
        store_now: at(now),
    };
    choose(&Listing::of("app", all.to_vec()), request, &BTreeSet::new()).unwrap()
}

fn five() -> Vec<Object> {
    let hours = 0..5;
    hours
        .flat_map(|it| objects(it, &server(Some(1)), true))
        .collect()
}

/// S17.
#[test]
fn two_schedules_of_a_database_never_remove_each_others() {
    let source = server(Some(1));
    let of = |hour: i64, schedule: &str| {
        let mut objects = objects(hour, &source, true);
        let folder = Folder::new("app", at(hour), source.id());
        let mut mark = objects[0].clone();
        mark.key = folder.key(&crate::archive::key::schedule(schedule));
        objects.push(mark);
        objects
    };
    let all = [
        objects(0, &source, true),
        of(1, "nightly"),
        of(2, "nightly"),
        objects(3, &source, true),
        of(4, "weekly"),
        objects(5, &source, true),
        of(6, "nightly"),
    ]
    .concat();
    assert_eq!(hours(&chosen(&all, 5, 1)), [0, 3]);
    assert_eq!(hours(&chosen(&all, 6, 2)), [1]);
    assert_eq!(hours(&chosen(&all, 4, 1)), [] as [i64; 0]);
}

#[test]
fn u01_zero_keeps_everything() {
    let choice = chosen(&five(), 4, 0);
    assert!(hours(&choice).is_empty() && choice.abandoned.is_empty());
}

#[test]
fn the_oldest_beyond_the_count_go_and_the_newest_stays() {
    for (keep, gone) in [
        (1, vec![0, 1, 2, 3]),
        (3, vec![0, 1]),
        (5, vec![]),
        (9, vec![]),
    ] {
        let choice = chosen(&five(), 4, keep);
        assert_eq!(hours(&choice), gone, "keeping {keep}");
    }
}

/// F05: a clock ran ahead once.
#[test]
fn what_is_of_the_future_is_neither_counted_nor_chosen() {
    let mut all = five();
    all.extend(written(1_000, 2, &server(Some(1)), true));
    let choice = chosen(&all, 4, 2);
    assert_eq!(hours(&choice), [0, 1, 2]);
    let folder = Folder::new("app", at(1_000), server(Some(1)).id());
    let misdated: Vec<String> = choice.misdated().map(One::key).collect();
    assert_eq!(misdated, [folder.prefix().trim_end_matches('/')]);
}

/// F05: this machine's clock is behind, so its own backup looks like the oldest.
#[test]
fn the_backup_that_was_just_made_stays_wherever_it_sorts() {
    let one = server(Some(1));
    let mut all = five();
    all.extend(written(-9_000, 5, &one, true));
    for keep in 1..5 {
        let choice = chosen_for(&one, true, &all, (-9_000, -9_000), keep);
        assert!(hours(&choice).is_empty(), "keeping {keep}: {choice:?}");
        assert_eq!(choice.misdated().count(), 5);
    }
    // Half an hour is no future yet, and nothing that is newer by its name goes for it.
    let mut all = objects(0, &one, true);
    all.extend(objects(1, &one, true));
    let choice = chosen_for(&one, true, &all, (0, 0), 1);
    assert!(hours(&choice).is_empty(), "{choice:?}");
}

/// F05: another clock was behind, so the newest backup but ours has the oldest name.
#[test]
fn what_the_store_got_later_than_the_new_backup_stays() {
    let one = server(Some(1));
    let mut all = five();
    all.extend(written(-9_000, 6, &one, true));
    let choice = chosen(&all, 4, 1);
    assert_eq!(hours(&choice), [0, 1, 2, 3]);
}

/// F05: by the manifest too.
#[test]
fn what_a_manifest_says_to_be_newer_or_anothers_stays() {
    let manifest = |system: Option<u64>, snapshot: i64, finished: i64| {
        let json = serde_json::json!({
            "format_version": 1,
            "source": {
                "host": "db", "port": 5432, "database": "app",
                "server_version": "15.1", "server_version_num": 150_001, "encoding": "UTF8",
                "locale": { "provider": "libc", "collate": "C", "ctype": "C" },
                "extensions": [], "size_bytes": 1,
                "system_identifier": system.map(|it| it.to_string())
            },
            "snapshot_at": at(snapshot), "started_at": at(0), "finished_at": at(finished),
            "tools": { "backuper": "0", "pg_dump": "15.1", "zstd": "1" },
            "streams": []
        });
        serde_json::from_value::<Manifest>(json).unwrap()
    };
    let made = manifest(Some(1), 10, 11);
    for (expired, stays) in [
        (manifest(Some(1), 1, 2), false),
        (manifest(None, 1, 2), false),
        (manifest(Some(2), 1, 2), true),
        (manifest(Some(1), 12, 2), true),
        (manifest(Some(1), 1, 12), true),
    ] {
        assert_eq!(
            reason_to_keep(&expired, &made).is_some(),
            stays,
            "{expired:?}"
        );
    }
}

#[test]
fn a_listing_without_the_new_backup_is_not_trusted() {
    let one = server(Some(1));
    let request = Request {
        source: &one,
        owns_older: true,
        newest: &Folder::new("app", at(7), one.id()),
        rules: &rules(1),
        objects: false,
        now: at(7),
        store_now: at(7),
    };
    let choice = choose(&Listing::of("app", five()), request, &BTreeSet::new());
    assert_eq!(choice, None);
}

/// F06: whatever the servers are called.
#[test]
fn u03_another_servers_backups_are_never_chosen() {
    let other = server(Some(2));
    let mut all = objects(0, &other, true);
    all.extend(objects(1, &other, false));
    all.extend(objects(90, &server(Some(1)), true));
    let choice = chosen(&all, 90, 1);
    assert!(hours(&choice).is_empty() && choice.abandoned.is_empty());
}

/// F06: folders of before the identifier count by their name, while no other server has it.
#[test]
fn older_folders_are_chosen_only_where_they_are_surely_ours() {
    let (one, before) = (server(Some(1)), server(None));
    let mut all = objects(0, &before, true);
    all.extend(objects(1, &before, false));
    all.extend(objects(90, &one, true));
    let choice = chosen_for(&one, true, &all, (90, 90), 1);
    assert_eq!(hours(&choice), [0]);
    assert_eq!(abandoned(&choice), [1]);
    let choice = chosen_for(&one, false, &all, (90, 90), 1);
    assert!(hours(&choice).is_empty() && choice.abandoned.is_empty());
}

#[test]
fn u04_published_and_foreign_objects_are_never_chosen() {
    let mut all = objects(90, &server(Some(1)), true);
    for key in ["app/2020-01-01-00-00-00-backup.sql", "app/readme.txt"] {
        all.push(Object {
            key: key.to_owned(),
            size: 1,
            modified: at(-1000),
            etag: None,
        });
    }
    let choice = chosen(&all, 90, 1);
    assert!(hours(&choice).is_empty() && choice.abandoned.is_empty());
}

#[test]
fn a_folder_is_abandoned_after_a_day_and_no_sooner() {
    let one = server(Some(1));
    let mut all = objects(0, &one, false);
    all.extend(objects(80, &one, false));
    all.extend(objects(100, &one, true));
    let choice = chosen(&all, 100, 0);
    assert_eq!(abandoned(&choice), [0]);
    assert!(hours(&choice).is_empty());
}

/// F49.
#[test]
fn a_run_of_more_than_a_day_is_not_abandoned_while_it_writes() {
    let one = server(Some(1));
    let mut all = written(0, 99, &one, false);
    all.extend(objects(100, &one, true));
    assert!(chosen(&all, 100, 0).abandoned.is_empty());
    // Nor for a clock here that runs ahead: the store's own counts.
    let mut all = written(0, 5, &one, false);
    all.extend(written(9_000, 6, &one, true));
    assert!(chosen(&all, 9_000, 0).abandoned.is_empty());
}
