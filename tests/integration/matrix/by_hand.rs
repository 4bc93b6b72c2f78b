//! A copy of one backup, as a person makes it who has the store and stock tools, and what becomes of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Sealing;
use super::place::Place;
use crate::readme::by_hand::run;
use crate::readme::command;
use crate::testbed::folder;
use crate::testbed::postgres::{Database, shared};

/// The manifest of a backup and all that it names, in a folder.
pub(super) fn copied(place: &Place, key: &str, format: &str) -> PathBuf {
    let copy = folder("copy");
    let manifest = match format {
        "archive" => format!("{key}/manifest.json"),
        _ => format!("{key}.manifest.json"),
    };
    let json = place.fetch(&manifest);
    let manifest: Value = serde_json::from_slice(&json).unwrap();
    std::fs::write(copy.join("manifest.json"), json).unwrap();
    for stream in manifest["streams"].as_array().unwrap() {
        let bytes = place.fetch(stream["key"].as_str().unwrap());
        assert_eq!(stream["stored_bytes"], bytes.len() as u64, "{stream}");
        let name = stream["name"].as_str().unwrap();
        // What the pages call it.
        let name = match name.split_once(".sql.gz") {
            Some((_, ending)) => format!("dump.sql.gz{ending}"),
            None => name.to_owned(),
        };
        std::fs::write(copy.join(name), bytes).unwrap();
    }
    copy
}

/// The files of a copy in which a word stands as it is, sorted.
pub(super) fn readable(copy: &Path, word: &str) -> Vec<String> {
    let files = std::fs::read_dir(copy).unwrap().map(|it| it.unwrap());
    let has = |bytes: Vec<u8>| bytes.windows(word.len()).any(|it| it == word.as_bytes());
    let found = files.filter(|it| has(std::fs::read(it.path()).unwrap()));
    let names = found.map(|it| it.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|it| !it.starts_with("data-")).collect();
    names.sort();
    names
}

/// Those of them that anybody may read.
pub(super) fn expected(format: &str, sealing: Sealing) -> Vec<&'static str> {
    match (sealing, format) {
        (Sealing::ManifestToo, _) => vec![],
        (Sealing::Nothing, "archive") => vec!["manifest.json", "schema.dump"],
        (Sealing::Nothing | Sealing::Streams, _) => vec!["manifest.json"],
    }
}

/// Restores a copy into an empty database by the commands of the pages.
pub(super) fn restore(copy: &Path, target: &Database<'_>, (format, sealed): (&str, bool)) {
    let lines = match (format, sealed) {
        ("archive", false) => command("docs/restoring.md", "zstd -d"),
        ("archive", true) => [
            command("docs/encryption.md", "for stream in"),
            command("docs/restoring.md", "zstd -d"),
        ]
        .join("\n"),
        (_, false) => command("docs/formats.md", "gunzip -t"),
        (_, true) => command("docs/encryption.md", "age -d -i backup.key dump.sql.gz.age"),
    };
    let lines = lines.replace("-d mydb", &format!("-d '{}'", target.name()));
    run(shared(), copy, &lines);
}
