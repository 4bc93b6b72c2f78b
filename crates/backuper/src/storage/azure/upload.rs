//! One blob on its way: one request while it is small, blocks and then the list of them when it grows.
//!
//! A block's name has its number and its MD5 in it, and Azure takes the block only where its MD5 is this
//! one. So the names of a blob's blocks prove what it is made of, and nothing has to be read back.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::Method;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};

use super::{AzureStorage, CONTENT_MD5, listing};
use crate::storage::cloud::encoded;
use crate::storage::parts::{SMALLEST, Sizes};
use crate::storage::{Error, Kind, Stored, Upload};

/// How long blocks on their way are waited for when an upload is aborted.
const SETTLING: Duration = Duration::from_secs(3);
/// Azure's limits. <https://learn.microsoft.com/en-us/rest/api/storageservices/put-block#remarks>
const LARGEST_BLOCK: u64 = 4_000 << 20;
const MOST_BLOCKS: u64 = 50_000;

/// An upload under way.
pub(super) struct Blocks {
    store: AzureStorage,
    key: String,
    sizes: Sizes,
    gathered: BytesMut,
    permit: Option<OwnedSemaphorePermit>,
    begun: u64,
    sending: JoinSet<Result<(u64, String), Error>>,
    /// Number and name of each that has arrived.
    sent: Vec<(u64, String)>,
    size: u64,
    sha256: Sha256,
}

impl AzureStorage {
    /// Sends one block; gives its name.
    pub(super) async fn send(&self, key: &str, number: u64, body: Bytes) -> Result<String, Error> {
        let md5 = Md5::digest(&body);
        let name = STANDARD.encode(format!("{number:08}{}", hex::encode(md5)));
        let uri = format!("{}?comp=block&blockid={}", self.blob(key), encoded(&name));
        let call = self
            .call("writing", key, Method::PUT, uri)
            .header(CONTENT_MD5, STANDARD.encode(md5))
            .body(body);
        self.client.send(&call).await?;
        Ok(name)
    }

    /// Makes a blob of blocks.
    async fn commit(&self, key: &str, names: &[String]) -> Result<(), Error> {
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for name in names {
            // Latest: a try whose answer was lost has made the blob, and the next finds the blocks there.
            list.push_str("<Latest>");
            list.push_str(name);
            list.push_str("</Latest>");
        }
        list.push_str("</BlockList>");
        let uri = format!("{}?comp=blocklist", self.blob(key));
        let list = Bytes::from(list);
        let call = self
            .call("writing", key, Method::PUT, uri)
            .header(CONTENT_MD5, STANDARD.encode(Md5::digest(&list)))
            .body(list);
        self.client.send(&self.told(call)).await.map(drop)
    }

    /// What the blocks of a blob prove; none where it has none.
    pub(super) async fn blocks(&self, key: &str) -> Result<Option<String>, Error> {
        let uri = format!("{}?comp=blocklist&blocklisttype=committed", self.blob(key));
        let call = self.call("verifying", key, Method::GET, uri);
        let answer = self.client.send(&call).await?;
        let names = crate::storage::cloud::parsed(&call, answer, listing::blocks)?.body;
        Ok((!names.is_empty()).then(|| proof(&names)))
    }
}

/// The names of all blocks in one text of a fixed length.
fn proof(names: &[String]) -> String {
    let mut md5 = Md5::new();
    for name in names {
        md5.update(name);
        md5.update(b"\n");
    }
    format!("blocks={}-{}", hex::encode(md5.finalize()), names.len())
}

impl Blocks {
    pub(super) fn new(store: AzureStorage, key: &str, expected: u64) -> Self {
        Self {
            store,
            key: key.to_owned(),
            sizes: Sizes::of_object(expected),
            gathered: BytesMut::new(),
            permit: None,
            begun: 0,
            sending: JoinSet::new(),
            sent: Vec::new(),
            size: 0,
            sha256: Sha256::new(),
        }
    }

    fn broken(&self, reason: impl AsRef<str>) -> Error {
        let call = self
            .store
            .call("writing", &self.key, Method::PUT, String::new());
        call.error(Kind::Other, reason)
    }

