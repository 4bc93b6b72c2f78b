//! How far a long run is: in its log every ten seconds, and at the Pushgateway.

use regex::Regex;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::testbed::postgres;
use super::testbed::programs::{Running, backuper, restorer};
use super::testbed::proxy::Proxy;
use super::testbed::s3::S3;
use super::testbed::{block_on, env, wait_for};

/// Rows that do not compress, so that a store which stands still is felt in the middle of them.
const ROWS: &str = "\
    CREATE EXTENSION pgcrypto; \
    CREATE TABLE large AS SELECT n, (SELECT string_agg(gen_random_bytes(1024), '') FROM generate_series(1, 40 + 0 * n)) AS bytes \
        FROM generate_series(1, 1500) n; \
    CREATE TABLE small AS SELECT 1 AS n; \
    CREATE TABLE tiny AS SELECT 1 AS n; \
    ANALYZE";

/// Waits until a run that stands still has told how far it is, and lets it go on.
fn told(run: &mut Running, proxy: &Proxy, passed: impl Fn() -> u64) -> String {
    wait_for("some of it has passed", || {
        (passed() > 4 << 20).then_some(())
    });
    proxy.stall(true);
    run.wait_until_it_prints("under way");
    proxy.stall(false);
    let printed = run.printed();
    let line = printed.lines().find(|it| it.contains("under way"));
    line.unwrap().to_owned()
}

fn number(line: &str, name: &str) -> u64 {
    let field = Regex::new(&format!(r"\b{name}=(\d+)")).unwrap();
    let found = field
        .captures(line)
        .unwrap_or_else(|| panic!("{name}: {line}"));
    found[1].parse().unwrap()
}

#[test]
fn a_run_says_every_ten_seconds_how_far_it_is_and_so_does_the_pushgateway() {
    let gateway = block_on(async {
        let gateway = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(202))
            .mount(&gateway)
            .await;
        gateway
    });
    let pushed = |metric: &str| {
        let requests = block_on(gateway.received_requests()).unwrap();
        let bodies = requests
            .iter()
            .map(|it| String::from_utf8_lossy(&it.body).into_owned());
        bodies
            .into_iter()
            .any(|it| it.contains(&format!("\n{metric} ")))
    };
    let cluster = postgres::shared();
    let source = cluster.database("progress");
    source.sql(ROWS);
    let s3 = S3::start();
    let proxy = Proxy::start(s3.port());
    let mut all = source.env();
    all.extend(s3.env_at(&format!("http://127.0.0.1:{}", proxy.port())));
    all.extend(env([("PUSHGATEWAY_URL", &gateway.uri())]));

    let mut run = backuper(&all).start();
    let line = told(&mut run, &proxy, || proxy.sent());
    assert_eq!(number(&line, "of"), 3, "{line}");
    assert!(number(&line, "tables") < 3, "{line}");
    assert!(
        number(&line, "bytes") > 4 << 20 && number(&line, "bytes_per_second") > 0,
        "{line}"
    );
    assert!(line.contains("left="), "{line}");
    let ended = run.wait();
    ended.expect_code(0);
    assert!(
        !ended.printed().contains("dumping contents of table"),
        "{ended}"
    );
    assert!(pushed("postgres_backup_progress_bytes"));
    assert!(pushed("postgres_backup_progress_tables_total"));

    source.sql("DROP TABLE large, small, tiny; DROP EXTENSION pgcrypto");
    let begun = proxy.received();
    let mut run = restorer(&all).start();
    let line = told(&mut run, &proxy, || proxy.received() - begun);
    assert_eq!(number(&line, "of"), 3, "{line}");
    assert!(number(&line, "bytes") > 4 << 20, "{line}");
    run.wait().expect_code(0);
    assert_eq!(source.sql("SELECT count(*) FROM large"), "1500");
    assert!(pushed("postgres_restore_progress_remaining_seconds"));
}
