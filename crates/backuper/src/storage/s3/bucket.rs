//! One bucket, and the requests for whole objects and uploads that several modules send.

use std::num::NonZeroU32;
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::checksum::{self, Digest, Known, Way};
use super::error::{meaning, unexpected};
use super::headers::{Headers, Role};
use super::options::LockMode;
use crate::storage::http::IDLE;
use crate::storage::parts::Memory;
use crate::storage::{Error, Kind, Stored};

/// How much longer a server may take to complete an upload for each GiB of it: some copy the parts
/// together while nothing moves. versitygw takes 2.5 s.
const COMPLETING_PER_GIB: Duration = Duration::from_secs(15);

/// A bucket, and how to speak to its server.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) client: aws_sdk_s3::Client,
    pub(super) name: String,
    /// The server, for people.
    pub(super) endpoint: String,
    /// What all uploads of the process share.
    pub(super) memory: Memory,
    pub(super) headers: Headers,
    /// How the objects of complete backups are locked, and for how many days.
    pub(super) lock: Option<(LockMode, NonZeroU32)>,
    pub(super) checksums: Known,
}

/// An upload that was begun.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) id: String,
    /// What its parts are sent with.
    pub(super) way: Way,
}

/// A part that the server has: its number from 1, its tag, the digest of what was sent, and whether the
/// answer has proven it.
pub(super) struct Sent {
    pub(super) number: i32,
    pub(super) etag: String,
    pub(super) digest: Digest,
    pub(super) is_proven: bool,
}

impl Bucket {
    /// An object, for people.
    pub(super) fn at(&self, key: &str) -> String {
        format!("s3://{}/{key} at {}", self.name, self.endpoint)
    }

    /// Stores an object in one request. The first one finds out what the server takes.
    pub(super) async fn put(&self, key: &str, body: Bytes, role: Role) -> Result<Stored, Error> {
        let refused = match self.put_once(key, body.clone(), role).await {
            Err(error) => error,
            stored => return stored,
        };
        let Some(plain) = self.without_wished(refused.kind) else {
            return Err(refused);
        };
        let stored = plain.put_once(key, body, role).await?;
        self.headers.refused(&refused);
        Ok(stored)
    }

    /// The same without what is said of the backup, where it may be for that that a request has failed.
    fn without_wished(&self, kind: Kind) -> Option<Self> {
        self.headers.may_be_of_wished(kind).then(|| Self {
            headers: self.headers.without_wished(),
            ..self.clone()
        })
    }

    async fn put_once(&self, key: &str, body: Bytes, role: Role) -> Result<Stored, Error> {
        if let Some(way) = self.checksums.way() {
            let (stored, _) = self.put_by(key, body, role, way).await?;
            return Ok(stored);
        }
        let mut way = self.checksums.first();
        loop {
            let error = match self.put_by(key, body.clone(), role, way).await {
                Ok((stored, has_crc32c)) => {
                    self.checksums.note(if has_crc32c { way } else { Way::Md5 });
                    return Ok(stored);
                }
                Err(error) => error,
            };
            match way.next() {
                Some(next) if may_be_of(way, error.kind) => way = next,
                _ => return Err(error),
            }
        }
    }

