//! The HTTP client below all stores of a network: the certificates that we trust, the proxies that the
//! environment names, and time-outs that follow the bytes.

mod stall;

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use self::stall::{Limits, Receiving, Sending, stalled};
use super::{Error, Kind, Tls};
use crate::link_local::is_link_local;
use crate::text::causes;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer, on its way.
pub(super) type Incoming = Receiving<reqwest::Body>;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long no byte may go or come.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How much longer an answer may take for each MiB before it: that is how long one is on its way
/// when the four parts of [`super::parts`] share 100 kB/s.
const PER_MIB: Duration = Duration::from_secs(40);

/// What an answer may have that is no object, in bytes: a page of a thousand keys of 1 KiB has two MiB.
const DOCUMENT: u64 = 16 << 20;
/// How long such an answer may take in all.
const DOCUMENT_WITHIN: Duration = Duration::from_secs(120);

/// Speaks HTTP with a store.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    /// For the addresses that a cloud answers its own machines at: no proxy reaches these.
    direct: reqwest::Client,
    limits: Limits,
}

impl Http {
    /// A client as it is configured.
    ///
    /// # Errors
    /// `Kind::Misconfigured` when a certificate file cannot be used.
    pub(super) fn new(trust: &Tls) -> Result<Self, Error> {
        if !trust.verify {
            tracing::warn!(
                "SECURE=false: the store's certificate is not verified, so anybody on the way can read and change backups; give the authority in STORE_CA_FILE instead"
            );
        }
        let build = |builder: reqwest::ClientBuilder| {
            let builder = builder
                .connect_timeout(CONNECT)
                // A peer that is gone answers nothing, however much still lies in our buffers.
                .tcp_user_timeout(IDLE)
                // A signature holds for one address, and for requests that nobody changes.
                .redirect(reqwest::redirect::Policy::none());
            let builder = if trust.verify {
                builder.tls_backend_preconfigured(tls(trust)?)
            } else {
                builder.tls_danger_accept_invalid_certs(true)
            };
            builder
                .build()
                .map_err(|error| misconfigured(error.to_string()))
        };
        Ok(Self {
            client: build(reqwest::Client::builder())?,
            direct: build(reqwest::Client::builder().no_proxy())?,
            limits: Limits {
                idle: IDLE,
                per_mib: PER_MIB,
            },
        })
    }

    /// One that lets nothing happen for another time.
    pub(super) fn with_idle(mut self, idle: Duration) -> Self {
        self.limits.idle = idle;
        self
    }

    /// Sends a request and gives the head of the answer. `is_object`: its body is an object's content, of
    /// any size.
    pub(super) async fn send<B>(
        &self,
        request: http::Request<B>,
        is_object: bool,
    ) -> Result<http::Response<Incoming>, Broken>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Sync + Unpin + 'static,
    {
        let client = if is_metadata(request.uri()) {
            &self.direct
        } else {
            &self.client
        };
        let (parts, body) = request.into_parts();
        let (body, sent) = Sending::new(body);
        let body = if body.is_end_stream() {
            reqwest::Body::from(Bytes::new())
        } else {
            reqwest::Body::wrap(body)
        };
        let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))
            .map_err(Broken::Unsendable)?;
        let response = tokio::select! {
            response = client.execute(request) => response.map_err(Broken::Failed)?,
            () = stalled(sent, self.limits) => return Err(Broken::StoodStill),
        };
        let response: http::Response<reqwest::Body> = response.into();
        let is_object = is_object && response.status().is_success();
        Ok(response.map(|it| {
            let body = Receiving::new(it, self.limits);
            // Everything but objects is read whole into memory.
            if is_object {
                body
            } else {
                body.bounded(DOCUMENT, DOCUMENT_WITHIN)
            }
        }))
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Nothing moved any more.
    #[error("no byte went or came in time")]
    StoodStill,
    /// It was never sent.
    #[error(transparent)]
    Unsendable(reqwest::Error),
    /// The connection did not come about, or broke.
    #[error(transparent)]
    Failed(reqwest::Error),
}

impl Broken {
    /// Whether it took too long.
    pub(super) fn is_timeout(&self) -> bool {
        match self {
            Self::StoodStill => true,
            Self::Unsendable(error) | Self::Failed(error) => error.is_timeout(),
        }
    }
}

