//! What every engine promises, as functions that its tests call with a fresh one.
//! They panic where a promise is broken, which is what tests want.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "called by tests alone; it lives here so that every engine's tests can"
)]

mod kept;

use std::sync::Arc;
use std::time::Duration;

use backuper::catalog::Revision;
use backuper::retention::Retention;
use futures::StreamExt as _;

use super::change::Things;
use super::{Change, Engine, Kind, Put, StartedBy, Whose};
use crate::domain::access::Places;
use crate::domain::credential::Credential;
use crate::domain::database::Database;
use crate::domain::name::Name;
use crate::domain::options::OwnLayout;
use crate::domain::restore::{Restore, Wishes};
use crate::domain::run::{Ending, Run, State};
use crate::domain::schedule::{Plan, Schedule};
use crate::domain::store::{Keys, Place, Store, Way};
use crate::workers::{WorkerSettings, Workers};

/// How long a change may take to be told.
const SOON: Duration = Duration::from_secs(20);

/// Workers that are told nothing but what a request says.
#[must_use]
pub fn workers() -> Workers {
    Workers {
        settings: WorkerSettings::plain(),
        places: Places::default(),
    }
}

/// A database to try an engine with.
#[must_use]
pub fn database(name: &str, password: &str) -> Database {
    Database {
        host: "db.example".to_owned(),
        port: 5432,
        name: name.to_owned(),
        user: "postgres".to_owned(),
        password: Credential::Inline(Some(password.into())),
        sslmode: None,
        authorities: None,
    }
}

/// A store to try an engine with.
#[must_use]
pub fn store() -> Store {
    let endpoint = "https://s3.example".parse().ok();
    let place = Place::of_server(endpoint, "backups".parse().ok()).expect("a place");
    let keys = Keys(vec!["conformance".into(), "conformance".into()]);
    Store::new(place, Way::Pair, Credential::Inline(Some(keys))).expect("a store")
}

/// A schedule of that name to try an engine with.
#[must_use]
pub fn schedule(name: &str) -> Schedule {
    Schedule {
        name: named(name),
        plan: Plan {
            source: database("shop", "conformance"),
            several: false,
            store: store(),
            core: None,
            cron: "30 3 * * *".parse().expect("a cron"),
            keep: Retention(7),
        },
        counts_apart: false,
        labels: None,
        options: None,
        declared: false,
    }
}

/// A name.
#[must_use]
pub fn named(name: &str) -> Name {
    name.parse().expect("a name")
}

/// A restore to try an engine with; `call` is what differs between two calls for the same one.
#[must_use]
pub fn restore(into: &str, revision: &str, call: usize) -> Restore {
    let time = |minute: usize| {
        let time = format!("2036-11-20T00:{minute:02}:{call:02}Z");
        time.parse().ok()
    };
    Restore {
        target: database(into, "conformance"),
        store: store(),
        revision: revision.parse::<Revision>().expect("a revision"),
        identity: Credential::Ambient,
        core: None,
        request_id: String::new(),
        as_of: time(0),
        begin_by: time(15),
        source: None,
        lent: None,
        wishes: Wishes::default(),
        layout: OwnLayout::default(),
        drill: None,
        ttl: None,
    }
}

/// All promises that need no worker to end.
pub async fn keeps_its_promises(engine: Arc<dyn Engine>) {
    schedules_are_idempotent(&engine).await;
    updates_need_a_schedule(&engine).await;
    kept::what_is_not_said_anew_stays_where_it_is(&engine).await;
    kept::how_far_drills_are_is_kept_beside_their_schedule(&engine).await;
    a_schedule_that_was_given_to_another_database_is_not_taken_back(&engine).await;
    callers_at_the_same_time_agree(&engine).await;
    one_restore_at_a_time_into_a_database(&engine).await;
    a_run_that_was_cancelled_does_not_begin(&engine).await;
    a_schedule_rests_until_it_is_let_go(&engine).await;
    a_schedule_runs_when_somebody_asks(&engine).await;
    what_is_kept_is_told(&engine).await;
    what_is_deleted_is_gone(&engine).await;
    tidying_finds_nothing_to_do(&engine).await;
}

