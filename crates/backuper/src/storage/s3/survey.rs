//! What an S3 server tells without any object being written.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use bytes::Bytes;
use jiff::Timestamp;

use super::bucket::Bucket;
use crate::storage::{Error, Survey};

/// Begins an upload, sends a part of it and aborts it, whatever comes of that.
pub(super) async fn rehearse(bucket: &Bucket, key: &str) -> Result<(), Error> {
    let id = bucket.create(key).await?;
    let part = Bytes::from_static(b"part");
    let sent = bucket.send(key, &id, 1, part).await;
    let aborted = bucket.abort(key, &id).await;
    sent.and(aborted)
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
