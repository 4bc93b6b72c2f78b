//! What a role, a database or a server sets for its sessions, and what ends them: none of it may
//! change what a backup means or end a run that only waits.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::cluster::kept_by;
use super::sql_gz::packed;
use super::testbed::postgres::Cluster;
use super::testbed::programs::{Prepared, Running, backuper, restorer};
use super::testbed::proxy::Proxy;
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::{Env, env, folder, unique, wait_for};
use super::versions;
use super::workers::{Stage, var, with};

/// Longer than any test waits: what is held up stays so until somebody acts.
const HELD: Fault = Fault::Wait(Duration::from_secs(120));

/// What a run that has to end has until it does.
const AT_ONCE: Duration = Duration::from_secs(30);
/// One that asks for twenty seconds how a transaction has ended.
const WHEN_ASKED: Duration = Duration::from_secs(90);

/// Sets something for every session in the database of a stage.
fn set(stage: &Stage, setting: &str) {
    let name = stage.database.name();
    let sql = format!("ALTER DATABASE \"{name}\" SET {setting}");
    stage.database.cluster().sql("postgres", &sql);
}

/// A session that does this and then stays as it is.
fn session(stage: &Stage, sql: &str) -> Running {
    let sql = format!("{sql}; SELECT pg_sleep(100)");
    let cluster = stage.database.cluster();
    let psql = cluster
        .tool("psql", stage.database.name())
        .env("PGAPPNAME", "the holder")
        .args(["-X", "-c", &sql])
        .start();
    wait_for("the session sleeps", || {
        let sleeps = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event = 'PgSleep'";
        (stage.database.sql(sleeps) == "1").then_some(())
    });
    psql
}

/// Ends such a session, and with it what it holds.
fn release(stage: &Stage, holder: Running) {
    holder.signal(Signal::SIGKILL);
    holder.wait();
    stage.database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
}

