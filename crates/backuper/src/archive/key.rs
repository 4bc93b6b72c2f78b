//! The names of folders and objects in the bucket.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::identity::SourceId;

/// The object that makes a folder a backup.
pub const MANIFEST: &str = "manifest.json";
/// The object that a long run writes again and again, so that nobody takes it for a dead one.
pub const RUNNING: &str = "running";
/// The object with the sections pre-data and post-data.
pub const SCHEMA: &str = "schema.dump";
/// The object with the server's roles and tablespaces.
pub const GLOBALS: &str = "globals.sql.zst";

/// The name of the object that says that somebody has pinned the backup; behind the key of a single
/// object and a dot for one of those. A listing alone shows it.
pub const PINNED: &str = "pinned";

/// What the name of an object begins with by which a restore says that it reads the backup.
const RESTORING: &str = "restoring.";

/// What the name of the object begins with that says which schedule's backup this is.
const SCHEDULE: &str = "schedule.";

/// What the name of the object begins with that says which part of its database a backup has.
const PART: &str = "part.";

/// The name of the object that says that this backup is no whole one, and which others have the same part.
#[must_use]
pub fn part(digest: &str) -> String {
    format!("{PART}{digest}")
}

/// The part that an object's name or key says.
#[must_use]
pub fn part_of(key: &str) -> Option<&str> {
    let (_, object) = key.rsplit_once('/').unwrap_or(("", key));
    object.strip_prefix(PART)
}

/// The name of the object that says which schedule's backup this is, where a database has several in
/// one bucket: its name alone says it, so that a listing is enough to count.
#[must_use]
pub fn schedule(name: &str) -> String {
    format!("{SCHEDULE}{name}")
}

/// The schedule that an object's name or key says.
#[must_use]
pub fn schedule_of(key: &str) -> Option<&str> {
    let (_, object) = key.rsplit_once('/').unwrap_or(("", key));
    object.strip_prefix(SCHEDULE)
}

/// What an object says of a backup beside it, and is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Somebody has pinned it.
    Pinned,
    /// Somebody restores it, or did when the mark was written.
    Restoring,
}

impl Mark {
    /// The mark that an object of a folder is, by its name in it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            PINNED => Some(Self::Pinned),
            _ if name.starts_with(RESTORING) => Some(Self::Restoring),
            _ => None,
        }
    }

    /// The key of a single object beside which this one is, and the mark that it is.
    #[must_use]
    pub fn beside(key: &str) -> Option<(&str, Self)> {
        let (object, name) = split_dump(key);
        Some((object, Self::of(name?)?))
    }
}

/// The name of the object by which one restore says that it is there.
#[must_use]
pub fn restoring(restore: &str) -> String {
    format!("{RESTORING}{restore}")
}

/// The name of the data stream with this number.
#[must_use]
pub fn data(number: usize) -> String {
    format!("data-{number:03}.dump.zst")
}

/// The key does not have the form of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of one of our backups")]
pub struct NotOurs;

/// Where one backup lies: a database's name, the second in which it was started, its source. A dump in
/// plain SQL has no folder but a key of its own, and what is beside it has that key, a dot and a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folder {
    database: String,
    started: DateTime,
    source: SourceId,
    /// The key of a dump in plain SQL.
    dump: Option<String>,
}

impl Folder {
    /// The folder of a backup that starts at this time, which is cut to the second.
    #[must_use]
    pub fn new(database: &str, started: Timestamp, source: SourceId) -> Self {
        let at = started.to_zoned(TimeZone::UTC).datetime();
        Self {
            database: database.to_owned(),
            started: at.with().subsec_nanosecond(0).build().unwrap_or(at),
            source,
            dump: None,
        }
    }

    /// The place of a dump in plain SQL under this key.
    #[must_use]
    pub fn of_dump(database: &str, started: Timestamp, source: SourceId, key: &str) -> Self {
        Self {
            dump: Some(key.to_owned()),
            ..Self::new(database, started, source)
        }
    }

    /// Whether it is that of a dump in plain SQL.
    #[must_use]
    pub fn is_of_dump(&self) -> bool {
        self.dump.is_some()
    }

    /// The database's name, as PostgreSQL knows it.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The source that was backed up.
    #[must_use]
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// When the backup was started, UTC, to the second.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        TimeZone::UTC
            .to_timestamp(self.started)
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The folder's own name, without the database's; that of a dump in plain SQL without its folders.
    #[must_use]
    pub fn name(&self) -> String {
        if let Some(key) = &self.dump {
            return key.rsplit('/').next().unwrap_or(key).to_owned();
        }
        format!(
            "{}-backup-{}",
            self.started.strftime("%Y-%m-%d-%H-%M-%S"),
            self.source
        )
    }

    /// The prefix of everything in the folder, with its slash; or the key of a dump in plain SQL, with
    /// which other objects' keys may begin too: [`Folder::object_of`] tells them.
    #[must_use]
    pub fn prefix(&self) -> String {
        if let Some(key) = &self.dump {
            return key.clone();
        }
        format!("{}/{}/", encode(&self.database), self.name())
    }

