//! docs/contract.md: the core's calls, by grpcurl.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::page;
use crate::cluster::kept_by_with;
use crate::testbed::postgres;
use crate::testbed::programs::{Prepared, Running, scheduler};
use crate::testbed::s3::S3;
use crate::testbed::{block_on, env, folder, wait_for};

/// The JSON and the method of a grpcurl command of the page.
fn call(method: &str) -> (Value, String) {
    let page = page("docs/contract.md");
    let section = page.section(&format!("### {method}"));
    let method = format!("backup.BackupService/{method}");
    let (_, command) = section.split_once("grpcurl -plaintext -d '").unwrap();
    let (json, rest) = command.split_once('\'').unwrap();
    assert!(
        rest.starts_with(&format!(" 127.0.0.1:50051 {method}\n")),
        "{rest}"
    );
    (serde_json::from_str(json).unwrap(), method)
}

/// A scheduler with the local engine, and where it listens.
fn start() -> (Running, String) {
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
    (running, format!("127.0.0.1:{port}"))
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
fn the_grpcurl_calls_back_a_database_up_change_the_schedule_and_bring_it_back() {
    let commands = page("docs/contract.md").commands();
    let calls = commands.iter().filter(|it| it.text.contains("-d '{"));
    assert_eq!(calls.count(), 3, "each has its turn here");
    let database = postgres::shared().database("contract ");
    database.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
    let before = database.checksums();
    let s3 = S3::start();
    let (running, address) = start();
    let ours = |request: &mut Value| {
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
                "{name} is not in the page's call"
            );
            request[name] = value;
        }
    };
    let (mut request, method) = call("Backup");
    ours(&mut request);
    let answer = grpcurl(&address, &method, &request);
    let name = answer["cronjobName"].as_str().expect("a name").to_owned();

    let (mut request, method) = call("Update");
    ours(&mut request["request"]);
    // The page's runs at night.
    request["request"]["schedule"] = json!("* * * * *");
    request["cronjob_name"] = json!(name);
    let answer = grpcurl(&address, &method, &request);
    assert_eq!(answer["cronjobName"], json!(name), "{answer}");
    let start = std::time::Instant::now();
    while s3.manifests().is_empty() {
        assert!(start.elapsed().as_secs() < 120, "{}", running.printed());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    database.sql("DROP TABLE t");
    let (mut request, method) = call("Restore");
    ours(&mut request);
    let answer = grpcurl(&address, &method, &request);
    assert!(
        answer["jobName"].as_str().is_some_and(|it| !it.is_empty()),
        "{answer}"
    );
    wait_for("the table is back", || {
        (database.checksums() == before).then_some(())
    });
    running.signal(Signal::SIGTERM);
    running
        .wait_within(std::time::Duration::from_secs(15))
        .expect_code(0);
}