    fn block_size(&self) -> u64 {
        self.sizes.of_part(self.begun).min(LARGEST_BLOCK)
    }

    /// Waits until the memory for one more block may be taken. An upload that has none on its way never
    /// waits. Further small blocks share what there is, and of larger ones an upload has one more.
    async fn enter(&mut self, size: u64) -> Result<Option<OwnedSemaphorePermit>, Error> {
        loop {
            if size > SMALLEST && self.sending.len() <= 1 {
                return Ok(None);
            }
            if size <= SMALLEST
                && let Some(permit) = self.store.memory.try_enter()
            {
                return Ok(Some(permit));
            }
            if self.sending.is_empty() {
                return Ok(None);
            }
            let memory = self.store.memory.clone();
            tokio::select! {
                permit = memory.enter(), if size <= SMALLEST => return Ok(permit),
                Some(ended) = self.sending.join_next() => self.collect(ended)?,
            }
        }
    }

    fn collect(
        &mut self,
        ended: Result<Result<(u64, String), Error>, JoinError>,
    ) -> Result<(), Error> {
        let sent = ended.map_err(|error| self.broken(error.to_string()))??;
        self.sent.push(sent);
        Ok(())
    }

    async fn gather(&mut self, chunk: &mut Bytes) -> Result<(), Error> {
        let size = self.block_size();
        let whole = usize::try_from(size).map_err(|_large| self.broken("too large a block"))?;
        if self.gathered.is_empty() {
            self.permit = self.enter(size).await?;
            self.gathered = self.store.memory.buffer(whole);
        }
        let wanted = whole - self.gathered.len();
        let taken = chunk.split_to(wanted.min(chunk.len()));
        self.gathered.extend_from_slice(&taken);
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error> {
        if self.begun >= MOST_BLOCKS {
            return Err(self.broken("it is larger than any blob may be"));
        }
        let body = std::mem::take(&mut self.gathered).freeze();
        let permit = self.permit.take();
        let number = self.begun;
        self.begun += 1;
        let (store, key) = (self.store.clone(), self.key.clone());
        self.sending.spawn(async move {
            let block = body.clone();
            let name = store.send(&key, number, body).await?;
            store.memory.give_back(block);
            drop(permit);
            Ok((number, name))
        });
        Ok(())
    }

    async fn finish(&mut self) -> Result<Stored, Error> {
        if self.begun == 0 {
            let body = std::mem::take(&mut self.gathered).freeze();
            return self.store.put_whole(&self.key, body).await;
        }
        if !self.gathered.is_empty() {
            self.send()?;
        }
        while let Some(ended) = self.sending.join_next().await {
            self.collect(ended)?;
        }
        self.sent.sort_unstable();
        let names: Vec<String> = self.sent.drain(..).map(|(_, name)| name).collect();
        self.store.commit(&self.key, &names).await?;
        Ok(Stored {
            size: self.size,
            sha256: hex::encode(std::mem::take(&mut self.sha256).finalize()),
            etag: Some(proof(&names)),
        })
    }

    /// Azure has no way to drop blocks that are in no list; it does so itself after a week.
    async fn settle(&mut self) {
        let arriving = async { while self.sending.join_next().await.is_some() {} };
        if tokio::time::timeout(SETTLING, arriving).await.is_err() {
            self.sending.shutdown().await;
        }
    }
}

#[async_trait]
impl Upload for Blocks {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        self.size += chunk.len() as u64;
        self.sha256.update(&chunk);
        while !chunk.is_empty() {
            self.gather(&mut chunk).await?;
            if self.gathered.len() as u64 >= self.block_size() {
                self.send()?;
            }
            // A block that failed ends the upload now and not after the next terabyte.
            while let Some(ended) = self.sending.try_join_next() {
                self.collect(ended)?;
            }
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<Stored, Error> {
        let finished = self.finish().await;
        if finished.is_err() {
            self.settle().await;
        }
        finished
    }

    async fn abort(mut self: Box<Self>) -> Result<(), Error> {
        self.settle().await;
        Ok(())
    }
}
