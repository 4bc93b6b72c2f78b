//! Which database of which server a backup is of.
//!
//! A server's name says little: two servers may both be called `db`, and one may be called `localhost`
//! and `127.0.0.1`. So a source is known by the identifier that initdb gave the server's data, where
//! the server tells it, and by its name where not. Backups of before count by the name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::NotOurs;

/// What initdb gives a server's data, and its standbys share. Written as a decimal number.
/// PostgreSQL manual, 9.27.10: `pg_control_system`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SystemIdentifier(u64);

/// A text that is no [`SystemIdentifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server's system identifier is a decimal number of 64 bits")]
pub struct NoSystemIdentifier;

impl From<u64> for SystemIdentifier {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl TryFrom<String> for SystemIdentifier {
    type Error = NoSystemIdentifier;

    fn try_from(text: String) -> Result<Self, NoSystemIdentifier> {
        let digits = text.bytes().all(|it| it.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Self(number)),
            _ => Err(NoSystemIdentifier),
        }
    }
}

impl From<SystemIdentifier> for String {
    fn from(identifier: SystemIdentifier) -> Self {
        identifier.to_string()
    }
}

impl fmt::Display for SystemIdentifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// What a folder's name says of its source: 32 bits, written as 8 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

impl SourceId {
    /// What stands where nobody has said yet of which source a backup is.
    pub const UNKNOWN: Self = Self(0);

    /// Of a server that is known by its name: the first 32 bits of the SHA-256 of
    /// `host:port/dbname`, the host in lower case.
    #[must_use]
    pub fn of_name(host: &str, port: u16, database: &str) -> Self {
        Self::digest(&format!("{}:{port}/{database}", host.to_ascii_lowercase()))
    }

    /// Of a server that is known by its identifier: the first 32 bits of the SHA-256 of
    /// `system IDENTIFIER/dbname`.
    #[must_use]
    pub fn of_system(system: SystemIdentifier, database: &str) -> Self {
        Self::digest(&format!("system {system}/{database}"))
    }

    fn digest(text: &str) -> Self {
        let [a, b, c, d, ..] = Sha256::digest(text.as_bytes()).0;
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

impl FromStr for SourceId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let hex = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u32::from_str_radix(text, 16) {
            Ok(id) if hex => Ok(Self(id)),
            _ => Err(NotOurs),
        }
    }
}

/// One database of one server. `Display` is `host:port`, and the server's identifier where known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// None where the server does not tell it.
    pub system: Option<SystemIdentifier>,
}

impl Identity {
    /// What the folders of its backups carry now.
    #[must_use]
    pub fn id(&self) -> SourceId {
        self.system.map_or_else(
            || self.id_by_name(),
            |it| SourceId::of_system(it, &self.database),
        )
    }

    /// What the folders of its backups carried before servers were known by their identifier.
    #[must_use]
    pub fn id_by_name(&self) -> SourceId {
        SourceId::of_name(&self.host, self.port, &self.database)
    }

    /// Whether a folder with this id holds a backup of it.
    #[must_use]
    pub fn owns(&self, id: SourceId) -> bool {
        id == self.id() || id == self.id_by_name()
    }

    /// Whether `other` is the same database: of the same server, or of one that has its name.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let is_same_server = self.system.is_some() && self.system == other.system;
        self.database == other.database
            && (is_same_server || self.id_by_name() == other.id_by_name())
    }

    /// Whether `other` is a server of its own that has the same name.
    #[must_use]
    pub fn is_namesake_of(&self, other: &Self) -> bool {
        other.system.is_some()
            && other.system != self.system
            && other.id_by_name() == self.id_by_name()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)?;
        match self.system {
            Some(system) => write!(formatter, ", system {system}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known_as(host: &str, system: Option<u64>) -> Identity {
        Identity {
            host: host.to_owned(),
            port: 5432,
            database: "app".to_owned(),
            system: system.map(SystemIdentifier),
        }
    }

    #[test]
    fn u03_two_servers_with_a_same_named_database_have_different_ids() {
        let id = |host, port| SourceId::of_name(host, port, "app");
        assert_ne!(id("a", 5432), id("b", 5432));
        assert_ne!(id("a", 5432), id("a", 5433));
        assert_eq!(id("DB.local", 1), id("db.local", 1));
    }

    /// F06.
    #[test]
    fn a_server_is_known_by_its_identifier_and_not_by_its_name() {
        let (one, other) = (known_as("db", Some(7)), known_as("db", Some(8)));
        assert_ne!(one.id(), other.id());
        assert!(!one.owns(other.id()) && !other.owns(one.id()));
        assert!(one.is_namesake_of(&other) && !one.is_namesake_of(&one));
        let spelt = known_as("127.0.0.1", Some(7));
        assert_eq!(one.id(), spelt.id());
        assert!(!one.is_namesake_of(&spelt));
    }

    /// F06: folders of before the identifier go on counting by their name.
    #[test]
    fn a_folder_without_the_identifier_is_owned_by_name() {
        let before = known_as("db", None);
        assert!(known_as("db", Some(7)).owns(before.id()));
        assert!(known_as("DB", Some(8)).owns(before.id()));
        assert!(!known_as("other", Some(7)).owns(before.id()));
        assert!(!before.owns(known_as("db", Some(7)).id()));
    }

    #[test]
    fn an_identifier_is_a_text_of_digits_since_json_numbers_lose_bits() {
        let identifier = SystemIdentifier(u64::MAX);
        let json = serde_json::to_string(&identifier).unwrap();
        assert_eq!(json, "\"18446744073709551615\"");
        assert_eq!(
            serde_json::from_str::<SystemIdentifier>(&json).unwrap(),
            identifier
        );
        for wrong in ["\"+1\"", "\"\"", "\"x\"", "7", "\"18446744073709551616\""] {
            assert!(
                serde_json::from_str::<SystemIdentifier>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
