//! Backups, restores and checks, for people.

use comfy_table::ContentArrangement;
use jiff::Timestamp;

use super::drills::verified;
use super::{ago, none, pairs, shown, size, started, table};
use crate::api::client::moment;
use crate::api::proto::v1;
use crate::api::proto::v1::check::Outcome;

/// Backups, the newest first, each with the count by which a restore may name it.
pub(in crate::cli) fn backups(all: &[v1::Backup]) -> String {
    if all.is_empty() {
        return "there are no backups\n".to_owned();
    }
    let mut table = table([
        "BACKUP", "TAKEN", "SIZE", "TABLES", "OF", "SERVER", "VERIFIED", "STATUS",
    ]);
    let now = Timestamp::now();
    for it in all {
        table.add_row([
            shown(&it.key),
            taken(it).map_or_else(none, |it| ago(it, now)),
            size(it.stored_bytes),
            some(&if it.tables == 0 {
                String::new()
            } else {
                it.tables.to_string()
            }),
            some(&it.source),
            some(&it.server_version),
            verified(it.verification.as_ref(), now),
            status(it),
        ]);
    }
    format!("{table}\n")
}

/// All of one backup.
pub(in crate::cli) fn backup(it: &v1::GetBackupResponse) -> String {
    let backup = it.backup.clone().unwrap_or_default();
    let now = Timestamp::now();
    let at = |time: Option<Timestamp>| {
        time.map_or_else(none, |it| format!("{it:.0} ({})", ago(it, now)))
    };
    let stored = backup.verify_time.as_ref().and_then(moment);
    let drills = verified(backup.verification.as_ref(), now);
    let head = pairs([
        ("Backup", shown(&backup.key)),
        ("Of", some(&backup.source)),
        ("Schedule", some(&backup.schedule)),
        ("Taken", at(taken(&backup))),
        ("Verified", at(stored)),
        ("Came back", drills),
        ("In the store", size(backup.stored_bytes)),
        ("Dumped", size(backup.dumped_bytes)),
        ("Server", some(&backup.server_version)),
        ("Made by", some(&backup.made_by)),
        ("Status", status(&backup)),
    ]);
    let mut objects = table(["OBJECT", "SIZE"]);
    for object in &it.objects {
        objects.add_row([shown(&object.key), size(object.bytes)]);
    }
    format!("{head}\n{objects}\n")
}

/// A restore that was begun, or that would be.
pub(in crate::cli) fn restored(it: &v1::RestoreBackupResponse) -> String {
    let database = shown(&it.database);
    let backup = found(it.backup.as_ref());
    match &it.run {
        Some(run) => format!(
            "{}into {database}{backup}\n",
            started(run).replace('\n', " ")
        ),
        None if it.backup.is_none() => format!("nothing is restored into {database}\n"),
        None => format!("nothing is restored; into {database} would come back{backup}\n"),
    }
}

/// The backup that a restore means, where that was found out.
pub(super) fn found(backup: Option<&v1::FoundBackup>) -> String {
    backup.map_or_else(String::new, |it| {
        let taken = it.taken_time.as_ref().and_then(moment);
        let taken = taken.map_or_else(none, |it| format!("{it:.0}"));
        format!(": {} of {taken}, {}", shown(&it.key), size(it.stored_bytes))
    })
}

/// What is wrong first, and in a sentence at the end how much of it there is.
pub(in crate::cli) fn checks(all: &[v1::Check]) -> String {
    let mut table = table(["", "OF", "CHECK", "FOUND"]);
    // On a terminal; what is piped has a line for each.
    if table.width().is_some() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    let mut sorted: Vec<&v1::Check> = all.iter().collect();
    sorted.sort_by_key(|it| rank(it.outcome()));
    let key = |it: &v1::Check| (it.outcome, it.subject.clone(), it.sentence.clone());
    // What one of them keeps from being tried is said once.
    for alike in sorted.chunk_by(|one, other| key(one) == key(other)) {
        let Some(first) = alike.first() else { continue };
        table.add_row([
            word(first.outcome()).to_owned(),
            shown(&first.subject),
            names(alike),
            shown(&first.sentence),
        ]);
    }
    let count = |outcome| all.iter().filter(|it| it.outcome() == outcome).count();
    let summary = match (count(Outcome::Wrong), count(Outcome::Unknown)) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, unknown) => {
            format!("nothing is wrong, as far as could be tried; {unknown} could not be")
        }
        (1, _) => "1 thing is wrong, and a backup or a restore would fail of it".to_owned(),
        (wrong, _) => {
            format!("{wrong} things are wrong, and a backup or a restore would fail of them")
        }
    };
    format!("{table}\n{summary}\n")
}

/// How many names a line has before it only counts.
const NAMED: usize = 3;

fn names(alike: &[&v1::Check]) -> String {
    let mut names: Vec<String> = alike.iter().take(NAMED).map(|it| shown(&it.name)).collect();
    if alike.len() > NAMED {
        names.push(format!("{} more", alike.len() - NAMED));
    }
    names.join(", ")
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Warning => "warning",
        Outcome::Wrong => "WRONG",
        Outcome::Unknown | Outcome::Unspecified => "unknown",
    }
}

fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Wrong => 0,
        Outcome::Warning => 1,
        Outcome::Ok => 2,
        Outcome::Unknown | Outcome::Unspecified => 3,
    }
}

/// A backup that was deleted, or that would be.
pub(in crate::cli) fn deleted(it: &v1::DeleteBackupResponse, validate_only: bool) -> String {
    let what = format!("{} objects, {}", it.objects, size(it.bytes));
    if validate_only {
        format!("nothing is deleted; {what} would be\n")
    } else {
        format!("{what} deleted\n")
    }
}

/// A pin that was set or taken away.
pub(in crate::cli) fn pinned(done: &str, unchanged: bool) -> String {
    let before = if unchanged { " (it was so before)" } else { "" };
    format!("{done}{before}\n")
}

/// What retention would keep and remove.
pub(in crate::cli) fn retained(all: &[v1::RetainedBackup]) -> String {
    let mut table = table(["BACKUP", "BEGUN", "SIZE", "", "WHY"]);
    for it in all {
        let begun = it.start_time.as_ref().and_then(moment);
        let (word, why) = it.why.split_once(": ").unwrap_or(("", &it.why));
        table.add_row([
            shown(&it.key),
            begun.map_or_else(none, |it| format!("{it:.0}")),
            size(it.stored_bytes),
            shown(word),
            shown(why),
        ]);
    }
    let gone = all.iter().filter(|it| it.goes).count();
    format!(
        "{table}\n{gone} of {} would go; nothing was removed\n",
        all.len()
    )
}

fn status(it: &v1::Backup) -> String {
    let status = match (it.problem.is_empty(), it.verify_time.is_some()) {
        (false, _) => format!("NOT WHOLE: {}", shown(&it.problem)),
        (true, true) => "verified".to_owned(),
        (true, false) => "ok".to_owned(),
    };
    let pinned = if it.pinned { ", pinned" } else { "" };
    let part = match it.part.as_str() {
        "" => String::new(),
        part => format!(", A PART: {}", shown(part)),
    };
    format!("{status}{pinned}{part}")
}

fn taken(it: &v1::Backup) -> Option<Timestamp> {
    let taken = it.snapshot_time.as_ref().or(it.start_time.as_ref());
    taken.and_then(moment)
}

fn some(text: &str) -> String {
    if text.is_empty() { none() } else { shown(text) }
}
