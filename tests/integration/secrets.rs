//! The passwords that the programs are given are nowhere but where they belong: not in logs, help,
//! errors, objects, metrics, nor in any process's arguments, which everybody on the machine sees.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::testbed::postgres::{self, Database};
use super::testbed::programs::{Prepared, backuper, restorer, scheduler};
use super::testbed::s3::S3;
use super::testbed::{Env, env, unique};

/// The secrets of one test, and the environment that has them all.
struct Secrets {
    texts: Vec<String>,
    env: Env,
}

impl Secrets {
    fn new(database: &Database<'_>, s3: &S3) -> Self {
        let password = postgres::shared().password().to_owned();
        let gateway = unique("s3cr3t-");
        let mut env = database.env();
        env.extend(s3.env());
        env.extend(super::testbed::env([
            ("RUST_LOG", "trace"),
            // Nobody listens there, so the URL gets its chance to stand in a warning.
            (
                "PUSHGATEWAY_URL",
                &format!("http://me:{gateway}@127.0.0.1:9"),
            ),
        ]));
        Self {
            texts: vec![password, s3.secret_key().to_owned(), gateway],
            env,
        }
    }

    /// The environment with one variable changed.
    fn env_with(&self, name: &str, value: &str) -> Env {
        let mut env = self.env.clone();
        env.retain(|(it, _)| it != name);
        env.push((name.to_owned(), value.to_owned()));
        env
    }

    #[track_caller]
    fn are_not_in(&self, place: &str, text: &str) {
        for secret in &self.texts {
            if let Some(at) = text.find(secret.as_str()) {
                let line = text[..at].lines().count();
                panic!("{place} has a secret in line {line}");
            }
        }
    }
}

/// Collects the arguments of every process on the machine, again and again.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Watch {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !asked.load(Ordering::SeqCst) {
                for process in std::fs::read_dir("/proc").unwrap().flatten() {
                    // A process may end between the two looks.
                    if let Ok(line) = std::fs::read(process.path().join("cmdline")) {
                        seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    /// All that was seen; `program` must be among it, or the watch has missed what it is for.
    #[track_caller]
    fn end(self, program: &str) -> String {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.thread.join().unwrap();
        let found = seen.iter().any(|it| {
            let first = it.split(' ').next().unwrap_or_default();
            Path::new(first).ends_with(program)
        });
        assert!(found, "{program} was not seen running");
        seen.into_iter().collect::<Vec<_>>().join("\n")
    }
}

fn fill(database: &Database<'_>) {
    database.sql(
        "CREATE TABLE t AS SELECT n, md5(n::text) AS s FROM generate_series(1, 300000) n; \
         CREATE INDEX ON t (s)",
    );
}

#[test]
fn a_backup_and_a_restore_show_no_secret() {
    let database = postgres::shared().database("secrets ");
    fill(&database);
    let s3 = S3::start();
    let secrets = Secrets::new(&database, &s3);

    let watch = Watch::start();
    let ended = backuper(&secrets.env).run();
    ended.expect_code(0);
    secrets.are_not_in("the backuper's log", &ended.printed());
    secrets.are_not_in("the argv of a child", &watch.end("pg_dump"));
    for key in s3.keys() {
        let bytes = s3.read(&key);
        secrets.are_not_in(&key, &String::from_utf8_lossy(&bytes));
    }

    database.sql("DELETE FROM t WHERE n % 2 = 0");
    let watch = Watch::start();
    let ended = restorer(&secrets.env).run();
    ended.expect_code(0);
    secrets.are_not_in("the restorer's log", &ended.printed());
    secrets.are_not_in("the argv of a child", &watch.end("pg_restore"));
}

#[test]
fn help_shows_no_secret() {
    let database = postgres::shared().existing("any");
    let s3 = S3::start();
    let secrets = Secrets::new(&database, &s3);
    for program in [backuper, restorer, scheduler] {
        let help = program(&secrets.env).arg("--help").run();
        help.expect_code(0);
        assert!(help.printed().len() > 200, "{help}");
        secrets.are_not_in("--help", &help.printed());
    }
}

/// Each variable made wrong in turn; every error text is looked at.
#[test]
fn an_error_shows_no_secret() {
    let database = postgres::shared().database("secrets ");
    let s3 = S3::start();
    let secrets = Secrets::new(&database, &s3);
    let mut failed = 0;
    for (name, value) in [
        ("DB_HOST", "127.0.0.2:1"),
        ("DB_PORT", "1"),
        ("DB_PORT", "x"),
        ("DB_USER", "nobody"),
        ("DB_NAME", "missing"),
        ("DB_PASSWORD", "wr0ng-password"),
        ("DB_SSLMODE", "verify-full"),
        ("DB_SSLROOTCERT", "/nowhere"),
        ("S3_ENDPOINT", "http://127.0.0.1:1"),
        ("S3_ENDPOINT", "http://user:wr0ng-password@127.0.0.1"),
        ("S3_BUCKET_NAME", "missing-bucket"),
        ("S3_ACCESS_KEY", "wrong"),
        ("S3_SECRET_KEY", "wr0ng-password"),
        ("PUSHGATEWAY_URL", "wr0ng-password"),
        ("LOG_FORMAT", "poem"),
    ] {
        for program in [backuper, restorer] {
            let ended = program(&secrets.env_with(name, value)).run();
            failed += u32::from(!ended.status.success());
            secrets.are_not_in(name, &ended.printed());
            assert!(
                !ended.printed().contains("wr0ng-password"),
                "{name}: {ended}"
            );
        }
    }
    assert!(failed >= 26, "only {failed} of 30 were refused");
}

/// A scheduler's data holds the credentials, since its workers need them after a restart.
#[test]
fn only_the_schedulers_user_may_read_its_data() {
    let data = super::testbed::folder("data");
    let mut running = scheduler(&local(&data)).start();
    let file = super::testbed::wait_for("the scheduler has a database", || {
        assert!(!running.ended(), "it ended: {}", running.printed());
        std::fs::read_dir(&data)
            .unwrap()
            .flatten()
            .find(|it| it.path().is_file())
    });
    super::testbed::wait_for("only its user may read it", || {
        let mode = file.metadata().unwrap().permissions().mode();
        (mode & 0o077 == 0).then_some(())
    });
    drop(running);
}

fn local(data: &Path) -> Env {
    env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().unwrap()),
        ("PORT", &postgres::free_port().to_string()),
        ("ADMIN_PORT", &postgres::free_port().to_string()),
    ])
}

#[test]
fn a_secret_as_an_argument_is_refused_and_not_repeated() {
    for program in ["backuper", "restorer", "scheduler"] {
        let path = super::testbed::programs::folder().join(program);
        let ended = Prepared::new(path)
            .arg("--DB_PASSWORD=wr0ng-password")
            .run();
        ended.expect_code(2);
        assert!(!ended.printed().contains("wr0ng-password"), "{ended}");
    }
}