async fn schedules_are_idempotent(engine: &Arc<dyn Engine>) {
    let wanted = schedule("backup-00000001-postgres");
    let put = async |it: &Schedule, whose| engine.put(it, whose).await.expect("put");
    assert_eq!(put(&wanted, Whose::Its).await, Put::Created);
    assert_eq!(put(&wanted, Whose::Its).await, Put::Unchanged);
    assert_eq!(put(&wanted, Whose::Anybodys).await, Put::Unchanged);
    let mut more = wanted.clone();
    more.plan.keep = Retention(8);
    let changed = Put::Changed(vec!["max_backup_count"]);
    assert_eq!(put(&more, Whose::Its).await, changed);
    more.plan.cron = "@hourly".parse().expect("a cron");
    let changed = Put::Changed(vec!["schedule"]);
    assert_eq!(put(&more, Whose::Anybodys).await, changed);
    let kept = engine.schedule(&more.name).await.expect("read");
    let kept = kept.expect("there");
    assert!(kept.changes_from(&more).is_empty(), "{kept:?}");
    let error = engine.put(&wanted, Whose::Its).await;
    let kind = error.expect_err("it runs at other times by now").kind();
    assert_eq!(kind, Kind::Occupied);
}

async fn updates_need_a_schedule(engine: &Arc<dyn Engine>) {
    let wanted = schedule("backup-00000002-postgres");
    let error = engine.put(&wanted, Whose::Anybodys).await;
    assert_eq!(error.expect_err("there is none").kind(), Kind::NotFound);
    let none = engine.schedule(&wanted.name).await.expect("read");
    assert!(none.is_none(), "{none:?}");
}

async fn a_schedule_that_was_given_to_another_database_is_not_taken_back(engine: &Arc<dyn Engine>) {
    let first = schedule("backup-00000006-postgres");
    engine.put(&first, Whose::Its).await.expect("made");
    let mut second = first.clone();
    second.plan.source.name = "crm".to_owned();
    let put = engine.put(&second, Whose::Anybodys).await.expect("changed");
    assert_eq!(put, Put::Changed(vec!["database"]));
    let error = engine.put(&first, Whose::Its).await;
    assert_eq!(error.expect_err("another's").kind(), Kind::Occupied);
    engine
        .put(&second, Whose::Its)
        .await
        .expect("it is its own");
    let of = |name: &str| Whose::OfDatabase(format!("db.example:5432/{name}"));
    let error = engine.put(&first, of("shop")).await;
    assert_eq!(error.expect_err("it is crm's").kind(), Kind::Denied);
    engine.put(&first, of("crm")).await.expect("crm's own");
    engine.put(&second, of("shop")).await.expect("shop's own");
    engine.put(&first, Whose::Anybodys).await.expect("changed");
    engine.put(&first, Whose::Its).await.expect("its own again");
}

async fn callers_at_the_same_time_agree(engine: &Arc<dyn Engine>) {
    let calls = (0..4).map(|call| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let wanted = schedule("backup-00000003-postgres");
            let put = engine.put(&wanted, Whose::Its).await;
            put.expect("made by one of us");
            let wanted = restore("three", "0", call);
            engine.start(&wanted).await.expect("started by one of us")
        })
    });
    let mut begun = 0;
    let mut names = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let started = call.await.expect("no panic");
        begun += usize::from(started.by == StartedBy::ThisCall);
        names.push(started.name);
    }
    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
    // A caller may finish what another has begun, and then both have found it.
    assert!(begun <= 1, "{begun}");
}

