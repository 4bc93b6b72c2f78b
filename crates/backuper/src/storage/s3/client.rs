//! The SDK's client as our settings want it.

use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};
use secrecy::ExposeSecret as _;

use super::connector::Connector;
use crate::storage::http::{self, Http, permanent};
use crate::storage::{Error, S3Place, Tls};

/// How often one request is tried: with waits of 1, 2, 4, 8 and 16 seconds at most in between
/// (chosen at random below that), a store has about half a minute to recover.
pub const ATTEMPTS: u32 = 6;
/// The longest wait between two tries.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The region that servers other than AWS expect.
const DEFAULT_REGION: &str = "us-east-1";

/// The HTTP client of the SDK's clients in these programs: the SDK brings none of its own here.
///
/// # Errors
/// `Kind::Misconfigured` when a certificate file cannot be used.
pub fn http_client(tls: &Tls) -> Result<SharedHttpClient, Error> {
    Ok(Connector::shared(Http::new(tls)?))
}

/// Builds the client, which tries a request as often as this; nothing is sent. Says also whether it speaks TLS.
pub(super) async fn build(
    place: &S3Place,
    tls: &Tls,
    attempts: u32,
) -> Result<(aws_sdk_s3::Client, bool), Error> {
    if let Some(url) = &place.endpoint
        && let Some(proxy) = http::proxy_for(url)
    {
        tracing::info!(%proxy, "the environment's proxy is asked for S3");
    }
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(tls)?)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(attempts)
                .with_max_backoff(LONGEST_PAUSE),
        )
        // Our own client sees what stands still; the SDK's protection takes a part in memory for sent.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Ok(name) = AppName::new("oiler-postgres-adapter") {
        loader = loader.app_name(name);
    }
    if let (Some(access), Some(secret)) = (&place.access_key, &place.secret_key) {
        let token = place.session_token.as_ref();
        loader = loader.credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            access.expose_secret(),
            secret.expose_secret(),
            token.map(|it| it.expose_secret().to_owned()),
            None,
            "S3_ACCESS_KEY",
        )));
    }
    if let Some(region) = region(place) {
        loader = loader.region(Region::new(region));
    }
    let shared = loader.load().await;
    let mut builder = aws_sdk_s3::config::Builder::from(&shared);
    if let Some(url) = &place.endpoint {
        // Streamed checksums are sent as `aws-chunked`, which some servers refuse and some store
        // framing and all. Content-MD5 and the object's verification stand in for them.
        builder = builder
            .endpoint_url(url)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    // Without any, it is AWS' own.
    let endpoint = place.endpoint.as_deref().or(shared.endpoint_url());
    let over_tls = endpoint.is_none_or(|it| it.starts_with("https://"));
    let path_style = place.force_path_style.unwrap_or(place.endpoint.is_some());
    let client = aws_sdk_s3::Client::from_conf(
        builder
            .force_path_style(path_style)
            .retry_classifier(Hopeless)
            .build(),
    );
    Ok((client, over_tls))
}

fn region(place: &S3Place) -> Option<String> {
    let default = || place.endpoint.as_ref().map(|_| DEFAULT_REGION.to_owned());
    place.region.clone().or_else(default)
}

/// Trying again mends no certificate and no scheme, though the SDK takes them for broken connections.
#[derive(Debug)]
struct Hopeless;

impl ClassifyRetry for Hopeless {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().and_then(Result::err);
        let connector = failed.and_then(|it| it.as_connector_error());
        if connector.is_some_and(|it| permanent(it).is_some()) {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "untrusted certificate or wrong scheme"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
