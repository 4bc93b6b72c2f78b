//! One object on its way: one PUT while it is small, a multipart upload with several parts under
//! way when it grows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use super::error::meaning;
use crate::storage::{Error, Kind, Stored, Upload};

/// The size of the first parts; S3's least is 5 MiB.
const FIRST: u64 = 7 << 20;
/// After how many parts the size doubles.
const STEP: u64 = 1_000;
/// S3's limits. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
#[cfg(test)]
const MOST_PARTS: u64 = 10_000;

/// Bytes of the part with this number, counted from 0: 7 MiB, doubled every 1,000 parts, so that
/// small streams need little memory and 10,000 parts hold 6.8 TiB.
pub(super) fn part_size(number: u64) -> u64 {
    FIRST << (number / STEP).min(9)
}

/// What an upload needs of its store.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) client: aws_sdk_s3::Client,
    pub(super) bucket: String,
    /// One permit for each MiB under way, all uploads of the store together.
    pub(super) room: Arc<Semaphore>,
    /// All the permits that there are.
    pub(super) all: u32,
    /// Of parts that have been sent.
    pub(super) spare: Spare,
}

/// Memory of parts that are sent, for those that come: an allocator would keep as much of it again.
#[derive(Clone, Debug, Default)]
pub(super) struct Spare(Arc<Mutex<Vec<BytesMut>>>);

impl Spare {
    /// Room for a part of this size. What is not written to takes no memory.
    fn take(&self, size: usize) -> BytesMut {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // One that is too small is of a time when parts were; there will be no more of these.
        kept.filter(|it| it.capacity() >= size)
            .unwrap_or_else(|| BytesMut::with_capacity(size))
    }

    /// Keeps what nobody else holds any more.
    fn give_back(&self, part: Bytes) {
        if let Ok(mut part) = part.try_into_mut() {
            part.clear();
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(part);
        }
    }
}

impl Way {
    fn location(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Waits for room. A part that is larger than all the room takes all of it.
    async fn enter(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes >> 20)
            .unwrap_or(self.all)
            .clamp(1, self.all);
        // Never closed, so never refused.
        Arc::clone(&self.room).acquire_many_owned(wanted).await.ok()
    }

    /// Stores a small object in one request.
    pub(super) async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        let _room = self.enter(body.len() as u64).await;
        let md5 = Md5::digest(&body);
        let stored = Stored {
            size: body.len() as u64,
            sha256: hex::encode(Sha256::digest(&body)),
            etag: None,
        };
        let answer = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_md5(STANDARD.encode(md5))
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| meaning("writing", &self.location(key), &error))?;
        let etag = answer.e_tag().map(unquoted);
        Ok(Stored {
            // Where the server's tag is not the MD5 (SSE-KMS, some servers), it proves nothing.
            etag: etag.filter(|it| *it == hex::encode(md5)),
            ..stored
        })
    }

    /// Whether the object is known to be there, by its tag.
    async fn holds(&self, key: &str, stored: &Stored) -> bool {
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        let found = request.send().await.ok();
        let tag = found.as_ref().and_then(|it| it.e_tag()).map(unquoted);
        let size = found.as_ref().and_then(|it| it.content_length());
        tag.is_some()
            && tag == stored.etag
            && size.and_then(|it| u64::try_from(it).ok()) == Some(stored.size)
    }

    async fn create(&self, key: &str) -> Result<String, Error> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket);
        let created = request
            .key(key)
            .send()
            .await
            .map_err(|error| meaning("writing", &self.location(key), &error))?;
        created.upload_id().map(str::to_owned).ok_or_else(|| Error {
            kind: Kind::Other,
            action: "writing",
            location: self.location(key),
            reason: "the server gave the upload no id".to_owned(),
        })
    }

    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<(), Error> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(id)
            .send()
            .await;
        match aborted {
            Ok(_) => Ok(()),
            Err(error) => match meaning("giving up", &self.location(key), &error) {
                gone if gone.kind == Kind::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }
}

/// A part that the server has: its number from 1, its tag, the MD5 of what was sent.
struct Sent {
    number: i32,
    etag: String,
    md5: [u8; 16],
}

