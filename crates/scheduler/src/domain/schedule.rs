//! A schedule: which database is backed up where to, and when.

use backuper::job::ScheduleName;
use backuper::report::CoreAddress;
use backuper::retention::Retention;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::credential::Credential;
use super::cron::Cron;
use super::database::Database;
use super::drills::{self, Verify};
use super::kept::Kept;
use super::labels::{self, Labels};
use super::name::Name;
use super::options::{Options, OwnRetention};
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
    /// What it has of its own beside the administrator's settings; none, before it is kept: as it was.
    #[serde(default, skip_serializing_if = "has_none_of_its_own")]
    pub options: Option<Options>,
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
        // One that does not know lists takes a list for the name of one database.
        let has_way = self.source.sslmode.is_some()
            || self.source.authorities.is_some()
            || self.store.region.is_some();
        if self.several || self.store.place.is_new() || has_way {
            return 3;
        }
        let is_new = !self.cron.zone().is_utc() || named.iter().any(Option::is_some);
        1 + u32::from(is_new)
    }
}

impl Kept for Schedule {
    fn version(&self) -> u32 {
        let is_labelled = self.labels.as_ref().is_some_and(|it| !it.is_empty());
        let is_new = is_labelled || self.declared;
        // A scheduler that knows labels does not know these yet.
        let newest = match &self.options {
            // It would make no drill, and write the schedule without.
            Some(own) if own.verify.is_some() => 5,
            own if has_none_of_its_own(own) => 1,
            _ => 3,
        };
        self.plan.version().max(1 + u32::from(is_new)).max(newest)
    }
}

impl Plan {
    /// Whether both put one database, or all of one list, into one bucket. A database may be called as a list
    /// is written.
    #[must_use]
    pub fn has_place_of(&self, other: &Self) -> bool {
        self.several == other.several && self.place() == other.place()
    }

