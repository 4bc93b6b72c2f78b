//! One object on its way here from a cloud. A connection that breaks is taken up where it broke, and
//! only while the object is the same.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use futures::stream::{self, Stream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, RANGE};
use sha2::{Digest, Sha256};

use super::{Answer, Call, Client, next};
use crate::storage::http::Incoming;
use crate::storage::{Body, Error, Kind, Stored, within};
use crate::text::deepest_cause;

/// How often in a row a body may break without a byte in between.
const BREAKS: u32 = 6;

/// How a service names one version of an object, and asks for no other.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Versions {
    /// The header of an answer that tells it.
    pub(in crate::storage) told: &'static str,
    /// Adds to a request that it is to be this one.
    pub(in crate::storage) only: fn(Call, &str) -> Call,
}

/// A body that knows how far it is.
pub(in crate::storage) struct Reading {
    client: Client,
    call: Call,
    versions: Versions,
    version: Option<String>,
    size: u64,
    given: u64,
    breaks: u32,
    body: Option<Incoming>,
}

impl Reading {
    pub(in crate::storage) async fn begin(
        client: &Client,
        call: Call,
        versions: Versions,
    ) -> Result<Self, Error> {
        let call = Call {
            is_object: true,
            ..call
        };
        let answer = client.open(&call).await?;
        let Some(size) = length(&answer) else {
            return Err(call.error(Kind::Other, "the server does not say how large it is"));
        };
        Ok(Self {
            client: client.clone(),
            versions,
            version: answer.header(versions.told).map(str::to_owned),
            size,
            given: 0,
            breaks: 0,
            body: Some(answer.body),
            call,
        })
    }

    pub(in crate::storage) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
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
            match next(&mut body).await {
                Some(Ok(chunk)) if !chunk.is_empty() => {
                    self.body = Some(body);
                    return self.give(chunk).map(Some);
                }
                Some(Ok(_empty)) => self.body = Some(body),
                Some(Err(error)) => self.note(&deepest_cause(&*error))?,
                None => self.note("the body ended early")?,
            }
        }
    }

    fn give(&mut self, chunk: Bytes) -> Result<Bytes, Error> {
        self.breaks = 0;
        self.given += chunk.len() as u64;
        if self.given > self.size {
            let reason = "more bytes came than the server had said";
            return Err(self.call.error(Kind::Corrupt, reason));
        }
        Ok(chunk)
    }

    fn note(&mut self, reason: &str) -> Result<(), Error> {
        self.breaks += 1;
        if self.breaks >= BREAKS {
            let reason = format!("broken {BREAKS} times at byte {}: {reason}", self.given);
            return Err(self.call.error(Kind::Unavailable, reason));
        }
        let location = &self.call.location;
        tracing::warn!(%location, at = self.given, reason, "the download broke; resuming");
        Ok(())
    }

    async fn resume(&mut self) -> Result<Incoming, Error> {
        // 1, 2, 4, 8, 16 seconds: the first break is most often over by then.
        let pause = 1u64 << self.breaks.saturating_sub(1).min(4);
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let replaced = || {
            let reason = "it was replaced while it was read";
            self.call.error(Kind::Corrupt, reason)
        };
        // Nothing else says that the rest is the rest of the same.
        let Some(version) = &self.version else {
            let reason = "the connection broke, and the server names no version to go on with";
            return Err(self.call.error(Kind::Unavailable, reason));
        };
        let call = self
            .call
            .clone()
            .header(RANGE, format!("bytes={}-", self.given));
        let call = (self.versions.only)(call, version);
        let answer = match self.client.open(&call).await {
            Err(error) if error.kind == Kind::Corrupt => return Err(replaced()),
            answer => answer?,
        };
        // Some servers ignore what they are asked for, so their answer is looked at too.
        if answer.header(self.versions.told) != Some(version) {
            return Err(replaced());
        }
        let wanted = self.size - self.given;
        if length(&answer) != Some(wanted)
            || (self.given > 0 && answer.status != StatusCode::PARTIAL_CONTENT)
        {
            let reason = "the server does not resume where it was asked to";
            return Err(self.call.error(Kind::Corrupt, reason));
        }
        Ok(answer.body)
    }
}

fn length(answer: &Answer<Incoming>) -> Option<u64> {
    answer.header(CONTENT_LENGTH.as_str())?.parse().ok()
}

/// Reads a small object to its end.
pub(in crate::storage) async fn collect(
    mut body: Body,
    key: &str,
    limit: usize,
) -> Result<Bytes, Error> {
    let mut all = BytesMut::new();
    while let Some(chunk) = body.try_next().await? {
        all.extend_from_slice(&chunk);
        within(key, all.len() as u64, limit)?;
    }
    Ok(all.freeze())
}

/// What a body has in it.
pub(in crate::storage) async fn digest(mut body: Body) -> Result<Stored, Error> {
    let (mut size, mut sha256) = (0, Sha256::new());
    while let Some(chunk) = body.try_next().await? {
        size += chunk.len() as u64;
        sha256.update(&chunk);
    }
    Ok(Stored {
        size,
        sha256: hex::encode(sha256.finalize()),
        etag: None,
    })
}