    /// The key of an object of the backup.
    #[must_use]
    pub fn key(&self, object: &str) -> String {
        match &self.dump {
            Some(key) if *object == self.name() => key.clone(),
            Some(key) => format!("{key}.{object}"),
            None => format!("{}{object}", self.prefix()),
        }
    }

    /// The name of the object of the backup that has this key; none: it is none of its objects.
    #[must_use]
    pub fn object_of(&self, key: &str) -> Option<String> {
        let Some(dump) = &self.dump else {
            return key.strip_prefix(&self.prefix()).map(str::to_owned);
        };
        let (of, object) = split_dump(key);
        (of == dump).then(|| object.map_or_else(|| self.name(), str::to_owned))
    }

    /// Reads a folder's own name, as [`Folder::name`] wrote it.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(database: &str, name: &str) -> Result<Self, NotOurs> {
        let (time, source) = name.split_once("-backup-").ok_or(NotOurs)?;
        Ok(Self {
            database: database.to_owned(),
            started: time_of(time)?,
            source: source.parse()?,
            dump: None,
        })
    }

    /// Reads a whole key into its folder and the object's name in it.
    ///
    /// # Errors
    /// When the key is not of this form.
    pub fn parse_key(key: &str) -> Result<(Self, &str), NotOurs> {
        let mut parts = key.splitn(3, '/');
        let (Some(database), Some(folder), Some(object)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(NotOurs);
        };
        let database = decode(database)?;
        Ok((Self::parse(&database, folder)?, object))
    }
}

/// The key of a dump in plain SQL that an object is or stands beside, and the name of what stands there.
#[must_use]
pub fn split_dump(key: &str) -> (&str, Option<&str>) {
    // What follows has neither a dot nor a slash; a schedule may have any of the other names.
    for name in [SCHEDULE, RESTORING, PART] {
        let Some(at) = key.rfind(&format!(".{name}")) else {
            continue;
        };
        let (dump, beside) = key.split_at(at);
        if !beside[name.len() + 1..].contains(['.', '/']) {
            return (dump, beside.get(1..));
        }
    }
    for name in [MANIFEST, RUNNING, PINNED] {
        if let Some(dump) = key.strip_suffix(name).and_then(|it| it.strip_suffix('.')) {
            return (dump, key.get(dump.len() + 1..));
        }
    }
    (key, None)
}

/// Whether a key could be taken for that of an object of another backup, or of one beside it.
#[must_use]
pub fn is_of_something_else(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    let is_beside = [MANIFEST, RUNNING].contains(&name)
        || name.starts_with(SCHEDULE)
        || name.starts_with(PART)
        || Mark::of(name).is_some();
    is_beside || split_dump(key).1.is_some()
}

/// A single object that another program has written: the published adapter
/// (`DBNAME/2006-01-02-15-04-05-backup.sql`), or dbtether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The whole key.
    pub key: String,
    /// The time in its name, taken as UTC.
    pub started: Timestamp,
    /// Who has written it.
    pub by: Writer,
}

/// A program that writes single objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The published adapter.
    Adapter,
    /// dbtether, or a program that names its dumps in the same way.
    Dbtether,
}

impl Writer {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "the published adapter",
            Self::Dbtether => "dbtether, by its name",
        }
    }
}

impl Published {
    /// Reads a key below the raw name of a database.
    ///
    /// # Errors
    /// When the key is not of this form.
    pub fn parse_key(database: &str, key: &str) -> Result<Self, NotOurs> {
        let time = key
            .strip_prefix(database)
            .and_then(|it| it.strip_prefix('/'))
            .and_then(|it| it.strip_suffix("-backup.sql"))
            .ok_or(NotOurs)?;
        let started = TimeZone::UTC
            .to_timestamp(time_of(time)?)
            .map_err(|_out_of_range| NotOurs)?;
        Ok(Self {
            key: key.to_owned(),
            started,
            by: Writer::Adapter,
        })
    }
}

fn time_of(text: &str) -> Result<DateTime, NotOurs> {
    // strptime takes single digits too, and such a name would not be ours.
    if text.len() != "2006-01-02-15-04-05".len() {
        return Err(NotOurs);
    }
    DateTime::strptime("%Y-%m-%d-%H-%M-%S", text).map_err(|_other_form| NotOurs)
}

/// Everything but `A-Z a-z 0-9 _ . -`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-');

/// A database's name as one path segment: bytes other than `A-Z a-z 0-9 _ . -` become `%XX`, so
/// plain names stay as they are; the dots of `.` and `..` are encoded too, since a path treats them apart, and that of
/// `.uploads`, where a directory has what is not whole yet.
#[must_use]
pub fn encode(name: &str) -> String {
    match name {
        "." | ".." | ".uploads" => name.replace('.', "%2E"),
        _ => utf8_percent_encode(name, SEGMENT).to_string(),
    }
}

