//! Drills of schedules at their times: what is decided elsewhere is kept and done here.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use backuper::catalog::Revision;
use jiff::Timestamp;

use crate::domain::callers::Caller;
use crate::domain::credential::Credential;
use crate::domain::database::Database;
use crate::domain::drills::{Drills, Facts, Step, Verify, step};
use crate::domain::name::Name;
use crate::domain::restore::{Drill, Lent, Restore, Wishes};
use crate::domain::schedule::Schedule;
use crate::engine::change::Things;
use crate::engine::{Error, Kind, Scheduled};
use crate::service::Service;

/// Before what could not be done is tried again.
const AGAIN: i64 = 10;
/// Before all is looked at again, whatever has changed.
const LONG: i64 = 60;

/// What this process has kept beside schedules: the index is a moment behind.
#[derive(Debug, Default)]
pub struct Following {
    kept: HashMap<Name, Drills>,
    /// What could not be done, which is tried again not before then.
    trouble: HashMap<Name, (Timestamp, String)>,
}

impl Service {
    /// Goes on with the drills of all schedules; gives how long nothing comes next if nothing changes.
    pub async fn follow_drills(&self, following: &mut Following, now: Timestamp) -> Duration {
        for things in [Things::Schedules, Things::Runs] {
            if self.known(things).await.is_err() {
                return Duration::from_secs(1);
            }
        }
        let all = self.ledger.drilled();
        let names: HashSet<&Name> = all.iter().map(|it| &it.schedule.name).collect();
        following.kept.retain(|name, _| names.contains(name));
        following.trouble.retain(|name, _| names.contains(name));
        let mut next = now.as_second() + LONG;
        for scheduled in &all {
            let looked = self.follow_one(following, scheduled, now).await;
            next = next.min(looked.as_second());
        }
        let rests = next.saturating_sub(now.as_second()).max(0);
        Duration::from_secs(rests.unsigned_abs())
    }

    /// Gives when to look again, if nothing changes.
    async fn follow_one(
        &self,
        following: &mut Following,
        scheduled: &Scheduled,
        now: Timestamp,
    ) -> Timestamp {
        let name = &scheduled.schedule.name;
        let later = |seconds| Timestamp::from_second(now.as_second() + seconds).unwrap_or(now);
        if let Some((until, _)) = following.trouble.get(name).filter(|it| it.0 > now) {
            return *until;
        }
        let known = following.kept.remove(name);
        let mut known = known.unwrap_or_else(|| scheduled.drills.clone());
        match self.go_on(scheduled, &mut known, now).await {
            Ok(next) => {
                following.trouble.remove(name);
                following.kept.insert(name.clone(), known);
                next.unwrap_or_else(|| later(LONG))
            }
            Err(error) => {
                // What is kept by now, the index says.
                let (until, why) = (later(AGAIN), error.chain());
                let told = following.trouble.insert(name.clone(), (until, why.clone()));
                if told.is_none_or(|(_, it)| it != why) {
                    tracing::warn!(schedule = %name, error = why, "a drill goes on later");
                }
                until
            }
        }
    }

    /// Does what comes next, until nothing does; `known` is what is kept.
    async fn go_on(
        &self,
        scheduled: &Scheduled,
        known: &mut Drills,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let schedule = &scheduled.schedule;
        loop {
            let run = known.under_way.as_ref().and_then(|it| it.run.as_deref());
            let run = run.and_then(|it| self.ledger.run(it));
            let facts = Facts {
                schedule,
                is_suspended: scheduled.suspended,
                shown: self.ledger.shown_by_runs(&schedule.name),
                run: run.as_ref(),
                may_begin: &|| self.may_begin(schedule, now),
            };
            let (after, next) = step(known, &facts, now);
            if let Step::Cancel(run) = &next {
                self.give_up(run).await?;
            }
            self.keep(schedule, known, after).await?;
            match next {
                Step::Rest(next) => return Ok(next),
                Step::Wait => return Ok(None),
                Step::Again | Step::Cancel(_) => {}
                Step::Begin => self.begin_drill(schedule, known, now).await?,
            }
        }
    }

    /// Whether there is a backup to prove, and nothing is being restored under the name of the schedule's drills.
    fn may_begin(&self, schedule: &Schedule, now: Timestamp) -> bool {
        let Some(verify) = schedule.verify() else {
            return false;
        };
        let known = self.ledger.overview(&schedule.name, now);
        let backup = known.and_then(|it| it.protection.history.last_success);
        let place = target(schedule, verify).place();
        backup.is_some() && !self.ledger.is_restoring(&place)
    }

    async fn keep(
        &self,
        schedule: &Schedule,
        known: &mut Drills,
        after: Drills,
    ) -> Result<(), Error> {
        if after == *known {
            return Ok(());
        }
        let name = &schedule.name;
        self.engine.keep_drills(name, known, &after).await?;
        if let Some(verdict) = &after.shown.newest
            && Some(verdict) != known.shown.newest.as_ref()
        {
            let passed = verdict.passed;
            tracing::info!(schedule = %name, run = %verdict.run, passed, said = %verdict.said, "a drill has ended");
        }
        *known = after;
        Ok(())
    }

