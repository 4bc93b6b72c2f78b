//! What goes through a backup comes back: databases of every kind × ways to restore × what can be
//! compared, on every PostgreSQL version that the tests install.
//!
//! [`databases`] is the table: a database is a file and a line there. [`trial`] has the ways,
//! [`picture`] what is compared. With `ROUND_TRIPS_OF=types,views` only these are tried. What stock
//! tools cannot do either has its reason in the table, or in [`limits`] where no dump shows it.

mod databases;
mod limits;
mod locks;
mod moment;
mod owners;
mod picture;
mod publisher;
pub(crate) mod server;
mod subject;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use databases::Sample;
use server::Server;
use trial::{Trial, Way, Wrong};

/// Databases side by side in one test.
const AT_ONCE: usize = 2;

const EVERY_WAY: [Way; 7] = [
    Way::OverItself,
    Way::OverChanged,
    Way::Missing,
    Way::Empty,
    Way::Archive,
    Way::Script,
    Way::Stock,
];

/// What versions differ in shows in these.
const TWO_WAYS: [Way; 2] = [Way::OverChanged, Way::Missing];

#[test]
fn objects_of_every_kind_come_back_in_every_way() {
    come_back(15, databases::kinds(), &EVERY_WAY);
}

#[test]
fn odd_contents_come_back_in_every_way() {
    come_back(15, databases::oddities(), &EVERY_WAY);
}

#[test]
fn what_belongs_to_the_database_comes_back_in_every_way() {
    come_back(15, databases::of_the_database(), &EVERY_WAY);
}

#[test]
fn over_whatever_has_happened_the_backup_comes_back_or_is_refused_by_name() {
    come_back(15, databases::changed(), &EVERY_WAY);
}

#[test]
fn extensions_and_their_rows_come_back_in_every_way() {
    come_back(15, databases::extensions(), &EVERY_WAY);
}

#[test]
fn what_cannot_come_back_is_named_in_every_way() {
    come_back(15, databases::lacking(), &EVERY_WAY);
}

#[test]
fn every_database_comes_back_on_13() {
    come_back(13, databases::all(), &TWO_WAYS);
}

#[test]
fn every_database_comes_back_on_14() {
    come_back(14, databases::all(), &TWO_WAYS);
}

#[test]
fn every_database_comes_back_on_16() {
    come_back(16, databases::all(), &TWO_WAYS);
}

#[test]
fn every_database_comes_back_on_17() {
    come_back(17, databases::all(), &TWO_WAYS);
}

#[test]
fn every_database_comes_back_on_18() {
    come_back(18, databases::all(), &TWO_WAYS);
}

/// Tries all of them before it fails with the list of what went wrong.
fn come_back(major: u32, mut samples: Vec<Sample>, ways: &[Way]) {
    let server = server::of(major);
    let wanted = wanted();
    samples.retain(|it| {
        it.is_for(major) && wanted.as_ref().is_none_or(|names| names.contains(it.name))
    });
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
    let mut failed: Vec<String> = failed.into_inner().expect("nobody panics with it");
    failed.sort();
    assert!(
        failed.is_empty(),
        "{} cells:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// One database in these ways; gives the cells that failed.
fn try_out(server: &'static Server, sample: Sample, ways: &[Way]) -> Vec<String> {
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
    let ways: Vec<Way> = ways.iter().copied().filter(|it| sample.has(*it)).collect();
    let prepared = caught(|| Trial::prepare(server, sample, &ways));
    let mut trial = match prepared.map_err(|it| vec![it]).flatten() {
        Ok(Some(trial)) => trial,
        Ok(None) => return Vec::new(),
        Err(wrong) => return vec![cell("Backup", &wrong)],
    };
    let mut failed = Vec::new();
    for way in ways {
        let wrong = caught(|| trial.restore(way)).unwrap_or_else(|it| vec![it]);
        if !wrong.is_empty() {
            failed.push(cell(&format!("{way:?}"), &wrong));
        }
    }
    failed
}

/// The names of those that are asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever adds a database wants to see that one alone"
)]
fn wanted() -> Option<std::collections::BTreeSet<String>> {
    let names = std::env::var("ROUND_TRIPS_OF").ok()?;
    Some(names.split(',').map(str::to_owned).collect())
}

/// The words of a panic, where there is one: the other cells are to be tried as well.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()))
            .unwrap_or_else(|| "a panic".to_owned())
    })
}