    /// Which database goes into which bucket: the database, the server and the bucket with its prefix.
    #[must_use]
    pub fn place(&self) -> (String, String, String) {
        let (server, bucket) = self.store.place.words();
        (self.source.place(), server, bucket)
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
            options: None,
            declared: false,
        }
    }

    /// Whether an object of Kubernetes has it for itself: it runs when that says so, and protects nothing by
    /// its times.
    #[must_use]
    pub fn is_of_an_object(&self) -> bool {
        let labels = self.labels.as_ref();
        labels.is_some_and(|it| it.contains_key(labels::BACKUP))
    }

    /// What it has of its own beside the administrator's settings.
    #[must_use]
    pub fn own(&self) -> Options {
        self.options.clone().unwrap_or_default()
    }

    /// How its backups are proved at times of their own; none: they are not. Of several databases nobody says whose.
    #[must_use]
    pub fn verify(&self) -> Option<&Verify> {
        let own = self.options.as_ref().filter(|_| !self.plan.several)?;
        own.verify.as_ref()
    }

    /// The name under which its backups are counted; none: with those of no named schedule.
    #[must_use]
    pub fn counted_as(&self) -> Option<ScheduleName> {
        // Both are DNS labels.
        let name = self.name.as_str().parse().ok();
        name.filter(|_| self.counts_apart)
    }

    /// How old the oldest backup that is kept becomes, where that is less than three days: what nobody
    /// has noticed over a weekend is then in every backup.
    #[must_use]
    pub fn short_history(&self) -> Option<SignedDuration> {
        let retention = self.options.as_ref().and_then(|it| it.retention.as_ref());
        let reach = retention.map_or(SignedDuration::ZERO, OwnRetention::reach);
        let history = match i32::try_from(self.plan.keep.0) {
            Ok(0) if reach.is_zero() => return None,
            Ok(0) => reach,
            Ok(count) => {
                let interval = self.plan.cron.longest_interval()?;
                interval.checked_mul(count)?.max(reach)
            }
            Err(_so_many) => return None,
        };
        (history < SHORT_HISTORY).then_some(history)
    }

    /// In place of what was kept under its name: as long as its database and bucket stay, its backups
    /// are counted as they were. Who does not know labels leaves them as they are, and so it is with what a
    /// schedule has of its own.
    #[must_use]
    pub fn in_place_of(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before else {
            return self;
        };
        if before.plan.has_place_of(&self.plan) {
            self.counts_apart = before.counts_apart;
        }
        if self.labels.is_none() {
            self.labels.clone_from(&before.labels);
            self.declared |= before.declared;
        }
        if self.options.is_none() {
            let own = before.options.clone();
            self.options = if before.plan.has_place_of(&self.plan) {
                own
            } else {
                let is_same = before.plan.has_databases_of(&self.plan);
                own.map(|it| it.elsewhere(is_same))
            };
        }
        self
    }

    /// What is kept of credentials and not at hand, by the names of a worker's variables, where the
    /// schedule that was kept under its name has it for the same login and the same bucket. None where
    /// it has not: what is kept of one place is never sent to another.
    #[must_use]
    pub fn kept_of(&self, before: Option<&Self>) -> Option<Vec<&'static str>> {
        let mut kept = Vec::new();
        if self.drills_password().is_some_and(Credential::is_kept) {
            let (before, verify) = (before?, self.verify()?);
            let is_it = before
                .verify()
                .is_some_and(|it| verify.has_login_of(&self.plan.source, it, &before.plan.source));
            let has_one = before.drills_password().is_some_and(Credential::is_inline);
            if !has_one || !is_it {
                return None;
            }
            kept.push(drills::PASSWORD);
        }
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

    /// Whether a credential of its is at hand.
    #[must_use]
    pub fn has_at_hand(&self) -> bool {
        let Plan { source, store, .. } = &self.plan;
        let of_drills = self.drills_password();
        source.password.is_at_hand()
            || store.keys.is_at_hand()
            || of_drills.is_some_and(Credential::is_at_hand)
    }

    /// The password of the server that its drills have for themselves.
    #[must_use]
    pub fn drills_password(&self) -> Option<&Credential> {
        self.verify()?.password()
    }

    /// What differs from what was kept, in the words of a request.
    #[must_use]
    pub fn changes_from(&self, kept: &Self) -> Vec<&'static str> {
        let (now, before) = (&self.plan, &kept.plan);
        let (place, old) = (now.place(), before.place());
        let none = Labels::new();
        let cores = |it: &Plan| it.core.as_ref().map(ToString::to_string);
        let own = self.own().changes_from(&kept.own());
        let all = [
            (
                "database",
                place.0 != old.0 || now.several != before.several,
            ),
            ("store", (place.1, place.2) != (old.1, old.2)),
            ("user", now.source.user != before.source.user),
            ("sslmode", now.source.sslmode != before.source.sslmode),
            (
                "authorities",
                now.source.authorities != before.source.authorities,
            ),
            ("region", now.store.region != before.store.region),
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
        ];
        let all = all.into_iter().chain(own);
        all.filter_map(|(word, differs)| differs.then_some(word))
            .collect()
    }
}

