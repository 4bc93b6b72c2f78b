//! The gRPC server's certificate: read from files, and anew when they change, since whoever renews
//! a certificate writes the files and tells nobody.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backuper::runtime::Failure;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::listener::{Connection, Listener};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long a client may take to introduce itself.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that wait for the server to take them.
const WAITING: usize = 64;

/// Where the certificate and what belongs to it stand, as PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// `GRPC_TLS_CERT`: the certificate and its chain.
    pub certificate: PathBuf,
    /// `GRPC_TLS_KEY`: its key.
    pub key: PathBuf,
    /// `GRPC_TLS_CLIENT_CA`: the authorities whose clients are let in; none lets every client in.
    pub client_ca: Option<PathBuf>,
    /// Whether clients without a certificate are let in too, since they may have tokens; it may change.
    pub anonymous: Arc<AtomicBool>,
}

/// What stands in the files; the key is why it has no `Debug`.
#[derive(PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
    anonymous: bool,
}

/// The certificate that is shown to new clients.
pub struct Certificates {
    files: Files,
    pem: Pem,
    current: Arc<ServerConfig>,
    /// What was wrong with the files the last time.
    wrong: Option<Failure>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = &self.files;
        formatter
            .debug_struct("Certificates")
            .field("files", files)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence that names the variable and what is wrong with its file.
    pub fn read(files: Files) -> Result<Self, Failure> {
        let pem = files.read()?;
        let current = Arc::new(config(&pem)?);
        Ok(Self {
            files,
            pem,
            current,
            wrong: None,
        })
    }

    /// The clients of a listener that have come in by TLS, until stopped.
    #[must_use]
    pub fn accept(
        mut self,
        mut listener: Listener,
        stop: CancellationToken,
    ) -> ReceiverStream<io::Result<TlsStream<Connection>>> {
        let (inside, clients) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _now = look.tick() => self.renew(),
                    (client, address) = listener.accept() => {
                        let acceptor = TlsAcceptor::from(self.current.clone());
                        tokio::spawn(introduce(acceptor, client, address, inside.clone()));
                    }
                }
            }
        });
        ReceiverStream::new(clients)
    }

    /// Half a renewal is no reason to stop: the old certificate stays until the new one is whole.
    fn renew(&mut self) {
        let renewed = self.files.read().and_then(|pem| {
            let changed = pem != self.pem;
            Ok(changed.then_some((config(&pem)?, pem)))
        });
        let wrong = renewed.as_ref().err().cloned();
        match renewed {
            Ok(Some((config, pem))) => {
                self.current = Arc::new(config);
                if pem.anonymous == self.pem.anonymous {
                    tracing::info!("the TLS certificate was renewed");
                }
                self.pem = pem;
            }
            Ok(None) => {}
            Err(error) if self.wrong.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the TLS certificate stays as it was");
            }
        }
        self.wrong = wrong;
    }
}

impl Files {
    fn read(&self) -> Result<Pem, Failure> {
        let client_ca = self.client_ca.as_deref();
        Ok(Pem {
            certificate: read("GRPC_TLS_CERT", &self.certificate)?,
            key: read("GRPC_TLS_KEY", &self.key)?,
            client_ca: client_ca
                .map(|it| read("GRPC_TLS_CLIENT_CA", it))
                .transpose()?,
            anonymous: self.anonymous.load(Ordering::Relaxed),
        })
    }
}

/// The bytes of a file that a variable names.
///
/// # Errors
/// A sentence that names both.
pub fn read(variable: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let path = path.display();
        Failure::refused(format!("{variable}: {path} cannot be read: {error}"))
    })
}

fn config(pem: &Pem) -> Result<ServerConfig, Failure> {
    let refused = |variable: &str, why: &dyn std::fmt::Display| {
        Failure::refused(format!("{variable}: {why}"))
    };
    let chain = certificates(&pem.certificate).map_err(|it| refused("GRPC_TLS_CERT", &it))?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key);
    let key = key.map_err(|it| refused("GRPC_TLS_KEY", &it))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|it| Failure::refused(it.to_string()))?;
    let builder = match &pem.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let refused = |why: &dyn std::fmt::Display| refused("GRPC_TLS_CLIENT_CA", why);
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities).map_err(|it| refused(&it))? {
                roots.add(authority).map_err(|it| refused(&it))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if pem.anonymous {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            let verifier = verifier.build().map_err(|it| refused(&it))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|it| refused("GRPC_TLS_CERT and GRPC_TLS_KEY", &it))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(pem::Error::NoItemsFound);
    }
    Ok(found)
}

async fn introduce(
    acceptor: TlsAcceptor,
    client: Connection,
    address: Option<SocketAddr>,
    inside: mpsc::Sender<io::Result<TlsStream<Connection>>>,
) {
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(client)).await {
        Ok(Ok(stream)) => {
            // Only a server that is stopping takes no more clients.
            let _gone = inside.send(Ok(stream)).await;
        }
        Ok(Err(error)) => tracing::info!(?address, %error, "a TLS handshake failed"),
        Err(_elapsed) => tracing::info!(?address, "a TLS handshake took too long"),
    }
}