async fn one_restore_at_a_time_into_a_database(engine: &Arc<dyn Engine>) {
    let first = engine.start(&restore("four", "0", 1)).await;
    let first = first.expect("started");
    let again = engine.start(&restore("four", "0", 2)).await.expect("found");
    assert_eq!(
        (again.name, again.by),
        (first.name.clone(), StartedBy::Earlier)
    );
    let error = engine.start(&restore("four", "1", 3)).await;
    assert_eq!(error.expect_err("refused").kind(), Kind::Precondition);
    let other = engine.start(&restore("five", "1", 4)).await;
    assert_ne!(other.expect("another database").name, first.name);
}

async fn a_run_that_was_cancelled_does_not_begin(engine: &Arc<dyn Engine>) {
    let started = engine
        .start(&restore("six", "0", 1))
        .await
        .expect("started");
    for _ in 0..2 {
        engine.cancel(&started.name).await.expect("cancelled");
    }
    let run = told(engine, |it| {
        it.name == started.name && it.state.ending().is_some()
    })
    .await;
    assert_eq!(run.state, State::Ended(Ending::Cancelled));
    let error = engine.cancel("restore-ffffffffffffffff-postgres").await;
    assert_eq!(error.expect_err("there is none").kind(), Kind::NotFound);
    engine.acknowledge(&run).await.expect("told");
    let run = told(engine, |it| it.name == started.name && it.told).await;
    assert_eq!(run.state, State::Ended(Ending::Cancelled));
    let next = engine.start(&restore("six", "1", 2)).await;
    assert_ne!(next.expect("nothing is under way").name, started.name);
    a_request_that_was_cancelled_is_not_begun_by_repeating_it(engine).await;
}

async fn a_request_that_was_cancelled_is_not_begun_by_repeating_it(engine: &Arc<dyn Engine>) {
    let named = |call| Restore {
        request_id: "monday".to_owned(),
        ..restore("ten", "0", call)
    };
    let started = engine.start(&named(1)).await.expect("started");
    engine.cancel(&started.name).await.expect("cancelled");
    let is_over = |it: &Run| it.name == started.name && it.state.ending().is_some();
    let run = told(engine, is_over).await;
    engine.acknowledge(&run).await.expect("told");
    let again = engine.start(&named(2)).await.expect("found");
    assert_eq!(again.name, started.name);
    assert_eq!(again.by, StartedBy::EarlierEnded);
}

/// A run that is told, in the state that is asked for.
pub async fn told(engine: &Arc<dyn Engine>, is_it: impl Fn(&Run) -> bool) -> Run {
    let mut changes = engine.changes();
    let waiting = async {
        loop {
            match changes.next().await.expect("it goes on") {
                Change::Run(run) if is_it(&run) => return *run,
                _ => {}
            }
        }
    };
    let waited = tokio::time::timeout(SOON, waiting).await;
    waited.expect("the run is told in time")
}

async fn a_schedule_rests_until_it_is_let_go(engine: &Arc<dyn Engine>) {
    let wanted = schedule("backup-00000008-postgres");
    let error = engine.suspend(&wanted.name, true).await;
    assert_eq!(error.expect_err("there is none").kind(), Kind::NotFound);
    engine.put(&wanted, Whose::Its).await.expect("made");
    for suspended in [true, true, false, false, true] {
        engine
            .suspend(&wanted.name, suspended)
            .await
            .expect("it is there");
        let becomes = |it: &Change| matches!(it, Change::Schedule(it) if it.schedule.name == wanted.name && it.suspended == suspended);
        heard(engine, becomes).await;
    }
    engine.put(&wanted, Whose::Its).await.expect("unchanged");
    let still = |it: &Change| matches!(it, Change::Schedule(it) if it.schedule.name == wanted.name && it.suspended);
    heard(engine, still).await;
}

