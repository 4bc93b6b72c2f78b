//! Objects in a bucket of Google Cloud Storage, by its JSON API: resumable uploads leave nothing that
//! has to be tidied, and every object has its CRC32C told.

mod access;
mod error;
pub mod place;
mod upload;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use http::Method;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::cloud::read::{Reading, Versions, collect, digest};
use super::cloud::{Answer, Call, Client, date, delete_each, encoded, parsed};
use super::crc32c::{crc32c, written};
use super::parts::Memory;
use super::{
    Access, Body, Error, GcsPlace, Kind, Locked, Object, Ours, See, Storage, Stored, Survey, Tags,
    Tls, Upload,
};
use place::GOOGLE;
use upload::Resumable;

/// A generation is one version of an object.
const GENERATIONS: Versions = Versions {
    told: "x-goog-generation",
    only: |call, generation| Call {
        uri: format!("{}&ifGenerationMatch={generation}", call.uri),
        ..call
    },
};

/// A bucket.
#[derive(Clone, Debug)]
pub struct GcsStorage {
    client: Client,
    bucket: String,
    /// Without a slash at the end.
    endpoint: String,
    memory: Memory,
    tags: Tags,
}

/// What the API tells of an object; numbers are texts there.
#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    size: String,
    updated: Option<Timestamp>,
    /// Big-endian, in Base64.
    crc32c: Option<String>,
}

impl Metadata {
    fn size(&self) -> Option<u64> {
        self.size.parse().ok()
    }

    fn tag(&self) -> Option<String> {
        self.crc32c.as_ref().map(|it| format!("crc32c={it}"))
    }
}

/// A page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Metadata>,
    next_page_token: Option<String>,
}

impl GcsStorage {
    /// A client for the bucket that tries a request as often as this; nothing is sent yet.
    ///
    /// # Errors
    /// `Kind::Misconfigured` when a key or a certificate file cannot be used.
    pub fn connect(place: &GcsPlace, tls: &Tls, attempts: u32, tags: &Tags) -> Result<Self, Error> {
        Ok(Self {
            client: access::client(place, tls, attempts)?,
            bucket: place.bucket.to_string(),
            endpoint: place.server(),
            memory: Memory::default(),
            tags: tags.clone(),
        })
    }

    fn at(&self, key: &str) -> String {
        if self.endpoint == GOOGLE {
            format!("gs://{}/{key}", self.bucket)
        } else {
            format!("gs://{}/{key} at {}", self.bucket, self.endpoint)
        }
    }

    fn objects(&self) -> String {
        format!("{}/storage/v1/b/{}/o", self.endpoint, encoded(&self.bucket))
    }

    fn object(&self, key: &str) -> String {
        format!("{}/{}", self.objects(), encoded(key))
    }

    fn uploads(&self, kind: &str, key: &str) -> String {
        format!(
            "{}/upload/storage/v1/b/{}/o?uploadType={kind}&name={}",
            self.endpoint,
            encoded(&self.bucket),
            encoded(key)
        )
    }

    fn call(&self, action: &'static str, key: &str, method: Method, uri: String) -> Call {
        Call::new(action, self.at(key), method, uri)
    }

    async fn page(
        &self,
        prefix: &str,
        most: u32,
        token: Option<&str>,
    ) -> Result<Answer<Page>, Error> {
        let mut uri = format!(
            "{}?prefix={}&maxResults={most}&fields=nextPageToken,items(name,size,updated,crc32c)",
            self.objects(),
            encoded(prefix)
        );
        if let Some(token) = token {
            uri.push_str("&pageToken=");
            uri.push_str(&encoded(token));
        }
        let call = self.call("listing", prefix, Method::GET, uri);
        let answer = self.client.send(&call).await?;
        parsed(&call, answer, |it| serde_json::from_slice(it))
    }

    /// What an object says of the backup.
    fn metadata(&self) -> serde_json::Value {
        self.tags.pairs().collect()
    }