/// How long parts on their way are waited for when an upload is given up.
const SETTLING: Duration = Duration::from_secs(3);

/// An upload under way.
pub(super) struct Multipart {
    way: Way,
    key: String,
    id: Option<String>,
    /// A request for the id that is under way: given up in its middle, it would leave an upload that
    /// nobody knows of.
    creating: Option<JoinHandle<Result<String, Error>>>,
    gathered: BytesMut,
    room: Option<OwnedSemaphorePermit>,
    begun: u64,
    sending: JoinSet<Result<Sent, Error>>,
    sent: Vec<Sent>,
    size: u64,
    sha256: Sha256,
}

impl Multipart {
    pub(super) fn new(way: Way, key: &str) -> Self {
        Self {
            way,
            key: key.to_owned(),
            id: None,
            creating: None,
            gathered: BytesMut::new(),
            room: None,
            begun: 0,
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
            location: self.way.location(&self.key),
            reason: reason.into(),
        }
    }

    /// Gathered bytes count as being under way: the room is taken with the first of them.
    async fn gather(&mut self, chunk: &mut Bytes) {
        let size = part_size(self.begun);
        if self.room.is_none() {
            self.room = self.way.enter(size).await;
        }
        let gathered = self.gathered.len() as u64;
        let wanted = usize::try_from(size - gathered).unwrap_or(usize::MAX);
        if gathered == 0 {
            self.gathered = self.way.spare.take(wanted);
        }
        let taken = chunk.split_to(wanted.min(chunk.len()));
        self.gathered.extend_from_slice(&taken);
        // Its id is there when the part is full, so that nobody waits for the way to the server.
        if self.id.is_none() && self.gathered.len() as u64 >= size / 2 {
            self.create();
        }
    }

    fn is_full(&self) -> bool {
        self.gathered.len() as u64 >= part_size(self.begun)
    }

    fn create(&mut self) -> &mut JoinHandle<Result<String, Error>> {
        self.creating.get_or_insert_with(|| {
            let (way, key) = (self.way.clone(), self.key.clone());
            tokio::spawn(async move { way.create(&key).await })
        })
    }

