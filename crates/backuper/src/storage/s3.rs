//! Objects in a bucket of an S3 server.
//!
//! Requests that may pass (throttling, 5xx, resets, timeouts) are tried again by the SDK, within
//! [`client::ATTEMPTS`]; everything else fails at once.

pub mod client;
mod error;
mod read;
mod unverified;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{Access, Body, Bucket, Config, Error, Kind, Object, Ours, Storage, Stored, Upload};
use error::meaning;
use upload::{Multipart, Spare, Way, unquoted};

/// MiB of parts that are gathered or under way, all uploads of a process together: four parts, of
/// which two streams gather two while two are on their way. From the 2,001st on two of the larger
/// ones do not fit, and they go one by one. docs/performance.md has what more and less of it did.
const ROOM: u32 = 28;
/// Keys that one request deletes at most, S3's limit.
const DELETED_AT_ONCE: usize = 1_000;

/// A bucket.
#[derive(Clone, Debug)]
pub struct S3Storage {
    way: Way,
    endpoint: String,
}

impl S3Storage {
    /// A client for the bucket; nothing is sent yet.
    ///
    /// # Errors
    /// `Kind::Misconfigured` when a certificate file cannot be used.
    pub async fn connect(config: &Config, bucket: Bucket) -> Result<Self, Error> {
        let endpoint = config.endpoint.as_ref();
        Ok(Self {
            way: Way {
                client: client::build(config).await?,
                bucket: bucket.to_string(),
                room: Arc::new(Semaphore::new(ROOM as usize)),
                all: ROOM,
                spare: Spare::default(),
            },
            endpoint: endpoint.map_or_else(|| "AWS".to_owned(), ToString::to_string),
        })
    }

    fn at(&self, key: &str) -> String {
        format!("s3://{}/{key} at {}", self.way.bucket, self.endpoint)
    }

    fn bucket(&self) -> String {
        format!("bucket {} at {}", self.way.bucket, self.endpoint)
    }

