//! One bucket, and the requests for whole objects and uploads that several modules send.

use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::error::{meaning, unexpected};
use super::http::IDLE;
use super::parts::Memory;
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
}

/// A part that the server has: its number from 1, its tag, the MD5 of what was sent.
pub(super) struct Sent {
    pub(super) number: i32,
    pub(super) etag: String,
    pub(super) md5: [u8; 16],
}

impl Bucket {
    /// An object, for people.
    pub(super) fn at(&self, key: &str) -> String {
        format!("s3://{}/{key} at {}", self.name, self.endpoint)
    }

    /// Stores an object in one request.
    pub(super) async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        let md5 = Md5::digest(&body);
        let stored = Stored {
            size: body.len() as u64,
            sha256: hex::encode(Sha256::digest(&body)),
            etag: None,
        };
        let answer = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_md5(STANDARD.encode(md5))
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| meaning("writing", &self.at(key), &error))?;
        let etag = answer.e_tag().map(unquoted);
        Ok(Stored {
            // Where the server's tag is not the MD5 (SSE-KMS, some servers), it proves nothing.
            etag: etag.filter(|it| *it == hex::encode(md5)),
            ..stored
        })
    }

    /// Whether the object is known to be there, by its tag.
    pub(super) async fn holds(&self, key: &str, stored: &Stored) -> bool {
        let request = self.client.head_object().bucket(&self.name).key(key);
        let found = request.send().await.ok();
        let tag = found.as_ref().and_then(|it| it.e_tag()).map(unquoted);
        let size = found.as_ref().and_then(|it| it.content_length());
        tag.is_some()
            && tag == stored.etag
            && size.and_then(|it| u64::try_from(it).ok()) == Some(stored.size)
    }

    /// Begins an upload; gives its id.
    pub(super) async fn create(&self, key: &str) -> Result<String, Error> {
        let request = self.client.create_multipart_upload().bucket(&self.name);
        let created = request
            .key(key)
            .send()
            .await
            .map_err(|error| meaning("writing", &self.at(key), &error))?;
        created.upload_id().map(str::to_owned).ok_or_else(|| Error {
            kind: Kind::Other,
            action: "writing",
            location: self.at(key),
            reason: "the server gave the upload no id".to_owned(),
        })
    }

    /// Sends one part.
    pub(super) async fn send(
        &self,
        key: &str,
        id: &str,
        number: i32,
        body: Bytes,
    ) -> Result<Sent, Error> {
        let md5 = Md5::digest(&body);
        let answer = self
            .client
            .upload_part()
            .bucket(&self.name)
            .key(key)
            .upload_id(id)
            .part_number(number)
            .content_md5(STANDARD.encode(md5))
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| unexpected(meaning("writing", &self.at(key), &error)))?;
        Ok(Sent {
            number,
            etag: answer.e_tag().unwrap_or_default().to_owned(),
            md5: md5.into(),
        })
    }

    /// Makes an object of an upload's parts.
    pub(super) async fn complete(
        &self,
        key: &str,
        id: &str,
        sent: &[Sent],
        size: u64,
    ) -> Result<(), Error> {
        let parts = sent.iter().map(|it| {
            CompletedPart::builder()
                .part_number(it.number)
                .e_tag(&it.etag)
                .build()
        });
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts.collect()));
        let gib = u32::try_from(size >> 30).unwrap_or(u32::MAX);
        let limit = IDLE + COMPLETING_PER_GIB.saturating_mul(gib);
        let timeouts = TimeoutConfig::builder().read_timeout(limit).build();
        let patient = aws_sdk_s3::Config::builder().timeout_config(timeouts);
        self.client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .upload_id(id)
            .multipart_upload(upload.build())
            .customize()
            .config_override(patient)
            .send()
            .await
            .map(drop)
            .map_err(|error| meaning("writing", &self.at(key), &error))
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

/// A tag without the quotes that HTTP puts around it.
pub(super) fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// The SDK's time as ours.
pub(super) fn time(time: Option<&DateTime>) -> Timestamp {
    time.and_then(|it| Timestamp::new(it.secs(), 0).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
