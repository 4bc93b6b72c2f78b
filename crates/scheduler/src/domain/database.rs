//! A database and how to get into it.

use backuper::job::BackupSource;
use backuper::postgres::{Authorities, SslMode};
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::credential::Credential;
use super::name::long_hash;

/// PostgreSQL's own port.
pub const PORT: u16 = 5432;

/// A database and how to get into it.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Database {
    /// A host name or an address.
    pub host: String,
    /// A port.
    pub port: u16,
    /// Its name, exactly as PostgreSQL knows it.
    pub name: String,
    /// The role.
    pub user: String,
    /// The role's password.
    pub password: Credential,
    /// How connections are encrypted; none: as the administrator has set it.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
    /// The authorities that sign the server's certificate; none: as the administrator has set it.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<Authorities>,
}

impl Database {
    /// `host:port/dbname`.
    #[must_use]
    pub fn place(&self) -> String {
        let Self {
            host, port, name, ..
        } = self;
        format!("{host}:{port}/{name}")
    }

    /// The same, for workers that are told whose backups are meant.
    #[must_use]
    pub fn as_source(&self) -> Option<BackupSource> {
        // It is a place of ours.
        self.place().parse().ok()
    }

    /// Whether both are one role of one server.
    #[must_use]
    pub fn has_login_of(&self, other: &Self) -> bool {
        (&self.host, self.port, &self.user) == (&other.host, other.port, &other.user)
    }

    /// Sixteen hex digits for the place, the first eight of which were all before.
    #[must_use]
    pub fn place_hash(&self) -> String {
        long_hash(&self.place())
    }
}