/// What a connection failed of that no further try mends.
pub(super) fn permanent(error: &(dyn std::error::Error + 'static)) -> Option<Kind> {
    causes(error).find_map(|it| {
        match of_tls(it) {
            Some(rustls::Error::InvalidCertificate(_)) => return Some(Kind::Untrusted),
            // What came instead of a handshake was no TLS.
            Some(rustls::Error::InvalidMessage(_)) => return Some(Kind::SpeaksHttp),
            _ => {}
        }
        // What came instead of an answer was no HTTP.
        let http = it.downcast_ref::<hyper::Error>();
        http.is_some_and(hyper::Error::is_parse)
            .then_some(Kind::SpeaksHttps)
    })
}

/// The error of TLS that an error of I/O is wrapped around, once or more.
fn of_tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = |it: &&'a (dyn std::error::Error + 'static)| {
        let wrapped = it.downcast_ref::<std::io::Error>()?.get_ref()?;
        Some(wrapped as &(dyn std::error::Error + 'static))
    };
    std::iter::successors(Some(error), inner).find_map(|it| it.downcast_ref())
}

/// Which proxy the environment wants to be asked for this address, without its password.
pub(super) fn proxy_for(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let proxy = Matcher::from_env().intercept(&uri)?;
    Some(proxy.uri().to_string())
}

/// Whether this is where a cloud gives its machines their keys: a link-local address, or the one
/// that AWS has for IPv6.
fn is_metadata(uri: &http::Uri) -> bool {
    let host = uri
        .host()
        .map(|it| it.trim_start_matches('[').trim_end_matches(']'));
    // Google names the address.
    if host.is_some_and(|it| it == "metadata.google.internal" || it == "metadata") {
        return true;
    }
    match host.and_then(|it| it.parse().ok()) {
        Some(address) => is_link_local(address),
        None => false,
    }
}

/// Trusts the system's authorities and those of `STORE_CA_FILE`.
fn tls(trust: &Tls) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    // Old bundles have certificates that nobody can use; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &trust.ca_file {
        let wrong =
            |reason: String| misconfigured(format!("S3_CA_FILE {}: {reason}", path.display()));
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| misconfigured(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

pub(super) fn misconfigured(reason: String) -> Error {
    Error {
        kind: Kind::Misconfigured,
        action: "preparing to speak to",
        location: "the store".to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http_body_util::{BodyExt as _, Full};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    /// A server for one connection; gives its address. What it takes in is bounded by its program
    /// and not by its kernel.
    fn serve<F: Future<Output = ()> + Send + 'static>(
        serving: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> String {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { serving(listener.accept().await.unwrap().0).await });
        format!("http://{address}/")
    }

    /// Reads this many bytes, 64 KiB each 20 ms.
    async fn read_slowly(stream: &mut TcpStream, mut bytes: usize) {
        let mut buffer = vec![0; 64 << 10];
        while bytes > 0 {
            bytes = bytes.saturating_sub(stream.read(&mut buffer).await.unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn answer(stream: &mut TcpStream, length: usize, sent: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{sent}");
        stream.write_all(head.as_bytes()).await.unwrap();
    }

    /// Time-outs a hundred times as short as the real ones.
    async fn send(to: &str, method: &str, body: usize) -> Result<http::Response<Incoming>, Broken> {
        let mut http = Http::new(&Tls::default()).unwrap();
        http.limits = Limits {
            idle: IDLE / 100,
            per_mib: PER_MIB / 100,
        };
        let request = http::Request::builder().uri(to).method(method);
        let body = Full::new(Bytes::from(vec![7; body]));
        http.send(request.body(body).unwrap(), true).await
    }

    /// F41, a hundred times as fast.
    #[tokio::test]
    async fn a_request_that_moves_is_never_too_slow() {
        let size = 12 << 20;
        let to = serve(move |mut stream| async move {
            read_slowly(&mut stream, size).await;
            answer(&mut stream, 0, "").await;
        });
        let begun = Instant::now();
        send(&to, "PUT", size).await.unwrap();
        assert!(begun.elapsed() > IDLE / 100, "it was no slow request");
    }

    #[tokio::test]
    async fn a_request_that_stands_still_ends() {
        let to = serve(|mut stream| async move {
            read_slowly(&mut stream, 1 << 20).await;
            std::future::pending::<()>().await;
        });
        let error = send(&to, "PUT", 12 << 20).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for() {
        let to = serve(|stream| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        });
        let error = send(&to, "GET", 0).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_that_stands_still_ends_and_one_that_moves_does_not() {
        async fn read(to: &str) -> Result<usize, String> {
            let answer = send(to, "GET", 0).await.unwrap();
            let body = answer.into_body().collect().await;
            let whole = body.map_err(|it| crate::text::deepest_cause(&*it))?;
            Ok(whole.to_bytes().len())
        }
        let still = serve(|mut stream| async move {
            read_slowly(&mut stream, 1).await;
            answer(&mut stream, 100, "half").await;
            std::future::pending::<()>().await;
        });
        let error = read(&still).await.unwrap_err();
        assert!(error.contains("no byte came"), "{error}");
        let moving = serve(|mut stream| async move {
            read_slowly(&mut stream, 1).await;
            answer(&mut stream, 20, "").await;
            for _ in 0..20 {
                tokio::time::sleep(IDLE / 400).await;
                stream.write_all(b"x").await.unwrap();
            }
        });
        assert_eq!(read(&moving).await, Ok(20));
    }

    #[test]
    fn a_clouds_own_addresses_are_reached_without_a_proxy() {
        let is = |uri: &str| is_metadata(&uri.parse().unwrap());
        for uri in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal/computeMetadata/v1/",
        ] {
            assert!(is(uri), "{uri}");
        }
        for uri in [
            "https://sts.amazonaws.com/",
            "http://10.0.0.1:9000/",
            "http://[::1]/",
        ] {
            assert!(!is(uri), "{uri}");
        }
    }
}