    /// Gives also whether the server has answered with a CRC32C of its own.
    async fn put_by(
        &self,
        key: &str,
        body: Bytes,
        role: Role,
        way: Way,
    ) -> Result<(Stored, bool), Error> {
        let digest = Digest::of(way, &body);
        let stored = Stored {
            size: body.len() as u64,
            sha256: hex::encode(Sha256::digest(&body)),
            etag: None,
        };
        let request = self.client.put_object().bucket(&self.name);
        let request = self
            .headers
            .put(request, key, role)
            .set_content_md5(digest.md5())
            .set_checksum_crc32_c(digest.crc32c())
            .body(ByteStream::from(body.clone()));
        let answer = match way {
            Way::Unsigned => request.customize().disable_payload_signing().send().await,
            Way::Crc32c | Way::Md5 => request.send().await,
        };
        let answer = answer.map_err(|error| meaning("writing", &self.at(key), &error))?;
        let fulfilled = self.headers.fulfilled(
            answer.server_side_encryption(),
            answer.sse_customer_key_md5(),
        );
        if let Err(error) = self.fulfilled(key, fulfilled) {
            self.delete(key).await?;
            return Err(error);
        }
        let etag = answer.e_tag().map(unquoted).unwrap_or_default();
        // Where the server proves nothing, the object is read back.
        let is_proven = digest.is_proven(&body, &etag, answer.checksum_crc32_c());
        let stored = Stored {
            etag: (is_proven && !etag.is_empty()).then_some(etag),
            ..stored
        };
        Ok((stored, answer.checksum_crc32_c().is_some()))
    }

    /// Whether the object is known to be there, by its tag or by the checksum of its parts.
    pub(super) async fn holds(&self, key: &str, stored: &Stored, composite: Option<&str>) -> bool {
        let request = self.headers.head(self.client.head_object());
        let request = request.bucket(&self.name).key(key);
        let request = request.checksum_mode(ChecksumMode::Enabled);
        let Ok(found) = request.send().await else {
            return false;
        };
        let tag = found.e_tag().map(unquoted);
        let size = found.content_length();
        let is_same = (tag.is_some() && tag == stored.etag)
            || (composite.is_some() && composite == found.checksum_crc32_c());
        is_same && size.and_then(|it| u64::try_from(it).ok()) == Some(stored.size)
    }

    /// Begins an upload.
    pub(super) async fn create(&self, key: &str) -> Result<Begun, Error> {
        let refused = match self.create_once(key).await {
            Err(error) => error,
            begun => return begun,
        };
        let Some(plain) = self.without_wished(refused.kind) else {
            return Err(refused);
        };
        let begun = plain.create_once(key).await?;
        self.headers.refused(&refused);
        Ok(begun)
    }

    async fn create_once(&self, key: &str) -> Result<Begun, Error> {
        let way = self.checksums.way().unwrap_or(Way::Md5);
        let request = self.client.create_multipart_upload().bucket(&self.name);
        let algorithm = way.has_crc32c().then_some(ChecksumAlgorithm::Crc32C);
        let created = self
            .headers
            .create(request, key)
            .set_checksum_algorithm(algorithm)
            .send()
            .await
            .map_err(|error| meaning("writing", &self.at(key), &error))?;
        let id = created
            .upload_id()
            .map(str::to_owned)
            .ok_or_else(|| Error {
                kind: Kind::Other,
                action: "writing",
                location: self.at(key),
                reason: "the server gave the upload no id".to_owned(),
            })?;
        let fulfilled = self.headers.fulfilled(
            created.server_side_encryption(),
            created.sse_customer_key_md5(),
        );
        if let Err(error) = self.fulfilled(key, fulfilled) {
            self.abort(key, &id).await?;
            return Err(error);
        }
        Ok(Begun { id, way })
    }

    /// Sends one part.
    pub(super) async fn send(
        &self,
        key: &str,
        upload: &Begun,
        number: i32,
        body: Bytes,
    ) -> Result<Sent, Error> {
        let digest = Digest::of(upload.way, &body);
        let request = self.headers.part(self.client.upload_part());
        let request = request
            .bucket(&self.name)
            .key(key)
            .upload_id(&upload.id)
            .part_number(number)
            .set_content_md5(digest.md5())
            .set_checksum_crc32_c(digest.crc32c())
            .body(ByteStream::from(body.clone()));
        let answer = match upload.way {
            Way::Unsigned => request.customize().disable_payload_signing().send().await,
            Way::Crc32c | Way::Md5 => request.send().await,
        };
        let answer =
            answer.map_err(|error| unexpected(meaning("writing", &self.at(key), &error)))?;
        let etag = answer.e_tag().unwrap_or_default().to_owned();
        Ok(Sent {
            number,
            is_proven: digest.is_proven(&body, &unquoted(&etag), answer.checksum_crc32_c()),
            etag,
            digest,
        })
    }