    /// Stores an object in one request, which the service takes only where its CRC32C is this one.
    async fn put_whole(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        const BOUNDARY: &str = "between-what-it-is-and-what-it-has";
        let crc32c = written(crc32c(&body));
        let stored = Stored {
            size: body.len() as u64,
            sha256: hex::encode(Sha256::digest(&body)),
            etag: Some(format!("crc32c={crc32c}")),
        };
        let metadata = self.metadata();
        let told = serde_json::json!({ "name": key, "crc32c": crc32c, "metadata": metadata });
        let mut parts = format!(
            "--{BOUNDARY}\r\ncontent-type: application/json\r\n\r\n{told}\r\n--{BOUNDARY}\r\ncontent-type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        parts.extend_from_slice(&body);
        parts.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let call = self
            .call("writing", key, Method::POST, self.uploads("multipart", key))
            .header(
                CONTENT_TYPE,
                format!("multipart/related; boundary={BOUNDARY}"),
            )
            .body(parts.into());
        let answer = self.client.send(&call).await?;
        let made = parsed(&call, answer, |it| serde_json::from_slice(it))?;
        self.is_what_was_sent(key, &made.body, &stored)?;
        Ok(stored)
    }

    /// What the service has made is told by its answer.
    fn is_what_was_sent(&self, key: &str, made: &Metadata, stored: &Stored) -> Result<(), Error> {
        if made.size() == Some(stored.size) && (made.crc32c.is_none() || made.tag() == stored.etag)
        {
            return Ok(());
        }
        let reason = format!(
            "it has {} bytes and CRC32C {} there, and what was sent has {} and {}",
            made.size,
            made.crc32c.as_deref().unwrap_or("unknown"),
            stored.size,
            stored.etag.as_deref().unwrap_or("unknown")
        );
        let call = self.call("writing", key, Method::POST, String::new());
        Err(call.error(Kind::Corrupt, reason))
    }

    async fn delete_one(&self, key: &str) -> Result<(), Error> {
        let call = self.call("deleting", key, Method::DELETE, self.object(key));
        match self.client.send(&call).await {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for GcsStorage {
    fn location(&self) -> String {
        self.at("")
            .replacen("/ at", " at", 1)
            .trim_end_matches('/')
            .to_owned()
    }

    async fn probe(&self, prefix: &str, access: Access) -> Result<(), Error> {
        self.page(prefix, 1, None).await.map_err(|error| Error {
            // Nothing but the bucket could be missing.
            kind: match error.kind {
                Kind::NotFound => Kind::NoBucket,
                kind => kind,
            },
            ..error
        })?;
        if access == Access::Read {
            return Ok(());
        }
        let key = format!("{prefix}oiler-probe-{}", uuid::Uuid::new_v4());
        self.put(&key, Bytes::from_static(b"probe")).await?;
        self.delete_one(&key).await
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        self.put_whole(key, body).await
    }

    async fn upload(&self, key: &str, _expected: u64) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Resumable::new(self.clone(), key)))
    }

    async fn stat(&self, key: &str) -> Result<Object, Error> {
        let call = self.call("reading", key, Method::GET, self.object(key));
        let answer = self.client.send(&call).await?;
        let found: Answer<Metadata> = parsed(&call, answer, |it| serde_json::from_slice(it))?;
        object(found.body).ok_or_else(|| call.error(Kind::NotS3, UNTOLD))
    }

    async fn verify(&self, key: &str, stored: &Stored) -> Result<(), Error> {
        let found = self.stat(key).await?;
        let of_size = Stored {
            size: found.size,
            sha256: String::new(),
            etag: None,
        };
        if found.size != stored.size {
            return Err(super::differs(&self.at(key), stored, &of_size));
        }
        if stored.etag.is_some() && stored.etag == found.etag {
            return Ok(());
        }
        let found = digest(self.open(key).await?).await?;
        if (found.size, &found.sha256) == (stored.size, &stored.sha256) {
            return Ok(());
        }
        Err(super::differs(&self.at(key), stored, &found))
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Bytes, Error> {
        collect(self.open(key).await?, key, limit).await
    }

    async fn open(&self, key: &str) -> Result<Body, Error> {
        let uri = format!("{}?alt=media", self.object(key));
        let call = self.call("reading", key, Method::GET, uri);
        let reading = Reading::begin(&self.client, call, GENERATIONS).await?;
        Ok(reading.into_stream().boxed())
    }

    async fn visit(&self, prefix: &str, see: &mut See<'_>) -> Result<(), Error> {
        let mut token = None;
        loop {
            let page = self.page(prefix, 1_000, token.as_deref()).await?.body;
            for found in page.items {
                let key = found.name.clone();
                let Some(object) = object(found) else {
                    let call = self.call("listing", &key, Method::GET, String::new());
                    return Err(call.error(Kind::NotS3, UNTOLD));
                };
                see(object);
            }
            token = page.next_page_token.filter(|it| !it.is_empty());
            if token.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)> {
        let delete = |key: String| {
            let this = self.clone();
            async move { this.delete_one(&key).await }
        };
        delete_each(keys, delete).await
    }

    fn locks(&self) -> bool {
        false
    }

    async fn lock(&self, _keys: &[String]) -> Result<(), Error> {
        Ok(())
    }

    async fn locked(&self, _key: &str) -> Result<Option<Locked>, Error> {
        Ok(None)
    }

    async fn rehearse(&self, key: &str) -> Result<(), Error> {
        let session = self.begin(key).await?;
        self.end(key, &session).await
    }

    async fn survey(&self, prefix: &str) -> Survey {
        let listed = self.page(prefix, 1, None).await;
        Survey {
            clock: listed.ok().and_then(|it| date(&it)),
            free: None,
            // Uploads that are not ended are listed to nobody, and are no more after a week.
            uploads: None,
        }
    }

    async fn abort_uploads(
        &self,
        _prefix: &str,
        _before: Timestamp,
        _ours: &Ours<'_>,
    ) -> Result<usize, Error> {
        Ok(0)
    }
}

const UNTOLD: &str = "the server does not say how large it is, or when it was written";

/// None where the size or the time is missing: what is of no time would look abandoned.
fn object(found: Metadata) -> Option<Object> {
    Some(Object {
        size: found.size()?,
        etag: found.tag(),
        modified: found.updated?,
        key: found.name,
    })
}
