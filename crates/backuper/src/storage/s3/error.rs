//! What S3's and the SDK's errors mean.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::storage::http::permanent;
use crate::storage::{Error, Kind};
use crate::text::{causes, deepest_cause};

/// Turns an SDK error into ours.
pub(super) fn meaning<E>(
    action: &'static str,
    location: &str,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (kind, reason) = match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or_default();
            let message = answer.err().message().unwrap_or_default();
            let said = [code, message].map(str::trim).join(" ");
            let body = answer.raw().body().bytes().unwrap_or_default();
            let kind = match (code, status) {
                ("", 400) if wants_https(body) => Kind::SpeaksHttps,
                // A page for people, or nothing that anybody knows.
                ("", 200..=299) => Kind::NotS3,
                ("", 404 | 405) if is_page(body) => Kind::NotS3,
                _ => kind_of(status, code),
            };
            (kind, format!("HTTP {status} {said}"))
        }
        SdkError::ResponseError(answer) => (
            Kind::Unavailable,
            format!(
                "HTTP {} {}",
                answer.raw().status().as_u16(),
                deepest_cause(error)
            ),
        ),
        SdkError::DispatchFailure(failure) => {
            let kind = match permanent(error) {
                Some(kind) => kind,
                // Found out before anything was sent.
                None if failure.is_other() => return unsent(action, location, error),
                None if failure.is_user() => Kind::Other,
                None => Kind::Unavailable,
            };
            (kind, deepest_cause(error))
        }
        SdkError::TimeoutError(_) => (Kind::Unavailable, "no answer in time".to_owned()),
        _ => return unsent(action, location, error),
    };
    one_line(kind, action, location, &reason)
}

fn one_line(kind: Kind, action: &'static str, location: &str, reason: &str) -> Error {
    Error {
        kind,
        action,
        location: location.to_owned(),
        reason: reason.replace(['\n', '\r'], " ").trim().to_owned(),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; HEAD has no body, so
/// only its status speaks.
pub(super) fn kind_of(status: u16, code: &str) -> Kind {
    match (code, status) {
        ("NoSuchBucket", _) => Kind::NoBucket,
        ("InvalidBucketName", _) => Kind::BucketName,
        ("NoSuchKey" | "NoSuchUpload" | "NotFound", _) => Kind::NotFound,
        (
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307 | 308) => Kind::WrongRegion,
        ("RequestTimeTooSkewed", _) => Kind::ClockSkew,
        ("RequestTimeout" | "SlowDown" | "ServiceUnavailable" | "InternalError", _) => {
            Kind::Unavailable
        }
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "InvalidDigest", _) => Kind::Corrupt,
        ("InvalidAccessKeyId" | "NotSignedUp", _) => Kind::UnknownKey,
        ("SignatureDoesNotMatch", _) => Kind::WrongSecret,
        ("InvalidToken" | "ExpiredToken" | "TokenRefreshRequired", _) => Kind::SessionToken,
        ("AccessDenied", _) => Kind::Denied,
        ("NotImplemented" | "MethodNotAllowed", _) | (_, 501) => Kind::Other,
        ("InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => Kind::Full,
        (_, 401 | 403) => Kind::Denied,
        (_, 404) => Kind::NotFound,
        (_, 408 | 429 | 500..=599) => Kind::Unavailable,
        _ => Kind::Other,
    }
}

/// What Go's servers, nginx and Apache answer to http on a port of https.
fn wants_https(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("HTTPS") || text.contains("SSL-enabled")
}

fn is_page(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins = |with: &[u8]| {
        start
            .get(..with.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(with))
    };
    begins(b"<!doctype html") || begins(b"<html")
}

/// An object that the server should have had is no missing one: another try may succeed.
pub(super) fn unexpected(error: Error) -> Error {
    let kind = match error.kind {
        Kind::NotFound => Kind::Other,
        kind => kind,
    };
    Error { kind, ..error }
}

/// What kept a request from being sent. The SDK's own words for it are a printed structure.
fn unsent(
    action: &'static str,
    location: &str,
    error: &(dyn std::error::Error + 'static),
) -> Error {
    let deepest = deepest_cause(error);
    let (kind, reason) = match causes(error).find_map(|it| it.downcast_ref()) {
        Some(
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_),
        ) => (
            Kind::NoCredentials,
            // The SDK's own words list every place that it has looked at.
            "no access key was given, and none was found".to_owned(),
        ),
        Some(_) => (
            Kind::CredentialsUnavailable,
            format!("no access key was given, and asking for one failed: {deepest}"),
        ),
        None if deepest.contains("region") => (Kind::NoRegion, deepest),
        None => (Kind::Misconfigured, deepest),
    };
    one_line(kind, action, location, &reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// operator.md, S4.
    #[test]
    fn what_trying_again_will_not_mend_is_told_apart() {
        assert_eq!(kind_of(404, "NoSuchBucket"), Kind::NoBucket);
        assert_eq!(kind_of(400, "InvalidBucketName"), Kind::BucketName);
        assert_eq!(kind_of(404, ""), Kind::NotFound);
        assert_eq!(kind_of(403, "SignatureDoesNotMatch"), Kind::WrongSecret);
        assert_eq!(kind_of(403, "InvalidAccessKeyId"), Kind::UnknownKey);
        assert_eq!(kind_of(403, "RequestTimeTooSkewed"), Kind::ClockSkew);
        assert_eq!(kind_of(403, "AccessDenied"), Kind::Denied);
        assert_eq!(kind_of(503, "SlowDown"), Kind::Unavailable);
        assert_eq!(kind_of(301, "PermanentRedirect"), Kind::WrongRegion);
        assert_eq!(kind_of(400, "BadDigest"), Kind::Corrupt);
        assert_eq!(kind_of(400, "ExpiredToken"), Kind::SessionToken);
        assert_eq!(kind_of(501, "NotImplemented"), Kind::Other);
    }
}
