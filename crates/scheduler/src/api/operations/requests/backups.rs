//! What is asked about backups, schedules and stores.

use std::num::NonZeroU32;

use backuper::job::{CalendarSettings, RetentionSettings};
use backuper::retention::{AtLeast, Retention};

use super::{Page, forged, size, token};
use crate::api::door::{Door, filled};
use crate::api::proto::v1;
use crate::api::status::Violation;
use crate::domain::name::Wrong;
use crate::domain::options::Options;
use crate::domain::question::{About, Given, Task};

/// Reads a request for backups.
pub(in crate::api) fn backups(
    request: v1::ListBackupsRequest,
) -> Result<(About, Page<String>), Vec<Violation>> {
    let v1::ListBackupsRequest {
        schedule,
        page_size,
        page_token,
        store,
        source,
    } = request;
    let mut wrong = Vec::new();
    let behind = token(&page_token, &mut wrong);
    if behind.is_none() && !page_token.is_empty() {
        forged(&mut wrong);
    }
    let size = size(page_size, &mut wrong);
    let mut door = Door::having(wrong);
    let about = door.about_backups(&schedule, store, &source, false);
    let page = Page { behind, size };
    door.opened(about.map(|it| (it, page)))
}

/// Reads a request for one backup.
pub(in crate::api) fn backup(
    request: v1::GetBackupRequest,
) -> Result<(About, String), Vec<Violation>> {
    let v1::GetBackupRequest {
        schedule,
        store,
        source,
        key,
    } = request;
    let mut door = Door::default();
    let about = door.about_backups(&schedule, store, &source, true);
    let key = door.take("key", filled(&key));
    door.opened(about.zip(key))
}

/// Reads a request to delete one.
pub(in crate::api) fn deletion(
    request: v1::DeleteBackupRequest,
) -> Result<(About, Task), Vec<Violation>> {
    let v1::DeleteBackupRequest {
        schedule,
        store,
        source,
        key,
        allow_last,
        validate_only,
    } = request;
    let mut door = Door::default();
    let about = door.about_backups(&schedule, store, &source, true);
    let key = door.take("key", filled(&key));
    let task = key.map(|key| Task::Delete {
        key,
        last: allow_last,
        validate_only,
    });
    door.opened(about.zip(task))
}

/// Reads a request to pin one, or to take its pin away.
pub(in crate::api) fn pin(
    request: v1::PinBackupRequest,
    is_pinned: bool,
) -> Result<(About, Task), Vec<Violation>> {
    let v1::PinBackupRequest {
        schedule,
        store,
        source,
        key,
    } = request;
    let mut door = Door::default();
    let about = door.about_backups(&schedule, store, &source, true);
    let key = door.take("key", filled(&key));
    let task = key.map(|key| match is_pinned {
        true => Task::Pin { key },
        false => Task::Unpin { key },
    });
    door.opened(about.zip(task))
}

/// Reads a request to say what retention would remove; without rules: by the schedule's own.
pub(in crate::api) fn preview(
    request: v1::PreviewRetentionRequest,
) -> Result<(About, Option<RetentionSettings>), Vec<Violation>> {
    let v1::PreviewRetentionRequest {
        schedule,
        store,
        source,
        rules,
    } = request;
    let mut door = Door::default();
    let about = door.about_backups(&schedule, store, &source, true);
    let rules = match rules {
        None => Some(None),
        Some(rules) => door.rules("rules.", rules).map(Some),
    };
    door.opened(about.zip(rules))
}

/// Reads a request to find out what would fail.
pub(in crate::api) fn diagnosis(request: v1::DiagnoseRequest) -> Result<About, Vec<Violation>> {
    let v1::DiagnoseRequest {
        schedule,
        database,
        store,
    } = request;
    let mut door = Door::default();
    let is_given = database.is_some() || store.is_some();
    let about = match (schedule.as_str(), is_given) {
        ("", false) => {
            let why = "it is empty, and there is neither a database nor a store";
            door.take("schedule", Err(Wrong(why)))
        }
        ("", true) => {
            let database = database.map(|it| door.database("database.", it));
            let store = store.map(|it| door.store_of("store.", it));
            Some(About::Given(Box::new(Given {
                source: None,
                several: false,
                // What was wrong is kept by the door.
                database: database.flatten(),
                store: store.flatten(),
                options: Options::default(),
            })))
        }
        (name, false) => door
            .take("schedule", name.parse())
            .map(|name| About::schedule(name, None)),
        (_, true) => {
            let why = "there is a database or a store beside it";
            door.take("schedule", Err(Wrong(why)))
        }
    };
    door.opened(about)
}

impl Door {
    /// Rules of retention.
    fn rules(&mut self, path: &str, rules: v1::RetentionRules) -> Option<RetentionSettings> {
        let v1::RetentionRules {
            max_backup_count,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            days,
            at_least,
            time_zone,
            objects,
        } = rules;
        let zone = self.take(&format!("{path}time_zone"), time_zone.parse());
        Some(RetentionSettings {
            last: Retention(max_backup_count),
            calendar: CalendarSettings {
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                days,
                at_least: NonZeroU32::new(at_least).map(AtLeast).unwrap_or_default(),
                zone: zone?,
            },
            objects,
        })
    }

    /// A schedule, or a store and whose backups in it; `whose` is whether that must be said.
    fn about_backups(
        &mut self,
        schedule: &str,
        store: Option<v1::Store>,
        source: &str,
        whose: bool,
    ) -> Option<About> {
        let Some(store) = store else {
            let of = self.one_of(source);
            let schedule = self.take("schedule", schedule.parse());
            return Some(About::schedule(schedule?, of?));
        };
        if !schedule.is_empty() {
            return self.take("store", Err(Wrong("there is a schedule beside it")));
        }
        let source = if source.is_empty() && !whose {
            Some(None)
        } else {
            self.source(source).map(Some)
        };
        let store = self.store_of("store.", store)?;
        Some(About::Given(Box::new(Given {
            source: source?,
            several: false,
            database: None,
            store: Some(store),
            options: Options::default(),
        })))
    }
}
