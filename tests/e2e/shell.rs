//! How tests speak to a cluster, and what they wait for. Two test programs share it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// The SHA-256 of nothing, which a signed request without a body must have.
const EMPTY: &str =
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .expect("the first one");
        Runtime::new().unwrap()
    })
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// Runs a program and gives what it prints; panics with all it said when it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let (done, out, err) = try_run(program, arguments);
    assert!(done, "{program} {arguments:?}:\n{out}\n{err}");
    out
}

/// Runs a program; gives whether it succeeded, and what it printed.
pub(crate) fn try_run(program: &str, arguments: &[&str]) -> (bool, String, String) {
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        ended.status.success(),
        text(&ended.stdout),
        text(&ended.stderr),
    )
}

pub(crate) fn kubectl(arguments: &[&str]) -> String {
    run("kubectl", arguments)
}

/// Asks until there is an answer, for so long that a slow machine is none of our concern.
pub(crate) fn eventually<T>(what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    block_on(async {
        loop {
            if let Some(answer) = question().await {
                return answer;
            }
            if start.elapsed() > Duration::from_secs(180) {
                diagnose();
                panic!("{what}: not within three minutes");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

/// The name of an image of ours, without its tag.
pub(crate) fn repository_of(program: &str) -> String {
    let prefix = std::env::var("IMAGE_PREFIX").expect("IMAGE_PREFIX");
    format!("{prefix}{program}")
}

/// A bucket on the S3 server of the tests, which has this address.
pub(crate) fn make_bucket(s3: &str, name: &str) {
    let bucket = format!("http://{s3}:9000/{name}");
    eventually("a bucket", async || {
        let signed = [
            "--user",
            "e2e:e2e-secret",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
        ];
        let how = [
            "--silent",
            "--fail",
            "--max-time",
            "20",
            "--request",
            "PUT",
            &bucket,
        ];
        let body = ["--header", EMPTY];
        let (made, ..) = try_run("curl", &[&signed[..], &body, &how].concat());
        made.then_some(())
    });
}

/// What a person would look at.
fn diagnose() {
    for arguments in [
        &["get", "pods,jobs,cronjobs", "-A", "-o", "wide"][..],
        &["get", "events", "-A", "--sort-by=.lastTimestamp"],
    ] {
        let (_, out, err) = try_run("kubectl", arguments);
        eprintln!("--- kubectl {arguments:?}\n{out}{err}");
    }
    let ours = "app.kubernetes.io/name in (postgres-adapter, postgresql)";
    let by = r#"-o=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}"#;
    let (_, pods, _) = try_run("kubectl", &["get", "pods", "-A", "-l", ours, by]);
    for (namespace, pod) in pods.lines().filter_map(|it| it.split_once(' ')) {
        let of = [
            "logs",
            "--all-containers",
            "--tail=30",
            "-n",
            namespace,
            pod,
        ];
        let (_, out, err) = try_run("kubectl", &of);
        eprintln!("--- {namespace}/{pod}\n{out}{err}");
    }
}

/// Whether the cluster is ours, so that its programs may be restarted.
pub(crate) fn is_ours() -> bool {
    std::env::var_os("E2E_OWN_CLUSTER").is_some()
}

/// The state of our own cluster.
pub(crate) fn state() -> PathBuf {
    let kubeconfig = std::env::var("KUBECONFIG").unwrap();
    Path::new(&kubeconfig).parent().unwrap().to_owned()
}
