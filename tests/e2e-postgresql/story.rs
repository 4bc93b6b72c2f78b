//! docs/with-postgresql.md: the adapter beside the chart, and a primary that dies at the wrong time.

use std::thread;

use tokio_postgres::{Client, NoTls};

use super::backups::s3;
use super::document::PASSWORD;
use super::failover::cut_power;
use super::pages;
use super::release::{PRODUCTION, Release};
use super::shell::{
    block_on, eventually, kubectl, make_bucket, repository, repository_of, run, runtime, try_run,
};

/// Where the page has the adapter, and where it is here: a cluster may have it there already.
const PAGES: &str = "oiler-backup-system";
const SYSTEM: &str = "e2e-postgresql-adapter";
/// What is backed up, and takes a restore some seconds.
const ROWS: u32 = 1_500_000;

/// What stands in a block of the page, changed to where this cluster is another one.
fn page(beginning: &str, change: impl Fn(String) -> String) -> String {
    let block = pages::command(repository(), "docs/with-postgresql.md", beginning);
    let block = block.replace(PAGES, SYSTEM);
    format!("cd '{}'\n{}", repository().display(), change(block))
}

fn does(beginning: &str, change: impl Fn(String) -> String) -> String {
    let script = page(beginning, change);
    run("bash", &["-euo", "pipefail", "-c", &script])
}

/// One of the page's commands of the scheduler: whether it ended well, and all that it said.
fn says(words: &str, change: impl Fn(String) -> String) -> (bool, String) {
    let beginning =
        format!("kubectl -n {PAGES} exec deploy/postgres-adapter -- /scheduler {words}");
    let script = page(&beginning, change);
    let (done, out, said) = try_run("bash", &["-euo", "pipefail", "-c", &script]);
    (done, format!("{out}{said}"))
}

/// The adapter with the page's schedule, which has a bucket on the tests' own S3 server.
fn install() {
    let s3 = s3();
    let bucket = format!("story-{}", std::process::id());
    make_bucket(&s3, &bucket);
    let (_gone, ..) = try_run("kubectl", &["delete", "namespace", SYSTEM]);
    does("kubectl create namespace", |it| {
        it.replace("KEY_ID=…", "KEY_ID=e2e")
            .replace("ACCESS_KEY=…", "ACCESS_KEY=e2e-secret")
    });
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", SYSTEM, enforce]);
    let programs = [
        ("scheduler", "scheduler"),
        ("backuper", "workers"),
        ("restorer", "restorer"),
    ];
    let images = programs.map(|(program, image)| {
        let image = format!("repository=registry.local/e2e/{image},images.{program}.tag=v17");
        format!(" --set images.{program}.{image}")
    });
    does("helm upgrade --install postgres-adapter", |it| {
        let example = "deploy/examples/with-postgresql.yaml";
        let changed = format!(
            "<(sed -e 's#https://s3.example.com#http://{s3}:9000#' -e 's#bucket: backups#bucket: {bucket}#' {example})"
        );
        let it = it.replace(example, &changed);
        format!("{}{} --timeout=180s", it.trim_end(), images.concat())
    });
    eventually("the schedule is known", async || {
        let show = [
            "-n",
            SYSTEM,
            "exec",
            "deploy/postgres-adapter",
            "--",
            "/scheduler",
            "show",
            "salon",
        ];
        try_run("kubectl", &show).0.then_some(())
    });
}

/// A session of the application's role on the primary.
fn session(release: &Release) -> Client {
    let login = format!(
        "host={} user=salon password={PASSWORD} dbname=salon_core connect_timeout=5",
        release.address("postgresql-master")
    );
    let (client, connection) = block_on(tokio_postgres::connect(&login, NoTls)).unwrap();
    runtime().spawn(connection);
    client
}

/// How many rows a database has.
fn rows(release: &Release, database: &str) -> Option<String> {
    let primary = release.primary()?;
    let exec = ["exec", &primary, "-c", "postgresql", "--"];
    let count = "select count(*) || ' ' || count(distinct text) from story";
    let psql = ["psql", "-XAtU", "postgres", "-d", database, "-c", count];
    release.try_kubectl(&[&exec[..], &psql].concat())
}

