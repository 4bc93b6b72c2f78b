//! What Azure Blob Storage's refusals mean.

use bytes::Bytes;

use crate::storage::Kind;
use crate::storage::cloud::Answer;
use crate::storage::cloud::error::{Failed, is_page};

/// <https://learn.microsoft.com/en-us/rest/api/storageservices/blob-service-error-codes>
pub(super) fn meaning(answer: &Answer<Bytes>) -> Failed {
    let status = answer.status.as_u16();
    let code = answer.header("x-ms-error-code").unwrap_or_default();
    if code.is_empty() && is_page(&answer.body) && matches!(status, 404 | 405) {
        return Failed::of_status(answer, Kind::NotS3, "", "a page for people");
    }
    let text = String::from_utf8_lossy(&answer.body);
    let message = match between(&text, "<Message>", "</Message>") {
        Some(message) => {
            // The reason stands apart, and beside it what was signed, which is nobody's business.
            let details = between(
                &text,
                "<AuthenticationErrorDetail>",
                "</AuthenticationErrorDetail>",
            );
            let details = details.unwrap_or_default();
            let details = details
                .split("The MAC signature")
                .next()
                .unwrap_or_default();
            let message = message.split("RequestId:").next().unwrap_or_default();
            format!("{message} {details}")
        }
        None if code.is_empty() => text.to_string(),
        None => String::new(),
    };
    Failed::of_status(answer, kind(status, code, &message), code, &message)
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(found, _)| found)
}

fn kind(status: u16, code: &str, message: &str) -> Kind {
    let says = |it: &str| message.to_ascii_lowercase().contains(it);
    match (code, status) {
        ("ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled", _) => Kind::NoBucket,
        ("InvalidResourceName" | "OutOfRangeInput", _) => Kind::BucketName,
        ("BlobNotFound" | "ResourceNotFound", _) => Kind::NotFound,
        ("AuthenticationFailed", _) if says("date header") || says("too old") => Kind::ClockSkew,
        ("AuthenticationFailed", _) if says("time frame") || says("expired") || says("expiry") => {
            Kind::SessionToken
        }
        ("AuthenticationFailed", _) => Kind::WrongSecret,
        // So Azurite calls it.
        ("AuthorizationFailure", _) if says("failed to authenticate") => Kind::WrongSecret,
        ("InvalidAuthenticationInfo" | "NoAuthenticationInformation", _) => Kind::UnknownKey,
        ("Md5Mismatch" | "Crc64Mismatch" | "ConditionNotMet" | "TargetConditionNotMet", _)
        | (_, 412) => Kind::Corrupt,
        ("ServerBusy" | "OperationTimedOut" | "InternalError", _)
        | (_, 408 | 429 | 500 | 502..=599) => Kind::Unavailable,
        ("", 400) if says("https") => Kind::SpeaksHttps,
        (_, 401) => Kind::UnknownKey,
        (_, 403) => Kind::Denied,
        (_, 404) => Kind::NotFound,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trying_again_will_not_mend_is_told_apart() {
        for (status, code, message, wanted) in [
            (404, "ContainerNotFound", "", Kind::NoBucket),
            (404, "BlobNotFound", "", Kind::NotFound),
            (404, "", "", Kind::NotFound),
            (403, "AuthenticationFailed", "", Kind::WrongSecret),
            (
                403,
                "AuthenticationFailed",
                "Signature not valid in the specified time frame",
                Kind::SessionToken,
            ),
            (
                403,
                "AuthenticationFailed",
                "Request date header too old",
                Kind::ClockSkew,
            ),
            (403, "AuthorizationPermissionMismatch", "", Kind::Denied),
            (401, "InvalidAuthenticationInfo", "", Kind::UnknownKey),
            (400, "Md5Mismatch", "", Kind::Corrupt),
            (412, "ConditionNotMet", "", Kind::Corrupt),
            (503, "ServerBusy", "", Kind::Unavailable),
            (500, "", "", Kind::Unavailable),
            (501, "", "", Kind::Other),
        ] {
            assert_eq!(
                kind(status, code, message),
                wanted,
                "{status} {code} {message}"
            );
        }
    }
}
