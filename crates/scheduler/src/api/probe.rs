//! The door from outside: asks a scheduler whether it is healthy and what it serves.

use std::time::{Duration, Instant};

use backuper::runtime::Failure;
use backuper::runtime::failure::Verdict;
use futures::{StreamExt as _, stream};
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::client::{Address, Trust, connect};

/// The service that must be there.
const SERVICE: &str = "backup.BackupService";
/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one that does not answer well is asked again: a Service follows its pods with some
/// delay.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks the scheduler at an address, for half a minute if need be. Gives the sentence that says what it
/// serves.
///
/// # Errors
/// What it did not answer, or answered otherwise.
pub async fn ask(address: &Address, trust: &Trust) -> Result<String, Failure> {
    let begun = Instant::now();
    loop {
        match once(address, trust).await {
            Err(failure) if failure.verdict == Verdict::TryAgain && begun.elapsed() < LIMIT => {
                tracing::warn!(error = %failure, "asking again");
            }
            answered => return answered,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub(crate) async fn once(address: &Address, trust: &Trust) -> Result<String, Failure> {
    let failed = |what: &str, why: &dyn std::fmt::Display| {
        Failure::try_again(format!("{address} {what}: {why}"))
    };
    let channel = connect(address, trust).await?;
    let mut request = Request::new(HealthCheckRequest {
        service: SERVICE.to_owned(),
    });
    request.set_timeout(PATIENCE);
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