    async fn delete_one(&self, key: &str) -> Result<(), Error> {
        let request = self.way.client.delete_object().bucket(&self.way.bucket);
        match request.key(key).send().await {
            Ok(_) => Ok(()),
            Err(error) => match meaning("deleting", &self.at(key), &error) {
                gone if gone.kind == Kind::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Deletes up to 1,000 keys in one request; where the server will not have that (some want a
    /// Content-MD5 that the SDK no longer sends), one by one.
    async fn delete_some(&self, keys: &[String]) -> Vec<(String, Error)> {
        if let [key] = keys {
            return self.one_by_one(std::slice::from_ref(key)).await;
        }
        let objects: Result<Vec<_>, _> = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect();
        let delete = objects.and_then(|it| Delete::builder().set_objects(Some(it)).build());
        let Ok(delete) = delete else {
            return self.one_by_one(keys).await;
        };
        let request = self.way.client.delete_objects().bucket(&self.way.bucket);
        match request.delete(delete).send().await {
            Ok(answer) => answer
                .errors()
                .iter()
                .map(|it| self.undeleted(it))
                .collect(),
            Err(error) => {
                let error = meaning("deleting", &self.bucket(), &error);
                // Only a server that does not know the request may know the single ones.
                if !matches!(error.kind, Kind::Other | Kind::Corrupt) {
                    return self.all_of(keys, &error);
                }
                tracing::debug!(%error, "deleting one by one");
                self.one_by_one(keys).await
            }
        }
    }

    fn undeleted(&self, said: &aws_sdk_s3::types::Error) -> (String, Error) {
        let key = said.key().unwrap_or_default();
        let code = said.code().unwrap_or_default();
        let reason = format!("{code} {}", said.message().unwrap_or_default());
        let error = Error {
            kind: error::kind_of(200, code),
            action: "deleting",
            location: self.at(key),
            reason: reason.trim().to_owned(),
        };
        (key.to_owned(), error)
    }

    fn all_of(&self, keys: &[String], error: &Error) -> Vec<(String, Error)> {
        let of = |key: &String| Error {
            kind: error.kind,
            action: error.action,
            location: self.at(key),
            reason: error.reason.clone(),
        };
        keys.iter().map(|key| (key.clone(), of(key))).collect()
    }

    async fn one_by_one(&self, keys: &[String]) -> Vec<(String, Error)> {
        let mut left = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            match self.delete_one(key).await {
                Ok(()) => {}
                // Every further key would be waited for as long as this one.
                Err(error) if error.kind == Kind::Unavailable => {
                    left.extend(self.all_of(&keys[at..], &error));
                    break;
                }
                Err(error) => left.push((key.clone(), error)),
            }
        }
        left
    }

    async fn read_back(&self, key: &str) -> Result<Stored, Error> {
        let mut body = self.open(key).await?;
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
}

fn time(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Timestamp {
    time.and_then(|it| Timestamp::new(it.secs(), 0).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn size(length: Option<i64>) -> u64 {
    length.and_then(|it| u64::try_from(it).ok()).unwrap_or(0)
}

#[async_trait]
impl Storage for S3Storage {
    fn location(&self) -> String {
        format!("s3://{} at {}", self.way.bucket, self.endpoint)
    }

    async fn probe(&self, prefix: &str, access: Access) -> Result<(), Error> {
        let request = self.way.client.list_objects_v2().bucket(&self.way.bucket);
        let listed = request.prefix(prefix).max_keys(1).send().await;
        listed.map_err(|error| match meaning("listing", &self.bucket(), &error) {
            // Some servers say just 404 where a bucket is missing.
            error if error.kind == Kind::NotFound => Error {
                kind: Kind::NoBucket,
                ..error
            },
            error => error,
        })?;
        if access == Access::Read {
            return Ok(());
        }
        // Not beside the listing: a run that is stopped while that stands still has written nothing.
        let key = format!("{prefix}oiler-probe-{}", uuid::Uuid::new_v4());
        self.put(&key, Bytes::from_static(b"probe")).await?;
        self.delete_one(&key).await
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        self.way.put(key, body).await
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Multipart::new(self.way.clone(), key)))
    }

    async fn stat(&self, key: &str) -> Result<Object, Error> {
        let request = self.way.client.head_object().bucket(&self.way.bucket);
        let found = request
            .key(key)
            .send()
            .await
            .map_err(|error| meaning("reading", &self.at(key), &error))?;
        Ok(Object {
            key: key.to_owned(),
            size: size(found.content_length()),
            modified: time(found.last_modified()),
            etag: found.e_tag().map(unquoted),
        })
    }

    async fn verify(&self, key: &str, stored: &Stored) -> Result<(), Error> {
        let object = self.stat(key).await?;
        let found = Stored {
            size: object.size,
            sha256: String::new(),
            etag: object.etag,
        };
        if found.size != stored.size {
            return Err(super::differs(&self.at(key), stored, &found));
        }
        // The tag is a digest of what the server has; where it is of another kind, we look.
        if stored.etag.is_some() && stored.etag == found.etag {
            return Ok(());
        }
        let found = self.read_back(key).await?;
        if (found.size, &found.sha256) == (stored.size, &stored.sha256) {
            return Ok(());
        }
        Err(super::differs(&self.at(key), stored, &found))
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Bytes, Error> {
        let mut body = self.open(key).await?;
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.try_next().await? {
            whole.extend_from_slice(&chunk);
            super::within(key, whole.len() as u64, limit)?;
        }
        Ok(whole.freeze())
    }

    async fn open(&self, key: &str) -> Result<Body, Error> {
        let reading = read::Reading::begin(&self.way, key, self.at(key)).await?;
        Ok(reading.into_stream().boxed())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Object>, Error> {
        let mut pages = self
            .way
            .client
            .list_objects_v2()
            .bucket(&self.way.bucket)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| meaning("listing", &self.bucket(), &error))?;
            for found in page.contents() {
                let Some(key) = found.key() else { continue };
                objects.push(Object {
                    key: key.to_owned(),
                    size: size(found.size()),
                    modified: time(found.last_modified()),
                    etag: found.e_tag().map(unquoted),
                });
            }
        }
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(objects)
    }

    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)> {
        let mut left = Vec::new();
        for some in keys.chunks(DELETED_AT_ONCE) {
            left.extend(self.delete_some(some).await);
        }
        left
    }

    async fn abort_uploads(
        &self,
        prefix: &str,
        before: Timestamp,
        ours: &Ours<'_>,
    ) -> Result<usize, Error> {
        let (mut count, mut failed) = (0, None);
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.way.client.list_multipart_uploads();
            let request = request.bucket(&self.way.bucket).prefix(prefix);
            let request = request
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker);
            let listed = match request.send().await {
                Ok(listed) => listed,
                Err(error) => {
                    // Several servers lack the call; what they keep is theirs to tidy.
                    let error = meaning("listing the uploads of", &self.bucket(), &error);
                    tracing::debug!(%error, "unfinished uploads cannot be listed");
                    break;
                }
            };
            for upload in listed.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else {
                    continue;
                };
                let begun = upload.initiated().map(|it| time(Some(it)));
                if ours(key) && begun.is_some_and(|it| it < before) {
                    match self.way.abort(key, id).await {
                        Ok(()) => count += 1,
                        Err(error) => failed = Some(error),
                    }
                }
            }
            key_marker = listed.next_key_marker().map(str::to_owned);
            id_marker = listed.next_upload_id_marker().map(str::to_owned);
            // Some servers say that there is more and not where.
            if listed.is_truncated() != Some(true) || key_marker.is_none() {
                break;
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(count)
    }
}
