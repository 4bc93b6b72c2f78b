//! One object on its way here. A connection that breaks is taken up where it broke, and only
//! while the object is the same.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::stream::{self, Stream};

use super::bucket::Bucket;
use super::error::meaning;
use crate::storage::{Error, Kind};
use crate::text::deepest_cause;

/// How often in a row a body may break without a byte in between.
const BREAKS: u32 = 6;

/// A body that knows how far it is.
pub(super) struct Reading {
    bucket: Bucket,
    key: String,
    location: String,
    etag: Option<String>,
    size: u64,
    given: u64,
    breaks: u32,
    body: Option<ByteStream>,
}

impl Reading {
    pub(super) async fn begin(bucket: &Bucket, key: &str, location: String) -> Result<Self, Error> {
        let request = bucket.headers.get(bucket.client.get_object());
        let request = request.bucket(&bucket.name);
        let answer = request
            .key(key)
            .send()
            .await
            .map_err(|error| meaning("reading", &location, &error))?;
        let size = answer
            .content_length()
            .and_then(|it| u64::try_from(it).ok())
            .ok_or_else(|| Error {
                kind: Kind::Other,
                action: "reading",
                location: location.clone(),
                reason: "the server does not say how large it is".to_owned(),
            })?;
        Ok(Self {
            bucket: bucket.clone(),
            key: key.to_owned(),
            location,
            etag: answer.e_tag().map(str::to_owned),
            size,
            given: 0,
            breaks: 0,
            body: Some(answer.body),
        })
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        stream::try_unfold(self, |mut reading| async move {
            let chunk = reading.next().await?;
            Ok(chunk.map(|chunk| (chunk, reading)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.given == self.size {
                return Ok(None);
            }
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.resume().await?,
            };
            match body.next().await {
                Some(Ok(chunk)) if !chunk.is_empty() => {
                    self.body = Some(body);
                    return self.give(chunk).map(Some);
                }
                Some(Ok(_empty)) => self.body = Some(body),
                Some(Err(error)) => self.note(&deepest_cause(&error))?,
                None => self.note("the body ended early")?,
            }
        }
    }

    fn give(&mut self, chunk: Bytes) -> Result<Bytes, Error> {
        self.breaks = 0;
        self.given += chunk.len() as u64;
        if self.given > self.size {
            return Err(self.failed(Kind::Corrupt, "more bytes came than the server had said"));
        }
        Ok(chunk)
    }

    fn note(&mut self, reason: &str) -> Result<(), Error> {
        self.breaks += 1;
        if self.breaks >= BREAKS {
            let reason = format!("broken {BREAKS} times at byte {}: {reason}", self.given);
            return Err(self.failed(Kind::Unavailable, reason));
        }
        tracing::warn!(key = %self.key, at = self.given, reason, "the download broke; resuming");
        Ok(())
    }

    async fn resume(&mut self) -> Result<ByteStream, Error> {
        // 1, 2, 4, 8, 16 seconds: the first break is most often over by then.
        let pause = 1u64 << self.breaks.saturating_sub(1).min(4);
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let request = self.bucket.headers.get(self.bucket.client.get_object());
        let request = request.bucket(&self.bucket.name);
        let answer = request
            .key(&self.key)
            .range(format!("bytes={}-", self.given))
            .set_if_match(self.etag.clone())
            .send()
            .await
            .map_err(|error| {
                let changed = error
                    .raw_response()
                    .is_some_and(|it| it.status().as_u16() == 412);
                if changed {
                    self.failed(Kind::Corrupt, "it was replaced while it was read")
                } else {
                    meaning("reading", &self.location, &error)
                }
            })?;
        // Some servers ignore If-Match, so their answer is looked at too.
        let tag = answer.e_tag();
        if tag.is_some() && self.etag.is_some() && tag != self.etag.as_deref() {
            return Err(self.failed(Kind::Corrupt, "it was replaced while it was read"));
        }
        let wanted = self.size - self.given;
        let length = answer
            .content_length()
            .and_then(|it| u64::try_from(it).ok());
        if length != Some(wanted) {
            return Err(self.failed(
                Kind::Corrupt,
                "the server does not resume where it was asked to",
            ));
        }
        Ok(answer.body)
    }

    fn failed(&self, kind: Kind, reason: impl Into<String>) -> Error {
        Error {
            kind,
            action: "reading",
            location: self.location.clone(),
            reason: reason.into(),
        }
    }
}
