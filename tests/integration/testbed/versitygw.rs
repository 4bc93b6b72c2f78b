//! versitygw: an S3 server that people run, with Object Lock, versions and tags.

use std::path::{Path, PathBuf};

use super::postgres::free_port;
use super::programs::{Prepared, repository};
use super::server::{Server, start};
use super::{Env, env, folder, unique, wait_for};

/// A server with buckets of its own. Dropped, it stops.
#[derive(Debug)]
pub struct Versitygw {
    port: u16,
    access_key: String,
    secret_key: String,
    _server: Server,
}

impl Versitygw {
    /// A server whose objects may have versions.
    pub fn start() -> Self {
        let root = folder("versitygw");
        let under = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir(&path).expect("a folder");
            path.to_str().expect("UTF-8").to_owned()
        };
        let port = free_port();
        let (access_key, secret_key) = (unique("AK"), unique("s3cr3t-"));
        let log = std::fs::File::create(root.join("log")).expect("a log");
        let address = format!("127.0.0.1:{port}");
        let arguments = [
            "--access",
            &access_key,
            "--secret",
            &secret_key,
            "--port",
            &address,
            "--quiet",
            "posix",
            "--sidecar",
            &under("attributes"),
            "--versioning-dir",
            &under("versions"),
            &under("buckets"),
        ];
        let server = start(None, &program(), &arguments, log);
        wait_for("versitygw answers", || {
            std::net::TcpStream::connect(&address).ok()
        });
        Self {
            port,
            access_key,
            secret_key,
            _server: server,
        }
    }

    /// A new bucket; gives its name.
    pub fn bucket(&self) -> String {
        let bucket = unique("bucket-");
        self.ask("PUT", &bucket, &[]);
        bucket
    }

    /// A new bucket with Object Lock, and so with versions.
    pub fn bucket_with_lock(&self) -> String {
        let bucket = unique("locked-");
        let lock = "x-amz-bucket-object-lock-enabled: true";
        self.ask("PUT", &bucket, &["--header", lock]);
        bucket
    }

    /// How a worker reaches a bucket.
    pub fn env(&self, bucket: &str) -> Env {
        env([
            ("S3_ENDPOINT", &format!("http://127.0.0.1:{}", self.port)),
            ("S3_BUCKET_NAME", bucket),
            ("S3_ACCESS_KEY", &self.access_key),
            ("S3_SECRET_KEY", &self.secret_key),
        ])
    }

    /// What the server answers to a signed request for `BUCKET/KEY?QUERY`: its head and its body.
    pub fn ask(&self, method: &str, path: &str, more: &[&str]) -> String {
        let user = format!("{}:{}", self.access_key, self.secret_key);
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let method = match method {
            "HEAD" => vec!["--head"],
            other => vec!["--request", other, "--include"],
        };
        let body = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        Prepared::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--max-time",
                "30",
            ])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user])
            .args(method)
            .args(["--header", body])
            .args(more)
            .args([&url])
            .succeed()
            .stdout
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a script's own setting is handed through, not read"
)]
fn program() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
    let built = Prepared::new(repository().join("scripts/tools/go-program.sh"))
        .env("HOME", &home)
        .env("XDG_CACHE_HOME", &cache)
        .args(["versitygw"])
        .succeed();
    let folder = built.stdout.lines().last().expect("its folder");
    Path::new(folder).join("versitygw")
}
