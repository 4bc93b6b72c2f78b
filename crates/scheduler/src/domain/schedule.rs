//! A schedule: which database is backed up where to, and when.

use backuper::report::CoreAddress;
use backuper::retention::Retention;
use backuper::storage::Bucket;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::cron::Cron;
use super::database::Database;
use super::name::Name;
use super::store::Store;

/// How many names are tried where Updates have given some to other databases.
pub const TURNS: u8 = 8;

/// What a call asks to be kept backed up.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What is backed up.
    pub source: Database,
    /// Where to.
    pub store: Store,
    /// Who is told.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub core: Option<CoreAddress>,
    /// When.
    #[serde_as(as = "DisplayFromStr")]
    pub cron: Cron,
    /// How many backups are kept.
    #[serde_as(as = "DisplayFromStr")]
    pub keep: Retention,
}

/// A plan under the name by which it is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name, on Kubernetes the CronJob's.
    pub name: Name,
    /// What it is.
    pub plan: Plan,
    /// Whether its backups are counted apart from those of other schedules of the same database and
    /// bucket. Those of the first one never are, and so it was with all before there could be several.
    #[serde(default)]
    pub counts_apart: bool,
}

impl Plan {
    /// Whether both put one database into one bucket.
    #[must_use]
    pub fn has_place_of(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// Which database goes into which bucket: the database, the endpoint and the bucket.
    #[must_use]
    pub fn place(&self) -> (String, String, String) {
        let endpoint = self.store.endpoint.as_ref().map(ToString::to_string);
        let bucket = self.store.bucket.as_ref().map(Bucket::to_string);
        (
            self.source.place(),
            endpoint.unwrap_or_default(),
            bucket.unwrap_or_default(),
        )
    }

    /// Whether both are the same schedule of a caller: same place, same times. Retention and
    /// credentials are what such a schedule may be given anew.
    #[must_use]
    pub fn is_same_schedule(&self, other: &Self) -> bool {
        self.has_place_of(other) && self.cron.has_times_of(&other.cron)
    }

    /// The name of the first schedule of a database and bucket; with a `turn` above 0, the one to
    /// take when an Update has given all before it to others.
    #[must_use]
    pub fn name(&self, turn: u8) -> Name {
        let (source, endpoint, bucket) = self.place();
        Name::of_place(&source, &endpoint, &bucket, turn)
    }

    /// The name of any further schedule of a database and bucket, at other times.
    #[must_use]
    pub fn further_name(&self, turn: u8) -> Name {
        let (source, endpoint, bucket) = self.place();
        Name::of_times(&source, &endpoint, &bucket, &self.cron.to_string(), turn)
    }
}

impl Schedule {
    /// A plan under a name that was given to it or to another one before.
    #[must_use]
    pub fn new(name: Name, plan: Plan) -> Self {
        let is_first = (0..=TURNS).any(|turn| plan.name(turn) == name);
        Self {
            name,
            plan,
            counts_apart: !is_first,
        }
    }

    /// In place of what was kept under its name: as long as its database and bucket stay, its backups
    /// are counted as they were.
    #[must_use]
    pub fn in_place_of(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|it| it.plan.has_place_of(&self.plan)) {
            self.counts_apart = before.counts_apart;
        }
        self
    }

    /// What differs from what was kept, in the words of a request.
    #[must_use]
    pub fn changes_from(&self, before: &Plan) -> Vec<&'static str> {
        let now = &self.plan;
        let (place, old) = (now.place(), before.place());
        let cores = |it: &Plan| it.core.as_ref().map(ToString::to_string);
        [
            ("database", place.0 != old.0),
            ("store", (place.1, place.2) != (old.1, old.2)),
            ("user", now.source.user != before.source.user),
            ("schedule", now.cron != before.cron),
            ("max_backup_count", now.keep != before.keep),
            ("core_addr", cores(now) != cores(before)),
        ]
        .into_iter()
        .filter_map(|(word, differs)| differs.then_some(word))
        .collect()
    }
}