    /// Makes an object of an upload's parts; gives its tag where the answer has this checksum.
    pub(super) async fn complete(
        &self,
        key: &str,
        id: &str,
        sent: &[Sent],
        size: u64,
    ) -> Result<Option<String>, Error> {
        let parts = sent.iter().map(|it| {
            CompletedPart::builder()
                .part_number(it.number)
                .e_tag(&it.etag)
                .set_checksum_crc32_c(it.digest.crc32c())
                .build()
        });
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts.collect()));
        let gib = u32::try_from(size >> 30).unwrap_or(u32::MAX);
        let limit = IDLE + COMPLETING_PER_GIB.saturating_mul(gib);
        let timeouts = TimeoutConfig::builder().read_timeout(limit).build();
        let patient = aws_sdk_s3::Config::builder().timeout_config(timeouts);
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .upload_id(id)
            .multipart_upload(upload.build())
            .customize()
            .config_override(patient)
            .send()
            .await
            .map_err(|error| meaning("writing", &self.at(key), &error))?;
        let composite = composite(sent);
        let is_proven = composite.is_some() && answer.checksum_crc32_c() == composite.as_deref();
        Ok(answer.e_tag().map(unquoted).filter(|_| is_proven))
    }

    fn fulfilled(&self, key: &str, answer: Result<(), String>) -> Result<(), Error> {
        answer.map_err(|reason| Error {
            kind: Kind::Unsupported,
            action: "writing",
            location: self.at(key),
            reason,
        })
    }

    /// Deletes an object. That there is none is success.
    pub(super) async fn delete(&self, key: &str) -> Result<(), Error> {
        let request = self.client.delete_object().bucket(&self.name);
        match request.key(key).send().await {
            Ok(_) => Ok(()),
            Err(error) => match meaning("deleting", &self.at(key), &error) {
                gone if gone.kind == Kind::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Ends an upload without an object. That there is none is success.
    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<(), Error> {
        let request = self.client.abort_multipart_upload().bucket(&self.name);
        match request.key(key).upload_id(id).send().await {
            Ok(_) => Ok(()),
            Err(error) => match meaning("aborting", &self.at(key), &error) {
                gone if gone.kind == Kind::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    /// When the server took the newest part of an upload; none where it has none.
    pub(super) async fn newest_part(
        &self,
        key: &str,
        id: &str,
    ) -> Result<Option<Timestamp>, Error> {
        let request = self.client.list_parts().bucket(&self.name);
        let mut pages = request.key(key).upload_id(id).into_paginator().send();
        let mut newest = None;
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| meaning("listing the parts of", &self.at(key), &error))?;
            let times = page.parts().iter().map(|it| Some(time(it.last_modified())));
            newest = newest.max(times.max().flatten());
        }
        Ok(newest)
    }
}

/// The checksum that an object of these parts has.
pub(super) fn composite(sent: &[Sent]) -> Option<String> {
    let digests: Vec<Digest> = sent.iter().map(|it| it.digest).collect();
    checksum::composite(&digests)
}

/// What a server may answer that does not take a checksum: no keys, no bucket and no outage is meant. A bucket's
/// policy may deny what is not signed (`s3:x-amz-content-sha256`).
fn may_be_of(way: Way, kind: Kind) -> bool {
    match way {
        Way::Unsigned => matches!(kind, Kind::Other | Kind::Corrupt | Kind::Denied),
        Way::Crc32c | Way::Md5 => matches!(kind, Kind::Other | Kind::Corrupt),
    }
}

/// A tag without the quotes that HTTP puts around it.
pub(super) fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// The SDK's time as ours.
pub(super) fn time(time: Option<&DateTime>) -> Timestamp {
    time.and_then(|it| Timestamp::new(it.secs(), 0).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
