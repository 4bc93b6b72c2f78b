//! Where objects are kept: S3, Google Cloud Storage, Azure Blob Storage, or a directory that keeps their
//! promises.
//!
//! The trait is small on purpose. Its promises, which `conformance` tests on every
//! implementation:
//!
//! - An object appears whole or not at all. A writer that dies, is dropped or is aborted
//!   leaves no object under its key.
//! - [`Upload::complete`] is the only way to make an object of an upload; it answers when
//!   the object is durable, with the size and SHA-256 of the bytes that were handed over.
//! - Listings are complete, however many pages they take, and sorted by key.
//! - Deleting what is not there is success.

pub mod azure;
mod cloud;
pub mod config;
mod conformance;
mod crc32c;
mod error;
pub mod file;
pub mod gcs;
mod http;
pub mod memory;
mod overlap;
mod parts;
mod prefix;
mod prefixed;
pub mod s3;
mod tags;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use azure::place::{Account, AzureCredentials, AzurePlace, Container};
pub use config::{Bucket, Config, Endpoint, Place, S3Place, Tls};
pub use error::{Error, Kind, Service};
use error::{differs, within};
pub use gcs::place::{GcsCredentials, GcsPlace};
pub use overlap::Overlap;
pub use prefix::Prefix;
pub use tags::Tags;
pub use url::StoreUrl;

/// How long an object may take to arrive that is on its way when we are asked to stop.
const ARRIVED: Duration = Duration::from_secs(5);

/// What was written under a key, computed from the bytes while they passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes under the key.
    pub size: u64,
    /// SHA-256 of those bytes, 64 lower-case hex digits.
    pub sha256: String,
    /// What the store should tell of these bytes, where that can be known beforehand: S3's entity tag,
    /// Google's CRC32C, Azure's MD5 or names of blocks.
    pub etag: Option<String>,
}

/// What a listing or a look at one object says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The whole key, from the root of the bucket.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When the store last wrote it, UTC.
    pub modified: Timestamp,
    /// The store's entity tag, without quotes, where it has one.
    pub etag: Option<String>,
}

/// The bytes of one object, in order.
pub type Body = BoxStream<'static, Result<Bytes, Error>>;

/// Whether a key is one of ours, since others may write below the same prefix.
pub type Ours<'a> = dyn Fn(&str) -> bool + Send + Sync + 'a;

/// What is shown each object of a listing.
pub type See<'a> = dyn FnMut(Object) + Send + 'a;

/// A place that keeps objects under keys.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// Says where this is, for people and without secrets: `s3://bucket at https://host`.
    fn location(&self) -> String;

    /// Proves that the place is there and that we may list, write and delete in it, by doing
    /// so under `prefix`; with `Access::Read`, by listing alone. Nothing outside `prefix` is asked
    /// for: keys may be allowed no more than that.
    async fn probe(&self, prefix: &str, access: Access) -> Result<(), Error>;

    /// Stores one small object.
    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error>;

    /// Starts to write an object of any size. `expected` is about how many bytes will come, 0 where
    /// nobody knows: it decides how much of the object is held in memory, and nothing else.
    async fn upload(&self, key: &str, expected: u64) -> Result<Box<dyn Upload>, Error>;

    /// Looks at one object; `Kind::NotFound` when it is not there.
    async fn stat(&self, key: &str) -> Result<Object, Error>;

    /// Proves that what stands under the key is what was written: its size and checksum.
    /// Where the store's entity tag cannot prove it, the object is read back.
    async fn verify(&self, key: &str, stored: &Stored) -> Result<(), Error>;

    /// Reads a whole small object; larger than `limit` bytes is `Kind::Corrupt`.
    async fn get(&self, key: &str, limit: usize) -> Result<Bytes, Error>;

    /// Reads an object as a stream. Connections that break are resumed where they broke and
    /// only while the object is unchanged; the stream ends without an error only after
    /// exactly the object's size was given.
    async fn open(&self, key: &str) -> Result<Body, Error>;

    /// Shows every object whose key starts with `prefix`, in any order. What is not kept takes no
    /// memory, however many there are.
    async fn visit(&self, prefix: &str, see: &mut See<'_>) -> Result<(), Error>;

    /// Every object whose key starts with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<Object>, Error> {
        let mut objects = Vec::new();
        self.visit(prefix, &mut |it| objects.push(it)).await?;
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(objects)
    }

    /// Deletes objects; gives those that could not be deleted, each with its reason.
    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)>;

    /// Whether the objects of complete backups are to be locked.
    fn locks(&self) -> bool;

    /// Locks objects for as long as the settings say, so that nobody can remove what they hold, and
    /// proves it; without such settings nothing is done.
    async fn lock(&self, keys: &[String]) -> Result<(), Error>;

    /// What keeps an object from being removed, whoever has locked it, where the store tells it before it
    /// refuses.
    async fn locked(&self, key: &str) -> Result<Option<Locked>, Error>;

    /// Proves that an object could be written under `key`, and lets none appear: begins an upload and
    /// aborts it. Whoever drops it in the middle leaves the upload.
    async fn rehearse(&self, key: &str) -> Result<(), Error>;

    /// What the place tells of itself beside its objects; of unfinished uploads, those below `prefix`.
    async fn survey(&self, prefix: &str) -> Survey;

    /// Aborts uploads below `prefix` that have moved no byte since `before` and whose key is
    /// `ours`, where the store can list them; gives how many. One whose writer lives stays.
    async fn abort_uploads(
        &self,
        prefix: &str,
        before: Timestamp,
        ours: &Ours<'_>,
    ) -> Result<usize, Error>;
}

