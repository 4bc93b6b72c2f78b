//! An S3 server in this process: s3s-fs, which checks signatures for real.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::dto::{DeleteObjectsInput, ListObjectsV2Input};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Request, S3Result, s3_error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::tls::{Authority, Certificate};
use super::{Env, block_on, env, folder, runtime, unique};

/// A server with one bucket, a test's own. Dropped, it stops.
#[derive(Debug)]
pub struct S3 {
    root: PathBuf,
    port: u16,
    scheme: &'static str,
    bucket: String,
    access_key: String,
    secret_key: String,
    serving: tokio::task::JoinHandle<()>,
}

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

impl S3 {
    /// A server that speaks plain HTTP.
    pub fn start() -> Self {
        Self::serve(None, None)
    }

    /// A server whose key may do everything below `prefix` and nothing else: no other listing
    /// either.
    pub fn start_for_keys_below(prefix: &str) -> Self {
        Self::serve(None, Some(Below(prefix.to_owned())))
    }

    /// A server that speaks HTTPS with a certificate of this authority.
    pub fn start_with_tls(authority: &Authority) -> Self {
        Self::serve(Some(&authority.sign(&["localhost", "127.0.0.1"])), None)
    }

    fn serve(certificate: Option<&Certificate>, policy: Option<Below>) -> Self {
        let root = folder("s3");
        let bucket = unique("bucket-");
        fs::create_dir(root.join(&bucket)).expect("a bucket");
        let (access_key, secret_key) = (unique("AK"), unique("s3cr3t-"));
        let mut builder =
            S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).expect("a file system"));
        builder.set_auth(SimpleAuth::from_single(&access_key, secret_key.clone()));
        if let Some(policy) = policy {
            builder.set_access(policy);
        }
        let service = builder.build();
        let acceptor = certificate.map(acceptor);
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        Self {
            root,
            port,
            scheme: if certificate.is_some() {
                "https"
            } else {
                "http"
            },
            bucket,
            access_key,
            secret_key,
            serving: runtime().spawn(accept(listener, acceptor, service)),
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The access key.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The secret key.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// How a worker reaches the bucket.
    pub fn env(&self) -> Env {
        self.env_at(&self.endpoint())
    }

    /// As [`S3::env`] through another address, such as a proxy's.
    pub fn env_at(&self, endpoint: &str) -> Env {
        env([
            ("S3_ENDPOINT", endpoint),
            ("S3_BUCKET_NAME", &self.bucket),
            ("S3_ACCESS_KEY", &self.access_key),
            ("S3_SECRET_KEY", &self.secret_key),
        ])
    }

    /// All objects, sorted by key.
    pub fn objects(&self) -> Vec<Object> {
        let mut objects = Vec::new();
        walk(&self.root.join(&self.bucket), "", &mut objects);
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        objects
    }

    /// All keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.objects().into_iter().map(|it| it.key).collect()
    }

    /// The keys of all manifests: the complete backups, oldest first for one database.
    pub fn manifests(&self) -> Vec<String> {
        let mut keys = self.keys();
        keys.retain(|it| it.ends_with("/manifest.json"));
        keys
    }

    /// The bytes of an object.
    #[track_caller]
    pub fn read(&self, key: &str) -> Vec<u8> {
        fs::read(self.path(key)).unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    /// Puts an object there.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().expect("the bucket")).expect("folders");
        fs::write(path, bytes).expect("a file");
    }

    /// Takes an object away.
    #[track_caller]
    pub fn remove(&self, key: &str) {
        fs::remove_file(self.path(key)).unwrap_or_else(|error| panic!("{key}: {error}"));
    }

    /// Where an object lies on this machine.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(&self.bucket).join(key)
    }

    /// How many multipart uploads were begun and neither completed nor aborted.
    pub fn uploads_under_way(&self) -> usize {
        let entries = fs::read_dir(&self.root).expect("the root");
        entries
            .flatten()
            .filter(|it| it.file_name().to_string_lossy().starts_with(".upload-"))
            .count()
    }
}

/// A policy as administrators write it: `BUCKET/PREFIX*`, and listings with this prefix.
struct Below(String);

impl Below {
    fn allows(&self, key: &str) -> S3Result<()> {
        if key.starts_with(&self.0) {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "not below {}", self.0))
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Below {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let known = context.credentials().is_some();
        match (known, context.s3_path().as_object()) {
            (false, _) => Err(s3_error!(AccessDenied, "anonymous")),
            (true, Some((_, key))) => self.allows(key),
            (true, None) => match context.s3_op().name() {
                "ListObjectsV2" | "DeleteObjects" => Ok(()),
                other => Err(s3_error!(AccessDenied, "{other} is not allowed")),
            },
        }
    }

    async fn list_objects_v2(&self, request: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        self.allows(request.input.prefix.as_deref().unwrap_or_default())
    }

    async fn delete_objects(&self, request: &mut S3Request<DeleteObjectsInput>) -> S3Result<()> {
        let objects = &request.input.delete.objects;
        objects.iter().try_for_each(|it| self.allows(&it.key))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// TLS before a server of this machine that has none. Dropped, it stops.
#[derive(Debug)]
pub struct BehindTls {
    port: u16,
    serving: tokio::task::JoinHandle<()>,
}

impl BehindTls {
    /// With a certificate of this authority, before this port.
    pub fn start(authority: &Authority, upstream: u16) -> Self {
        let acceptor = acceptor(&authority.sign(&["localhost", "127.0.0.1"]));
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        Self {
            port: listener.local_addr().expect("an address").port(),
            serving: runtime().spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let server = TcpStream::connect(("127.0.0.1", upstream)).await;
                        if let (Ok(mut client), Ok(mut server)) =
                            (acceptor.accept(stream).await, server)
                        {
                            // Either may hang up first.
                            drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                        }
                    });
                }
            }),
        }
    }

    /// `https://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for BehindTls {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    // The provider must stand before the first configuration is built.
    runtime();
    let chain = CertificateDer::from_pem_slice(certificate.pem.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).expect("PEM");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, service: S3Service) {
    loop {
        let (stream, _) = listener.accept().await.expect("the listener lives");
        let (acceptor, service) = (acceptor.clone(), service.clone());
        tokio::spawn(async move {
            match acceptor {
                None => answer(stream, service).await,
                // A client that does not trust us ends the handshake, as some tests want it.
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream, service).await;
                    }
                }
            }
        });
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, service: S3Service) {
    let connection = hyper::server::conn::http1::Builder::new();
    // Clients that hang up in the middle are what many tests are about.
    drop(
        connection
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// Empty folders are what s3s-fs leaves of deleted objects; they are no objects.
fn walk(folder: &Path, prefix: &str, objects: &mut Vec<Object>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // What is deleted between two looks is not there.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            walk(&entry.path(), &format!("{key}/"), objects);
        } else {
            objects.push(Object {
                key,
                size: metadata.len(),
            });
        }
    }
}
