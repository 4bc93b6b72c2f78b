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
use crate::storage::{Config, Error, Kind};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long no byte may go or come.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How much longer an answer may take for each MiB before it: that is how long one is on its way
/// when the four parts of [`super::parts`] share 100 kB/s.
const PER_MIB: Duration = Duration::from_secs(40);

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
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        if !config.secure {
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
            let builder = if config.secure {
                builder.tls_backend_preconfigured(tls(config)?)
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
        let response = response.map(|it| SdkBody::from_body_1_x(Receiving::new(it, self.limits)));
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
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
fn tls(config: &Config) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    // Old bundles have certificates that nobody can use; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.ca_file {
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

fn misconfigured(reason: String) -> Error {
    Error {
        kind: Kind::Misconfigured,
        action: "preparing to speak to",
        location: "the S3 server".to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
