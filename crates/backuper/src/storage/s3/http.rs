//! The HTTP client below the SDK: the certificates that we trust, the proxies that the environment
//! names, and time-outs that follow the bytes.

use std::net::IpAddr;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body::Body as _;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::stall::{Limits, Receiving, Sending, stalled};
use crate::storage::{Error, Kind, Tls};

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

/// Speaks HTTP for the SDK.
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
                "SECURE=false: the S3 server's certificate is not verified, so anybody on the way can read and change backups; give the authority in S3_CA_FILE instead"
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

    pub(super) fn shared(self) -> SharedHttpClient {
        SharedHttpClient::new(self)
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let client = if is_metadata(request.uri()) {
            &self.direct
        } else {
            &self.client
        };
        let (parts, body) = request.into_parts();
        let is_object = is_object(&parts.uri);
        let (body, sent) = Sending::new(body);
        let body = if body.is_end_stream() {
            reqwest::Body::from(bytes::Bytes::new())
        } else {
            reqwest::Body::wrap(body)
        };
        let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))
            .map_err(|error| ConnectorError::user(error.into()))?;
        let response = tokio::select! {
            response = client.execute(request) => response.map_err(failed)?,
            () = stalled(sent, self.limits) => {
                return Err(ConnectorError::timeout("no byte went or came in time".into()));
            }
        };
        let response: http::Response<reqwest::Body> = response.into();
        let is_object = is_object && response.status().is_success();
        let response = response.map(|it| {
            let body = Receiving::new(it, self.limits);
            // The SDK reads everything but objects whole into memory.
            SdkBody::from_body_1_x(if is_object {
                body
            } else {
                body.bounded(DOCUMENT, DOCUMENT_WITHIN)
            })
        });
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// Whether a request is for an object's content, as the SDK says it.
fn is_object(uri: &http::Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|it| it == "x-id=GetObject")
}

fn failed(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Http {
    /// A request's own read time-out is how long nothing may happen to it.
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let mut this = self.clone();
        this.limits.idle = settings.read_timeout().unwrap_or(self.limits.idle);
        SharedHttpConnector::new(this)
    }
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
    match host.and_then(|it| it.parse().ok()) {
        Some(IpAddr::V4(address)) => address.is_link_local(),
        Some(IpAddr::V6(address)) => address.segments()[..2] == [0xfd00, 0xec2],
        None => false,
    }
}

/// Trusts the system's authorities and those of `S3_CA_FILE`.
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
        location: "the S3 server".to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

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
    async fn send(to: &str, method: &str, body: usize) -> Result<HttpResponse, ConnectorError> {
        let mut http = Http::new(&Tls::default()).unwrap();
        http.limits = Limits {
            idle: IDLE / 100,
            per_mib: PER_MIB / 100,
        };
        let mut request = HttpRequest::new(SdkBody::from(vec![7; body]));
        request.set_uri(to).unwrap();
        request.set_method(method).unwrap();
        http.send(request).await
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
            let mut body = aws_sdk_s3::primitives::ByteStream::new(answer.into_body());
            let mut count = 0;
            while let Some(chunk) = body.next().await {
                count += chunk.map_err(|it| crate::text::deepest_cause(&it))?.len();
            }
            Ok(count)
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
