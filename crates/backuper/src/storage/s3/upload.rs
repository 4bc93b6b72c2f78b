//! One object on its way: one PUT while it is small, a multipart upload with several parts under
//! way when it grows.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::bucket::{Begun, Bucket, Sent, composite, unquoted};
use super::error::unexpected;
use super::headers::Role;
use crate::storage::parts::{SMALLEST, Sizes};
use crate::storage::{Error, Kind, Stored, Upload};

/// How long parts on their way are waited for when an upload is aborted.
const SETTLING: Duration = Duration::from_secs(3);

/// An upload under way.
pub(super) struct Multipart {
    bucket: Bucket,
    key: String,
    sizes: Sizes,
    begun: Option<Begun>,
    /// A request for it that is under way: dropped in its middle, it would leave an upload that
    /// nobody knows of.
    creating: Option<JoinHandle<Result<Begun, Error>>>,
    gathered: BytesMut,
    permit: Option<OwnedSemaphorePermit>,
    parts: u64,
    sending: JoinSet<Result<Sent, Error>>,
    sent: Vec<Sent>,
    size: u64,
    sha256: Sha256,
}

impl Multipart {
    pub(super) fn new(bucket: Bucket, key: &str, expected: u64) -> Self {
        Self {
            bucket,
            key: key.to_owned(),
            sizes: Sizes::of_object(expected),
            begun: None,
            creating: None,
            gathered: BytesMut::new(),
            permit: None,
            parts: 0,
            sending: JoinSet::new(),
            sent: Vec::new(),
            size: 0,
            sha256: Sha256::new(),
        }
    }

    fn broken(&self, reason: impl Into<String>) -> Error {
        Error {
            kind: Kind::Other,
            action: "writing",
            location: self.bucket.at(&self.key),
            reason: reason.into(),
        }
    }

    /// Waits until the memory for one more part may be taken. An upload that has no part on its way
    /// never waits, whatever the others do. Further small parts share what there is, and of larger
    /// ones an upload has one more.
    async fn enter(&mut self, size: u64) -> Result<Option<OwnedSemaphorePermit>, Error> {
        loop {
            if size > SMALLEST && self.sending.len() <= 1 {
                return Ok(None);
            }
            if size <= SMALLEST
                && let Some(permit) = self.bucket.memory.try_enter()
            {
                return Ok(Some(permit));
            }
            if self.sending.is_empty() {
                return Ok(None);
            }
            let memory = self.bucket.memory.clone();
            tokio::select! {
                permit = memory.enter(), if size <= SMALLEST => return Ok(permit),
                Some(ended) = self.sending.join_next() => self.collect(ended)?,
            }
        }
    }

