//! A schedule: which database is backed up where to, and when.

use backuper::job::ScheduleName;
use backuper::report::CoreAddress;
use backuper::retention::Retention;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::cron::Cron;
use super::database::Database;
use super::kept::Kept;
use super::labels::Labels;
use super::name::Name;
use super::store::Store;

/// What is kept of a schedule's backups should reach back so far.
const SHORT_HISTORY: SignedDuration = SignedDuration::from_hours(72);
/// How many names are tried where Updates have given some to other databases.
pub const TURNS: u8 = 8;

/// What a call asks to be kept backed up.
#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What is backed up.
    pub source: Database,
    /// Whether the name of the source is a list with patterns, and each database that it means is backed up
    /// by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub several: bool,
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
    /// What it is labelled with; none, before it is kept: as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Whether the administrator's file declares it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub declared: bool,
}

impl Kept for Plan {
    fn version(&self) -> u32 {
        let named = [
            self.source.password.reference(),
            self.store.keys.reference(),
        ];
        if self.store.place.is_new() {
            return 3;
        }
        let is_new =
            self.several || !self.cron.zone().is_utc() || named.iter().any(Option::is_some);
        1 + u32::from(is_new)
    }
}

impl Kept for Schedule {
    fn version(&self) -> u32 {
        let is_labelled = self.labels.as_ref().is_some_and(|it| !it.is_empty());
        let is_new = is_labelled || self.declared;
        self.plan.version().max(1 + u32::from(is_new))
    }
}

impl Plan {
    /// Whether both put one database into one bucket.
    #[must_use]
    pub fn has_place_of(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// Which database goes into which bucket: the database, the server and the bucket with its prefix.
    #[must_use]
    pub fn place(&self) -> (String, String, String) {
        let (server, bucket) = self.store.place.words();
        (self.source.place(), server, bucket)
    }

    /// How old the oldest backup that is kept becomes, where that is less than three days: what nobody
    /// has noticed over a weekend is then in every backup.
    #[must_use]
    pub fn short_history(&self) -> Option<SignedDuration> {
        let count = i32::try_from(self.keep.0).ok().filter(|it| *it > 0)?;
        let history = self.cron.longest_interval()?.checked_mul(count)?;
        (history < SHORT_HISTORY).then_some(history)
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
        let counts_apart = !is_first || plan.several;
        Self {
            name,
            plan,
            // What another schedule makes of one of its databases is never counted with its own.
            counts_apart,
            labels: None,
            declared: false,
        }
    }

    /// The name under which its backups are counted; none: with those of no named schedule.
    #[must_use]
    pub fn counted_as(&self) -> Option<ScheduleName> {
        // Both are DNS labels.
        let name = self.name.as_str().parse().ok();
        name.filter(|_| self.counts_apart)
    }

    /// In place of what was kept under its name: as long as its database and bucket stay, its backups
    /// are counted as they were. Who does not know labels leaves them as they are.
    #[must_use]
    pub fn in_place_of(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before else {
            return self;
        };
        if before.plan.has_place_of(&self.plan) && before.plan.several == self.plan.several {
            self.counts_apart = before.counts_apart;
        }
        if self.labels.is_none() {
            self.labels.clone_from(&before.labels);
            self.declared |= before.declared;
        }
        self
    }

    /// What is kept of credentials and not at hand, by the names of a worker's variables, where the
    /// schedule that was kept under its name has it for the same login and the same bucket. None where
    /// it has not: what is kept of one place is never sent to another.
    #[must_use]
    pub fn kept_of(&self, before: Option<&Self>) -> Option<Vec<&'static str>> {
        let mut kept = Vec::new();
        let (now, before) = (&self.plan, before.map(|it| &it.plan));
        if now.source.password.is_kept() {
            let before = before.map(|it| &it.source)?;
            if !before.password.is_kept() || !before.has_login_of(&now.source) {
                return None;
            }
            kept.push("DB_PASSWORD");
        }
        if now.store.keys.is_kept() {
            let before = before.map(|it| &it.store)?;
            let is_there = before.place == now.store.place && before.way() == now.store.way();
            if !before.keys.is_kept() || !is_there {
                return None;
            }
            kept.extend(now.store.variables());
        }
        Some(kept)
    }

