//! manifest.json: what stands beside it, and where it came from. The JSON Schema is
//! docs/manifest.schema.json.

mod encryption;
mod globals;
mod part;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Folder;
use super::identity::{Identity, SystemIdentifier};

pub use encryption::{Encryption, Error as Hidden, Method};
pub use globals::Globals;
pub use part::Part;

/// The newest version that this program knows. A manifest of a newer one is refused.
pub const FORMAT_VERSION: u32 = 4;

/// The version of a backup in folders of archives, which the first release reads.
pub const ARCHIVES: u32 = 1;

/// The version of a dump in plain SQL, which nothing reads that knows only [`ARCHIVES`].
pub const SCRIPT: u32 = 2;

/// The version of an encrypted backup, which nothing reads that knows only [`SCRIPT`].
pub const ENCRYPTED: u32 = 3;

/// The version of a part of a database, which nothing takes for the whole that knows only [`ENCRYPTED`].
pub const PARTIAL: u32 = 4;

/// The largest manifest that is read, in bytes: room for a million table names.
pub const SIZE_LIMIT: usize = 256 << 20;

/// What a complete backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The smallest that its reader has to know; see [`FORMAT_VERSION`].
    pub format_version: u32,
    /// What was backed up.
    pub source: Source,
    /// The moment whose data the backup holds, UTC.
    pub snapshot_at: Timestamp,
    /// When the run began, UTC.
    pub started_at: Timestamp,
    /// When the last stream was verified, UTC.
    pub finished_at: Timestamp,
    /// What made it.
    pub tools: Tools,
    /// How the streams are encrypted; none: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Which part of the database it has; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The objects beside the manifest, the schema first.
    pub streams: Vec<Stream>,
    /// The server's roles and tablespaces, where they are a part of the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub globals: Option<Globals>,
}

/// The database that was backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Host name or IP address, as it was given.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// What initdb gave the server's data; none in older backups, and where the server does not
    /// tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<SystemIdentifier>,
    /// `server_version`, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    /// `server_version_num`, such as 150018.
    pub server_version_num: u32,
    /// The database's encoding, such as `UTF8`.
    pub encoding: String,
    /// How the database collates.
    pub locale: Locale,
    /// What was installed, sorted by name.
    pub extensions: Vec<Extension>,
    /// `pg_database_size`, bytes.
    pub size_bytes: u64,
    /// The roles among the owners in the database that were superusers, sorted; older backups do not
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superusers: Option<Vec<String>>,
}

impl Source {
    /// Which database of which server it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            system: self.system_identifier,
        }
    }

    /// The server's major version: 15 of 15.18.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.server_version_num / 10_000
    }
}

/// A database's locale, as `CREATE DATABASE` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The ICU or builtin locale, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// ICU rules of the database, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
}

/// An installed extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The version that was installed.
    pub version: String,
}

/// The programs that made a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// This program's version.
    pub backuper: String,
    /// `pg_dump --version`, the number alone.
    pub pg_dump: String,
    /// libzstd's version.
    pub zstd: String,
}

/// One object beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The object's name in the folder.
    pub name: String,
    /// The whole key in the bucket when the backup was made. The name counts where the folder
    /// was copied elsewhere.
    pub key: String,
    /// What is in it.
    pub content: Content,
    /// What is around pg_dump's archive; the encryption is around that.
    pub compression: Compression,
    /// Bytes that pg_dump wrote.
    pub raw_bytes: u64,
    /// Bytes in the bucket.
    pub stored_bytes: u64,
    /// SHA-256 of the bytes in the bucket, 64 lower-case hex digits.
    pub sha256: String,
    /// The tables whose rows it carries, as `schema.table`, quoted where SQL would.
    #[serde(default)]
    pub tables: Vec<String>,
    /// How many rows each of them has, in the same order, counted while they passed; none of one whose
    /// rows did not pass. Empty in older backups, and in plain SQL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Option<u64>>,
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// The sections pre-data and post-data.
    Schema,
    /// The rows of the named tables.
    Tables,
    /// The section data without the tables of the other streams: the named tables, sequences,
    /// large objects.
    Rest,
    /// All of the database, in plain SQL: the only stream of its backup.
    Script,
    /// What the server has beside its databases, in plain SQL: no stream, but [`Manifest::globals`].
    Globals,
}

