//! Several databases of a server by one run: each a backup of its own, and each with a failure of its own.

use nix::sys::signal::Signal;

use super::encryption::Pair;
use super::testbed::core::{Core, Mood};
use super::testbed::postgres::{Cluster, Database, quoted};
use super::testbed::programs::{Ended, backuper, restorer};
use super::testbed::s3::S3;
use super::testbed::s3_faults::{Fault, Faults, Rule};
use super::testbed::{Env, env, wait_for};
use super::versions::{clients, version};
use super::workers::{var, with};

/// Names that a list, a key or a sentence could take for something else.
const ODD: [&str; 7] = ["app", "a\"b", "ü", "*", "a,b", "!x", "x y/z"];

/// A server of its own, since every database of it is meant, and a bucket.
struct Stage {
    cluster: Cluster,
    s3: S3,
}

impl Stage {
    fn new() -> Self {
        Self::on(Cluster::start(false))
    }

    fn on(cluster: Cluster) -> Self {
        let s3 = S3::start();
        Self { cluster, s3 }
    }

    /// Databases of these names with a table in each that says which it is.
    fn fill(&self, names: &[&str]) {
        for name in names {
            let database = self.cluster.named(name);
            let literal = name.replace('\'', "''");
            database.sql(&format!(
                "CREATE TABLE t AS SELECT '{literal}'::text AS name, n FROM generate_series(1, 100) n"
            ));
        }
    }

    fn env(&self, names: &str) -> Env {
        let database = self.cluster.existing(names).env();
        with(&database, &self.s3.env())
    }

    fn back_up(&self, names: &str, more: &Env) -> Ended {
        backuper(&with(&self.env(names), more)).run()
    }

    /// The folders of complete backups.
    fn backups(&self) -> Vec<String> {
        let manifests = self.s3.manifests().into_iter();
        let folder = |it: String| it.trim_end_matches("/manifest.json").to_owned();
        manifests.map(folder).collect()
    }

    /// How many complete backups a database has, by the folder that is its own.
    fn count(&self, folder: &str) -> usize {
        let of = |it: &&String| it.split('/').next() == Some(folder);
        self.backups().iter().filter(of).count()
    }

    /// Brings the newest backup of a database back into a new one; gives that.
    fn restored(&self, name: &str, more: &Env) -> Database<'_> {
        let database = self.cluster.existing(name);
        let before = (database.dump(), database.checksums());
        let drop = format!("DROP DATABASE {}", quoted(name));
        self.cluster.sql("postgres", &drop);
        restorer(&with(&self.env(name), more)).succeed();
        assert_eq!((database.dump(), database.checksums()), before, "{name}");
        database
    }
}

/// What names are in keys.
fn folder(name: &str) -> String {
    backuper::archive::key::encode(name)
}

#[track_caller]
fn all_of_a_server_come_back(stage: &Stage) {
    stage.fill(&ODD);
    stage.cluster.sql(
        "postgres",
        "CREATE DATABASE \"my template\" IS_TEMPLATE true;
         CREATE DATABASE shut ALLOW_CONNECTIONS false",
    );
    let clients = clients(&[13, 18]);
    let ended = stage.back_up("*", &with(&clients, &var("DATABASE_JOBS", "3")));
    ended.expect_code(0);
    let last = ended.last_line();
    assert!(
        last.contains("8 of 8 databases are backed up and verified: \"!x\", \"*\", \"a\"\"b\", \"a,b\", app, postgres, x y/z, ü ("),
        "{ended}"
    );
    assert_eq!(stage.backups().len(), 8, "templates are passed over");
    for name in ODD {
        assert_eq!(stage.count(&folder(name)), 1, "{name}");
        stage.restored(name, &clients);
    }
}

#[test]
fn all_databases_of_a_server_are_backed_up_but_templates_and_each_comes_back_on_18() {
    all_of_a_server_come_back(&Stage::on(Cluster::of(version(18), false)));
}

#[test]
fn all_databases_of_a_server_are_backed_up_but_templates_and_each_comes_back_on_13() {
    all_of_a_server_come_back(&Stage::on(Cluster::of(version(13), false)));
}

/// Who may create a database of this name switches off nobody's backups with it.
#[test]
fn a_database_that_is_called_star_is_meant_by_its_name_in_quotes_alone() {
    let stage = Stage::new();
    stage.fill(&["app", "*"]);
    stage.back_up("*,!postgres", &env([])).expect_code(0);
    assert_eq!((stage.count("app"), stage.count(&folder("*"))), (1, 1));
    let ended = stage.back_up("\"*\"", &env([]));
    ended.expect_code(0);
    assert!(ended.last_line().contains("backup complete and verified: "));
    assert_eq!(stage.backups().len(), 3);
    assert_eq!(stage.count(&folder("*")), 2);
}

