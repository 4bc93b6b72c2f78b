//! A Prometheus Pushgateway. <https://github.com/prometheus/pushgateway#url>

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prometheus::{Encoder as _, Registry, TextEncoder};
use secrecy::{ExposeSecret, SecretString};

use super::Error;
use crate::text::deepest_cause;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The address of a Pushgateway. It may carry a user and a password, so it is never shown.
#[derive(Clone)]
pub struct PushgatewayUrl(SecretString);

impl PushgatewayUrl {
    /// The whole URL.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for PushgatewayUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PushgatewayUrl([REDACTED])")
    }
}

impl FromStr for PushgatewayUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<http::Uri>() {
            Ok(uri)
                if matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some_and(|it| !it.is_empty()) =>
            {
                Ok(Self(SecretString::from(text.trim_end_matches('/'))))
            }
            _ => Err("an http:// or https:// URL is needed".to_owned()),
        }
    }
}

/// Pushes the metrics into the group of this job and database. POST replaces metrics of the same
/// name only, so the time of the last success outlives a failure.
///
/// # Errors
/// When the gateway did not take them.
pub async fn push(
    url: &PushgatewayUrl,
    job: &str,
    database: &str,
    metrics: &Registry,
) -> Result<(), Error> {
    let failed = |reason: String| Error {
        receiver: "the Pushgateway",
        reason,
    };
    let encoder = TextEncoder::new();
    let mut body = Vec::new();
    encoder
        .encode(&metrics.gather(), &mut body)
        .map_err(|error| failed(error.to_string()))?;
    // A database's name may hold slashes; the gateway takes such values in base64.
    let group = format!(
        "{}/metrics/job/{job}/database@base64/{}",
        url.0.expose_secret(),
        URL_SAFE_NO_PAD.encode(database)
    );
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| failed(error.without_url().to_string()))?;
    let answer = client
        .post(group)
        .header("content-type", encoder.format_type())
        .body(body)
        .send()
        .await
        .map_err(|error| failed(deepest_cause(&error.without_url())))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    Err(failed(format!("{status} {}", text.trim())))
}
