//! What an S3 server tells without any object being left.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use bytes::Bytes;
use jiff::Timestamp;

use super::bucket::Bucket;
use super::headers::Role;
use crate::storage::{Error, Kind, Survey};

/// Begins an upload, sends a part of it and aborts it, whatever comes of that.
pub(super) async fn rehearse(bucket: &Bucket, key: &str) -> Result<(), Error> {
    let upload = bucket.create(key).await?;
    let part = Bytes::from_static(b"part");
    let sent = bucket.send(key, &upload, 1, part).await;
    let aborted = bucket.abort(key, &upload.id).await;
    sent.and(aborted)
}

/// Writes the probe's object; where it is refused, finds out whether that is for its tags.
pub(super) async fn write_probe(bucket: &Bucket, key: &str) -> Result<(), Error> {
    let body = Bytes::from_static(b"probe");
    let refused = match bucket.put(key, body.clone(), Role::Mark).await {
        Err(error)
            if matches!(error.kind, Kind::Denied | Kind::Other) && bucket.headers.has_tags() =>
        {
            error
        }
        written => return written.map(drop),
    };
    let plain = Bucket {
        headers: bucket.headers.without_tags(),
        ..bucket.clone()
    };
    if plain.put(key, body, Role::Mark).await.is_err() {
        return Err(refused);
    }
    bucket.delete(key).await?;
    let advice = match refused.kind {
        Kind::Denied => "allow s3:PutObjectTagging to the owner of S3_ACCESS_KEY",
        _ => "name tags that the server takes",
    };
    Err(Error {
        kind: Kind::Unsupported,
        reason: format!(
            "{}; it is refused with S3_TAGS alone: {advice}, or leave S3_TAGS out",
            refused.reason
        ),
        ..refused
    })
}

/// What the server's answers tell beside what was asked for.
pub(super) async fn of(bucket: &Bucket, prefix: &str) -> Survey {
    let date = Date::default();
    let request = bucket.client.list_multipart_uploads();
    let request = request.bucket(&bucket.name).prefix(prefix).customize();
    let listed = request.interceptor(date.clone()).send().await;
    // Several servers lack the call, and answer all the same.
    let uploads = listed.ok().map(|it| {
        let of_prefix = |key: Option<&str>| key.is_some_and(|it| it.starts_with(prefix));
        let uploads = it.uploads().iter();
        uploads.filter(|it| of_prefix(it.key())).count()
    });
    Survey {
        clock: date.seen(),
        free: None,
        uploads,
    }
}

/// The `Date` of an answer, also of a refusal. RFC 9110, 6.6.1.
#[derive(Clone, Debug, Default)]
struct Date(Arc<Mutex<Option<Timestamp>>>);

impl Date {
    fn seen(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "the answer's date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|it| jiff::fmt::rfc2822::parse(it).ok());
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = date.map(|it| it.timestamp());
        Ok(())
    }
}
