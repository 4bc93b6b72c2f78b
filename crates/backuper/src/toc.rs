//! The table of contents of a pg_dump archive in the custom format.
//!
//! pg_dump writes it before the data, so the head of an archive is enough. The layout is that of
//! `ReadHead` and `ReadToc` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, format
//! versions 1.12 (PostgreSQL 9) to 1.16 (PostgreSQL 17 and 18).

mod changed;
mod copied;
mod encoding;
mod entry;
mod layout;
mod reader;

pub use changed::{Change, Changed, Copy};
pub use copied::Copied;
pub use layout::{Layout, number};
use reader::Reader;

/// What every archive in the custom format begins with.
pub const MAGIC: &[u8] = b"PGDMP";

/// What an archive says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toc {
    /// The database that was dumped.
    pub database: String,
    /// The server's version, such as `15.18 (Debian …)`.
    pub server_version: String,
    /// pg_dump's version.
    pub dump_version: String,
    /// Its entries in the order in which they are restored, without the mark.
    pub entries: Vec<Entry>,
    /// Whether the mark of an unfinished restore stood in the database that was dumped.
    pub unfinished: bool,
    /// Those of the archives beside it, as far as they speak of more than rows.
    pub streams: Vec<Self>,
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the archive, which `pg_restore --use-list` takes.
    pub id: i64,
    /// The catalog that its object lives in, an oid; 0 where it has none.
    pub catalog: u32,
    /// The object's oid where it was dumped.
    pub oid: u32,
    /// Its name.
    pub tag: String,
    /// What it is: `TABLE`, `FK CONSTRAINT`, `TABLE DATA`, …
    pub kind: String,
    /// Its section.
    pub section: Section,
    /// The SQL that makes it; may be empty.
    pub definition: String,
    /// The SQL that drops it; may be empty.
    pub drop: String,
    /// Its schema, where it is in one.
    pub namespace: Option<String>,
    /// The tablespace that it is to lie in; none: the database's own.
    pub tablespace: Option<String>,
    /// Its owner.
    pub owner: String,
    /// The numbers of the entries that it needs.
    pub needs: Vec<i64>,
}

impl Entry {
    /// The oids that a `BLOB METADATA` entry lists, a line each.
    #[must_use]
    pub fn large_objects(&self) -> Vec<&str> {
        let digits = |it: &&str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        self.definition
            .split_whitespace()
            .map(|it| it.trim_end_matches([';', '\0']))
            .filter(digits)
            .collect()
    }
}

/// When an entry is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// Comments and privileges; with what they belong to.
    #[default]
    None,
    /// Before the rows.
    PreData,
    /// The rows.
    Data,
    /// After the rows.
    PostData,
}

/// Why there is no table of contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another kind of file.
    #[error("it is not a pg_dump archive in the custom format")]
    NotAnArchive,
    /// A format that is not known.
    #[error(
        "it has the archive format {0}.{1}, and 1.12 to 1.16 are known; use a newer version of this program"
    )]
    Version(u8, u8),
    /// The bytes end within it. More of them may help.
    #[error("it ends within its table of contents")]
    CutShort,
    /// Names in an encoding that is not known.
    #[error(
        "its names are in an encoding that is not known here; dump it again with --encoding=UTF8, or restore it with pg_restore"
    )]
    Encoding,
    /// It cannot be.
    #[error("its table of contents is damaged: {0}")]
    Damaged(&'static str),
}

impl Toc {
    /// Reads the head of an archive.
    ///
    /// # Errors
    /// [`Error::CutShort`] when more bytes are needed.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::begin(bytes)?;
        let (mut toc, count) = reader.beginning()?;
        for _ in 0..count {
            toc.entries.push(reader.entry()?);
        }
        let all = toc.entries.len();
        toc.entries.retain(|it| !it.is_of_the_mark());
        toc.unfinished = toc.entries.len() < all;
        Ok(toc)
    }

    /// Says that a backup is of a database that was not complete. The backuper refuses these now.
    pub fn warn_if_unfinished(&self, key: &str) {
        if self.unfinished {
            tracing::warn!(
                %key,
                "this backup was made of a database that was not complete: a restore was under way there, or had been cut short; compare what it brings back with an older backup"
            );
        }
    }

    /// Only what large objects and their privileges are.
    #[must_use]
    pub fn large_objects(mut self) -> Self {
        self.entries.retain(|it| {
            it.kind.starts_with("BLOB") || (it.kind == "ACL" && it.tag.starts_with("LARGE OBJECT"))
        });
        self
    }

    /// This one, and those of the streams beside it.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.streams)
    }

    /// What can be dropped, in the order in which it goes. The database itself is none of it.
    pub fn dropped(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter().rev();
        entries.filter(|it| !it.drop.trim().is_empty() && !it.kind.starts_with("DATABASE"))
    }

    /// Its tables and foreign tables, as schemas and names.
    #[must_use]
    pub fn tables(&self) -> (Vec<String>, Vec<String>) {
        self.named(|kind| kind == "TABLE" || kind == "FOREIGN TABLE")
    }

    /// Whatever a restore in place drops by its name alone, as what it is by then: schemas and names.
    #[must_use]
    pub fn dropped_by_name(&self) -> (Vec<String>, Vec<String>) {
        const KINDS: [&str; 9] = [
            "TABLE",
            "VIEW",
            "MATERIALIZED VIEW",
            "SEQUENCE",
            "FOREIGN TABLE",
            "TYPE",
            "DOMAIN",
            "SHELL TYPE",
            "INDEX",
        ];
        self.named(|kind| KINDS.contains(&kind))
    }

    /// The schemas and names of its indexes.
    #[must_use]
    pub fn indexes(&self) -> (Vec<String>, Vec<String>) {
        self.named(|kind| kind == "INDEX")
    }

    /// The schemas and names of its extended statistics.
    #[must_use]
    pub fn statistics(&self) -> (Vec<String>, Vec<String>) {
        self.named(|kind| kind == "STATISTICS")
    }

    fn named(&self, wanted: impl Fn(&str) -> bool) -> (Vec<String>, Vec<String>) {
        let named = self.entries.iter().filter(|it| wanted(&it.kind));
        named
            .map(|it| (it.namespace.clone().unwrap_or_default(), it.tag.clone()))
            .unzip()
    }

    /// Whether it makes the handler of a language, or another of its functions, so that neither can
    /// be replaced without the other.
    #[must_use]
    pub fn makes_functions_of(&self, language: &Entry) -> bool {
        let needed = |it: &Entry| it.kind == "FUNCTION" && language.needs.contains(&it.id);
        language.kind == "PROCEDURAL LANGUAGE" && self.entries.iter().any(needed)
    }

    /// The major of the pg_dump that wrote it: 15 of `15.18 (Debian …)`.
    #[must_use]
    pub fn dump_major(&self) -> Option<u32> {
        major(&self.dump_version)
    }

    /// The major of the server that it was dumped from.
    #[must_use]
    pub fn server_major(&self) -> Option<u32> {
        major(&self.server_version)
    }
}

fn major(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_file_is_no_archive() {
        assert_eq!(Toc::read(b"CREATE TABLE"), Err(Error::NotAnArchive));
        assert_eq!(Toc::read(b"PGD"), Err(Error::CutShort));
        assert_eq!(Toc::read(b"PGDMP\x01\x11\x00"), Err(Error::Version(1, 17)));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_nothing_worse(version in 12u8..17, garbage: Vec<u8>) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend([1, version, 0, 4, 8, 1]);
            bytes.extend(garbage);
            drop(Toc::read(&bytes));
        }
    }
}