#[test]
fn a_list_is_found_anew_at_each_run_and_what_is_dropped_keeps_its_backups() {
    let stage = Stage::new();
    stage.fill(&["app", "test_1", "tmp"]);
    let list = "*, !test_*, !postgres";
    let keep = var("MAX_BACKUP_COUNT", "1");
    stage.back_up(list, &keep).expect_code(0);
    let of_tmp = stage
        .backups()
        .into_iter()
        .find(|it| it.starts_with("tmp/"));
    stage.cluster.sql("postgres", "DROP DATABASE tmp");
    stage.fill(&["new"]);
    stage.back_up(list, &keep).expect_code(0);
    let counts = ["app", "new", "tmp", "test_1", "postgres"].map(|it| stage.count(it));
    assert_eq!(counts, [1, 1, 1, 0, 0], "each has a retention of its own");
    assert!(stage.backups().contains(&of_tmp.unwrap()));
}

/// One that lets us not in, and one that is named and is not there.
#[test]
fn a_failure_is_that_databases_and_the_exit_code_says_partly() {
    let stage = Stage::new();
    stage.fill(&["app", "closed", "shop"]);
    stage.cluster.sql(
        "postgres",
        "CREATE ROLE reader LOGIN PASSWORD 'p'; GRANT pg_read_all_data TO reader;
         REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
         REVOKE CONNECT ON DATABASE postgres FROM PUBLIC",
    );
    let core = Core::start(Mood::Recording);
    let reader = env([
        ("DB_USER", "reader"),
        ("DB_PASSWORD", "p"),
        ("CORE_ADDR", core.address().as_str()),
    ]);
    let ended = stage.back_up("*,gone,!postgres", &reader);
    ended.expect_code(3);
    let last = ended.last_line();
    assert!(
        last.contains("2 of 4 databases are backed up; closed: "),
        "{ended}"
    );
    assert!(
        last.contains("permission denied for database \"closed\""),
        "{ended}"
    );
    assert!(
        last.contains("gone: ") && last.contains("\"gone\" does not exist"),
        "{ended}"
    );
    // The maintenance database lets nobody in, and another one told which there are.
    assert!(ended.stderr.contains("template1 instead"), "{ended}");
    assert_eq!((stage.count("app"), stage.count("shop")), (1, 1));
    let server = format!("127.0.0.1:{}", stage.cluster.port());
    let mut told: Vec<(String, bool)> = core
        .backups()
        .into_iter()
        .map(|it| (it.name.replace(&server, "S"), it.success))
        .collect();
    told.sort();
    let want = [
        ("S/*,gone,!postgres", false),
        ("S/app", true),
        ("S/closed", false),
        ("S/gone", false),
        ("S/shop", true),
    ];
    assert_eq!(told, want.map(|(name, success)| (name.to_owned(), success)));
    let ended = stage.back_up("closed,gone", &reader);
    ended.expect_code(2);
    assert!(ended.last_line().contains("0 of 2 databases are backed up"));
    let ended = stage.back_up("*", &with(&reader, &var("MAINTENANCE_DB", "postgres")));
    ended.expect_code(2);
    assert!(ended.last_line().contains("set MAINTENANCE_DB"), "{ended}");
    let ended = stage.back_up("*,!postgres", &with(&reader, &var("MAINTENANCE_DB", "app")));
    ended.expect_code(3);
}

#[test]
fn one_that_fails_in_the_middle_leaves_nothing_and_the_others_are_whole() {
    let stage = Stage::new();
    stage.fill(&["a", "b", "c"]);
    // What it stores first is taken, and no more.
    let faults = Faults::start(stage.s3.port());
    faults.add(Rule {
        method: "PUT",
        path: "/b/".to_owned(),
        skip: 2,
        times: 99,
        fault: Fault::Answer(403),
    });
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let ended = stage.back_up("?", &with(&through, &var("DATABASE_JOBS", "2")));
    ended.expect_code(3);
    assert!(!faults.struck().is_empty());
    let last = ended.last_line();
    assert!(
        last.contains("2 of 3 databases are backed up; b: "),
        "{ended}"
    );
    let keys = stage.s3.keys();
    assert!(
        keys.iter().all(|it| !it.starts_with("b/")),
        "{keys:?}\n{ended}"
    );
    assert_eq!((stage.count("a"), stage.count("c")), (1, 1));
}

#[test]
fn what_means_nothing_is_refused_with_what_there_is() {
    let stage = Stage::new();
    stage.fill(&["app", "a,b"]);
    let ended = stage.back_up("shop*,x?", &env([]));
    ended.expect_code(2);
    let last = ended.last_line();
    assert!(last.contains("there are \"a,b\", app, postgres"), "{ended}");
    for (text, why) in [
        ("!app", "only what is left out"),
        ("a\"b,c", "double quote"),
        ("app,", "a name is missing"),
    ] {
        let ended = stage.back_up(text, &env([]));
        ended.expect_code(2);
        assert!(ended.last_line().contains("DB_NAME is wrong: "), "{ended}");
        assert!(ended.last_line().contains(why), "{ended}");
    }
    assert_eq!(stage.s3.keys(), Vec::<String>::new());
}

