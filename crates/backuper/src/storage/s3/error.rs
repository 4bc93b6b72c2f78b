//! What S3's and the SDK's errors mean.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

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
            (kind_of(status, code), format!("HTTP {status} {said}"))
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
            let reason = deepest_cause(error);
            // Trying again does not mend a certificate.
            let kind = if is_untrusted(error) {
                Kind::Misconfigured
            } else if failure.is_user() {
                Kind::Other
            } else {
                Kind::Unavailable
            };
            (kind, reason)
        }
        SdkError::TimeoutError(_) => (Kind::Unavailable, "no answer in time".to_owned()),
        _ => {
            let reason = deepest_cause(error);
            // No credentials anywhere is found out before anything is sent.
            (Kind::Misconfigured, reason)
        }
    };
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
        ("NoSuchKey" | "NoSuchUpload" | "NotFound", _) => Kind::NotFound,
        (
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307 | 308) => Kind::Misconfigured,
        (
            "RequestTimeout"
            | "SlowDown"
            | "ServiceUnavailable"
            | "InternalError"
            | "RequestTimeTooSkewed",
            _,
        ) => Kind::Unavailable,
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "InvalidDigest", _) => Kind::Corrupt,
        (
            "AccessDenied"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken",
            _,
        ) => Kind::Denied,
        ("NotImplemented" | "MethodNotAllowed", _) | (_, 501) => Kind::Other,
        ("InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => Kind::Full,
        (_, 401 | 403) => Kind::Denied,
        (_, 404) => Kind::NotFound,
        (_, 408 | 429 | 500..=599) => Kind::Unavailable,
        _ => Kind::Other,
    }
}

pub(super) fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|it| {
        let tls = it.downcast_ref::<rustls::Error>().or_else(|| {
            it.downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref)
                .and_then(|it| it.downcast_ref::<rustls::Error>())
        });
        matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
            || it.to_string().contains("invalid peer certificate")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trying_again_will_not_mend_is_told_apart() {
        assert_eq!(kind_of(404, "NoSuchBucket"), Kind::NoBucket);
        assert_eq!(kind_of(404, ""), Kind::NotFound);
        assert_eq!(kind_of(403, "SignatureDoesNotMatch"), Kind::Denied);
        assert_eq!(kind_of(403, "InvalidAccessKeyId"), Kind::Denied);
        assert_eq!(kind_of(503, "SlowDown"), Kind::Unavailable);
        assert_eq!(kind_of(301, "PermanentRedirect"), Kind::Misconfigured);
        assert_eq!(kind_of(400, "BadDigest"), Kind::Corrupt);
        assert_eq!(kind_of(400, "ExpiredToken"), Kind::Denied);
        assert_eq!(kind_of(501, "NotImplemented"), Kind::Other);
    }
}
