//! What a worker says when the store is not what its settings say: the right thing to do, in one
//! line, and at once. (F41 to F51's last paragraph: hints that point the wrong way.)

use backuper::runtime::{Failure, Verdict};
use backuper::storage::{Access, Storage};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::s3_faults::store;
use super::testbed::postgres::shared;
use super::testbed::programs::backuper;
use super::testbed::proxy::Proxy;
use super::testbed::s3::S3;
use super::testbed::s3_faults::{Fault, Faults};
use super::testbed::tls::Authority;
use super::testbed::{block_on, env, folder, unique};
use super::workers::with;

/// The last line of a worker that finds such a store, and whether it is worth another try.
fn last_line(store: &dyn Storage) -> (Verdict, String) {
    let error = block_on(store.probe("shop/", Access::Write)).expect_err("a wrong setting");
    let failure = Failure::from(error);
    assert_eq!(failure.sentence.lines().count(), 1, "{}", failure.sentence);
    (failure.verdict, failure.sentence)
}

#[track_caller]
fn refused(store: &dyn Storage, hint: &str) -> String {
    let (verdict, line) = last_line(store);
    assert_eq!(verdict, Verdict::Refused, "{line}");
    assert!(line.contains(hint), "{line}");
    line
}

#[test]
fn keys_that_are_wrong_are_told_apart() {
    let s3 = S3::start();
    for (more, hint) in [
        (("S3_ACCESS_KEY", "AKNOBODY"), "correct S3_ACCESS_KEY"),
        (("S3_SECRET_KEY", "another"), "correct S3_SECRET_KEY"),
        (("S3_BUCKET_NAME", "no-such-bucket"), "create the bucket"),
    ] {
        let line = refused(&*store(&s3.env(), &[more]), hint);
        assert!(
            !line.contains("another") && !line.contains(s3.secret_key()),
            "{line}"
        );
    }
    for (status, code, hint) in [
        (400, "InvalidBucketName", "correct S3_BUCKET_NAME"),
        (400, "ExpiredToken", "S3_SESSION_TOKEN"),
        (403, "AccessDenied", "allow it"),
        (301, "PermanentRedirect", "set S3_REGION"),
    ] {
        let faults = Faults::start(s3.port());
        faults.on("GET", "list-type=2", 9, Fault::Refuse(status, code));
        refused(&*store(&s3.env_at(&faults.endpoint()), &[]), hint);
        assert_eq!(faults.seen().len(), 1, "{code}: asked once");
    }
}

#[test]
fn a_clock_that_is_wrong_is_said_to_be_and_not_asked_again() {
    let s3 = S3::start();
    let faults = Faults::start(s3.port());
    let skewed = Fault::Refuse(403, "RequestTimeTooSkewed");
    faults.on("GET", "list-type=2", 9, skewed);
    let (verdict, line) = last_line(&*store(&s3.env_at(&faults.endpoint()), &[]));
    assert_eq!(verdict, Verdict::TryAgain, "somebody may set it meanwhile");
    assert!(line.contains("this machine's clock"), "{line}");
    assert_eq!(faults.seen().len(), 1, "asked once");
}

#[test]
fn a_scheme_that_is_wrong_is_named_at_once() {
    let plain = S3::start();
    let proxy = Proxy::start(plain.port());
    let wrong = format!("https://127.0.0.1:{}", proxy.port());
    refused(
        &*store(&plain.env_at(&wrong), &[]),
        "the server speaks http",
    );
    refused(
        &*store(&plain.env_at(&wrong), &[("SECURE", "false")]),
        "the server speaks http",
    );
    assert_eq!(proxy.connections(), 2, "one each");

    let tls = S3::start_with_tls(&Authority::new());
    let proxy = Proxy::start(tls.port());
    let wrong = format!("http://127.0.0.1:{}", proxy.port());
    refused(&*store(&tls.env_at(&wrong), &[]), "write https://");
    assert_eq!(proxy.connections(), 1);

    // Go's servers, nginx and Apache say it in http.
    for said in [
        "Client sent an HTTP request to an HTTPS server.\n",
        "<html>The plain HTTP request was sent to HTTPS port</html>",
        "You're speaking plain HTTP to an SSL-enabled server port.",
    ] {
        let server = block_on(MockServer::start());
        let answer = ResponseTemplate::new(400).set_body_string(said);
        block_on(Mock::given(any()).respond_with(answer).mount(&server));
        refused(&*store(&plain.env_at(&server.uri()), &[]), "write https://");
    }
}

#[test]
fn an_endpoint_that_is_no_s3_server_is_named() {
    let s3 = S3::start();
    let page = "<!doctype html><html><body>a console</body></html>";
    let server = block_on(MockServer::start());
    let answer = ResponseTemplate::new(200).set_body_string(page);
    block_on(Mock::given(any()).respond_with(answer).mount(&server));
    refused(&*store(&s3.env_at(&server.uri()), &[]), "no S3 server");
    let asked = block_on(server.received_requests()).unwrap();
    assert_eq!(asked.len(), 1, "asked once");

    let endpoint = format!("{}/{}", s3.endpoint(), s3.bucket());
    refused(
        &*store(&s3.env_at(&endpoint), &[]),
        "S3_ENDPOINT has a path",
    );
}

#[test]
fn keys_and_a_region_that_are_missing_are_named_by_their_variables() {
    let s3 = S3::start();
    let source = shared().database("nokeys");
    let base = with(
        &source.env(),
        &env([
            ("S3_ENDPOINT", &s3.endpoint()),
            ("S3_BUCKET_NAME", s3.bucket()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]),
    );
    let ended = backuper(&base).run();
    ended.expect_code(2);
    let line = ended.last_line();
    assert!(line.contains("set S3_ACCESS_KEY"), "{line}");
    assert!(line.len() < 300 && !line.contains("Error"), "{line}");

    let keys = [("S3_ACCESS_KEY", "AK"), ("S3_SECRET_KEY", "sk")];
    let base = env([("S3_BUCKET_NAME", "a-bucket")]);
    refused(&*store(&base, &keys), "set S3_REGION");
}

#[test]
fn a_directory_that_is_missing_is_no_matter_of_buckets() {
    let missing = folder("missing").join(unique("volume"));
    let endpoint = format!("file://{}", missing.display());
    let line = refused(
        &*store(&env([("S3_ENDPOINT", &endpoint)]), &[]),
        "mkdir it, or mount the volume",
    );
    assert!(!line.to_lowercase().contains("bucket"), "{line}");

    let file = folder("file").join("file");
    std::fs::write(&file, "x").unwrap();
    let endpoint = format!("file://{}", file.display());
    let line = refused(
        &*store(&env([("S3_ENDPOINT", &endpoint)]), &[]),
        "directory",
    );
    assert!(!line.to_lowercase().contains("bucket"), "{line}");
}