async fn a_schedule_runs_when_somebody_asks(engine: &Arc<dyn Engine>) {
    let wanted = schedule("backup-00000009-postgres");
    let error = engine.run(&wanted.name, "").await;
    assert_eq!(error.expect_err("there is none").kind(), Kind::NotFound);
    engine.put(&wanted, Whose::Its).await.expect("made");
    engine
        .suspend(&wanted.name, true)
        .await
        .expect("it is there");
    let started = engine.run(&wanted.name, "one").await.expect("started");
    assert_eq!(started.by, StartedBy::ThisCall);
    for request in ["one", "two", ""] {
        let again = engine.run(&wanted.name, request).await.expect("found");
        assert_eq!(again.by, StartedBy::Earlier, "{request}");
        assert_eq!(again.name, started.name, "{request}");
    }
    let run = told(engine, |it| it.name == started.name).await;
    assert_eq!(run.schedule.as_deref(), Some(wanted.name.as_str()));
    assert_eq!(run.database, "db.example:5432/shop");
    engine.cancel(&started.name).await.expect("cancelled");
    told(engine, |it| {
        it.name == started.name && it.state.ending().is_some()
    })
    .await;
    let again = engine.run(&wanted.name, "one").await.expect("found");
    assert_eq!(again.by, StartedBy::EarlierEnded);
    let other = engine.run(&wanted.name, "two").await.expect("started");
    assert_eq!(other.by, StartedBy::ThisCall);
    engine.delete(&wanted.name).await.expect("deleted");
}

/// Waits for a change.
async fn heard(engine: &Arc<dyn Engine>, is_it: impl Fn(&Change) -> bool) {
    let mut changes = engine.changes();
    let hearing = async { while !is_it(&changes.next().await.expect("it goes on")) {} };
    let heard = tokio::time::timeout(SOON, hearing).await;
    heard.expect("it is told in time");
}

async fn what_is_kept_is_told(engine: &Arc<dyn Engine>) {
    let mut changes = engine.changes();
    let mut names = Vec::new();
    let mut runs = Vec::new();
    let mut listed = 0;
    while listed < 2 {
        let change = tokio::time::timeout(SOON, changes.next()).await;
        match change.expect("in time").expect("it goes on") {
            // What is gone is of a schedule that was deleted before this.
            Change::Listing(Things::Schedules | Things::Runs) | Change::RunGone(_) => {}
            Change::Listed(_) => listed += 1,
            Change::Schedule(it) => names.push(it.schedule.name.to_string()),
            Change::Run(run) => runs.push(run.database),
            other => panic!("nothing has changed: {other:?}"),
        }
    }
    for name in ["backup-00000001-postgres", "backup-00000006-postgres"] {
        assert!(names.iter().any(|it| it == name), "{names:?}");
    }
    for database in ["db.example:5432/three", "db.example:5432/five"] {
        assert!(runs.iter().any(|it| it == database), "{runs:?}");
    }
}

async fn what_is_deleted_is_gone(engine: &Arc<dyn Engine>) {
    let wanted = schedule("backup-00000007-postgres");
    engine.put(&wanted, Whose::Its).await.expect("made");
    let mut changes = engine.changes();
    let mut hear = async |is_it: &dyn Fn(&Change) -> bool| {
        let hearing = async { while !is_it(&changes.next().await.expect("it goes on")) {} };
        let heard = tokio::time::timeout(SOON, hearing).await;
        heard.expect("it is told in time");
    };
    hear(&|it| matches!(it, Change::Schedule(it) if it.schedule.name == wanted.name)).await;
    for _ in 0..2 {
        engine.delete(&wanted.name).await.expect("deleted");
    }
    let none = engine.schedule(&wanted.name).await.expect("read");
    assert!(none.is_none(), "{none:?}");
    hear(&|it| matches!(it, Change::ScheduleGone(name) if *name == wanted.name)).await;
}

async fn tidying_finds_nothing_to_do(engine: &Arc<dyn Engine>) {
    let tidied = engine.tidy().await.expect("tidied");
    assert!(tidied.unchanged >= 2, "{tidied:?}");
    assert!(!tidied.found_something(), "{tidied:?}");
}
