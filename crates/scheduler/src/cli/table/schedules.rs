//! Schedules, for people.

use std::collections::HashMap;

use jiff::Timestamp;

use super::drills::{drills, verified};
use super::options;
use super::{ago, day, none, pairs, short, shown, size, table, until};
use crate::api::client::{moment, span};
use crate::api::proto::v1;

/// Which databases are protected, since when, what failed last.
pub(in crate::cli) fn schedules(all: &[v1::Schedule]) -> String {
    if all.is_empty() {
        return "there are no schedules that you may see\n".to_owned();
    }
    let mut table = table([
        "NAME",
        "DATABASE",
        "SINCE",
        "LAST BACKUP",
        "VERIFIED",
        "SIZE",
        "TOOK",
        "NEXT",
        "STATUS",
    ]);
    let now = Timestamp::now();
    for it in all {
        let protection = it.protection.clone().unwrap_or_default();
        // What was made and never came to a backup protects nothing.
        let since = it.create_time.as_ref().and_then(moment);
        let since = since.filter(|_| protection.last_success_time.is_some());
        let last = protection.last_success_time.as_ref().and_then(moment);
        table.add_row([
            shown(&it.name),
            shown(&it.database),
            since.map_or_else(none, day),
            last.map_or_else(|| "never".to_owned(), |it| ago(it, now)),
            verified(it.verification.as_ref(), now),
            size(protection.last_stored_bytes),
            protection
                .last_duration
                .as_ref()
                .map_or_else(none, |it| short(span(it))),
            it.next_run_time
                .as_ref()
                .and_then(moment)
                .map_or_else(none, |it| until(it, now)),
            status(it, &protection),
        ]);
    }
    format!("{table}\n")
}

fn status(schedule: &v1::Schedule, protection: &v1::Protection) -> String {
    let outcome = match protection.last_outcome() {
        v1::protection::Outcome::Unspecified => "no run yet".to_owned(),
        v1::protection::Outcome::Succeeded => "ok".to_owned(),
        v1::protection::Outcome::Failed => {
            format!("FAILED: {}", shown(&protection.last_failure))
        }
    };
    if schedule.suspended {
        format!("suspended; {outcome}")
    } else {
        outcome
    }
}

/// All of one schedule.
pub(in crate::cli) fn schedule(it: &v1::Schedule) -> String {
    let protection = it.protection.clone().unwrap_or_default();
    let now = Timestamp::now();
    let at = |it: &Option<prost_types::Timestamp>| {
        let time = it.as_ref().and_then(moment);
        time.map_or_else(none, |it| format!("{it:.0} ({})", ago(it, now)))
    };
    let due = |it: &Option<prost_types::Timestamp>| {
        let time = it.as_ref().and_then(moment);
        time.map_or_else(none, |it| format!("{it:.0} ({})", until(it, now)))
    };
    let count = match it.max_backup_count {
        0 => "all".to_owned(),
        count => format!("the newest {count}"),
    };
    pairs([
        ("Name", shown(&it.name)),
        ("Database", shown(&it.database)),
        ("User", shown(&it.user)),
        ("Store", shown(&it.store)),
        (
            "Schedule",
            format!("{} ({})", shown(&it.cron), zone(&it.time_zone)),
        ),
        ("Keeps", count),
        ("  beside them", options::retention(it)),
        ("Format", options::format(it)),
        ("  keys", options::keys(it)),
        ("Encrypted to", options::encryption(it)),
        ("Of the database", options::filters(it)),
        ("Globals", options::globals(it)),
        ("Streams", options::jobs(it)),
        ("Restore drills", drills(it)),
        (
            "Told",
            if it.core_addr.is_empty() {
                none()
            } else {
                shown(&it.core_addr)
            },
        ),
        ("Labels", labels(&it.labels)),
        ("Secrets", secrets(it)),
        ("Declared", declared(it)),
        ("Made", at(&it.create_time)),
        ("Next run", due(&it.next_run_time)),
        ("Next drill", due(&it.next_verify_time)),
        ("Status", status(it, &protection)),
        ("Last backup", at(&protection.last_success_time)),
        ("  in the store", size(protection.last_stored_bytes)),
        (
            "  took",
            protection
                .last_duration
                .as_ref()
                .map_or_else(none, |it| short(span(it))),
        ),
        ("Verified", verified(it.verification.as_ref(), now)),
        ("Last failure", at(&protection.last_failure_time)),
        (
            "  because",
            if protection.last_failure.is_empty() {
                none()
            } else {
                shown(&protection.last_failure)
            },
        ),
    ])
}

/// The Secrets that it names; none where it has credentials of its own.
fn secrets(it: &v1::Schedule) -> String {
    let password = it.password_secret.as_ref().map(|it| &it.name);
    let keys = it.keys_secret.as_ref().map(|it| &it.name);
    let server = it.verify.as_ref().and_then(|it| it.server.as_ref());
    let of_drills = server.and_then(|it| it.password_secret.as_ref());
    let named: Vec<String> = password
        .into_iter()
        .chain(keys)
        .chain(of_drills.map(|it| &it.name))
        .map(|it| shown(it))
        .collect();
    if named.is_empty() {
        none()
    } else {
        named.join(", ")
    }
}

fn declared(it: &v1::Schedule) -> String {
    if it.declared {
        "in SCHEDULES_FILE".to_owned()
    } else {
        none()
    }
}

fn zone(name: &str) -> String {
    match name {
        "" | "Etc/UTC" => "UTC".to_owned(),
        name => shown(name),
    }
}

fn labels(all: &HashMap<String, String>) -> String {
    let mut all: Vec<String> = all
        .iter()
        .map(|(name, it)| format!("{name}={it}"))
        .collect();
    all.sort();
    if all.is_empty() {
        none()
    } else {
        shown(&all.join(", "))
    }
}

/// A schedule that was put, or that would be.
pub(in crate::cli) fn put(it: &v1::PutScheduleResponse, validate_only: bool) -> String {
    use v1::put_schedule_response::Put;
    let schedule = it.schedule.clone().unwrap_or_default();
    let done = match it.put() {
        Put::Created => "created".to_owned(),
        Put::Changed => format!("changed: {}", it.changed.join(", ")),
        Put::Unchanged | Put::Unspecified => "unchanged".to_owned(),
    };
    let next = schedule.next_run_time.as_ref().and_then(moment);
    let next = next.map_or_else(
        || "it is suspended".to_owned(),
        |it| format!("the next run is at {it:.0}"),
    );
    let would = if validate_only { "would be " } else { "" };
    let findings = it.findings.iter().map(|it| format!("  {}\n", shown(it)));
    format!(
        "{} {would}{done}; {next}\n{}",
        shown(&schedule.name),
        findings.collect::<String>()
    )
}
