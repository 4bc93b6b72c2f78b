//! The SDK's client as our settings want it.

use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};
use secrecy::ExposeSecret as _;

use super::error::is_untrusted;
use super::unverified::Unverified;

use crate::storage::{Config, Endpoint, Error, Kind};

/// How often one request is tried: with waits of 1, 2, 4, 8 and 16 seconds at most in between
/// (chosen at random below that), a store has about half a minute to recover.
pub const ATTEMPTS: u32 = 6;
/// The longest wait between two tries.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How long a connection may take to come about.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long a store may take to begin its answer.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// How long one try may take, its body included: a part of 512 MiB at 2 MB/s.
const TRY: Duration = Duration::from_secs(300);
/// How long a body may stand still.
const STALLED: Duration = Duration::from_secs(20);

/// The region that servers other than AWS expect.
const DEFAULT_REGION: &str = "us-east-1";

/// Builds the client; nothing is sent.
pub(super) async fn build(config: &Config) -> Result<aws_sdk_s3::Client, Error> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(config)?)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_max_backoff(LONGEST_PAUSE),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .read_timeout(ANSWER)
                .operation_attempt_timeout(TRY)
                .build(),
        )
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .grace_period(STALLED)
                .build(),
        );
    if let Ok(name) = AppName::new("oiler-postgres-adapter") {
        loader = loader.app_name(name);
    }
    if let (Some(access), Some(secret)) = (&config.access_key, &config.secret_key) {
        let token = config.session_token.as_ref();
        loader = loader.credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            access.expose_secret(),
            secret.expose_secret(),
            token.map(|it| it.expose_secret().to_owned()),
            None,
            "S3_ACCESS_KEY",
        )));
    }
    if let Some(region) = region(config) {
        loader = loader.region(Region::new(region));
    }
    let shared = loader.load().await;
    let mut builder = aws_sdk_s3::config::Builder::from(&shared);
    if let Some(Endpoint::Url(url)) = &config.endpoint {
        // Streamed checksums are sent as `aws-chunked`, which some servers refuse and some store
        // framing and all. Content-MD5 and the object's verification stand in for them.
        builder = builder
            .endpoint_url(url)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    let path_style = config.force_path_style.unwrap_or(config.endpoint.is_some());
    Ok(aws_sdk_s3::Client::from_conf(
        builder
            .force_path_style(path_style)
            .retry_classifier(Untrusted)
            .build(),
    ))
}

fn region(config: &Config) -> Option<String> {
    let default = || config.endpoint.as_ref().map(|_| DEFAULT_REGION.to_owned());
    config.region.clone().or_else(default)
}

fn http_client(config: &Config) -> Result<SharedHttpClient, Error> {
    if !config.secure {
        tracing::warn!(
            "SECURE=false: the S3 server's certificate is not verified, so anybody on the way can read and change backups; give the authority in S3_CA_FILE instead"
        );
        return Unverified::client().map_err(|error| misconfigured(error.to_string()));
    }
    let mut roots = TrustStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for certificate in system.certs {
        // The SDK panics over what it cannot use, and old bundles have such certificates.
        if rustls::RootCertStore::empty()
            .add(certificate.clone())
            .is_ok()
        {
            roots.add_pem_certificate(pem(&certificate));
        }
    }
    if let Some(path) = &config.ca_file {
        let file = std::fs::read(path).map_err(|error| {
            misconfigured(format!("reading S3_CA_FILE {}: {error}", path.display()))
        })?;
        check_pem(&file)
            .map_err(|reason| misconfigured(format!("S3_CA_FILE {}: {reason}", path.display())))?;
        roots.add_pem_certificate(file);
    }
    let context = TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .map_err(|error| misconfigured(error.to_string()))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https())
}

/// The SDK takes PEM alone, and the system's certificates are given as DER.
fn pem(certificate: &rustls::pki_types::CertificateDer<'_>) -> Vec<u8> {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n").into_bytes()
}

/// The SDK panics over a file without a certificate.
fn check_pem(file: &[u8]) -> Result<(), String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(file) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(())
}

fn misconfigured(reason: String) -> Error {
    Error {
        kind: Kind::Misconfigured,
        action: "preparing to speak to",
        location: "the S3 server".to_owned(),
        reason,
    }
}

/// Trying again does not mend a certificate, though the SDK takes it for a broken connection.
#[derive(Debug)]
struct Untrusted;

impl ClassifyRetry for Untrusted {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().and_then(Result::err);
        let connector = failed.and_then(|it| it.as_connector_error());
        if connector.is_some_and(|it| is_untrusted(it)) {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "untrusted certificate"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
