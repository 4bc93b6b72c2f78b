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
            let body = answer.raw().body().bytes().unwrap_or_default();
            let kind = if code.is_empty() && status == 400 && wants_https(body) {
                Kind::SpeaksHttps
            } else {
                kind_of(status, code)
            };
            (kind, format!("HTTP {status} {said}"))
        }
        // An answer that is whole and no XML is not S3's; one that broke off may be better next time.
        SdkError::ResponseError(answer) => (
            if broke_off(error) {
                Kind::Unavailable
            } else {
                Kind::NotS3
            },
            format!(
                "HTTP {} {}",
                answer.raw().status().as_u16(),
                deepest_cause(error)
            ),
        ),
        SdkError::DispatchFailure(failure) => {
            let kind = match hopeless(error) {
                Some(kind) => kind,
                None if failure.is_user() => Kind::Other,
                None => Kind::Unavailable,
            };
            (kind, deepest_cause(error))
        }
        SdkError::TimeoutError(_) => (Kind::Unavailable, "no answer in time".to_owned()),
        _ => unsent(error),
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
        ("InvalidAccessKeyId", _) => Kind::UnknownKey,
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

/// What a connection failed of that no further try mends.
pub(super) fn hopeless(error: &(dyn std::error::Error + 'static)) -> Option<Kind> {
    causes(error).find_map(|it| {
        let tls = it.downcast_ref::<rustls::Error>().or_else(|| {
            it.downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref)
                .and_then(|it| it.downcast_ref::<rustls::Error>())
        });
        match tls {
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

/// An object that the server should have had is no missing one: another try may succeed.
pub(super) fn unexpected(error: Error) -> Error {
    let kind = match error.kind {
        Kind::NotFound => Kind::Other,
        kind => kind,
    };
    Error { kind, ..error }
}

/// What kept a request from being sent, in one line: the SDK's own is a printed structure.
fn unsent(error: &(dyn std::error::Error + 'static)) -> (Kind, String) {
    let said: Vec<String> = causes(error).map(ToString::to_string).collect();
    let says = |words: &str| said.iter().any(|it| it.contains(words));
    if says("credentials") || says("identity") {
        return (Kind::NoCredentials, "there is no access key".to_owned());
    }
    if says("region") || says("Region") {
        return (Kind::NoRegion, "there is no region".to_owned());
    }
    (Kind::Misconfigured, deepest_cause(error))
}

fn broke_off(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|it| it.is::<reqwest::Error>() || it.is::<std::io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

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
