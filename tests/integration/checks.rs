//! What the scheduler finds out before it answers, against a real server and a real store: what is wrong
//! is told as the worker would, and what only seems so from here is told apart. (S16)

use std::fmt::Debug;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use backuper::job::BackupJob;
use backuper::runtime::settings::read_from;
use restorer::job::RestoreJob;
use scheduler::service::checks::{self, Backup, Database, Disk, LIMIT, Outcome};

use super::testbed::postgres::{free_port, shared};
use super::testbed::{Env, block_on, env, folder, unique};
use super::workers::{Stage, var, with};

fn job<J: clap::CommandFactory + clap::FromArgMatches>(env: &Env) -> J {
    let pairs = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    read_from(pairs).expect("a job")
}

fn backup_on(disk: Disk, env: &Env) -> Outcome<Database> {
    block_on(checks::backup(&job::<BackupJob>(env), disk))
}

fn backup(env: &Env) -> Outcome<Database> {
    backup_on(Disk::Apart, env)
}

fn restore(env: &Env) -> Outcome<Backup> {
    block_on(checks::restore(&job::<RestoreJob>(env), Disk::Apart))
}

#[track_caller]
fn wrong<T: Debug>(outcome: Outcome<T>, words: &[&str]) {
    let Outcome::Wrong(sentence) = outcome else {
        panic!("{words:?}: {outcome:?}");
    };
    for word in words {
        assert!(sentence.contains(word), "{word}: {sentence}");
    }
}

#[track_caller]
fn unknown<T: Debug>(outcome: Outcome<T>, words: &[&str]) {
    let Outcome::Unknown(sentence) = outcome else {
        panic!("{words:?}: {outcome:?}");
    };
    for word in words {
        assert!(sentence.contains(word), "{word}: {sentence}");
    }
}

#[track_caller]
fn sound<T: Debug>(outcome: Outcome<T>) -> T {
    let Outcome::Sound(found) = outcome else {
        panic!("{outcome:?}");
    };
    found
}

#[test]
fn a_request_that_will_do_is_sound_and_leaves_nothing() {
    let stage = Stage::new("sound");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let version = stage.database.sql("SHOW server_version_num");
    let major = version.parse::<u32>().unwrap() / 10_000;
    assert_eq!(
        sound(backup(&stage.env())),
        Database {
            major,
            several: None
        }
    );
    stage.nothing_is_stored();

    let key = stage.back_up(&env([]));
    let keys = stage.s3.keys();
    let (whole, name) = (
        with(&stage.env(), &var("DB_NAME", &unique("missing_"))),
        key.as_str(),
    );
    let found = sound(restore(&stage.env()));
    assert_eq!(found.key, key);
    let streams = stage.s3.objects().into_iter();
    let streams = streams.filter(|it| !it.key.ends_with("manifest.json"));
    assert_eq!(found.bytes, streams.map(|it| it.size).sum::<u64>());
    let age = jiff::Timestamp::now().duration_since(found.taken_at);
    assert!((0..60).contains(&age.as_secs()), "{age}");
    let told = found.to_string();
    assert!(told.starts_with(&key) && told.ends_with("bytes"), "{told}");
    // A database that is missing is made; whose backup it gets is named then.
    let named = with(&whole, &var("BACKUP_REVISION", name));
    assert_eq!(sound(restore(&named)), found);
    assert_eq!(stage.s3.keys(), keys);
}

#[test]
fn what_the_database_answers_is_told_as_the_worker_tells_it() {
    let stage = Stage::new("wrong");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.back_up(&env([]));
    let with = |more: &Env| with(&stage.env(), more);
    let password = with(&var("DB_PASSWORD", "hunter2"));
    wrong(
        backup(&password),
        &["password authentication failed", "DB_PASSWORD"],
    );
    wrong(
        restore(&password),
        &["password authentication failed", "DB_PASSWORD"],
    );
    let none = with(&var("DB_PASSWORD", ""));
    wrong(backup(&none), &["password missing", "set DB_PASSWORD"]);
    let tls = with(&var("DB_SSLMODE", "require"));
    wrong(backup(&tls), &["does not support TLS"]);
    let missing = with(&var("DB_NAME", "no such database"));
    wrong(backup(&missing), &["does not exist", "check DB_NAME"]);
    wrong(restore(&missing), &["no backup 0", "correct DB_NAME"]);
    let role = unique("lowly_");
    shared().sql(
        "postgres",
        &format!("CREATE ROLE {role} LOGIN PASSWORD 'p'"),
    );
    let lowly = with(&env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]));
    wrong(
        backup(&lowly),
        &["may not read table public.t", "pg_read_all_data"],
    );
    // As the worker says it, word for word.
    let Outcome::Wrong(sentence) = backup(&password) else {
        panic!("{password:?}");
    };
    let ended = stage.backup(&var("DB_PASSWORD", "hunter2"));
    assert!(ended.last_line().contains(&sentence), "{sentence}: {ended}");
    assert!(!sentence.contains("hunter2"), "{sentence}");
}