/// The inverse of [`encode`]. Only what `encode` writes is accepted, so that no two keys name one
/// database.
///
/// # Errors
/// When `encode` would not have written it.
pub fn decode(segment: &str) -> Result<String, NotOurs> {
    let name = percent_decode_str(segment).decode_utf8();
    let name = name.map_err(|_not_utf8| NotOurs)?.into_owned();
    if encode(&name) == segment && !name.is_empty() {
        Ok(name)
    } else {
        Err(NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        for name in ["app", "My_App-2.0", "orders"] {
            assert_eq!(encode(name), name);
        }
    }

    #[test]
    fn a_name_that_is_not_plain_is_one_segment() {
        assert_eq!(encode("a/b c"), "a%2Fb%20c");
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(encode(".uploads"), "%2Euploads");
        assert_eq!(encode("größe"), "gr%C3%B6%C3%9Fe");
    }

    #[test]
    fn the_longest_name_fits_a_file_name() {
        assert!(encode(&"%".repeat(63)).len() <= 255);
    }

    #[test]
    fn a_mark_says_what_it_is_beside() {
        assert_eq!(Mark::of(PINNED), Some(Mark::Pinned));
        assert_eq!(Mark::of(&restoring("1f")), Some(Mark::Restoring));
        for name in [MANIFEST, RUNNING, SCHEMA, "schedule.pinned", "pinned.old"] {
            assert_eq!(Mark::of(name), None, "{name}");
        }
        let key = "app/2026-11-20-21-05-27-backup.sql";
        let (pinned, restored) = (
            format!("{key}.{PINNED}"),
            format!("{key}.{}", restoring("1f")),
        );
        assert_eq!(Mark::beside(&pinned), Some((key, Mark::Pinned)));
        assert_eq!(Mark::beside(&restored), Some((key, Mark::Restoring)));
        // A schedule may be called as a mark is.
        let scheduled = format!("{key}.{}", schedule(PINNED));
        for other in [key, "app/pinned", "app/unpinned", "", &scheduled] {
            assert_eq!(Mark::beside(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_beside_a_dump_has_its_key_and_nothing_else_does() {
        let key = "prod/app/20260120-143022.sql.gz";
        let source = SourceId::of_name("db", 5432, "app");
        let dump = Folder::of_dump("app", Timestamp::UNIX_EPOCH, source, key);
        assert_eq!(
            (dump.name().as_str(), dump.prefix().as_str()),
            ("20260120-143022.sql.gz", key)
        );
        assert_eq!(dump.key(&dump.name()), key);
        for object in [
            MANIFEST,
            RUNNING,
            PINNED,
            &restoring("1f"),
            &schedule("nightly"),
            &schedule("pinned"),
            &schedule("running"),
        ] {
            let beside = dump.key(object);
            assert_eq!(beside, format!("{key}.{object}"));
            assert_eq!(dump.object_of(&beside).as_deref(), Some(object));
        }
        assert_eq!(dump.object_of(key), Some(dump.name()));
        for other in [
            "prod/app/20260120-143022.sql.gz.old",
            "prod/app/20260120-143022.sql.gz.schedule.a.b",
            "prod/app/20260120-143022.sql.gz.schedule.a/b",
            "prod/app/20260120-143022.sql.gzmanifest.json",
            "prod/app/20260120-143022.sql",
            "",
        ] {
            assert_eq!(dump.object_of(other), None, "{other}");
        }
    }

    #[test]
    fn segments_that_encode_would_not_write_are_not_ours() {
        for segment in ["a b", "%61", "%2f", "%", "%G0", "", "."] {
            assert_eq!(decode(segment), Err(NotOurs), "{segment}");
        }
    }

    #[test]
    fn u04_foreign_and_malformed_keys_are_not_ours() {
        for key in [
            "app/notes.txt",
            "app/2026-11-20-21-05-27-backup-1F3A9C0E/manifest.json",
            "app/2026-11-20-21-05-27-backup-1f3a9c0/manifest.json",
            "app/2026-13-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-1-20-21-05-27-backup-1f3a9c0e/manifest.json",
            "app/2026-11-20-21-05-27-backup.sql",
            "2026-11-20-21-05-27-backup-1f3a9c0e/manifest.json",
        ] {
            assert_eq!(Folder::parse_key(key), Err(NotOurs), "{key}");
        }
    }

    proptest! {
        #[test]
        fn encoding_is_reversible(name in "\\PC{1,63}") {
            prop_assert_eq!(decode(&encode(&name)), Ok(name));
        }

        #[test]
        fn a_folder_reads_back(name in "\\PC{1,63}", second in 0i64..4_000_000_000, port: u16) {
            let at = Timestamp::from_second(second).unwrap();
            let folder = Folder::new(&name, at, SourceId::of_name("host", port, &name));
            let key = folder.key(MANIFEST);
            prop_assert_eq!(Folder::parse_key(&key), Ok((folder.clone(), MANIFEST)));
            prop_assert_eq!(folder.started(), at);
        }
    }
}
