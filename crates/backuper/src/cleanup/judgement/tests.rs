//! What retention chooses of which listing.

use jiff::Span;

use super::*;
use crate::archive::SystemIdentifier;
use crate::archive::key::MANIFEST;
use crate::retention::{Calendar, Retention};
use crate::storage::Object;
use crate::storage::memory::MemoryStorage;

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

fn by_days(days: u32) -> Rules {
    Rules {
        calendar: Calendar {
            days,
            ..Calendar::default()
        },
        ..Rules::default()
    }
}

fn beside(key: &str, stored: i64) -> Object {
    Object {
        key: key.to_owned(),
        size: 1,
        modified: at(stored),
        etag: None,
    }
}

/// Of the hours 0 to 4 with more objects, judged after the last of them.
fn of_five(more: Vec<Object>, rules: &Rules, objects: bool) -> Choice {
    let one = server(Some(1));
    let mut all = five();
    all.extend(more);
    let request = Request {
        source: &one,
        owns_older: true,
        newest: &Folder::new("app", at(4), one.id()),
        rules,
        objects,
        now: at(4),
        store_now: at(4),
    };
    choose(&Listing::of("app", all), request, &BTreeSet::new()).unwrap()
}

#[test]
fn what_is_pinned_stays_and_is_counted() {
    let folder = Folder::new("app", at(1), server(Some(1)).id());
    let pin = beside(&folder.key(crate::archive::key::PINNED), 3);
    let choice = of_five(vec![pin], &rules(2), false);
    assert_eq!(hours(&choice), [0, 2]);
    let said: Vec<String> = choice
        .judged
        .iter()
        .map(|it| it.decision.to_string())
        .collect();
    assert_eq!(said[3], "kept: pinned");
}

#[test]
fn a_restore_of_any_backup_of_the_source_pauses_all_and_an_old_mark_nothing() {
    let folder = Folder::new("app", at(3), server(Some(1)).id());
    let mark = folder.key(&crate::archive::key::restoring("1f"));
    let choice = of_five(vec![beside(&mark, 4)], &rules(1), false);
    assert_eq!(
        (hours(&choice), choice.pause()),
        (vec![], Some(Pause::Restoring))
    );
    // Half an hour later nobody writes it any more, and what is of the future nobody has written.
    for stored in [3, 9] {
        let choice = of_five(vec![beside(&mark, stored)], &rules(1), false);
        assert_eq!((hours(&choice), choice.pause()), (vec![0, 1, 2, 3], None));
    }
    let elsewhere = Folder::new("app", at(3), server(Some(2)).id());
    let mark = beside(&elsewhere.key(&crate::archive::key::restoring("1f")), 4);
    assert_eq!(of_five(vec![mark], &rules(1), false).pause(), None);
}

#[test]
fn age_pauses_where_what_was_tried_since_has_failed() {
    let failed = |stored| {
        let folder = Folder::new("app", at(5), server(Some(1)).id());
        vec![beside(&folder.key("schema.dump"), stored)]
    };
    let mut calendar = by_days(0);
    calendar.calendar.hourly = 1;
    assert_eq!(hours(&of_five(vec![], &calendar, false)), [0, 1, 2]);
    let choice = of_five(failed(3), &calendar, false);
    assert_eq!(
        (hours(&choice), choice.pause()),
        (vec![], Some(Pause::Failing))
    );
    // It is under way, or a count is all that is asked.
    assert_eq!(hours(&of_five(failed(4), &calendar, false)), [0, 1, 2]);
    assert_eq!(hours(&of_five(failed(3), &rules(1), false)), [0, 1, 2, 3]);
}

#[test]
fn single_objects_are_judged_where_that_is_said_and_nowhere_else() {
    let key = |hour: i64| {
        at(hour)
            .strftime("app/%Y-%m-%d-%H-%M-%S-backup.sql")
            .to_string()
    };
    let objects = || {
        vec![
            beside(&key(-30), -30),
            beside(&key(-20), -20),
            beside(&key(-10), 9),
        ]
    };
    assert_eq!(hours(&of_five(objects(), &rules(3), false)), [0, 1]);
    // The store got the last of them later than the new backup.
    assert_eq!(
        hours(&of_five(objects(), &rules(3), true)),
        [-30, -20, 0, 1]
    );
    let mut pinned = objects();
    pinned.push(beside(&format!("{}.pinned", key(-30)), 1));
    assert_eq!(hours(&of_five(pinned, &rules(3), true)), [-20, 0, 1]);
    let mut restored = objects();
    restored.push(beside(&format!("{}.restoring.1f", key(-30)), 4));
    assert_eq!(
        of_five(restored, &rules(3), true).pause(),
        Some(Pause::Restoring)
    );
}

/// Ages are measured by the clock that is behind all others.
#[test]
fn a_clock_that_is_ahead_makes_nothing_old() {
    let json = |started: i64, snapshot: i64| {
        serde_json::from_value::<Manifest>(serde_json::json!({
            "format_version": 1,
            "source": {
                "host": "db", "port": 5432, "database": "app",
                "server_version": "15.1", "server_version_num": 150_001, "encoding": "UTF8",
                "locale": { "provider": "libc", "collate": "C", "ctype": "C" },
                "extensions": [], "size_bytes": 1
            },
            "snapshot_at": at(snapshot), "started_at": at(started), "finished_at": at(started),
            "tools": { "backuper": "0", "pg_dump": "15.1", "zstd": "1" },
            "streams": []
        }))
        .unwrap()
    };
    for (here, made, store, behind) in [
        (10, json(9, 9), 10, 10),
        // This machine's is ahead of the server's, or of the store's.
        (8_770, json(8_769, 9), 8_770, 10),
        (8_770, json(8_769, 8_769), 10, 10),
        // The server's is, or the store's.
        (10, json(9, 8_769), 10, 10),
        (10, json(9, 9), 8_770, 10),
    ] {
        assert_eq!(behind_all(at(here), &made, at(store)), at(behind));
    }
}

#[tokio::test]
async fn a_backup_of_which_a_stream_is_missing_stands_for_no_other() {
    use crate::catalog::whole::tests::{put, server};

    let (storage, source) = (MemoryStorage::default(), server("db"));
    let mut made = Vec::new();
    // The store's clock is the machine's.
    let past = -400_000;
    for hour in 0..3 {
        made.push(put(&storage, &source, at(past + hour)).await);
    }
    let judged = async |rules: &Rules| {
        let listing = catalog::list(&storage, "app").await.unwrap();
        let now = listing.complete[0].modified();
        let request = Request {
            source: &source,
            owns_older: true,
            newest: &made[2].folder,
            rules,
            objects: false,
            now,
            store_now: now,
        };
        let choice = judge(&storage, &listing, request).await.unwrap();
        let hours = hours(&choice.unwrap());
        hours.into_iter().map(|it| it - past).collect::<Vec<_>>()
    };
    let two = Rules {
        at_least: "2".parse().unwrap(),
        ..rules(1)
    };
    assert_eq!(judged(&rules(2)).await, [0]);
    assert_eq!(judged(&two).await, [0]);
    storage.delete(&[made[1].folder.key("schema.dump")]).await;
    assert_eq!(judged(&rules(2)).await, [] as [i64; 0]);
    assert_eq!(judged(&two).await, [1]);
    assert_eq!(judged(&rules(1)).await, [0, 1]);
}
