//! What versions before this one have kept of a request: the worker's variables, which are read back
//! into the request here. Nothing new is kept like that.

use std::collections::BTreeMap;
use std::str::FromStr;

use backuper::catalog::Revision;
use backuper::job::maybe;
use backuper::retention::Retention;

use crate::domain::credential::Credential;
use crate::domain::database::Database;
use crate::domain::name::Name;
use crate::domain::options::OwnLayout;
use crate::domain::restore::{Restore, Wishes};
use crate::domain::schedule::{Plan, Schedule, TURNS};
use crate::domain::store::{Place, Store, Way};

/// A worker's variables, those that are secret without a value.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Option<String>>);

impl FromIterator<(String, Option<String>)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, Option<String>)>>(all: T) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Variables {
    /// The schedule whose backuper had these variables.
    pub(super) fn schedule(&self, name: &str, cron: &str) -> Option<Schedule> {
        let name: Name = name.parse().ok()?;
        let plan = Plan {
            source: self.database()?,
            several: false,
            store: self.store()?,
            core: self.optional("CORE_ADDR")?,
            cron: cron.parse().ok()?,
            keep: Retention::from_str(self.plain("MAX_BACKUP_COUNT").unwrap_or_default()).ok()?,
        };
        // The version before this one does not know the variable: it has kept it among the others, or its
        // own Update has left it out.
        let counts_apart = self.plain("BACKUP_SCHEDULE").is_some()
            || (0..=TURNS).any(|turn| plan.further_name(turn) == name);
        Some(Schedule {
            name,
            plan,
            counts_apart,
            labels: None,
            options: None,
            declared: false,
        })
    }

    /// The restore whose restorer had these variables.
    pub(super) fn restore(&self) -> Option<Restore> {
        let time = |name| self.optional(name);
        Some(Restore {
            target: self.database()?,
            store: self.store()?,
            revision: Revision::from_str(self.plain("BACKUP_REVISION")?).ok()?,
            identity: Credential::Ambient,
            core: self.optional("CORE_ADDR")?,
            request_id: String::new(),
            as_of: time("RESTORE_AS_OF")?,
            begin_by: time("RESTORE_BEGIN_BY")?,
            source: None,
            lent: None,
            wishes: Wishes::default(),
            layout: OwnLayout::default(),
            drill: None,
            ttl: None,
        })
    }

    /// `host:port/dbname`, and nothing more than that is needed for it.
    pub(super) fn place(&self) -> Option<String> {
        let port = self.plain("DB_PORT").unwrap_or("5432");
        let (host, name) = (self.plain("DB_HOST")?, self.plain("DB_NAME")?);
        Some(format!("{host}:{port}/{name}"))
    }

    fn database(&self) -> Option<Database> {
        Some(Database {
            host: self.plain("DB_HOST")?.to_owned(),
            port: self.plain("DB_PORT").unwrap_or("5432").parse().ok()?,
            name: self.plain("DB_NAME")?.to_owned(),
            user: self.plain("DB_USER").unwrap_or_default().to_owned(),
            password: self.credential("DB_PASSWORD"),
            sslmode: None,
            authorities: None,
        })
    }

    fn store(&self) -> Option<Store> {
        let (endpoint, bucket) = (
            self.optional("S3_ENDPOINT")?,
            self.optional("S3_BUCKET_NAME")?,
        );
        let place = Place::of_server(endpoint, bucket)?;
        Store::new(place, Way::Pair, self.credential("S3_ACCESS_KEY")).ok()
    }

    fn plain(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// None where it is not what it should be; `Some(None)` where it is not set.
    fn optional<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Option<Option<T>> {
        maybe(self.plain(name).unwrap_or_default()).ok()
    }

    fn credential<T>(&self, name: &str) -> Credential<T> {
        if self.0.contains_key(name) {
            Credential::Inline(None)
        } else {
            Credential::Ambient
        }
    }
}