#[test]
fn what_the_store_answers_is_told_as_the_worker_tells_it() {
    let stage = Stage::new("wrongstore");
    wrong(
        restore(&stage.env()),
        &["no backup 0", "there is none at all"],
    );
    let key = stage.back_up(&env([]));
    let with = |more: &Env| with(&stage.env(), more);
    for (more, hint) in [
        (("S3_ACCESS_KEY", "AKNOBODY"), "correct S3_ACCESS_KEY"),
        (("S3_SECRET_KEY", "hunter2"), "correct S3_SECRET_KEY"),
        (("S3_BUCKET_NAME", "no-such-bucket"), "create the bucket"),
    ] {
        let asked = with(&env([more]));
        wrong(backup(&asked), &[hint]);
        wrong(restore(&asked), &[hint]);
        // Whoever has both wrong hears of both, and of no secret.
        let asked = with(&env([("DB_PASSWORD", "hunter3"), more]));
        let outcome = backup(&asked);
        assert!(!format!("{outcome:?}").contains("hunter"), "{outcome:?}");
        wrong(outcome, &[hint, "check DB_USER"]);
        wrong(restore(&asked), &[hint, "check DB_USER"]);
    }
    let revision = |name: &str| restore(&with(&var("BACKUP_REVISION", name)));
    wrong(revision("99"), &["no backup 99", "there are 1"]);
    wrong(revision("2020-01-01T00:00:00Z"), &["the oldest is of"]);
    wrong(revision("other/key.sql"), &["there is no such object"]);
    let schema = format!("{key}/schema.dump");
    stage.s3.remove(&schema);
    wrong(
        restore(&stage.env()),
        &[&schema, "is missing", "choose another"],
    );
}

/// Nobody knows from here whether the worker gets there.
#[test]
fn what_our_own_surroundings_may_be_the_cause_of_is_unknown() {
    let stage = Stage::new("unknown");
    stage.back_up(&env([]));
    let with = |more: &Env| with(&stage.env(), more);
    let port = free_port().to_string();
    let nobody = with(&var("DB_PORT", &port));
    unknown(backup(&nobody), &["refused", "DB_HOST"]);
    unknown(restore(&nobody), &["refused"]);
    // Which does not depend on the server.
    let late = super::workers::with(&nobody, &var("BACKUP_REVISION", "99"));
    wrong(restore(&late), &["no backup 99"]);
    let unresolved = with(&var("DB_HOST", "db.nowhere.invalid"));
    unknown(backup(&unresolved), &["db.nowhere.invalid"]);
    let authority = folder("authority").join("gone.pem");
    let authority = authority.to_str().unwrap();
    let verified = with(&env([
        ("DB_SSLMODE", "verify-full"),
        ("DB_SSLROOTCERT", authority),
    ]));
    unknown(backup(&verified), &["DB_SSLROOTCERT"]);
    let trusted = with(&var("S3_CA_FILE", authority));
    unknown(backup(&trusted), &["S3_CA_FILE"]);
    let ambient = with(&env([("S3_ACCESS_KEY", ""), ("S3_SECRET_KEY", "")]));
    unknown(backup(&ambient), &["no S3 keys were given"]);
    unknown(restore(&ambient), &["no S3 keys were given"]);
    // What is wrong is told before what is not known.
    let both = with(&env([
        ("S3_CA_FILE", authority),
        ("DB_PASSWORD", "hunter2"),
    ]));
    wrong(backup(&both), &["password authentication failed"]);
}

#[test]
fn a_place_that_does_not_answer_takes_no_longer_than_it_may() {
    let stage = Stage::new("blackhole");
    stage.back_up(&env([]));
    // Connections come about, and nobody speaks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let endpoint = format!("http://127.0.0.1:{port}");
    for more in [
        var("DB_PORT", &port),
        var("S3_ENDPOINT", &endpoint),
        env([("DB_PORT", &port), ("S3_ENDPOINT", &endpoint)]),
    ] {
        let asked = with(&stage.env(), &more);
        let start = Instant::now();
        unknown(backup(&asked), &["did not answer within 5 s"]);
        unknown(restore(&asked), &["did not answer within 5 s"]);
        let took = start.elapsed();
        assert!(took < 2 * LIMIT + Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn a_directory_is_looked_at_where_the_workers_have_the_same_disk() {
    let stage = Stage::new("disk");
    let directory = folder("store");
    let endpoint = |path: &std::path::Path| {
        let keyless = env([
            ("S3_BUCKET_NAME", ""),
            ("S3_ACCESS_KEY", ""),
            ("S3_SECRET_KEY", ""),
        ]);
        let endpoint = format!("file://{}", path.display());
        with(
            &with(&stage.env(), &keyless),
            &var("S3_ENDPOINT", &endpoint),
        )
    };
    let there = endpoint(&directory);
    unknown(backup(&there), &["on the workers' machines"]);
    sound(backup_on(Disk::Shared, &there));
    let gone = endpoint(&directory.join("gone"));
    unknown(backup(&gone), &["on the workers' machines"]);
    wrong(
        backup_on(Disk::Shared, &gone),
        &["no such directory", "mkdir"],
    );
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}
