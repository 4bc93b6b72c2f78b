//! What every engine promises, as functions that its tests call with a fresh one.
//! They panic where a promise is broken, which is what tests want.

#![expect(
    clippy::expect_used,
    reason = "called by tests alone; it lives here so that every engine's tests can"
)]

use std::sync::Arc;

use backuper::job::Var;
use secrecy::SecretString;

use super::{Engine, Kind, Restore, Schedule};

/// A schedule to try an engine with.
#[must_use]
pub fn schedule(name: &str) -> Schedule {
    Schedule {
        name: name.to_owned(),
        cron: "30 3 * * *".to_owned(),
        vars: vec![
            Var::plain("DB_HOST", "db.example"),
            Var::plain("DB_NAME", "shop"),
            Var::secret("DB_PASSWORD", &SecretString::from("conformance")),
        ],
    }
}

/// A restore to try an engine with; `call` is what differs between two calls for the same one.
#[must_use]
pub fn restore(database: &str, revision: &str, call: usize) -> Restore {
    Restore {
        database: database.to_owned(),
        vars: vec![
            Var::plain("DB_HOST", "db.example"),
            Var::plain("BACKUP_REVISION", revision),
            Var::plain("RESTORE_AS_OF", format!("2026-11-20T00:00:{call:02}Z")),
            Var::plain("RESTORE_BEGIN_BY", format!("2026-11-20T00:15:{call:02}Z")),
            Var::secret("DB_PASSWORD", &SecretString::from("conformance")),
        ],
    }
}

/// All promises that need no worker to end.
pub async fn keeps_its_promises(engine: Arc<dyn Engine>) {
    schedules_are_idempotent(&engine).await;
    updates_need_a_schedule_of_ours(&engine).await;
    a_schedule_that_was_given_to_another_database_is_not_taken_back(&engine).await;
    callers_at_the_same_time_agree(&engine).await;
    one_restore_at_a_time_into_a_database(&engine).await;
    refresh_finds_nothing_to_do(&engine).await;
}

async fn schedules_are_idempotent(engine: &Arc<dyn Engine>) {
    let wanted = schedule("backup-00000001-postgres");
    for _ in 0..2 {
        engine.ensure(&wanted).await.expect("made, then found");
    }
    for _ in 0..2 {
        let namespace = engine.namespace();
        engine.update(namespace, &wanted).await.expect("changed");
    }
}

async fn updates_need_a_schedule_of_ours(engine: &Arc<dyn Engine>) {
    let wanted = schedule("backup-00000002-postgres");
    let error = engine.update(engine.namespace(), &wanted).await;
    assert_eq!(error.expect_err("there is none").kind(), Kind::NotFound);
    let error = engine.update("somewhere-else", &wanted).await;
    assert_eq!(error.expect_err("not ours").kind(), Kind::Denied);
}

async fn a_schedule_that_was_given_to_another_database_is_not_taken_back(engine: &Arc<dyn Engine>) {
    let first = schedule("backup-00000006-postgres");
    engine.ensure(&first).await.expect("made");
    let mut second = first.clone();
    second.vars[1] = Var::plain("DB_NAME", "crm");
    let namespace = engine.namespace();
    engine.update(namespace, &second).await.expect("changed");
    let error = engine.ensure(&first).await.expect_err("it is another's");
    assert_eq!(error.kind(), Kind::Occupied);
    engine.ensure(&second).await.expect("it is its own");
    engine.update(namespace, &first).await.expect("changed");
    engine.ensure(&first).await.expect("its own again");
}

async fn callers_at_the_same_time_agree(engine: &Arc<dyn Engine>) {
    let calls = (0..4).map(|call| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let wanted = schedule("backup-00000003-postgres");
            engine.ensure(&wanted).await.expect("made by one of us");
            let wanted = restore("00000003", "0", call);
            engine.restore(&wanted).await.expect("started by one of us")
        })
    });
    let mut begun = 0;
    let mut names = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let running = call.await.expect("no panic");
        begun += usize::from(!running.adopted);
        names.push(running.name);
    }
    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
    // A caller may finish what another has begun, and then both have found it.
    assert!(begun <= 1, "{begun}");
}

async fn one_restore_at_a_time_into_a_database(engine: &Arc<dyn Engine>) {
    let first = engine.restore(&restore("00000004", "0", 1)).await;
    let first = first.expect("started");
    let again = engine.restore(&restore("00000004", "0", 2)).await;
    assert_eq!(again.expect("found").name, first.name);
    let error = engine.restore(&restore("00000004", "1", 3)).await;
    assert_eq!(error.expect_err("refused").kind(), Kind::Precondition);
    let other = engine.restore(&restore("00000005", "1", 4)).await;
    assert_ne!(other.expect("another database").name, first.name);
}

async fn refresh_finds_nothing_to_do(engine: &Arc<dyn Engine>) {
    let refreshed = engine.refresh().await.expect("refreshed");
    assert!(refreshed.unchanged >= 2, "{refreshed:?}");
    let changed = refreshed.updated + refreshed.removed + refreshed.left;
    assert_eq!(changed, 0, "{refreshed:?}");
}
