//! Answers for people.

mod backups;
mod drills;
mod options;
mod schedules;

use backuper::text::visible;
use comfy_table::{ContentArrangement, Table};
use jiff::{SignedDuration, Timestamp};

use crate::api::client::{moment, span};
use crate::api::proto::v1;
pub(super) use backups::{backup, backups, checks, deleted, pinned, restored, retained};
pub(super) use drills::proving;
pub(super) use schedules::{put, schedule, schedules};

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
            kind(it).to_owned(),
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
        ("Kind", kind(it).to_owned()),
        ("Database", shown(&it.database)),
        (
            "Schedule",
            match drills::schedule(it) {
                "" => none(),
                name => shown(name),
            },
        ),
        ("State", state(it.state()).to_owned()),
        ("Asked for", at(&it.create_time)),
        ("Began", at(&it.start_time)),
        ("Ended", at(&it.end_time)),
        ("Took", took(it, now)),
        ("Message", said(it)),
        ("Has proved", drills::proved(it)),
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

fn kind(run: &v1::Run) -> &'static str {
    match run.kind() {
        _ if run.drill.is_some() => "drill",
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
