//! The testbed itself: a broken one would let everything else pass.

use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::testbed::core::{Core, Mood, Report};
use super::testbed::programs::{self, Prepared};
use super::testbed::proxy::Proxy;
use super::testbed::s3::S3;
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::tls::Authority;
use super::testbed::{block_on, postgres};

#[test]
fn a_database_takes_rows_and_tells_when_they_change() {
    let database = postgres::shared().database("harness ");
    database.sql("CREATE TABLE t (n int, s text); INSERT INTO t SELECT n, 'é' FROM generate_series(1, 100) n");
    let (sums, dump) = (database.checksums(), database.dump());
    assert!(sums.starts_with("t 100 "), "{sums}");
    assert_eq!(database.dump(), dump);
    database.sql("UPDATE t SET s = '' WHERE n = 50");
    assert_ne!(database.checksums(), sums);
    assert_ne!(database.dump(), dump);
}

#[test]
fn a_wrong_password_does_not_open_a_database() {
    let cluster = postgres::shared();
    let ask = |password: &str| {
        Prepared::new(postgres::program("psql"))
            .args(["-XAt", "-c", "SELECT 1"])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", &cluster.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", password)
            .run()
    };
    assert_eq!(ask(cluster.password()).stdout, "1\n");
    assert!(!ask("wrong").status.success());
}

#[test]
fn a_cluster_with_tls_refuses_plain_text_and_proves_who_it_is() {
    let cluster = postgres::shared_with_tls();
    let ca = cluster.authority().file();
    let other = Authority::new().file();
    let ask = |mode: &str, ca: &std::path::Path| {
        Prepared::new(postgres::program("psql"))
            .args(["-XAt", "-c", "SELECT 1"])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", &cluster.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", cluster.password())
            .env("PGSSLMODE", mode)
            .env("PGSSLROOTCERT", ca.to_str().unwrap())
            .run()
    };
    ask("verify-full", &ca).expect_code(0);
    assert!(!ask("disable", &ca).status.success());
    assert!(!ask("verify-full", &other).status.success());
}

/// A GET that nobody has signed.
fn get(url: &str) -> reqwest::Result<(u16, usize)> {
    block_on(async {
        let answer = reqwest::get(url).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().await?.len()))
    })
}

#[test]
fn s3_refuses_a_request_that_is_not_signed() {
    let s3 = S3::start();
    s3.put("a/b", b"bytes");
    assert_eq!(s3.keys(), ["a/b"]);
    let url = format!("{}/{}/a/b", s3.endpoint(), s3.bucket());
    assert_eq!(get(&url).unwrap().0, 403);
}

#[test]
fn the_s3_faults_break_what_they_were_told_to_and_nothing_else() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let url = format!("{}/{}/key", faults.endpoint(), s3.bucket());
    let (_, whole) = get(&url).unwrap();
    faults.on("GET", "key", 2, Fault::Answer(503));
    faults.on("GET", "key", 1, Fault::ShortenAnswer(50));
    faults.on("GET", "key", 1, Fault::CutAnswer(50));
    assert_eq!(get(&url).unwrap().0, 503);
    assert_eq!(get(&url).unwrap().0, 503);
    assert_eq!(get(&url).unwrap(), (403, whole / 2));
    assert!(get(&url).is_err());
    assert_eq!(get(&url).unwrap(), (403, whole));
    assert_eq!((faults.seen().len(), faults.struck().len()), (6, 4));
}

#[test]
fn the_proxy_cuts_where_it_was_told_to() {
    let s3 = S3::start();
    let proxy = Proxy::start(s3.port());
    let url = format!("http://127.0.0.1:{}/{}/key", proxy.port(), s3.bucket());
    get(&url).unwrap();
    proxy.cut_after_receiving(40);
    assert!(get(&url).is_err());
    get(&url).unwrap();
    proxy.refuse(true);
    assert!(get(&url).is_err());
}

#[test]
fn the_programs_are_built_and_say_what_they_are() {
    for name in ["backuper", "restorer", "scheduler"] {
        assert!(programs::folder().join(name).exists(), "{name}");
    }
}

#[test]
fn the_core_takes_a_call_only_in_the_mood_for_it() {
    for (mood, code) in [
        (Mood::Recording, None),
        (Mood::Released, Some(Code::Unimplemented)),
    ] {
        let core = Core::start(mood);
        let address = format!("http://{}", core.address());
        let report = Report {
            name: "h:1/db-revision-0".to_owned(),
            success: true,
            time_elapsed: 7,
        };
        let call = block_on(async {
            let channel = Endpoint::from_shared(address)
                .unwrap()
                .connect()
                .await
                .unwrap();
            let mut client = Grpc::new(channel);
            client.ready().await.unwrap();
            let path = "/backupmetrics.BackupMetricsService/ReportRestoreStatus";
            let codec = ProstCodec::<Report, ()>::default();
            let request = Request::new(report.clone());
            client.unary(request, path.parse().unwrap(), codec).await
        });
        assert_eq!(call.err().map(|it| it.code()), code);
        let told = if code.is_none() {
            vec![report]
        } else {
            Vec::new()
        };
        assert_eq!(core.restores(), told);
    }
}
