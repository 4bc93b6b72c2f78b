//! README.md is true: its commands are run as they stand there.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::cluster::kept_by_with;
use super::testbed::postgres::{self, Cluster};
use super::testbed::programs::{Prepared, Running, backuper, repository, restorer, scheduler};
use super::testbed::s3::S3;
use super::testbed::{Env, block_on, env, folder, wait_for};

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).unwrap()
}

/// The shell commands between one heading and the next.
fn commands_below(heading: &str) -> String {
    let readme = readme();
    let (_, rest) = readme.split_once(&format!("\n{heading}\n")).unwrap();
    let (_, block) = rest.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.to_owned()
}

#[test]
fn the_four_lines_restore_a_backup_by_hand() {
    let cluster = postgres::shared();
    let source = cluster.database("by hand ");
    source.sql(include_str!("../demo/shop.sql"));
    let s3 = S3::start();
    let mut env = source.env();
    env.extend(s3.env());
    backuper(&env).run().expect_code(0);

    let copy = folder("copy");
    for key in s3.keys() {
        let name = key.rsplit('/').next().unwrap();
        std::fs::write(copy.join(name), s3.read(&key)).unwrap();
    }
    let target = cluster.named("mydb");
    let lines = commands_below("## Restore by hand");
    assert_eq!(lines.lines().count(), 4, "{lines}");
    run(cluster, &copy, &lines);
    assert_eq!(target.checksums(), source.checksums());
    assert_eq!(target.dump(), source.dump());
}

/// F22.
#[test]
fn by_hand_a_table_whose_columns_read_others_is_loaded_last() {
    let cluster = Cluster::start(false);
    let source = cluster.database("by hand last ");
    source.sql(
        "CREATE TABLE z (id int, word text); INSERT INTO z VALUES (1, 'one'); \
         CREATE FUNCTION word_of(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN (SELECT word FROM public.z WHERE id = $1); END'; \
         CREATE TABLE b (id int, word text GENERATED ALWAYS AS (word_of(id)) STORED); INSERT INTO b VALUES (1)",
    );
    let store = folder("store");
    let mut env = source.env();
    env.push((
        "S3_ENDPOINT".to_owned(),
        format!("file://{}", store.display()),
    ));
    backuper(&env).run().expect_code(0);
    let copies = std::fs::read_dir(&store).unwrap().flatten();
    let copies = copies.flat_map(|it| std::fs::read_dir(it.path()).unwrap().flatten());
    let copy = copies.map(|it| it.path()).find(|it| it.is_dir()).unwrap();
    let target = cluster.named("mydb");
    let all = commands_below("## Restore by hand");
    let [unpack, before, _loop, after] = all.lines().collect::<Vec<_>>()[..] else {
        panic!("{all}");
    };
    let last = commands_below("### Tables that read others");
    run(&cluster, &copy, &[unpack, before, &last, after].join("\n"));
    assert_eq!(target.checksums(), source.checksums());
    assert_eq!(target.dump(), source.dump());
}

/// In a copy of a backup, with stock tools alone.
fn run(cluster: &Cluster, copy: &std::path::Path, lines: &str) {
    let bin = postgres::program("pg_restore");
    let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
    Prepared::new("bash")
        .args(["-euo", "pipefail", "-c", lines])
        .env("PATH", &path)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", &cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", cluster.password())
        .current_dir(copy)
        .succeed();
}

