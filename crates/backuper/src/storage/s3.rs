//! Objects in a bucket of an S3 server.
//!
//! Requests that may pass (throttling, 5xx, resets, timeouts) are tried again by the SDK, within
//! [`client::ATTEMPTS`]; everything else fails at once.

mod bucket;
mod checksum;
pub mod client;
mod connector;
mod error;
mod headers;
mod lock;
pub mod options;
mod read;
mod survey;
mod upload;

use async_trait::async_trait;
use aws_sdk_s3::types::{Delete, MultipartUpload, ObjectIdentifier};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::parts::Memory;
use super::{
    Access, Body, Error, Kind, Locked, Object, Ours, S3Place, See, Storage, Stored, Survey, Tags,
    Tls, Upload,
};
use bucket::{Bucket, time, unquoted};
use checksum::Known;
use error::meaning;
use headers::{Headers, Role};
use upload::Multipart;

/// Keys that one request deletes at most, S3's limit.
const DELETED_AT_ONCE: usize = 1_000;

/// A bucket.
#[derive(Clone, Debug)]
pub struct S3Storage {
    bucket: Bucket,
    /// Whether the endpoint has a path, which most often is a bucket's name in the wrong place.
    has_path: bool,
}

impl S3Storage {
    /// A client for the bucket that tries a request as often as this; nothing is sent yet.
    ///
    /// # Errors
    /// `Kind::Misconfigured` when a certificate file cannot be used.
    pub async fn connect(
        place: &S3Place,
        tls: &Tls,
        attempts: u32,
        tags: &Tags,
    ) -> Result<Self, Error> {
        let endpoint = place.endpoint.as_ref();
        let has_path = |it: &String| it.parse().is_ok_and(|it: http::Uri| it.path() != "/");
        let options = &place.options;
        // What is sent in the clear is refused where the settings are read.
        let checked = options.check(None);
        let (client, over_tls) = client::build(place, tls, attempts).await?;
        let headers = checked.and_then(|()| Headers::of(options, tags));
        Ok(Self {
            bucket: Bucket {
                headers: headers.map_err(super::http::misconfigured)?,
                lock: options.lock(),
                checksums: Known::of(options.checksum, over_tls),
                client,
                name: place.bucket.to_string(),
                endpoint: endpoint.map_or_else(|| "AWS".to_owned(), ToString::to_string),
                memory: Memory::default(),
            },
            has_path: endpoint.is_some_and(has_path),
        })
    }

    fn at(&self, key: &str) -> String {
        self.bucket.at(key)
    }

    fn place(&self) -> String {
        format!("bucket {} at {}", self.bucket.name, self.bucket.endpoint)
    }

