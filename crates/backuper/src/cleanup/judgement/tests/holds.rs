//! Pins, single objects, restores that are under way, clocks, and what cannot be restored.

use super::*;
use crate::retention::Calendar;
use crate::storage::memory::MemoryStorage;

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
        let listing = catalog::list(&storage, "app", &crate::archive::Layout::default())
            .await
            .unwrap();
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