/// What a place tells of itself, each thing as far as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What its clock showed, UTC, where it is not this machine's.
    pub clock: Option<Timestamp>,
    /// Bytes that it has room for.
    pub free: Option<u64>,
    /// Uploads that were begun and have not ended.
    pub uploads: Option<usize>,
}

/// A lock on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// When it ends, UTC; none where somebody has to end it.
    pub until: Option<Timestamp>,
}

impl Locked {
    /// Whether it holds at this time.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|it| it > now)
    }
}

impl fmt::Display for Locked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(formatter, "until {until}"),
            None => formatter.write_str("by a legal hold, until somebody ends it"),
        }
    }
}

/// What [`Storage::probe`] must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Listing and reading.
    Read,
    /// Writing and deleting as well.
    Write,
}

/// An object that is being written. Memory is bounded whatever the size: `write` waits
/// while too much is under way.
#[async_trait]
pub trait Upload: Send {
    /// Adds bytes.
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error>;

    /// Makes the object appear, whole. One that fails has ended the upload; where the future is
    /// dropped instead, the upload is to be aborted, and an object of one request may still appear.
    async fn complete(&mut self) -> Result<Stored, Error>;

    /// Ends the upload without an object and frees what the store kept of it.
    async fn abort(self: Box<Self>) -> Result<(), Error>;
}

impl dyn Upload {
    /// Makes the object appear, unless we are asked to stop: none then, and the upload is to be
    /// aborted. An object that is on its way by then is waited for: it could arrive after the
    /// clean-up otherwise, and stay.
    ///
    /// # Errors
    /// As [`Upload::complete`].
    pub async fn complete_unless(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<Stored>, Error> {
        if stop.is_cancelled() {
            return Ok(None);
        }
        let completing = self.complete();
        tokio::pin!(completing);
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                let arrived = tokio::time::timeout(ARRIVED, completing).await;
                tracing::debug!(in_time = arrived.is_ok(), "stopped while an object was on its way");
                Ok(None)
            }
            stored = &mut completing => stored.map(Some),
        }
    }
}

/// Opens the store that is configured. Nothing is sent yet; see [`Storage::probe`].
///
/// # Errors
/// `Kind::Misconfigured` when a certificate file cannot be read or used.
pub async fn connect(config: &Config) -> Result<Arc<dyn Storage>, Error> {
    connect_with(config, s3::client::ATTEMPTS).await
}

/// Opens the store for somebody who would rather know soon than wait until it has recovered: no request
/// is tried again.
///
/// # Errors
/// As [`connect`].
pub async fn connect_for_one_try(config: &Config) -> Result<Arc<dyn Storage>, Error> {
    connect_with(config, 1).await
}

async fn connect_with(config: &Config, attempts: u32) -> Result<Arc<dyn Storage>, Error> {
    let Config {
        place,
        prefix,
        tls,
        tags,
    } = config;
    let storage: Arc<dyn Storage> = match place {
        Place::Directory { path, folder } => {
            let folder = folder.as_ref().map(Bucket::as_str);
            Arc::new(file::FileStorage::new(path.clone(), folder))
        }
        Place::S3(place) => Arc::new(s3::S3Storage::connect(place, tls, attempts, tags).await?),
        Place::Gcs(place) => Arc::new(gcs::GcsStorage::connect(place, tls, attempts, tags)?),
        Place::Azure(place) => Arc::new(azure::AzureStorage::connect(place, tls, attempts, tags)?),
    };
    Ok(if prefix.is_empty() {
        storage
    } else {
        Arc::new(prefixed::Prefixed::new(storage, prefix))
    })
}