    /// Begins the one that is kept as under way, or finds it begun. What will not do another time has failed.
    async fn begin_drill(
        &self,
        schedule: &Schedule,
        known: &mut Drills,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut after = known.clone();
        let under_way = after.under_way.as_mut().zip(schedule.verify());
        let Some((under_way, verify)) = under_way else {
            return Ok(());
        };
        let after = match self
            .begin_asked(schedule, verify, &under_way.request, now)
            .await
        {
            Ok(run) => {
                under_way.run = Some(run);
                under_way.since = now;
                after
            }
            Err(error) => match error.kind() {
                Kind::Denied | Kind::Precondition | Kind::Invalid => {
                    after.failed(String::new(), &error.chain(), now)
                }
                Kind::NotFound
                | Kind::Conflict
                | Kind::Occupied
                | Kind::Unavailable
                | Kind::Internal => return Err(error),
            },
        };
        self.keep(schedule, known, after).await
    }

    /// Gives the run.
    async fn begin_asked(
        &self,
        schedule: &Schedule,
        verify: &Verify,
        request: &str,
        now: Timestamp,
    ) -> Result<String, Error> {
        let mut restore = newest(schedule, verify, request);
        // Who has put it so was allowed to.
        self.allow(&Caller::administrator(), &restore).await?;
        self.give_identity(&mut restore);
        self.timed(&mut restore, Some(Duration::ZERO), now);
        let started = self.engine.start(&restore).await?;
        tracing::info!(schedule = %schedule.name, run = %started.name, by = started.by.word(), "proving the newest backup");
        Ok(started.name)
    }

    async fn give_up(&self, run: &str) -> Result<(), Error> {
        match self.engine.cancel(run).await {
            Err(error) if error.kind() != Kind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Where it is restored to: whatever a worker that knows no drills did there, it would be in no database of anybody's.
fn target(schedule: &Schedule, verify: &Verify) -> Database {
    let server = verify.server.as_ref().unwrap_or(&schedule.plan.source);
    Database {
        name: Drill::name(schedule.name.as_str()),
        ..server.clone()
    }
}

/// The restore that proves the newest backup of a schedule.
fn newest(schedule: &Schedule, verify: &Verify, request: &str) -> Restore {
    let plan = &schedule.plan;
    let target = target(schedule, verify);
    let is_kept = target.password.is_kept();
    let is_own = verify.server.is_none();
    Restore {
        target,
        store: plan.store.clone(),
        revision: Revision::Count(0),
        identity: Credential::Ambient,
        core: None,
        request_id: request.to_owned(),
        as_of: None,
        // A drill that is late takes nothing from anybody.
        begin_by: None,
        source: Some(plan.source.place()),
        lent: Some(Lent {
            by: schedule.name.clone(),
            password: is_kept && is_own,
            drills: is_kept && !is_own,
        }),
        wishes: Wishes::of_a_drill(),
        layout: schedule.own().layout,
        drill: Some(Drill {
            sql: verify.sql.clone(),
            image: None,
        }),
        ttl: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance;

    /// What is kept of one login's password is lent for no other.
    #[test]
    fn a_drill_is_of_the_newest_backup_into_what_is_nobodys_with_the_password_of_its_own_login() {
        let mut schedule = conformance::schedule("nightly");
        schedule.plan.source.password = Credential::Inline(None);
        let mut verify = Verify {
            cron: "@daily".parse().unwrap(),
            server: None,
            sql: vec!["SELECT 1".to_owned()],
        };
        let own = newest(&schedule, &verify, "verify-1");
        assert_eq!(own.target.place(), "db.example:5432/restore_drill_nightly");
        assert_eq!(own.source.as_deref(), Some("db.example:5432/shop"));
        let lent = own.lent.clone().unwrap();
        assert_eq!((lent.password, lent.drills), (true, false));
        assert!(own.may_borrow_of(&schedule));

        let mut server = schedule.plan.source.clone();
        server.host = "drills.example".to_owned();
        verify.server = Some(server);
        let other = newest(&schedule, &verify, "verify-1");
        let lent = other.lent.clone().unwrap();
        assert_eq!((lent.password, lent.drills), (false, true));
        assert!(!other.may_borrow_of(&schedule), "it has no such server");
        schedule.options.get_or_insert_default().verify = Some(verify.clone());
        assert!(other.may_borrow_of(&schedule));
        if let Some(server) = &mut verify.server {
            server.password = Credential::Ambient;
        }
        let trusted = newest(&schedule, &verify, "verify-1").lent.unwrap();
        assert!(!trusted.password && !trusted.drills);
    }
}
