//! Emulators of clouds, one of each for all tests of a process: whoever tests gets a bucket of its own.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::OnceLock;

use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::HttpRequestBody;

use super::postgres::free_port;
use super::server::{self, Server};
use super::{Env, block_on, env, folder, unique, wait_for};

/// The account that Azurite has, and its key, which are known to everybody.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// fake-gcs-server, which keeps everything in memory.
#[derive(Debug)]
pub struct Google {
    port: u16,
    _server: Server,
}

impl Google {
    /// The one of this process; `kept` gives where its script keeps the program.
    pub fn shared(kept: impl FnOnce() -> std::path::PathBuf) -> &'static Self {
        static SHARED: OnceLock<Google> = OnceLock::new();
        SHARED.get_or_init(|| {
            let port = free_port();
            let server = started(
                &kept().join("fake-gcs-server"),
                &[
                    "-scheme",
                    "http",
                    "-backend",
                    "memory",
                    "-host",
                    "127.0.0.1",
                    "-port",
                    &port.to_string(),
                    "-log-level",
                    "error",
                ],
                port,
            );
            Self {
                port,
                _server: server,
            }
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new bucket's name.
    pub fn bucket(&self) -> String {
        let name = unique("bucket-");
        let url = format!("{}/storage/v1/b", self.endpoint());
        let made = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/json")
            .body(format!("{{\"name\":\"{name}\"}}"))
            .send();
        let made = block_on(made).expect("an answer");
        assert!(made.status().is_success(), "{made:?}");
        name
    }

    /// What the server tells of an object, in JSON; the key is encoded as in a URL.
    pub fn told(&self, bucket: &str, key: &str) -> String {
        let url = format!("{}/storage/v1/b/{bucket}/o/{key}", self.endpoint());
        block_on(async {
            let answer = reqwest::get(url).await.expect("an answer");
            assert!(answer.status().is_success(), "{answer:?}");
            answer.text().await.expect("a body")
        })
    }

    /// How a worker reaches a new bucket, below `prefix`.
    pub fn env(&self, prefix: &str) -> Env {
        self.env_of(&self.bucket(), prefix)
    }

    /// How a worker reaches a bucket, below `prefix`.
    pub fn env_of(&self, bucket: &str, prefix: &str) -> Env {
        env([
            ("STORE_URL", &format!("gs://{bucket}/{prefix}")),
            ("STORAGE_EMULATOR_HOST", &self.endpoint()),
        ])
    }
}

/// Azurite.
#[derive(Debug)]
pub struct Azure {
    port: u16,
    _server: Server,
}

impl Azure {
    /// The one of this process; `kept` gives where its script keeps the program.
    pub fn shared(kept: impl FnOnce() -> std::path::PathBuf) -> &'static Self {
        static SHARED: OnceLock<Azure> = OnceLock::new();
        SHARED.get_or_init(|| {
            let port = free_port();
            let program = kept().join("node_modules/azurite/dist/src/blob/main.js");
            let program = program.to_str().expect("a plain path");
            let place = folder("azurite");
            let place = place.to_str().expect("a plain path");
            let server = started(
                Path::new("node"),
                &[
                    program,
                    "--silent",
                    "--disableTelemetry",
                    "--location",
                    place,
                    "--blobPort",
                    &port.to_string(),
                ],
                port,
            );
            Self {
                port,
                _server: server,
            }
        })
    }

    /// The account's URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new container's name.
    pub fn container(&self) -> String {
        let name = unique("container-");
        self.ask("PUT", &format!("{name}?restype=container"));
        name
    }

    /// The bytes of `CONTAINER/BLOB`, encoded as in a URL.
    pub fn read(&self, path: &str) -> Vec<u8> {
        self.ask("GET", path).1
    }

    /// What a blob's metadata says under a name.
    pub fn metadata(&self, path: &str, name: &str) -> Option<String> {
        let (headers, _) = self.ask("HEAD", path);
        let value = headers.get(format!("x-ms-meta-{name}"))?;
        Some(value.to_str().expect("text").to_owned())
    }

    /// What is answered to a signed request.
    fn ask(&self, method: &str, path: &str) -> (http::HeaderMap, Vec<u8>) {
        let key = AzureAccessKey::try_new(ACCOUNT_KEY).expect("a key");
        let key = AzureCredential::AccessKey(key);
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.endpoint()))
            .header("content-length", "0")
            .body(HttpRequestBody::empty())
            .expect("a request");
        AzureAuthorizer::new(&key, ACCOUNT)
            .try_authorize(&mut request)
            .expect("a signature");
        let request = request.map(|_| reqwest::Body::from(""));
        let request = reqwest::Request::try_from(request).expect("a request");
        block_on(async {
            let answer = reqwest::Client::new().execute(request).await;
            let answer = answer.expect("an answer");
            assert!(answer.status().is_success(), "{answer:?}");
            let headers = answer.headers().clone();
            (headers, answer.bytes().await.expect("a body").to_vec())
        })
    }

    /// How a worker reaches a new container, below `prefix`.
    pub fn env(&self, prefix: &str) -> Env {
        self.env_of(&self.container(), prefix)
    }

    /// How a worker reaches a container, below `prefix`.
    pub fn env_of(&self, container: &str, prefix: &str) -> Env {
        env([
            ("STORE_URL", &format!("az://{ACCOUNT}/{container}/{prefix}")),
            ("AZURE_STORAGE_ENDPOINT", &self.endpoint()),
            ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY),
        ])
    }
}

fn started(program: &Path, arguments: &[&str], port: u16) -> Server {
    let log = folder("cloud").join("log");
    let file = fs::File::create(&log).expect("a file");
    let mut server = server::start(None, program, arguments, file);
    wait_for("the emulator answers", || {
        let log = || fs::read_to_string(&log).unwrap_or_default();
        assert!(!server.ended(), "it ended: {}", log());
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    server
}