    /// What differs from what was kept, in the words of a request.
    #[must_use]
    pub fn changes_from(&self, kept: &Self) -> Vec<&'static str> {
        let (now, before) = (&self.plan, &kept.plan);
        let (place, old) = (now.place(), before.place());
        let none = Labels::new();
        let cores = |it: &Plan| it.core.as_ref().map(ToString::to_string);
        [
            (
                "database",
                place.0 != old.0 || now.several != before.several,
            ),
            ("store", (place.1, place.2) != (old.1, old.2)),
            ("user", now.source.user != before.source.user),
            (
                "schedule",
                now.cron.expression() != before.cron.expression(),
            ),
            ("time_zone", now.cron.zone() != before.cron.zone()),
            ("max_backup_count", now.keep != before.keep),
            ("core_addr", cores(now) != cores(before)),
            (
                "password_secret",
                now.source.password.reference() != before.source.password.reference(),
            ),
            (
                "keys_secret",
                now.store.keys.reference() != before.store.keys.reference(),
            ),
            (
                "labels",
                self.labels.as_ref().unwrap_or(&none) != kept.labels.as_ref().unwrap_or(&none),
            ),
        ]
        .into_iter()
        .filter_map(|(word, differs)| differs.then_some(word))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backuper::storage::StoreUrl;

    use crate::domain::credential::{Credential, Reference};
    use crate::domain::kept;

    fn plan(cron: &str, keep: u32) -> Plan {
        Plan {
            source: Database {
                host: "db".to_owned(),
                port: 5432,
                name: "shop".to_owned(),
                user: "me".to_owned(),
                password: Credential::Ambient,
            },
            several: false,
            store: Store::ambient("s3://backups".parse::<StoreUrl>().unwrap().into()),
            core: None,
            cron: cron.parse().unwrap(),
            keep: Retention(keep),
        }
    }

    /// After a rollback an older scheduler leaves alone what it would lose.
    #[test]
    fn what_an_older_scheduler_would_lose_is_kept_in_a_version_that_it_does_not_read() {
        let version = |it: &Schedule| {
            let kept: serde_json::Value = serde_json::from_str(&kept::write(it).unwrap()).unwrap();
            kept["version"].as_u64()
        };
        let plain = Schedule::new(plan("@daily", 7).name(0), plan("@daily", 7));
        assert_eq!(version(&plain), Some(1));
        let mut labelled = plain.clone();
        labelled.labels = Some([("team".to_owned(), "web".to_owned())].into());
        let mut declared = plain.clone();
        declared.declared = true;
        let mut zoned = plain.clone();
        zoned.plan.cron = "CRON_TZ=Asia/Tokyo @daily".parse().unwrap();
        let mut several = plain.clone();
        several.plan.several = true;
        let mut named = plain.clone();
        named.plan.source.password = Credential::Reference(Reference {
            secret: "login".to_owned(),
            keys: vec!["password".to_owned()],
        });
        for it in [labelled, declared, zoned, named] {
            assert_eq!(version(&it), Some(2), "{it:?}");
        }
        for url in ["s3://backups/team-a", "gs://backups", "az://acme/backups"] {
            let mut elsewhere = plain.clone();
            elsewhere.plan.store = Store::ambient(url.parse::<StoreUrl>().unwrap().into());
            assert_eq!(version(&elsewhere), Some(3), "{url}");
        }
    }

    #[test]
    fn a_history_of_less_than_three_days_is_short() {
        let minutes = |cron, keep| plan(cron, keep).short_history().map(|it| it.as_mins());
        assert_eq!(minutes("*/15 * * * *", 7), Some(105));
        assert_eq!(minutes("@hourly", 71), Some(71 * 60));
        for (cron, keep) in [
            ("@hourly", 72),
            ("@daily", 3),
            ("*/15 * * * *", 0),
            ("@weekly", 1),
        ] {
            assert_eq!(minutes(cron, keep), None, "{cron} {keep}");
        }
    }

    /// Backups that were made before there could be several schedules are counted as they were.
    #[test]
    fn what_is_counted_apart_stays_so_as_long_as_its_place_stays() {
        let first = Schedule::new(plan("@daily", 7).name(0), plan("@daily", 7));
        let further = Schedule::new(plan("@hourly", 7).further_name(0), plan("@hourly", 7));
        assert!(!first.counts_apart && further.counts_apart);
        let old = Schedule {
            counts_apart: false,
            ..further.clone()
        };
        let kept = Schedule::new(further.name.clone(), plan("@weekly", 7)).in_place_of(Some(&old));
        assert!(!kept.counts_apart);
        let mut elsewhere = plan("@weekly", 7);
        elsewhere.source.name = "crm".to_owned();
        let moved = Schedule::new(further.name, elsewhere).in_place_of(Some(&old));
        assert!(moved.counts_apart, "crm may have a first one");
    }
}
