//! What a schedule has of its own, for people.

use super::shown;
use crate::api::proto::v1;

/// What stands where it has nothing of its own.
const ALL: &str = "as set for all";

/// What it keeps beside the newest ones.
pub(super) fn retention(it: &v1::Schedule) -> String {
    let Some(rules) = &it.retention else {
        return ALL.to_owned();
    };
    let counts = [
        ("hourly", rules.hourly),
        ("daily", rules.daily),
        ("weekly", rules.weekly),
        ("monthly", rules.monthly),
        ("yearly", rules.yearly),
    ];
    let mut words: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    words.extend((rules.days > 0).then(|| format!("all of {} days", rules.days)));
    words.extend((rules.at_least > 1).then(|| format!("{} in any case", rules.at_least)));
    if words.is_empty() {
        words.push("nothing".to_owned());
    }
    if !matches!(rules.time_zone.as_str(), "" | "UTC") {
        words.push(shown(&rules.time_zone));
    }
    words.extend(rules.objects.then(|| "single objects too".to_owned()));
    words.join(", ")
}

/// What its backups are made of.
pub(super) fn format(it: &v1::Schedule) -> String {
    let format = it.format.clone().unwrap_or_default();
    let mut words = vec![shown(&format.kind)];
    let flags = [(format.sql_owners, "owners"), (format.sql_clean, "clean")];
    words.extend(
        flags
            .into_iter()
            .filter_map(|(is, word)| is.map(|is| format!("{}{word}", if is { "" } else { "no " }))),
    );
    let level = format.compression_level;
    words.extend((level > 0).then(|| format!("level {level}")));
    words.retain(|it| !it.is_empty());
    or_as_all(&words)
}

/// Under which keys its dumps lie.
pub(super) fn keys(it: &v1::Schedule) -> String {
    let format = it.format.clone().unwrap_or_default();
    let mut words = vec![shown(&format.key_template)];
    let cluster = shown(&format.cluster_name);
    words.extend((!cluster.is_empty()).then(|| format!("of the cluster {cluster}")));
    words.retain(|it| !it.is_empty());
    or_as_all(&words)
}

/// Which keys open them beside the administrator's.
pub(super) fn encryption(it: &v1::Schedule) -> String {
    let encryption = it.encryption.clone().unwrap_or_default();
    let mut words: Vec<String> = encryption.recipients.iter().map(|it| shown(it)).collect();
    words.extend(
        encryption
            .manifest
            .then(|| "names in the manifest too".to_owned()),
    );
    if words.is_empty() {
        return ALL.to_owned();
    }
    format!("{ALL}, and {}", words.join(", "))
}

/// Which part of the database they have.
pub(super) fn filters(it: &v1::Schedule) -> String {
    let filters = it.filters.clone().unwrap_or_default();
    let lists = [
        ("only schemas", &filters.include_schemas),
        ("no schemas", &filters.exclude_schemas),
        ("only tables", &filters.include_tables),
        ("no tables", &filters.exclude_tables),
        ("no rows of", &filters.exclude_table_data),
    ];
    let set = lists.into_iter().filter(|(_, it)| !it.is_empty());
    let words: Vec<String> = set
        .map(|(word, it)| format!("{word} {}", shown(&it.join(", "))))
        .collect();
    if words.is_empty() {
        return "all".to_owned();
    }
    words.join("; ")
}

/// What of the server is a part of them.
pub(super) fn globals(it: &v1::Schedule) -> String {
    let globals = it.globals.clone().unwrap_or_default();
    let mut words = Vec::new();
    words.extend(
        globals
            .enabled
            .map(|is| if is { "yes" } else { "no" }.to_owned()),
    );
    let passwords = shown(&globals.passwords);
    words.extend((!passwords.is_empty()).then(|| format!("passwords: {passwords}")));
    or_as_all(&words)
}

/// How many data streams run side by side.
pub(super) fn jobs(it: &v1::Schedule) -> String {
    let words: Vec<String> = (it.jobs > 0)
        .then(|| it.jobs.to_string())
        .into_iter()
        .collect();
    or_as_all(&words)
}

fn or_as_all(words: &[String]) -> String {
    if words.is_empty() {
        ALL.to_owned()
    } else {
        words.join(", ")
    }
}