#[test]
fn a_line_of_the_log_says_which_database_it_is_about() {
    let stage = Stage::new();
    stage.fill(&["a", "b"]);
    let more = env([("DATABASE_JOBS", "2"), ("LOG_FORMAT", "json")]);
    let ended = stage.back_up("a,b", &more);
    ended.expect_code(0);
    let lines = ended.stderr.lines();
    let lines: Vec<serde_json::Value> = lines.map(|it| serde_json::from_str(it).unwrap()).collect();
    let of = |name: &str| {
        let place = format!("127.0.0.1:{}/{name}", stage.cluster.port());
        let its = lines
            .iter()
            .filter(move |it| it["database"] == place.as_str());
        its.map(|it| it["message"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for name in ["a", "b"] {
        let said = of(name);
        assert_eq!(said.first().map(String::as_str), Some("ready"), "{said:?}");
        let last = said.last().unwrap();
        assert!(
            last.starts_with("backup complete and verified: "),
            "{said:?}"
        );
    }
    // But for the first and the last, which are about all.
    let of_all = lines.iter().filter(|it| it["database"].is_null()).count();
    assert_eq!(of_all, 2, "{ended}");
}

#[test]
fn a_stop_in_the_middle_keeps_what_is_done_and_begins_nothing_more() {
    let stage = Stage::new();
    stage.fill(&["a", "b", "c"]);
    // The second waits for this lock.
    let holder = stage.cluster.tool("psql", "b");
    let mut holder = holder
        .args([
            "-X",
            "-c",
            "BEGIN; LOCK TABLE t; SELECT 'locked'; SELECT pg_sleep(600)",
        ])
        .start();
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass";
    wait_for("the lock", || {
        (stage.cluster.sql("b", locked) == "1").then_some(())
    });
    let running = backuper(&stage.env("a,b,c")).start();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
    wait_for("the backup waits", || {
        (stage.cluster.sql("b", waits) == "1").then_some(())
    });
    running.signal(Signal::SIGTERM);
    let ended = running.wait();
    ended.expect_code(143);
    let last = ended.last_line();
    assert!(
        last.contains("1 of 3 databases are backed up (a); run it again"),
        "{ended}"
    );
    let keys = stage.s3.keys();
    assert!(keys.iter().all(|it| it.starts_with("a/")), "{keys:?}");
    assert!(!holder.ended());
    holder.signal(Signal::SIGKILL);
    stage.restored("a", &env([]));
}

#[test]
fn several_are_dumped_in_plain_sql_and_encrypted_too() {
    let stage = Stage::new();
    stage.fill(&["app", "ü,"]);
    let sql = var("FORMAT", "sql.gz");
    stage.back_up("*,!postgres", &sql).expect_code(0);
    let keys = stage.s3.keys();
    let dumps = |of: &str| {
        keys.iter()
            .filter(|it| it.contains(of) && it.ends_with(".manifest.json"))
            .count()
    };
    assert_eq!((dumps("app/"), keys.len()), (1, 4), "{keys:?}");
    for name in ["app", "ü,"] {
        stage.restored(name, &env([]));
    }
    let pair = Pair::new();
    let to = var("ENCRYPT_TO", &pair.public);
    stage.back_up("*,!postgres", &to).expect_code(0);
    for name in ["app", "ü,"] {
        stage.restored(name, &pair.env());
    }
}

/// Between the listing and its turn each of them goes its own way; only what a pattern has found may be missing.
#[test]
fn what_is_dropped_or_shut_meanwhile_is_said_and_what_is_renamed_or_written_out_fails() {
    let stage = Stage::new();
    stage.fill(&["a", "dropped", "moved", "named", "shut"]);
    let holder = stage.cluster.tool("psql", "a");
    let mut holder = holder
        .args(["-X", "-c", "BEGIN; LOCK TABLE t; SELECT pg_sleep(600)"])
        .start();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass";
    wait_for("the lock", || {
        (stage.cluster.sql("a", locked) == "1").then_some(())
    });
    let running = backuper(&stage.env("*,named,!postgres")).start();
    wait_for("the first one waits", || {
        (stage.cluster.sql("a", waits) == "1").then_some(())
    });
    for statement in [
        "DROP DATABASE dropped",
        "DROP DATABASE named",
        "ALTER DATABASE moved RENAME TO elsewhere",
        "ALTER DATABASE shut ALLOW_CONNECTIONS false",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
    ] {
        stage.cluster.sql("postgres", statement);
    }
    let ended = running.wait();
    let _its_session_was_ended = holder.ended();
    ended.expect_code(3);
    let last = ended.last_line();
    for words in [
        "1 of 3 databases are backed up; ",
        "moved: it was renamed to elsewhere",
        "named: ",
        "; dropped meanwhile: dropped",
        "; shut meanwhile: shut",
    ] {
        assert!(last.contains(words), "{words}: {ended}");
    }
}
