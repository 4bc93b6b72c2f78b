//! What pg_dump 13 to 18 has written (tests/archives, made by make.sh there) as our readers and
//! pg_restore understand it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use restorer::archive::blocks;
use restorer::archive::toc::{Entry, Toc};

use super::cluster::kept_by;
use super::testbed::programs::{Prepared, repository};

/// The archives, by name.
fn archives() -> Vec<PathBuf> {
    let folder = repository().join("tests/archives");
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|it| it.unwrap().path());
    let mut found: Vec<PathBuf> = paths
        .filter(|it| it.extension().is_some_and(|it| it == "dump"))
        .collect();
    found.sort();
    for major in [13, 15, 16, 17, 18] {
        let begin = format!("{major}-");
        let of = |it: &&PathBuf| {
            it.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&begin)
        };
        assert_eq!(found.iter().filter(of).count(), 2, "archives of {major}");
    }
    found
}

/// The newest pg_restore, which reads all formats.
fn pg_restore(how: &[&str]) -> Prepared {
    let kept = kept_by("postgres-versions.sh");
    Prepared::new(kept.join("18/usr/lib/postgresql/18/bin/pg_restore")).args(how.iter().copied())
}

/// As `pg_restore --list --verbose` prints an entry.
fn listed(entry: &Entry) -> String {
    let line = |it: &str| it.replace(['\n', '\r'], " ");
    let Entry {
        id, catalog, oid, ..
    } = entry;
    let mut text = format!(
        "{id}; {catalog} {oid} {} {} {} {}\n",
        entry.kind,
        entry
            .namespace
            .as_deref()
            .filter(|it| !it.is_empty())
            .map_or_else(|| "-".to_owned(), line),
        line(&entry.tag),
        line(&entry.owner),
    );
    if !entry.needs.is_empty() {
        let needs: Vec<String> = entry.needs.iter().map(i64::to_string).collect();
        text += &format!(";\tdepends on: {}\n", needs.join(" "));
    }
    text
}

#[test]
fn every_entry_of_every_archive_is_read_as_pg_restore_lists_it() {
    for path in archives() {
        let bytes = std::fs::read(&path).unwrap();
        let toc = Toc::read(&bytes).unwrap();
        let list = pg_restore(&["--list", "--verbose"]).arg(&path);
        let list = list.succeed().stdout;
        let (head, entries) = list.split_once("; Selected TOC Entries:\n;\n").unwrap();
        let ours: String = toc.entries.iter().map(listed).collect();
        assert_eq!(ours, entries, "{}", path.display());
        for (name, value) in [
            ("dbname", &toc.database),
            ("Dumped from database version", &toc.server_version),
            ("Dumped by pg_dump version", &toc.dump_version),
        ] {
            let line = format!(";     {name}: {value}\n");
            assert!(head.contains(&line), "{}: {line}{head}", path.display());
        }
    }
}

/// The SQL that pg_restore makes, without the key that each run of it invents.
fn sql(pg_restore: Prepared) -> Vec<String> {
    let sql = pg_restore.succeed().stdout;
    let lines = sql.lines();
    lines
        .filter(|it| !it.starts_with("\\restrict ") && !it.starts_with("\\unrestrict "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_archive_with_joined_rows_restores_to_the_same_sql() {
    let how = ["--create", "--file=-"];
    for path in archives() {
        let whole = sql(pg_restore(&how).arg(&path));
        assert!(whole.len() > 200, "{}", path.display());
        // By a pipe, as the restorer does: its table of contents says where rows were before.
        let (reader, writer) = std::io::pipe().unwrap();
        let archive = File::open(&path).unwrap();
        let copy = std::thread::spawn(move || blocks::copy(archive, writer).unwrap());
        let joined = pg_restore(&how).stdin(OwnedFd::from(reader).into());
        assert_eq!(sql(joined), whole, "{}", path.display());
        copy.join().unwrap();
    }
}

#[test]
fn an_archive_that_is_cut_in_its_table_of_contents_is_never_taken_for_a_shorter_one() {
    for path in archives() {
        let bytes = std::fs::read(&path).unwrap();
        let whole = Toc::read(&bytes).unwrap();
        for length in (0..bytes.len()).step_by(13) {
            match Toc::read(&bytes[..length]) {
                Ok(toc) => assert_eq!(toc, whole, "{} at {length}", path.display()),
                Err(error) => assert_eq!(
                    error,
                    restorer::archive::toc::Error::CutShort,
                    "{} at {length}",
                    path.display()
                ),
            }
        }
    }
}