    async fn id(&mut self) -> Result<String, Error> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let creating = self.create();
        let created = creating.await;
        self.creating = None;
        let id = created.map_err(|error| self.broken(error.to_string()))??;
        self.id = Some(id.clone());
        Ok(id)
    }

    async fn send(&mut self) -> Result<(), Error> {
        let id = self.id().await?;
        let body = std::mem::take(&mut self.gathered).freeze();
        let room = self.room.take();
        self.begun += 1;
        let number = i32::try_from(self.begun).map_err(|_many| self.broken("too many parts"))?;
        let (way, key) = (self.way.clone(), self.key.clone());
        self.sending.spawn(async move {
            let md5 = Md5::digest(&body);
            let part = body.clone();
            let answer = way
                .client
                .upload_part()
                .bucket(&way.bucket)
                .key(&key)
                .upload_id(id)
                .part_number(number)
                .content_md5(STANDARD.encode(md5))
                .body(ByteStream::from(body))
                .send()
                .await
                .map_err(|error| unfound(meaning("writing", &way.location(&key), &error)))?;
            way.spare.give_back(part);
            drop(room);
            Ok(Sent {
                number,
                etag: answer.e_tag().unwrap_or_default().to_owned(),
                md5: md5.into(),
            })
        });
        Ok(())
    }

    fn collect(
        &mut self,
        ended: Result<Result<Sent, Error>, tokio::task::JoinError>,
    ) -> Result<(), Error> {
        let sent = ended.map_err(|error| self.broken(error.to_string()))??;
        self.sent.push(sent);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Stored, Error> {
        if self.id.is_none() && self.creating.is_none() {
            let body = std::mem::take(&mut self.gathered).freeze();
            self.room = None;
            return self.way.put(&self.key, body).await;
        }
        if !self.gathered.is_empty() {
            self.send().await?;
        }
        while let Some(ended) = self.sending.join_next().await {
            self.collect(ended)?;
        }
        self.sent.sort_by_key(|it| it.number);
        let id = self.id().await?;
        let parts = self.sent.iter().map(|it| {
            CompletedPart::builder()
                .part_number(it.number)
                .e_tag(&it.etag)
                .build()
        });
        let stored = Stored {
            size: self.size,
            sha256: hex::encode(std::mem::take(&mut self.sha256).finalize()),
            etag: whole_tag(&self.sent),
        };
        let completed = self
            .way
            .client
            .complete_multipart_upload()
            .bucket(&self.way.bucket)
            .key(&self.key)
            .upload_id(&id)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts.collect()))
                    .build(),
            )
            .send()
            .await;
        if let Err(error) = completed {
            let error = meaning("writing", &self.way.location(&self.key), &error);
            // A try whose answer was lost has completed the upload, and the next finds none.
            if error.kind == Kind::Unavailable || !self.way.holds(&self.key, &stored).await {
                return Err(unfound(error));
            }
        }
        self.id = None;
        Ok(stored)
    }

    async fn give_up(&mut self) -> Result<(), Error> {
        settle(&mut self.sending).await;
        if self.creating.is_some() {
            self.id().await?;
        }
        match self.id.take() {
            Some(id) => self.way.abort(&self.key, &id).await,
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

/// An upload that somebody gave up is no missing object: a new one may succeed.
fn unfound(error: Error) -> Error {
    let kind = match error.kind {
        Kind::NotFound => Kind::Other,
        kind => kind,
    };
    Error { kind, ..error }
}

/// The tag that servers give to an object of parts: the MD5 of the parts' MD5s, and their number.
/// Only where every part's tag was its MD5 is that known beforehand.
fn whole_tag(sent: &[Sent]) -> Option<String> {
    let plain = |it: &Sent| unquoted(&it.etag) == hex::encode(it.md5);
    if !sent.iter().all(plain) {
        return None;
    }
    let mut md5 = Md5::new();
    for part in sent {
        md5.update(part.md5);
    }
    Some(format!("{}-{}", hex::encode(md5.finalize()), sent.len()))
}

/// A tag without the quotes that HTTP puts around it.
pub(super) fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

#[async_trait]
impl Upload for Multipart {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        self.size += chunk.len() as u64;
        self.sha256.update(&chunk);
        while !chunk.is_empty() {
            self.gather(&mut chunk).await;
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

    async fn complete(mut self: Box<Self>) -> Result<Stored, Error> {
        match self.finish().await {
            Ok(stored) => Ok(stored),
            Err(error) => {
                if let Err(error) = self.give_up().await {
                    tracing::warn!(key = %self.key, %error, "an unfinished upload stays");
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<(), Error> {
        self.give_up().await
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        let (id, creating) = (self.id.take(), self.creating.take());
        if id.is_none() && creating.is_none() {
            return;
        }
        let mut sending = std::mem::take(&mut self.sending);
        let (way, key) = (self.way.clone(), self.key.clone());
        // Without a runtime the process ends, and retention gives the upload up after a day.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                settle(&mut sending).await;
                let created = match creating {
                    Some(creating) => creating.await.ok().and_then(Result::ok),
                    None => None,
                };
                let Some(id) = id.or(created) else { return };
                if let Err(error) = way.abort(&key, &id).await {
                    tracing::warn!(%key, %error, "an unfinished upload stays");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_object_fits_the_number_of_parts() {
        let sizes = (0..MOST_PARTS).map(part_size);
        assert!(sizes.clone().sum::<u64>() >= 5 << 40);
        assert!(
            sizes
                .into_iter()
                .all(|it| (5 << 20..=5 << 30).contains(&it))
        );
    }

    #[test]
    fn memory_that_nobody_holds_is_used_again() {
        let spare = Spare::default();
        let mut part = spare.take(1 << 20);
        let memory = part.as_ptr();
        part.extend_from_slice(b"sent");
        let sent = part.freeze();
        let held = sent.clone();
        spare.give_back(sent);
        assert_ne!(spare.take(1 << 20).as_ptr(), memory, "it is still held");
        spare.give_back(held);
        let again = spare.take(1 << 20);
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        spare.give_back(again.freeze());
        assert!(spare.take(2 << 20).capacity() >= 2 << 20, "a larger one");
    }
}
