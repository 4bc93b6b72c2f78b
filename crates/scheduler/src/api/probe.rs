//! The door from outside: asks a scheduler whether it is healthy and what it serves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use backuper::runtime::Failure;
use futures::{StreamExt as _, stream};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::tls::read;

/// The service that must be there.
const SERVICE: &str = "backup.BackupService";
/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one that does not answer well is asked again: a Service follows its pods with some
/// delay.
const LIMIT: Duration = Duration::from_secs(30);

/// Where what a client needs for TLS stands, as PEM.
#[derive(Clone, Debug)]
pub struct Trust {
    /// `PROBE_CA`: the authorities of the scheduler's certificate.
    pub authorities: PathBuf,
    /// `PROBE_CERT` and `PROBE_KEY`: what the client shows, if it must.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Trust {
    fn read(&self) -> Result<ClientTlsConfig, Failure> {
        let authorities = Certificate::from_pem(read("PROBE_CA", &self.authorities)?);
        let tls = ClientTlsConfig::new().ca_certificate(authorities);
        let Some((certificate, key)) = &self.identity else {
            return Ok(tls);
        };
        let certificate = read("PROBE_CERT", certificate)?;
        let key = read("PROBE_KEY", key)?;
        Ok(tls.identity(Identity::from_pem(certificate, key)))
    }
}

/// Asks the scheduler at `address` (`host:port`), for half a minute if need be; over TLS, if
/// it is given. Gives the sentence that says what it serves.
///
/// # Errors
/// What it did not answer, or answered otherwise.
pub async fn ask(address: &str, tls: Option<Trust>) -> Result<String, Failure> {
    let tls = tls.as_ref().map(Trust::read).transpose()?;
    let begun = Instant::now();
    loop {
        match once(address, tls.as_ref()).await {
            Err(failure) if begun.elapsed() < LIMIT => {
                tracing::warn!(error = %failure, "asking again");
            }
            answered => return answered,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn once(address: &str, tls: Option<&ClientTlsConfig>) -> Result<String, Failure> {
    let failed = |what: &str, why: &dyn std::fmt::Display| {
        Failure::try_again(format!("{address} {what}: {why}"))
    };
    let channel = connect(address, tls)
        .await
        .map_err(|error| failed("does not answer", &deepest(&error)))?;
    let request = HealthCheckRequest {
        service: SERVICE.to_owned(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    let health = answer.map_err(|status| failed("does not tell its health", &status.message()))?;
    let health = health.into_inner().status();
    if health != ServingStatus::Serving {
        return Err(failed("is not healthy", &health.as_str_name()));
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = ServerReflectionClient::new(channel)
        .server_reflection_info(stream::iter([request]))
        .await;
    let mut answers = answer
        .map_err(|status| failed("has no reflection", &status.message()))?
        .into_inner();
    let listed = match answers.next().await {
        Some(Ok(answer)) => answer.message_response,
        Some(Err(status)) => return Err(failed("has no reflection", &status.message())),
        None => None,
    };
    let services: Vec<String> = match listed {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|it| it.name).collect()
        }
        _ => Vec::new(),
    };
    if services.iter().any(|it| it == SERVICE) {
        return Ok(format!(
            "{address} is healthy and serves {}",
            services.join(", ")
        ));
    }
    Err(failed("does not serve", &SERVICE))
}

/// tonic's own words say nothing of what has happened.
fn deepest<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    error.source().map_or(error, deepest)
}

async fn connect(
    address: &str,
    tls: Option<&ClientTlsConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls.clone())?;
    }
    endpoint.connect().await
}
