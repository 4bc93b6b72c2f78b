//! What stays of a schedule where nobody says it anew.

use std::num::NonZeroU16;
use std::sync::Arc;

use backuper::retention::Retention;

use super::{heard, named, schedule};
use crate::domain::credential::Credential;
use crate::domain::drills::Drills;
use crate::domain::options::Options;
use crate::domain::question::{About, Question, Task};
use crate::domain::schedule::Schedule;
use crate::engine::{Change, Engine, Kind, Put, Whose};

/// Credentials stay for the login and the bucket that they were given for; labels, the file's mark and what a
/// schedule has of its own stay where nobody says anything of them.
pub(super) async fn what_is_not_said_anew_stays_where_it_is(engine: &Arc<dyn Engine>) {
    let mut first = schedule("kept");
    first.labels = Some([("team".to_owned(), "web".to_owned())].into());
    first.declared = true;
    first.options = Some(Options {
        jobs: NonZeroU16::new(3),
        ..Options::default()
    });
    let put = engine.put(&first, Whose::Nobodys).await.expect("made");
    assert_eq!(put, Put::Created);
    let error = engine.put(&first, Whose::Nobodys).await;
    assert_eq!(error.expect_err("taken").kind(), Kind::Occupied);

    let place = first.plan.source.place();
    let of_database = || Whose::OfDatabase(place.clone());
    let mut bare = kept(&first);
    assert_eq!(
        engine.put(&bare, of_database()).await.expect("put"),
        Put::Unchanged
    );
    bare.plan.cron = "CRON_TZ=Europe/Berlin 0 5 * * *".parse().expect("a cron");
    let put = engine.put(&bare, of_database()).await.expect("put");
    assert_eq!(put, Put::Changed(vec!["schedule", "time_zone"]));
    let found = engine
        .schedule(&first.name)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(found.plan.cron, bare.plan.cron);
    assert!(found.plan.source.password.is_kept() && found.plan.store.keys.is_kept());

    who_does_not_know_of_it_leaves_it(engine, &first, &bare).await;

    // Who was allowed to ask about one database is told nothing of another.
    let question = Question {
        task: Task::List,
        about: About::Schedule {
            name: first.name.clone(),
            place: "db.example:5432/another".to_owned(),
            of: None,
        },
    };
    let error = engine.ask(&question).await;
    assert_eq!(error.expect_err("another's").kind(), Kind::Conflict);

    let mut moved = kept(&first);
    moved.plan.source.user = "other".to_owned();
    let error = engine.put(&moved, of_database()).await;
    assert_eq!(error.expect_err("another login").kind(), Kind::Precondition);
    let nobodys = kept(&schedule("kept-2"));
    let error = engine.put(&nobodys, Whose::Nobodys).await;
    assert_eq!(
        error.expect_err("nothing is kept").kind(),
        Kind::Precondition
    );
    let none = engine.schedule(&nobodys.name).await.expect("read");
    assert!(none.is_none(), "{none:?}");
    engine.delete(&first.name).await.expect("gone");
}

/// The contract's calls.
async fn who_does_not_know_of_it_leaves_it(
    engine: &Arc<dyn Engine>,
    first: &Schedule,
    bare: &Schedule,
) {
    let mut by_contract = bare.clone();
    by_contract.labels = None;
    by_contract.declared = false;
    by_contract.options = None;
    engine
        .put(&by_contract, Whose::Anybodys)
        .await
        .expect("put");
    let found = engine
        .schedule(&first.name)
        .await
        .expect("read")
        .expect("there");
    assert_eq!((found.labels, found.declared), (first.labels.clone(), true));
    assert_eq!(found.options, first.options);
    let mut plain = bare.clone();
    plain.options = Some(Options::default());
    let put = engine.put(&plain, Whose::Anybodys).await.expect("put");
    assert_eq!(put, Put::Changed(vec!["jobs"]));
}

/// The same, with nothing at hand.
fn kept(schedule: &Schedule) -> Schedule {
    let mut schedule = schedule.clone();
    schedule.plan.source.password = Credential::Inline(None);
    schedule.plan.store.keys = Credential::Inline(None);
    schedule
}

/// What two processes keep is never mixed, and another rendering of the schedule leaves it.
pub(super) async fn how_far_drills_are_is_kept_beside_their_schedule(engine: &Arc<dyn Engine>) {
    let wanted = schedule("drilled");
    let none = Drills::default();
    let drills = |of: &str| Drills {
        of: of.to_owned(),
        ..Drills::default()
    };
    let (one, two) = (drills("one"), drills("two"));
    let keep = async |known: &Drills, now: &Drills| {
        let kept = engine.keep_drills(&wanted.name, known, now).await;
        kept.map_err(|error| error.kind())
    };
    assert_eq!(keep(&none, &one).await, Err(Kind::NotFound));
    engine.put(&wanted, Whose::Nobodys).await.expect("made");
    let told = async |drills: &Drills| {
        heard(engine, |it| {
            matches!(it, Change::Schedule(it)
                if it.schedule.name == named("drilled") && it.drills == *drills)
        })
        .await;
    };
    told(&none).await;
    assert_eq!(keep(&one, &two).await, Err(Kind::Conflict));
    assert_eq!(keep(&none, &one).await, Ok(()));
    told(&one).await;
    assert_eq!(keep(&none, &two).await, Err(Kind::Conflict));
    assert_eq!(keep(&one, &two).await, Ok(()));
    let mut more = wanted.clone();
    more.plan.keep = Retention(8);
    engine.put(&more, Whose::Anybodys).await.expect("changed");
    assert_eq!(keep(&two, &one).await, Ok(()));
    assert_eq!(keep(&one, &none).await, Ok(()));
    told(&none).await;
    assert_eq!(keep(&none, &one).await, Ok(()));
    engine.delete(&wanted.name).await.expect("gone");
    let again = schedule("drilled");
    engine.put(&again, Whose::Nobodys).await.expect("made anew");
    told(&none).await;
    engine.delete(&again.name).await.expect("gone");
}