/// What is around what pg_dump has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Nothing.
    None,
    /// One zstd stream with a content checksum.
    Zstd,
    /// One gzip stream.
    Gzip,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("the manifest is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// A newer program wrote it.
    #[error(
        "the manifest has format version {0}, newer than this program knows ({FORMAT_VERSION}); use a newer version of it"
    )]
    Newer(u32),
    /// It contradicts itself.
    #[error("the manifest is damaged: {0}")]
    Inconsistent(&'static str),
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is damaged or newer than this program.
    pub fn read(json: &[u8]) -> Result<Self, Error> {
        // The version first: a newer shape may not fit ours, and that is not damage.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let Version { format_version } = serde_json::from_slice(json)?;
        if format_version > FORMAT_VERSION {
            return Err(Error::Newer(format_version));
        }
        let manifest: Self = serde_json::from_slice(json)?;
        if manifest.schema().is_none() && manifest.script().is_none() {
            return Err(Error::Inconsistent("it names no schema stream"));
        }
        if manifest.objects().any(|it| it.name.contains('/')) {
            return Err(Error::Inconsistent("a stream's name has a slash in it"));
        }
        if manifest
            .streams
            .iter()
            .any(|it| it.content == Content::Globals)
        {
            return Err(Error::Inconsistent("the roles are among its streams"));
        }
        Ok(manifest)
    }

    /// The bytes to store.
    ///
    /// # Errors
    /// Never in practice: the shape has no map with keys other than text.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Every object of the backup but the manifest.
    pub fn objects(&self) -> impl Iterator<Item = &Stream> + Clone {
        let globals = self.globals.as_ref().map(|it| &it.object);
        self.streams.iter().chain(globals)
    }

    /// The stream with the sections pre-data and post-data.
    #[must_use]
    pub fn schema(&self) -> Option<&Stream> {
        self.streams.iter().find(|it| it.content == Content::Schema)
    }

    /// The manifest of a dump in plain SQL that lies under this key, wherever it was made.
    ///
    /// # Errors
    /// When it is of a backup of the other format.
    pub fn of_dump(mut self, key: &str) -> Result<Self, Error> {
        match self.streams.as_mut_slice() {
            [only] if only.content == Content::Script => {
                key.rsplit('/')
                    .next()
                    .unwrap_or(key)
                    .clone_into(&mut only.name);
                Ok(self)
            }
            _ => Err(Error::Inconsistent(
                "it stands beside a dump and is of no dump",
            )),
        }
    }

    /// The place of the dump in plain SQL under this key, as far as the key itself does not say when it was
    /// started.
    #[must_use]
    pub fn place_of_dump(&self, key: &str, started: Option<Timestamp>) -> Folder {
        let source = self.source.identity();
        let started = started.unwrap_or(self.started_at);
        Folder::of_dump(&source.database, started, source.id(), key)
    }

    /// The dump in plain SQL, where the backup is one.
    #[must_use]
    pub fn script(&self) -> Option<&Stream> {
        match self.streams.as_slice() {
            [only] if only.content == Content::Script => Some(only),
            _ => None,
        }
    }

    /// The streams with rows, in the order of their numbers.
    pub fn data(&self) -> impl Iterator<Item = &Stream> {
        self.streams
            .iter()
            .filter(|it| it.content != Content::Schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::encryption::Recipients;

    const JSON: &str = r#"{
        "format_version": 1,
        "source": {"host": "db", "port": 5432, "database": "app", "server_version": "17.1",
            "server_version_num": 170001, "encoding": "UTF8", "size_bytes": 1,
            "locale": {"provider": "libc", "collate": "C", "ctype": "C"},
            "extensions": [{"name": "hstore", "version": "1.8"}], "superusers": ["root"]},
        "snapshot_at": "2026-11-20T21:05:27Z", "started_at": "2026-11-20T21:05:27Z",
        "finished_at": "2026-11-20T21:05:27Z",
        "tools": {"backuper": "0.1.0", "pg_dump": "17.1", "zstd": "1.5.7"},
        "streams": [{"name": "schema.dump", "key": "app/x/schema.dump", "content": "schema",
            "compression": "none", "raw_bytes": 1, "stored_bytes": 1, "sha256": "0", "tables": ["t"]}]
    }"#;

    #[test]
    fn a_manifest_of_a_version_that_is_not_known_is_refused_with_a_sentence() {
        let newer = JSON.replace("\"format_version\": 1", "\"format_version\": 5");
        let error = Manifest::read(newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("use a newer version"), "{error}");
    }

    #[test]
    fn a_part_is_of_a_version_that_nobody_takes_for_a_whole_and_hides_its_names() {
        use crate::archive::encryption::Identities;

        let mut manifest = Manifest::read(JSON.as_bytes()).unwrap();
        manifest.format_version = PARTIAL;
        manifest.part = Some(Part {
            include_schemas: vec!["secret".to_owned()],
            without_rows: vec!["secret.t".to_owned()],
            ..Part::default()
        });
        let key = age::x25519::Identity::generate();
        let recipients: Recipients = key.to_public().to_string().parse().unwrap();
        let identities = Identities::read(&key.to_string()).unwrap();
        manifest.encryption = Some(Encryption::to(&recipients));
        let hidden = manifest.clone().hide(&recipients).unwrap();
        let written = String::from_utf8(hidden.write().unwrap()).unwrap();
        assert!(!written.contains("secret"), "{written}");
        assert_eq!(hidden.part, Some(Part::default()));
        assert_eq!(hidden.reveal(&identities).unwrap(), manifest);
    }

    #[test]
    fn a_manifest_that_is_not_encrypted_says_nothing_of_it() {
        let manifest = Manifest::read(JSON.as_bytes()).unwrap();
        let written = String::from_utf8(manifest.write().unwrap()).unwrap();
        assert!(!written.contains("encryption"), "{written}");
    }

    #[test]
    fn what_is_hidden_comes_back_with_the_key_and_belongs_to_its_own_streams() {
        use crate::archive::encryption::Identities;

        let key = age::x25519::Identity::generate();
        let recipients: Recipients = key.to_public().to_string().parse().unwrap();
        let identities = Identities::read(&key.to_string()).unwrap();
        let mut manifest = Manifest::read(JSON.as_bytes()).unwrap();
        manifest.encryption = Some(Encryption::to(&recipients));
        let hidden = manifest.clone().hide(&recipients).unwrap();
        assert!(hidden.is_hidden());
        assert!(hidden.streams[0].tables.is_empty() && hidden.source.extensions.is_empty());
        assert_eq!(hidden.clone().reveal(&identities).unwrap(), manifest);
        let mut other = hidden;
        other.streams[0].sha256 = "1".to_owned();
        assert!(matches!(other.reveal(&identities), Err(Hidden::Foreign)));
    }
}
