//! Each format in each store, encrypted or not: it comes back by our restorer, and by hand from what the store's
//! own ways of reading give, with stock tools and the commands of the pages alone.

mod by_hand;
mod place;

use serde_json::Value;

use super::encryption::Pair;
use super::testbed::postgres::{Database, shared};
use super::testbed::programs::{backuper, restorer};
use super::testbed::{Env, env, unique};
use super::workers::{var, with};
use place::Place;

/// How much of a backup is for its keys alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sealing {
    Nothing,
    Streams,
    ManifestToo,
}

impl Sealing {
    fn env(self, keys: &Pair) -> Env {
        let to = var("ENCRYPT_TO", &keys.public);
        match self {
            Self::Nothing => env([]),
            Self::Streams => to,
            Self::ManifestToo => with(&to, &var("ENCRYPT_MANIFEST", "true")),
        }
    }
}

/// The only backup that is listed; it can be restored.
fn listed(place: &Place, source: &str, layout: &Env) -> Value {
    let task = env([("BACKUPER_TASK", "list"), ("BACKUP_SOURCE", source)]);
    let ended = backuper(&with(&with(place.env(), layout), &task)).run();
    ended.expect_code(0);
    let lines = ended.stdout.lines();
    let backups = lines.filter_map(|it| {
        let line: Value = serde_json::from_str(it).ok()?;
        line.get("backup").cloned()
    });
    let mut backups: Vec<Value> = backups.collect();
    assert_eq!(backups.len(), 1, "one is kept: {ended}");
    let only = backups.remove(0);
    assert_eq!(only["problem"], Value::Null, "{ended}");
    only
}

/// What is in a database, as far as a format keeps it.
fn seen(database: &Database<'_>, format: &str) -> (String, String) {
    let owners: &[&str] = match format {
        "archive" => &[],
        _ => &["--no-owner"],
    };
    (database.checksums(), database.dump_with(owners))
}

/// The demo's shop with a hundredth of its rows: it is backed up thirty times.
fn schema() -> String {
    let rows = [("200000", "2000"), ("50000", "500"), ("80000", "800")];
    let whole = include_str!("../demo/shop.sql").to_owned();
    rows.iter().fold(whole, |text, (many, few)| {
        assert!(text.contains(many), "{many}");
        text.replace(many, few)
    })
}

/// What is backed up, and what has to come back.
struct Source<'a> {
    database: &'a Database<'a>,
    before: (String, String),
}

/// One backup: made, listed, refused without its key, restored by us and by hand.
fn comes_back(place: &Place, source: &Source<'_>, format: &str, sealing: Sealing) {
    let Source { database, before } = source;
    let what = format!("{format}, {sealing:?}");
    let keys = Pair::new();
    let layout = env([
        (
            "KEY_TEMPLATE",
            "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz",
        ),
        ("CLUSTER_NAME", "prod"),
    ]);
    let store = with(&with(&database.env(), place.env()), &layout);
    let how = env([("FORMAT", format), ("MAX_BACKUP_COUNT", "1")]);
    let job = with(&with(&store, &how), &sealing.env(&keys));
    backuper(&job).run().expect_code(0);

    let source = format!("127.0.0.1:{}/{}", shared().port(), database.name());
    let backup = listed(place, &source, &layout);
    let key = backup["key"].as_str().unwrap();
    let is_hidden = sealing == Sealing::ManifestToo;
    assert_eq!(backup["tables"].is_null(), is_hidden, "{what}: {backup}");

    let back = unique("matrix_back");
    let newest = env([
        ("DB_NAME", back.as_str()),
        ("BACKUP_SOURCE", source.as_str()),
        ("BACKUP_REVISION", "0"),
    ]);
    let asked = with(&store, &newest);
    let is_sealed = sealing != Sealing::Nothing;
    if is_sealed {
        let refused = restorer(&asked).run();
        refused.expect_code(2);
        assert!(refused.last_line().contains("encrypted"), "{refused}");
    }
    let given = if is_sealed { keys.env() } else { env([]) };
    restorer(&with(&asked, &given)).run().expect_code(0);
    let back = shared().existing(&back);
    assert!(seen(&back, format) == *before, "{what}: by our restorer");

    let copy = by_hand::copied(place, key, format);
    let readable = by_hand::readable(&copy, "orders");
    assert_eq!(readable, by_hand::expected(format, sealing), "{what}");
    std::fs::write(copy.join("backup.key"), &keys.file).unwrap();
    let hand = shared().database("matrix hand ü");
    by_hand::restore(&copy, &hand, (format, is_sealed));
    assert!(seen(&hand, format) == *before, "{what}: by hand");
}

fn everything_comes_back(place: &Place) {
    let database = shared().database("matrix ü");
    database.sql(&schema());
    for format in ["archive", "sql.gz"] {
        let before = seen(&database, format);
        let source = Source {
            database: &database,
            before,
        };
        for sealing in [Sealing::Nothing, Sealing::Streams, Sealing::ManifestToo] {
            comes_back(place, &source, format, sealing);
        }
    }
}

#[test]
fn every_format_sealed_or_not_comes_back_from_an_s3_server() {
    everything_comes_back(&Place::s3());
}

#[test]
fn every_format_sealed_or_not_comes_back_from_versitygw() {
    everything_comes_back(&Place::versitygw());
}

#[test]
fn every_format_sealed_or_not_comes_back_from_google_cloud_storage() {
    everything_comes_back(&Place::google());
}

#[test]
fn every_format_sealed_or_not_comes_back_from_azure_blob_storage() {
    everything_comes_back(&Place::azure());
}

#[test]
fn every_format_sealed_or_not_comes_back_from_a_directory() {
    everything_comes_back(&Place::directory());
}
