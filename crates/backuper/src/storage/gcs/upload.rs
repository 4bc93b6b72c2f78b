//! One object on its way: one request while it is small, a resumable upload when it grows. Its pieces go
//! one after the other, as Google wants them; the next is gathered meanwhile.
//! <https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload>

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use http::{Method, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::{GcsStorage, Metadata};
use crate::storage::cloud::{Answer, Call, pause};
use crate::storage::crc32c::{Crc32c, written};
use crate::storage::parts::SMALLEST;
use crate::storage::{Error, Kind, Stored, Upload};

/// Bytes of a piece; Google wants multiples of 256 KiB.
const PIECE: u64 = SMALLEST;
const _: () = assert!(PIECE.is_multiple_of(256 << 10));

/// An upload under way.
pub(super) struct Resumable {
    store: GcsStorage,
    key: String,
    /// The address that its pieces go to.
    session: Option<String>,
    gathered: BytesMut,
    permit: Option<OwnedSemaphorePermit>,
    sending: Option<JoinHandle<Result<(), Error>>>,
    /// Bytes that are sent or on their way.
    begun: u64,
    size: u64,
    sha256: Sha256,
    crc32c: Crc32c,
}

/// A piece of an upload.
struct Piece<'a> {
    key: &'a str,
    session: &'a str,
    offset: u64,
    body: Bytes,
    /// The size of all, where this is the last.
    total: Option<u64>,
}

impl GcsStorage {
    /// Begins an upload; gives the address that its pieces go to.
    pub(super) async fn begin(&self, key: &str) -> Result<String, Error> {
        let told = serde_json::json!({ "metadata": self.metadata() });
        let call = self
            .call("writing", key, Method::POST, self.uploads("resumable", key))
            .header(CONTENT_TYPE, "application/json")
            .body(told.to_string().into());
        let answer = self.client.send(&call).await?;
        let session = answer.header("location").map(str::to_owned);
        session.ok_or_else(|| call.error(Kind::NotS3, "the server gave the upload no address"))
    }

    /// Ends an upload without an object. That there is none is success.
    pub(super) async fn end(&self, key: &str, session: &str) -> Result<(), Error> {
        let call = self.call("aborting", key, Method::DELETE, session.to_owned());
        match self.client.send(&call).await {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Sends a piece, and again what of it has not arrived; gives what was made of all, where it was the
    /// last.
    async fn send(&self, piece: &Piece<'_>) -> Result<Option<Metadata>, Error> {
        let end = piece.offset + piece.body.len() as u64;
        let (mut arrived, mut tries) = (piece.offset, 0);
        loop {
            let answer = self.client.try_once(&self.rest(piece, arrived)?).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    tries += 1;
                    if !error.kind.is_transient() || tries >= self.client.attempts {
                        return Err(error);
                    }
                    tracing::debug!(%error, "asking how much has arrived");
                    tokio::time::sleep(pause(tries)).await;
                    self.client.send(&self.question(piece)).await?
                }
            };
            if answer.status != StatusCode::PERMANENT_REDIRECT {
                return self.made(piece, answer).map(Some);
            }
            let now = self.arrived(piece, &answer, arrived..=end)?;
            if now == end && piece.total.is_none() {
                return Ok(None);
            }
            if now == arrived {
                tries += 1;
            } else {
                tries = 0;
            }
            if tries >= self.client.attempts {
                let call = self.question(piece);
                return Err(call.error(Kind::Unavailable, "the server takes no more bytes"));
            }
            arrived = now;
        }
    }

    /// The request with what has not arrived.
    fn rest(&self, piece: &Piece<'_>, arrived: u64) -> Result<Call, Error> {
        let end = piece.offset + piece.body.len() as u64;
        let total = piece
            .total
            .map_or_else(|| "*".to_owned(), |it| it.to_string());
        if arrived == end {
            return Ok(self.question(piece));
        }
        let call = self.call("writing", piece.key, Method::PUT, piece.session.to_owned());
        let skipped = usize::try_from(arrived - piece.offset)
            .map_err(|_large| call.error(Kind::Other, "too large a piece"))?;
        Ok(call
            .header(
                CONTENT_RANGE,
                format!("bytes {arrived}-{}/{total}", end - 1),
            )
            .body(piece.body.slice(skipped..)))
    }

    /// The request that asks how much has arrived.
    fn question(&self, piece: &Piece<'_>) -> Call {
        let total = piece
            .total
            .map_or_else(|| "*".to_owned(), |it| it.to_string());
        self.call("writing", piece.key, Method::PUT, piece.session.to_owned())
            .header(CONTENT_RANGE, format!("bytes */{total}"))
    }

    fn arrived(
        &self,
        piece: &Piece<'_>,
        answer: &Answer<Bytes>,
        possible: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        let last = answer.header("range").and_then(|it| it.rsplit_once('-'));
        let arrived = match last.map(|(_, last)| last.parse::<u64>()) {
            Some(Ok(last)) => last.saturating_add(1),
            // No range: not a byte.
            Some(Err(_)) | None => 0,
        };
        if possible.contains(&arrived) {
            return Ok(arrived);
        }
        let reason = format!(
            "the server has {arrived} bytes of it, and {} to {} can have arrived",
            possible.start(),
            possible.end()
        );
        Err(self.question(piece).error(Kind::Corrupt, reason))
    }