fn has_none_of_its_own(options: &Option<Options>) -> bool {
    options.as_ref().is_none_or(Options::are_none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backuper::postgres::SslMode;
    use backuper::storage::StoreUrl;

    use crate::domain::credential::Reference;
    use crate::domain::kept;

    fn plan(cron: &str, keep: u32) -> Plan {
        Plan {
            source: Database {
                host: "db".to_owned(),
                port: 5432,
                name: "shop".to_owned(),
                user: "me".to_owned(),
                password: Credential::Ambient,
                sslmode: None,
                authorities: None,
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
        let mut named = plain.clone();
        named.plan.source.password = Credential::Reference(Reference {
            secret: "login".to_owned(),
            keys: vec!["password".to_owned()],
        });
        for it in [labelled, declared, zoned, named] {
            assert_eq!(version(&it), Some(2), "{it:?}");
        }
        // One that reads all of that would take a list for the name of one database.
        let mut several = plain.clone();
        several.plan.several = true;
        assert_eq!(version(&several), Some(3));
        for url in ["s3://backups/team-a", "gs://backups", "az://acme/backups"] {
            let mut elsewhere = plain.clone();
            elsewhere.plan.store = Store::ambient(url.parse::<StoreUrl>().unwrap().into());
            assert_eq!(version(&elsewhere), Some(3), "{url}");
        }
        let mut encrypted = plain.clone();
        encrypted.plan.source.sslmode = Some(SslMode::VerifyFull);
        let mut regional = plain.clone();
        regional.plan.store.region = Some("eu-central-1".to_owned());
        for it in [encrypted, regional] {
            assert_eq!(version(&it), Some(3), "{it:?}");
            let back: Schedule = kept::read(&kept::write(&it).unwrap()).unwrap();
            assert!(back.changes_from(&it).is_empty(), "{it:?}");
            assert_eq!(back.changes_from(&plain).len(), 1, "{it:?}");
        }
        // One that reads all of that would still lose these, and let more go than the schedule's rules do.
        let mut own = plain.clone();
        own.options = Some(Options::default());
        assert_eq!(version(&own), Some(1));
        own.options = serde_json::from_str(r#"{"retention":{}}"#).ok();
        assert_eq!(version(&own), Some(3));
        own.options = serde_json::from_str(r#"{"verify":{"cron":"@daily"}}"#).ok();
        assert_eq!(version(&own), Some(5));
    }

    /// What is kept of one server's password is never sent to another.
    #[test]
    fn the_password_of_the_drills_own_server_stays_for_its_login_alone() {
        let with = |host: &str, password: Credential| {
            let mut schedule = Schedule::new(plan("@daily", 7).name(0), plan("@daily", 7));
            let mut server = schedule.plan.source.clone();
            server.host = host.to_owned();
            server.password = password;
            schedule.options = Some(Options {
                verify: Some(Verify {
                    cron: "@weekly".parse().unwrap(),
                    server: Some(server),
                    sql: Vec::new(),
                }),
                ..Options::default()
            });
            schedule
        };
        let before = with("drills", Credential::Inline(Some("secret".into())));
        let stays = |it: &Schedule| it.kept_of(Some(&before));
        let kept = || Credential::Inline(None);
        assert_eq!(stays(&with("drills", kept())), Some(vec![drills::PASSWORD]));
        assert_eq!(stays(&with("others", kept())), None);
        assert_eq!(with("drills", kept()).kept_of(None), None);
        let given = with("others", Credential::Inline(Some("new".into())));
        assert_eq!(stays(&given), Some(Vec::new()));
        let text = kept::write(&before).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let read: Schedule = kept::read(&text).unwrap();
        assert!(read.changes_from(&before).is_empty());
        assert_eq!(read.changes_from(&given), ["verify"]);
    }

    #[test]
    fn a_history_of_less_than_three_days_is_short() {
        let of = |cron, keep| Schedule::new(plan(cron, keep).name(0), plan(cron, keep));
        let minutes = |cron, keep| of(cron, keep).short_history().map(|it| it.as_mins());
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
        let with = |keep, rules: &str| {
            let mut schedule = of("*/15 * * * *", keep);
            schedule.options = serde_json::from_str(rules).unwrap();
            schedule.short_history().map(|it| it.as_hours())
        };
        let rules = |it: &str| format!(r#"{{"retention":{{"rules":{{{it}}}}}}}"#);
        assert_eq!(with(4, &rules("")), Some(1));
        assert_eq!(with(4, &rules(r#""hourly":48"#)), Some(48));
        assert_eq!(with(0, &rules(r#""hourly":48"#)), Some(48));
        assert_eq!(with(4, &rules(r#""daily":7"#)), None);
        assert_eq!(with(0, &rules("")), None);
    }

    /// The contract's calls know nothing of what a schedule has of its own.
    #[test]
    fn what_is_its_own_stays_where_nothing_is_said_of_it_and_goes_where_that_is_said() {
        let text = r#"{"retention":{"rules":{"daily":7},"objects":true},"jobs":2}"#;
        let mut before = Schedule::new(plan("@daily", 7).name(0), plan("@daily", 7));
        before.options = serde_json::from_str(text).ok();
        let unsaid =
            |plan: Plan| Schedule::new(before.name.clone(), plan).in_place_of(Some(&before));
        let updated = unsaid(plan("@hourly", 3));
        assert_eq!(updated.options, before.options);
        assert_eq!(
            updated.changes_from(&before),
            ["schedule", "max_backup_count"]
        );
        let mut elsewhere = plan("@daily", 7);
        elsewhere.store = Store::ambient("s3://others".parse::<StoreUrl>().unwrap().into());
        let moved = unsaid(elsewhere);
        assert!(moved.own().retention.is_some() && !moved.own().judge_objects());
        let mut said = Schedule::new(before.name.clone(), plan("@daily", 7));
        said.options = Some(Options::default());
        let said = said.in_place_of(Some(&before));
        assert!(said.own().are_none());
        assert_eq!(said.changes_from(&before), ["retention", "jobs"]);
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