/// Starts a worker that stands still at a request to the store.
fn held(
    program: fn(&super::testbed::Env) -> Prepared,
    stage: &Stage,
    more: &super::testbed::Env,
    at: (&'static str, &str),
) -> (Running, Faults) {
    let faults = Faults::start(stage.s3.port());
    faults.on(at.0, at.1, 1, HELD);
    let there = var("S3_ENDPOINT", &faults.endpoint());
    let running = program(&with(&with(&stage.env(), more), &there)).start();
    wait_for("the worker is held up", || {
        (!faults.struck().is_empty()).then_some(())
    });
    (running, faults)
}

/// F20: the session that holds the lock idles for as long as rows are loaded.
#[test]
fn a_load_outlives_every_timeout_of_its_sessions() {
    let stage = Stage::new("idle");
    stage.database.sql("CREATE TABLE t AS SELECT 7 AS a");
    stage.back_up(&env([]));
    for before in ["DROP TABLE t", "UPDATE t SET a = 8"] {
        stage.database.sql(before);
        for setting in [
            "idle_session_timeout = '1s'",
            "statement_timeout = '1s'",
            "idle_in_transaction_session_timeout = '1s'",
            "lock_timeout = '1s'",
        ] {
            set(&stage, setting);
        }
        let faults = Faults::start(stage.s3.port());
        faults.on("GET", "data-000", 1, Fault::Wait(Duration::from_secs(3)));
        let there = var("S3_ENDPOINT", &faults.endpoint());
        stage.restore(&there).expect_code(0);
        assert_eq!(faults.struck().len(), 1);
        assert_eq!(stage.database.sql("SELECT a FROM t"), "7", "{before}");
    }
}

/// A machine that is busy does in a moment less than it should: here the moment is the shortest there is.
#[test]
fn a_session_that_ends_before_it_is_prepared_is_begun_anew() {
    let stage = versions::stage(17);
    for setting in [
        "idle_session_timeout",
        "transaction_timeout",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "lock_timeout",
    ] {
        set(&stage, &format!("{setting} = '1ms'"));
    }
    let clients = versions::clients(&[17]);
    stage.back_up(&clients);
    stage.restore(&clients).expect_code(0);
}

/// F20: the same of a backup, with what PostgreSQL 17 has added.
#[test]
fn a_backup_outlives_every_timeout_of_its_sessions() {
    let stage = versions::stage(17);
    for setting in [
        "idle_session_timeout = '1s'",
        "transaction_timeout = '1s'",
        "statement_timeout = '1s'",
        "idle_in_transaction_session_timeout = '1s'",
        "lock_timeout = '1s'",
    ] {
        set(&stage, setting);
    }
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "data-000", 1, Fault::Wait(Duration::from_secs(3)));
    let there = var("S3_ENDPOINT", &faults.endpoint());
    let clients = versions::clients(&[17]);
    // Ours wait at their table first, and then for the store.
    let holder = session(
        &stage,
        "SET transaction_timeout = 0; SET statement_timeout = 0; BEGIN; LOCK TABLE orders",
    );
    let there = with(&stage.env(), &with(&there, &clients));
    let running = backuper(&there).start();
    wait_for("it waits", || {
        let waits = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (stage.database.sql(waits) != "0").then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    release(&stage, holder);
    running.wait().expect_code(0);
    assert_eq!(faults.struck().len(), 1);
    stage.database.cluster().crash();
}

/// F20: without its lock a backup may be one of a database that is being replaced.
#[test]
fn a_backup_whose_lock_is_lost_ends_at_once_and_says_so() {
    let stage = Stage::new("lostlock");
    stage.fill("t", 12);
    let (running, _faults) = held(backuper, &stage, &env([]), ("PUT", "partNumber=1"));
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name = 'backuper'";
    assert_eq!(stage.database.sql(ended), "1");
    let ended = running.wait_within(AT_ONCE);
    ended.expect_code(1);
    assert!(ended.last_line().contains("lock"), "{ended}");
    stage.nothing_is_stored();
}

/// Its transaction went with it, and was never told to commit.
#[test]
fn an_in_place_restore_whose_session_is_ended_says_that_nothing_was_changed() {
    let stage = Stage::new("lostpsql");
    stage.fill("t", 4);
    stage.back_up(&env([]));
    stage.database.sql("DELETE FROM t WHERE id > 2");
    let whole = stage.database.dump();
    let faults = Faults::start(stage.s3.port());
    faults.on("GET", "data-", 1, Fault::Hold);
    let through = var("S3_ENDPOINT", &faults.endpoint());
    let running = restorer(&with(&stage.env(), &through)).start();
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name = 'restorer psql'";
    wait_for("psql waits for rows", || {
        let is_held = !faults.struck().is_empty();
        (is_held && stage.database.sql(ended) == "1").then_some(())
    });
    faults.heal();
    let ended = running.wait();
    ended.expect_code(1);
    for words in ["terminating connection", "nothing was changed"] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    assert!(stage.database.dump() == whole, "something was changed");
}

/// Half of them are in psql, which has a pipe of ours for them.
#[test]
fn binary_rows_in_place_that_are_cut_in_the_middle_change_nothing() {
    let stage = Stage::new("lostrows");
    stage.fill("t", 40);
    stage.back_up(&env([]));
    stage.database.sql("DELETE FROM t WHERE id > 2");
    let whole = stage.database.dump();
    let backend = "SELECT pid FROM pg_stat_progress_copy JOIN pg_stat_activity USING (pid, datname)
                    WHERE datname = current_database() AND application_name = 'restorer psql' AND bytes_processed > 9999999";
    for (how, code, words) in [
        ("backend", 1, "nothing was changed"),
        ("psql", 1, "psql was killed by signal 9"),
        ("SIGTERM", 143, "was stopped by signal 15"),
    ] {
        let faults = Faults::start(stage.s3.port());
        faults.on("GET", "data-000", 1, Fault::CutAnswer(50));
        faults.on("GET", "data-000", 1, Fault::Hold);
        let through = var("S3_ENDPOINT", &faults.endpoint());
        let running = restorer(&with(&stage.env(), &through)).start();
        let pid = wait_for("half of the rows are there", || {
            let pid = stage.database.sql(backend);
            (faults.struck().len() == 2 && !pid.is_empty()).then_some(pid)
        });
        let query = "SELECT query FROM pg_stat_activity WHERE pid =";
        let query = stage.database.sql(&format!("{query} {pid}"));
        assert!(query.contains("binary"), "{query}");
        match how {
            "backend" => drop(
                stage
                    .database
                    .sql(&format!("SELECT pg_terminate_backend({pid})")),
            ),
            "psql" => kill_psql_of(running.id()),
            _ => running.signal(Signal::SIGTERM),
        }
        if how == "backend" {
            // psql hears of it when it sends the next rows.
            faults.heal();
        }
        let ended = running.wait_within(AT_ONCE);
        ended.expect_code(code);
        assert!(ended.last_line().contains(words), "{how}: {ended}");
        assert!(
            stage.database.dump() == whole,
            "{how}: something was changed"
        );
    }
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql("SELECT count(*) FROM t"), "640");
}

/// Restores on a server that waits in COMMIT for a standby which never comes.
struct Committing {
    cluster: &'static Cluster,
    stage: Stage,
}

impl Committing {
    /// After a backup of the rows that a restore brings back.
    fn new(more: &str) -> Self {
        let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
        let stage = Stage::on(cluster, "committing");
        stage.database.sql("CREATE TABLE t AS SELECT 7 AS a");
        stage.database.sql(more);
        stage.back_up(&env([]));
        set(&stage, "synchronous_commit = on");
        Self { cluster, stage }
    }

    fn standbys(&self, names: &str) {
        self.set("synchronous_standby_names", names);
    }

    fn set(&self, setting: &str, value: &str) {
        let set = format!("ALTER SYSTEM SET {setting} = '{value}'");
        self.cluster.sql("postgres", &set);
        self.cluster.sql("postgres", "SELECT pg_reload_conf()");
    }

    fn restore(&self, more: &Env) -> Running {
        self.stage.database.sql("UPDATE t SET a = 8");
        self.restore_into(more)
    }

    /// Into whichever database that names.
    fn restore_into(&self, more: &Env) -> Running {
        self.standbys("nobody");
        let running = restorer(&with(&self.stage.env(), more)).start();
        let waits = "SELECT count(*) FROM pg_stat_activity
                      WHERE application_name = 'restorer psql' AND wait_event = 'SyncRep'";
        wait_for("it commits", || {
            (self.cluster.sql("postgres", waits).trim() == "1").then_some(())
        });
        running
    }

    fn has_committed(&self) {
        self.standbys("");
        wait_for("the server has committed", || {
            (self.stage.database.sql("SELECT a FROM t") == "7").then_some(())
        });
    }
}

/// Only the server knows how it ends, and whoever reads that it was stopped may write to what is there.
#[test]
fn a_restore_that_ends_while_the_server_commits_never_says_that_nothing_was_changed() {
    let committing = Committing::new("");
    let cluster = committing.cluster;
    let nobody_has_heard = ["SELECT pg_xact_status('", "nobody has heard"];
    let done = ["restore complete", ""];
    for (how, code, words) in [
        ("SIGTERM", 143, nobody_has_heard),
        ("psql", 2, nobody_has_heard),
        ("restorer", 0, done),
        ("server", 0, done),
    ] {
        let mut running = committing.restore(&env([]));
        match how {
            "SIGTERM" => {
                running.wait_until_it_prints("the server commits it");
                running.signal(Signal::SIGTERM);
            }
            "psql" => kill_psql_of(running.id()),
            "restorer" => {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restorer'";
                cluster.sql("postgres", end);
                committing.standbys("");
            }
            _ => {
                cluster.crash();
                cluster.boot();
                committing.standbys("");
            }
        }
        let ended = running.wait_within(WHEN_ASKED);
        ended.expect_code(code);
        for words in words {
            assert!(ended.last_line().contains(words), "{how}: {ended}");
        }
        assert!(
            !ended.last_line().contains("nothing was changed"),
            "{how}: {ended}"
        );
        committing.has_committed();
    }
    cluster.crash();
}

/// As a standby is that had not got the restore's transaction when it took over.
#[test]
fn a_server_that_has_given_the_transactions_number_to_somebody_else_has_restored_nothing() {
    let committing = Committing::new("");
    let (cluster, database) = (committing.cluster, &committing.stage.database);
    database.sql("UPDATE t SET a = 9");
    let data = cluster.sql("postgres", "SHOW data_directory");
    let standby = folder("standby").join("data");
    cluster.crash();
    let copied = |from: &Path, to: &Path| {
        let copy = Prepared::new("cp").arg("-a").arg(from).arg(to);
        copy.succeed();
    };
    copied(Path::new(&data), &standby);
    cluster.boot();
    let running = committing.restore(&env([]));
    cluster.crash();
    fs::remove_dir_all(&data).unwrap();
    copied(&standby, Path::new(&data));
    cluster.boot();
    for _ in 0..100 {
        cluster.sql("postgres", "SELECT pg_current_xact_id()");
    }
    let ended = running.wait_within(WHEN_ASKED);
    ended.expect_code(2);
    assert!(ended.last_line().contains("nobody has heard"), "{ended}");
    assert_eq!(database.sql("SELECT a FROM t"), "9");
    cluster.crash();
}

/// What could not be made before COMMIT is no reason to say that it was not committed.
#[test]
fn a_restore_that_kept_going_and_lost_the_answer_to_commit_is_complete_without_what_failed() {
    let committing = Committing::new(
        "CREATE TABLE terms (n int); INSERT INTO terms VALUES (1);
         CREATE FUNCTION term(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
           $$BEGIN RETURN (SELECT n FROM terms LIMIT 1); END$$;
         CREATE INDEX by_term ON t (term(a))",
    );
    let cluster = committing.cluster;
    for how in ["psql", "server"] {
        let running = committing.restore(&var("RESTORE_KEEP_GOING", "true"));
        if how == "psql" {
            kill_psql_of(running.id());
            committing.has_committed();
        } else {
            cluster.crash();
            cluster.boot();
            committing.has_committed();
        }
        let ended = running.wait_within(WHEN_ASKED);
        ended.expect_code(3);
        assert!(ended.last_line().contains("by_term"), "{how}: {ended}");
    }
    cluster.crash();
}

/// It is gone again when the restore is, unless that has no time left.
#[test]
fn a_database_that_a_restore_made_and_may_have_committed_is_told_by_whether_it_is_gone() {
    let committing = Committing::new("");
    let name = committing.stage.database.name();
    let key = format!("{name}/20260120-143022.sql.gz");
    let script = "SET synchronous_commit = on;\nCREATE TABLE t AS SELECT 7 AS a;\n";
    committing.stage.s3.put(&key, &packed(script));
    let made = unique("committed");
    let into = env([("DB_NAME", made.as_str()), ("BACKUP_REVISION", &key)]);
    let is_there = || {
        let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{made}'");
        committing.cluster.sql("postgres", &there) == "1"
    };
    let running = committing.restore_into(&into);
    // What drops it would wait for the standby too.
    committing.set("synchronous_commit", "on");
    kill_psql_of(running.id());
    let ended = running.wait_within(WHEN_ASKED);
    ended.expect_code(1);
    assert!(
        ended
            .last_line()
            .contains("was dropped; run the restore again"),
        "{ended}"
    );
    assert!(!is_there(), "{ended}");
    committing.set("synchronous_commit", "off");

    let mut running = committing.restore_into(&into);
    running.signal(Signal::SIGTERM);
    running.wait_until_it_prints("asked to stop");
    running.signal(Signal::SIGTERM);
    let ended = running.wait_within(AT_ONCE);
    ended.expect_code(143);
    assert!(ended.last_line().contains("nobody has heard"), "{ended}");
    committing.standbys("");
    wait_for("the server has committed", || {
        let rows = || {
            committing
                .cluster
                .sql(&made, "SELECT count(*) FROM pg_class WHERE relname = 't'")
        };
        (is_there() && rows() == "1").then_some(())
    });
    committing.cluster.crash();
}

fn kill_psql_of(restorer: u32) {
    let of_process = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm"));
    let threads = std::fs::read_dir(format!("/proc/{restorer}/task")).unwrap();
    let children = threads.flat_map(|it| {
        let children = it.unwrap().path().join("children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let all = children.split_whitespace().map(str::to_owned);
        all.collect::<Vec<_>>()
    });
    let psql = children
        .into_iter()
        .find(|it| of_process(it).unwrap().trim() == "psql");
    let pid = Pid::from_raw(psql.expect("psql runs").parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
}

/// F21: with `standard_conforming_strings` off, `'pg\_%'` is `'pg_%'`.
#[test]
fn settings_of_a_role_or_a_database_change_no_meaning() {
    let stage = Stage::new("settings");
    stage
        .database
        .sql("CREATE SCHEMA pgboss; CREATE TABLE pgboss.job AS SELECT 7 AS a");
    for setting in [
        "standard_conforming_strings = off",
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "client_encoding = 'LATIN1'",
        "search_path = pgboss",
        "bytea_output = 'escape'",
        "DateStyle = 'German'",
        "quote_all_identifiers = on",
    ] {
        set(&stage, setting);
    }
    stage.database.sql(
        "SET default_transaction_read_only = off; COMMENT ON TABLE pgboss.job IS 'größer als \u{20ac} 1'",
    );
    let whole = stage.database.dump();
    let folder = stage.back_up(&env([]));
    let manifest = stage.s3.read(&format!("{folder}/manifest.json"));
    let manifest = String::from_utf8(manifest).unwrap();
    assert!(manifest.contains(r#"\"pgboss\".\"job\""#), "{manifest}");
    for before in ["UPDATE pgboss.job SET a = 8", "DROP SCHEMA pgboss CASCADE"] {
        let sql = format!("SET default_transaction_read_only = off; {before}");
        stage.database.sql(&sql);
        stage.restore(&env([])).expect_code(0);
        assert_eq!(stage.database.dump(), whole, "{before}");
    }
}

/// Of the connections that this process's children have to a port: for how many the kernel will ask
/// an idle peer within 30 seconds, and for how many it won't. proc(5): `/proc/net/tcp`.
fn kept_alive(port: u16) -> (usize, usize) {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let to = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let remote = fields.next().unwrap();
        (remote, fields.next().unwrap(), fields.nth(1).unwrap())
    });
    let timers = rows
        .filter(|(remote, state, _)| remote.ends_with(&to) && *state == ESTABLISHED)
        .map(|(.., timer)| timer.split_once(':').unwrap())
        // In hundredths of a second; 02 is the keepalive's.
        .map(|(kind, when)| kind == "02" && u64::from_str_radix(when, 16).unwrap() <= 3_100);
    let (kept, not) = timers.partition::<Vec<bool>, _>(|it| *it);
    (kept.len(), not.len())
}

/// F43: a firewall forgets connections on which nothing passes, and a dead server says nothing.
#[test]
fn every_connection_is_kept_alive() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
    let stage = Stage::on(cluster, "alive");
    stage.fill("t", 48);
    stage.back_up(&env([]));
    let proxy = Proxy::start(stage.s3.port());
    let endpoint = format!("http://127.0.0.1:{}", proxy.port());
    let there = with(&stage.env(), &stage.s3.env_at(&endpoint));
    for (program, before, least) in [
        (backuper as fn(&_) -> Prepared, "SELECT", 3),
        (restorer, "SELECT", 2),
        (restorer, "DROP TABLE t", 2),
    ] {
        stage.database.sql(before);
        let begun = (proxy.sent(), proxy.received());
        let running = program(&there).start();
        wait_for("some of it has passed", || {
            let passed = (proxy.sent() - begun.0).max(proxy.received() - begun.1);
            (passed > 4 << 20).then_some(())
        });
        proxy.stall(true);
        wait_for("nothing passes any more", || {
            let (kept, not) = kept_alive(cluster.port());
            (kept >= least && not == 0).then_some(())
        });
        running.signal(Signal::SIGTERM);
        proxy.stall(false);
        running.wait().expect_code(143);
    }
    cluster.crash();
}

/// F46: PostgreSQL's answers are in the server's language.
#[test]
fn a_german_server_changes_no_exit_code() {
    let kept = kept_by("postgres-servers.sh").join("locales");
    let settings = "max_connections = 16\nmax_locks_per_transaction = 10";
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::german(&kept, settings)));

    let stage = Stage::on(cluster, "verboten");
    let role = cluster.role("reader_", "IN ROLE pg_read_all_data");
    stage.database.sql("SELECT lo_from_bytea(0, 'secret')");
    let reader = env([("DB_USER", &role), ("DB_PASSWORD", "p")]);
    let ended = stage.backup(&reader);
    ended.expect_code(2);
    assert!(ended.last_line().contains("large object"), "{ended}");
    stage.nothing_is_stored();

    let owner = cluster.role("owner_", "");
    let name = stage.database.name();
    cluster.sql(
        "postgres",
        &format!("ALTER DATABASE \"{name}\" OWNER TO {owner}"),
    );
    stage.database.sql(&format!(
        "SELECT lo_unlink(oid) FROM pg_largeobject_metadata; GRANT ALL ON SCHEMA public TO {owner};
         SET ROLE {owner}; CREATE TABLE t AS SELECT 1 AS n"
    ));
    let owner = env([("DB_USER", &owner), ("DB_PASSWORD", "p")]);
    let holder = session(&stage, "BEGIN; LOCK TABLE t");
    for who in [&env([]), &owner] {
        let ended = stage.backup(&with(who, &var("LOCK_WAIT_TIMEOUT", "1s")));
        ended.expect_code(1);
        assert!(ended.last_line().contains("LOCK_WAIT_TIMEOUT"), "{ended}");
    }
    release(&stage, holder);

    let stage = Stage::on(cluster, "viele");
    stage.database.sql(&format!(
        "GRANT ALL ON SCHEMA public TO {role}; SET ROLE {role};
         SELECT format('CREATE TABLE t%s ()', n) FROM generate_series(1, 1500) n
         \\gexec",
        role = owner[0].1
    ));
    for who in [&env([]), &owner] {
        let ended = stage.backup(who);
        ended.expect_code(2);
        let last = ended.last_line();
        assert!(last.contains("max_locks_per_transaction"), "{ended}");
    }
    cluster.crash();
}

/// F48: what PostgreSQL's own timeouts can express, and 0 as they mean it.
#[test]
fn a_time_to_wait_for_locks_has_one_meaning() {
    let stage = Stage::new("lock_timeout");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS n");
    for wrong in ["30d", "2147484s", "-1", "soon"] {
        for ended in [
            stage.backup(&var("LOCK_WAIT_TIMEOUT", wrong)),
            stage.restore(&var("LOCK_WAIT_TIMEOUT", wrong)),
        ] {
            ended.expect_code(2);
            assert!(ended.last_line().contains("LOCK_WAIT_TIMEOUT"), "{ended}");
        }
    }
    let waits = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for (program, held) in [
        (backuper as fn(&_) -> _, "BEGIN; LOCK TABLE t"),
        (restorer, "BEGIN; SELECT FROM t"),
    ] {
        let holder = session(&stage, held);
        let forever = with(&stage.env(), &var("LOCK_WAIT_TIMEOUT", "0"));
        let mut running = program(&forever).start();
        wait_for("it waits", || {
            (stage.database.sql(waits) == "1").then_some(())
        });
        std::thread::sleep(Duration::from_secs(1));
        assert!(!running.ended(), "{}", running.printed());
        release(&stage, holder);
        running.wait().expect_code(0);
    }
    stage
        .backup(&var("LOCK_WAIT_TIMEOUT", "24d"))
        .expect_code(0);
}

/// F52: whoever waits wants to know for whom.
#[test]
fn a_backup_that_waits_for_a_lock_says_on_what_and_held_by_whom() {
    let stage = Stage::new("waits");
    stage
        .database
        .sql("CREATE TABLE \"the table\" AS SELECT 1 AS n");
    let holder = session(&stage, "BEGIN; LOCK TABLE \"the table\"");
    let pid = stage
        .database
        .sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'");
    let mut running = backuper(&stage.env()).start();
    running.wait_until_it_prints("waiting for a lock");
    let printed = running.printed();
    let line = printed
        .lines()
        .find(|it| it.contains("waiting for a lock"))
        .unwrap();
    for word in ["the table", "the holder", pid.as_str(), "postgres"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!printed.contains("left="), "{printed}");
    running.signal(Signal::SIGTERM);
    running.wait().expect_code(143);
    release(&stage, holder);
}
