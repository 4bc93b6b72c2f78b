//! What Google Cloud Storage's refusals mean.

use bytes::Bytes;
use serde::Deserialize;

use crate::storage::Kind;
use crate::storage::cloud::Answer;
use crate::storage::cloud::error::{Failed, is_page};

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Detail>,
}

#[derive(Debug, Default, Deserialize)]
struct Detail {
    #[serde(default)]
    reason: String,
}

/// <https://cloud.google.com/storage/docs/json_api/v1/status-codes>
pub(super) fn meaning(answer: &Answer<Bytes>) -> Failed {
    let status = answer.status.as_u16();
    let read = serde_json::from_slice::<Refusal>(&answer.body);
    if read.is_err() && is_page(&answer.body) && matches!(status, 404 | 405) {
        return Failed::of_status(answer, Kind::NotS3, "", "a page for people");
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let details = read.map(|it| it.error).unwrap_or_default();
    let message = if details.message.is_empty() {
        text
    } else {
        details.message
    };
    let reason = details.errors.first().map_or("", |it| it.reason.as_str());
    Failed::of_status(answer, kind(status, reason, &message), reason, &message)
}

fn kind(status: u16, reason: &str, message: &str) -> Kind {
    let says = |it: &str| message.to_ascii_lowercase().contains(it);
    match (status, reason) {
        (403, "rateLimitExceeded" | "userRateLimitExceeded" | "quotaExceeded")
        | (408 | 429 | 500..=599, _) => Kind::Unavailable,
        (400, _) if says("plain http request was sent to https") => Kind::SpeaksHttps,
        (400, _) if says("http request to an https server") => Kind::SpeaksHttps,
        (400, _) if says("invalid bucket name") => Kind::BucketName,
        (400, _) if says("crc32c") || says("md5") || says("checksum") => Kind::Corrupt,
        (401, _) => Kind::UnknownKey,
        (403, _) => Kind::Denied,
        (404, _) if says("bucket does not exist") => Kind::NoBucket,
        // 499 is the answer to an upload that was ended, and 410 that to one which had been.
        (404 | 410 | 499, _) => Kind::NotFound,
        (412, _) => Kind::Corrupt,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trying_again_will_not_mend_is_told_apart() {
        for (status, reason, message, wanted) in [
            (
                404,
                "notFound",
                "The specified bucket does not exist.",
                Kind::NoBucket,
            ),
            (404, "notFound", "No such object: b/k", Kind::NotFound),
            (
                403,
                "forbidden",
                "x does not have storage.objects.list",
                Kind::Denied,
            ),
            (403, "rateLimitExceeded", "slow down", Kind::Unavailable),
            (401, "authError", "Invalid Credentials", Kind::UnknownKey),
            (400, "invalid", "Invalid bucket name: 'A'", Kind::BucketName),
            (
                400,
                "invalid",
                "Provided CRC32C \"x\" doesn't match",
                Kind::Corrupt,
            ),
            (412, "conditionNotMet", "", Kind::Corrupt),
            (503, "backendError", "", Kind::Unavailable),
            (499, "", "Client Closed Request", Kind::NotFound),
        ] {
            assert_eq!(kind(status, reason, message), wanted, "{status} {message}");
        }
    }
}
