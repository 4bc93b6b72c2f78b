//! A store, and how its objects are fetched without our programs.

use std::any::Any;
use std::fmt::Write as _;

use crate::stores::{azure, google, versitygw};
use crate::testbed::programs::Prepared;
use crate::testbed::s3::S3;
use crate::testbed::{Env, env, folder};
use crate::workers::{var, with};

/// Below which all of it lies.
const PREFIX: &str = "team+a";

/// Fetches the object with this key, from the root of the store.
type Fetch = dyn Fn(&str) -> Vec<u8>;

/// A store that is tried.
pub(super) struct Place {
    env: Env,
    fetch: Box<Fetch>,
    /// What ends with it.
    _held: Box<dyn Any>,
}

impl Place {
    /// How a worker reaches it.
    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    /// The bytes of an object, by the key that our programs show.
    pub(super) fn fetch(&self, key: &str) -> Vec<u8> {
        (self.fetch)(&format!("{PREFIX}/{key}"))
    }

    pub(super) fn s3() -> Self {
        let s3 = S3::start();
        Self::by_curl(&s3.env(), Box::new(s3))
    }

    pub(super) fn versitygw() -> Self {
        let server = versitygw();
        Self::by_curl(&server.env(&server.bucket()), Box::new(()))
    }

    /// Any S3 server, asked by curl, which signs.
    fn by_curl(s3: &Env, held: Box<dyn Any>) -> Self {
        let of = |name: &str| s3.iter().find(|it| it.0 == name).unwrap().1.clone();
        let user = format!("{}:{}", of("S3_ACCESS_KEY"), of("S3_SECRET_KEY"));
        let bucket = format!("{}/{}", of("S3_ENDPOINT"), of("S3_BUCKET_NAME"));
        let fetch = move |key: &str| {
            let sign = [
                "--aws-sigv4",
                "aws:amz:us-east-1:s3",
                "--header",
                "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                "--user",
                &user,
            ];
            curl(&sign, &format!("{bucket}/{}", encoded(key, "/")))
        };
        Self {
            env: with(s3, &var("S3_PREFIX", PREFIX)),
            fetch: Box::new(fetch),
            _held: held,
        }
    }

    pub(super) fn google() -> Self {
        let (server, bucket) = (google(), google().bucket());
        let env = env([
            ("STORE_URL", &format!("gs://{bucket}/{PREFIX}")),
            ("STORAGE_EMULATOR_HOST", &server.endpoint()),
        ]);
        let objects = format!("{}/storage/v1/b/{bucket}/o", server.endpoint());
        let fetch =
            move |key: &str| curl(&[], &format!("{objects}/{}?alt=media", encoded(key, "")));
        Self {
            env,
            fetch: Box::new(fetch),
            _held: Box::new(()),
        }
    }

    pub(super) fn azure() -> Self {
        let (server, container) = (azure(), azure().container());
        Self {
            env: server.env_of(&container, PREFIX),
            fetch: Box::new(move |key| server.read(&format!("{container}/{}", encoded(key, "/")))),
            _held: Box::new(()),
        }
    }

    pub(super) fn directory() -> Self {
        let root = folder("matrix");
        Self {
            env: env([
                ("STORE_URL", &format!("file://{}", root.display())),
                ("S3_PREFIX", PREFIX),
            ]),
            fetch: Box::new(move |key| std::fs::read(root.join(key)).unwrap()),
            _held: Box::new(()),
        }
    }
}

fn curl(more: &[&str], url: &str) -> Vec<u8> {
    let file = folder("fetched").join("object");
    Prepared::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
        .args(more)
        .args(["--output", file.to_str().unwrap(), url])
        .succeed();
    std::fs::read(file).unwrap()
}

/// A key as it stands in a URL.
fn encoded(key: &str, plain: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        let letter = char::from(byte);
        if letter.is_ascii_alphanumeric() || "-._~".contains(letter) || plain.contains(letter) {
            text.push(letter);
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
    }
    text
}
