//! What goes through a backup comes back: databases of every kind × ways to restore × what can be
//! compared, on every PostgreSQL version that the tests install.
//!
//! [`databases`] is the table; a database is a file and a line there. [`trial`] has the ways,
//! [`picture`] what is compared.

mod databases;
mod picture;
mod publisher;
mod server;
mod subject;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use databases::Sample;
use trial::{Trial, Way, Wrong};

/// Databases side by side in one test: most of a run is waiting for programs.
const AT_ONCE: usize = 3;

const EVERY_WAY: [Way; 7] = [
    Way::OverItself,
    Way::OverChanged,
    Way::Missing,
    Way::Empty,
    Way::Archive,
    Way::Script,
    Way::Stock,
];

/// What differs between versions shows in these.
const TWO_WAYS: [Way; 2] = [Way::OverChanged, Way::Missing];

#[test]
fn every_database_comes_back_in_every_way_on_15() {
    come_back(15, &EVERY_WAY);
}

/// All of them are tried before it fails, with the list of what went wrong.
fn come_back(major: u32, ways: &[Way]) {
    let server = server::of(major);
    let samples: Vec<Sample> = databases::all()
        .into_iter()
        .filter(|it| it.is_for(major))
        .collect();
    let (waiting, failed) = (Mutex::new(samples.into_iter()), Mutex::new(Vec::new()));
    let next = || waiting.lock().expect("nobody panics with it").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(sample) = next() {
                    let wrong = try_out(server, sample, ways);
                    failed.lock().expect("nobody panics with it").extend(wrong);
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("nobody panics with it");
    failed.sort();
    assert!(
        failed.is_empty(),
        "{} cells:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// One database in these ways; gives the cells that failed.
fn try_out(server: &'static server::Server, sample: Sample, ways: &[Way]) -> Vec<String> {
    let cell = |way: &str, wrong: &Wrong| {
        let Sample { name, rows, .. } = sample;
        let about = if rows.is_empty() {
            String::new()
        } else {
            format!(" ({rows})")
        };
        format!(
            "{} {name}{about}, {way}: {}",
            server.major,
            wrong.join("\n      ")
        )
    };
    let prepared = caught(|| Trial::prepare(server, sample, ways));
    let mut trial = match prepared.map_err(|it| vec![it]).flatten() {
        Ok(Some(trial)) => trial,
        Ok(None) => return Vec::new(),
        Err(wrong) => return vec![cell("Backup", &wrong)],
    };
    let mut failed = Vec::new();
    for way in ways {
        let wrong = caught(|| trial.restore(*way)).unwrap_or_else(|it| vec![it]);
        if !wrong.is_empty() {
            failed.push(cell(&format!("{way:?}"), &wrong));
        }
    }
    failed
}

/// The words of a panic, where there is one: the other cells are to be tried as well.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()))
            .unwrap_or_else(|| "a panic".to_owned())
    })
}
