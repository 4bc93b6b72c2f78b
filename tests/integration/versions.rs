//! Servers and clients of different majors: row U19. What goes through a backup of each major is in
//! `roundtrip`, which asserts its pg_dump too.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::cluster::kept_by;
use super::testbed::postgres::{self, Cluster, Version};
use super::testbed::{Env, env};
use super::workers::{Stage, var};

/// What the majors have differed in: large objects with privileges (grouped from 17 on), generated
/// and identity columns, partitions, views, sequences, privileges.
const CONTENTS: &str = include_str!("versions.sql");

/// Values of each type that are compared: as many as `VALUES` says (`make values`), or so few.
#[expect(
    clippy::disallowed_methods,
    reason = "no program's setting, but the tests' own"
)]
pub(crate) fn values_of_each_type(few: u32) -> String {
    std::env::var("VALUES").unwrap_or_else(|_not_set| few.to_string())
}

/// Where the programs of a major are.
pub(crate) fn bin_of(major: u32) -> PathBuf {
    static KEPT: OnceLock<PathBuf> = OnceLock::new();
    let kept = KEPT.get_or_init(|| kept_by("postgres-versions.sh"));
    kept.join(format!("{major}/usr/lib/postgresql/{major}/bin"))
}

/// The servers of 14 and 16 come without clients.
pub(crate) fn version(major: u32) -> Version {
    let clients = match major {
        14 => Some(postgres::installed()),
        16 => Some(bin_of(17)),
        _ => None,
    };
    Version::at(&bin_of(major), clients.as_deref())
}

/// The clients that are kept for tests, in a worker's words.
pub(crate) fn clients(majors: &[u32]) -> Env {
    let all: Vec<String> = majors
        .iter()
        .map(|it| bin_of(*it).display().to_string())
        .collect();
    var("PG_BIN_DIRS", &all.join(":"))
}

/// A database of a server of this major, with nothing in it.
pub(crate) fn empty_stage(major: u32) -> Stage {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::of(version(major), false)));
    // Its compiler would look for libraries of the release that it comes from.
    cluster.sql("postgres", "ALTER SYSTEM SET jit = off");
    cluster.sql("postgres", "SELECT pg_reload_conf()");
    Stage::on(cluster, "version")
}

/// As [`empty_stage`], with the clients that a worker has for it; that of 15 is the one that is shared.
pub(crate) fn stage_with_clients(major: u32) -> (Stage, Env) {
    match major {
        15 => (Stage::new("version"), env([])),
        16 => (empty_stage(16), clients(&[17])),
        _ => (empty_stage(major), clients(&[major])),
    }
}

pub(crate) fn stage(major: u32) -> Stage {
    let stage = empty_stage(major);
    stage.database.sql(CONTENTS);
    stage
}

/// Which pg_dump made a backup.
fn dumped_with(stage: &Stage, folder: &str) -> String {
    let manifest = stage.s3.read(&format!("{folder}/manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let version = manifest["tools"]["pg_dump"].as_str().unwrap().to_owned();
    version.split('.').next().unwrap().to_owned()
}

#[test]
fn u19_a_server_of_16_is_backed_up_and_restored_by_a_client_of_18_too() {
    let (stage, clients) = (stage(16), clients(&[18]));
    let whole = stage.database.dump();
    let folder = stage.back_up(&clients);
    assert_eq!(dumped_with(&stage, &folder), "18");
    stage
        .database
        .sql("DELETE FROM orders; DROP VIEW spent; CREATE VIEW spent AS SELECT 1 AS other");
    stage.restore(&clients).expect_code(0);
    assert!(stage.database.dump() == whole, "in place");
    let name = stage.database.name();
    let cluster = stage.database.cluster();
    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    stage.restore(&clients).expect_code(0);
    assert!(stage.database.dump() == whole, "into nothing");
    cluster.crash();
}

#[test]
fn u19_a_server_newer_than_every_client_is_refused() {
    let stage = stage(18);
    let ended = stage.backup(&clients(&[13, 17]));
    ended.expect_code(2);
    let last = ended.last_line();
    assert!(last.contains("postgresql-client-18"), "{last}");
    stage.nothing_is_stored();
    stage.database.cluster().crash();
}

#[test]
fn u19_an_old_servers_backup_goes_into_a_newer_server_and_not_back() {
    let clients = clients(&[13, 17, 18]);
    let old = stage(13);
    let new: &'static Cluster = Box::leak(Box::new(Cluster::of(version(18), false)));
    let sums = old.database.checksums();
    let folder = old.back_up(&clients);
    let there = new.named(old.database.name());
    let by_name = |key: &str| {
        let (_, name) = key.split_once('/').unwrap();
        super::workers::with(&clients, &var("BACKUP_REVISION", name))
    };
    let into = |target: &Env, key: &str| {
        let env = super::workers::with(&super::workers::with(&old.env(), target), &by_name(key));
        super::testbed::programs::restorer(&env).run()
    };
    into(&there.env(), &folder).expect_code(0);
    assert_eq!(there.checksums(), sums);
    let back = super::workers::with(&super::workers::with(&old.env(), &there.env()), &clients);
    super::testbed::programs::backuper(&back).succeed();
    let manifests = old.s3.manifests();
    let newer = manifests
        .iter()
        .find(|it| !it.starts_with(&folder))
        .unwrap();
    let ended = into(&env([]), newer.trim_end_matches("/manifest.json"));
    ended.expect_code(2);
    let last = ended.last_line();
    assert!(
        last.contains("does not go back to an older server"),
        "{last}"
    );
    old.database.cluster().crash();
    new.crash();
}

#[test]
fn u19_the_statistics_that_a_dump_of_18_brings_are_kept() {
    let stage = stage(18);
    let clients = clients(&[18]);
    // Nothing that ANALYZE would find out.
    stage.database.sql(
        "ANALYZE;
         SELECT pg_restore_attribute_stats('schemaname', 'public', 'relname', 'orders', 'attname', 'customer',
             'inherited', false, 'version', 180000, 'n_distinct', -0.123::real)",
    );
    let found = "SELECT n_distinct FROM pg_stats WHERE tablename = 'orders' AND attname = 'customer' AND NOT inherited";
    assert_eq!(stage.database.sql(found).trim(), "-0.123");
    stage.back_up(&clients);
    let name = stage.database.name();
    let cluster = stage.database.cluster();
    for before in [
        "UPDATE orders SET customer = 1; ANALYZE".to_owned(),
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public".to_owned(),
    ] {
        stage.database.sql(&before);
        stage.restore(&clients).expect_code(0);
        assert_eq!(stage.database.sql(found).trim(), "-0.123", "{before}");
        let without = "SELECT count(*) FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            AND NOT EXISTS (SELECT FROM pg_stats WHERE tablename = relname)";
        assert_eq!(stage.database.sql(without).trim(), "0", "{before}");
    }
    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    cluster.crash();
}