    /// What the very first request says of the settings.
    fn unreachable(&self, error: Error) -> Error {
        let kind = match error.kind {
            Kind::NotFound | Kind::NoBucket | Kind::WrongSecret | Kind::NotS3 if self.has_path => {
                Kind::EndpointPath
            }
            // Some servers say just 404 where a bucket is missing.
            Kind::NotFound => Kind::NoBucket,
            kind => kind,
        };
        Error { kind, ..error }
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
        let request = self
            .bucket
            .client
            .delete_objects()
            .bucket(&self.bucket.name);
        match request.delete(delete).send().await {
            Ok(answer) => answer
                .errors()
                .iter()
                .map(|it| self.undeleted(it))
                .collect(),
            Err(error) => {
                let error = meaning("deleting", &self.place(), &error);
                // Only a server that does not know the request may know the single ones.
                if !matches!(error.kind, Kind::Other | Kind::Corrupt | Kind::NotS3) {
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
            match self.bucket.delete(key).await {
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

fn size(length: Option<i64>) -> u64 {
    length.and_then(|it| u64::try_from(it).ok()).unwrap_or(0)
}

#[async_trait]
impl Storage for S3Storage {
    fn location(&self) -> String {
        format!("s3://{} at {}", self.bucket.name, self.bucket.endpoint)
    }

    async fn probe(&self, prefix: &str, access: Access) -> Result<(), Error> {
        let request = self
            .bucket
            .client
            .list_objects_v2()
            .bucket(&self.bucket.name);
        let listed = request.prefix(prefix).max_keys(1).send().await;
        listed.map_err(|error| self.unreachable(meaning("listing", &self.place(), &error)))?;
        if access == Access::Read {
            return Ok(());
        }
        // Not beside the listing: a run that is stopped while that stands still has written nothing.
        let key = format!("{prefix}oiler-probe-{}", uuid::Uuid::new_v4());
        survey::write_probe(&self.bucket, &key).await?;
        self.bucket.delete(&key).await?;
        self.bucket.can_lock(prefix).await
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        self.bucket.put(key, body, Role::Mark).await
    }

    async fn upload(&self, key: &str, expected: u64) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Multipart::new(self.bucket.clone(), key, expected)))
    }

    async fn stat(&self, key: &str) -> Result<Object, Error> {
        let request = self.bucket.headers.head(self.bucket.client.head_object());
        let found = request
            .bucket(&self.bucket.name)
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
        let reading = read::Reading::begin(&self.bucket, key, self.at(key)).await?;
        Ok(reading.into_stream().boxed())
    }

    async fn visit(&self, prefix: &str, see: &mut See<'_>) -> Result<(), Error> {
        let mut pages = self
            .bucket
            .client
            .list_objects_v2()
            .bucket(&self.bucket.name)
            .prefix(prefix)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| meaning("listing", &self.place(), &error))?;
            for found in page.contents() {
                let Some(key) = found.key() else { continue };
                see(Object {
                    key: key.to_owned(),
                    size: size(found.size()),
                    modified: time(found.last_modified()),
                    etag: found.e_tag().map(unquoted),
                });
            }
        }
        Ok(())
    }

    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)> {
        let mut left = Vec::new();
        for some in keys.chunks(DELETED_AT_ONCE) {
            left.extend(self.delete_some(some).await);
        }
        left
    }

    fn locks(&self) -> bool {
        self.bucket.lock.is_some()
    }

    async fn lock(&self, keys: &[String]) -> Result<(), Error> {
        self.bucket.lock(keys).await
    }

    async fn locked(&self, key: &str) -> Result<Option<Locked>, Error> {
        self.bucket.locked(key).await
    }

    async fn rehearse(&self, key: &str) -> Result<(), Error> {
        survey::rehearse(&self.bucket, key).await
    }

    async fn survey(&self, prefix: &str) -> Survey {
        survey::of(&self.bucket, prefix).await
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
            let request = self.bucket.client.list_multipart_uploads();
            let request = request.bucket(&self.bucket.name).prefix(prefix);
            let request = request
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker);
            let listed = match request.send().await {
                Ok(listed) => listed,
                Err(error) => {
                    // Several servers lack the call; what they keep is theirs to tidy.
                    let error = meaning("listing the uploads of", &self.place(), &error);
                    tracing::debug!(%error, "unfinished uploads cannot be listed");
                    break;
                }
            };
            for upload in listed.uploads() {
                // Others may upload below the same prefix.
                if !upload
                    .key()
                    .is_some_and(|it| it.starts_with(prefix) && ours(it))
                {
                    continue;
                }
                match self.abort_dead(upload, before).await {
                    Ok(true) => count += 1,
                    Ok(false) => {}
                    Err(error) => failed = Some(error),
                }
            }
            key_marker = listed.next_key_marker().map(str::to_owned);
            id_marker = listed.next_upload_id_marker().map(str::to_owned);
            // Some servers say that there is more and not where.
            if listed.is_truncated() != Some(true) || key_marker.is_none() {
                break;
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }
}

impl S3Storage {
    /// Aborts an upload that was begun before this time and has got no part since; gives whether.
    async fn abort_dead(&self, upload: &MultipartUpload, before: Timestamp) -> Result<bool, Error> {
        let (Some(key), Some(id), Some(begun)) =
            (upload.key(), upload.upload_id(), upload.initiated())
        else {
            return Ok(false);
        };
        if time(Some(begun)) >= before {
            return Ok(false);
        }
        match self.bucket.newest_part(key, id).await {
            Ok(newest) if newest.is_some_and(|it| it >= before) => Ok(false),
            Ok(_) => self.bucket.abort(key, id).await.map(|()| true),
            // It has ended meanwhile.
            Err(error) if error.kind == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
