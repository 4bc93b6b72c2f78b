//! What is known of the drills of schedules: of those that have runs or keep something beside their schedule, and of
//! objects', which the operator tells.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::Ledger;
use crate::domain::drilled::{Verdict, Verification};
use crate::domain::name::Name;
use crate::domain::verified::Verified;
use crate::engine::Scheduled;

impl Ledger {
    /// Takes in what is known of the drills of an object's schedule; none: it has none.
    pub fn verify(&self, schedule: &str, verified: Option<Verified>) {
        let mut all = self
            .verified
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match verified {
            Some(verified) => drop(all.insert(schedule.to_owned(), verified)),
            None => drop(all.remove(schedule)),
        }
    }

    /// Forgets all that is known of the drills of objects: whoever works on those tells it anew.
    pub fn forget_verifications(&self) {
        let mut all = self
            .verified
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }

    /// What drills have shown of the backups in a store, by their keys.
    #[must_use]
    pub fn verified_in(&self, store: &str) -> HashMap<String, Verification> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: HashMap<String, Verification> = HashMap::new();
        let drills = index.runs.values().filter(|it| {
            let drilled = it.drilled.as_ref();
            drilled.is_some_and(|it| it.store == store)
        });
        for verdict in drills.filter_map(Verdict::of) {
            if let Some(key) = &verdict.key {
                all.entry(key.clone()).or_default().add(verdict);
            }
        }
        all
    }

    /// What drills whose runs it has heard of have shown of a schedule's backups.
    #[must_use]
    pub fn shown_by_runs(&self, name: &Name) -> Verification {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let known = index.schedules.get(name);
        known.map_or_else(Verification::default, |it| {
            index.shown(&it.scheduled.schedule)
        })
    }

    /// What is known of all schedules' drills.
    #[must_use]
    pub fn verifications(&self) -> Vec<Verified> {
        let of_objects = self.verified.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Verified> = of_objects.values().cloned().collect();
        drop(of_objects);
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(index.schedules.values().filter_map(|it| index.verified(it)));
        all
    }

    /// The schedules whose backups are proved at times of their own, and those of which something is kept of that.
    #[must_use]
    pub fn drilled(&self) -> Vec<Scheduled> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let all = index.schedules.values().map(|it| &it.scheduled);
        all.filter(|it| it.schedule.verify().is_some() || !it.drills.are_none())
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::super::Wanted;
    use super::super::tests::run;
    use super::*;
    use crate::domain::drilled::Drilled;
    use crate::domain::drills::Drills;
    use crate::domain::run::{Ending, Run, State};
    use crate::domain::schedule::Schedule;
    use crate::engine::Change;

    /// Issue 14, section 3: whoever looks at a schedule or a backup sees whether it comes back.
    #[test]
    fn what_drills_have_shown_is_known_of_their_schedule_and_of_each_backup() {
        let ledger = Ledger::default();
        let mut schedule = crate::engine::conformance::schedule("backup-00000001-postgres");
        let store = schedule.plan.store.place();
        let told = |schedule: &Schedule| {
            ledger.apply(Change::Schedule(Box::new(Scheduled {
                schedule: schedule.clone(),
                created: Timestamp::UNIX_EPOCH,
                suspended: false,
                last_success: None,
                drills: Drills::default(),
            })));
        };
        told(&schedule);
        let ended = Timestamp::from_second(1_700_000_000).unwrap();
        let sentences = [
            (
                "1",
                true,
                "restore drill passed: shop/1 was restored into db:5432/x, all 2 tables are there with 7 rows; that database is dropped again (0.1 s)",
            ),
            (
                "2",
                false,
                "restore drill failed: shop/2 came back, and the drill's own SQL says no: no",
            ),
        ];
        for (id, is_good, sentence) in sentences {
            let message = Some(sentence.to_owned());
            let ending = match is_good {
                true => Ending::Succeeded { message },
                false => Ending::failed("Failed", Some(3), message),
            };
            ledger.apply(Change::Run(Box::new(Run {
                database: "db:5432/restore_drill_shop".to_owned(),
                drilled: Some(Drilled {
                    schedule: Some(schedule.name.to_string()),
                    source: schedule.plan.source.place(),
                    store: store.clone(),
                }),
                ended: Some(ended),
                ..*run(id, State::Ended(ending))
            })));
        }
        let known = |schedule: &Schedule| {
            let overview = ledger.overview(&schedule.name, Timestamp::now()).unwrap();
            overview.verification
        };
        assert_eq!(known(&schedule).last, Some(ended));
        let verified = ledger.verified_in(&store);
        let passed = |key: &str| verified[key].newest.as_ref().unwrap().passed;
        assert!(passed("shop/1") && !passed("shop/2"));
        assert!(ledger.verified_in("elsewhere").is_empty());
        let wanted = Wanted {
            schedule: Some(schedule.name.to_string()),
            database: Some(schedule.plan.source.place()),
            ..Wanted::default()
        };
        assert_eq!(ledger.runs(&wanted, None, 10, |_| true).len(), 2);
        // They say nothing of the database that it is of by now.
        schedule.plan.source.name = "crm".to_owned();
        told(&schedule);
        assert_eq!(known(&schedule), Verification::default());
    }

    /// Where many databases are proved, a drill is always under way.
    #[test]
    fn a_drill_reads_its_own_databases_backups_alone() {
        let restore = |id: &str, source: Option<&str>| {
            Change::Run(Box::new(Run {
                drilled: source.map(|it| Drilled {
                    schedule: None,
                    source: it.to_owned(),
                    store: String::new(),
                }),
                ..*run(id, State::Running)
            }))
        };
        let read = |ledger: &Ledger, place: &str| ledger.may_be_read(&[place.to_owned()]);
        let ledger = Ledger::default();
        ledger.apply(restore("1", Some("db:5432/shop")));
        // Another address may be the same server's, and a list has the database in it.
        for place in [
            "db:5432/shop",
            "db.example:6432/shop",
            "db:5432/*",
            "db:5432/crm,shop",
            "",
        ] {
            assert!(read(&ledger, place), "{place:?}");
        }
        for place in ["db:5432/crm", "db:5432/Shop", "db:5432/crm*"] {
            assert!(!read(&ledger, place), "{place:?}");
        }
        assert!(ledger.may_be_read(&[]), "any database's is meant");
        assert!(ledger.may_be_read(&["db:5432/crm".to_owned(), "db:5432/shop".to_owned()]));
        ledger.apply(restore("2", Some("other:5432/*")));
        assert!(read(&ledger, "db:5432/crm"));
        for unknown in [Some(""), None] {
            let ledger = Ledger::default();
            assert!(!read(&ledger, "db:5432/crm"));
            ledger.apply(restore("3", unknown));
            assert!(read(&ledger, "db:5432/crm"), "{unknown:?}");
        }
    }

    /// Issue 14, section 3: the gauges hold for every schedule that is verified, also once its drills' runs are gone.
    #[test]
    fn what_is_kept_of_drills_is_shown_and_outlives_their_runs() {
        let ledger = Ledger::default();
        let mut schedule = crate::engine::conformance::schedule("nightly");
        schedule.options = serde_json::from_str(r#"{"verify":{"cron":"0 6 * * 0"}}"#).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut drills = Drills {
            of: Drills::place(&schedule),
            ..Drills::default()
        };
        let tell = |schedule: &Schedule, suspended, drills: &Drills| {
            ledger.apply(Change::Schedule(Box::new(Scheduled {
                schedule: schedule.clone(),
                created: Timestamp::UNIX_EPOCH,
                suspended,
                last_success: None,
                drills: drills.clone(),
            })));
        };
        tell(&schedule, false, &drills);
        assert_eq!(ledger.verifications(), [], "its times are not followed yet");
        drills.followed.since = Some(at(60));
        drills.shown.last = Some(at(120));
        let drills = drills.failed("restore-1".to_owned(), "it said no", at(180));
        tell(&schedule, false, &drills);
        let expected = Verified {
            schedule: "nightly".to_owned(),
            database: "db.example:5432/shop".to_owned(),
            since: at(60),
            last: Some(at(120)),
            passed: Some(false),
            interval: Some(SignedDuration::from_hours(7 * 24)),
        };
        assert_eq!(ledger.verifications(), [expected]);
        let overview = ledger.overview(&schedule.name, at(200)).unwrap();
        assert_eq!(overview.verification.newest.unwrap().said, "it said no");
        tell(&schedule, true, &drills);
        assert_eq!(ledger.verifications(), []);
        schedule.plan.source.name = "crm".to_owned();
        tell(&schedule, false, &drills);
        assert_eq!(ledger.verifications(), []);
        schedule.options = None;
        tell(&schedule, false, &Drills::default());
        assert!(ledger.drilled().is_empty());
    }
}