/// Issue 15, section 3.
#[test]
fn a_primary_that_dies_makes_no_backup_and_no_restore_say_what_is_not_so() {
    let release = Release::production();
    let primary = release.primary().unwrap();
    release.sql(&primary, "drop table if exists story");
    let fill = format!(
        "create table story as select n, md5(n::text) as text from generate_series(1, {ROWS}) n"
    );
    release.sql(&primary, &fill);
    release.sql(&primary, "alter table story add primary key (n)");
    release.sql(&primary, "alter table story owner to salon");
    install();
    let whole = format!("{ROWS} {ROWS}");

    a_backup_goes_on(release);
    let (done, said) = says("restore salon --in-place", |it| it);
    let why = "is a standby and read-only; restore into its primary";
    assert!(!done && said.contains(why), "{said}");
    assert_eq!(rows(release, "salon_core").as_ref(), Some(&whole));
    a_restore_fails_and_is_asked_for_again(release);
    assert_eq!(rows(release, "salon_back").as_ref(), Some(&whole));
    is_proved_on_a_server_of_its_own();

    kubectl(&["delete", "namespace", SYSTEM]);
    run("helm", &["uninstall", "drills", "--namespace", PRODUCTION]);
}

/// It waits for a table that the primary's session holds, and so is there when the primary is not.
fn a_backup_goes_on(release: &Release) {
    let members = release.members();
    let primary = release.primary().unwrap();
    let holder = session(release);
    let hold = "begin; lock table story in access exclusive mode";
    block_on(holder.batch_execute(hold)).unwrap();
    // A lock is told to replicas with what is committed after it.
    release.sql(&primary, "create table committed ()");
    release.sql(&primary, "drop table committed");
    let held = "select count(*) from pg_locks where relation = 'story'::regclass and mode = 'AccessExclusiveLock'";
    eventually("the lock on all replicas", async || {
        let readers = release.behind("postgresql-read");
        let held = |it: &String| release.try_sql(it, held).is_some_and(|it| it != "0");
        readers.iter().all(held).then_some(())
    });
    let backup = thread::spawn(|| says("run salon --wait", |it| it));
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = 'postgres'";
    eventually("a replica's dump that waits", async || {
        let readers = release.behind("postgresql-read");
        let waiting = readers.iter().any(|it| {
            let waiting = release.try_sql(it, waits);
            waiting.is_some_and(|it| it != "0")
        });
        waiting.then_some(())
    });
    cut_power(release, &primary);
    drop(holder);
    let (done, said) = backup.join().unwrap();
    assert!(
        done && said.contains("backup complete and verified"),
        "{said}"
    );
    release.is_whole(members);
}

fn a_restore_fails_and_is_asked_for_again(release: &Release) {
    let members = release.members();
    let primary = release.primary().unwrap();
    let restore = || says("restore salon --wait", |it| it);
    let first = thread::spawn(restore);
    let size = "select coalesce(sum(pg_database_size(oid)), 0) > 40000000 from pg_database where datname = 'salon_back'";
    eventually("rows that are being loaded", async || {
        (release.try_sql(&primary, size)? == "t").then_some(())
    });
    cut_power(release, &primary);
    let (done, said) = first.join().unwrap();
    release.is_whole(members);
    // In a hurry it was done before.
    if done {
        assert!(said.contains("restore complete"), "{said}");
    } else {
        assert!(said.contains("failed"), "{said}");
        let (done, said) = restore();
        assert!(done && said.contains("restore complete"), "{said}");
    }
}

fn is_proved_on_a_server_of_its_own() {
    let image = repository_of("postgresql");
    does("helm install drills", |it| {
        let image = format!("--set image.repository={image} --wait --timeout=300s");
        it.replacen("--wait", &image, 1)
    });
    let (done, said) = says("verify salon --wait", |it| it);
    assert!(done && said.contains("restore drill passed"), "{said}");
    let listed = "backups salon";
    let exec = ["-n", SYSTEM, "exec", "deploy/postgres-adapter", "--"];
    let listed: Vec<&str> = listed.split(' ').collect();
    let listed = kubectl(&[&exec[..], &["/scheduler"], &listed].concat());
    assert!(listed.contains("VERIFIED"), "{listed}");
}
