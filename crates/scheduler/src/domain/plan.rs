//! A plan: which database is backed up where to, and when.

use backuper::report::CoreAddress;
use backuper::retention::Retention;
use backuper::storage::{Bucket, Endpoint};
use secrecy::SecretString;

use super::name::{Name, long_hash};
use super::schedule::Cron;

/// What a call asks to be kept backed up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is backed up.
    pub source: Login,
    /// Where to.
    pub store: Store,
    /// Who is told.
    pub core: Option<CoreAddress>,
    /// When.
    pub cron: Cron,
    /// How many backups are kept.
    pub keep: Retention,
}

impl Plan {
    /// The name that every plan for the same database and bucket has; with a `turn` above 0, the
    /// one to take when an Update has given all before it to others.
    #[must_use]
    pub fn name(&self, turn: u8) -> Name {
        let Store {
            endpoint, bucket, ..
        } = &self.store;
        let endpoint = endpoint.as_ref().map(ToString::to_string);
        Name::of_plan(
            &self.source.place(),
            &endpoint.unwrap_or_default(),
            bucket.as_ref().map(Bucket::as_str).unwrap_or_default(),
            turn,
        )
    }
}

/// A database and how to get into it.
#[derive(Clone, Debug)]
pub struct Login {
    /// A host name or an address.
    pub host: String,
    /// A port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<SecretString>,
    /// The database.
    pub database: String,
}

impl Login {
    /// `host:port/dbname`.
    #[must_use]
    pub fn place(&self) -> String {
        let Self {
            host,
            port,
            database,
            ..
        } = self;
        format!("{host}:{port}/{database}")
    }

    /// Sixteen hex digits for the place, the first eight of which were all before.
    #[must_use]
    pub fn place_hash(&self) -> String {
        long_hash(&self.place())
    }
}

/// A bucket and how to get into it.
#[derive(Clone, Debug)]
pub struct Store {
    /// The server; none is AWS.
    pub endpoint: Option<Endpoint>,
    /// The bucket; none only below a directory.
    pub bucket: Option<Bucket>,
    /// The access key; none where the worker's surroundings have credentials.
    pub access_key: Option<SecretString>,
    /// Its secret.
    pub secret_key: Option<SecretString>,
}