    /// Gathered bytes count as being under way: the memory is taken with the first of them.
    async fn gather(&mut self, chunk: &mut Bytes) -> Result<(), Error> {
        let size = self.sizes.of_part(self.parts);
        let whole = usize::try_from(size).map_err(|_large| self.broken("too large a part"))?;
        if self.gathered.is_empty() {
            self.permit = self.enter(size).await?;
            self.gathered = self.bucket.memory.buffer(whole);
        }
        let wanted = whole - self.gathered.len();
        let taken = chunk.split_to(wanted.min(chunk.len()));
        self.gathered.extend_from_slice(&taken);
        // Its id is there when the part is full, so that nobody waits for the way to the server.
        if self.begun.is_none() && self.gathered.len() >= whole / 2 {
            self.create();
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.gathered.len() as u64 >= self.sizes.of_part(self.parts)
    }

    fn create(&mut self) -> &mut JoinHandle<Result<Begun, Error>> {
        self.creating.get_or_insert_with(|| {
            let (bucket, key) = (self.bucket.clone(), self.key.clone());
            tokio::spawn(async move { bucket.create(&key).await })
        })
    }

    async fn begun(&mut self) -> Result<Begun, Error> {
        if let Some(begun) = &self.begun {
            return Ok(begun.clone());
        }
        let creating = self.create();
        let created = creating.await;
        self.creating = None;
        let begun = created.map_err(|error| self.broken(error.to_string()))??;
        self.begun = Some(begun.clone());
        Ok(begun)
    }

    async fn send(&mut self) -> Result<(), Error> {
        let begun = self.begun().await?;
        let body = std::mem::take(&mut self.gathered).freeze();
        let permit = self.permit.take();
        self.parts += 1;
        let number = i32::try_from(self.parts).map_err(|_many| self.broken("too many parts"))?;
        let (bucket, key) = (self.bucket.clone(), self.key.clone());
        self.sending.spawn(async move {
            let part = body.clone();
            let sent = bucket.send(&key, &begun, number, body).await?;
            bucket.memory.give_back(part);
            drop(permit);
            Ok(sent)
        });
        Ok(())
    }

    fn collect(&mut self, ended: Result<Result<Sent, Error>, JoinError>) -> Result<(), Error> {
        let sent = ended.map_err(|error| self.broken(error.to_string()))??;
        self.sent.push(sent);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Stored, Error> {
        if self.begun.is_none() && self.creating.is_none() {
            let body = std::mem::take(&mut self.gathered).freeze();
            return self.bucket.put(&self.key, body, Role::Data).await;
        }
        if !self.gathered.is_empty() {
            self.send().await?;
        }
        while let Some(ended) = self.sending.join_next().await {
            self.collect(ended)?;
        }
        self.sent.sort_by_key(|it| it.number);
        let id = self.begun().await?.id;
        let mut stored = Stored {
            size: self.size,
            sha256: hex::encode(std::mem::take(&mut self.sha256).finalize()),
            etag: whole_tag(&self.sent),
        };
        let (bucket, key) = (&self.bucket, &self.key);
        match bucket.complete(key, &id, &self.sent, self.size).await {
            // The server's own checksum of the whole proves the tag that stands beside it.
            Ok(proven) => stored.etag = proven.or(stored.etag),
            Err(error) => {
                // A try whose answer was lost has completed the upload, and the next finds none.
                let whole = composite(&self.sent);
                if error.kind == Kind::Unavailable
                    || !bucket.holds(key, &stored, whole.as_deref()).await
                {
                    return Err(unexpected(error));
                }
            }
        }
        self.begun = None;
        Ok(stored)
    }

    async fn abort_upload(&mut self) -> Result<(), Error> {
        settle(&mut self.sending).await;
        if self.creating.is_some() {
            self.begun().await?;
        }
        match self.begun.take() {
            Some(begun) => self.bucket.abort(&self.key, &begun.id).await,
            None => Ok(()),
        }
    }
}

/// A part that is still on its way could arrive after the abort and stay, also when we have cut the
/// connection it comes by: so it may arrive first, if it does so soon.
async fn settle(sending: &mut JoinSet<Result<Sent, Error>>) {
    let arriving = async { while sending.join_next().await.is_some() {} };
    if tokio::time::timeout(SETTLING, arriving).await.is_err() {
        sending.shutdown().await;
    }
}

/// The tag that servers give to an object of parts: the MD5 of the parts' tags, and their number. Only
/// where each part's tag is an MD5, and each answer has proven what the server has, it says anything.
fn whole_tag(sent: &[Sent]) -> Option<String> {
    let mut md5 = Md5::new();
    for part in sent {
        let tag: Option<[u8; 16]> = hex::decode(unquoted(&part.etag))
            .ok()
            .and_then(|it| it.try_into().ok());
        md5.update(tag.filter(|_| part.is_proven)?);
    }
    Some(format!("{}-{}", hex::encode(md5.finalize()), sent.len()))
}

#[async_trait]
impl Upload for Multipart {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        self.size += chunk.len() as u64;
        self.sha256.update(&chunk);
        while !chunk.is_empty() {
            self.gather(&mut chunk).await?;
            if self.is_full() {
                self.send().await?;
            }
            // A part that failed ends the upload now and not after the next terabyte.
            while let Some(ended) = self.sending.try_join_next() {
                self.collect(ended)?;
            }
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<Stored, Error> {
        match self.finish().await {
            Ok(stored) => Ok(stored),
            Err(error) => {
                if let Err(error) = self.abort_upload().await {
                    tracing::warn!(key = %self.key, %error, "an unfinished upload stays");
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<(), Error> {
        self.abort_upload().await
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        let (begun, creating) = (self.begun.take(), self.creating.take());
        if begun.is_none() && creating.is_none() {
            return;
        }
        let mut sending = std::mem::take(&mut self.sending);
        let (bucket, key) = (self.bucket.clone(), self.key.clone());
        // Without a runtime the process ends, and retention aborts the upload after a day.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                settle(&mut sending).await;
                let created = match creating {
                    Some(creating) => creating.await.ok().and_then(Result::ok),
                    None => None,
                };
                let Some(begun) = begun.or(created) else {
                    return;
                };
                if let Err(error) = bucket.abort(&key, &begun.id).await {
                    tracing::warn!(%key, %error, "an unfinished upload stays");
                }
            });
        }
    }
}