/// The variables in a text: words of upper-case letters between back-quotes, or at the beginning
/// of a line of `--help`.
fn variables(text: &str, quoted: bool) -> BTreeSet<String> {
    let is_variable = |it: &&str| {
        it.len() > 3
            && it
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let words: Vec<&str> = if quoted {
        text.lines()
            .filter(|it| it.starts_with("| `"))
            .flat_map(|it| it.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
            .collect()
    } else {
        text.lines()
            .filter_map(|it| it.split_whitespace().next())
            .collect()
    };
    words
        .into_iter()
        .filter(is_variable)
        .map(str::to_owned)
        .collect()
}

/// The text between a heading and the next one of the same depth.
fn section(heading: &str) -> String {
    let readme = readme();
    let (_, rest) = readme.split_once(&format!("\n{heading}\n")).unwrap();
    rest.split("\n##").next().unwrap().to_owned()
}

#[test]
fn the_tables_of_settings_are_those_of_help() {
    let none = Env::new();
    for (program, headings) in [
        (
            backuper as fn(&Env) -> Prepared,
            ["### Both workers", "### backuper"].as_slice(),
        ),
        (restorer, &["### Both workers", "### restorer"]),
        (scheduler, &["### scheduler"]),
    ] {
        let help = program(&none).arg("--help").succeed().stdout;
        let told: String = headings.iter().map(|it| section(it)).collect();
        assert_eq!(
            variables(&help, false),
            variables(&told, true),
            "{headings:?}"
        );
    }
}

#[test]
fn the_exit_codes_are_those_of_help() {
    let help = backuper(&Env::new()).arg("--help").succeed().stdout;
    for code in ["0", "1", "2", "130", "143"] {
        let (word, next) = (format!("{code} "), format!("{code},"));
        let told = section("## Exit codes of the workers");
        let line = told
            .lines()
            .find(|it| it.starts_with('|') && (it.contains(&word) || it.contains(&next)));
        assert!(line.is_some(), "{code} is not in README");
        assert!(
            help.lines().any(|it| it.trim().starts_with(&word)),
            "{code} is not in --help"
        );
    }
}

/// The JSON and the method of a grpcurl command of README.
fn call(method: &str) -> (Value, String) {
    let readme = readme();
    let end = format!("backup.BackupService/{method}\n");
    let (before, _) = readme.split_once(&end).unwrap();
    let (_, command) = before.rsplit_once("grpcurl -plaintext -d '").unwrap();
    let (json, _) = command.split_once('\'').unwrap();
    (
        serde_json::from_str(json).unwrap(),
        format!("backup.BackupService/{method}"),
    )
}

/// A scheduler with the local engine, and where it listens.
fn start() -> (Running, String, String) {
    let (port, admin) = (postgres::free_port(), postgres::free_port());
    let data = folder("data");
    let mut running = scheduler(&env([
        ("DATA_DIR", data.to_str().unwrap()),
        ("PORT", &port.to_string()),
        ("ADMIN_PORT", &admin.to_string()),
    ]))
    .start();
    let ready = format!("http://127.0.0.1:{admin}/readyz");
    wait_for("the scheduler is ready", || {
        assert!(!running.ended(), "it ended: {}", running.printed());
        let answer = block_on(reqwest::get(&ready)).ok()?;
        answer.status().is_success().then_some(())
    });
    (running, format!("http://127.0.0.1:{port}"), ready)
}

/// What the program grpcurl answers: it asks the server what there is, and builds the call from that.
fn grpcurl(address: &str, method: &str, request: &Value) -> Value {
    let program = kept_by_with("go-program.sh", &["grpcurl"]).join("grpcurl");
    let answer = Prepared::new(program)
        .args([
            "-plaintext",
            "-max-time",
            "60",
            "-d",
            &request.to_string(),
            address,
            method,
        ])
        .succeed();
    serde_json::from_str(&answer.stdout).unwrap()
}

#[test]
fn the_grpcurl_calls_back_a_database_up_and_bring_it_back() {
    let database = postgres::shared().database("readme ");
    database.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
    let before = database.checksums();
    let s3 = S3::start();
    let (running, address, _) = start();
    let address = address.trim_start_matches("http://");
    let ours = |(mut request, method): (Value, String)| {
        for (name, value) in [
            ("db_port", json!(postgres::shared().port())),
            ("db_pass", json!(postgres::shared().password())),
            ("db_name", json!(database.name())),
            ("s3_endpoint", json!(s3.endpoint())),
            ("s3_access_key", json!(s3.access_key())),
            ("s3_secret_key", json!(s3.secret_key())),
            ("s3_bucket_name", json!(s3.bucket())),
        ] {
            assert!(
                request.get(name).is_some(),
                "{name} is not in README's call"
            );
            request[name] = value;
        }
        if request.get("schedule").is_some() {
            request["schedule"] = json!("* * * * *");
        }
        grpcurl(address, &method, &request)
    };
    let answer = ours(call("Backup"));
    assert!(
        answer["cronjobName"]
            .as_str()
            .is_some_and(|it| !it.is_empty()),
        "{answer}"
    );
    let start = std::time::Instant::now();
    while s3.manifests().is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{}",
            running.printed()
        );
        std::thread::sleep(Duration::from_millis(100));
    }

    database.sql("DROP TABLE t");
    let answer = ours(call("Restore"));
    assert!(
        answer["jobName"].as_str().is_some_and(|it| !it.is_empty()),
        "{answer}"
    );
    wait_for("the table is back", || {
        (database.checksums() == before).then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.wait_within(Duration::from_secs(15)).expect_code(0);
}