    fn made(&self, piece: &Piece<'_>, answer: Answer<Bytes>) -> Result<Metadata, Error> {
        let call = self.question(piece);
        if piece.total.is_none() {
            let reason = "the server has ended the upload before its last byte";
            return Err(call.error(Kind::Corrupt, reason));
        }
        let made = super::parsed(&call, answer, |it| serde_json::from_slice(it))?;
        Ok(made.body)
    }
}

impl Resumable {
    pub(super) fn new(store: GcsStorage, key: &str) -> Self {
        Self {
            store,
            key: key.to_owned(),
            session: None,
            gathered: BytesMut::new(),
            permit: None,
            sending: None,
            begun: 0,
            size: 0,
            sha256: Sha256::new(),
            crc32c: Crc32c::new(),
        }
    }

    /// Waits for the piece that is on its way.
    async fn settled(&mut self) -> Result<(), Error> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let ended = sending.await;
        self.sending = None;
        ended.unwrap_or_else(|error| {
            let call = self
                .store
                .call("writing", &self.key, Method::PUT, String::new());
            Err(call.error(Kind::Other, error.to_string()))
        })
    }

    /// Takes memory for a piece with its first byte. With nothing on its way nobody is waited for.
    async fn room(&mut self) -> Result<(), Error> {
        if !self.gathered.is_empty() {
            return Ok(());
        }
        if self.sending.is_some() {
            self.permit = self.store.memory.try_enter();
            if self.permit.is_none() {
                self.settled().await?;
            }
        }
        self.gathered = self
            .store
            .memory
            .buffer(usize::try_from(PIECE).unwrap_or(0));
        Ok(())
    }

    async fn session(&mut self) -> Result<String, Error> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = self.store.begin(&self.key).await?;
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Sends what is gathered, which more follows.
    async fn send(&mut self) -> Result<(), Error> {
        self.settled().await?;
        let session = self.session().await?;
        let body = std::mem::take(&mut self.gathered).freeze();
        let permit = self.permit.take();
        let (store, key, offset) = (self.store.clone(), self.key.clone(), self.begun);
        self.begun += body.len() as u64;
        self.sending = Some(tokio::spawn(async move {
            let piece = Piece {
                key: &key,
                session: &session,
                offset,
                body,
                total: None,
            };
            store.send(&piece).await?;
            store.memory.give_back(piece.body);
            drop(permit);
            Ok(())
        }));
        Ok(())
    }

    async fn finish(&mut self) -> Result<Stored, Error> {
        let last = std::mem::take(&mut self.gathered).freeze();
        if self.session.is_none() {
            return self.store.put_whole(&self.key, last).await;
        }
        self.settled().await?;
        let stored = Stored {
            size: self.size,
            sha256: hex::encode(std::mem::take(&mut self.sha256).finalize()),
            etag: Some(format!("crc32c={}", written(self.crc32c.finish()))),
        };
        let session = self.session().await?;
        let piece = Piece {
            key: &self.key,
            session: &session,
            offset: self.begun,
            body: last,
            total: Some(self.size),
        };
        let made = self.store.send(&piece).await?;
        self.session = None;
        if let Some(made) = made {
            self.store.is_what_was_sent(&self.key, &made, &stored)?;
        }
        Ok(stored)
    }

    async fn abort_upload(&mut self) -> Result<(), Error> {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
        match self.session.take() {
            Some(session) => self.store.end(&self.key, &session).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Upload for Resumable {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        self.size += chunk.len() as u64;
        self.sha256.update(&chunk);
        self.crc32c.update(&chunk);
        while !chunk.is_empty() {
            // Only with more to come, so that the last piece is never empty.
            if self.gathered.len() as u64 >= PIECE {
                self.send().await?;
            }
            self.room().await?;
            let wanted = usize::try_from(PIECE - self.gathered.len() as u64).unwrap_or(0);
            let taken = chunk.split_to(wanted.min(chunk.len()));
            self.gathered.extend_from_slice(&taken);
        }
        // A piece that failed ends the upload now and not after the next terabyte.
        if self.sending.as_ref().is_some_and(JoinHandle::is_finished) {
            self.settled().await?;
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<Stored, Error> {
        match self.finish().await {
            Ok(stored) => Ok(stored),
            Err(error) => {
                if let Err(error) = self.abort_upload().await {
                    tracing::warn!(key = %self.key, %error, "an unfinished upload stays for a week");
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<(), Error> {
        self.abort_upload().await
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
        let Some(session) = self.session.take() else {
            return;
        };
        let (store, key) = (self.store.clone(), self.key.clone());
        // Without a runtime the process ends, and Google forgets the upload after a week.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.end(&key, &session).await {
                    tracing::warn!(%key, %error, "an unfinished upload stays for a week");
                }
            });
        }
    }
}
