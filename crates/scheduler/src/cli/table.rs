//! Answers for people.

use backuper::text::visible;
use comfy_table::{ContentArrangement, Table};
use jiff::{SignedDuration, Timestamp};

use crate::api::client::{moment, span};
use crate::api::proto::v1;

/// Which databases are protected, since when, what failed last.
pub(super) fn schedules(all: &[v1::Schedule]) -> String {
    if all.is_empty() {
        return "there are no schedules that you may see\n".to_owned();
    }
    let mut table = table([
        "NAME",
        "DATABASE",
        "SINCE",
        "LAST BACKUP",
        "SIZE",
        "TOOK",
        "NEXT",
        "STATUS",
    ]);
    let now = Timestamp::now();
    for it in all {
        let protection = it.protection.clone().unwrap_or_default();
        let last = protection.last_success_time.as_ref().and_then(moment);
        table.add_row([
            shown(&it.name),
            shown(&it.database),
            it.create_time
                .as_ref()
                .and_then(moment)
                .map_or_else(none, day),
            last.map_or_else(|| "never".to_owned(), |it| ago(it, now)),
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
pub(super) fn schedule(it: &v1::Schedule) -> String {
    let protection = it.protection.clone().unwrap_or_default();
    let now = Timestamp::now();
    let at = |it: &Option<prost_types::Timestamp>| {
        let time = it.as_ref().and_then(moment);
        time.map_or_else(none, |it| format!("{it:.0} ({})", ago(it, now)))
    };
    let next = it.next_run_time.as_ref().and_then(moment);
    let count = match it.max_backup_count {
        0 => "all".to_owned(),
        count => format!("the newest {count}"),
    };
    pairs([
        ("Name", shown(&it.name)),
        ("Database", shown(&it.database)),
        ("User", shown(&it.user)),
        ("Store", shown(&it.store)),
        ("Schedule", format!("{} (UTC)", shown(&it.cron))),
        ("Keeps", count),
        (
            "Told",
            if it.core_addr.is_empty() {
                none()
            } else {
                shown(&it.core_addr)
            },
        ),
        ("Made", at(&it.create_time)),
        (
            "Next run",
            next.map_or_else(none, |it| format!("{it:.0} ({})", until(it, now))),
        ),
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

/// Runs, the newest first.
pub(super) fn runs(all: &[v1::Run]) -> String {
    if all.is_empty() {
        return "there are no such runs that you may see\n".to_owned();
    }
    let mut table = table([
        "NAME",
        "KIND",
        "DATABASE",
        "STATE",
        "ASKED FOR",
        "TOOK",
        "MESSAGE",
    ]);
    let now = Timestamp::now();
    for it in all {
        table.add_row([
            shown(&it.name),
            kind(it.kind()).to_owned(),
            shown(&it.database),
            state(it.state()).to_owned(),
            it.create_time
                .as_ref()
                .and_then(moment)
                .map_or_else(none, |it| ago(it, now)),
            took(it, now),
            said(it),
        ]);
    }
    format!("{table}\n")
}

/// All of one run.
pub(super) fn run(it: &v1::Run) -> String {
    let now = Timestamp::now();
    let at = |it: &Option<prost_types::Timestamp>| {
        let time = it.as_ref().and_then(moment);
        time.map_or_else(none, |it| format!("{it:.0} ({})", ago(it, now)))
    };
    pairs([
        ("Name", shown(&it.name)),
        ("Kind", kind(it.kind()).to_owned()),
        ("Database", shown(&it.database)),
        (
            "Schedule",
            if it.schedule.is_empty() {
                none()
            } else {
                shown(&it.schedule)
            },
        ),
        ("State", state(it.state()).to_owned()),
        ("Asked for", at(&it.create_time)),
        ("Began", at(&it.start_time)),
        ("Ended", at(&it.end_time)),
        ("Took", took(it, now)),
        ("Message", said(it)),
    ])
}

/// A run that was begun.
pub(super) fn started(it: &v1::StartedRun) -> String {
    let name = shown(&it.name);
    match it.by() {
        v1::started_run::By::Earlier => format!("{name} is under way already\n"),
        v1::started_run::By::EarlierEnded => {
            format!("{name} was begun by the same request before, and has ended\n")
        }
        v1::started_run::By::ThisCall | v1::started_run::By::Unspecified => {
            format!("{name} started\n")
        }
    }
}

/// Backups, the newest first, each with the count by which a restore may name it.
pub(super) fn backups(all: &[v1::Backup]) -> String {
    if all.is_empty() {
        return "there are no backups\n".to_owned();
    }
    let mut table = table([
        "BACKUP", "TAKEN", "SIZE", "TABLES", "OF", "SERVER", "STATUS",
    ]);
    let now = Timestamp::now();
    for it in all {
        let taken = it.snapshot_time.as_ref().or(it.start_time.as_ref());
        table.add_row([
            shown(&it.key),
            taken.and_then(moment).map_or_else(none, |it| ago(it, now)),
            size(it.stored_bytes),
            if it.tables == 0 {
                none()
            } else {
                it.tables.to_string()
            },
            if it.source.is_empty() {
                none()
            } else {
                shown(&it.source)
            },
            if it.server_version.is_empty() {
                none()
            } else {
                shown(&it.server_version)
            },
            match (it.problem.is_empty(), it.verify_time.is_some()) {
                (false, _) => format!("NOT WHOLE: {}", shown(&it.problem)),
                (true, true) => "verified".to_owned(),
                (true, false) => "ok".to_owned(),
            },
        ]);
    }
    format!("{table}\n")
}

/// A restore that was begun, or that would be.
pub(super) fn restored(it: &v1::RestoreBackupResponse) -> String {
    let database = shown(&it.database);
    let backup = it.backup.as_ref().map_or_else(String::new, |it| {
        let taken = it.taken_time.as_ref().and_then(moment);
        let taken = taken.map_or_else(none, |it| format!("{it:.0}"));
        format!(": {} of {taken}, {}", shown(&it.key), size(it.stored_bytes))
    });
    match &it.run {
        Some(run) => format!(
            "{}into {database}{backup}\n",
            started(run).replace('\n', " ")
        ),
        None if it.backup.is_none() => format!("nothing is restored into {database}\n"),
        None => format!("nothing is restored; into {database} would come back{backup}\n"),
    }
}

/// How far a run is, in a line.
pub(super) fn progress(it: &v1::Run) -> String {
    let name = shown(&it.name);
    let state = state(it.state());
    if let Some(progress) = &it.progress {
        let left = progress.time_left.as_ref();
        let left = left.map_or_else(String::new, |it| {
            format!(", about {} left", short(span(it)))
        });
        return format!(
            "{name} {state}: {} at {}/s, {} of {} tables{left}\n",
            size(progress.bytes),
            size(progress.bytes_per_second),
            progress.tables_done,
            progress.tables,
        );
    }
    match said(it).as_str() {
        "-" => format!("{name} {state}\n"),
        said => format!("{name} {state}: {said}\n"),
    }
}

/// The word for a state.
pub(super) fn state(state: v1::run::State) -> &'static str {
    match state {
        v1::run::State::Unspecified => "unknown",
        v1::run::State::Waiting => "waiting",
        v1::run::State::Running => "running",
        v1::run::State::Succeeded => "succeeded",
        v1::run::State::Failed => "failed",
        v1::run::State::Cancelled => "cancelled",
        v1::run::State::Expired => "expired",
    }
}

fn kind(kind: v1::run::Kind) -> &'static str {
    match kind {
        v1::run::Kind::Unspecified => "unknown",
        v1::run::Kind::Backup => "backup",
        v1::run::Kind::Restore => "restore",
    }
}

fn said(run: &v1::Run) -> String {
    let failure = run.failure.as_ref();
    match (run.message.is_empty(), failure) {
        (false, _) => shown(&run.message),
        (true, Some(failure)) => shown(&failure.reason),
        (true, None) => none(),
    }
}

fn took(run: &v1::Run, now: Timestamp) -> String {
    let Some(began) = run.start_time.as_ref().and_then(moment) else {
        return none();
    };
    let ended = run.end_time.as_ref().and_then(moment);
    short(began.duration_until(ended.unwrap_or(now)))
}

/// A text that a caller has written: whatever it has in it, the terminal does nothing but show it.
pub(super) fn shown(text: &str) -> String {
    visible(text)
}

fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn pairs<const N: usize>(all: [(&str, String); N]) -> String {
    let lines = all.map(|(name, value)| format!("{:<16} {value}\n", format!("{name}:")));
    lines.concat()
}

fn none() -> String {
    "-".to_owned()
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

fn ago(time: Timestamp, now: Timestamp) -> String {
    format!(
        "{} ago",
        short(time.duration_until(now).max(SignedDuration::ZERO))
    )
}

fn until(time: Timestamp, now: Timestamp) -> String {
    format!(
        "in {}",
        short(now.duration_until(time).max(SignedDuration::ZERO))
    )
}

/// In its largest unit, as kubectl has ages.
fn short(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    if bytes == 0 {
        return none();
    }
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut rest = bytes;
    while rest >= 10_240 && unit + 1 < units.len() {
        rest /= 1_024;
        unit += 1;
    }
    format!("{rest} {}", units[unit])
}
